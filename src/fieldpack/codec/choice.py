"""Which start of a fit suits a picture."""

from __future__ import annotations

from collections.abc import Sequence

from fieldpack.codec.model import ModelShape
from fieldpack.codec.prior import PriorNetworks
from fieldpack.codec.schedule import Schedule
from fieldpack.codec.trial import Trials

# Without the finest grid, more bits a pixel than this are not well spent: one for each latent of
# the grid that is then the finest. Longer fits get the finest grid for fewer bits, but only up to
# a point: where bits are few, some pictures end 8 % worse with it even after 6,000 passes.
_MOST_BITS, _DEAR_LAMBDA, _LONG_FIT, _LONGEST_THAT_COUNTS = 0.25, 0.004, 420, 1500
_BITS_OF_SEAMS = 1.25  # what a part of blocks takes, as a ratio to the picture
# Where trials hardly see a difference, flat latents may end 10 % worse and at most 2 % better.
_FLAT_DOUBT = 1.03
# Networks that move make up for more where latents are a pyramid. Where there is time, a longer
# trial with such networks decides if the loss of flat latents, as a ratio, is between these.
_SURELY_FLAT, _SURELY_NOT_FLAT, _FLAT_DOUBT_WHEN_MOVING = 0.78, 1.04, 0.97
_FEWEST_FROM_SCRATCH, _MOST_FROM_SCRATCH = 30, 400


def best_networks(
    trials: Trials,
    candidates: Sequence[PriorNetworks],
    lambda_: float,
    passes: int,
    bits: float | None = None,
) -> PriorNetworks:
    """Return the networks with which a part of a picture, fitted briefly, has the least loss.

    Whether they have the finest grid follows from the bits that the part takes without, or from
    those that the picture is to have. Where the others that are left are close, networks of a flat
    start and of a pyramid are compared a second time, moving.

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
            if trials.share_of_picture < 1:
                bits /= _BITS_OF_SEAMS
        needs_finest = bits > _bits_without_finest(lambda_, passes)
        candidates = [c for c in candidates if (c.finest == 0) == needs_finest]
    best = [
        min(kind, key=lambda c: trials.of_networks(c, lambda_, passes).loss)
        if len(kind) > 1
        else kind[0]
        for is_flat in (False, True)
        if (kind := [c for c in candidates if c.is_flat == is_flat])
    ]
    if len(best) == 1:
        return best[0]
    pyramid, flat = best
    return flat if _suits_flat(trials, pyramid, flat, lambda_, passes) else pyramid


def _suits_flat(
    trials: Trials, pyramid: PriorNetworks, flat: PriorNetworks, lambda_: float, passes: int
) -> bool:
    loss_of_flat = trials.of_networks(flat, lambda_, passes).loss
    ratio = loss_of_flat / trials.of_networks(pyramid, lambda_, passes).loss
    is_doubtful = _SURELY_FLAT < ratio < _SURELY_NOT_FLAT
    if not (is_doubtful and trials.may_move(passes)):
        return ratio * _FLAT_DOUBT < 1
    loss_of_flat = trials.of_moving_networks(flat, lambda_).loss
    ratio = loss_of_flat / trials.of_moving_networks(pyramid, lambda_).loss
    return ratio * _FLAT_DOUBT_WHEN_MOVING < 1


def _bits_without_finest(lambda_: float, passes: int) -> float:
    """Bits a pixel beyond which a picture needs the finest grid; long fits make more of it."""
    dearness = lambda_ / _DEAR_LAMBDA
    most = _MOST_BITS * dearness ** (0.4 if dearness > 1 else 0.9)
    counted = min(max(passes, _LONG_FIT), _LONGEST_THAT_COUNTS)
    return float(most * (_LONG_FIT / counted) ** 0.4)


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
