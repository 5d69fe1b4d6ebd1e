"""Sizes of the pyramid codec's model and the layout of its parameters in one flat vector."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fieldpack import _engine

FloatArray = npt.NDArray[np.float32]

# Causal neighbours (dy, dx), nearest first; a context of n neighbours uses the first n.
NEIGHBOURS: tuple[tuple[int, int], ...] = (
    (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2),
    (-2, -1), (-2, 1), (0, -3), (-3, 0), (-2, -2), (-2, 2), (-1, -3), (-1, 3),
    (-3, -1), (-3, 1), (0, -4), (-2, -3), (-2, 3), (-3, -2), (-3, 2), (-1, -4),
)  # fmt: skip

# Latents of coarser grids (levels up, dy, dx), relative to the one that covers the latent's place;
# a context of n ancestors uses the first n.
ANCESTORS: tuple[tuple[int, int, int], ...] = (
    (1, 0, 0), (2, 0, 0), (3, 0, 0), (1, 0, 1), (1, 1, 0), (1, 0, -1), (1, -1, 0),
    (1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1), (4, 0, 0), (5, 0, 0), (6, 0, 0),
)  # fmt: skip

MAX_GRIDS = 7
MAX_CHANNELS = 4
MAX_CONVOLUTIONS = 4
MAX_HIDDEN_LAYERS = 3
MAX_WIDTH = 64

LEAK = 0.125  # slope below zero of the activation between 3x3 layers
MIN_LOG_SCALE, MAX_LOG_SCALE = -3.0, 6.0  # of the Laplace distributions in training


def grids_of(height: int, width: int) -> int:
    """How many latent grids an image gets: the coarsest still has more than one latent."""
    count = 1
    while count < MAX_GRIDS and max(height, width) >> (count + 1) >= 2:
        count += 1
    return count


@dataclass(frozen=True)
class PerceptronShape:
    """Dense layers, ReLU between them; `sizes` leads from the inputs to the outputs.

    A hidden layer that reads as many values as it writes adds its input before its ReLU, except
    the first. Each layer's parameters are weights [outputs, inputs], then biases [outputs].
    """

    sizes: tuple[int, ...]

    @property
    def layers(self) -> int:
        """How many dense layers there are."""
        return len(self.sizes) - 1

    @property
    def parameters(self) -> int:
        """How many weights and biases there are."""
        return sum((i + 1) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False))

    def is_residual(self, layer: int) -> bool:
        """Whether this layer adds its input."""
        return 0 < layer < self.layers - 1 and self.sizes[layer] == self.sizes[layer + 1]


@dataclass(frozen=True)
class ModelShape:
    """Sizes of one pyramid model.

    Flat parameters, in this order: upsampling taps [grids - 1, 4] (from level s + 1 to s, nearest
    tap first); if grids are filtered, their filters [grids - 1, 4] (of all but the coarsest: what
    is added to a central tap of 1, then the taps at distances 1 to 3); the synthesis perceptron;
    `convolutions` layers of weights [C, C, 3, 3] and biases [C]; for each context set, a context
    perceptron from neighbours and ancestors to (mean, log scale).
    """

    channels: int = 3
    grids: int = 7
    synthesis_hidden: tuple[int, ...] = (16,)
    convolutions: int = 2
    neighbours: int = 12
    context_hidden: tuple[int, ...] = (16, 16)
    context_set_of: tuple[int, ...] = field(default=())
    ancestors: int = 0
    is_filtered: bool = False

    @property
    def synthesis(self) -> PerceptronShape:
        """The 1x1 layers from the upsampled latents to colours."""
        return PerceptronShape((self.grids, *self.synthesis_hidden, self.channels))

    @property
    def context(self) -> PerceptronShape:
        """The layers from neighbours and ancestors to the mean and log scale of a latent."""
        return PerceptronShape((self.neighbours + self.ancestors, *self.context_hidden, 2))

    @property
    def set_of_grid(self) -> tuple[int, ...]:
        """The context weights that each grid uses; one set for all by default."""
        return self.context_set_of or (0,) * self.grids

    @property
    def offsets(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Name and shape of every tensor in the flat vector, in order."""
        tensors: list[tuple[str, tuple[int, ...]]] = [
            ("taps", (self.grids - 1, 4)),
            ("filters", (self.grids - 1 if self.is_filtered else 0, 4)),
        ]

        def perceptron(name: str, shape: PerceptronShape) -> None:
            for layer, (i, o) in enumerate(zip(shape.sizes, shape.sizes[1:], strict=False)):
                tensors.append((f"{name}.{layer}.weight", (o, i)))
                tensors.append((f"{name}.{layer}.bias", (o,)))

        perceptron("synthesis", self.synthesis)
        for layer in range(self.convolutions):
            tensors.append((f"convolution.{layer}.weight", (self.channels, self.channels, 3, 3)))
            tensors.append((f"convolution.{layer}.bias", (self.channels,)))
        for index in range(max(self.set_of_grid) + 1):
            perceptron(f"context{index}", self.context)
        return tuple(tensors)

    @property
    def parameters(self) -> int:
        """How many network parameters there are."""
        return sum(int(np.prod(shape)) for _, shape in self.offsets)

    def views(self, flat: FloatArray) -> dict[str, FloatArray]:
        """Views of a flat vector as named tensors."""
        out, start = {}, 0
        for name, shape in self.offsets:
            count = int(np.prod(shape))
            out[name] = flat[start : start + count].reshape(shape)
            start += count
        return out


def engine_model(shape: ModelShape) -> _engine.CodecModel:
    """Return the model as the engine wants it described."""
    return _engine.CodecModel(
        channels=shape.channels,
        grids=shape.grids,
        is_filtered=shape.is_filtered,
        synthesis=shape.synthesis.sizes,
        convolutions=shape.convolutions,
        neighbours=NEIGHBOURS[: shape.neighbours],
        ancestors=ANCESTORS[: shape.ancestors],
        context=shape.context.sizes,
        context_set_of=shape.set_of_grid,
    )
