"""What the network proposes for missing pixels: averaged over views, computed part by part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldpack import _engine
from fieldpack.filling.guess import thin_plate
from fieldpack.filling.network import NAMES, shipped_network
from fieldpack.filling.parts import in_parts
from fieldpack.filling.views import VIEWS, restore, see

_MARGIN = 40  # pixels; the network reaches 34, and parts begin at multiples of its cells of 8
_TESTED = 20  # a known pixel of so many is hidden to choose the network

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
    channels = image.shape[2]
    groups = [[0, 1, 2], *[[c] for c in range(3, channels)]]
    if channels < 3:
        groups = [[c] for c in range(channels)]
    out = np.empty_like(image)
    views = VIEWS[effort]
    done = 0
    for group in groups:
        # A channel alone is grey: the same three times.
        part = np.broadcast_to(image[:, :, group], (*mask.shape, 3))
        network = choose_network(part, mask, threads)
        guess = thin_plate(part, mask, threads)
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


def choose_network(image: FloatArray, mask: Mask, threads: int) -> _engine.FillingNetwork:
    """Return the network that guesses known pixels best when some of them are hidden.

    Args:
        image: (H, W, 3).
        mask: (H, W), true where known.
        threads: Threads of the engine.
    """
    networks = [shipped_network(name) for name in NAMES]
    known = np.flatnonzero(mask)
    hidden = np.random.default_rng(0).permutation(known)[: len(known) // _TESTED]
    if len(hidden) == 0:
        return networks[0]
    rest = mask.copy()
    rest.flat[hidden] = False
    truth = image.reshape(-1, 3)[hidden]
    guess = thin_plate(image, rest, threads)
    errors = [
        np.square(
            _through_view(network, guess, rest, 0, threads).reshape(-1, 3)[hidden] - truth
        ).sum(dtype=np.float64)
        for network in networks
    ]
    return networks[int(np.argmin(errors))]


def _through_view(
    network: _engine.FillingNetwork, guess: FloatArray, mask: Mask, view: int, threads: int
) -> FloatArray:
    """One evaluation."""
    known = see(mask[:, :, np.newaxis].astype(np.float32), view)

    def run(part: FloatArray, part_known: NDArray[Any]) -> FloatArray:
        return network.run(part, part_known, threads)

    out = in_parts(run, see(guess, view), known[:, :, 0], _MARGIN)
    return restore(out, view, (mask.shape[0], mask.shape[1]))
