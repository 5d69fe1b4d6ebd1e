"""Mean squared error, PSNR and BD-rate."""

import math

import numpy as np
import pytest

from fieldpack.metrics import _pchip, bd_rate, mean_squared_error, psnr

RATES = [0.05, 0.11, 0.25, 0.49, 0.87, 1.43]
PSNRS = [26.1, 28.5, 31.2, 34.3, 37.4, 40.4]


def test_psnr_of_known_error():
    first = np.zeros((4, 5, 3), np.uint8)
    second = np.full_like(first, 16)
    assert mean_squared_error(first, second) == 256
    assert psnr(first, second, 255) == pytest.approx(20 * math.log10(255 / 16))
    assert psnr(first, first, 255) == math.inf


def test_mean_squared_error_wants_equal_shapes():
    with pytest.raises(ValueError, match="shapes differ"):
        mean_squared_error(np.zeros((2, 3)), np.zeros((3, 2)))


@pytest.mark.parametrize("factor", [0.5, 0.93, 1.0, 1.25, 3.0])
def test_bd_rate_of_a_curve_scaled_in_rate(factor):
    rates = [factor * rate for rate in RATES]
    assert bd_rate(rates, PSNRS, RATES, PSNRS) == pytest.approx(100 * (factor - 1), abs=1e-9)


def test_bd_rate_of_straight_lines():
    # Logarithms of rates 0.2 p against 0.1 p: a difference of 0.1 p, 3.25 on average over 30..35.
    psnrs, anchor_psnrs = np.array([28.0, 31, 32, 35]), np.array([30.0, 33, 40])
    found = bd_rate(np.exp(0.2 * psnrs), psnrs, np.exp(0.1 * anchor_psnrs), anchor_psnrs)
    assert found == pytest.approx(100 * math.expm1(3.25))


def test_bd_rate_does_not_depend_on_the_order_of_points():
    shuffled = [3, 0, 5, 1, 4, 2]
    anchor_rates = [1.2 * rate**1.1 for rate in RATES]
    assert bd_rate(
        [RATES[i] for i in shuffled], [PSNRS[i] for i in shuffled], anchor_rates, PSNRS
    ) == bd_rate(RATES, PSNRS, anchor_rates, PSNRS)


def test_bd_rate_of_swapped_curves_is_the_inverse():
    other = [p + 0.7 * math.sin(p) / 4 for p in PSNRS]
    there, back = bd_rate(RATES, PSNRS, RATES, other), bd_rate(RATES, other, RATES, PSNRS)
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1)


@pytest.mark.parametrize(
    ("rates", "psnrs", "message"),
    [
        ([1, 2], [10, 20], "do not overlap: 10.00 to 20.00 dB and 26.10 to 40.40 dB"),
        ([1, 2], [20, 26.1], "do not overlap"),
        ([1], [30], "at least two"),
        ([1, 2, 3], [30, 31], "as many rates"),
        ([0, 1], [30, 31], "positive"),
        ([1, 2], [30, math.inf], "finite"),
        ([1, 2], [30, 30], "same PSNR"),
    ],
)
def test_bd_rate_refuses(rates, psnrs, message):
    with pytest.raises(ValueError, match=message):
        bd_rate(rates, psnrs, RATES, PSNRS)
    with pytest.raises(ValueError, match=message.split(":")[0]):
        bd_rate(RATES, PSNRS, rates, psnrs)


@pytest.mark.parametrize("points", [2, 3, 4, 9])
@pytest.mark.parametrize("seed", range(5))
def test_interpolation_is_that_of_scipy(points, seed):
    interpolate = pytest.importorskip("scipy.interpolate")
    random = np.random.default_rng(seed)
    x = np.cumsum(random.uniform(0.1, 3, points))
    # Monotone, not monotone, and with level pieces.
    for y in (np.cumsum(random.random(points)), random.normal(size=points),
              random.integers(0, 3, points).astype(float)):  # fmt: skip
        at = np.concatenate([x, random.uniform(x[0], x[-1], 100)])
        expected = interpolate.PchipInterpolator(x, y)(at)
        np.testing.assert_allclose(_pchip(x, y, at), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_bd_rate_is_the_integral_of_scipy(seed):
    interpolate = pytest.importorskip("scipy.interpolate")
    random = np.random.default_rng(seed)
    curves = [
        (np.exp(np.cumsum(random.random(n))), start + np.cumsum(random.uniform(0.5, 3, n)))
        for n, start in [(5, 26), (8, 25)]
    ]
    (rates, psnrs), (anchor_rates, anchor_psnrs) = curves
    low, high = max(psnrs[0], anchor_psnrs[0]), min(psnrs[-1], anchor_psnrs[-1])
    areas = [interpolate.PchipInterpolator(p, np.log(r)).integrate(low, high) for r, p in curves]
    expected = 100 * math.expm1((areas[0] - areas[1]) / (high - low))
    assert bd_rate(rates, psnrs, anchor_rates, anchor_psnrs) == pytest.approx(expected)
