"""Numbers and sections of a .fpk file, read as sections 1 and 2 of docs/format.md define them."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

SIGNATURE = b"\xf1PK"
VERSION = 1
KNOWN_SECTIONS = frozenset("SNPpc")


class FormatViolationError(ValueError):
    """The bytes are not a file that a decoder of version 1 accepts."""


def require(condition: bool, message: str) -> None:
    """Raise `FormatViolationError` with the message unless the condition holds."""
    if not condition:
        raise FormatViolationError(message)


class Reader:
    """Reads the numbers of a payload one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    @property
    def remaining(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.position

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        require(size <= self.remaining, "truncated")
        self.position += size
        return self.data[self.position - size : self.position]

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

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


@dataclass
class Section:
    """A section of the container; `name` has several letters for an extension."""

    name: str
    payload: bytes


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
        is_last = letter >= 128
        letter %= 128
        require(is_letter(letter), "a section's name is not a letter")
        payload = reader.take(reader.remaining if is_last else reader.varint())
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
    require("N" in payloads or "P" in payloads, "the signal has neither network nor pyramid")
    require("N" not in payloads or "P" not in payloads, "both a network and a pyramid")
    return payloads
