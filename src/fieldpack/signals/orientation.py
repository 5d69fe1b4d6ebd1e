"""The eight orientations of the EXIF and TIFF standards."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION_TAG = 0x0112


def orientation_of(image: Image.Image) -> int:
    """Return a loaded image's orientation, 1 (upright) where it has none or its EXIF is broken."""
    with contextlib.suppress(Exception):
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    return 1


def upright(samples: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn samples (H, W, C) of an EXIF orientation 1..8 upright; other values mean 1."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)
