"""Writing .fpk files by hand, valid or not: nothing here checks what it is given."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from format_evaluation import Program
from format_reference import SIGNATURE, VERSION
from format_weights import cumulative_frequencies
from numpy.typing import NDArray


def varint(self) -> int:
        """An unsigned number of at most 63 bits."""
        value = 0
        for shift in range(0, 63, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise FormatViolationError("a varint has more than 63 bits")

    def signed(self) -> int:
        """A signed number."""
        value = self.varint()
        return value // 2 if value % 2 == 0 else -(value + 1) // 2

    def float32(self) -> float:
        """A finite binary32 number."""
        return self._finite(struct.unpack("<f", self.take(4))[0])

    def float64(self) -> float:
        """A finite binary64 number."""
        return self._finite(struct.unpack("<d", self.take(8))[0])

    @staticmethod
    def _finite(value: float) -> float:
        require(math.isfinite(value), "a number is not finite")
        return value


# Section 2: container ------------------------------------------------------------------------


def is_letter(byte: int) -> bool:
    """Whether the byte is an ASCII letter."""
    return byte < 128 and chr(byte).isalpha()


def read_sections(data: bytes) -> list[Section]:
    """All sections of a file, those to be skipped included, once the checksum is verified."""
    require(data[:3] == SIGNATURE, "not an .fpk file")
    require(len(data) >= 8, "truncated")
    require(data[3] == VERSION, "another version")
    (checksum,) = struct.unpack("<I", data[-4:])
    require(zlib.crc32(data[:-4]) == checksum, "the checksum fails")

    reader = Reader(data[4:-4])
    sections = []
    while reader.remaining:
        letter = reader.byte()
        require(is_letter(letter), "a section's name is not a letter")
        payload = reader.take(reader.varint())
        sections.append(_named_section(chr(letter), payload))
    return sections


def _named_section(letter: str, payload: bytes) -> Section:
    if letter not in "Xx":
        return Section(letter, payload)
    reader = Reader(payload)
    name = reader.take(reader.byte())
    require(len(name) > 1 and all(map(is_letter, name)), "an extension's name is malformed")
    require(chr(name[0]).isupper() == letter.isupper(), "an extension's name has the wrong case")
    return Section(name.decode("ascii"), reader.take(reader.remaining))


def first_signal(sections: Sequence[Section]) -> dict[str, bytes]:
    """The payloads of the first signal by section name; what follows it is not looked at."""
    require(len(sections) > 0 and sections[0].name == "S", "a file begins with a signal")
    payloads: dict[str, bytes] = {}
    for section in sections:
        if section.name == "S" and payloads:
            break
        if section.name not in KNOWN_SECTIONS:
            require(section.name[0].islower(), f"unknown section {section.name}")
            continue
        require(section.name not in payloads, f"section {section.name} occurs twice")
        payloads[section.name] = section.payload
    require("N" in payloads, "the signal has no network")
    return payloads


def read_palette(payload: bytes, channels: int) -> NDArray[np.uint8]:
    """The colours (entries, channels) of section p of a picture with so many channels."""
    require(channels in (3, 4), "a palette needs colours")
    require(len(payload) > 0 and len(payload) % channels == 0, "the palette's size does not fit")
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


# Section 3: signal ---------------------------------------------------------------------------


def read_description(payload: bytes) -> PictureDescription | SamplesDescription:
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
    require(1 <= axes <= 8, "the number of axes is out of range")
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


def to_samples(values: Float32Array, description: PictureDescription) -> NDArray[np.generic]:
    """Values (..., channels) of the field as samples of the picture."""
    low, high = description.low, description.high
    with np.errstate(over="ignore", invalid="ignore"):
        samples = low + values * (high - low)
        if description.sample == FLOAT32:  # a NaN becomes 0, an infinity the largest number
            return np.nan_to_num(samples)
        samples = np.floor(samples + np.float32(0.5))
    samples[np.isnan(samples)] = 0
    clipped = np.clip(samples, 0, LARGEST_SAMPLE[description.sample])
    return clipped.astype(SAMPLE_DTYPE[description.sample])


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
    tensors = [operation.weights for operation in operations if operation.weights is not None]
    require(sum(tensor.symbols.size for tensor in tensors) <= MOST_WEIGHTS, "too many weights")
    _read_symbols(tensors, reader.take(reader.remaining))
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

    if integer_count:
        axis, places = integers[:2]
        require(axis < axes, "the axis does not exist")
        require(1 <= places <= MOST_PLACES, "the number of places is out of range")
        width = integers[-1]
    else:
        width = input_widths[0]
    weights = None
    if has_weights:
        weights = _read_weights_header(reader, width if opcode == LINEAR else 1)
        rows = len(weights.symbols)
        if opcode == LINEAR:
            width = rows
        else:
            require(rows in (1, width), "the channels of the weights do not fit")
    require(1 <= width <= MOST_CHANNELS, "the number of channels is out of range")
    widths.append(width)
    return Operation(opcode, inputs, integers, constants, weights)


def _read_weights_header(reader: Reader, columns: int) -> Weights:
    rows = reader.varint()
    require(1 <= rows <= MOST_CHANNELS, "the size of the weights is out of range")
    require(rows * columns <= MOST_WEIGHTS, "too many weights")
    step, centre, reach = reader.float32(), reader.signed(), reader.varint()
    require(abs(centre) <= FARTHEST_CENTRE, "the centre is out of range")
    require(reach <= 32767, "the reach is out of range")
    shape = scale = 0
    if reach > 0:
        shape, scale = reader.byte(), reader.byte()
        require(shape <= 6, "another shape of distribution")
    symbols = np.full((rows, columns), centre, np.int64)
    return Weights(symbols, step, centre, reach, shape, scale)


def evaluate(program: Program, coordinates: Float64Array) -> Float32Array:
    """The field's values (points, channels) at coordinates (points, axes)."""
    values: list[Float32Array] = []  # each (channels, points)
    with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
        for operation in program.operations:
            inputs = [values[-back] for back in operation.inputs]
            if operation.opcode in ENCODINGS:
                axis, *integers = operation.integers
                encode = ENCODINGS[operation.opcode]
                value = encode(coordinates[:, axis], *integers, *operation.constants)
            elif operation.weights is not None:
                value = WEIGHTED[operation.opcode](inputs[0], operation.weights.values())
            else:
                value = ELEMENTWISE[operation.opcode](*inputs)
            assert value.dtype == np.float32
            values.append(value)
    return values[-1].T


