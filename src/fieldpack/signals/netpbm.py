"""The Netpbm formats (PBM, PGM, PPM, PFM) at every depth; Pillow reduces them to 8 bits."""

from __future__ import annotations

import math
import os
import re
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fieldpack.errors import SignalError
from fieldpack.signals.limits import check_size
from fieldpack.signals.signal import Colour, Picture

MAGIC = (b"P2", b"P3", b"P5", b"P6", b"PF", b"Pf")

_COLOUR_MAGIC = (b"P3", b"P6", b"PF")
_LONGEST_TOKEN = 32


def read_netpbm(file: BinaryIO) -> Picture:
    """Return the (first) picture of a PGM, PPM or PFM file, plain or binary.

    Samples of up to 8 bits become 8-bit ones, others 16-bit, scaled so that the file's maximum is
    the picture's. A PFM's scale factor is not applied.

    Raises:
        SignalError: The header or a sample is not valid, or the file ends early.
    """
    file.seek(0)
    magic = file.read(2)
    width, height = _integer(_token(file)), _integer(_token(file))
    check_size(width, height)
    colour = Colour.RGB if magic in _COLOUR_MAGIC else Colour.GREY
    shape = (height, width, colour.channels)
    if magic in (b"PF", b"Pf"):
        order = "<" if _number(_token(file)) < 0 else ">"
        rows = np.frombuffer(_raster(file, 4 * math.prod(shape)), f"{order}f4").reshape(shape)
        return Picture(np.ascontiguousarray(rows[::-1], dtype=np.float32), colour, 32)
    largest = _integer(_token(file))
    if not 0 < largest < 65536:
        raise SignalError(f"its largest sample value is given as {largest}")
    depth = 8 if largest < 256 else 16
    if magic in (b"P2", b"P3"):
        samples = _plain(file, math.prod(shape))
    else:
        data = _raster(file, depth // 8 * math.prod(shape))
        samples = np.frombuffer(data, ">u2" if depth == 16 else np.uint8)
    return Picture(_scaled(samples, largest, depth).reshape(shape), colour, depth)


def netpbm(picture: Picture) -> bytes:
    """Return a binary PBM, PGM, PPM or PFM file of a greyscale or RGB picture."""
    size = f"\n{picture.width} {picture.height}\n"
    grey = picture.colour == Colour.GREY
    samples = picture.samples
    if picture.bit_depth == 1:  # 1 is black in these files
        return f"P4{size}".encode() + np.packbits(samples[:, :, 0] == 0, axis=1).tobytes()
    if picture.bit_depth == 32:
        header = f"{'Pf' if grey else 'PF'}{size}-1.0\n"
        return header.encode() + samples[::-1].astype("<f4").tobytes()
    data = samples.astype(">u2") if picture.bit_depth == 16 else samples
    return f"{'P5' if grey else 'P6'}{size}{picture.peak}\n".encode() + data.tobytes()


def _token(file: BinaryIO) -> bytes:
    """Return the next word of the header, consuming the one blank after it."""
    token = b""
    while len(token) < _LONGEST_TOKEN:
        byte = file.read(1)
        if byte == b"#":
            while file.read(1) not in (b"\n", b"\r", b""):
                pass
            byte = b"\n"
        if not byte or byte.isspace():
            if token or not byte:
                break
        else:
            token += byte
    return token


def _integer(token: bytes) -> int:
    if not token.isdigit():
        raise SignalError(f"it has {token.decode('latin-1')!r} where a number is expected")
    return int(token)


def _number(token: bytes) -> float:
    try:
        return float(token)
    except ValueError as error:
        text = token.decode("latin-1")
        raise SignalError(f"it has {text!r} where a number is expected") from error


def _raster(file: BinaryIO, size: int) -> bytes:
    start = file.tell()
    present = file.seek(0, os.SEEK_END) - start
    if present < size:
        raise SignalError(f"the file is truncated: {present} of {size} bytes of samples are there")
    file.seek(start)
    return file.read(size)


def _plain(file: BinaryIO, count: int) -> NDArray[np.uint32]:
    tokens = re.sub(rb"#[^\r\n]*", b"", file.read()).split(None, count)[:count]
    if len(tokens) < count:
        raise SignalError(f"the file is truncated: {len(tokens)} of {count} samples are there")
    return np.array([_integer(token) for token in tokens], dtype=np.uint32)


def _scaled(samples: NDArray[np.unsignedinteger], largest: int, depth: int) -> NDArray[np.generic]:
    stored = np.uint8 if depth == 8 else np.uint16
    if samples.size and int(samples.max()) > largest:
        raise SignalError(f"it has samples above {largest}, the largest value that it declares")
    peak = (1 << depth) - 1
    if largest == peak:
        return samples.astype(stored)
    return ((samples.astype(np.uint32) * peak + largest // 2) // largest).astype(stored)
