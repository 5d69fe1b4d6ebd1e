"""Types of the compiled engine (engine/bindings.cpp)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def crc32(bytes: bytes) -> int:
    """CRC-32 (ISO 3309, as in PNG and zlib)."""

def instruction_set() -> str:
    """The instruction set in use: baseline, avx2 or avx512; FIELDPACK_ISA forces one.

    Raises:
        ValueError: FIELDPACK_ISA names one that is unknown or that this machine lacks.
    """

def weight_frequencies(shape: int, scale: int, reach: int) -> NDArray[np.uint32]:
    """Frequencies (2 reach + 1,) of the distribution of quantised weights at -reach .. reach.

    Raises:
        ValueError: `shape` is not in 0 .. 6, `scale` in 0 .. 255 or `reach` in 0 .. 32767.
    """

class RangeEncoder:
    """Range coder with static frequency tables; tables may change between calls."""

    def __init__(self) -> None: ...
    def encode(self, symbols: NDArray[np.int32], frequencies: NDArray[np.uint32]) -> None:
        """Append symbols (n,), indices into `frequencies` (k,), which sum to less than 2^32.

        Raises:
            ValueError: A symbol is outside of the table, or the table is not valid.
        """

    def finish(self) -> bytes:
        """End the stream and return it."""

class RangeDecoder:
    """Decodes what `RangeEncoder` wrote, called with the same tables in the same order."""

    def __init__(self, stream: bytes) -> None: ...
    def decode(self, count: int, frequencies: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Return the next `count` symbols (n,); past the end of the stream they are arbitrary.

        Raises:
            ValueError: The table is not valid.
        """

class Program:
    """A checked program (see fieldpack.program.graph)."""

    def __init__(
        self,
        axes: int,
        operations: Sequence[
            tuple[int, Sequence[int], Sequence[int], Sequence[int], Sequence[float]]
        ],
        tensors: Sequence[NDArray[np.float32]],
    ) -> None:
        """Raises ValueError where the operations do not fit together."""

    def points(self, coordinates: NDArray[np.float64], threads: int = 0) -> NDArray[np.float32]:
        """Values (n, channels) at coordinates (n, axes); 0 threads means one a core."""

    def grid(
        self, coordinates: Sequence[NDArray[np.float64]], threads: int = 0
    ) -> NDArray[np.float32]:
        """Values (n_last, ..., n_0, channels) at all combinations of the axes' coordinates."""

class CodecModel:
    """Sizes of a pyramid's networks."""

    def __init__(
        self,
        *,
        channels: int,
        grids: int,
        is_filtered: bool,
        synthesis: Sequence[int],
        convolutions: int,
        neighbours: Sequence[tuple[int, int]],
        ancestors: Sequence[tuple[int, int, int]],
        context: Sequence[int],
        context_set_of: Sequence[int],
    ) -> None:
        """Raises ValueError where a size is out of range."""

    @property
    def parameters(self) -> int:
        """Length of the flat parameter vector."""

def encode_latents(
    model: CodecModel,
    parameters: NDArray[np.float32],
    height: int,
    width: int,
    latents: Sequence[NDArray[np.int32]],
    empty: Sequence[bool],
) -> tuple[bytes, list[float]]:
    """Code grids (h_k, w_k), finest first; returns the stream and the bits of each grid."""

def decode_latents(
    model: CodecModel,
    parameters: NDArray[np.float32],
    height: int,
    width: int,
    stream: bytes,
    empty: Sequence[bool],
) -> list[NDArray[np.int32]]:
    """Decode what `encode_latents` coded."""

def synthesise(
    model: CodecModel,
    parameters: NDArray[np.float32],
    height: int,
    width: int,
    latents: Sequence[NDArray[np.int32]],
    region: tuple[int, int, int, int],
    threads: int = 0,
) -> NDArray[np.float32]:
    """Return rows top .. bottom and columns left .. right of the picture of latents.

    The same bits on every machine, for all numbers of threads, and for all regions.
    """

