"""The .fpk container: a signature, sections, a checksum (docs/format.md).

It knows bytes only; what a section means is the business of who wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fieldpack import _engine
from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.errors import FormatError

SIGNATURE = b"\xf1PK"
VERSION = 1
_CHECKSUM_BYTES = 4
_IS_LAST = 0x80  # of a section's first byte: its payload is all that is left, and has no size


@dataclass(frozen=True)
class Section:
    """A named part of a file.

    Attributes:
        name: One ASCII letter, or several for an extension; a lower-case first letter means that a
            reader which does not know the section may skip it.
        payload: The section's bytes.
    """

    name: str
    payload: bytes

    @property
    def skippable(self) -> bool:
        """Whether a reader that does not know this section may go on without it."""
        return self.name[0].islower()


def pack(sections: Iterable[Section]) -> bytes:
    """Return the file made of `sections`, in order."""
    writer = ByteWriter()
    writer.raw(SIGNATURE)
    writer.byte(VERSION)
    sections = list(sections)
    for index, section in enumerate(sections):
        payload = section.payload
        name = section.name
        if not (name.isascii() and name.isalpha() and len(name) < 128) or name in ("X", "x"):
            raise ValueError(f"{name!r} is not a section name")
        if len(name) > 1:
            payload = bytes([len(name)]) + name.encode() + payload
            name = "x" if section.skippable else "X"
        if index == len(sections) - 1:
            writer.byte(ord(name) | _IS_LAST)
        else:
            writer.byte(ord(name))
            writer.varint(len(payload))
        writer.raw(payload)
    data = writer.getvalue()
    return data + _engine.crc32(data).to_bytes(_CHECKSUM_BYTES, "little")


def unpack(data: bytes) -> list[Section]:
    """Return the sections of a file.

    Raises:
        FormatError: The file is not of this format or version, is truncated, or is damaged.
    """
    if not data.startswith(SIGNATURE):
        raise FormatError("not a fieldpack file (the signature is missing)")
    if len(data) < len(SIGNATURE) + 1 + _CHECKSUM_BYTES:
        raise FormatError("the file is truncated")
    version = data[len(SIGNATURE)]
    if version != VERSION:
        raise FormatError(f"the file has format version {version}; this release reads {VERSION}")
    body = data[:-_CHECKSUM_BYTES]
    if _engine.crc32(body) != int.from_bytes(data[-_CHECKSUM_BYTES:], "little"):
        raise FormatError("the file is damaged or truncated (the checksum does not match)")
    reader = ByteReader(body[len(SIGNATURE) + 1 :], "the file")
    sections = []
    while reader.remaining:
        sections.append(_read_section(reader))
    return sections


def _read_section(reader: ByteReader) -> Section:
    first = reader.byte()
    letter = chr(first & ~_IS_LAST)
    if not letter.isalpha():
        raise FormatError("the file has a section whose name is not a letter")
    payload = reader.rest() if first & _IS_LAST else reader.raw(reader.varint())
    if letter not in ("X", "x"):
        return Section(letter, payload)
    extension = ByteReader(payload, f"section {letter!r}")
    name = extension.raw(extension.byte()).decode("ascii", errors="replace")
    if not (name.isalpha() and name.isascii() and len(name) > 1) or name[0].islower() != (
        letter == "x"
    ):
        raise FormatError("the file has an extension section with a bad name")
    return Section(name, extension.rest())
