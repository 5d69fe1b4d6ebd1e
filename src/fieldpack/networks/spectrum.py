"""How fast samples vary: the scale of frequencies that a network for them needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fieldpack.networks.samples import GridSamples, Samples

_MOST_SAMPLES = 1 << 17
_QUERIES = 1 << 8
_MOST_VALUES = 1 << 22
_LARGEST = 1e6


def typical_frequency(samples: Samples, positions: Sequence[int]) -> float:
    """Return a frequency in radians by the unit of coordinates of the longest axis.

    It is that of the pure wave whose neighbouring samples would be as alike as those of the signal
    are: cos(frequency · distance) is the correlation of neighbours. The fastest axis counts; noise
    gives about a quarter of a wave between samples, constant samples 1.

    Args:
        samples: The signal.
        positions: Positions on each axis, x first.
    """
    if isinstance(samples, GridSamples):
        found = _of_grid(samples.values.numpy(), max(positions))
    else:
        extents = np.array(positions) / max(positions)
        found = _of_points(samples.coordinates.numpy() * extents, samples.values.numpy())
    return min(max(found, 1.0), _LARGEST)


def _of_grid(values: NDArray[np.float32], positions: int) -> float:
    spacing = 2 / positions
    waves = [0.0]
    for axis, count in enumerate(values.shape[:-1]):
        lines = _some_lines(values, axis)
        variance = _variance(lines)
        if count > 1 and variance > 0:
            square = np.mean(np.square(np.diff(lines, axis=axis), dtype=np.float64))
            waves.append(_phase(float(square), variance) / spacing)
    return max(waves)


def _some_lines(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Thin out a large signal along all axes but one, whose neighbours stay."""
    others = values.ndim - 2
    if values.size <= _MOST_VALUES or not others:
        return values
    step = math.ceil((values.size / _MOST_VALUES) ** (1 / others))
    steps = [1 if other == axis else step for other in range(values.ndim - 1)]
    return values[tuple(slice(None, None, step) for step in steps)]


def _of_points(coordinates: NDArray[np.float64], values: NDArray[np.float32]) -> float:
    # Thinned out evenly: the nearest neighbours of all of a million points would take too long.
    chosen = np.linspace(0, len(values) - 1, min(len(values), _MOST_SAMPLES)).astype(int)
    points, shown = coordinates[chosen], values[chosen]
    variance = _variance(shown)
    if variance == 0 or len(points) < 2:
        return 0.0
    queries = np.linspace(0, len(points) - 1, min(len(points), _QUERIES)).astype(int)
    waves = []
    for query in queries:
        distance = np.square(points - points[query]).sum(axis=1)
        distance[distance == 0] = np.inf
        nearest = int(distance.argmin())
        if math.isfinite(distance[nearest]):
            square = float(np.mean(np.square(shown[nearest] - shown[query], dtype=np.float64)))
            waves.append((square, math.sqrt(distance[nearest])))
    if not waves:
        return 0.0
    square, spacing = np.mean(waves, axis=0)
    return _phase(float(square), variance) / float(spacing)


def _variance(values: NDArray[np.float32]) -> float:
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    return float(np.mean(np.var(flat, axis=0)))


def _phase(square: float, variance: float) -> float:
    """Radians between neighbours whose mean squared difference is `square`."""
    return math.acos(min(max(1 - square / (2 * variance), -1.0), 1.0))
