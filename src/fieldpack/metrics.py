"""Measures of distortion."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def mean_squared_error(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    """Return the mean squared difference of two arrays of the same shape.

    Raises:
        ValueError: The shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"shapes differ: {first.shape} and {second.shape}")
    total = 0.0
    # Row by row: float64 copies of whole pictures would take eight times their memory.
    for row_a, row_b in zip(np.atleast_1d(first), np.atleast_1d(second), strict=True):
        total += float(np.square(row_a.astype(np.float64) - row_b.astype(np.float64)).sum())
    return total / first.size


def psnr(first: NDArray[np.generic], second: NDArray[np.generic], peak: float) -> float:
    """Return the peak signal-to-noise ratio in dB over all samples; infinite if equal.

    Args:
        first: Samples of any shape.
        second: Samples of the same shape.
        peak: Largest possible sample (255 for 8 bits), or the range of floating-point samples.
    """
    error = mean_squared_error(first, second)
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf
