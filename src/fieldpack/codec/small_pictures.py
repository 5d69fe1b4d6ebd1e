"""Pictures of few pixels: what pays for them only trying tells, and there is time to try.

Networks that move far are a large part of such a file.
"""

from __future__ import annotations

from typing import NamedTuple

from fieldpack.codec.attempt import EncodedPyramid, Job, Plan, attempt
from fieldpack.codec.prior import PriorNetworks

_FEW_PIXELS, _LEAST_EFFORT = 70_000, 2
# First each of the networks, as they move by so much of their step sizes, then the best of these as
# they move by more or less; each time with a share of the passes, and at last with more.
_FIRST_MOBILITY, _OTHER_MOBILITIES = 0.3, (0.0, 0.1, 1.0)
_SHARE_OF_TRIES, _SHARE_OF_LAST = 0.5, 4.0
_MORE_WITH_PASSES = 0.3  # network bytes, as a power


class Tried(NamedTuple):
    """The best of several attempts, and how it came about; the number decides between equals."""

    loss: float
    number: int
    plan: Plan
    encoded: EncodedPyramid


def is_worth_tries(job: Job) -> bool:
    """Whether there are few pixels, and time."""
    height, width, _ = job.image.shape
    return bool(height * width < _FEW_PIXELS) and job.effort >= _LEAST_EFFORT


def best_of_tries(job: Job, lambda_: float, networks: list[PriorNetworks]) -> tuple[Tried, Job]:
    """Return the best of short attempts, and the job for a longer one like it.

    Args:
        job: The picture, and what not to change.
        lambda_: Loss of a bit a pixel.
        networks: To begin with; at least one.
    """
    tries: list[Tried] = []
    number_of_tries = len(networks) + len(_OTHER_MOBILITIES)
    whole = number_of_tries * _SHARE_OF_TRIES + _SHARE_OF_LAST

    def try_once(prior: PriorNetworks | None, mobility: float) -> None:
        number = len(tries)
        part = job.part(number * _SHARE_OF_TRIES, _SHARE_OF_TRIES, whole)
        plan = Plan(prior, mobility, _SHARE_OF_TRIES)
        found = attempt(part, lambda_, plan, needs_loss=True)
        tries.append(Tried(found.loss, number, plan, found))

    for prior in networks:
        try_once(prior, _FIRST_MOBILITY)
    best = min(tries).plan.prior
    for mobility in _OTHER_MOBILITIES:
        try_once(best, mobility)
    return min(tries), job.part(number_of_tries * _SHARE_OF_TRIES, _SHARE_OF_LAST, whole)


def longer(tried: Tried) -> Plan:
    """Return a plan like the best one, with the passes of the last attempt."""
    plan, found = tried.plan, tried.encoded
    network_bytes = len(found.payload) - sum(found.latent_bits) / 8
    network_bytes *= (_SHARE_OF_LAST / _SHARE_OF_TRIES) ** _MORE_WITH_PASSES
    return Plan(plan.prior, plan.mobility, _SHARE_OF_LAST, network_bytes)
