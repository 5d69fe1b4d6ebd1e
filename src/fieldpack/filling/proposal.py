"""What the network proposes for missing pixels: averaged over views, computed part by part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fieldpack import _engine
from fieldpack.filling.guess import thin_plate
from fieldpack.filling.network import shipped_network

VIEWS = {1: 1, 2: 2, 3: 4, 4: 8, 5: 8, 6: 16, 7: 16, 8: 32, 9: 32}
"""Views of the picture that are averaged, by effort: turned, mirrored, shifted by a pixel."""

_CELL = 8  # pixels of a position at the coarsest level
# Of the network's reach: 34 pixels, rounded up to whole cells.
_MARGIN = 40
_CORE = 688
_SHIFTS = ((0, 0), (1, 1), (0, 1), (1, 0))

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


def propose(
    image: FloatArray,
    mask: Mask,
    effort: int,
    threads: int,
    progress: Callable[[float], None] | None = None,
) -> FloatArray:
    """Return values at all pixels, those of `image` where known.

    Args:
        image: (H, W, C) in about [0, 1]; colours come in threes (RGB, CMY of CMYK), other channels
            stand alone.
        mask: (H, W), true where known, somewhere at least.
        effort: 1 to 9, see `VIEWS`.
        threads: Threads of the engine; the result does not depend on it.
        progress: Told the part done after each step.
    """
    network = shipped_network()
    channels = image.shape[2]
    groups = [[0, 1, 2], *[[c] for c in range(3, channels)]]
    if channels < 3:
        groups = [[c] for c in range(channels)]
    out = np.empty_like(image)
    views = VIEWS[effort]
    done = 0
    for group in groups:
        # A channel alone is grey: the same three times.
        guess = thin_plate(image[:, :, group], mask, threads)
        guess = np.broadcast_to(guess, (*mask.shape, 3))
        total = np.zeros(guess.shape, np.float32)
        for view in range(views):
            total += _through_view(network, guess, mask, view, threads)
            done += 1
            if progress:
                progress(done / (views * len(groups)))
        total /= np.float32(views)
        if len(group) == 1:
            total = total.mean(axis=2, keepdims=True)
        out[:, :, group] = total
    return np.where(mask[:, :, np.newaxis], image, out)


def _through_view(
    network: _engine.FillingNetwork, guess: FloatArray, mask: Mask, view: int, threads: int
) -> FloatArray:
    """One evaluation, of the picture mirrored (bit 0), turned (bits 1, 2), shifted (3, 4)."""
    turns = (0, 2, 1, 3)[view >> 1 & 3]
    if view & 1:
        guess, mask = guess[:, ::-1], mask[:, ::-1]
    guess, mask = np.rot90(guess, turns), np.rot90(mask, turns)
    top, left = _SHIFTS[view >> 3]
    height, width = mask.shape
    bottom, right = -(height + top) % _CELL, -(width + left) % _CELL
    frame = (top, bottom), (left, right)
    known = np.pad(mask.astype(np.float32), frame)
    guess = np.pad(guess, (*frame, (0, 0)), mode="edge")
    out = _in_parts(network, guess, known, threads)
    out = np.rot90(out[top : top + height, left : left + width], -turns)
    return out[:, ::-1] if view & 1 else out


def _in_parts(
    network: _engine.FillingNetwork, guess: FloatArray, known: FloatArray, threads: int
) -> FloatArray:
    """The network's result, computed in parts that overlap so far that no seam can be seen."""
    height, width = known.shape
    out = np.empty_like(guess)
    for y in range(0, height, _CORE):
        for x in range(0, width, _CORE):
            top, left = max(y - _MARGIN, 0), max(x - _MARGIN, 0)
            part = np.s_[top : y + _CORE + _MARGIN, left : x + _CORE + _MARGIN]
            result = network.run(
                np.ascontiguousarray(guess[part]), np.ascontiguousarray(known[part]), threads
            )
            core = result[y - top : y - top + _CORE, x - left : x - left + _CORE]
            out[y : y + _CORE, x : x + _CORE] = core
    return out
