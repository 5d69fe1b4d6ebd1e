"""Reading fields and pictures back, for Python."""

from __future__ import annotations

import builtins
import os

import numpy as np
from numpy.typing import NDArray

from fieldpack.errors import FormatError, RequestError
from fieldpack.field import Field
from fieldpack.files import cause, shown
from fieldpack.rendering import Region, Size
from fieldpack.signals import Picture

Data = bytes | bytearray | memoryview | str | os.PathLike[str]


def open(data: Data, *, threads: int = 0, skipped_grids: int = 0) -> Field:
    """Open a .fpk file.

    Args:
        data: The file's bytes, or its path.
        threads: Threads of the engine; 0 means one for each core.
        skipped_grids: How many of the finest latent grids to leave undecoded. What is left is a
            blurred picture, best drawn at 1 / 2^skipped_grids of its size (see `preview`).

    Raises:
        FormatError: It cannot be read, or is not a valid file.
        RequestError: `skipped_grids` is negative, or the file has no grids.
    """
    if skipped_grids < 0:
        raise RequestError(f"the number of skipped grids is not negative, as {skipped_grids} is")
    if isinstance(data, bytes | bytearray | memoryview):
        return Field(bytes(data), threads=threads, skipped_grids=skipped_grids)
    try:
        with builtins.open(data, "rb") as file:
            content = file.read()
    except OSError as error:
        raise FormatError(f"cannot read {shown(data)}: {cause(error)}") from error
    try:
        return Field(content, threads=threads, skipped_grids=skipped_grids)
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
    return _samples(field.picture(scale=scale, size=size, region=region))


def preview(data: Data, *, skipped_grids: int = 3, threads: int = 0) -> NDArray[np.generic]:
    """Draw a small picture from the coarse grids of a .fpk file only.

    Args:
        data: The file's bytes, or its path.
        skipped_grids: How many of the finest grids to leave undecoded; the picture's sides are
            those of the whole one divided by 2^skipped_grids, rounded up.
        threads: Threads of the engine; 0 means one for each core.

    Returns:
        Samples as `decode` returns them.

    Raises:
        FormatError: The file is not valid.
        RequestError: The file holds no pyramid.
    """
    return _samples(open(data, threads=threads, skipped_grids=skipped_grids).preview())


def _samples(picture: Picture) -> NDArray[np.generic]:
    samples = picture.samples[:, :, 0] if picture.channels == 1 else picture.samples
    return samples.astype(np.bool_) if picture.bit_depth == 1 else samples
