"""Long work on a large picture, part by part: in bounded memory, and Ctrl-C is heard in between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CORE = 784  # pixels a side, a multiple of the cells of 16 that views and the network have

FloatArray = NDArray[np.float32]


def in_parts(
    work: Callable[[FloatArray, NDArray[np.generic]], FloatArray],
    image: FloatArray,
    mask: NDArray[np.generic],
    margin: int,
) -> FloatArray:
    """Return what `work` makes of a picture and its mask, without any seam.

    Args:
        work: Called with parts of both; returns an array of the size of its first argument.
        image: (H, W) or (H, W, C).
        mask: (H, W).
        margin: How far a result depends on what is around it, or more. If that matters to `work`,
            parts begin at multiples of `CORE` less this.
    """
    height, width = mask.shape
    if max(height, width) <= CORE:
        return work(np.ascontiguousarray(image), np.ascontiguousarray(mask))
    out = np.empty_like(image)
    for y in range(0, height, CORE):
        for x in range(0, width, CORE):
            top, left = max(y - margin, 0), max(x - margin, 0)
            part = np.s_[top : y + CORE + margin, left : x + CORE + margin]
            result = work(np.ascontiguousarray(image[part]), np.ascontiguousarray(mask[part]))
            inner = result[y - top : y - top + CORE, x - left : x - left + CORE]
            out[y : y + CORE, x : x + CORE] = inner
    return out
