"""From a picture's values to the bytes of a pyramid: for a lambda, or for a size or quality."""

from __future__ import annotations

import math
from collections.abc import Callable

from fieldpack.codec.attempt import EncodedPyramid, Job, Plan, attempt
from fieldpack.codec.effort import SCRATCH_PASSES
from fieldpack.codec.fit import Progress
from fieldpack.codec.goal import Goal
from fieldpack.codec.model import FloatArray
from fieldpack.codec.payload import read_pyramid, write_constant
from fieldpack.codec.prior import near_networks
from fieldpack.codec.rate_control import RateControl
from fieldpack.codec.small_pictures import best_of_tries, is_worth_tries, longer
from fieldpack.codec.start import StartTowards, start_for
from fieldpack.codec.structure import Structure

_ATTEMPTS, _LEAST_CORRECTION = 4, 0.03
# Coming to a goal takes time. Where there are so many passes that few of them are worth little, a
# tenth of them makes up for most of it; where there are very many, it does not matter.
_PASSES_TO_SAVE, _SHARE_WITH_GOAL = range(70, 400), 0.9


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
        effort: 1 to 9, see `passes_for` and `SCRATCH_PASSES`.
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
        height, width, channels = image.shape
        pyramid = read_pyramid(payload, channels, height, width)
        return EncodedPyramid(payload, pyramid, 0, (), is_met)
    if structure is not None:
        weights = structure.weights
    job = Job(image, weights, structure, effort, use_prior, seed, threads, callback)
    if isinstance(lambda_, Goal):
        return _attempt_to(lambda_, job)
    return _attempt_for(lambda_, job)


def _attempt_for(lambda_: float, job: Job) -> EncodedPyramid:
    if job.use_prior and is_worth_tries(job):
        networks = near_networks(lambda_, job.image.shape[2], job.pixels)
        if networks:
            tried, rest = best_of_tries(job, lambda_, networks)
            last = attempt(rest, lambda_, longer(tried), needs_loss=True)
            return last if last.loss < tried.loss else tried.encoded
    prior = start_for(job.trials, lambda_, job.passes) if job.use_prior else None
    return attempt(job, lambda_, Plan(prior), needs_loss=False)


def _attempt_to(goal: Goal, job: Job) -> EncodedPyramid:
    """Fit once, and again from what was found out if a picture turns out to be unlike others."""
    start = StartTowards(job.image, goal, job.trials, job.passes, use_prior=job.use_prior)
    best: EncodedPyramid | None = None
    least_miss = (True, math.inf)
    plan, rest = _plan_towards(start, job)
    for _ in range(_ATTEMPTS):
        lambda_ = start.lambda_
        passes = SCRATCH_PASSES[job.effort]
        if plan.prior is not None:
            passes = round(plan.share * job.passes)
        control = RateControl(goal, lambda_, passes)
        found = attempt(rest, lambda_, plan, control, needs_loss=False)
        miss = (not found.is_met, goal.miss(found.value) + abs(control.left))
        if best is None or miss < least_miss:
            best, least_miss = found, miss
        following = control.following(found.value)
        if (
            miss == (False, goal.miss(found.value))
            or abs(math.log(following / lambda_)) < _LEAST_CORRECTION
        ):
            break
        if start.move_to(following):
            plan, rest = _plan_towards(start, job)
    assert best is not None
    return best


def _plan_towards(start: StartTowards, job: Job) -> tuple[Plan, Job]:
    if start.networks is None:
        return Plan(None), job
    if not is_worth_tries(job):
        share = _SHARE_WITH_GOAL if job.passes in _PASSES_TO_SAVE else 1.0
        return Plan(start.networks, share=share), job
    near = [
        n for n in near_networks(start.lambda_, job.image.shape[2], job.pixels) if start.allows(n)
    ]
    tried, rest = best_of_tries(job, start.lambda_, near or [start.networks])
    return longer(tried), rest
