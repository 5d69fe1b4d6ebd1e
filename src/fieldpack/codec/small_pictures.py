"""Pictures of few pixels: what pays for them only trying tells, and there is time to try.

Networks that move are a large part of such a file.
"""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from fieldpack.codec.attempt import EncodedPyramid, Job, Plan, attempt
from fieldpack.codec.prior import FEW_PIXELS, PriorNetworks

_LEAST_EFFORT = 2
# First each of the networks as they are, with few passes, which tell the better ones; then these as
# they move, then the best of them as they stay; each time with a share of the passes, and at last
# with more.
_SHARE_OF_HEATS, _LEAST_OF_HEATS, _FINALISTS = 0.1, 20, 3
_SHARE_OF_TRIES, _SHARE_OF_LAST = 0.5, 4.0


class Tried(NamedTuple):
    """One of several attempts, and how it came about; the number decides between equals."""

    loss: float
    number: int
    plan: Plan
    encoded: EncodedPyramid


def is_worth_tries(job: Job) -> bool:
    """Whether there are few pixels, and time."""
    return job.pixels < FEW_PIXELS and job.effort >= _LEAST_EFFORT


def best_of_tries(job: Job, lambda_: float, networks: list[PriorNetworks]) -> tuple[Tried, Job]:
    """Return the best of short attempts, and the job for a longer one like it.

    Args:
        job: The picture, and what not to change.
        lambda_: Loss of a bit a pixel.
        networks: To begin with; at least one.
    """
    share_of_heats = max(_SHARE_OF_HEATS, _LEAST_OF_HEATS / job.passes)
    heats = len(networks) if len(networks) > _FINALISTS else 0
    number_of_tries = min(len(networks), _FINALISTS) + 1
    whole = heats * share_of_heats + number_of_tries * _SHARE_OF_TRIES + _SHARE_OF_LAST
    done = 0.0
    numbers = count()

    def try_once(prior: PriorNetworks | None, share: float, *, moves: bool) -> Tried:
        nonlocal done
        plan = Plan(prior, moves, share)
        found = attempt(job.part(done, share, whole), lambda_, plan, needs_loss=True)
        done += share
        return Tried(found.loss, next(numbers), plan, found)

    if heats:
        networks = sorted(networks, key=lambda n: try_once(n, share_of_heats, moves=False).loss)
    finals = [try_once(n, _SHARE_OF_TRIES, moves=True) for n in networks[:_FINALISTS]]
    finals.append(try_once(min(finals).plan.prior, _SHARE_OF_TRIES, moves=False))
    return min(finals), job.part(done, _SHARE_OF_LAST, whole)


def longer(tried: Tried) -> Plan:
    """Return a plan like the best one, with the passes of the last attempt."""
    plan, found = tried.plan, tried.encoded
    network_bytes = len(found.payload) - sum(found.latent_bits) / 8
    return Plan(plan.prior, plan.moves, _SHARE_OF_LAST, network_bytes)
