"""What an effort means: how many passes, and where no prior helps, which networks."""

from __future__ import annotations

from fieldpack.codec.choice import is_flat_better
from fieldpack.codec.model import ModelShape
from fieldpack.codec.prior import FEW_PIXELS, LEAST_SURELY_COARSE_LAMBDA
from fieldpack.codec.schedule import Schedule
from fieldpack.codec.trial import Trials

PASSES = {1: 20, 2: 42, 3: 80, 4: 190, 5: 460, 6: 1050, 7: 2000, 8: 3800, 9: 6000}
"""Passes over the whole picture by effort, where there is a prior."""

PASSES_OF_FEW_PIXELS = {1: 22, 2: 50, 3: 110, 4: 250, 5: 600, 6: 1200, 7: 2400, 8: 3800, 9: 6000}
"""The same of pictures of fewer than `FEW_PIXELS`, for which there is more time."""

SCRATCH_PASSES = {1: 30, 2: 100, 3: 130, 4: 230, 5: 400, 6: 750, 7: 1330, 8: 2300, 9: 4000}
"""Passes by effort where all networks have to be learned: larger ones, in about the same time."""

_LARGE_MODEL_EFFORT = 6
_LEAST_FLAT_EFFORT, _MOST_FLAT_LAMBDA = 3, 1.5e-3
# Long fits have the finest grid up to a larger lambda.
_LONG_FIT, _LEAST_COARSE_LAMBDA_OF_LONG_FITS = 2000, 0.0076
_SMALL_PICTURE, _MEDIUM_PICTURE, _LARGE_PICTURE = 12_000, 50_000, 200_000  # pixels


def passes_for(effort: int, pixels: int) -> int:
    """Return how many passes a picture of so many pixels gets, where there is a prior.

    Raises:
        KeyError: The effort is not 1 to 9.
    """
    return (PASSES_OF_FEW_PIXELS if pixels < FEW_PIXELS else PASSES)[effort]


def scratch_model(channels: int, grids: int, effort: int, pixels: int) -> ModelShape:
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


def scratch_schedule(trials: Trials, shape: ModelShape, lambda_: float, effort: int) -> Schedule:
    """Return how networks of that shape are learned, from a pyramid or from flat grids."""
    passes = SCRATCH_PASSES[effort]
    least_coarse = LEAST_SURELY_COARSE_LAMBDA
    if passes >= _LONG_FIT:
        least_coarse = _LEAST_COARSE_LAMBDA_OF_LONG_FITS
    finest = min(int(lambda_ >= least_coarse), shape.grids - 1)
    is_flat = (
        lambda_ < _MOST_FLAT_LAMBDA
        and effort >= _LEAST_FLAT_EFFORT
        and is_flat_better(trials, shape, lambda_, passes)
    )
    return Schedule.of(passes, lambda_, is_flat=is_flat, finest=finest)
