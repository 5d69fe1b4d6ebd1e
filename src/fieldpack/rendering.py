"""A field on a grid of pixels: any size, any part, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldpack.content import FieldEvaluator
from fieldpack.errors import RequestError
from fieldpack.signals.description import MAX_PIXELS, PictureDescription, to_units

_BAND_POINTS = 1 << 20

Region = tuple[int, int, int, int]
Size = tuple[int, int]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class View:
    """The part of a picture to draw and the size to draw it at.

    Attributes:
        region: (x, y, width, height) in the picture's own pixels.
        size: (width, height) of the result in pixels.
    """

    region: Region
    size: Size

    @classmethod
    def of(
        cls,
        width: int,
        height: int,
        scale: float | None = None,
        size: Size | None = None,
        region: Region | None = None,
    ) -> View:
        """Work out a view of a picture of `width` x `height` pixels.

        Args:
            width: The picture's.
            height: The picture's.
            scale: Size of the result relative to the region, rounded, at least one pixel.
            size: The result's (width, height) instead.
            region: The part to draw; None for everything.

        Raises:
            RequestError: The region is not inside the picture, the result has no pixels or more
                than 2^29, or scale and size are both given.
        """
        x, y, w, h = region = region or (0, 0, width, height)
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise RequestError(
                f"the region {x},{y},{w},{h} is not inside the picture of {width}x{height} pixels"
            )
        if scale is not None and size is not None:
            raise RequestError("give a scale or a size, not both")
        if scale is not None:
            if not (math.isfinite(scale) and scale > 0):
                raise RequestError(f"the scale must be a positive number, not {scale}")
            size = (max(1, round(w * scale)), max(1, round(h * scale)))
        size = size or (w, h)
        if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
            raise RequestError(
                f"a picture of {size[0]}x{size[1]} pixels cannot be drawn "
                f"(1 to {MAX_PIXELS} pixels are possible)"
            )
        return cls(region, size)

    def coordinates(self, axis: int, length: int, oversampling: int) -> NDArray[np.float64]:
        """Return the coordinates of the result's pixel centres along an axis.

        Args:
            axis: 0 for x, 1 for y.
            length: Pixels of the whole picture along the axis.
            oversampling: Points per pixel, evenly spread over it.
        """
        start, extent = self.region[axis], self.region[axis + 2]
        count = self.size[axis] * oversampling
        pixels = start + (np.arange(count, dtype=np.float64) + 0.5) * (extent / count)
        coordinates: NDArray[np.float64] = pixels * (2.0 / length) - 1.0
        return coordinates

    def oversampling(self, axis: int, density: float) -> int:
        """Return how many points to average per pixel along an axis: more than one to shrink.

        Args:
            axis: 0 for x, 1 for y.
            density: Of what the field resolves, in points for each of the picture's own pixels.
        """
        # A preview's density is rounded up; that alone must not double the work.
        return max(1, math.ceil(self.region[axis + 2] * density / self.size[axis] - 1e-6))

    def enlarged_pitch(self, axis: int, length: int, density: float) -> float:
        """Return the pitch of the result's pixels in coordinates, or 0 if it is not enlarged.

        Args:
            axis: 0 for x, 1 for y.
            length: Pixels of the whole picture along the axis.
            density: Of what the field resolves, in points for each of the picture's own pixels.
        """
        if self.size[axis] <= self.region[axis + 2] * density + 1e-6:
            return 0.0
        return self.region[axis + 2] / self.size[axis] * (2.0 / length)


def draw(
    evaluator: FieldEvaluator,
    description: PictureDescription,
    view: View,
    progress: Progress | None = None,
    resolution: Sequence[int] | None = None,
) -> NDArray[np.generic]:
    """Evaluate a picture's field on a view's pixels, averaging over each pixel when shrinking.

    Args:
        evaluator: The field.
        description: The picture's.
        view: What to draw.
        progress: Told the part done, 0 to 1, now and then.
        resolution: (rows, columns) of the field's own grid; the picture's size when None.

    Returns:
        Samples (H, W, C) of the description's sample type, rounded and clipped.
    """
    rows, columns = resolution or (description.height, description.width)
    densities = columns / description.width, rows / description.height
    across, down = (view.oversampling(axis, density) for axis, density in enumerate(densities))
    pitch = (
        view.enlarged_pitch(0, description.width, densities[0]),
        view.enlarged_pitch(1, description.height, densities[1]),
    )
    if any(pitch):
        evaluator = evaluator.enlarging(pitch)
    xs = view.coordinates(0, description.width, across)
    ys = view.coordinates(1, description.height, down)
    width, height = view.size
    band = max(1, _BAND_POINTS // (len(xs) * down))
    samples = np.empty((height, width, description.channels), _dtype(description.bit_depth))
    for top in range(0, height, band):
        bottom = min(top + band, height)
        values = evaluator.grid((xs, ys[top * down : bottom * down]))
        mean = _average(values, across, down)
        samples[top:bottom] = to_samples(mean, description)
        if progress is not None:
            progress(bottom / height)
    return samples


def to_samples(values: NDArray[np.float32], description: PictureDescription) -> NDArray[np.generic]:
    """Turn network values (..., C) into a picture's samples, rounded and clipped."""
    scaled = to_units(values, description.units)
    if description.bit_depth == 32:
        return np.nan_to_num(scaled, copy=False)
    peak = np.float32((1 << description.bit_depth) - 1)
    scaled += np.float32(0.5)
    np.floor(scaled, out=scaled)
    # fmax also turns a NaN of a damaged network into 0.
    np.fmax(scaled, np.float32(0), out=scaled)
    np.fmin(scaled, peak, out=scaled)
    samples: NDArray[np.generic] = scaled.astype(_dtype(description.bit_depth))
    return samples


def _average(values: NDArray[np.float32], across: int, down: int) -> NDArray[np.float32]:
    """Average blocks of `down` x `across` points, in a fixed order: the same bits everywhere."""
    if across == 1 and down == 1:
        return values
    total = values[::down, ::across].copy()
    for i in range(down):
        for j in range(across):
            if i or j:
                total += values[i::down, j::across]
    return total / np.float32(across * down)


def _dtype(bit_depth: int) -> np.dtype[np.generic]:
    return np.dtype({1: "u1", 8: "u1", 16: "u2", 32: "f4"}[bit_depth])
