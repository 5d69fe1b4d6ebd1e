"""The weights of a .fpk file, as section 5 of docs/format.md defines them: plain and slow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from format_container import Reader, require
from numpy.typing import NDArray

FARTHEST_CENTRE = 2**30
FARTHEST_REACH = 32767
SHAPES = 7


@dataclass
class Weights:
    """The symbols (rows, columns) of one tensor and how they are coded and scaled."""

    symbols: NDArray[np.int64]
    step: float
    centre: int = 0
    reach: int = 0
    shape: int = 0
    scale: int = 0

    def values(self) -> NDArray[np.float32]:
        """The weights, float32(symbol) times the step."""
        with np.errstate(over="ignore"):
            return self.symbols.astype(np.float32) * np.float32(self.step)


def read_coding(reader: Reader) -> tuple[int, int, int, int]:
    """Centre, reach, shape and scale of a tensor."""
    centre, reach = reader.signed(), reader.varint()
    require(abs(centre) <= FARTHEST_CENTRE, "the centre is out of range")
    require(reach <= FARTHEST_REACH, "the reach is out of range")
    shape = scale = 0
    if reach > 0:
        shape, scale = reader.byte(), reader.byte()
        require(shape < SHAPES, "another shape of distribution")
    return centre, reach, shape, scale


SCALE_STEPS = (
    1.0,
    1.0905077326652577,
    1.189207115002721,
    1.2968395546510096,
    1.4142135623730951,
    1.5422108254079408,
    1.681792830507429,
    1.8340080864093424,
)


def frequencies(weights: Weights) -> list[int]:
    """The frequencies of the symbols from centre - reach to centre + reach."""
    scale = SCALE_STEPS[weights.scale % 8] * 2.0 ** (weights.scale // 8 - 8)
    half = [
        1 + math.floor(65536 * decay(_power(k / scale, weights.shape)))
        for k in range(weights.reach + 1)
    ]
    return half[:0:-1] + half


def _power(t: float, shape: int) -> float:
    q = t * t
    return (
        math.sqrt(t),
        t,
        t * math.sqrt(t),
        t * t,
        (t * t) * t,
        q * q,
        (q * q) * (q * q),
    )[shape]


def decay(x: float) -> float:
    """The format's E(x), about exp(-x)."""
    if not x < 40:
        return 0.0
    r = x / -1024
    y = 1 + r / 6
    for m in (5, 4, 3, 2):
        y = 1 + (r / m) * y
    y = 1 + r * y
    for _ in range(10):
        y = y * y
    return y


class RangeDecoder:
    """Decodes the symbols of a stream."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.position = 0
        self.range = 2**64 - 1
        self.code = 0
        for _ in range(8):
            self.code = 256 * self.code + self._next_byte()

    def _next_byte(self) -> int:
        self.position += 1
        return self.stream[self.position - 1] if self.position <= len(self.stream) else 0

    def decode(self, cumulative: NDArray[np.int64]) -> int:
        """The next symbol; `cumulative` begins with 0 and ends with the sum."""
        total = int(cumulative[-1])
        target = self._target(total)
        symbol = int(np.searchsorted(cumulative, target, side="right")) - 1
        self._consume(total, int(cumulative[symbol]), int(cumulative[symbol + 1]))
        return symbol

    def decode_equal(self, count: int) -> int:
        """The next symbol of `count` that have the frequency 1."""
        symbol = self._target(count)
        self._consume(count, symbol, symbol + 1)
        return symbol

    def _target(self, total: int) -> int:
        return min(self.code // (self.range // total), total - 1)

    def _consume(self, total: int, start: int, end: int) -> None:
        unit = self.range // total
        self.code -= unit * start
        self.range = unit * (end - start)
        while self.range < 2**56:
            self.code = (256 * self.code + self._next_byte()) % 2**64
            self.range = 256 * self.range


def cumulative_frequencies(weights: Weights) -> NDArray[np.int64]:
    """The sums of the first 0, 1, 2, ... frequencies."""
    return np.concatenate([[0], np.cumsum(frequencies(weights))])


def read_symbols(tensors: Iterable[Weights], decoder: RangeDecoder) -> None:
    """Decode the symbols of the tensors in place."""
    for tensor in tensors:
        if tensor.reach > 0:
            cumulative = cumulative_frequencies(tensor)
            first = tensor.centre - tensor.reach
            symbols = [first + decoder.decode(cumulative) for _ in range(tensor.symbols.size)]
            tensor.symbols = np.array(symbols, np.int64).reshape(tensor.symbols.shape)