class Soap:
    """Optimiser of small weight matrices (engine/train/soap.hpp)."""

    def __init__(
        self, blocks: Sequence[tuple[int, int, int, int]], beta1: float, beta2: float
    ) -> None:
        """Begin for matrices in a flat vector.

        Args:
            blocks: Of each matrix [outputs, inputs], where it begins, outputs, inputs, and where
                its biases [outputs] begin, or -1.
            beta1: Decay of the gradient's mean.
            beta2: Decay of its square and of the preconditioner.

        Raises:
            ValueError: A block has no or more than 1024 outputs or inputs.
        """

    def step(
        self,
        parameters: NDArray[np.float32],
        gradient: NDArray[np.float32],
        learning_rate: float,
    ) -> None:
        """Move the parameters in place by about `learning_rate` against the gradient.

        The first call only learns the basis.
        """

def structure_weights(
    image: NDArray[np.float32], falling: float, threads: int
) -> NDArray[np.float32]:
    """Weights (H, W, C) with which squared errors come near to (1 - MS-SSIM) * H * W * C.

    Args:
        image: (H, W, C) in [0, 1].
        falling: What the mean error of 2 x 2 pixels counts, relative to the errors themselves.
        threads: To work with.

    Raises:
        ValueError: A side of the picture is less than 11 pixels, or threads is not 1 to 256.
    """

