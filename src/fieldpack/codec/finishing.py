"""Latents that come to a wanted size or quality, from those of a fit that came near it.

A few more passes, until they are nearer; then refinements for several lambdas, until there are
latents on either side of the goal; of these two, some blocks of the picture take one and the others
the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fieldpack.codec.fit import Fitted
from fieldpack.codec.goal import Goal
from fieldpack.codec.model import FloatArray
from fieldpack.codec.rate_control import RateControl
from fieldpack.codec.refinement import refine
from fieldpack.codec.schedule import Schedule

Latents = Sequence[FloatArray]
Sides = dict[bool, Latents]  # those above the goal, and those below

# After the fit: rounds of its last passes again, a share of all, and more of them in every further
# one, as long as the excess is large; and how far to go beyond the goal.
_ROUNDS, _ROUND_SHARE, _LEAST_ROUND, _LONGER = 6, 0.06, 8, 1.5
_LARGE, _LONGEST = 0.08, 0.4
_LARGEST_PUSH, _OVERSHOOT, _BEYOND = 1.5, 1.3, 0.015
# Then refinements: by what the first lowers the excess, of bytes and of quality, and by how much
# more for 1 more of ln(lambda). After fits of so many passes, which take much longer, there are
# refinements on either side.
_GAIN_OF_BYTES, _GAIN_OF_QUALITY = 0.03, 0.0
_REFINEMENTS, _RESPONSE, _LEAST_RESPONSE, _MOST_RESPONSE = 4, 0.1, 0.02, 0.3
_BEYOND_REFINED = 0.003
_FEWEST_FOR_BOTH = 70
_CORRECTIONS, _STEPS = 4, 10
_LEAST_CUT, _EXACT, _CLOSE = 0.02, 1e-3, 0.007
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
    meter.check(rounds.latents)
    rounds.go_on(_LARGE)
    fitted.trainer.reset_moments()  # their memory is needed
    lambda_, passes = control.goal_lambda, schedule.passes
    refined = _refined(rounds, lambda_, fitted, parameters, passes, meter)
    both = rounds.sides | refined
    if len(both) < 2:
        rounds.go_on(0)
        both = rounds.sides | refined
    if len(both) == 2:
        return _between(both[True], both[False], meter, scattered=True)
    ((is_above, latents),) = both.items()
    control.left = meter.excess(latents)
    if not is_above:
        return latents
    return _between(latents, _much_less(latents, meter), meter, scattered=False)


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
        self.sides: Sides = {}
        self.excess = 0.0
        self._look()

    def go_on(self, large: float) -> None:
        """Until the excess is not large, or there are both sides, or there were too many."""
        self.excess = self._meter.excess(self.latents)
        self.sides[self.excess > 0] = self.latents
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
) -> Sides:
    """Latents with less loss, on one side of the goal or both."""
    refined: Sides = {}
    gain = _GAIN_OF_BYTES if meter.goal.payload_bytes else _GAIN_OF_QUALITY
    push, excess, response = 0.0, rounds.excess - gain, _RESPONSE
    for _ in range(_REFINEMENTS):
        change = (excess + math.copysign(_BEYOND_REFINED, excess)) / response
        last, before = push, excess
        push = min(max(push + change, -_LARGEST_PUSH), _LARGEST_PUSH)
        if push == last:
            break
        dearer = lambda_ * math.exp(push)
        latents = refine(fitted.trainer, parameters, rounds.latents, dearer, passes)
        excess = meter.excess(latents)
        refined[excess > 0] = latents
        if len(refined if passes >= _FEWEST_FOR_BOTH else rounds.sides | refined) == 2:
            break
        response = min(max((before - excess) / (push - last), _LEAST_RESPONSE), _MOST_RESPONSE)
    return refined


def _much_less(above: Latents, meter: _Meter) -> Latents:
    """Latents below the goal: without the finest grid that has anything, at last without all."""
    fewer = list(above)
    for k, grid in enumerate(above):
        fewer[k] = np.zeros_like(grid)
        if meter.excess(fewer) <= 0:
            break
    return fewer


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
        return self._estimate(latents) + self._correction

    def check(self, latents: Latents) -> bool:
        """Measure in truth, correct later estimates, return whether the goal is met."""
        truth = self._measure(latents)
        self._correction = self.goal.excess(truth) - self._estimate(latents)
        return self.goal.is_met(truth)

    def is_small_enough(self, latents: Latents) -> bool:
        """Whether the payload, in truth, has at most the bytes that the goal allows."""
        return self._measure(latents) <= self.goal.window[2]

    def _estimate(self, latents: Latents) -> float:
        for k, grid in enumerate(latents):
            self._trainer.set_latents(k, grid)
        if self.goal.payload_bytes:
            # Grids without anything cost nothing.
            bits = zip(self._trainer.bits(self._parameters), latents, strict=True)
            return self.goal.excess(self._network_bytes + sum(b for b, g in bits if g.any()) / 8)
        return self.goal.excess(self.goal.psnr_of(self._trainer.distortion(self._parameters)))


def _between(above: Latents, below: Latents, meter: _Meter, *, scattered: bool) -> Latents:
    """Latents of which so many blocks are from `below`, the others from `above`, as the goal asks.

    If both are good for a lambda near the other's, so is the mixture, and the blocks lie scattered.
    """
    order_of = _scattered_order if scattered else _reading_order
    orders = [order_of(grid.shape, k) for k, grid in enumerate(above)]

    def mixed(share: float) -> Latents:
        return [
            np.where(order < share, low, high)
            for order, low, high in zip(orders, below, above, strict=True)
        ]

    chosen = below
    met: Latents | None = None
    for _ in range(_CORRECTIONS):
        few, many = 0.0, 1.0
        more, less = meter.excess(above), meter.excess(below)
        for _ in range(_STEPS):
            # Nearly a straight line; what is left in doubt must get shorter from either side.
            share = more / (more - less) if more > 0 > less else 0.5
            middle = few + (many - few) * min(max(share, _LEAST_CUT), 1 - _LEAST_CUT)
            excess = meter.excess(mixed(middle))
            if excess > 0:
                few, more = middle, excess
            else:
                many, less = middle, excess
            if more - less < _EXACT:
                break
        chosen = mixed(many if meter.goal.payload_bytes else few)
        if meter.check(chosen):
            met = chosen
            if abs(meter.excess(chosen)) < _CLOSE:
                break
    if met is not None:
        return met
    if meter.goal.payload_bytes and not meter.is_small_enough(chosen):
        return below
    return chosen


def _scattered_order(size: tuple[int, ...], level: int) -> npt.NDArray[np.float32]:
    """A number from 0 to 1 of each latent (h_k, w_k), the same in a block of the picture."""
    shift = max(_BLOCK_LEVEL - level, 0)
    rows, columns = (np.arange(n, dtype=np.uint32) >> shift << shift << level for n in size)
    mixed = rows[:, None] * np.uint32(0x9E3779B1) + columns * np.uint32(0x85EBCA77)
    mixed = (mixed ^ mixed >> 15) * np.uint32(0x2C1B3C6D)
    order: npt.NDArray[np.float32] = (mixed >> 8).astype(np.float32) / np.float32(1 << 24)
    return order


def _reading_order(size: tuple[int, ...], level: int) -> npt.NDArray[np.float32]:
    """A number from 0 to 1 of each latent (h_k, w_k), larger above than below."""
    order = 1 - np.arange(size[0] * size[1], dtype=np.float32) / np.float32(size[0] * size[1])
    return order.reshape(size)
