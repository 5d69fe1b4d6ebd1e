"""How noisy samples are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fieldpack.errors import RequestError

_FEWEST = 100
# Of a normal distribution: the median of its absolute value, by its standard deviation.
_MEDIAN = 0.6744897501960817


def estimate_noise(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Return the standard deviation of white noise, the mean over channels.

    The difference of two Laplacians, which hardly sees the picture (Immerkær, "Fast noise variance
    estimation", 1996), measured by its median, which few edges do not move (Donoho and Johnstone,
    1994). Fine texture still counts as noise.

    Args:
        image: (H, W, C).
        mask: (H, W), true where known.

    Raises:
        RequestError: Too few places have all of their neighbours known.
    """
    if min(mask.shape) >= 3:
        whole = _sum_of_three(_sum_of_three(mask.astype(np.int32)).T).T == 9
        if np.count_nonzero(whole) >= _FEWEST:
            rows = _second_difference(image)
            both = _second_difference(rows.swapaxes(0, 1)).swapaxes(0, 1)
            size = np.median(np.abs(both[whole]), axis=0)
            return float(size.mean() / (6 * _MEDIAN))
    raise RequestError(
        "too few known pixels have only known neighbours to estimate the noise from: "
        "tell its standard deviation"
    )


def _second_difference(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x[:-2] - 2 * x[1:-1] + x[2:]


def _sum_of_three(x: NDArray[np.int32]) -> NDArray[np.int32]:
    return x[:-2] + x[1:-1] + x[2:]
