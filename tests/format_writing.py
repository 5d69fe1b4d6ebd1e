"""Writing .fpk files by hand, valid or not: nothing here checks what it is given."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from format_container import SIGNATURE, VERSION
from format_evaluation import Program
from format_weights import cumulative_frequencies
from numpy.typing import NDArray


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
