"""Moves lambda during a fit, so that the file comes to a wanted size or quality.

Now and then its latents are rounded: what they come to tells, to some percent, what they will come
to in the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fieldpack._engine import Trainer
from fieldpack.codec.goal import LEAST_LAMBDA, MOST_LAMBDA, Goal, of_passes
from fieldpack.codec.model import FloatArray

# At these parts of a fit, its latents are rounded to see where it stands.
CHECKPOINTS = (0.15, 0.3, 0.45, 0.6, 0.75)
# What they come to then, as a ratio of what they come to in the end: a table for each of
# goal.FOUND_PASSES, with a row for each checkpoint and a column for each lambda. Measured by
# prior/calibrate.py; distortions after .3 of 80 passes, of which one picture made too much, on more
# pictures.
LAMBDAS = (2e-4, 1e-3, 3e-3, 1.5e-2, 0.1, 0.6)
_BITS = (
    (
        (1.278, 1.260, 1.423, 1.590, 1.560, 1.338),
        (1.094, 1.123, 1.203, 1.330, 1.361, 1.208),
        (1.067, 1.054, 1.116, 1.164, 1.190, 1.104),
        (1.040, 1.036, 1.065, 1.104, 1.111, 1.071),
        (1.020, 1.021, 1.033, 1.046, 1.043, 1.025),
    ),
    (
        (1.380, 1.458, 1.499, 1.429, 1.504, 1.389),
        (1.235, 1.264, 1.346, 1.285, 1.305, 1.195),
        (1.162, 1.172, 1.217, 1.171, 1.176, 1.116),
        (1.101, 1.116, 1.142, 1.129, 1.110, 1.091),
        (1.048, 1.058, 1.069, 1.060, 1.059, 1.036),
    ),
    (
        (1.545, 1.551, 1.637, 1.492, 1.568, 1.332),
        (1.293, 1.362, 1.428, 1.347, 1.329, 1.215),
        (1.221, 1.257, 1.311, 1.254, 1.220, 1.148),
        (1.123, 1.164, 1.196, 1.157, 1.118, 1.074),
        (1.059, 1.088, 1.096, 1.082, 1.060, 1.050),
    ),
)
_DISTORTIONS = (
    (
        (1.728, 1.283, 1.196, 1.098, 1.081, 1.037),
        (1.267, 1.116, 1.071, 1.038, 1.028, 1.021),
        (1.099, 1.061, 1.045, 1.019, 1.008, 1.008),
        (1.050, 1.041, 1.025, 1.007, 1.000, 1.008),
        (1.020, 1.015, 1.011, 1.003, 1.000, 1.003),
    ),
    (
        (1.872, 1.606, 1.405, 1.141, 1.041, 1.036),
        (1.500, 1.250, 1.180, 1.077, 1.026, 1.022),
        (1.197, 1.061, 1.108, 1.040, 1.010, 1.012),
        (1.064, 1.037, 1.052, 1.018, 1.008, 1.007),
        (1.026, 1.015, 1.019, 1.009, 1.001, 1.004),
    ),
    (
        (1.351, 1.177, 1.183, 1.083, 1.036, 1.029),
        (1.150, 1.059, 1.079, 1.045, 1.033, 1.003),
        (1.071, 1.042, 1.035, 1.026, 1.018, 1.007),
        (1.037, 1.014, 1.019, 1.018, 1.014, 1.006),
        (1.016, 1.007, 1.004, 1.011, 1.009, 1.003),
    ),
)
# By how much ln(bytes), or -ln(distortion), still falls for 1 more of ln(lambda): a row for each of
# goal.FOUND_PASSES, a column for the start and each checkpoint.
_RESPONSES = (
    (0.32, 0.25, 0.20, 0.14, 0.075, 0.03),
    (0.45, 0.40, 0.33, 0.26, 0.17, 0.08),
    (0.50, 0.45, 0.38, 0.32, 0.23, 0.12),
)
# What share of that has not come about yet at the next checkpoint, and so on.
_PENDING = (0.6, 0.35, 0.2)
# How far ln(bytes) or ln(distortion) foretold at a checkpoint is off, for the first two of
# goal.FOUND_PASSES, and ln(lambda) at first.
_ERRORS = (
    (0.09, 0.055, 0.035, 0.02, 0.012),
    (0.17, 0.1, 0.055, 0.03, 0.02),
)
_FIRST_ERROR = 0.35
# How much of what a fit had of a wrong lambda is made up for by one that is wrong the other way, at
# each checkpoint, and by how much, in ln(lambda), at most.
_COMPENSATION, _LARGEST_COMPENSATION = (0.5, 0.5, 0.6, 0.8, 1.0), 0.6
_MOST_SURPRISE = 1.5  # that is believed, in standard deviations
# Steps have a size of their own, so that lambdas farther from the first would bring little more.
_FARTHEST = 1.0  # from the first, as a difference of ln(lambda)
# By how much ln(bytes) falls from one fit to the next.
_ELASTICITY = 0.5
# The networks' quantisation still adds something.
_LEFT_FOR_QUANTISATION = 0.015
_CAUTION = 0.04  # of the excess, where what was left could not, or hardly, be made up for
_LARGEST_CORRECTION = 2.0  # of ln(lambda) from one fit to the next


class RateControl:
    """Moves lambda during a fit.

    Args:
        goal: What to come to.
        lambda_: The first.
        passes: Of the fit, as effort counts them.

    Attributes:
        lambda_: The current one.
        effective_lambda: What the fit is made for: late changes of lambda hardly come about.
        network_bytes: What the networks will take, by guess.
        left: By how much the fit missed, if more than could be made up for without harm, else 0.
    """

    def __init__(self, goal: Goal, lambda_: float, passes: int) -> None:
        self.goal = goal
        self.lambda_ = self.effective_lambda = lambda_
        self.network_bytes = 0.0
        self.left = 0.0
        self._first_lambda = lambda_
        self._estimate, self._variance = math.log(lambda_), _FIRST_ERROR**2
        self._passes = passes
        self._next = 0
        self._pending = 0.0  # what the excess will still fall by

    @property
    def goal_lambda(self) -> float:
        """The lambda that, from the start on, would have led to the goal."""
        return _bounded(math.exp(self._estimate))

    def is_due(self, progress: float) -> bool:
        """Whether, after this part of the fit (0 to 1), its latents should be looked at."""
        return self._next < len(CHECKPOINTS) and progress >= CHECKPOINTS[self._next]

    def observe(self, trainer: Trainer, parameters: FloatArray) -> None:
        """Take in what rounded latents come to now."""
        index, self._next = self._next, self._next + 1
        tables = _BITS if self.goal.payload_bytes else _DISTORTIONS
        logarithm = math.log(self.lambda_)
        ratio = self._of_passes(
            [float(np.interp(logarithm, np.log(LAMBDAS), table[index])) for table in tables]
        )
        if self.goal.payload_bytes:
            payload_bytes = sum(trainer.bits(parameters)) / 8
            excess = self.goal.excess(self.network_bytes + payload_bytes / ratio)
        else:
            excess = self.goal.excess(self.goal.psnr_of(trainer.distortion(parameters) / ratio))
        excess -= _LEFT_FOR_QUANTISATION
        response = self.response_at(CHECKPOINTS[index])
        self._pending *= self._of_passes(_PENDING)
        # A Kalman filter of the lambda that, from the start on, would have led to the goal.
        at_start = self.response_at(0.0)
        effective = math.log(self.effective_lambda)
        measured = effective + (excess - self._pending) / at_start
        surprise = measured - self._estimate
        variance = (self._of_passes([row[index] for row in _ERRORS]) / at_start) ** 2
        gain = self._variance / (self._variance + variance)
        usual = _MOST_SURPRISE * math.sqrt(self._variance + variance)
        if abs(surprise) <= usual:
            self._variance *= 1 - gain
        self._estimate += gain * min(max(surprise, -usual), usual)
        wanted = self._estimate
        owed = _COMPENSATION[index] * (wanted - effective) * (at_start / response - 1)
        wanted += min(max(owed, -_LARGEST_COMPENSATION), _LARGEST_COMPENSATION)
        first = math.log(self._first_lambda)
        wanted = min(max(wanted, first - _FARTHEST), first + _FARTHEST)
        before = self.lambda_
        self.lambda_ = _bounded(math.exp(wanted))
        effect = math.log(self.lambda_ / before) * response
        self._pending += effect
        self.effective_lambda *= math.exp(effect / at_start)

    def following(self, value: float) -> float:
        """The first lambda of another fit, after this one came to a size or PSNR."""
        excess = self.goal.excess(value) if math.isfinite(value) else math.inf
        if not self.goal.is_met(value):
            excess += math.copysign(_CAUTION, excess)
        if self.left:
            excess = self.left + math.copysign(_CAUTION, self.left)
        change = min(max(excess / _ELASTICITY, -_LARGEST_CORRECTION), _LARGEST_CORRECTION)
        return _bounded(self.effective_lambda * math.exp(change))

    def response_at(self, progress: float) -> float:
        """By how much the excess falls for 1 more of ln(lambda) from this part of the fit on."""
        responses = [self._of_passes(column) for column in zip(*_RESPONSES, strict=True)]
        return float(np.interp(progress, (0.0, *CHECKPOINTS, 1.0), [*responses, 0.0]))

    def _of_passes(self, values: Sequence[float]) -> float:
        return of_passes(values, self._passes)


def _bounded(lambda_: float) -> float:
    return min(max(lambda_, LEAST_LAMBDA), MOST_LAMBDA)
