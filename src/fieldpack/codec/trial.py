"""Short fits of a part of a picture, which tell what fits of the whole would come to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fieldpack.codec.fit import fit
from fieldpack.codec.model import FloatArray, ModelShape
from fieldpack.codec.prior import PriorNetworks
from fieldpack.codec.schedule import Schedule, schedule_for

_BLOCK, _BLOCK_ROWS, _BLOCK_COLUMNS = 64, 4, 6
# Seams between blocks would cost more with some networks than with others: what is so near to one
# does not count.
_SEAM = 3
_MOST_PASSES = 30
# Trials of networks that move take longer: before fits of at least so many passes, and with a part
# that is at most such a share of the picture.
_PASSES_WHEN_MOVING, _FEWEST_FOR_MOVING, _LARGEST_SHARE_FOR_MOVING = 60, 70, 0.5


class Trial(NamedTuple):
    """What a short fit came to; bits a pixel that counts, without the networks'."""

    loss: float
    distortion: float
    bits: float


class Trials:
    """Short fits of a part of one picture.

    Args:
        image: (H, W, C) float32 in [0, 1].
        weights: (H, W, C) of each sample, as for `fit`.
        threads: Threads of the engine; the results do not depend on them.
        seed: Of the first networks and the noise.

    Attributes:
        pixels: Of the picture.
        part: The part, (h, w, C).
        share_of_picture: How large it is, 0 to 1, and so how much of a pass's time one here takes.
    """

    def __init__(
        self,
        image: FloatArray,
        weights: FloatArray | None = None,
        threads: int = 1,
        seed: int = 0,
    ) -> None:
        self.pixels = image.shape[0] * image.shape[1]
        self.part, counts = mosaic(image)
        self._weights = None if counts.all() else counts
        if weights is not None:
            self._weights = mosaic(weights)[0] * counts
            if not self._weights.any():
                self.part, counts, self._weights = image, np.ones_like(image), weights
        self.share_of_picture = self.part.size / image.size
        self._share = float(counts.mean())
        self._threads, self._seed = threads, seed
        self._done: dict[tuple[PriorNetworks, float, Schedule], Trial] = {}

    def of_networks(self, networks: PriorNetworks, lambda_: float, passes: int) -> Trial:
        """Fit latents to a prior's networks as they are, in `trial_passes`.

        Args:
            networks: As they stay.
            lambda_: Loss of a bit a pixel.
            passes: Of the fit to come.
        """
        schedule = Schedule.with_prior(trial_passes(passes), lambda_, moves=False)
        return self._once(networks, lambda_, schedule)

    def may_move(self, passes: int) -> bool:
        """Whether trials of networks that move are worth their time before so many passes."""
        is_small_part = self.share_of_picture <= _LARGEST_SHARE_FOR_MOVING
        return passes >= _FEWEST_FOR_MOVING and is_small_part

    def of_moving_networks(self, networks: PriorNetworks, lambda_: float) -> Trial:
        """Fit latents and networks.

        Args:
            networks: To begin with.
            lambda_: Loss of a bit a pixel.
        """
        return self._once(networks, lambda_, schedule_for(_PASSES_WHEN_MOVING, lambda_, networks))

    def _once(self, networks: PriorNetworks, lambda_: float, schedule: Schedule) -> Trial:
        key = (networks, lambda_, schedule)
        if key not in self._done:
            self._done[key] = self.of_schedule(networks.shape, lambda_, schedule, networks)
        return self._done[key]

    def of_schedule(
        self,
        shape: ModelShape,
        lambda_: float,
        schedule: Schedule,
        networks: PriorNetworks | None = None,
    ) -> Trial:
        """Fit as a schedule says.

        Args:
            shape: Sizes of the networks.
            lambda_: Loss of a bit a pixel.
            schedule: Of the trial.
            networks: To begin with; None begins from scratch.
        """
        fitted = fit(
            self.part,
            shape,
            lambda_ / self._share,
            schedule,
            prior=networks,
            weights=self._weights,
            threads=self._threads,
            seed=self._seed,
        )
        bits = sum(fitted.bits) / (self.part.shape[0] * self.part.shape[1] * self._share)
        return Trial(fitted.distortion + lambda_ * bits, fitted.distortion, bits)


def trial_passes(passes: int) -> int:
    """Passes of the trials before a fit with a prior that takes so many."""
    return min(passes // 2, _MOST_PASSES)


def mosaic(image: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return blocks spread evenly over a picture (H, W, C), side by side, and which samples count.

    Both (h, w, C), the second 0 near seams, else 1. A small picture is returned as it is.
    """
    height, width = image.shape[:2]
    rows_of_mosaic, columns_of_mosaic = _BLOCK * _BLOCK_ROWS, _BLOCK * _BLOCK_COLUMNS
    is_smaller = height < rows_of_mosaic or width < columns_of_mosaic
    if is_smaller or (height, width) == (rows_of_mosaic, columns_of_mosaic):
        return image, np.ones_like(image)
    rows = np.linspace(0, height - _BLOCK, _BLOCK_ROWS).round().astype(int)
    columns = np.linspace(0, width - _BLOCK, _BLOCK_COLUMNS).round().astype(int)
    part = np.concatenate(
        [
            np.concatenate([image[y : y + _BLOCK, x : x + _BLOCK] for x in columns], axis=1)
            for y in rows
        ]
    )
    counts = np.ones_like(part)
    for y in range(_BLOCK, len(part), _BLOCK):
        counts[y - _SEAM : y + _SEAM] = 0
    for x in range(_BLOCK, part.shape[1], _BLOCK):
        counts[:, x - _SEAM : x + _SEAM] = 0
    return part, counts
