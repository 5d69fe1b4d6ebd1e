"""Moves lambda during a fit, so that the file comes to a wanted size or quality.

What the noisy latents cost now tells, to some percent, what the rounded ones will cost in the end.
"""

from __future__ import annotations

import math

import numpy as np

from fieldpack.codec.goal import FOUND_BITS, LEAST_LAMBDA, MOST_LAMBDA, Goal, Table, found

# By how much ln(bytes), or -ln(distortion), falls for 1 more of ln(lambda).
_ELASTICITY = 0.5
# Bits of the first latents, as ratios of what fits of the fewest passes end with, by the lambda
# that the networks were made for; those of a flat start (of which there are three), then those of
# a pyramid. Measured by prior/calibrate.py; hardly a photograph starts flat at 1e-3, where the
# value is an older one, of chosen pictures, and none does behind it.
_NETWORKS_LAMBDAS = (1e-4, 3e-4, 1e-3, 4e-3, 1.5e-2)
FIRST_BITS_PASSES = 20
_FIRST_FLAT_BITS = (0.96, 1.23, 1.74, 1.74, 1.74)
_FIRST_BITS = (0.62, 0.79, 1.09, 1.36, 1.24)
# Before this part of the fit, bits and distortion still say little about the end.
_FIRST_PROGRESS = 0.25
# The part of the fit in which an error is made up for, and the least number of passes.
_REACTION, _REACTION_PASSES = 0.1, 3
_LARGEST_CHANGE = 0.7  # of ln(lambda) at once
_LEAST_RESPONSE = 0.2
_FARTHEST = 6.0  # from the first lambda during the fit, as a ratio
# What a pass says now, as a ratio of what the end says: a row for each part of the fit that is
# over, a column for each lambda. Measured by prior/calibrate.py.
PROGRESS = (0.3, 0.5, 0.7, 0.85, 1.0)
LAMBDAS = (2e-4, 1e-3, 2.2e-3, 3e-3, 3e-2)
_BITS = (
    (1.263, 1.408, 1.363, 1.436, 1.982),
    (1.073, 1.126, 1.118, 1.144, 1.301),
    (0.992, 0.999, 0.992, 0.996, 1.022),
    (0.983, 0.973, 0.969, 0.969, 0.979),
    (0.982, 0.977, 0.974, 0.973, 0.969),
)
_DISTORTIONS = (
    (1.620, 1.228, 1.145, 1.084, 0.983),
    (1.043, 1.020, 1.010, 0.991, 0.967),
    (0.943, 0.950, 0.958, 0.954, 0.965),
    (0.956, 0.957, 0.961, 0.963, 0.977),
    (0.968, 0.975, 0.978, 0.980, 0.990),
)
# The networks' quantisation still adds something.
LEFT_FOR_QUANTISATION = 0.015
_CAUTION = 0.04  # of the excess, where what was left could not, or hardly, be made up for
_LARGEST_CORRECTION = 2.0  # of ln(lambda) from one fit to the next


class RateControl:
    """Moves lambda during a fit.

    Args:
        goal: What to come to.
        lambda_: The first.
        is_guess: Whether that is theory's, which the first latents may correct.

    Attributes:
        network_bytes: What the networks will take, by guess.
        left: By how much the fit missed, if more than could be made up for without harm, else 0.
    """

    def __init__(self, goal: Goal, lambda_: float, *, is_guess: bool = True) -> None:
        self.goal = goal
        self.lambda_ = lambda_
        self.network_bytes = 0.0
        self.left = 0.0
        self._first_lambda = lambda_
        self._is_guess = is_guess
        self._logarithms: list[float] = []
        self._last_progress = _FIRST_PROGRESS
        self._before: tuple[float, float] | None = None

    def begin(self, bits: float, networks_lambda: float, passes: int, *, is_flat: bool) -> None:
        """Take in the bits of a fit's first latents; they and theory count the same."""
        if self.goal.payload_bytes is None or not self._is_guess:
            return
        logarithm = math.log(networks_lambda)
        first = _FIRST_FLAT_BITS if is_flat else _FIRST_BITS
        bits /= float(np.interp(logarithm, np.log(_NETWORKS_LAMBDAS), first))
        bits *= found(FOUND_BITS, logarithm, passes)
        bits /= found(FOUND_BITS, logarithm, FIRST_BITS_PASSES)
        bits *= (self.lambda_ / networks_lambda) ** -_ELASTICITY
        self.change(self.goal.excess(self.network_bytes + bits / 8) / 2 / _ELASTICITY)
        self._first_lambda = self.lambda_

    def observe(
        self, progress: float, passes: int, hard: bool, distortion: float, bits: float
    ) -> None:
        """Take in a pass, done when `progress` (0 to 1) of the fit's `passes` soft passes were."""
        # The noise of every second pass mirrors that of the one before.
        before, self._before = self._before, (distortion, bits)
        if progress < _FIRST_PROGRESS or before is None:
            return
        distortion, bits = (distortion + before[0]) / 2, (bits + before[1]) / 2
        table = _BITS if self.goal.payload_bytes else _DISTORTIONS
        scale = 1.0 if hard else _interpolated(table, progress, self.lambda_)
        if self.goal.payload_bytes:
            excess = self.goal.excess(self.network_bytes + bits / (8 * scale))
            excess -= LEFT_FOR_QUANTISATION
        else:
            excess = self.goal.excess(self.goal.psnr_of(distortion / scale))
            excess -= 2 * LEFT_FOR_QUANTISATION
        passed = progress - self._last_progress
        self._last_progress = progress
        reaction = max(_REACTION, _REACTION_PASSES / passes)
        # The later, the less of what lambda asks for still comes about.
        response = _ELASTICITY * max(min(1.6 * (1 - progress), 1.0), _LEAST_RESPONSE)
        self.change(excess * passed / reaction / response)
        first = self._first_lambda
        self._logarithms.append(math.log(self.lambda_))
        self.lambda_ = min(max(self.lambda_, first / _FARTHEST), first * _FARTHEST)

    @property
    def mean_lambda(self) -> float:
        """What the fit was made for: late changes of lambda hardly come about."""
        return math.exp(float(np.mean(self._logarithms))) if self._logarithms else self.lambda_

    def following(self, value: float) -> float:
        """The first lambda of another fit, after this one came to a size or PSNR."""
        excess = self.goal.excess(value) if math.isfinite(value) else math.inf
        if not self.goal.is_met(value):
            excess += math.copysign(_CAUTION, excess)
        if self.left:
            excess = self.left + math.copysign(_CAUTION, self.left)
        change = min(max(excess / _ELASTICITY, -_LARGEST_CORRECTION), _LARGEST_CORRECTION)
        # What early passes did still shows in the end.
        effective = math.sqrt(self._first_lambda * self.mean_lambda)
        return min(max(effective * math.exp(change), LEAST_LAMBDA), MOST_LAMBDA)

    def change(self, amount: float) -> None:
        """Change ln(lambda), within bounds."""
        change = min(max(amount, -_LARGEST_CHANGE), _LARGEST_CHANGE)
        self.lambda_ = min(max(self.lambda_ * math.exp(change), LEAST_LAMBDA), MOST_LAMBDA)


def _interpolated(table: Table, progress: float, lambda_: float) -> float:
    rows = [np.interp(math.log(lambda_), np.log(LAMBDAS), row) for row in table]
    return float(np.interp(progress, PROGRESS, rows))