def _position(coordinates: Float64Array, places: int) -> Float64Array:
    return coordinates * (places / 2) + (places - 1) / 2


def _nearest_position(coordinates: Float64Array, places: int) -> list[int]:
    nearest = np.floor(_position(coordinates, places) + 0.5)
    return [0 if not value >= 0 else int(min(value, places - 1)) for value in nearest.tolist()]


def _sinusoid(
    coordinates: Float64Array, places: int, length: int, first: float, ratio: float
) -> Float32Array:
    position = _position(coordinates, places)
    frequency, rows = np.float64(first), []
    for _ in range(length):
        turns = (position * frequency) * 0.15915494309189534
        rows.append(sine_of_turns(turns).astype(np.float32))
        frequency = frequency * np.float64(ratio)
    return np.stack(rows)


def _one_hot(coordinates: Float64Array, places: int) -> Float32Array:
    nearest = _nearest_position(coordinates, places)
    return np.array([[k == at for at in nearest] for k in range(places)], np.float32)


def _binary(coordinates: Float64Array, places: int, length: int) -> Float32Array:
    nearest = _nearest_position(coordinates, places)
    return np.array([[(at >> k) & 1 for at in nearest] for k in range(length)], np.float32)


def _linear(x: Float32Array, weights: Float32Array) -> Float32Array:
    total = np.zeros((len(weights), x.shape[1]), np.float32)
    for column, row in zip(weights.T, x, strict=True):
        product = column[:, None] * row[None, :]
        total = total + product
    return total


# Section 5: weights --------------------------------------------------------------------------

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
        1 + math.floor(65536 * _decay(_power(k / scale, weights.shape)))
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


def _decay(x: float) -> float:
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
        unit = self.range // total
        target = min(self.code // unit, total - 1)
        symbol = int(np.searchsorted(cumulative, target, side="right")) - 1
        start, end = int(cumulative[symbol]), int(cumulative[symbol + 1])
        self.code -= unit * start
        self.range = unit * (end - start)
        while self.range < 2**56:
            self.code = (256 * self.code + self._next_byte()) % 2**64
            self.range = 256 * self.range
        return symbol


def _cumulative(weights: Weights) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(frequencies(weights))])


def _read_symbols(tensors: Iterable[Weights], stream: bytes) -> None:
    """Decode the symbols of the tensors in place."""
    decoder = RangeDecoder(stream)
    for tensor in tensors:
        if tensor.reach > 0:
            cumulative = _cumulative(tensor)
            first = tensor.centre - tensor.reach
            symbols = [first + decoder.decode(cumulative) for _ in range(tensor.symbols.size)]
            tensor.symbols = np.array(symbols, np.int64).reshape(tensor.symbols.shape)


