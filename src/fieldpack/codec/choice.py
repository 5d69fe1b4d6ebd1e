"""Which start of a fit suits a picture."""

from __future__ import annotations

from collections.abc import Sequence

from fieldpack.codec.model import ModelShape
from fieldpack.codec.prior import PriorNetworks
from fieldpack.codec.schedule import Schedule
from fieldpack.codec.trial import Trials

# Without the finest grid, more bits a pixel than this are not well spent: one for each latent of
# the grid that is then the finest.
_MOST_BITS, _DEAR_LAMBDA, _LONG_FIT = 0.31, 0.004, 420
# Where trials hardly see a difference, flat latents may end 10 % worse and at most 2 % better.
_FLAT_DOUBT = 1.03
_FEWEST_FROM_SCRATCH, _MOST_FROM_SCRATCH = 30, 150


def best_networks(
    trials: Trials,
    candidates: Sequence[PriorNetworks],
    lambda_: float,
    passes: int,
    bits: float | None = None,
) -> PriorNetworks:
    """Return the networks with which a part of a picture, fitted briefly, has the least loss.

    They do not move while they are compared. Whether they have the finest grid follows from the
    bits that the part takes without, or from those that the picture is to have.

    Args:
        trials: Of the picture.
        candidates: One or more; of equals, the first is taken.
        lambda_: Loss of a bit a pixel.
        passes: Of the fit to come, which should take much longer than the choice.
        bits: What the picture is to have, a pixel; None if lambda alone decides that.
    """
    coarse = [c for c in candidates if c.finest]
    if len(coarse) not in (0, len(candidates)):
        # A short fit does not tell what the finest grid is worth, but what a picture needs without.
        if bits is None:
            bits = trials.of_networks(coarse[0], lambda_, passes).bits
        needs_finest = bits > _bits_without_finest(lambda_, passes)
        candidates = [c for c in candidates if (c.finest == 0) == needs_finest]
    if len(candidates) == 1:
        return candidates[0]

    def judged(networks: PriorNetworks) -> float:
        loss = trials.of_networks(networks, lambda_, passes).loss
        return loss * _FLAT_DOUBT if networks.is_flat else loss

    return min(candidates, key=judged)


def _bits_without_finest(lambda_: float, passes: int) -> float:
    """Bits a pixel beyond which a picture needs the finest grid; long fits make more of it."""
    dearness = max(lambda_ / _DEAR_LAMBDA, 1.0)
    return float(_MOST_BITS * (dearness * min(_LONG_FIT / passes, 1.0)) ** 0.4)


def is_flat_better(trials: Trials, shape: ModelShape, lambda_: float, passes: int) -> bool:
    """Whether a fit from scratch should start flat, see `initialisation.analyse`.

    Args:
        trials: Of the picture.
        shape: Sizes of the networks.
        lambda_: Loss of a bit a pixel.
        passes: Of the fit to come, which should take much longer than the choice.
    """
    passes = min(max(passes // 10, _FEWEST_FROM_SCRATCH), _MOST_FROM_SCRATCH)
    pyramid, flat = (
        trials.of_schedule(shape, lambda_, Schedule.of(passes, lambda_, is_flat=is_flat)).loss
        for is_flat in (False, True)
    )
    return flat < pyramid
