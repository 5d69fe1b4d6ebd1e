"""PNG where Pillow falls short: damage, keys of 2- and 4-bit grey, 16 bits a sample."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fieldpack.errors import SignalError
from fieldpack.signals.deep import deep_samples, loses_depth, raw_mode
from fieldpack.signals.pillow import from_pillow
from fieldpack.signals.signal import Colour, Picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_COLOUR_TYPES = {Colour.GREY: 0, Colour.GREY_ALPHA: 4, Colour.RGB: 2, Colour.RGBA: 6}
_BAND = 64
_PAETH = 4


def read_png(file: BinaryIO) -> tuple[Picture, int]:
    """Return the (first) picture of a PNG file, and the number of frames.

    Raises:
        SignalError: A chunk is missing or fails its checksum.
        Exception: Whatever Pillow raises for a damaged file.
    """
    _check_chunks(file)
    image = Image.open(file, formats=["PNG"])
    frames = int(getattr(image, "n_frames", 1))
    mode = raw_mode(image)
    deep = deep_samples(file, image) if loses_depth(image) else None
    image.load()
    key = image.info.get("transparency")
    if mode in ("L;2", "L;4") and isinstance(key, int):
        image.info["transparency"] = key * (85 if mode == "L;2" else 17)  # as Pillow's samples are
    return from_pillow(image, deep), frames


def deep_png(picture: Picture) -> bytes:
    """Return a PNG file of a 16-bit picture of any colour but CMYK."""
    header = struct.pack(
        ">IIBBBBB", picture.width, picture.height, 16, _COLOUR_TYPES[picture.colour], 0, 0, 0
    )
    parts = [SIGNATURE, _chunk(b"IHDR", header)]
    if picture.icc_profile is not None:
        parts.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc_profile)))
    compressor = zlib.compressobj()
    for top in range(0, picture.height, _BAND):
        data = compressor.compress(_filtered(picture.samples, top))
        if data:
            parts.append(_chunk(b"IDAT", data))
    parts += [_chunk(b"IDAT", compressor.flush()), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _filtered(samples: NDArray[np.generic], top: int) -> bytes:
    """Return rows of PNG's filter 4 (Paeth), each behind its filter byte."""
    band = samples[max(top - 1, 0) : top + _BAND]
    step = 2 * band.shape[2]
    rows = np.ascontiguousarray(band, dtype=">u2").view(np.uint8).reshape(len(band), -1)
    padded = np.pad(rows, ((top == 0, 0), (step, 0))).astype(np.int16)
    current, left = padded[1:, step:], padded[1:, :-step]
    above, corner = padded[:-1, step:], padded[:-1, :-step]
    to_left, to_above = np.abs(above - corner), np.abs(left - corner)
    to_corner = np.abs(left + above - 2 * corner)
    predicted = np.where(to_above <= to_corner, above, corner)
    predicted = np.where((to_left <= to_above) & (to_left <= to_corner), left, predicted)
    out = np.full((len(current), 1 + current.shape[1]), _PAETH, dtype=np.uint8)
    out[:, 1:] = (current - predicted) & 0xFF
    return out.tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _check_chunks(file: BinaryIO) -> None:
    """Check every chunk's checksum; Pillow checks only those before the pixels."""
    file.seek(len(SIGNATURE))
    kind = b""
    while kind != b"IEND":
        head = file.read(8)
        if len(head) < 8:
            raise SignalError("the PNG file is truncated")
        (length,), kind = struct.unpack(">I", head[:4]), head[4:]
        checksum = zlib.crc32(kind)
        while length > 0:
            data = file.read(min(length, 1 << 20))
            if not data:
                raise SignalError("the PNG file is truncated")
            checksum = zlib.crc32(data, checksum)
            length -= len(data)
        stored = file.read(4)
        if len(stored) < 4:
            raise SignalError("the PNG file is truncated")
        if stored != struct.pack(">I", checksum):
            name = kind.decode("latin-1")
            raise SignalError(f"the PNG file is damaged: its {name!r} chunk fails its checksum")
