"""A signal made ready for training: what to learn from, and what the file says about it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from fieldpack.errors import RequestError
from fieldpack.field import network_file
from fieldpack.program import Evaluator, Program, QuantizedTensor
from fieldpack.signals import Picture, picture_from, read_picture
from fieldpack.signals.description import (
    MAX_AXES,
    Description,
    PictureDescription,
    SamplesDescription,
    from_units,
    value_ranges,
)

if TYPE_CHECKING:
    from fieldpack.networks import Samples

Source = str | os.PathLike[str] | Picture | NDArray[np.generic] | Image.Image

_PROBE_POINTS = 1 << 14


@dataclass(frozen=True, eq=False)
class Task:
    """A signal ready for training.

    Attributes:
        description: What the file says about it.
        samples: Where training points come from.
        picture: The picture, or None for other signals.
        coordinates: (n, d) in [-1, 1] of scattered samples, else None.
        targets: Values in [0, 1]: (H, W, C) of a picture, (n, C) of scattered samples,
            (n_last, ..., n_0, C) of a grid.
    """

    description: Description
    samples: Samples
    picture: Picture | None
    coordinates: NDArray[np.float64] | None
    targets: NDArray[np.float32]

    def file(self, program: Program, tensors: list[QuantizedTensor]) -> bytes:
        """Return the bytes of the file."""
        if self.picture is None:
            return network_file(self.description, program, tensors)
        return network_file(
            self.description,
            program,
            tensors,
            palette=self.picture.palette,
            icc_profile=self.picture.icc_profile,
        )

    def probe(
        self, seed: int
    ) -> tuple[Callable[[Evaluator], NDArray[np.float32]], NDArray[np.float32]]:
        """Return how to evaluate a field at some of the samples, and the targets there."""
        generator = np.random.default_rng(seed)
        if self.coordinates is not None:
            count = min(_PROBE_POINTS, len(self.coordinates))
            chosen = generator.choice(len(self.coordinates), count, replace=False)
            points = self.coordinates[chosen]
            return lambda evaluator: evaluator.points(points), self.targets[chosen]
        if self.picture is None:
            values = self.targets.reshape(-1, self.targets.shape[-1])
            chosen = generator.choice(len(values), min(_PROBE_POINTS, len(values)), replace=False)
            points = _grid_points(chosen, self.description.positions)
            return lambda evaluator: evaluator.points(points), values[chosen]
        height, width = self.targets.shape[:2]
        # Crossings of random rows and columns: cheaper than as many scattered pixels.
        side = math.isqrt(_PROBE_POINTS)
        rows = min(height, max(side, _PROBE_POINTS // width))
        columns = min(width, _PROBE_POINTS // rows)
        y = np.sort(generator.choice(height, rows, replace=False))
        x = np.sort(generator.choice(width, columns, replace=False))
        axes = ((2.0 * x + 1.0) / width - 1.0, (2.0 * y + 1.0) / height - 1.0)
        return lambda evaluator: evaluator.grid(axes), self.targets[np.ix_(y, x)]


def picture_task(signal: Any) -> Task:
    """Prepare a picture.

    Raises:
        SignalError: It cannot be read or represented.
    """
    from fieldpack.networks import GridSamples  # noqa: PLC0415 - needs torch

    if isinstance(signal, str | os.PathLike):
        picture = read_picture(signal)
    elif isinstance(signal, Picture):
        picture = signal
    else:
        picture = picture_from(signal)
    description = PictureDescription.of(picture)
    targets = from_units(picture.samples, description.units)
    return Task(description, GridSamples(targets), picture, None, targets)


def samples_task(
    coordinates: ArrayLike, values: ArrayLike, resolution: tuple[int, ...] | None
) -> Task:
    """Prepare scattered samples: coordinates (n, d) or (n,), values (n, C) or (n,).

    Args:
        coordinates: In any units, x first.
        values: In any units.
        resolution: Samples along each axis, x first; None to estimate them.

    Raises:
        RequestError: Shapes disagree, or numbers are not finite or too large.
    """
    from fieldpack.networks import ScatteredSamples  # noqa: PLC0415 - needs torch

    points = _numbers(coordinates, "coordinates")
    targets = _numbers(values, "values")
    if points.ndim == 1:
        points = points[:, np.newaxis]
    if targets.ndim == 1:
        targets = targets[:, np.newaxis]
    if points.ndim != 2 or targets.ndim != 2 or len(points) != len(targets):
        raise RequestError(
            "coordinates have shape (n, d) and values (n, C) or (n,), "
            f"not {points.shape} and {targets.shape}"
        )
    if points.shape[1] < 1:
        raise RequestError("there are no samples to fit")
    _check_values(targets)
    description = SamplesDescription(
        positions=_resolution(points, resolution),
        domain=tuple(_domain(axis) for axis in points.T),
        ranges=value_ranges(targets),
    )
    low, high = np.array(description.domain).T
    normalised = (points - low) * (2.0 / (high - low)) - 1.0
    scaled = from_units(targets, description.units)
    return Task(description, ScatteredSamples(normalised, scaled), None, normalised, scaled)


def grid_task(values: ArrayLike) -> Task:
    """Prepare samples on a regular grid, (n_last, ..., n_0, C) with the channels last.

    Raises:
        RequestError: There is no axis or no sample, or numbers are not finite or too large.
    """
    from fieldpack.networks import GridSamples  # noqa: PLC0415 - needs torch

    targets = _numbers(values, "values")
    if not 2 <= targets.ndim <= MAX_AXES + 1:
        raise RequestError(
            f"values on a grid have 1 to {MAX_AXES} axes and the channels last, "
            f"not shape {targets.shape}"
        )
    _check_values(targets)
    positions = targets.shape[-2::-1]
    description = SamplesDescription(
        positions=positions,
        domain=((-1.0, 1.0),) * len(positions),
        ranges=value_ranges(targets.reshape(-1, targets.shape[-1])),
    )
    scaled = from_units(targets, description.units)
    return Task(description, GridSamples(scaled), None, None, scaled)


def _check_values(values: NDArray[np.float64]) -> None:
    if min(values.shape) < 1:
        raise RequestError("there are no samples to fit")
    if np.abs(values).max() > np.finfo(np.float32).max / 4:
        raise RequestError("some values are too large for float32")


def _grid_points(index: NDArray[np.int64], positions: tuple[int, ...]) -> NDArray[np.float64]:
    """Coordinates (n, d) of samples of a grid, numbered in the array's order."""
    axes = np.unravel_index(index, positions[::-1])[::-1]
    centres = [(2.0 * at + 1.0) / n - 1.0 for at, n in zip(axes, positions, strict=True)]
    return np.stack(centres, axis=1)


def _numbers(array: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        raise RequestError(f"the {name} are not an array of numbers") from None
    if not np.isfinite(numbers).all():
        raise RequestError(f"some {name} are not finite (NaN or infinity)")
    return numbers


def _domain(axis: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(axis.min()), float(axis.max())
    if not math.isfinite(high - low):
        raise RequestError("the coordinates are too far apart")
    # Samples that all lie at one coordinate still need an axis of some length.
    margin = 0.0 if high > low else max(1.0, abs(low) * 2.0**-20)
    return low - margin, high + margin


def _resolution(points: NDArray[np.float64], resolution: tuple[int, ...] | None) -> tuple[int, ...]:
    axes = points.shape[1]
    if resolution is not None:
        if len(resolution) != axes or min(resolution) < 1:
            raise RequestError(f"the resolution has {axes} positive numbers, one an axis")
        return tuple(int(n) for n in resolution)
    # Samples on a grid tell their resolution; the spacing of others is that of an even spread.
    spread = math.ceil(len(points) ** (1 / axes))
    distinct = [len(np.unique(axis)) for axis in points.T]
    on_grid = math.prod(distinct) <= 4 * len(points)
    return tuple(distinct) if on_grid else tuple(min(spread, n) for n in distinct)