# Section 6: elementary functions -------------------------------------------------------------


def _horner(y: Float32Array, x: Float32Array, coefficients: Iterable[float]) -> Float32Array:
    for coefficient in coefficients:
        y = y * x + np.float32(coefficient)
    return y


def exponential(x: Float32Array) -> Float32Array:
    """The format's exp(x)."""
    x = np.where(x > np.float32(-87), x, np.float32(-87))
    x = np.where(x < np.float32(88), x, np.float32(88))
    n = np.rint(x * np.float32(1.44269504))
    r = (x - n * np.float32(0.693359375)) - n * np.float32(-2.12194440e-4)
    y = np.full_like(x, 1 / 720)
    y = _horner(y, r, (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1, 1))
    return y * np.ldexp(np.float32(1), n.astype(np.int32))


def tanh(x: Float32Array) -> Float32Array:
    """The format's tanh(x)."""
    one, two = np.float32(1), np.float32(2)
    return one - two / (exponential(x + x) + one)


def sigmoid(x: Float32Array) -> Float32Array:
    """The format's sigmoid(x)."""
    one = np.float32(1)
    return one / (exponential(-x) + one)


def gelu(x: Float32Array) -> Float32Array:
    """The format's GELU(x)."""
    one = np.float32(1)
    z = np.abs(x)
    t = one / (one + np.float32(0.23164190) * z)
    y = np.full_like(x, 0.53070271)
    y = _horner(y, t, (-0.72657601, 0.71070687, -0.14224837, 0.12741480))
    tail = (y * t) * exponential(np.float32(-0.5) * (z * z))
    return np.where(x < 0, x * tail, x * (one - tail))


# Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, ties to even, up to 2^51, and is
# what the format does beyond, too.
ROUNDING = 6755399441055744.0


def sine_of_turns(t: Float64Array) -> Float64Array:
    """The format's S(t), about sin(2 pi t)."""
    u = t - ((t + ROUNDING) - ROUNDING)
    u = np.where(u > 0.25, 0.5 - u, u)
    u = np.where(u < -0.25, -0.5 - u, u)
    q = u * u
    y = np.full_like(u, 3.8199525848482803)
    for coefficient in (
        -15.094642576822984,
        42.058693944897634,
        -76.70585975306136,
        81.60524927607504,
        -41.341702240399755,
        6.283185307179586,
    ):
        y = y * q + coefficient
    return y * u


ENCODINGS: dict[int, Callable[..., Float32Array]] = {
    SINUSOID: _sinusoid,
    ONE_HOT: _one_hot,
    BINARY: _binary,
}
WEIGHTED: dict[int, Callable[[Float32Array, Float32Array], Float32Array]] = {
    LINEAR: _linear,
    SHIFT: np.add,
    SCALE: np.multiply,
}
ELEMENTWISE: dict[int, Callable[..., Float32Array]] = {
    ADD: np.add,
    MULTIPLY: np.multiply,
    TANH: tanh,
    GELU: gelu,
    SIGMOID: sigmoid,
}


# Decoding a file -----------------------------------------------------------------------------


def draw(program: Program, description: PictureDescription) -> NDArray[np.generic]:
    """The samples (height, width, channels) of a picture."""
    x, y = np.meshgrid(pixel_centres(description.width), pixel_centres(description.height))
    values = evaluate(program, np.stack([x.ravel(), y.ravel()], axis=1))
    samples = to_samples(values, description)
    return samples.reshape(description.height, description.width, description.channels)


def read_picture(data: bytes) -> Picture:
    """Read the first signal of a file, a picture, without drawing it."""
    sections = read_sections(data)
    payloads = first_signal(sections)
    description = read_description(payloads["S"])
    program = read_program(payloads["N"], description.axes, description.channels)
    require(isinstance(description, PictureDescription), "the first signal is not a picture")
    assert isinstance(description, PictureDescription)
    tensors = [operation.weights for operation in program.operations]
    return Picture(
        sections,
        description,
        program,
        weights=[tensor.values() for tensor in tensors if tensor is not None],
        palette=read_palette(payloads["p"], description.channels) if "p" in payloads else None,
        profile=read_profile(payloads["c"]) if "c" in payloads else None,
    )


def read_file(data: bytes) -> Picture:
    """Decode the first signal of a file, a picture, and draw it."""
    picture = read_picture(data)
    picture.samples = draw(picture.program, picture.description)
    return picture


