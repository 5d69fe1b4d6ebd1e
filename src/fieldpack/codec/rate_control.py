"""Files of a wanted size or quality: lambda moves during the fit.

Beginning: a lambda for which coding theory promises the goal ("reverse water-filling", Cover and
Thomas, Elements of Information Theory, 10.3.3). During the fit: what the noisy latents cost now
tells, to some percent, what the rounded ones will cost in the end, and lambda follows. After it:
a few more passes, until there are states on either side of the goal; of these two, some blocks of
the picture take one and the others the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fieldpack.codec.initialisation import colour_axes
from fieldpack.codec.model import FloatArray
from fieldpack.codec.schedule import Schedule

if TYPE_CHECKING:
    from fieldpack.codec.fit import Fitted

Latents = Sequence[FloatArray]
Table = tuple[tuple[float, ...], ...]

LEAST_LAMBDA, MOST_LAMBDA = 1e-6, 30.0
"""Where quality saturates, and where nothing of the picture is left."""

# By how much ln(bytes), or -ln(distortion), falls for 1 more of ln(lambda).
_ELASTICITY = 0.5
# Bits and distortion of fits to training photographs, as ratios of theory's: a row for each number
# of passes, a column for each lambda.
_FOUND_PASSES = (20, 80, 380)
_FOUND_LAMBDAS = (5e-5, 2e-4, 1e-3, 4e-3, 2e-2, 0.1)
_FOUND_BITS = (
    (1.05, 1.10, 1.10, 1.10, 1.15, 1.30),
    (0.96, 0.99, 0.93, 0.88, 0.75, 0.75),
    (0.96, 0.92, 0.82, 0.69, 0.53, 0.55),
)
# Bits of the first latents, as ratios of what fits of the fewest passes end with, by the lambda
# that the networks were made for.
_NETWORKS_LAMBDAS = (1e-4, 3e-4, 1e-3, 4e-3, 1.5e-2)
_FIRST_BITS = (0.66, 0.84, 1.12, 1.42, 1.20)
_FOUND_DISTORTIONS = (
    (4.2, 2.3, 1.6, 1.38, 1.25, 0.80),
    (2.6, 1.6, 1.33, 1.24, 1.22, 0.96),
    (1.7, 1.25, 1.15, 1.14, 1.20, 1.10),
)
# Before this part of the fit, bits and distortion still say little about the end.
_FIRST_PROGRESS = 0.25
# The part of the fit in which an error is made up for, and the least number of passes.
_REACTION, _REACTION_PASSES = 0.1, 3
_LARGEST_CHANGE = 0.7  # of ln(lambda) at once
_LEAST_RESPONSE = 0.2
_FARTHEST = 6.0  # from the first lambda during the fit, as a ratio
# What a pass says now, as a ratio of what the end says: a row for each part of the fit that is
# over, a column for each lambda. Measured on training photographs.
_PROGRESS = (0.3, 0.5, 0.7, 0.85, 1.0)
_LAMBDAS = (2e-4, 1e-3, 6e-3, 3e-2)
_BITS = (
    (1.10, 1.12, 1.45, 2.00),
    (1.03, 1.03, 1.13, 1.25),
    (1.00, 0.98, 0.99, 1.00),
    (0.99, 0.975, 0.97, 0.97),
    (0.995, 0.985, 0.98, 0.98),
)
_DISTORTIONS = (
    (1.25, 1.10, 1.02, 1.02),
    (1.08, 1.00, 0.97, 0.97),
    (0.99, 0.96, 0.95, 0.95),
    (0.98, 0.95, 0.95, 0.95),
    (0.985, 0.96, 0.96, 0.96),
)
# The networks' quantisation still adds something.
_LEFT_FOR_QUANTISATION = 0.015
# After the fit: rounds of a few passes, how large their steps are and how little they respond.
_ROUNDS, _ROUND_SHARE, _LEAST_ROUND = 4, 0.08, 5
_HASTE, _SHORT_RESPONSE, _LARGEST_PUSH = 2.5, 0.12, 1.5
_DEAD_ZONES = (0.1, 0.2, 0.3, 0.45)
_CORRECTIONS, _HALVINGS = 4, 10
_CAUTION = 0.04  # of the excess, where what was left could not be made up for
_LARGEST_CORRECTION = 2.0  # of ln(lambda) from one fit to the next
_BLOCK_LEVEL = 3  # blocks of 8 by 8 pixels
_BLOCK = 8


@dataclass(frozen=True)
class Goal:
    """What a file should come to; one of the two.

    Attributes:
        payload_bytes: (least, aim, most) bytes of the section P.
        psnr: (least, aim, most) PSNR in dB of the decoded samples.
        levels: Integer steps from 0 to 1 of the decoded samples; None of floating-point ones.
        scales: Of floating-point samples, each channel's range relative to the largest possible
            error; else empty, and all are 1.
    """

    payload_bytes: tuple[float, float, float] | None = None
    psnr: tuple[float, float, float] | None = None
    levels: int | None = None
    scales: tuple[float, ...] = ()

    @property
    def window(self) -> tuple[float, float, float]:
        """Least, aim and most."""
        window = self.payload_bytes or self.psnr
        assert window is not None
        return window

    def excess(self, value: float) -> float:
        """How far a size or PSNR is above the aim: ln of the ratio of bytes, or of distortions."""
        aim = self.window[1]
        if self.payload_bytes:
            return math.log(max(value, 1.0) / max(aim, 1.0))
        return (value - aim) * math.log(10) / 10

    def is_met(self, value: float) -> bool:
        """Whether a size or PSNR is in the window."""
        least, _, most = self.window
        return least <= value <= most

    def is_met_by_constant(self, payload_bytes: int) -> bool:
        """Whether a picture of one colour meets it, which loses nothing."""
        return self.payload_bytes is None or self.is_met(payload_bytes)

    def miss(self, value: float) -> float:
        """How bad a size or PSNR is; files that are too large are worse than all that are not."""
        too_large = self.payload_bytes is not None and value > self.window[2]
        return abs(self.excess(value)) + (1e6 if too_large else 0.0)

    def psnr_of(self, distortion: float) -> float:
        """PSNR after the decoder has rounded, which adds an error of its own."""
        rounding = 0.0 if self.levels is None else 1 / (12 * self.levels**2)
        return -10 * math.log10(max(distortion + rounding, 1e-20))


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

    def begin(self, bits: float, networks_lambda: float, passes: int) -> None:
        """Take in the bits of a fit's first latents; they and theory count the same."""
        if self.goal.payload_bytes is None or not self._is_guess:
            return
        logarithm = math.log(networks_lambda)
        bits /= float(np.interp(logarithm, np.log(_NETWORKS_LAMBDAS), _FIRST_BITS))
        bits *= _found(_FOUND_BITS, logarithm, passes)
        bits /= _found(_FOUND_BITS, logarithm, _FOUND_PASSES[0])
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
            excess -= _LEFT_FOR_QUANTISATION
        else:
            excess = self.goal.excess(self.goal.psnr_of(distortion / scale))
            excess -= 2 * _LEFT_FOR_QUANTISATION
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
    rows = [np.interp(math.log(lambda_), np.log(_LAMBDAS), row) for row in table]
    return float(np.interp(progress, _PROGRESS, rows))


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
    trainer, grids = fitted.trainer, fitted.shape.grids
    meter = _Meter(control.goal, fitted, parameters, network_bytes, measure)
    above: Latents | None = None
    below: Latents | None = None
    last = schedule.at(schedule.soft_passes - 1)
    passes = max(_LEAST_ROUND, round(_ROUND_SHARE * schedule.passes))
    fit_lambda, push = control.mean_lambda, 0.0
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
        push += excess + math.copysign(_LEFT_FOR_QUANTISATION, excess)
        change = min(max(push / _SHORT_RESPONSE, -_LARGEST_PUSH), _LARGEST_PUSH)
        lambda_ = fit_lambda * math.exp(change)
        for step in range(passes):
            # Falling to nothing: steps that end large leave latents that have just been pushed by
            # noise, which costs bits and quality.
            rate = _HASTE * last.latent_rate * (1 - step / passes) * (2 if excess < -0.1 else 1)
            trainer.step(
                parameters,
                None,
                temperature=last.temperature,
                noise=last.noise,
                lambda_=lambda_,
                seed=seed,
                step=schedule.passes + number * passes + step,
                learning_rate=[rate * share for share in schedule.shares(grids)],
                beta1=schedule.latent_betas[0],
                beta2=schedule.latent_betas[1],
                sharing=schedule.sharing,
            )
    if above is None:
        assert below is not None
        return below
    for dead_zone in _DEAD_ZONES:
        if below is not None:
            break
        # Still too much: what is between two integers goes to the one that is nearer to zero.
        control.left = meter.excess(above)
        fewer = [_rounded(grid, dead_zone) for grid in moving]
        if meter.excess(fewer) <= 0:
            below = fewer
    near = below is not None
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
        for _ in range(_HALVINGS):
            middle = (few + many) / 2
            if meter.excess(mixed(middle)) > 0:
                few = middle
            else:
                many = middle
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


