"""Reading fields and pictures back, for Python."""

from __future__ import annotations

import builtins
import os

import numpy as np
from numpy.typing import NDArray

from fieldpack.errors import FormatError
from fieldpack.field import Field
from fieldpack.files import cause, shown
from fieldpack.rendering import Region, Size

Data = bytes | bytearray | memoryview | str | os.PathLike[str]


def open(data: Data, *, threads: int = 0) -> Field:
    """Open a .fpk file.

    Args:
        data: The file's bytes, or its path.
        threads: Threads of the engine; 0 means one for each core.

    Raises:
        FormatError: It cannot be read, or is not a valid file.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        return Field(bytes(data), threads=threads)
    try:
        with builtins.open(data, "rb") as file:
            content = file.read()
    except OSError as error:
        raise FormatError(f"cannot read {shown(data)}: {cause(error)}") from error
    try:
        return Field(content, threads=threads)
    except FormatError as error:
        raise FormatError(f"{shown(data)}: {error}") from None


def decode(
    data: Data | Field,
    *,
    scale: float | None = None,
    size: Size | None = None,
    region: Region | None = None,
    threads: int = 0,
) -> NDArray[np.generic]:
    """Draw the picture of a .fpk file.

    Args:
        data: The file's bytes, its path, or a field.
        scale: Size of the result relative to the picture (or to the region).
        size: (width, height) of the result in pixels instead.
        region: (x, y, width, height) of the part to draw, in the picture's own pixels.
        threads: Threads of the engine; 0 means one for each core.

    Returns:
        Samples of the type that came in (uint8, uint16, float32; bool for 1-bit pictures):
        (H, W) of a grey picture, (H, W, C) of others.

    Raises:
        FormatError: The file is not valid.
        RequestError: The file holds no picture, or the view makes no sense.
    """
    field = data if isinstance(data, Field) else open(data, threads=threads)
    picture = field.picture(scale=scale, size=size, region=region)
    samples = picture.samples[:, :, 0] if picture.channels == 1 else picture.samples
    return samples.astype(np.bool_) if picture.bit_depth == 1 else samples
