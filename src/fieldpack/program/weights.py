"""Coding of quantised weights: one generalised Gaussian a tensor (docs/format.md, "Weights")."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fieldpack import _engine
from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.errors import FormatError

MAX_REACH = 32_767
_MAX_CENTRE = 1 << 30
_SHAPE_EXPONENTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)
# Where a shape and a scale say how far a distribution reaches: so many times s.
_REACHES = (120.0, 11.0, 5.0, 3.25, 2.25, 1.75, 1.375)
_QUARTER_POWERS = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429)  # of 2
LEAST_QUARTERS, MOST_QUARTERS = -32, 64
_TRIED_SCALES = 3
_QUARTERS_OF_ZEROS = -13  # about what reaches nothing but 0


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """Weights as integer multiples of a step.

    Attributes:
        symbols: int32, of the tensor's shape; at most 32,767 from the middle of their range.
        step: What a symbol of 1 stands for, exactly representable as float32.
    """

    symbols: NDArray[np.int32]
    step: float

    @classmethod
    def from_values(cls, values: NDArray[np.float32], step: float) -> QuantizedTensor:
        """Round weights to multiples of `step`, or of a larger step that the file can hold."""
        largest = float(np.abs(values).max(initial=0.0))
        step = float(np.float32(max(step, largest / (MAX_REACH - 1), 1e-30)))
        return cls(np.rint(values.astype(np.float64) / step).astype(np.int32), step)

    def values(self) -> NDArray[np.float32]:
        """Return the weights a decoder sees."""
        with np.errstate(over="ignore"):  # a file may say so; its picture is clipped later
            return self.symbols.astype(np.float32) * np.float32(self.step)


@dataclass(frozen=True)
class WeightDistribution:
    """A distribution of symbols: exp(-(|k| / s)^b) at k = symbol - centre, |k| <= reach.

    Attributes:
        centre: The most likely symbol.
        reach: Largest distance from it.
        shape: Index of b in (1/2, 1, 3/2, 2, 3, 4, 8).
        scale: s = 2^(scale / 8 - 8), 0 .. 255.
    """

    centre: int
    reach: int
    shape: int = 0
    scale: int = 0

    @classmethod
    def fit(cls, symbols: NDArray[np.int32]) -> tuple[WeightDistribution, float]:
        """Return the distribution that codes `symbols` in fewest bits, and these bits."""
        low, high = int(symbols.min()), int(symbols.max())
        # The median, or as near to it as both ends can be reached from.
        median = round(float(np.median(symbols)))
        centre = min(max(median, high - MAX_REACH), low + MAX_REACH)
        offsets = np.abs(symbols.ravel().astype(np.int64) - centre)
        reach = int(offsets.max())
        if reach == 0:
            return cls(centre, 0), 0.0
        counts = np.bincount(offsets, minlength=reach + 1)
        best, fewest = cls(centre, reach), math.inf
        distances = np.arange(reach + 1)
        for shape, exponent in enumerate(_SHAPE_EXPONENTS):
            # The maximum-likelihood scale of a continuous generalised Gaussian, and its neighbours.
            moment = exponent * float(counts @ distances**exponent) / offsets.size
            guess = round(8 * (math.log2(moment) / exponent + 8))
            for scale in range(guess - 1, guess + 2):
                if not 0 <= scale <= 255:
                    continue
                bits = float(counts @ _costs(shape, scale, reach))
                if bits < fewest:
                    best, fewest = cls(centre, reach, shape, scale), bits
        return best, fewest

    @staticmethod
    @lru_cache(maxsize=1024)
    def around_zero(shape: int, quarters: int) -> WeightDistribution:
        """Return the distribution with s = 2^(quarters / 4), which implies its reach.

        That is about where frequencies fall to 1, the least that any symbol has. Where s is small,
        all symbols are 0.

        Args:
            shape: 0 to 6.
            quarters: -32 to 64.
        """
        scale = 2.0 ** (quarters // 4) * _QUARTER_POWERS[quarters % 4]
        reach = min(int(scale * _REACHES[shape]), MAX_REACH)
        return WeightDistribution(0, reach, shape, 2 * quarters + 64)

    @staticmethod
    def candidates_around_zero(symbols: NDArray[np.int32]) -> Iterator[tuple[int, int, float]]:
        """Yield shapes, quarters and the bits that symbols take with `around_zero` of these.

        For each shape a few scales that reach all symbols, the best most likely among them.

        Args:
            symbols: Any shape, at most 32,767 from 0; beyond, nothing is yielded.
        """
        counts = np.bincount(np.abs(symbols.ravel()))
        farthest = len(counts) - 1
        distances = np.arange(len(counts))
        for shape, exponent in enumerate(_SHAPE_EXPONENTS):
            moment = exponent * float(counts @ distances**exponent) / symbols.size
            guess = round(4 * math.log2(moment) / exponent) if moment else _QUARTERS_OF_ZEROS
            first = min(max(guess - 1, LEAST_QUARTERS), MOST_QUARTERS)
            # Up to what reaches the farthest symbol, and a few further.
            tried = 0
            for quarters in range(first, MOST_QUARTERS + 1):
                distribution = WeightDistribution.around_zero(shape, quarters)
                if distribution.reach >= farthest:
                    costs = _costs(shape, distribution.scale, distribution.reach)
                    yield shape, quarters, float(counts @ costs[: farthest + 1])
                    tried += 1
                if tried == _TRIED_SCALES:
                    break

    def frequencies(self) -> NDArray[np.uint32]:
        """Return the frequency of each symbol from centre - reach to centre + reach."""
        return _engine.weight_frequencies(self.shape, self.scale, self.reach)

    def bits(self, symbols: NDArray[np.int32]) -> float:
        """Return how many bits `symbols` take; all must be within reach."""
        if not self.reach:
            return 0.0
        offsets = np.abs(symbols.ravel() - self.centre)
        return float(_costs(self.shape, self.scale, self.reach)[offsets].sum())

    def write(self, writer: ByteWriter) -> None:
        """Append the distribution."""
        writer.signed(self.centre)
        writer.varint(self.reach)
        if self.reach:
            writer.byte(self.shape)
            writer.byte(self.scale)

    @classmethod
    def read(cls, reader: ByteReader) -> WeightDistribution:
        """Read what `write` wrote; raises FormatError where it makes no sense."""
        centre = reader.signed()
        reach = reader.varint(limit=MAX_REACH)
        shape = reader.byte() if reach else 0
        return cls.checked(centre, reach, shape, reader.byte() if reach else 0)

    @classmethod
    def checked(cls, centre: int, reach: int, shape: int, scale: int) -> WeightDistribution:
        """Return what a file tells; raises FormatError where it makes no sense."""
        if abs(centre) > _MAX_CENTRE:
            raise FormatError("a weight distribution has a centre out of range")
        if shape >= len(_SHAPE_EXPONENTS):
            raise FormatError(f"a weight distribution has the unknown shape {shape}")
        return cls(centre, reach, shape, scale)


@lru_cache(maxsize=4096)
def _costs(shape: int, scale: int, reach: int) -> NDArray[np.float64]:
    """Bits of a symbol at distance 0 .. reach from the centre."""
    frequencies = _engine.weight_frequencies(shape, scale, reach).astype(np.float64)
    return np.asarray(np.log2(frequencies.sum()) - np.log2(frequencies[reach:]))


class WeightEncoder:
    """Codes tensors, and what is to be known of them, one after the other into one stream."""

    def __init__(self) -> None:
        """Start an empty stream."""
        self._encoder = _engine.RangeEncoder()

    def encode(self, symbols: NDArray[np.int32], distribution: WeightDistribution) -> None:
        """Append a tensor's symbols in row-major order."""
        if distribution.reach:
            indices = symbols.ravel() - (distribution.centre - distribution.reach)
            self._encoder.encode(indices.astype(np.int32), distribution.frequencies())

    def encode_number(self, number: int, frequencies: Sequence[int]) -> None:
        """Append a number from 0 on, less than there are frequencies (relative ones)."""
        numbers = np.array([number], np.int32)
        self._encoder.encode(numbers, np.array(frequencies, np.uint32))

    def finish(self) -> bytes:
        """Return the stream."""
        return self._encoder.finish()


class WeightDecoder:
    """Decodes what `WeightEncoder` coded."""

    def __init__(self, stream: bytes) -> None:
        """Start at the first tensor."""
        self._decoder = _engine.RangeDecoder(stream)

    def decode(self, shape: tuple[int, ...], distribution: WeightDistribution) -> NDArray[np.int32]:
        """Return the next tensor's symbols."""
        if not distribution.reach:
            return np.full(shape, distribution.centre, np.int32)
        indices = self._decoder.decode(math.prod(shape), distribution.frequencies())
        return (indices + (distribution.centre - distribution.reach)).reshape(shape)

    def decode_number(self, frequencies: Sequence[int]) -> int:
        """Return the next number that was appended with these frequencies."""
        return int(self._decoder.decode(1, np.array(frequencies, np.uint32))[0])
