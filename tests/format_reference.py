"""A second, slow implementation of the .fpk format, written from docs/format.md alone.

This file reads the signal and its program. Numbers and sections are in format_container.py, the
weights in format_weights.py, what a program computes in format_evaluation.py, and pyramids in
format_pyramid.py and format_latents.py. Nothing in these files imports fieldpack.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from format_container import (
    FormatViolationError,
    Reader,
    first_signal,
    read_sections,
    require,
)
from format_evaluation import (
    ABSOLUTE,
    ADD,
    BINARY,
    COMPLEX_LINEAR,
    COORDINATE,
    COSINE,
    GABOR,
    GAUSSIAN,
    GELU,
    HASH_GRID,
    LINEAR,
    MULTIPLY,
    ONE_HOT,
    RELU,
    SCALE,
    SHIFT,
    SIGMOID,
    SINE,
    SINUSOID,
    TANH,
    Float32Array,
    Float64Array,
    Operation,
    Program,
    evaluate,
)
from format_pyramid import Pyramid, draw_pyramid, read_pyramid
from format_weights import RangeDecoder, Weights, read_coding, read_symbols
from numpy.typing import NDArray

CHANNELS_OF_COLOUR = {0: 1, 1: 2, 2: 3, 3: 4, 4: 4}
GREY, GREY_ALPHA, RGB, RGBA, CMYK = range(5)
ONE_BIT, EIGHT_BITS, SIXTEEN_BITS, FLOAT32 = range(4)
LARGEST_SAMPLE = {ONE_BIT: 1, EIGHT_BITS: 255, SIXTEEN_BITS: 65535}
SAMPLE_DTYPE = {ONE_BIT: np.bool_, EIGHT_BITS: np.uint8, SIXTEEN_BITS: np.uint16}

MOST_AXES = 8
MOST_CHANNELS = 65536
MOST_CHANNELS_OF_ALL_VALUES = 2**17
MOST_COLOURS = 256
MOST_OPERATIONS = 4096
MOST_PIXELS = 2**29
MOST_PLACES = 2**31 - 1
MOST_PROFILE_BYTES = 2**24
MOST_WEIGHTS = 2**24


# What a file holds ---------------------------------------------------------------------------


@dataclass
class PictureDescription:
    """Section S of a picture; `low` and `high` have one float32 for each channel."""

    colour: int
    sample: int
    width: int
    height: int
    low: Float32Array
    high: Float32Array

    axes = 2


@dataclass
class SamplesDescription:
    """Section S of scattered samples."""

    counts: list[int]
    lowest: list[float]
    highest: list[float]
    low: Float32Array
    high: Float32Array

    @property
    def axes(self) -> int:
        """The number of coordinates of the field."""
        return len(self.counts)


Description = PictureDescription | SamplesDescription


@dataclass
class Signal:
    """The first signal of a file; `palette` is (entries, channels)."""

    description: Description
    program: Program | Pyramid
    palette: NDArray[np.uint8] | None
    profile: bytes | None


# Section 3: signal ---------------------------------------------------------------------------


def read_description(payload: bytes) -> Description:
    """The content of section S."""
    reader = Reader(payload)
    kind = reader.byte()
    require(kind in (0, 1), "another kind of signal")
    description = _read_picture(reader) if kind == 0 else _read_samples(reader)
    require(reader.remaining == 0, "bytes are left after the description")
    return description


def _read_picture(reader: Reader) -> PictureDescription:
    types = reader.byte()
    colour, sample = types & 15, types >> 4
    require(colour in CHANNELS_OF_COLOUR, "another colour type")
    require(sample in LARGEST_SAMPLE or sample == FLOAT32, "another sample type")
    width, height = reader.varint(), reader.varint()
    require(1 <= width * height <= MOST_PIXELS, "the size is out of range")
    channels = CHANNELS_OF_COLOUR[colour]
    if sample == FLOAT32:
        low, high = _read_ranges(reader, channels)
    else:
        low = np.zeros(channels, np.float32)
        high = np.full(channels, LARGEST_SAMPLE[sample], np.float32)
    return PictureDescription(colour, sample, width, height, low, high)


def _read_ranges(reader: Reader, channels: int) -> tuple[Float32Array, Float32Array]:
    pairs = [(reader.float32(), reader.float32()) for _ in range(channels)]
    require(all(low < high for low, high in pairs), "low is not below high")
    low, high = np.array(pairs, np.float32).T
    return low, high


def _read_samples(reader: Reader) -> SamplesDescription:
    axes = reader.byte()
    require(1 <= axes <= MOST_AXES, "the number of axes is out of range")
    counts, lowest, highest = [], [], []
    for _ in range(axes):
        counts.append(reader.varint())
        require(1 <= counts[-1] <= MOST_PLACES, "the number of samples is out of range")
        lowest.append(reader.float64())
        highest.append(reader.float64())
        require(lowest[-1] < highest[-1], "an axis is empty")
    channels = reader.varint()
    require(1 <= channels <= MOST_CHANNELS, "the number of channels is out of range")
    low, high = _read_ranges(reader, channels)
    return SamplesDescription(counts, lowest, highest, low, high)


def pixel_centres(count: int) -> Float64Array:
    """The coordinates of the pixels of an axis."""
    return (np.arange(count) + 0.5) * 1.0 * (2.0 / count) - 1.0


def in_units(values: Float32Array, description: Description) -> Float32Array:
    """Values (..., channels) of the field in the units of the signal."""
    with np.errstate(over="ignore", invalid="ignore"):
        return description.low + values * (description.high - description.low)


def to_samples(values: Float32Array, description: PictureDescription) -> NDArray[np.generic]:
    """Values (..., channels) of the field as samples of the picture."""
    samples = in_units(values, description)
    if description.sample == FLOAT32:  # a NaN becomes 0, an infinity the largest number
        return np.nan_to_num(samples)
    samples = np.floor(samples + np.float32(0.5))
    samples[np.isnan(samples)] = 0
    clipped = np.clip(samples, 0, LARGEST_SAMPLE[description.sample])
    return clipped.astype(SAMPLE_DTYPE[description.sample])


# Palette and profile --------------------------------------------------------------------------


def read_palette(payload: bytes, description: Description) -> NDArray[np.uint8]:
    """The colours (entries, channels) of section p."""
    require(isinstance(description, PictureDescription), "only a picture has a palette")
    assert isinstance(description, PictureDescription)
    require(description.colour in (RGB, RGBA), "a palette needs an RGB or RGBA picture")
    require(description.sample == EIGHT_BITS, "a palette needs a picture of 8 bits")
    channels = CHANNELS_OF_COLOUR[description.colour]
    require(len(payload) % channels == 0, "the palette ends within a colour")
    require(1 <= len(payload) // channels <= MOST_COLOURS, "the palette's size is out of range")
    return np.frombuffer(payload, np.uint8).reshape(-1, channels)


def read_profile(payload: bytes) -> bytes:
    """The ICC colour profile of section c."""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(payload, MOST_PROFILE_BYTES + 1)
    except zlib.error as error:
        raise FormatViolationError("the colour profile is damaged") from error
    require(inflater.eof and len(profile) <= MOST_PROFILE_BYTES, "the profile is out of range")
    return profile


# Section 4: network --------------------------------------------------------------------------

# Of each opcode: the number of inputs, integers and constants, and whether it has weights.
SIGNATURES = {
    SINUSOID: (0, 3, 2, False),
    ONE_HOT: (0, 2, 0, False),
    BINARY: (0, 3, 0, False),
    LINEAR: (1, 0, 0, True),
    ADD: (2, 0, 0, False),
    MULTIPLY: (2, 0, 0, False),
    SHIFT: (1, 0, 0, True),
    SCALE: (1, 0, 0, True),
    TANH: (1, 0, 0, False),
    GELU: (1, 0, 0, False),
    SIGMOID: (1, 0, 0, False),
    COORDINATE: (0, 1, 0, False),
    SINE: (1, 0, 1, False),
    COSINE: (1, 0, 1, False),
    RELU: (1, 0, 0, False),
    ABSOLUTE: (1, 0, 0, False),
    GAUSSIAN: (1, 0, 0, False),
    COMPLEX_LINEAR: (1, 0, 0, True),
    GABOR: (1, 0, 2, False),
    HASH_GRID: (0, 2, 0, True),
}


def read_program(payload: bytes, axes: int, channels: int) -> Program:
    """The content of section N of a signal with so many axes and channels."""
    reader = Reader(payload)
    require(reader.byte() == axes, "the network has another number of axes than the signal")
    count = reader.varint()
    require(1 <= count <= MOST_OPERATIONS, "the number of operations is out of range")
    operations: list[Operation] = []
    widths: list[int] = []
    for _ in range(count):
        operations.append(_read_operation(reader, axes, widths))
    require(widths[-1] == channels, "the network has another number of channels than the signal")
    require(sum(widths) <= MOST_CHANNELS_OF_ALL_VALUES, "the values have too many channels")
    tensors = [operation.weights for operation in operations if operation.weights is not None]
    require(sum(tensor.symbols.size for tensor in tensors) <= MOST_WEIGHTS, "too many weights")
    read_symbols(tensors, RangeDecoder(reader.take(reader.remaining)))
    return Program(axes, operations)


def _read_operation(reader: Reader, axes: int, widths: list[int]) -> Operation:
    """Read an operation and append the number of channels of its value to `widths`."""
    opcode = reader.byte()
    require(opcode in SIGNATURES, "another opcode")
    input_count, integer_count, constant_count, has_weights = SIGNATURES[opcode]
    inputs = [reader.varint() for _ in range(input_count)]
    require(all(1 <= back <= len(widths) for back in inputs), "an input does not exist")
    integers = [reader.varint() for _ in range(integer_count)]
    constants = [reader.float32() for _ in range(constant_count)]
    input_widths = [widths[-back] for back in inputs]
    require(len(set(input_widths)) <= 1, "the channels of the inputs do not fit")

    if opcode == COORDINATE:
        require(integers[0] < axes, "the axis does not exist")
        width = 1
    elif opcode == HASH_GRID:
        cells, width = integers
        require(1 <= cells <= MOST_PLACES, "the number of cells is out of range")
    elif integer_count:
        axis, places = integers[:2]
        require(axis < axes, "the axis does not exist")
        require(1 <= places <= MOST_PLACES, "the number of places is out of range")
        width = integers[-1]
    else:
        width = input_widths[0]
    if opcode in (COMPLEX_LINEAR, GABOR):
        require(width % 2 == 0, "the input is not complex")
    weights = None
    if has_weights:
        matrix = opcode in (LINEAR, COMPLEX_LINEAR, HASH_GRID)
        if matrix:
            require(1 <= width <= MOST_CHANNELS, "the number of channels is out of range")
        most_rows = MOST_WEIGHTS if opcode == HASH_GRID else MOST_CHANNELS
        weights = _read_weights_header(reader, width if matrix else 1, most_rows)
        rows = len(weights.symbols)
        if opcode == LINEAR:
            width = rows
        elif opcode == COMPLEX_LINEAR:
            width = 2 * rows
        elif opcode != HASH_GRID:
            require(rows in (1, width), "the channels of the weights do not fit")
    require(1 <= width <= MOST_CHANNELS, "the number of channels is out of range")
    widths.append(width)
    return Operation(opcode, inputs, integers, constants, weights)


def _read_weights_header(reader: Reader, columns: int, most_rows: int) -> Weights:
    rows = reader.varint()
    require(1 <= rows <= most_rows, "the size of the weights is out of range")
    require(rows * columns <= MOST_WEIGHTS, "too many weights")
    step = reader.float32()
    centre, reach, shape, scale = read_coding(reader)
    symbols = np.broadcast_to(np.int64(centre), (rows, columns))  # takes no memory
    return Weights(symbols, step, centre, reach, shape, scale)


# Decoding a file -----------------------------------------------------------------------------


def read_signal(data: bytes) -> Signal:
    """The first signal of a file."""
    payloads = first_signal(read_sections(data))
    description = read_description(payloads["S"])
    channels = len(description.low)
    program: Program | Pyramid
    if "N" in payloads:
        program = read_program(payloads["N"], description.axes, channels)
    else:
        require(isinstance(description, PictureDescription), "only a picture has a pyramid")
        assert isinstance(description, PictureDescription)
        size = description.height, description.width
        program = read_pyramid(payloads["P"], channels, *size)
    return Signal(
        description,
        program,
        palette=read_palette(payloads["p"], description) if "p" in payloads else None,
        profile=read_profile(payloads["c"]) if "c" in payloads else None,
    )


def draw(signal: Signal) -> NDArray[np.generic]:
    """The samples (height, width, channels) of a picture."""
    description = signal.description
    assert isinstance(description, PictureDescription)
    if isinstance(signal.program, Pyramid):
        return to_samples(draw_pyramid(signal.program), description)
    x, y = np.meshgrid(pixel_centres(description.width), pixel_centres(description.height))
    values = evaluate(signal.program, np.stack([x.ravel(), y.ravel()], axis=1))
    return to_samples(values.reshape(description.height, description.width, -1), description)
