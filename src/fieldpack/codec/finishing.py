"""Latents that come to a wanted size or quality, from those of a fit that came near it.

A few more passes, until they are nearer; then a refinement, of whose changes those are left out, or
let in, that pay for another lambda: the one with which the goal is met. Where no lambda is, there
are latents on either side of the goal, and some blocks of the picture take one and the others the
other. What is still too large then loses details until it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fieldpack.codec.emptying import emptying
from fieldpack.codec.fit import Fitted
from fieldpack.codec.goal import MOST_LAMBDA, Goal
from fieldpack.codec.model import FloatArray
from fieldpack.codec.rate_control import RateControl
from fieldpack.codec.refinement import refine_towards
from fieldpack.codec.schedule import Schedule

Latents = Sequence[FloatArray]
Sides = dict[bool, Latents]  # those above the goal, and those below

# After the fit: rounds of its last passes again, a share of all, and more of them in every further
# one, as long as the excess is large; and how far to go beyond the goal.
_ROUNDS, _ROUND_SHARE, _LEAST_ROUND, _LONGER = 6, 0.06, 8, 1.5
_LARGE, _LONGEST = 0.08, 0.4
_LARGEST_PUSH, _OVERSHOOT, _BEYOND = 1.5, 1.3, 0.015
# Then refinements, so many after short fits and after others: by what the first lowers the excess,
# of bytes and of quality, and by how much more for 1 more of ln(lambda); how far below the goal to
# come, because a refinement's changes tell more of smaller lambdas than of larger ones. How far
# from its lambda, in ln(lambda), they are still chosen from, and how far they are good enough;
# after short fits, they always are.
_GAIN_OF_BYTES, _GAIN_OF_QUALITY, _BELOW = 0.03, 0.0, 0.004
_REFINEMENTS, _RESPONSE, _LEAST_RESPONSE, _MOST_RESPONSE = (2, 4), 0.1, 0.05, 0.3
_FARTHEST, _NEAR, _SHORT_FIT = 1.0, 0.1, 70
_CORRECTIONS, _STEPS = 4, 10
_LEAST_CUT, _LEAST_CUT_OF_WIDE, _WIDE = 0.02, 0.25, 0.3
_EXACT, _CLOSE = 1e-3, 0.007
_BLOCK_LEVEL = 3  # blocks of 8 by 8 pixels


def meet(
    control: RateControl,
    fitted: Fitted,
    parameters: FloatArray,
    network_bytes: int,
    schedule: Schedule,
    seed: int,
    measure: Callable[[Latents], float],
) -> Latents:
    """Return integer latents (h_k, w_k) of each grid that come to the goal, or near it.

    Args:
        control: As the fit left it.
        fitted: The fit; its latents change.
        parameters: The networks as the file will hold them.
        network_bytes: What they take.
        schedule: Of the fit.
        seed: Of the fit.
        measure: Returns what latents come to in truth: the payload's bytes or the decoded PSNR.
    """
    meter = _Meter(control.goal, fitted, parameters, network_bytes, measure)
    rounds = _Rounds(control, fitted, parameters, schedule, seed, meter)
    # No fit follows what is dearer than the dearest.
    may_go_on = rounds.excess < 0 or control.goal_lambda < MOST_LAMBDA
    if may_go_on:
        rounds.go_on(_LARGE)
    fitted.trainer.reset_moments()  # their memory is needed
    lambda_, passes = control.goal_lambda, schedule.passes
    found = _refined(rounds, lambda_, fitted, parameters, passes, meter)
    if isinstance(found, _Family):
        return _nearest(found, meter)
    both = rounds.sides | found
    if len(both) < 2 and may_go_on:
        rounds.go_on(0)
        both = rounds.sides | found
    if len(both) == 2:
        return _nearest(_mixtures(both[True], both[False], meter), meter)
    ((is_above, latents),) = both.items()
    control.left = meter.excess(latents)
    if not is_above:
        return latents
    return _nearest(_members(emptying(latents, fitted.shape.channels), meter), meter)


@dataclass(frozen=True)
class _Family:
    """Latents for every number in a range, above the goal at its lower end, below at its upper.

    `found` holds estimates of what is known, see `_Meter`: both ends and others. `met` is one that
    meets the goal, once there is one.
    """

    at: Callable[[float], Latents]
    found: dict[float, float]
    met: Latents | None = None


class _Rounds:
    """Rounds of the fit's last passes again, with another lambda.

    Attributes:
        latents: Rounded, of the last.
        excess: How far these are above the goal.
        sides: The last ones above it, and the last ones below.
    """

    def __init__(
        self,
        control: RateControl,
        fitted: Fitted,
        parameters: FloatArray,
        schedule: Schedule,
        seed: int,
        meter: _Meter,
    ) -> None:
        self._control, self._fitted, self._parameters = control, fitted, parameters
        self._schedule, self._seed, self._meter = schedule, seed, meter
        self._done, self._left = schedule.passes, _ROUNDS
        self._share, self._push = max(_LEAST_ROUND / schedule.passes, _ROUND_SHARE), 0.0
        self._look()
        estimate = meter.estimate(self.latents)
        meter.check(self.latents, estimate)
        self.excess = meter.corrected(estimate)
        self.sides: Sides = {self.excess > 0: self.latents}

    def go_on(self, large: float) -> None:
        """Until the excess is not large, or there are both sides, or there were too many."""
        while abs(self.excess) > large and len(self.sides) < 2 and self._left:
            self._left -= 1
            self._pass_again()
            self._look()
            self.excess = self._meter.excess(self.latents)
            self.sides[self.excess > 0] = self.latents

    def _look(self) -> None:
        trainer = self._fitted.trainer
        self._moving = [trainer.latents(k) for k in range(self._fitted.shape.grids)]
        self.latents: Latents = [np.rint(grid) for grid in self._moving]

    def _pass_again(self) -> None:
        trainer, schedule = self._fitted.trainer, self._schedule
        for k, grid in enumerate(self._moving):
            trainer.set_latents(k, grid)
        # A few passes follow lambda only in part: push harder as long as it is the same side.
        self._push += _OVERSHOOT * self.excess + math.copysign(_BEYOND, self.excess)
        soft = schedule.soft_passes
        while True:
            passes = min(round(self._share * schedule.passes), soft)
            self._share *= _LONGER
            response = self._control.response_at(1 - passes / soft)
            if passes > _LONGEST * soft or response * _LARGEST_PUSH >= abs(self._push):
                break
        change = min(max(self._push / max(response, 1e-3), -_LARGEST_PUSH), _LARGEST_PUSH)
        lambda_ = self._control.effective_lambda * math.exp(change)
        for step in range(passes):
            now = schedule.at(soft - passes + step)
            trainer.step(
                self._parameters,
                None,
                temperature=now.temperature,
                noise=now.noise,
                lambda_=lambda_,
                seed=self._seed,
                step=self._done + step,
                learning_rate=[now.latent_rate * x for x in schedule.shares(len(self.latents))],
                beta1=schedule.latent_betas[0],
                beta2=schedule.latent_betas[1],
                sharing=schedule.sharing,
            )
        self._done += passes


def _refined(
    rounds: _Rounds,
    lambda_: float,
    fitted: Fitted,
    parameters: FloatArray,
    passes: int,
    meter: _Meter,
) -> _Family | Sides:
    """Latents with less loss, from one side of the goal to the other, or all on one side."""
    sides: Sides = {}
    gain = _GAIN_OF_BYTES if meter.goal.payload_bytes else _GAIN_OF_QUALITY
    push = _limited((rounds.excess - gain) / _RESPONSE, _LARGEST_PUSH)
    response = _RESPONSE
    last: tuple[float, float] | None = None  # push and excess
    for left in reversed(range(_REFINEMENTS[passes >= _SHORT_FIT])):
        dearer = lambda_ * math.exp(push)
        refined = refine_towards(fitted.trainer, parameters, rounds.latents, dearer, passes)
        family = _Family(refined.for_other, {0.0: meter.estimate(refined.latents)})
        excess = meter.corrected(family.found[0.0])
        sides[excess > 0] = refined.latents
        if abs(excess) < _CLOSE and meter.check(refined.latents, family.found[0.0]):
            return replace(family, met=refined.latents)
        other = _across(family, excess, meter)
        beyond = meter.corrected(family.found[other])
        if (beyond > 0) != (excess > 0):
            likely = excess / (excess - beyond) * other
            if not left or abs(likely) < _NEAR or passes < _SHORT_FIT:
                return family
        if last is not None:
            fall = (last[1] - excess) / (push - last[0])
            response = min(max(fall, _LEAST_RESPONSE), _MOST_RESPONSE)
        last = push, excess
        push = _limited(push + (excess + _BELOW) / response, _LARGEST_PUSH)
        if push == last[0]:
            break
    return sides


def _across(family: _Family, excess: float, meter: _Meter) -> float:
    """The number of a member on the other side of the goal than that for 0, or the last tried."""
    likely = _OVERSHOOT * excess / _RESPONSE + math.copysign(_BEYOND, excess)
    for other in (_limited(likely, _FARTHEST), math.copysign(_FARTHEST, excess)):
        family.found[other] = meter.estimate(family.at(other))
        if (meter.corrected(family.found[other]) > 0) != (excess > 0):
            break
    return other


def _limited(value: float, most: float) -> float:
    return min(max(value, -most), most)


class _Meter:
    """How far latents are above the goal: by the engine's estimate, and by what this was off."""

    def __init__(
        self,
        goal: Goal,
        fitted: Fitted,
        parameters: FloatArray,
        network_bytes: int,
        measure: Callable[[Latents], float],
    ) -> None:
        self.goal = goal
        self._trainer, self._parameters = fitted.trainer, parameters
        self._network_bytes = network_bytes
        self._measure = measure
        self._correction = 0.0

    def excess(self, latents: Latents) -> float:
        """Return `Goal.excess`; the trainer holds the latents afterwards."""
        return self.corrected(self.estimate(latents))

    def corrected(self, estimate: float) -> float:
        """Return the excess that an estimate stands for, as far as is known."""
        return estimate + self._correction

    def check(self, latents: Latents, estimate: float) -> bool:
        """Measure in truth, correct all estimates, return whether the goal is met."""
        truth = self._measure(latents)
        self._correction = self.goal.excess(truth) - estimate
        return self.goal.is_met(truth)

    def is_met(self, latents: Latents) -> bool:
        """Whether the goal is met, in truth."""
        return self.goal.is_met(self._measure(latents))

    def is_small_enough(self, latents: Latents) -> bool:
        """Whether the payload, in truth, has at most the bytes that the goal allows."""
        return self._measure(latents) <= self.goal.window[2]

    def estimate(self, latents: Latents) -> float:
        """Return `Goal.excess` but for what estimates are off by."""
        for k, grid in enumerate(latents):
            self._trainer.set_latents(k, grid)
        if self.goal.payload_bytes:
            # Grids without anything cost nothing.
            bits = zip(self._trainer.bits(self._parameters), latents, strict=True)
            return self.goal.excess(self._network_bytes + sum(b for b, g in bits if g.any()) / 8)
        return self.goal.excess(self.goal.psnr_of(self._trainer.distortion(self._parameters)))


