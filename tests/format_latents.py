"""The latents of a pyramid, as section 8 of docs/format.md defines their coding: plain and slow."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from format_evaluation import Float32Array
from format_weights import RangeDecoder, decay
from numpy.typing import NDArray

# Places (dy, dx) of the neighbours that a context model may read, in their order.
NEIGHBOURS = (
    *((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2)),
    *((-2, -1), (-2, 1), (0, -3), (-3, 0), (-2, -2), (-2, 2), (-1, -3), (-1, 3)),
    *((-3, -1), (-3, 1), (0, -4), (-2, -3), (-2, 3), (-3, -2), (-3, 2), (-1, -4)),
)
# Places (levels, dy, dx) of the ancestors that it may read, in their order.
ANCESTORS = (
    *((1, 0, 0), (2, 0, 0), (3, 0, 0), (1, 0, 1), (1, 1, 0), (1, 0, -1), (1, -1, 0)),
    *((1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1), (4, 0, 0), (5, 0, 0), (6, 0, 0)),
)
BAND_ROWS = 16
LARGEST_LATENT = 2**20
LARGEST_BIN = 15
ESCAPE = 2 * LARGEST_BIN + 1
TOTAL_FREQUENCY = 65536
MOST_ESCAPE_BITS = 20

Layer = tuple[Float32Array, Float32Array]  # weights (outputs, inputs) and bias (outputs)


# Networks ------------------------------------------------------------------------------------


def run_network(layers: Sequence[Layer], values: Float32Array) -> Float32Array:
    """The outputs (outputs, points) of fully connected layers at inputs (inputs, points)."""
    for index, (weights, bias) in enumerate(layers):
        total = np.repeat(bias[:, None], values.shape[1], axis=1)
        for column, row in zip(weights.T, values, strict=True):
            product = column[:, None] * row[None, :]
            total = total + product
        if index < len(layers) - 1:
            if index > 0 and len(weights) == len(values):
                total = total + values
            total = rectified(total)
        values = total
    return values


def rectified(values: Float32Array) -> Float32Array:
    """max(s, 0); a NaN becomes 0."""
    return np.where(values > 0, values, np.float32(0))


def limited(values: Float32Array, low: float, high: float) -> Float32Array:
    """min(max(x, low), high); a NaN becomes `low`."""
    values = np.where(values > np.float32(low), values, np.float32(low))
    return np.where(values < np.float32(high), values, np.float32(high))


# Distribution --------------------------------------------------------------------------------


@dataclass
class Distribution:
    """The coding of the difference of a latent and the integer nearest to its mean."""

    cumulative: NDArray[np.int64]  # of the symbols 0 to ESCAPE
    shift: int  # a bin holds 2^shift integers


@functools.cache
def distribution(scale_index: int, fraction: int) -> Distribution:
    """The distribution of a scale's index, 0 to 63, and a mean of 0 to 16 in 32nds."""
    logarithm = scale_index / 7 - 3
    scale = decay(-logarithm) if logarithm < 0 else 1 / decay(logarithm)
    shift = 0
    while scale > 2 * 2**shift:
        shift += 1
    width = 2**shift
    mean, offset = (fraction / 32, 0.5) if shift == 0 else (0.0, width / 2 + 0.5)

    def below(x: float) -> float:
        return 0.5 * decay(-x / scale) if x < 0 else 1 - 0.5 * decay(x / scale)

    frequencies = []
    for number in range(-LARGEST_BIN, LARGEST_BIN + 1):
        z = (number * width - offset) - mean
        frequencies.append(1 + int((below(z + width) - below(z)) * 65504))
    cumulative = np.concatenate([[0], np.cumsum(frequencies), [TOTAL_FREQUENCY]])
    assert (np.diff(cumulative) > 0).all()
    return Distribution(cumulative, shift)


def _decode_equal(decoder: RangeDecoder, bits: int) -> int:
    """One symbol of 2^bits equally likely ones."""
    return decoder.decode_equal(2**bits) if bits else 0


def _decode_escaped(decoder: RangeDecoder) -> int:
    """The number of a bin beyond those that have symbols of their own."""
    bits = 0
    while bits < MOST_ESCAPE_BITS and _decode_equal(decoder, 1) == 1:
        bits += 1
    rest = _decode_equal(decoder, bits)
    negative = _decode_equal(decoder, 1) == 1
    magnitude = LARGEST_BIN + 2**bits + rest
    return -magnitude if negative else magnitude


def decode_latent(decoder: RangeDecoder, mean_32nds: int, scale_index: int) -> int:
    """The next latent, given its mean times 32 and the index of its scale."""
    nearest = (mean_32nds + 16) // 32
    fraction = mean_32nds - 32 * nearest
    coding = distribution(scale_index, abs(fraction))
    symbol = decoder.decode(coding.cumulative)
    difference = _decode_escaped(decoder) if symbol == ESCAPE else symbol - LARGEST_BIN
    if coding.shift > 0:
        width = 2**coding.shift
        difference = difference * width - width // 2 + _decode_equal(decoder, coding.shift)
    latent = nearest - difference if fraction < 0 else nearest + difference
    return max(-LARGEST_LATENT, min(latent, LARGEST_LATENT))


# Grids ---------------------------------------------------------------------------------------


def _lag(neighbours: Sequence[tuple[int, int]]) -> int:
    """By how many columns a row of a band is behind the row above it."""
    lag = 1
    while any(dx + dy * lag >= 0 for dy, dx in neighbours):
        lag += 1
    return lag


def _ancestor(
    coarser: Sequence[NDArray[np.int64]],
    levels: int,
    place: tuple[NDArray[np.int64], NDArray[np.int64]],
    dy: int,
    dx: int,
) -> NDArray[np.int64]:
    """The latents beside those that cover places (y, x), so many grids above."""
    y, x = (coordinate // 2**levels for coordinate in place)
    if levels > len(coarser):
        return np.zeros(len(y), np.int64)
    return np.pad(coarser[levels - 1], 1)[y + dy + 1, x + dx + 1]


def decode_grid(
    decoder: RangeDecoder,
    model: Sequence[Layer],
    neighbours: int,
    ancestors: int,
    size: tuple[int, int],
    coarser: Sequence[NDArray[np.int64]],
) -> NDArray[np.int64]:
    """The latents (rows, columns) of a grid; `coarser` are those of the next grids."""
    places = NEIGHBOURS[:neighbours]
    lag = _lag(places)
    height, width = size
    margin = 4  # of zeros, above, to the left and to the right
    padded = np.zeros((height + margin, width + 2 * margin), np.int64)
    for top in range(0, height, BAND_ROWS):
        rows = min(BAND_ROWS, height - top)
        for wave in range(width + lag * (rows - 1)):
            row = np.arange(rows)
            column = wave - lag * row
            exists = (column >= 0) & (column < width)
            y, x = row[exists] + top + margin, column[exists] + margin
            if len(y) == 0:
                continue
            inputs = np.stack(
                [padded[y + dy, x + dx] for dy, dx in places]
                + [
                    _ancestor(coarser, levels, (y - margin, x - margin), dy, dx)
                    for levels, dy, dx in ANCESTORS[:ancestors]
                ]
            )
            a, b = run_network(model, inputs.astype(np.float32))
            means = np.rint(limited(a, -32768, 32768) * np.float32(32))
            scaled = (b + np.float32(3)) * np.float32(7)
            scales = np.rint(limited(scaled, 0, 63))
            for at in range(len(y)):
                latent = decode_latent(decoder, int(means[at]), int(scales[at]))
                padded[y[at], x[at]] = latent
    return padded[margin:, margin:-margin]
