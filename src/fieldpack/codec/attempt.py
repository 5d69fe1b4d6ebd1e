"""One fit of a picture and the bytes that it comes to: fit, quantise, refine, code, verify."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fieldpack import _engine
from fieldpack.codec.effort import passes_for, scratch_model, scratch_schedule
from fieldpack.codec.finishing import meet
from fieldpack.codec.fit import Fitted, Progress, fit
from fieldpack.codec.goal import Goal
from fieldpack.codec.model import FloatArray, ModelShape, engine_model, grids_of
from fieldpack.codec.network_coding import Networks
from fieldpack.codec.payload import Latents, Pyramid, read_pyramid, write_pyramid
from fieldpack.codec.prior import PriorNetworks
from fieldpack.codec.quantization import quantize_networks
from fieldpack.codec.rate_control import RateControl
from fieldpack.codec.refinement import refine
from fieldpack.codec.schedule import Schedule, schedule_for
from fieldpack.codec.structure import Structure
from fieldpack.codec.trial import Trials
from fieldpack.errors import FieldpackError
from fieldpack.metrics import psnr

_LEAST_NETWORK_BYTES = 4  # the prior, the set, empty grids, and that nothing differs
# What networks that moved take of a payload of so many bytes.
_NETWORKS_OF_PAYLOAD = ((100, 10), (500, 100), (2000, 270), (8000, 600), (32000, 1000), (1e5, 1200))


@dataclass(frozen=True)
class Job:
    """What stays the same from one attempt to the next; see `encode_pyramid`."""

    image: FloatArray
    weights: FloatArray | None
    structure: Structure | None
    effort: int
    use_prior: bool
    seed: int
    threads: int
    callback: Callable[[Progress], None] | None

    @property
    def pixels(self) -> int:
        """How many the picture has."""
        return int(self.image.shape[0] * self.image.shape[1])

    @property
    def passes(self) -> int:
        """Over the picture, where there is a prior: what a plan has a share of."""
        return passes_for(self.effort, self.pixels)

    @cached_property
    def trials(self) -> Trials:
        """Short fits of a part of the picture; what was tried once is remembered."""
        return Trials(self.image, self.weights, self.threads, self.seed)

    def part(self, before: float, share: float, whole: float) -> Job:
        """One of several fits that follow each other: to the callback, they are one."""
        tell, passes = self.callback, round(whole * self.passes)
        if tell is None:
            return self

        def shifted(progress: Progress) -> None:
            done = (before + share * (progress.step + 1) / progress.passes) / whole
            tell(replace(progress, step=max(round(done * passes), 1) - 1, passes=passes))

        return replace(self, callback=shifted)


@dataclass(frozen=True)
class Plan:
    """How to fit.

    Attributes:
        prior: The networks to begin with; None learns and stores all of them.
        moves: Whether they may move at all.
        share: Of the effort's passes.
        network_bytes: What the networks will take, if that is known.
    """

    prior: PriorNetworks | None
    moves: bool = True
    share: float = 1.0
    network_bytes: float | None = None


@dataclass(frozen=True)
class EncodedPyramid:
    """A coded pyramid.

    Attributes:
        payload: The bytes of a section P.
        pyramid: What they decode to.
        passes: Passes done.
        latent_bits: By grid, finest first.
        is_met: Whether it came to the goal; true without one.
        value: The size in bytes or the PSNR in dB, of which there is a goal; else 0.
        loss: What the fit was to minimise, in truth, if it was asked for; else 0.
    """

    payload: bytes
    pyramid: Pyramid
    passes: int
    latent_bits: tuple[float, ...]
    is_met: bool = True
    value: float = 0.0
    loss: float = 0.0


def attempt(
    job: Job, lambda_: float, plan: Plan, control: RateControl | None = None, *, needs_loss: bool
) -> EncodedPyramid:
    """Return a coded pyramid.

    Args:
        job: The picture, and what not to change.
        lambda_: Loss of a bit a pixel, at first.
        plan: How to fit.
        control: Changes lambda, to come to a goal.
        needs_loss: Whether to find out the loss.

    Raises:
        FieldpackError: What was coded does not decode to the same latents.
    """
    image, structure, threads = job.image, job.structure, job.threads
    height, width, _ = image.shape
    shape, schedule = _shape_and_schedule(job, lambda_, plan)
    if control is not None:
        control.network_bytes = _likely_network_bytes(control.goal, shape, schedule, plan)
    fitted = fit(
        image,
        shape,
        lambda_,
        schedule,
        prior=plan.prior,
        control=control,
        weights=job.weights,
        structure=structure,
        threads=threads,
        seed=job.seed,
        callback=job.callback,
    )
    if control is not None:
        lambda_ = control.goal_lambda
    loss_per_bit = lambda_ / (height * width)
    networks = _quantize(fitted, loss_per_bit, plan)
    rounded: Sequence[FloatArray] = fitted.latents
    if control is not None:
        goal = control.goal

        def measure(grids: Sequence[FloatArray]) -> float:
            if goal.payload_bytes:
                return len(write_pyramid(networks, _integers(grids), height, width)[0])
            return _decoded_psnr(image, networks, _integers(grids), goal, threads)

        nothing = [np.zeros(grid.shape, np.int32) for grid in rounded]
        network_bytes = len(write_pyramid(networks, nothing, height, width)[0])
        rounded = meet(
            control, fitted, networks.parameters, network_bytes, schedule, job.seed, measure
        )
    else:
        fitted.trainer.reset_moments()  # their memory is needed
        rounded = refine(fitted.trainer, networks.parameters, rounded, lambda_, schedule.passes)
    distortion = 0.0
    if needs_loss and structure is None:
        distortion = fitted.trainer.distortion(networks.parameters)
    # The trainer is most of the memory; what follows has copies of its own.
    del fitted
    latents = _integers(rounded)
    del rounded
    payload, bits = write_pyramid(networks, latents, height, width)
    pyramid = _decoded(payload, latents, image.shape)
    latents = pyramid.latents
    value = loss = 0.0
    is_met = True
    if control is not None:
        value = (
            float(len(payload))
            if control.goal.payload_bytes
            else _decoded_psnr(image, networks, latents, control.goal, threads)
        )
        is_met = control.goal.is_met(value)
    if needs_loss:
        if structure is not None:
            distortion = structure.distortion(
                image, _drawn(networks, latents, height, width, threads)
            )
        loss = distortion + loss_per_bit * 8 * len(payload)
    return EncodedPyramid(payload, pyramid, schedule.passes, tuple(bits), is_met, value, loss)


def _shape_and_schedule(job: Job, lambda_: float, plan: Plan) -> tuple[ModelShape, Schedule]:
    if plan.prior is not None:
        passes = round(plan.share * job.passes)
        return plan.prior.shape, schedule_for(passes, lambda_, plan.prior, moves=plan.moves)
    height, width, channels = job.image.shape
    shape = scratch_model(channels, grids_of(height, width), job.effort, height * width)
    return shape, scratch_schedule(job.trials, shape, lambda_, job.effort)


def _integers(latents: Sequence[FloatArray]) -> Latents:
    return [np.rint(grid).astype(np.int32) for grid in latents]


def _drawn(
    networks: Networks, latents: Latents, height: int, width: int, threads: int
) -> FloatArray:
    model, region = engine_model(networks.shape), (0, height, 0, width)
    return _engine.synthesise(model, networks.parameters, height, width, latents, region, threads)


def _decoded_psnr(
    image: FloatArray, networks: Networks, latents: Latents, goal: Goal, threads: int
) -> float:
    height, width, _ = image.shape
    decoded = _drawn(networks, latents, height, width, threads)
    if goal.levels is not None:
        levels = np.float32(goal.levels)
        decoded = np.rint(np.clip(decoded, 0, 1) * levels) / levels
    if goal.scales:
        scales = np.array(goal.scales, np.float32)
        return psnr(image * scales, decoded * scales, 1)
    return psnr(image, decoded, 1)


def _likely_network_bytes(goal: Goal, shape: ModelShape, schedule: Schedule, plan: Plan) -> float:
    if plan.network_bytes is not None:
        return plan.network_bytes
    if not schedule.moves_networks:
        return _LEAST_NETWORK_BYTES
    if plan.prior is None:
        return _likely_bytes_from_scratch(goal, shape, schedule.passes)
    if goal.payload_bytes is None:
        return 1000.0
    # Quantisation leaves out what does not pay.
    sizes, networks = zip(*_NETWORKS_OF_PAYLOAD, strict=True)
    return float(np.interp(math.log(goal.payload_bytes[1]), np.log(sizes), networks))


def _likely_bytes_from_scratch(goal: Goal, shape: ModelShape, passes: int) -> float:
    """About .6 bytes a weight, more in large files, and fewer where fits are short."""
    likely = shape.parameters * math.pow(min(passes / 130, 1.0), 0.2)
    if goal.payload_bytes is None:
        return 0.6 * likely
    aim = max(goal.payload_bytes[1], 1.0)
    return min(likely * max(0.6 + 0.13 * math.log(aim / 2500), 0.0), 0.3 * aim)


def _quantize(fitted: Fitted, loss_per_bit: float, plan: Plan) -> Networks:
    prior = plan.prior
    if prior is not None and (fitted.parameters == prior.parameters).all():
        return Networks.of_prior(prior)
    return quantize_networks(fitted.parameters, fitted.shape, fitted.trainer, loss_per_bit, prior)


def _decoded(payload: bytes, latents: Latents, size: tuple[int, ...]) -> Pyramid:
    """What the payload decodes to; an error if that is not what was coded."""
    height, width, channels = size
    pyramid = read_pyramid(payload, channels, height, width)
    if not all((a == b).all() for a, b in zip(pyramid.latents, latents, strict=True)):
        raise FieldpackError("the coded latents do not decode to what was coded; please report it")
    return pyramid
