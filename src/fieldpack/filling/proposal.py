"""What the network proposes for missing pixels: averaged over views, computed part by part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldpack.filling.guess import thin_plate
from fieldpack.filling.network import shipped_network
from fieldpack.filling.parts import in_parts
from fieldpack.filling.views import VIEWS, restore, see

_MARGIN = 112  # pixels; the network reaches 92, and parts begin at multiples of its cells of 16
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
        image: (H, W, C) in about [0, 1]; the network sees one channel at a time.
        mask: (H, W), true where known, somewhere at least.
        effort: 1 to 9, see `VIEWS`.
        threads: Threads of the engine; the result does not depend on it.
        progress: Told the part done after each step.
    """
    network = shipped_network()
    guess = thin_plate(image, mask, threads)
    total = np.zeros_like(guess)
    known = mask[:, :, np.newaxis].astype(np.float32)
    views, channels = VIEWS[effort], image.shape[2]
    size = mask.shape[0], mask.shape[1]
    for view in range(views):
        seen, seen_known = see(guess, view), see(known, view)[:, :, 0]
        for channel in range(channels):

            def run(part: FloatArray, part_known: NDArray[Any]) -> FloatArray:
                return network.run(part, part_known, threads)

            out = in_parts(run, seen[:, :, channel], seen_known, _MARGIN)
            total[:, :, channel] += restore(out, view, size)
            if progress:
                progress((view * channels + channel + 1) / (views * channels))
    return np.where(mask[:, :, np.newaxis], image, total / np.float32(views))