def _mixtures(above: Latents, below: Latents, meter: _Meter) -> _Family:
    """Latents of which a share of the blocks, as they lie scattered, is from `below`.

    If both are good for a lambda near the other's, so is a mixture.
    """
    orders = [_scattered_order(grid.shape, k) for k, grid in enumerate(above)]

    def mixed(share: float) -> Latents:
        return [
            np.where(order < share, low, high)
            for order, low, high in zip(orders, below, above, strict=True)
        ]

    return _members(mixed, meter)


def _members(at: Callable[[float], Latents], meter: _Meter) -> _Family:
    """Latents for every number from 0 to 1."""
    return _Family(at, {share: meter.estimate(at(share)) for share in (0.0, 1.0)})


def _nearest(family: _Family, meter: _Meter) -> Latents:
    """The member of a family that comes nearest to the goal."""
    found, (first, last) = family.found, (min(family.found), max(family.found))
    if family.met is not None:
        return family.met
    met: Latents | None = None
    for _ in range(_CORRECTIONS):
        for _ in range(_STEPS):
            few = max((x for x in found if meter.corrected(found[x]) > 0), default=first)
            many = min((x for x in found if x > few), default=last)
            more, less = (meter.corrected(found[x]) for x in (few, many))
            if more - less < _EXACT:
                break
            # Nearly a straight line, unless it is long; what is left in doubt must get shorter
            # from either side.
            part = more / (more - less) if more > 0 > less else 0.5
            cut = _LEAST_CUT_OF_WIDE if more - less > _WIDE else _LEAST_CUT
            middle = few + (many - few) * min(max(part, cut), 1 - cut)
            found[middle] = meter.estimate(family.at(middle))
        # Rather too small or too good; but there are jumps, and beyond one may be what is wanted.
        better, other = (many, few) if meter.goal.payload_bytes else (few, many)
        chosen = family.at(better)
        if meter.check(chosen, found[better]):
            met = chosen
            if abs(meter.corrected(found[better])) < _CLOSE:
                break
        elif meter.is_met(beyond := family.at(other)):
            return beyond
    if met is not None:
        return met
    if meter.goal.payload_bytes and not meter.is_small_enough(chosen):
        return family.at(last)
    return chosen


def _scattered_order(size: tuple[int, ...], level: int) -> FloatArray:
    """A number from 0 to 1 of each latent (h_k, w_k), the same in a block of the picture."""
    shift = max(_BLOCK_LEVEL - level, 0)
    rows, columns = (np.arange(n, dtype=np.uint32) >> shift << shift << level for n in size)
    mixed = rows[:, None] * np.uint32(0x9E3779B1) + columns * np.uint32(0x85EBCA77)
    mixed = (mixed ^ mixed >> 15) * np.uint32(0x2C1B3C6D)
    order: FloatArray = (mixed >> 8).astype(np.float32) / np.float32(1 << 24)
    return order