class Trainer:
    """The state of fitting a pyramid to one picture (engine/train/trainer.hpp)."""

    def __init__(
        self,
        image: NDArray[np.float32],
        weights: NDArray[np.float32] | None,
        model: CodecModel,
        threads: int,
        finest: int = 0,
    ) -> None:
        """Start at zero latents for an image (H, W, C) in [0, 1] and optional weights like it.

        Grids finer than `finest` stay at zero: they have no bits and are never moved.

        Raises:
            ValueError: The arrays and the model do not go together, or threads is not 1 to 256.
        """
    @property
    def parameters(self) -> int:
        """Length of the flat parameter vector."""

    @property
    def threads(self) -> int:
        """How many threads a pass uses."""

    @property
    def finest(self) -> int:
        """Grids finer than this one stay at zero."""

    @property
    def compares_structure(self) -> bool:
        """Whether the distortion is one of structure, see `compare_structure`."""

    def step(
        self,
        parameters: NDArray[np.float32],
        gradient: NDArray[np.float32] | None,
        *,
        hard: bool = False,
        temperature: float = 0.3,
        noise: float = 0.25,
        lambda_: float,
        seed: int = 0,
        step: int = 0,
        update: bool = True,
        context_gradient: bool = True,
        learning_rate: Sequence[float] = (),
        beta1: float = 0.6,
        beta2: float = 0.95,
        epsilon: float = 1e-12,
        sharing: float = 0.85,
    ) -> dict[str, Any]:
        """Do one pass over the picture: all gradients, and a step of the latents if `update`.

        Args:
            parameters: The networks, one flat vector.
            gradient: Overwritten with the gradient of `parameters`; None leaves it out, which takes
                a third less time.
            hard: Plain rounding with straight-through gradients, else soft rounding with noise.
            temperature: Of the soft rounding.
            noise: Half width of the noise, in quantisation steps.
            lambda_: Loss of one bit a pixel.
            seed: Of the noise.
            step: Number of the pass; the noise depends on it, and is stratified over each eight
                passes that begin with a multiple of eight.
            update: Whether to move the latents.
            context_gradient: If false, the gradient of the context models' weights is left at zero,
                which takes less time.
            learning_rate: Step of the latents of each grid, in quantisation steps.
            beta1: Adam's decay of the mean.
            beta2: Adam's decay of the square.
            epsilon: Adam's.
            sharing: Of the grid's mean square gradient in what divides a latent's step.

        Returns:
            distortion (mean squared error), bits (by grid), seconds (by part).
        """
    def evaluate(
        self,
        parameters: NDArray[np.float32],
        *,
        hard: bool = True,
        temperature: float = 0.3,
        noise: float = 0.0,
        lambda_: float = 0.0,
        seed: int = 0,
        step: int = 0,
        draw: bool = True,
    ) -> dict[str, Any]:
        """As `step` without gradients; adds image (H, W, C) to the result if `draw`."""

    def distortion(self, parameters: NDArray[np.float32]) -> float:
        """Mean squared error with the latents rounded; the context models are left out."""

    def loss_by_block(self, parameters: NDArray[np.float32], lambda_: float) -> NDArray[np.float64]:
        """Loss of the rounded latents where it arises, by blocks of 4 x 4 pixels; the sum is all.

        Returns (2, ceil(H / 4), ceil(W / 4)): mean squared error and lambda_ * bits a pixel, then
        the latter alone, the bits of a latent in the block of its first pixel. Overwrites what
        `slope` tells.

        Raises:
            ValueError: The parameters are not as many as the model has, or the trainer compares
                structure, which has no place.
        """

    def compare_structure(self, factor: float, fidelity: float) -> None:
        """Make the distortion factor * (1 - MS-SSIM) + fidelity * the weighted mean squared error.

        The weights must be positive.

        Raises:
            ValueError: A side of the picture is less than 11 pixels, or a factor is negative.
        """

    def linearise(self, parameters: NDArray[np.float32]) -> None:
        """Replace what `compare_structure` set by a weighted squared error, for good.

        Where the rounded latents are now, it has the same gradient; its value is another.

        Raises:
            ValueError: The trainer does not compare structure, or the parameters are not as many as
                the model has.
        """

    def bits(self, parameters: NDArray[np.float32], context_set: int | None = None) -> list[float]:
        """Bits of the rounded latents by grid; only of grids that use the set, if one is given.

        Raises:
            ValueError: There is no such set.
        """

    def latents(self, grid: int) -> NDArray[np.float32]:
        """A grid's latents (h_k, w_k), in quantisation steps; IndexError where there is none."""

    def set_latents(self, grid: int, values: NDArray[np.float32]) -> None:
        """Replace a grid's latents by values of the same shape; its moments stay."""

    def quantised(self, grid: int) -> NDArray[np.float32]:
        """A grid's latents (h_k, w_k) as the last pass quantised them."""

    def quantised_gradient(self, grid: int) -> NDArray[np.float32]:
        """Gradient (h_k, w_k) of the last step's loss in a grid's quantised latents."""

    def slope(self, grid: int) -> NDArray[np.float32]:
        """Derivative (h_k, w_k) of the last pass's quantised latents in the latents."""

    def reset_moments(self) -> None:
        """Forget the optimiser's moments: the next step that moves latents begins anew."""

class FillingNetwork:
    """The network that proposes missing pixels (engine/filling/network.hpp).

    Raises:
        ValueError: A width is not a multiple of eight in 8 .. 512, or the parameters are not as
            many as a network of these widths has.
    """

    def __init__(
        self, widths: tuple[int, int, int, int], parameters: NDArray[np.float32]
    ) -> None: ...
    def run(
        self, guess: NDArray[np.float32], mask: NDArray[np.float32], threads: int = 1
    ) -> NDArray[np.float32]:
        """A better guess than `guess` (H, W); `mask` (H, W) is 1 where known, else 0.

        Raises:
            ValueError: Sizes differ or are not multiples of sixteen.
        """

def relax(
    values: NDArray[np.float32],
    mask: NDArray[np.bool_],
    tension: float,
    momentum: float,
    iterations: int,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Values (H, W, C) relaxed towards a thin plate where the mask (H, W) is false.

    Raises:
        ValueError: Sizes differ.
    """
