"""What a file's field is made of: a network, or a pyramid of latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fieldpack.codec.evaluation import PyramidEvaluator
from fieldpack.codec.payload import Pyramid, read_pyramid
from fieldpack.errors import FormatError, RequestError
from fieldpack.program import Evaluator, Opcode, read_program
from fieldpack.signals.description import Description, PictureDescription


class FieldEvaluator(Protocol):
    """A function of coordinates in [-1, 1], x first."""

    def points(self, coordinates: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values (n, C) at coordinates (n, d)."""

    def grid(self, coordinates: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
        """Values (n_last, ..., n_0, C) at all combinations of the axes' coordinates."""

    def enlarging(self, pitch: tuple[float, float]) -> FieldEvaluator:
        """What to draw an enlarged picture from.

        Args:
            pitch: From one of its pixels to the next along x, along y, in coordinates; 0 for an
                axis that is not enlarged.
        """


class Content(Protocol):
    """A field as it stands in a file.

    Attributes:
        evaluator: The function.
        resolution: Points (n_last, ..., n_0) of its own grid.
    """

    evaluator: FieldEvaluator
    resolution: tuple[int, ...]

    def info(self) -> dict[str, Any]:
        """What is inside and where the bytes go, as plain values that JSON can hold."""


class NetworkContent:
    """A network (section N).

    Args:
        payload: The section's.
        description: The signal's.
        threads: Threads to evaluate with; 0 means one for each core.
        skipped: Must be 0: a network has no grids to leave out.

    Raises:
        FormatError: The payload is not valid, or does not suit the signal.
        RequestError: `skipped` is not 0.
    """

    evaluator: FieldEvaluator
    resolution: tuple[int, ...]

    def __init__(
        self, payload: bytes, description: Description, threads: int, skipped: int = 0
    ) -> None:
        if skipped:
            raise RequestError("only files with a pyramid have a preview; this holds a network")
        self._size = len(payload)
        self._program, self._costs = read_program(payload)
        if self._program.axes != len(description.positions):
            raise FormatError("the network and the signal differ in their number of coordinates")
        if self._program.output_channels != description.channels:
            raise FormatError("the network and the signal differ in their number of channels")
        self.evaluator = Evaluator(self._program, threads)
        self.resolution = description.shape[:-1]

    def info(self) -> dict[str, Any]:
        """Sizes of the network and of its tensors."""
        weights = self._program.weight_count
        tensors = [
            {
                "operation": Opcode(self._program.operations[cost.operation].opcode).name.lower(),
                "shape": list(cost.shape),
                "step": cost.step,
                "bytes": cost.bits / 8,
            }
            for cost in self._costs
        ]
        return {
            "field": "network",
            "network": {
                "operations": len(self._program.operations),
                "weights": weights,
                "bits_per_weight": 8 * self._size / max(1, weights),
                "multiplications_per_point": self._program.multiplications,
                "tensors": tensors,
            },
        }


class PyramidContent:
    """A pyramid (section P) of a picture.

    Args:
        payload: The section's.
        description: The picture's.
        threads: Threads to evaluate with; 0 means one for each core.
        skipped: How many of the finest grids to leave out.
        pyramid: What the payload decodes to, if that is known; goes with no skipped grids.

    Raises:
        FormatError: The payload is not valid, or the signal is not a picture.
    """

    evaluator: FieldEvaluator
    resolution: tuple[int, ...]

    def __init__(
        self,
        payload: bytes,
        description: Description,
        threads: int,
        skipped: int = 0,
        pyramid: Pyramid | None = None,
    ) -> None:
        if not isinstance(description, PictureDescription):
            raise FormatError("a pyramid holds pictures only")
        height, width = description.height, description.width
        if pyramid is None:
            pyramid = read_pyramid(payload, description.channels, height, width, skipped)
        self._pyramid = pyramid
        if skipped and pyramid.latents:
            height, width = pyramid.latents[0].shape
        self.evaluator = PyramidEvaluator(pyramid, height, width, threads)
        self.resolution = height, width

    def info(self) -> dict[str, Any]:
        """Sizes of the model, its networks and its grids."""
        shape, networks = self._pyramid.shape, self._pyramid.networks
        if shape is None or networks is None:
            return {"field": "constant"}
        grids = [
            {
                "shape": list(grid.shape),
                "nonzero": int(np.count_nonzero(grid)),
                "largest": int(np.abs(grid).max()),
            }
            for grid in self._pyramid.latents
        ]
        return {
            "field": "pyramid",
            "pyramid": {
                "grids": grids,
                "synthesis": list(shape.synthesis.sizes),
                "convolutions": shape.convolutions,
                "context": list(shape.context.sizes),
                "weights": shape.parameters,
                "prior": networks.prior.prior if networks.prior else None,
                "network_bytes": self._pyramid.network_bytes,
                "latent_bytes": self._pyramid.latent_bytes,
            },
        }
