"""Latents that come to a wanted size or quality, from those of a fit that came near it.

A few more passes, until there are states on either side of the goal; of these two, some blocks of
the picture take one and the others the other. What comes of it is refined, which leads off the goal
again, and refined further for another lambda until there are two sides once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fieldpack.codec.fit import Fitted
from fieldpack.codec.goal import Goal
from fieldpack.codec.model import FloatArray
from fieldpack.codec.rate_control import LEFT_FOR_QUANTISATION, RateControl
from fieldpack.codec.refinement import refine
from fieldpack.codec.schedule import Schedule

Latents = Sequence[FloatArray]

# After the fit: rounds of its last passes again, a share of all, and more of them in every further
# one; and how far to go beyond the goal.
_ROUNDS, _ROUND_SHARE, _LEAST_ROUND, _LONGER = 6, 0.06, 8, 1.5
_LARGEST_PUSH, _OVERSHOOT = 1.5, 1.3
_DEAD_ZONES = (0.1, 0.2, 0.3, 0.45)
_HARMLESS = 0.03  # excess that wider dead zones may make up for
_CORRECTIONS, _STEPS = 4, 10
_LEAST_CUT, _EXACT = 0.02, 1e-3
# Then refinements, after fits of so many passes, which take much longer: at most how many, and how
# little they respond.
_FEWEST_TO_REFINE = 200
_REFINEMENTS, _REFINED_RESPONSE, _LEAST_REFINED_RESPONSE = 5, 0.05, 0.005
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
    found = _near(control, fitted, parameters, schedule, seed, meter)
    fitted.trainer.reset_moments()  # their memory is needed
    if schedule.passes < _FEWEST_TO_REFINE or not meter.check(found):
        return found
    return _refined(found, control.effective_lambda, fitted, parameters, schedule.passes, meter)


def _near(
    control: RateControl,
    fitted: Fitted,
    parameters: FloatArray,
    schedule: Schedule,
    seed: int,
    meter: _Meter,
) -> Latents:
    trainer, grids = fitted.trainer, fitted.shape.grids
    above: Latents | None = None
    below: Latents | None = None
    soft = schedule.soft_passes
    part, done = max(_LEAST_ROUND / schedule.passes, _ROUND_SHARE), schedule.passes
    fit_lambda, push = control.effective_lambda, 0.0
    for number in range(_ROUNDS + 1):
        moving = [trainer.latents(k) for k in range(grids)]
        rounded = [np.rint(grid) for grid in moving]
        if number == 0 and meter.check(rounded):
            return rounded
        excess = meter.excess(rounded)
        if excess > 0:
            above = rounded
        else:
            below = rounded
        if (above and below) or number == _ROUNDS:
            break
        for k, grid in enumerate(moving):
            trainer.set_latents(k, grid)
        # A few passes follow lambda only in part: push harder as long as it is the same side.
        push += _OVERSHOOT * excess + math.copysign(LEFT_FOR_QUANTISATION, excess)
        passes = min(round(part * schedule.passes), soft)
        part *= _LONGER
        response = control.response_at(1 - passes / soft)
        change = min(max(push / max(response, 1e-3), -_LARGEST_PUSH), _LARGEST_PUSH)
        lambda_ = fit_lambda * math.exp(change)
        for step in range(passes):
            now = schedule.at(soft - passes + step)
            trainer.step(
                parameters,
                None,
                temperature=now.temperature,
                noise=now.noise,
                lambda_=lambda_,
                seed=seed,
                step=done + step,
                learning_rate=[now.latent_rate * share for share in schedule.shares(grids)],
                beta1=schedule.latent_betas[0],
                beta2=schedule.latent_betas[1],
                sharing=schedule.sharing,
            )
        done += passes
    if above is None:
        assert below is not None
        return below
    if below is None and meter.check(above):
        return above
    is_between = below is not None
    for dead_zone in _DEAD_ZONES:
        if below is not None:
            break
        # Still too much: what is between two integers goes to the one that is nearer to zero.
        fewer = [_rounded(grid, dead_zone) for grid in moving]
        if meter.excess(fewer) <= 0:
            below = fewer
    near = below is not None
    if not is_between and (excess > _HARMLESS or not near):
        control.left = excess
    while below is None:
        # And still: without the finest grid that has anything, at last without all.
        fewer = list(above)
        finest = next((k for k, grid in enumerate(fewer) if grid.any()), None)
        if finest is None:
            return above
        fewer[finest] = np.zeros_like(fewer[finest])
        if meter.excess(fewer) > 0:
            above = fewer
        else:
            below = fewer
    return _between(above, below, meter, scattered=near)


def _refined(
    found: Latents,
    lambda_: float,
    fitted: Fitted,
    parameters: FloatArray,
    passes: int,
    meter: _Meter,
) -> Latents:
    """Latents with less loss that come to the goal as `found` does, or `found`."""
    sides: dict[bool, Latents] = {}
    latents, push, change = found, 0.0, 0.0
    response, before = _REFINED_RESPONSE, 0.0
    for number in range(_REFINEMENTS):
        latents = refine(fitted.trainer, parameters, latents, lambda_ * math.exp(push), passes)
        excess = meter.excess(latents)
        if excess == 0:
            return latents if meter.check(latents) else found
        sides[excess > 0] = latents
        if len(sides) == 2:
            mixed = _between(sides[True], sides[False], meter, scattered=True)
            return mixed if meter.check(mixed) else found
        if number > 0:
            response = min(max((before - excess) / change, _LEAST_REFINED_RESPONSE), response)
        change = min(max(_OVERSHOOT * excess / response, -_LARGEST_PUSH), _LARGEST_PUSH)
        push, before = push + change, excess
    return found


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
            return chosen
    if meter.goal.payload_bytes and not meter.is_small_enough(chosen):
        return below
    return chosen


def _rounded(grid: FloatArray, dead_zone: float) -> FloatArray:
    return np.copysign(np.floor(np.abs(grid) + np.float32(0.5 - dead_zone)), grid)


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