# Encoding by hand ----------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """An unsigned number, 7 bits a byte, lowest first."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def signed(value: int) -> bytes:
    """A signed number: 0, -1, 1, -2 are 0, 1, 2, 3."""
    return varint(2 * value if value >= 0 else -2 * value - 1)


def float32s(*values: float) -> bytes:
    """Numbers of four bytes."""
    return struct.pack(f"<{len(values)}f", *values)


def section(name: str, payload: bytes) -> bytes:
    """A section; a name of several letters makes it an extension."""
    if len(name) > 1:
        letter = "X" if name[0].isupper() else "x"
        return section(letter, bytes([len(name)]) + name.encode("ascii") + payload)
    return name.encode("ascii") + varint(len(payload)) + payload


def checksummed(content: bytes) -> bytes:
    """The content followed by its checksum."""
    return content + struct.pack("<I", zlib.crc32(content))


def container(*sections: bytes) -> bytes:
    """A file of the sections."""
    return checksummed(SIGNATURE + bytes([VERSION]) + b"".join(sections))


def picture_payload(
    colour: int, sample: int, width: int, height: int, ranges: Sequence[tuple[float, float]] = ()
) -> bytes:
    """Section S of a picture; `ranges` are low and high of each channel, of float32 pictures."""
    head = bytes([0, colour | sample << 4]) + varint(width) + varint(height)
    return head + b"".join(float32s(*pair) for pair in ranges)


def samples_payload(
    axes: Sequence[tuple[int, float, float]], ranges: Sequence[tuple[float, float]]
) -> bytes:
    """Section S of scattered samples; of each axis the number of samples, lowest and highest."""
    head = bytes([1, len(axes)])
    head += b"".join(varint(count) + struct.pack("<2d", *domain) for count, *domain in axes)
    return head + varint(len(ranges)) + b"".join(float32s(*pair) for pair in ranges)


def operation_head(opcode: int, *numbers: int, constants: Sequence[float] = ()) -> bytes:
    """An operation up to its weights; the numbers are its inputs and integers."""
    return bytes([opcode]) + b"".join(map(varint, numbers)) + float32s(*constants)


def weights_head(
    rows: int, step: float = 1.0, centre: int = 0, reach: int = 0, shape: int = 0, scale: int = 0
) -> bytes:
    """What an operation says about its weights."""
    head = varint(rows) + float32s(step) + signed(centre) + varint(reach)
    return head + bytes([shape, scale]) if reach > 0 else head


def network_payload(program: Program) -> bytes:
    """Section N."""
    operations = []
    encoder = RangeEncoder()
    for operation in program.operations:
        numbers = (*operation.inputs, *operation.integers)
        encoded = operation_head(operation.opcode, *numbers, constants=operation.constants)
        weights = operation.weights
        if weights is not None:
            coding = (weights.step, weights.centre, weights.reach, weights.shape, weights.scale)
            encoded += weights_head(len(weights.symbols), *coding)
            if weights.reach > 0:
                cumulative = cumulative_frequencies(weights)
                for symbol in weights.symbols.ravel().tolist():
                    encoder.encode(cumulative, symbol - weights.centre + weights.reach)
        operations.append(encoded)
    return raw_network_payload(program.axes, operations) + encoder.finish()


def raw_network_payload(axes: int, operations: Sequence[bytes]) -> bytes:
    """Section N up to the stream of weights."""
    return bytes([axes]) + varint(len(operations)) + b"".join(operations)


class RangeEncoder:
    """Writes the stream as one long integer, the inverse of `RangeDecoder`."""

    def __init__(self) -> None:
        self.low = 0
        self.range = 2**64 - 1
        self.size = 8

    def encode(self, cumulative: NDArray[np.int64], symbol: int) -> None:
        """Append a symbol; `cumulative` begins with 0 and ends with the sum."""
        start, end = int(cumulative[symbol]), int(cumulative[symbol + 1])
        unit = self.range // int(cumulative[-1])
        self.low += unit * start
        self.range = unit * (end - start)
        while self.range < 2**56:
            self.low *= 256
            self.range *= 256
            self.size += 1

    def finish(self) -> bytes:
        """The shortest stream whose number lies within the final interval."""
        for zeros in range(self.size, -1, -1):
            multiple = 256**zeros
            number = -(-self.low // multiple) * multiple
            if number < self.low + self.range:
                return number.to_bytes(self.size, "big")[: self.size - zeros]
        raise AssertionError("the interval is empty")
