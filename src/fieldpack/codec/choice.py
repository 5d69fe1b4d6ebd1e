"""Which start of a fit suits a picture: a short fit of a part of it, with each, tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fieldpack.codec.fit import fit
from fieldpack.codec.model import FloatArray, ModelShape
from fieldpack.codec.prior import PriorNetworks
from fieldpack.codec.schedule import Schedule

_BLOCK, _BLOCK_ROWS, _BLOCK_COLUMNS = 128, 2, 3
_MOST_PASSES = 30
# Without the finest grid, more bits a pixel than this are not well spent: one for each latent of
# the grid that is then the finest.
_MOST_BITS, _DEAR_LAMBDA, _LONG_FIT = 0.25, 0.004, 420
# Where the trial hardly sees a difference, flat latents may end 10 % worse and at most 2 % better.
_FLAT_DOUBT = 1.02
_FEWEST_FROM_SCRATCH, _MOST_FROM_SCRATCH = 30, 150


def best_networks(
    image: FloatArray,
    candidates: Sequence[PriorNetworks],
    lambda_: float,
    passes: int,
    weights: FloatArray | None = None,
    threads: int = 1,
    seed: int = 0,
) -> PriorNetworks:
    """Return the networks with which a part of a picture, fitted briefly, has the least loss.

    They do not move while they are compared. Whether they have the finest grid follows from the
    bits that the part takes without.

    Args:
        image: (H, W, C) float32 in [0, 1].
        candidates: One or more; of equals, the first is taken.
        lambda_: Loss of a bit a pixel.
        passes: Of the fit to come, which should take much longer than the choice.
        weights: (H, W, C) of each sample, as for `fit`.
        threads: Threads of the engine; the choice does not depend on them.
        seed: Of the noise.
    """
    if len(candidates) == 1:
        return candidates[0]
    fit_part = _fits_of_a_part(image, weights, lambda_, threads, seed)
    schedule = Schedule.with_prior(min(passes // 2, _MOST_PASSES), lambda_, mobility=0)
    coarse = [c for c in candidates if c.finest]
    if len(coarse) not in (0, len(candidates)):
        # A short fit does not tell what the finest grid is worth, but what a picture needs without.
        bits = fit_part(coarse[0].shape, schedule, coarse[0]).bits
        needs_finest = bits > _bits_without_finest(lambda_, passes)
        candidates = [c for c in candidates if (c.finest == 0) == needs_finest]
    if len(candidates) == 1:
        return candidates[0]

    def judged(networks: PriorNetworks) -> float:
        loss = fit_part(networks.shape, schedule, networks).loss
        return loss * _FLAT_DOUBT if networks.is_flat else loss

    return min(candidates, key=judged)


def _bits_without_finest(lambda_: float, passes: int) -> float:
    """Bits a pixel beyond which a picture needs the finest grid; long fits make more of it."""
    dearness = max(lambda_ / _DEAR_LAMBDA, 1.0)
    return float(_MOST_BITS * (dearness * min(_LONG_FIT / passes, 1.0)) ** 0.4)


def is_flat_better(
    image: FloatArray,
    shape: ModelShape,
    lambda_: float,
    passes: int,
    weights: FloatArray | None = None,
    threads: int = 1,
    seed: int = 0,
) -> bool:
    """Whether a fit from scratch should start flat, see `initialisation.analyse`.

    Args:
        image: (H, W, C) float32 in [0, 1].
        shape: Sizes of the networks.
        lambda_: Loss of a bit a pixel.
        passes: Of the fit to come, which should take much longer than the choice.
        weights: (H, W, C) of each sample, as for `fit`.
        threads: Threads of the engine; the choice does not depend on them.
        seed: Of the first networks and the noise.
    """
    fit_part = _fits_of_a_part(image, weights, lambda_, threads, seed)
    passes = min(max(passes // 10, _FEWEST_FROM_SCRATCH), _MOST_FROM_SCRATCH)
    pyramid, flat = (
        fit_part(shape, Schedule.of(passes, lambda_, is_flat=is_flat)).loss
        for is_flat in (False, True)
    )
    return flat < pyramid


class _Trial(NamedTuple):
    loss: float
    bits: float  # a pixel


def _fits_of_a_part(
    image: FloatArray, weights: FloatArray | None, lambda_: float, threads: int, seed: int
) -> Callable[..., _Trial]:
    part = mosaic(image)
    part_weights = mosaic(weights) if weights is not None else None
    if part_weights is not None and not part_weights.any():
        part, part_weights = image, weights
    height, width, _ = part.shape

    def trial(
        shape: ModelShape, schedule: Schedule, networks: PriorNetworks | None = None
    ) -> _Trial:
        fitted = fit(
            part,
            shape,
            lambda_,
            schedule,
            prior=networks,
            weights=part_weights,
            threads=threads,
            seed=seed,
        )
        bits = sum(fitted.bits) / (height * width)
        return _Trial(fitted.distortion + lambda_ * bits, bits)

    return trial


def mosaic(image: FloatArray) -> FloatArray:
    """Return blocks spread evenly over a picture (H, W, C), side by side; a small one as it is."""
    height, width = image.shape[:2]
    if height < _BLOCK * _BLOCK_ROWS or width < _BLOCK * _BLOCK_COLUMNS:
        return image
    rows = np.linspace(0, height - _BLOCK, _BLOCK_ROWS).round().astype(int)
    columns = np.linspace(0, width - _BLOCK, _BLOCK_COLUMNS).round().astype(int)
    return np.concatenate(
        [
            np.concatenate([image[y : y + _BLOCK, x : x + _BLOCK] for x in columns], axis=1)
            for y in rows
        ]
    )
