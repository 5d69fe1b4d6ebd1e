"""Measures of distortion."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 11
"""Pixels a side of the windows that `ms_ssim` compares."""

# Wang, Simoncelli and Bovik's, see `ms_ssim`.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = 0.01**2, 0.03**2


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


def ms_ssim(first: NDArray[np.generic], second: NDArray[np.generic], peak: float) -> float:
    """Return the multi-scale structural similarity of two pictures; 1 if they are equal, else less.

    The mean over the channels; windows lie inside the picture. Z. Wang, E. P. Simoncelli,
    A. C. Bovik, "Multiscale structural similarity for image quality assessment", Asilomar
    Conference on Signals, Systems and Computers, 2003. Pictures that are too small for five scales
    have fewer, the exponents of which are enlarged so that their sum stays.

    Args:
        first: (H, W) or (H, W, C), both sides at least 11.
        second: Samples of the same shape.
        peak: Largest possible sample (255 for 8 bits), or the range of floating-point samples.

    Raises:
        ValueError: The shapes differ, or there is no room for a window.
    """
    if first.shape != second.shape:
        raise ValueError(f"shapes differ: {first.shape} and {second.shape}")
    if first.ndim not in (2, 3) or min(first.shape[:2]) < WINDOW:
        raise ValueError(f"both sides must be at least {WINDOW}, not {first.shape}")
    channels = [
        _channel_ms_ssim(x.astype(np.float64) / peak, y.astype(np.float64) / peak)
        for x, y in zip(_channels(first), _channels(second), strict=True)
    ]
    return float(np.mean(channels))


def _channels(samples: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    return [samples] if samples.ndim == 2 else [samples[:, :, c] for c in range(samples.shape[2])]


def _channel_ms_ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    exponents, product = [], []
    for exponent in _EXPONENTS:
        is_last = exponent == _EXPONENTS[-1] or min(x.shape) // 2 < WINDOW
        structure, luminance = _similarities(x, y)
        similarity = float((structure * luminance if is_last else structure).mean())
        exponents.append(exponent)
        product.append(max(similarity, 0.0))
        if is_last:
            break
        x, y = _halved(x), _halved(y)
    share = np.array(exponents) * sum(_EXPONENTS) / sum(exponents)
    return float(np.prod(np.array(product) ** share))


def _similarities(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of contrast and structure, and of the means, in each window."""
    mean_x, mean_y = _windowed(x), _windowed(y)
    variances = _windowed(x * x) - mean_x**2 + _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    structure = (2 * covariance + _C2) / (variances + _C2)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return structure, luminance


def _windowed(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    taps = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / 1.5) ** 2)
    taps /= taps.sum()
    for _ in range(2):
        inside = plane.shape[0] - WINDOW + 1
        out = np.zeros((inside, plane.shape[1]))
        for i, tap in enumerate(taps):
            out += tap * plane[i : i + inside]
        plane = out.T
    return plane


def _halved(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (n // 2 * 2 for n in plane.shape)
    even = plane[:height, :width]
    halved: NDArray[np.float64] = even.reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    return halved


def bd_rate(
    rates: ArrayLike, psnrs: ArrayLike, anchor_rates: ArrayLike, anchor_psnrs: ArrayLike
) -> float:
    """Return the Bjontegaard delta rate of a codec against an anchor; negative means fewer bits.

    The mean difference of the logarithms of the two rates over the PSNR that both curves cover
    (G. Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001),
    with monotone piecewise cubic interpolation (PCHIP) instead of one cubic.

    Args:
        rates: (n,) bits, bytes or bits a pixel, n >= 2, in any order.
        psnrs: (n,) dB, all different.
        anchor_rates: (m,) in the unit of `rates`.
        anchor_psnrs: (m,) dB.

    Returns:
        Percent of the anchor's rate.

    Raises:
        ValueError: A curve is not one, or the two have no PSNR in common.
    """
    x, y = _curve(rates, psnrs)
    anchor_x, anchor_y = _curve(anchor_rates, anchor_psnrs)
    low, high = max(x[0], anchor_x[0]), min(x[-1], anchor_x[-1])
    if not low < high:
        raise ValueError(
            f"the curves do not overlap: {x[0]:.2f} to {x[-1]:.2f} dB "
            f"and {anchor_x[0]:.2f} to {anchor_x[-1]:.2f} dB"
        )
    knots = np.unique(np.clip(np.concatenate([x, anchor_x]), low, high))
    width = np.diff(knots)
    middles = knots[:-1] + width / 2
    ends = _pchip(x, y, knots) - _pchip(anchor_x, anchor_y, knots)
    centres = _pchip(x, y, middles) - _pchip(anchor_x, anchor_y, middles)
    # Simpson's rule is exact: between two knots both curves are cubic.
    area = (width * (ends[:-1] + 4 * centres + ends[1:])).sum() / 6
    return 100 * math.expm1(area / (high - low))


def _curve(rates: ArrayLike, psnrs: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the PSNRs of a rate-distortion curve, rising, and the logarithms of its rates."""
    y, x = np.asarray(rates, np.float64), np.asarray(psnrs, np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError("a curve has as many rates as PSNRs, and at least two")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (y > 0).all()):
        raise ValueError("the rates and PSNRs of a curve are finite, and its rates positive")
    order = np.argsort(x)
    x, y = x[order], np.log(y[order])
    if not (np.diff(x) > 0).all():
        raise ValueError("two points of a curve have the same PSNR")
    return x, y


def _pchip(
    x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate (n,) points with rising x by a piecewise cubic that never overshoots.

    F. N. Fritsch, J. Butland, "A method for constructing local monotone piecewise cubic
    interpolants", SIAM J. Sci. Stat. Comput. 5(2), 1984; ends as in SciPy's PchipInterpolator.
    """
    h = np.diff(x)
    slope = np.diff(y) / h
    if len(x) == 2:
        line: NDArray[np.float64] = y[0] + slope[0] * (at - x[0])
        return line
    derivative = np.zeros_like(y)
    for i in range(1, len(x) - 1):
        before, after = slope[i - 1], slope[i]
        if before * after > 0:
            a, b = 2 * h[i] + h[i - 1], h[i] + 2 * h[i - 1]
            derivative[i] = (a + b) / (a / before + b / after)
    derivative[0] = _end_derivative(h[0], h[1], slope[0], slope[1])
    derivative[-1] = _end_derivative(h[-1], h[-2], slope[-1], slope[-2])
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(h) - 1)
    t, h, d = (at - x[piece]) / h[piece], h[piece], slope[piece]
    left, right = derivative[piece] - d, derivative[piece + 1] - d
    straight = y[piece] + t * h * d
    values: NDArray[np.float64] = straight + h * t * (1 - t) * ((1 - t) * left - t * right)
    return values


def _end_derivative(h: float, next_h: float, slope: float, next_slope: float) -> float:
    """Return the derivative at an end from three points, limited to keep the shape."""
    derivative = ((2 * h + next_h) * slope - h * next_slope) / (h + next_h)
    if derivative * slope <= 0:
        return 0.0
    if slope * next_slope <= 0 and abs(derivative) > 3 * abs(slope):
        return 3 * slope
    return derivative
