"""More than 8 bits from Pillow where it gives 8: decode twice, for the high and the low bytes.

Pillow's decoders are told the layout of a file's samples by a "raw mode". For 16-bit samples of
more than one channel it has only raw modes that keep the most significant byte; the raw mode of
the other byte order keeps the least significant one. All of Pillow's decompressors, filters and
interlacing serve in C for such files in that way.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

_NATIVE = "L" if sys.byteorder == "little" else "B"


def raw_mode(image: ImageFile.ImageFile) -> str:
    """Return the raw mode of an opened image that is not loaded yet, or an empty string."""
    if not image.tile:
        return ""
    args = image.tile[0][3]
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def loses_depth(image: ImageFile.ImageFile) -> bool:
    """Say whether Pillow is about to reduce 16-bit samples to 8 bits."""
    return ";16" in raw_mode(image) and not image.mode.startswith("I")


def deep_samples(file: BinaryIO, image: ImageFile.ImageFile) -> NDArray[np.uint16]:
    """Return the samples (H, W, C), 16 bits each, that Pillow would reduce to 8.

    Premultiplied colours ("RGBa") are returned as they are stored.

    Args:
        file: The file that `image` was opened from.
        image: Opened, not loaded, with `loses_depth` true; it is loaded.
    """
    layout, order = raw_mode(image).split(";16")
    if layout == "LA":  # four bytes a pixel, as they come
        _set_raw_mode(image, "RGBA")
        return np.array(image).view(">u2").astype(np.uint16)
    layout = layout.replace("RGBa", "RGBA")
    order = order.replace("N", _NATIVE) or "L"
    _set_raw_mode(image, f"{layout};16{order}")
    samples = np.asarray(image).astype(np.uint16) << np.uint16(8)
    with Image.open(file, formats=[image.format or ""]) as again:
        _set_raw_mode(again, f"{layout};16{'L' if order == 'B' else 'B'}")
        samples |= np.asarray(again)
    return samples


def _set_raw_mode(image: ImageFile.ImageFile, mode: str) -> None:
    tiles = []
    for tile in image.tile:
        codec, box, offset, args = tile[:4]
        changed = (mode, *args[1:]) if isinstance(args, tuple) else mode
        tiles.append(ImageFile._Tile(codec, box, offset, changed))
    image.tile = tiles
