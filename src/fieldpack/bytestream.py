"""Reading and writing the numbers that sections are made of (docs/format.md, "Numbers")."""

from __future__ import annotations

import math
import struct

from fieldpack.errors import FormatError


class ByteWriter:
    """Collects bytes."""

    def __init__(self) -> None:
        """Start empty."""
        self._bytes = bytearray()

    def byte(self, value: int) -> None:
        """Append one byte, 0 .. 255."""
        self._bytes.append(value)

    def varint(self, value: int) -> None:
        """Append an unsigned number, 7 bits a byte, lowest first (LEB128)."""
        while value >= 0x80:
            self._bytes.append(value & 0x7F | 0x80)
            value >>= 7
        self._bytes.append(value)

    def signed(self, value: int) -> None:
        """Append a signed number: 0, -1, 1, -2, ... as varints 0, 1, 2, 3, ..."""
        self.varint(2 * value if value >= 0 else -2 * value - 1)

    def float32(self, value: float) -> None:
        """Append an IEEE single, little-endian."""
        self._bytes += struct.pack("<f", value)

    def float64(self, value: float) -> None:
        """Append an IEEE double, little-endian."""
        self._bytes += struct.pack("<d", value)

    def raw(self, data: bytes) -> None:
        """Append bytes as they are."""
        self._bytes += data

    def getvalue(self) -> bytes:
        """Return everything appended."""
        return bytes(self._bytes)


class ByteReader:
    """Reads bytes in order; every method raises FormatError past the end.

    Args:
        data: What to read.
        name: What it is, for messages.
    """

    def __init__(self, data: bytes, name: str) -> None:
        """Start at the first byte."""
        self._data = data
        self._name = name
        self._offset = 0

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._offset

    def raw(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if count > self.remaining:
            raise FormatError(f"{self._name} ends too early")
        self._offset += count
        return self._data[self._offset - count : self._offset]

    def rest(self) -> bytes:
        """Return all bytes that are left."""
        return self.raw(self.remaining)

    def byte(self) -> int:
        """Return one byte."""
        return self.raw(1)[0]

    def varint(self, limit: int = (1 << 63) - 1) -> int:
        """Return an unsigned number of at most `limit`."""
        value = 0
        for shift in range(0, 63, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value > limit:
                    raise FormatError(f"{self._name} has a number out of range ({value})")
                return value
        raise FormatError(f"{self._name} has a number of more than 63 bits")

    def signed(self) -> int:
        """Return a signed number."""
        value = self.varint()
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1

    def float32(self) -> float:
        """Return a finite IEEE single."""
        return self._finite(struct.unpack("<f", self.raw(4))[0])

    def float64(self) -> float:
        """Return a finite IEEE double."""
        return self._finite(struct.unpack("<d", self.raw(8))[0])

    def end(self) -> None:
        """Check that nothing is left."""
        if self.remaining:
            raise FormatError(f"{self._name} has {self.remaining} bytes too many")

    def _finite(self, value: float) -> float:
        if not math.isfinite(value):
            raise FormatError(f"{self._name} has a number that is not finite")
        return value
