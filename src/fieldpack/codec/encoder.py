"""From a picture's values to the bytes of a pyramid: fit, quantise, refine, code, verify."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fieldpack import _engine
from fieldpack.codec.choice import is_flat_better
from fieldpack.codec.finishing import meet
from fieldpack.codec.fit import Fitted, Progress, fit
from fieldpack.codec.goal import Goal
from fieldpack.codec.model import FloatArray, ModelShape, engine_model, grids_of
from fieldpack.codec.network_coding import Networks
from fieldpack.codec.payload import Latents, read_pyramid, write_constant, write_pyramid
from fieldpack.codec.prior import LEAST_SURELY_COARSE_LAMBDA, PriorNetworks, near_networks
from fieldpack.codec.quantization import quantize_networks
from fieldpack.codec.rate_control import RateControl
from fieldpack.codec.refinement import refine
from fieldpack.codec.schedule import Schedule, schedule_for
from fieldpack.codec.start import StartTowards, start_for
from fieldpack.codec.structure import Structure
from fieldpack.codec.trial import Trials
from fieldpack.errors import FieldpackError
from fieldpack.metrics import psnr

PASSES = {1: 22, 2: 36, 3: 80, 4: 170, 5: 420, 6: 1000, 7: 2400, 8: 4800, 9: 9500}
"""Passes over the whole picture by effort, where there is a prior."""

SCRATCH_PASSES = {1: 30, 2: 100, 3: 250, 4: 500, 5: 1000, 6: 2000, 7: 4000, 8: 6000, 9: 9500}
"""Passes by effort where all networks have to be learned."""

_ATTEMPTS, _LEAST_CORRECTION = 4, 0.03
_LEAST_NETWORK_BYTES = 6  # the prior's number, and that nothing differs
_LARGE_MODEL_EFFORT = 6
_LEAST_FLAT_EFFORT, _MOST_FLAT_LAMBDA = 3, 1.5e-3  # without a prior
# Without a prior, long fits have the finest grid up to a larger lambda.
_LONG_FIT, _LEAST_COARSE_LAMBDA_OF_LONG_FITS = 2000, 0.0076
# Pictures of fewer pixels are tried with several networks, and the best of these several times, as
# they move by so much of their step sizes; each time with a share of the passes, at last with more.
_FEW_PIXELS, _FIRST_MOBILITY, _OTHER_MOBILITIES = 70_000, 0.3, (0.0, 0.1, 1.0)
_SHARE_OF_TRIES, _SHARE_OF_LAST = 0.5, 4.0
_SMALL_PICTURE, _MEDIUM_PICTURE, _LARGE_PICTURE = 12_000, 50_000, 200_000  # pixels


@dataclass(frozen=True)
class EncodedPyramid:
    """A coded pyramid.

    Attributes:
        payload: The bytes of a section P.
        passes: Passes done.
        latent_bits: By grid, finest first.
        is_met: Whether it came to the goal; true without one.
    """

    payload: bytes
    passes: int
    latent_bits: tuple[float, ...]
    is_met: bool


def encode_pyramid(
    image: FloatArray,
    lambda_: float | Goal,
    effort: int,
    *,
    weights: FloatArray | None = None,
    structure: Structure | None = None,
    use_prior: bool = True,
    seed: int = 0,
    threads: int = 1,
    callback: Callable[[Progress], None] | None = None,
) -> EncodedPyramid:
    """Fit a pyramid to a picture and code it.

    Args:
        image: (H, W, C) float32, C = 1 to 4, in [0, 1].
        lambda_: Loss of one bit a pixel, against the mean squared error; or what the payload or
            the quality should come to.
        effort: 1 to 9, see `PASSES` and `SCRATCH_PASSES`.
        weights: (H, W, C) float32, of each sample in the mean squared error; all ones if None.
        structure: The distortion instead of the mean squared error; has weights of its own.
        use_prior: Whether to build on the shipped prior, where it has networks for such a picture
            and is the better choice.
        seed: Of the first networks and the training noise.
        threads: Threads of the engine; the bytes do not depend on it.
        callback: Called after every pass.
    """
    colour = image[0, 0]
    if (image == colour).all():
        payload = write_constant(colour)
        is_met = not isinstance(lambda_, Goal) or lambda_.is_met_by_constant(len(payload))
        return EncodedPyramid(payload, 0, (), is_met)
    if structure is not None:
        weights = structure.weights
    job = _Job(image, weights, structure, effort, use_prior, seed, threads, callback)
    if isinstance(lambda_, Goal):
        return _encode_to(lambda_, job)
    if use_prior and job.is_small and effort > 1:
        networks = near_networks(lambda_, image.shape[2])
        if networks:
            return _best_of_several(job, lambda_, networks)
    prior = start_for(job.trials(), lambda_, PASSES[effort]) if use_prior else None
    return _encode(job, lambda_, prior)[0]


def _best_of_several(job: _Job, lambda_: float, networks: list[PriorNetworks]) -> EncodedPyramid:
    """Try networks, then how far they may move, and then take time for what was best.

    What pays for a small picture only trying tells.
    """
    shares = [_SHARE_OF_TRIES] * (len(networks) + len(_OTHER_MOBILITIES)) + [_SHARE_OF_LAST]
    tries: list[_Try] = []

    def attempt(prior: PriorNetworks, mobility: float) -> None:
        number = len(tries)
        part = job.part(sum(shares[:number]), shares[number], sum(shares))
        encoded, loss = _encode(
            part, lambda_, prior, mobility, share=shares[number], has_rivals=True
        )
        tries.append(_Try(loss, number, prior, mobility, encoded))

    for prior in networks:
        attempt(prior, _FIRST_MOBILITY)
    best = min(tries)
    for mobility in _OTHER_MOBILITIES:
        attempt(best.prior, mobility)
    best = min(tries)
    attempt(best.prior, best.mobility)
    return min(tries).encoded


class _Try(NamedTuple):
    """One of several fits; the number decides between equal losses."""

    loss: float
    number: int
    prior: PriorNetworks
    mobility: float
    encoded: EncodedPyramid


@dataclass(frozen=True)
class _Job:
    """What stays the same from one attempt to the next."""

    image: FloatArray
    weights: FloatArray | None
    structure: Structure | None
    effort: int
    use_prior: bool
    seed: int
    threads: int
    callback: Callable[[Progress], None] | None

    @property
    def is_small(self) -> bool:
        """Whether networks that move far are a large part of what there is to store."""
        height, width, _ = self.image.shape
        return bool(height * width < _FEW_PIXELS)

    def trials(self) -> Trials:
        return Trials(self.image, self.weights, self.threads, self.seed)

    def part(self, before: float, share: float, whole: float) -> _Job:
        """One of several fits that follow each other: to the callback, they are one."""
        tell, passes = self.callback, round(whole * PASSES[self.effort])
        if tell is None:
            return self

        def shifted(progress: Progress) -> None:
            done = (before + share * (progress.step + 1) / progress.passes) / whole
            tell(replace(progress, step=max(round(done * passes), 1) - 1, passes=passes))

        return replace(self, callback=shifted)


def _encode_to(goal: Goal, job: _Job) -> EncodedPyramid:
    """Fit once, and again from what was found out if a picture turns out to be unlike others."""
    start = StartTowards(job.image, goal, job.trials(), PASSES[job.effort], use_prior=job.use_prior)
    best: EncodedPyramid | None = None
    least_miss = (True, math.inf)
    for _ in range(_ATTEMPTS):
        lambda_, prior = start.lambda_, start.networks
        passes = PASSES[job.effort] if prior is not None else SCRATCH_PASSES[job.effort]
        control = RateControl(goal, lambda_, passes)
        mobility = _FIRST_MOBILITY if job.is_small else 1.0
        encoded, value = _encode(job, lambda_, prior, mobility, control)
        miss = (not encoded.is_met, goal.miss(value) + abs(control.left))
        if best is None or miss < least_miss:
            best, least_miss = encoded, miss
        following = control.following(value)
        if (
            miss == (False, goal.miss(value))
            or abs(math.log(following / lambda_)) < _LEAST_CORRECTION
        ):
            break
        start.move_to(following)
    assert best is not None
    return best


def _encode(
    job: _Job,
    lambda_: float,
    prior: PriorNetworks | None,
    mobility: float = 1.0,
    control: RateControl | None = None,
    *,
    share: float = 1.0,
    has_rivals: bool = False,
) -> tuple[EncodedPyramid, float]:
    """Return a coded pyramid, fitted with a share of the passes, and the size or PSNR that it has.

    If there is no goal, its loss, or 0 where there are no rivals to compare it with.
    """
    image, effort, seed, threads = job.image, job.effort, job.seed, job.threads
    height, width, channels = image.shape
    if prior is None:
        shape = _model(channels, grids_of(height, width), effort, height * width)
        schedule = _scratch_schedule(job, shape, lambda_)
    else:
        shape = prior.shape
        schedule = schedule_for(round(share * PASSES[effort]), lambda_, prior, mobility)
    if control is not None:
        control.network_bytes = _likely_network_bytes(control.goal, shape, schedule, prior)
    fitted = fit(
        image,
        shape,
        lambda_,
        schedule,
        prior=prior,
        control=control,
        weights=job.weights,
        structure=job.structure,
        threads=threads,
        seed=seed,
        callback=job.callback,
    )
    if control is not None:
        lambda_ = control.effective_lambda
    loss_per_bit = lambda_ / (height * width)
    networks = _quantize(fitted, loss_per_bit, prior)
    rounded: Sequence[FloatArray] = fitted.latents
    value, is_met = 0.0, True
    if control is not None:
        goal = control.goal

        def measure(grids: Sequence[FloatArray]) -> float:
            if goal.payload_bytes:
                return len(write_pyramid(networks, _integers(grids), height, width)[0])
            return _decoded_psnr(image, networks, _integers(grids), goal, threads)

        nothing = [np.zeros(grid.shape, np.int32) for grid in rounded]
        network_bytes = len(write_pyramid(networks, nothing, height, width)[0])
        rounded = meet(control, fitted, networks.parameters, network_bytes, schedule, seed, measure)
    else:
        fitted.trainer.reset_moments()  # their memory is needed
        rounded = refine(fitted.trainer, networks.parameters, rounded, lambda_, schedule.passes)
    distortion = 0.0
    if has_rivals and job.structure is None:
        distortion = fitted.trainer.distortion(networks.parameters)
    # The trainer is most of the memory; what follows has copies of its own.
    del fitted
    latents = _integers(rounded)
    del rounded
    payload, bits = write_pyramid(networks, latents, height, width)
    _verify(payload, latents, image.shape)
    if control is not None:
        goal = control.goal
        value = (
            float(len(payload))
            if goal.payload_bytes
            else _decoded_psnr(image, networks, latents, goal, threads)
        )
        is_met = goal.is_met(value)
    elif has_rivals:
        if job.structure is not None:
            drawn = _drawn(networks, latents, height, width, threads)
            distortion = job.structure.distortion(image, drawn)
        value = distortion + loss_per_bit * 8 * len(payload)
    return EncodedPyramid(payload, schedule.passes, tuple(bits), is_met), value


def _scratch_schedule(job: _Job, shape: ModelShape, lambda_: float) -> Schedule:
    passes = SCRATCH_PASSES[job.effort]
    least_coarse = LEAST_SURELY_COARSE_LAMBDA
    if passes >= _LONG_FIT:
        least_coarse = _LEAST_COARSE_LAMBDA_OF_LONG_FITS
    finest = min(int(lambda_ >= least_coarse), shape.grids - 1)
    is_flat = (
        lambda_ < _MOST_FLAT_LAMBDA
        and job.effort >= _LEAST_FLAT_EFFORT
        and is_flat_better(job.trials(), shape, lambda_, passes)
    )
    return Schedule.of(passes, lambda_, is_flat=is_flat, finest=finest)


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


def _likely_network_bytes(
    goal: Goal, shape: ModelShape, schedule: Schedule, prior: PriorNetworks | None
) -> float:
    if not schedule.moves_networks:
        return _LEAST_NETWORK_BYTES
    likely = 1000.0 if prior is not None else 0.6 * shape.parameters
    if goal.payload_bytes:
        # Quantisation leaves out what does not pay.
        likely = min(likely, (0.08 if prior is not None else 0.3) * goal.payload_bytes[1])
    return likely


def _model(channels: int, grids: int, effort: int, pixels: int) -> ModelShape:
    """Return the networks' sizes: the larger ones cost 1 to 2 kB, which the picture must repay."""
    if pixels < _SMALL_PICTURE:
        return ModelShape(
            channels, grids, synthesis_hidden=(12,), neighbours=8, context_hidden=(8,)
        )
    if pixels < _MEDIUM_PICTURE:
        return ModelShape(
            channels, grids, synthesis_hidden=(24,), neighbours=12, context_hidden=(12, 12)
        )
    if effort < _LARGE_MODEL_EFFORT or pixels < _LARGE_PICTURE:
        return ModelShape(
            channels, grids, synthesis_hidden=(40,), neighbours=16, context_hidden=(16, 16)
        )
    return ModelShape(
        channels,
        grids,
        synthesis_hidden=(40,),
        neighbours=24,
        context_hidden=(24, 24),
        is_filtered=True,
    )


def _quantize(fitted: Fitted, loss_per_bit: float, prior: PriorNetworks | None) -> Networks:
    if prior is not None and (fitted.parameters == prior.parameters).all():
        return Networks.of_prior(prior)
    return quantize_networks(fitted.parameters, fitted.shape, fitted.trainer, loss_per_bit, prior)


def _verify(payload: bytes, latents: Latents, size: tuple[int, ...]) -> None:
    height, width, channels = size
    decoded = read_pyramid(payload, channels, height, width).latents
    if not all((a == b).all() for a, b in zip(decoded, latents, strict=True)):
        raise FieldpackError("the coded latents do not decode to what was coded; please report it")
