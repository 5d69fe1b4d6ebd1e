"""Where training points come from: scattered samples, or all pixels of a picture or volume."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Generator, Tensor

from fieldpack.errors import RequestError
from fieldpack.networks.network import axis_coordinates


@dataclass(frozen=True)
class Batch:
    """Points with what the field should be there.

    Attributes:
        coordinates: One float64 tensor an axis, x first, which broadcast together.
        values: Targets of the broadcast shape with the channels last, float32.
    """

    coordinates: tuple[Tensor, ...]
    values: Tensor


class ScatteredSamples:
    """Values at arbitrary points of [-1, 1]^d.

    Attributes:
        axes: Number of coordinates d.
        channels: Channels C of a value.
        count: Number of samples N.
        coordinates: (N, d), float64.
        values: (N, C), float32.
    """

    def __init__(self, coordinates: ArrayLike, values: ArrayLike) -> None:
        """Keep `coordinates` (N, d), x first, and `values` (N, C), usually in [0, 1].

        Raises:
            RequestError: The shapes disagree, there is no sample, or a number is not finite.
        """
        self.coordinates = _finite(coordinates, torch.float64, "coordinates")
        self.values = _finite(values, torch.float32, "values")
        if self.coordinates.ndim != 2 or self.values.ndim != 2:
            raise RequestError("coordinates have shape (N, d) and values (N, C)")
        self.count, self.axes = self.coordinates.shape
        self.channels = self.values.shape[1]
        if len(self.values) != self.count:
            raise RequestError(f"there are {self.count} coordinates but {len(self.values)} values")

    def draw_points(self, count: int, generator: Generator) -> Batch:
        """Draw `count` samples with replacement."""
        chosen = torch.randint(self.count, (count,), generator=generator)
        return Batch(self.coordinates[chosen].unbind(1), self.values[chosen])

    def draw_crossings(self, count: int, generator: Generator) -> Batch:
        """Draw `count` samples with replacement: scattered samples form no lines."""
        return self.draw_points(count, generator)


class GridSamples:
    """All pixels of a picture (H, W, C), of a volume (D, H, W, C), or of a signal (W, C).

    Pixels are addressed by index; no list of coordinates is ever made.

    Attributes:
        axes: Number of coordinates d.
        channels: Channels C of a value.
        positions: Positions on each axis, x first.
        count: Number of pixels.
        values: (..., H, W, C), float32.
    """

    def __init__(self, values: ArrayLike) -> None:
        """Keep `values` (..., H, W, C), usually in [0, 1].

        Raises:
            RequestError: There is no axis, no pixel, or a value is not finite.
        """
        self.values = _finite(values, torch.float32, "values")
        if self.values.ndim < 2:
            raise RequestError("values on a grid have shape (..., H, W, C)")
        self.axes = self.values.ndim - 1
        self.channels = self.values.shape[-1]
        self.positions = tuple(self.values.shape[-2::-1])
        self.count = self.values.numel() // self.channels
        self._lines = [axis_coordinates(count) for count in self.positions]

    def draw_points(self, count: int, generator: Generator) -> Batch:
        """Draw `count` pixels with replacement."""
        return self._take([torch.randint(n, (count,), generator=generator) for n in self.positions])

    def draw_crossings(self, count: int, generator: Generator) -> Batch:
        """Draw about `count` pixels: the crossings of few columns with few rows, many times over.

        Each group of 8 columns and 8 rows gives 64 pixels, far apart and hardly correlated, for
        the cost of 16 lines. The lines of all groups together cover each axis evenly: one at
        random in each of as many equal stretches as there are lines. There are at least 2 groups.
        """
        side = max(2, round(64 ** (1 / self.axes)))
        sides = [min(side, n) for n in self.positions]
        groups = max(2, round(count / math.prod(sides)))
        indices = []
        for axis, (lines, n) in enumerate(zip(sides, self.positions, strict=True)):
            total = groups * lines
            jitter = torch.rand(total, generator=generator, dtype=torch.float64)
            order = torch.randperm(total, generator=generator)
            index = ((order + jitter) * (n / total)).long().clamp(max=n - 1)
            shape = [groups, *(1 for _ in sides)]
            shape[self.axes - axis] = lines
            indices.append(index.reshape(shape))
        return self._take(indices)

    def _take(self, indices: list[Tensor]) -> Batch:
        coordinates = tuple(line[index] for line, index in zip(self._lines, indices, strict=True))
        return Batch(coordinates, self.values[tuple(reversed(indices))])

    def points(self, index: Tensor) -> Tensor:
        """Return the coordinates (n, d), x first, of pixels (n,) numbered in the array's order."""
        axes = []
        for line, count in zip(self._lines, self.positions, strict=True):
            axes.append(line[index % count])
            index = index // count
        return torch.stack(axes, dim=1)


Samples = ScatteredSamples | GridSamples
Draw = Callable[[int, Generator], Batch]


def _finite(array: ArrayLike, dtype: torch.dtype, name: str) -> Tensor:
    tensor = torch.as_tensor(np.asarray(array)).to(dtype)
    if tensor.numel() == 0:
        raise RequestError(f"there are no {name}")
    if not bool(torch.isfinite(tensor).all()):
        raise RequestError(f"some {name} are not finite")
    return tensor
