"""What a file says about its signal: sizes, sample types, units (docs/format.md, "Section S")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.errors import FormatError
from fieldpack.signals.signal import MAX_SIDE, Colour, Picture

MAX_PIXELS = 1 << 29
MAX_AXES = 8
MAX_CHANNELS = 1 << 16
_KIND_PICTURE = 0
_KIND_SAMPLES = 1
_DEPTHS = (1, 8, 16, 32)

Range = tuple[float, float]


@dataclass(frozen=True)
class PictureDescription:
    """A picture's format.

    Attributes:
        width: Columns.
        height: Rows.
        colour: Meaning of the channels.
        bit_depth: 1, 8 or 16 for integers, 32 for floating point.
        ranges: (lowest, highest) of each channel of a floating-point picture, else empty.
    """

    width: int
    height: int
    colour: Colour
    bit_depth: int
    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, picture: Picture) -> PictureDescription:
        """Describe a picture."""
        ranges: tuple[Range, ...] = ()
        if picture.bit_depth == 32:
            ranges = value_ranges(picture.samples.reshape(-1, picture.channels))
        return cls(picture.width, picture.height, picture.colour, picture.bit_depth, ranges)

    @property
    def positions(self) -> tuple[int, ...]:
        """Samples on each axis, x first."""
        return (self.width, self.height)

    @property
    def domain(self) -> tuple[Range, ...]:
        """Lowest and highest coordinate of each axis, x first: [-1, 1] over the whole picture."""
        return ((-1.0, 1.0), (-1.0, 1.0))

    @property
    def channels(self) -> int:
        """Channels of a value."""
        return self.colour.channels

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, C)."""
        return (self.height, self.width, self.channels)

    @property
    def units(self) -> tuple[Range, ...]:
        """What 0 and 1 of the network stand for in each channel."""
        if self.bit_depth == 32:
            return self.ranges
        return ((0.0, float((1 << self.bit_depth) - 1)),) * self.channels

    def write(self, writer: ByteWriter) -> None:
        """Append the description."""
        writer.byte(_KIND_PICTURE)
        writer.byte(self.colour | _DEPTHS.index(self.bit_depth) << 4)
        writer.varint(self.width)
        writer.varint(self.height)
        _write_ranges(writer, self.ranges)

    @classmethod
    def read(cls, reader: ByteReader) -> PictureDescription:
        """Read what `write` wrote, its kind excepted."""
        form = reader.byte()
        try:
            colour = Colour(form & 15)
        except ValueError:
            raise FormatError(f"the picture has the unknown colour type {form & 15}") from None
        if form >> 4 >= len(_DEPTHS):
            raise FormatError(f"the picture has the unknown sample type {form >> 4}")
        depth = _DEPTHS[form >> 4]
        width = reader.varint(limit=MAX_SIDE)
        height = reader.varint(limit=MAX_SIDE)
        if not 1 <= width * height <= MAX_PIXELS:
            raise FormatError(
                f"the picture has {width} x {height} pixels; 1 to {MAX_PIXELS} are possible"
            )
        ranges = _read_ranges(reader, colour.channels) if depth == 32 else ()
        return cls(width, height, colour, depth, ranges)


@dataclass(frozen=True)
class SamplesDescription:
    """The format of scattered samples of a function.

    Attributes:
        positions: About how many samples there are along each axis (the resolution).
        domain: Lowest and highest coordinate of each axis.
        ranges: Lowest and highest value of each channel.
    """

    positions: tuple[int, ...]
    domain: tuple[Range, ...]
    ranges: tuple[Range, ...]

    @property
    def channels(self) -> int:
        """Channels of a value."""
        return len(self.ranges)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a grid at the samples' resolution: (n_last, ..., n_0, C)."""
        return (*self.positions[::-1], self.channels)

    @property
    def units(self) -> tuple[Range, ...]:
        """What 0 and 1 of the network stand for in each channel."""
        return self.ranges

    def write(self, writer: ByteWriter) -> None:
        """Append the description."""
        writer.byte(_KIND_SAMPLES)
        writer.byte(len(self.positions))
        for positions, (low, high) in zip(self.positions, self.domain, strict=True):
            writer.varint(positions)
            writer.float64(low)
            writer.float64(high)
        writer.varint(self.channels)
        _write_ranges(writer, self.ranges)

    @classmethod
    def read(cls, reader: ByteReader) -> SamplesDescription:
        """Read what `write` wrote, its kind excepted."""
        axes = reader.byte()
        if not 1 <= axes <= MAX_AXES:
            raise FormatError(f"the samples have {axes} coordinates; 1 to {MAX_AXES} are possible")
        positions, domain = [], []
        for _ in range(axes):
            positions.append(reader.varint(limit=MAX_SIDE))
            low, high = reader.float64(), reader.float64()
            if positions[-1] < 1 or not low < high:
                raise FormatError("the samples have an empty axis")
            domain.append((low, high))
        channels = reader.varint(limit=MAX_CHANNELS)
        if channels < 1:
            raise FormatError("the samples have no channels")
        return cls(tuple(positions), tuple(domain), _read_ranges(reader, channels))


Description = PictureDescription | SamplesDescription


def read_description(payload: bytes) -> Description:
    """Read a section S.

    Raises:
        FormatError: It is not valid, or of a kind that this release does not know.
    """
    reader = ByteReader(payload, "the signal's description")
    kind = reader.byte()
    description: Description
    if kind == _KIND_PICTURE:
        description = PictureDescription.read(reader)
    elif kind == _KIND_SAMPLES:
        description = SamplesDescription.read(reader)
    else:
        raise FormatError(f"the signal is of the unknown kind {kind}")
    reader.end()
    return description


def value_ranges(values: NDArray[np.generic]) -> tuple[Range, ...]:
    """Return (lowest, highest) of each column of `values` (n, C), never empty, as float32."""
    ranges = []
    for low, high in zip(values.min(axis=0), values.max(axis=0), strict=True):
        # Constant channels get a range of their own size, so that 0 and 1 stay apart.
        top = high if high > low else low + max(1.0, abs(float(low)) * 2.0**-10)
        ranges.append((float(np.float32(low)), float(np.float32(top))))
    return tuple(ranges)


def to_units(values: NDArray[np.float32], units: tuple[Range, ...]) -> NDArray[np.float32]:
    """Scale network values (..., C) to the signal's units: low + value · (high - low)."""
    low = np.array([u[0] for u in units], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # a file may hold any range
        span = np.array([u[1] for u in units], np.float32) - low
        if not low.any() and (span == span[0]).all():
            # The same numbers, without broadcasting over the channels.
            scaled: NDArray[np.float32] = values * span[0]
        else:
            scaled = low + values * span
    return scaled


def from_units(values: NDArray[np.generic], units: tuple[Range, ...]) -> NDArray[np.float32]:
    """Scale values (..., C) in the signal's units to what the network should give."""
    low = np.array([u[0] for u in units], np.float64)
    span = np.array([u[1] for u in units], np.float64) - low
    scaled: NDArray[np.float64] = (values.astype(np.float64) - low) / span
    return scaled.astype(np.float32)


def _write_ranges(writer: ByteWriter, ranges: tuple[Range, ...]) -> None:
    for low, high in ranges:
        writer.float32(low)
        writer.float32(high)


def _read_ranges(reader: ByteReader, channels: int) -> tuple[Range, ...]:
    ranges = tuple((reader.float32(), reader.float32()) for _ in range(channels))
    if any(not low < high for low, high in ranges):
        raise FormatError("the signal has a channel with an empty range of values")
    return ranges
