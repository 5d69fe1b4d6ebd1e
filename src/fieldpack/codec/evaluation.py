"""A pyramid as a function of coordinates: its own pixels exactly, cubic interpolation between.

The 3x3 layers of the synthesis know whole pixels only, so that what is between two of them comes
from the pixels. At its pixels' centres the function has their values. To draw an enlarged picture
there is another one, whose means over the pixels are their values: a pixel of a photograph is a
mean, and what is drawn has the same means at any scale (an average-interpolating spline).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from fieldpack import _engine
from fieldpack.codec.model import engine_model
from fieldpack.codec.payload import Pyramid
from fieldpack.interpolation import cubic_taps

_SNAP = 1e-9
_TAPS = 4
# Means over pixels at distance 0, 1 and 2 of the Catmull-Rom kernel: its integrals.
_MEANS = (np.float32(161 / 192), np.float32(3 / 32), np.float32(-5 / 384))
# Each step takes off 5/8 of what is left of the highest frequency, and more of others.
_STEPS = 8
_REACH = 2 * _STEPS  # pixels that a value depends on after so many


class PyramidEvaluator:
    """Evaluates one pyramid; the same bits on every machine and for any number of threads.

    Args:
        pyramid: What to evaluate.
        height: The picture's.
        width: The picture's.
        threads: Threads to use; 0 means one for each core.
    """

    def __init__(self, pyramid: Pyramid, height: int, width: int, threads: int = 0) -> None:
        self._pyramid = pyramid
        self._height = height
        self._width = width
        self._threads = threads
        self._pixels: NDArray[np.float32] | None = None
        self._pitch = (0.0, 0.0)

    def enlarging(self, pitch: tuple[float, float]) -> PyramidEvaluator:
        """Return one whose `grid` has means over pixels of that pitch; 0 leaves an axis as it is.

        Those of the function whose means over the picture's own pixels are their values.
        """
        other = copy(self)
        other._pitch = pitch
        return other

    def _draw(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
        """Values at the pixel centres of some rows and columns, (rows, columns, C)."""
        pyramid = self._pyramid
        if pyramid.shape is None:
            assert pyramid.colour is not None
            size = (bottom - top, right - left, len(pyramid.colour))
            return np.broadcast_to(pyramid.colour, size)
        return _engine.synthesise(
            engine_model(pyramid.shape),
            pyramid.parameters,
            self._height,
            self._width,
            pyramid.latents,
            (top, bottom, left, right),
            self._threads,
        )

    def points(self, coordinates: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values (n, C) at coordinates (n, 2) in [-1, 1], x first."""
        columns, x = _taps(coordinates[:, 0], self._width)
        rows, y = _taps(coordinates[:, 1], self._height)
        if self._pixels is None:
            self._pixels = self._draw(0, self._height, 0, self._width)
        pixels = self._pixels
        total = np.zeros((len(coordinates), pixels.shape[2]), np.float32)
        for i in range(4):
            line = np.zeros_like(total)
            for j in range(4):
                line += x[j, :, np.newaxis] * pixels[rows[i], columns[j]]
            total += y[i, :, np.newaxis] * line
        return total

    def grid(self, coordinates: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
        """Values (n_y, n_x, C) at all combinations of the axes' coordinates, x first."""
        columns, x = _mean_taps(coordinates[0], self._width, self._pitch[0])
        rows, y = _mean_taps(coordinates[1], self._height, self._pitch[1])
        if (
            len(x) == len(y) == _TAPS
            and _whole(x)
            and _whole(y)
            and _consecutive(rows[1])
            and _consecutive(columns[1])
        ):
            return self._draw(
                int(rows[1, 0]), int(rows[1, -1]) + 1, int(columns[1, 0]), int(columns[1, -1]) + 1
            )
        across, down = (_REACH if pitch else 0 for pitch in self._pitch)
        top, left = max(int(rows.min()) - down, 0), max(int(columns.min()) - across, 0)
        bottom = min(int(rows.max()) + 1 + down, self._height)
        right = min(int(columns.max()) + 1 + across, self._width)
        pixels = self._draw(top, bottom, left, right)
        if across:
            pixels = _sharpened(pixels.transpose(1, 0, 2)).transpose(1, 0, 2)
        if down:
            pixels = _sharpened(pixels)
        lines = np.zeros((len(pixels), columns.shape[1], pixels.shape[2]), np.float32)
        for j in range(len(x)):
            lines += x[j, :, np.newaxis] * pixels[:, columns[j] - left]
        values = np.zeros((rows.shape[1], *lines.shape[1:]), np.float32)
        for i in range(len(y)):
            values += y[i, :, np.newaxis, np.newaxis] * lines[rows[i] - top]
        return values


def _sharpened(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values (n, ...) between which the kernel's interpolation has these means over each pixel.

    By Van Cittert's iteration, in a fixed order: the same bits everywhere.
    """
    n = len(means)
    ends = [np.clip(np.arange(n) + offset, 0, n - 1) for offset in (-2, -1, 1, 2)]
    values = means
    for _ in range(_STEPS):
        second, first, next_, last = (values[end] for end in ends)
        found = _MEANS[0] * values + _MEANS[1] * (first + next_) + _MEANS[2] * (second + last)
        values = values + (means - found)
    return values


def _mean_taps(
    coordinates: NDArray[np.float64], length: int, pitch: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """As `_taps`, but of the mean of two points in each pixel of that pitch, unless it is 0."""
    if not pitch:
        return _taps(coordinates, length)
    halves = [_taps(coordinates + offset, length) for offset in (-pitch / 4, pitch / 4)]
    pixels = np.concatenate([pixels for pixels, _ in halves])
    return pixels, np.concatenate([weights for _, weights in halves]) * np.float32(0.5)


def _taps(
    coordinates: NDArray[np.float64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the four pixels (4, n) around each coordinate and their Catmull-Rom weights."""
    positions = np.clip(coordinates, -2.0, 2.0) * (length / 2) + (length - 1) / 2
    nearest = np.rint(positions)
    positions = np.where(np.abs(positions - nearest) < _SNAP * length, nearest, positions)
    return cubic_taps(positions, length)


def _consecutive(pixels: NDArray[np.int64]) -> bool:
    return bool((np.diff(pixels) == 1).all())


def _whole(weights: NDArray[np.float32]) -> bool:
    return bool((weights[1] == 1).all())