def first_lambda(image: FloatArray, goal: Goal, passes: int) -> float:
    """Return a lambda with which a fit comes near a goal.

    Args:
        image: (H, W, C) float32 in [0, 1].
        goal: What to come to.
        passes: Of the fit.
    """
    energies = _block_energies(image)
    height, width, channels = image.shape
    low, high = math.log(LEAST_LAMBDA), math.log(MOST_LAMBDA)
    for _ in range(20):
        middle = (low + high) / 2
        level = math.exp(middle) * channels / (2 * math.log(2))
        if goal.payload_bytes:
            bits = height * width * channels * float(np.log2(1 + energies / level).mean()) / 2
            value = _found(_FOUND_BITS, middle, passes) * bits / 8
        else:
            distortion = float(np.minimum(energies, level).mean())
            value = goal.psnr_of(_found(_FOUND_DISTORTIONS, middle, passes) * distortion)
        if goal.excess(value) > 0:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def _found(table: Table, log_lambda: float, passes: int) -> float:
    """What fits come to, as a ratio of what theory promises."""
    rows = [np.interp(log_lambda, np.log(_FOUND_LAMBDAS), row) for row in table]
    return float(np.interp(math.log(passes), np.log(_FOUND_PASSES), rows))


def _block_energies(image: FloatArray) -> npt.NDArray[np.float32]:
    """Squares of a block's cosine transform, of at most about a million pixels spread evenly.

    Of the mean values, those of the differences from block to block.
    """
    height, width, channels = image.shape
    every = -(-(height * width) // (1 << 20))
    rows = np.arange(height) if every == 1 else _rows_of_some_blocks(height, every)
    part = image[np.minimum(rows, height - 1)]
    padding = ((0, -len(part) % _BLOCK), (0, -width % _BLOCK), (0, 0))
    part = np.pad(part @ colour_axes(channels).T.astype(np.float32), padding, mode="edge")
    blocks = part.reshape(len(part) // _BLOCK, _BLOCK, -1, _BLOCK, channels)
    k, x = np.mgrid[:_BLOCK, :_BLOCK]
    cosines = np.cos(np.pi * (2 * x + 1) * k / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    cosines[0] /= math.sqrt(2)
    basis = cosines.astype(np.float32)
    transformed = np.einsum("ki,yixjc,lj->yxckl", basis, blocks, basis, optimize=True)
    means = transformed[..., 0, 0]
    means[:, 1:] -= means[:, :-1].copy()
    means[:, 0] = 0
    energies: npt.NDArray[np.float32] = transformed * transformed
    return energies


def _rows_of_some_blocks(height: int, every: int) -> npt.NDArray[np.int64]:
    starts = np.arange(0, height, _BLOCK * every)
    rows: npt.NDArray[np.int64] = (starts[:, None] + np.arange(_BLOCK)).ravel()
    return rows
