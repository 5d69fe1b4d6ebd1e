"""Cubic convolution between samples: Keys, 1981, with the Catmull-Rom kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cubic_taps(
    positions: NDArray[np.float64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the four samples around each position, and their weights.

    Args:
        positions: (n,), in samples: 0 is the first one's centre.
        length: How many samples there are; beyond the ends, the outermost count.

    Returns:
        Indices (4, n) and weights (4, n): the same bits on every machine.
    """
    start = np.floor(positions)
    t = (positions - start).astype(np.float32)
    samples = start.astype(np.int64) + np.arange(-1, 3)[:, np.newaxis]
    half = np.float32(0.5)
    weights = np.stack(
        [
            half * (((2 - t) * t - 1) * t),
            half * ((3 * t - 5) * t * t + 2),
            half * (((4 - 3 * t) * t + 1) * t),
            half * ((t - 1) * t * t),
        ]
    )
    return np.clip(samples, 0, length - 1), weights
