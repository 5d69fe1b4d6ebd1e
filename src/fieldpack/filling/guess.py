"""A first guess at missing pixels: the smoothest surface through the known ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldpack import _engine
from fieldpack.filling.parts import in_parts

TENSION, MOMENTUM, ITERATIONS = 0.5, 0.85, 24

FloatArray = NDArray[np.float32]


def thin_plate(image: FloatArray, mask: NDArray[np.bool_], threads: int = 1) -> FloatArray:
    """Fill in with a thin plate under some tension: Smith and Wessel, 1990.

    "Gridding with continuous curvature splines in tension", Geophysics 55. The plate starts from
    `pull_push` and relaxes by gradient steps with momentum, so few that what is far from anything
    known stays the average that it was.

    Args:
        image: (H, W, C); what stands at missing pixels does not matter.
        mask: (H, W), true where known, somewhere at least.
        threads: Threads of the engine; the result does not depend on it.

    Returns:
        (H, W, C): `image` where known.
    """

    def relax(part: FloatArray, known: NDArray[Any]) -> FloatArray:
        return _engine.relax(part, known, TENSION, MOMENTUM, ITERATIONS, threads)

    # An iteration carries values two pixels far.
    return in_parts(relax, pull_push(image, mask), mask, 2 * ITERATIONS)


def pull_push(image: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    """Fill in with averages of what is known around, coarse to fine.

    Gortler, Grzeszczuk, Szeliski, Cohen, "The lumigraph", 1996, section 3.4.

    Args:
        image: (H, W, C); what stands at missing pixels does not matter.
        mask: (H, W), true where known, somewhere at least.

    Returns:
        (H, W, C): `image` where known; elsewhere, interpolated between the averages over the
        smallest cells of 2^k x 2^k pixels that hold anything known.
    """
    value = np.where(mask[:, :, np.newaxis], image, np.float32(0))
    weight = mask.astype(np.float32)
    values, weights = [value], [weight]
    while min(weight.shape) > 1:
        total, count = _sum_of_four(value), _sum_of_four(weight)
        value = total / np.maximum(count, 1)[:, :, np.newaxis]
        weight = (count > 0).astype(np.float32)
        values.append(value)
        weights.append(weight)
    mean = value.sum((0, 1)) / weight.sum()
    guess = np.where(weight[:, :, np.newaxis] > 0, value, mean.astype(np.float32))
    for value, weight in zip(values[-2::-1], weights[-2::-1], strict=True):
        finer = _double(_double(guess, value.shape[0]).swapaxes(0, 1), value.shape[1])
        guess = np.where(weight[:, :, np.newaxis] > 0, value, finer.swapaxes(0, 1))
    return np.ascontiguousarray(guess)


def _sum_of_four(plane: FloatArray) -> FloatArray:
    """Sums over cells of 2 x 2 pixels, those at odd ends over fewer."""
    for axis in (0, 1):
        rows = np.moveaxis(plane, axis, 0)
        total = rows[0::2].copy()
        total[: len(rows) // 2] += rows[1::2]
        plane = np.moveaxis(total, 0, axis)
    return plane


def _double(plane: FloatArray, rows: int) -> FloatArray:
    """Twice the rows, linearly interpolated between the centres."""
    before = np.concatenate((plane[:1], plane[:-1]))
    after = np.concatenate((plane[1:], plane[-1:]))
    out = np.empty((2 * len(plane), *plane.shape[1:]), np.float32)
    near, far = np.float32(0.75), np.float32(0.25)
    out[0::2] = near * plane + far * before
    out[1::2] = near * plane + far * after
    return out[:rows]
