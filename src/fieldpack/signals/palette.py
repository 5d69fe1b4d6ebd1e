"""Colours back to the entries of a palette."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 14


def nearest_entries(samples: NDArray[Any], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W) the index of the palette entry nearest to each pixel, the first of equals.

    Args:
        samples: (H, W, C) uint8, C = 3 or 4.
        palette: (n, C) uint8, n from 1 to 256.
    """
    pixels = samples.reshape(-1, palette.shape[1])
    indices = np.empty(len(pixels), dtype=np.uint8)
    entries = palette.astype(np.float32)  # the squares and products below are exact in float32
    squares = (entries**2).sum(axis=1)
    weights = (1 << 8 * np.arange(palette.shape[1])).astype(np.uint32)
    for start in range(0, len(pixels), _BLOCK):
        block = pixels[start : start + _BLOCK].astype(np.uint32)
        _, first, place = np.unique(block @ weights, return_index=True, return_inverse=True)
        distances = squares - 2 * (block[first].astype(np.float32) @ entries.T)
        indices[start : start + _BLOCK] = distances.argmin(axis=1)[place]
    return indices.reshape(samples.shape[:2])
