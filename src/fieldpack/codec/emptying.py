"""Latents with less and less in them, down to nothing: for files smaller than fits can make them.

A fit moves latents by a few steps, so that what coarse grids hold stays in them, however dear bits
are. What is taken here is, first, all details of a part of the picture, then of another, from those
that have the least to those that have the most; and then what a pyramid of the coarse grids has, by
soft thresholds as in the shrinkage of wavelets (Donoho, "De-noising by soft-thresholding", 1995):
context models tell smooth grids from their neighbours in few bits. Of the largest pictures, there
are too many of these bits, too: then what is left goes from the lowest rows up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fieldpack.codec.initialisation import doubled, halved
from fieldpack.codec.model import FloatArray

_ALL_DETAILS, _ALL_SMOOTH = 0.5, 0.9  # shares with which the grids are so


def emptying(latents: Sequence[FloatArray], channels: int) -> Callable[[float], list[FloatArray]]:
    """Return what gives latents of which a share, from 0 to 1, is taken.

    Args:
        latents: Integers in quantisation steps, float32 (h_k, w_k) of each grid.
        channels: Of the picture: the coarsest grids, as many, hold its mean colours and get smooth.
            The others hold details, and are empty before that.
    """
    first_coarse = max(len(latents) - channels, 0)
    order = _order_of_blocks(latents, first_coarse)
    coarse = max(float(np.abs(g).max()) * _weight(k) for k, g in enumerate(latents))

    def emptied(share: float) -> list[FloatArray]:
        if share >= 1:
            return [np.zeros_like(grid) for grid in latents]
        left: list[FloatArray] = []
        for k, grid in enumerate(latents):
            if k < first_coarse:
                is_lost = order <= share / _ALL_DETAILS
                is_lost = _repeated(is_lost, 1 << (first_coarse - k), grid.shape)
                left.append(np.where(is_lost, np.float32(0), grid))
            elif share > _ALL_DETAILS:
                part = min((share - _ALL_DETAILS) / (_ALL_SMOOTH - _ALL_DETAILS), 1.0)
                # With care: there are few bits in many steps.
                smooth = np.rint(_smooth(grid, coarse * part**2 / _weight(k)))
                kept = round(min((1 - share) / (1 - _ALL_SMOOTH), 1.0) * smooth.size)
                smooth.flat[kept:] = 0
                left.append(smooth)
            else:
                left.append(grid.copy())
        return left

    return emptied


def _order_of_blocks(latents: Sequence[FloatArray], first_coarse: int) -> FloatArray:
    """A number above 0 up to 1 for each block, as large as a latent of the first coarse grid.

    The more details a block has, the larger it is.
    """
    size = latents[first_coarse].shape
    details = np.zeros(size)
    for k, grid in enumerate(latents[:first_coarse]):
        side = 1 << (first_coarse - k)
        padded = np.zeros((size[0] * side, size[1] * side))
        padded[: grid.shape[0], : grid.shape[1]] = np.abs(grid)
        sums = padded.reshape(size[0], side, size[1], side).sum((1, 3))
        details += sums * _weight(k)
    ranks = np.empty(details.size, np.float32)
    ranks[details.ravel().argsort(kind="stable")] = np.arange(1, details.size + 1)
    order: FloatArray = (ranks / np.float32(details.size)).reshape(size)
    return order


def _repeated(
    values: npt.NDArray[np.bool_], times: int, size: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    return values.repeat(times, 0).repeat(times, 1)[: size[0], : size[1]]


def _weight(level: int) -> float:
    """How much a step in a grid is worth, as a ratio to one in the finest.

    Steps are finer in coarser grids, but each moves more pixels.
    """
    return float(2.0 ** (level / 2))


def _smooth(grid: FloatArray, threshold: float) -> FloatArray:
    """Details of a grid (h, w) closer to zero, those of its halves by half as much, and so on."""
    if max(grid.shape) < 2:
        return grid
    known = doubled(_smooth(halved(grid), threshold / 2), grid.shape)
    return known + _towards_zero(grid - known, threshold)


def _towards_zero(values: FloatArray, by: float) -> FloatArray:
    closer: FloatArray = np.sign(values) * np.maximum(np.abs(values) - by, 0)
    return closer
