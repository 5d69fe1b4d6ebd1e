"""Picture files of every kind to pictures."""

from __future__ import annotations

import io
import warnings
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from fieldpack.errors import SignalError
from fieldpack.files import StrPath, cause, shown
from fieldpack.signals import netpbm, png, tiff
from fieldpack.signals.limits import MAX_PIXELS, check_size, library_limits
from fieldpack.signals.pillow import from_pillow
from fieldpack.signals.signal import Picture

# Formats whose further "frames" are parts or previews of the first.
_ONE_PICTURE = ("PSD", "MPO", "ICO", "ICNS")


def read_picture(path: StrPath) -> Picture:
    """Read a picture file: PNG, JPEG, WebP, TIFF, Netpbm, BMP, GIF and whatever Pillow reads.

    PNG, TIFF and Netpbm keep 16-bit and floating-point samples; YCbCr, Lab and HSV become RGB; a
    palette is kept beside its colours; a declared transparent colour becomes alpha; the EXIF
    orientation is applied; an ICC profile is kept unless it is sRGB. Of an animation or a file
    of several pages the first is read, with a UserWarning.

    Args:
        path: The file.

    Raises:
        SignalError: `cannot read PATH: CAUSE`: there is no such file, it is not a picture, it is
            truncated or damaged, of a kind or size (more than 2^29 pixels) that is not supported,
            or memory does not suffice.
    """
    try:
        with open(path, "rb") as file, library_limits():
            picture, frames = _decode(file if file.seekable() else io.BytesIO(file.read()))
    except Exception as error:
        raise SignalError(f"cannot read {shown(path)}: {_cause(error)}") from error
    if frames > 1:
        warnings.warn(
            f"{shown(path)} holds {frames} pictures; only the first is used", stacklevel=2
        )
    return picture


def _decode(file: BinaryIO) -> tuple[Picture, int]:
    """Return the first picture and the number of pictures."""
    magic = file.read(8)
    file.seek(0)
    if not magic:
        raise SignalError("the file is empty")
    if magic.startswith(png.SIGNATURE):
        return png.read_png(file)
    if magic.startswith(tiff.MAGIC):
        return tiff.read_tiff(file)
    if magic.startswith(netpbm.MAGIC) and (magic[2:3].isspace() or magic[2:3] == b"#"):
        return netpbm.read_netpbm(file), 1
    with Image.open(file) as image:
        check_size(*image.size)
        frames = 1 if image.format in _ONE_PICTURE else int(getattr(image, "n_frames", 1))
        return from_pillow(image), frames


def _cause(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture, or of a kind that is not supported"
    if isinstance(error, Image.DecompressionBombError):
        return f"it declares more than {MAX_PIXELS} pixels, the most that is read"
    known = isinstance(error, SignalError | MemoryError)
    if known or (isinstance(error, OSError) and error.strerror):
        return cause(error)
    return f"truncated, damaged, or of a kind that is not supported ({cause(error)})"
