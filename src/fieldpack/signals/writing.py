"""Pictures to files."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from fieldpack.errors import SignalError
from fieldpack.files import StrPath, cause, shown, write_atomically
from fieldpack.signals.formats import Format, format_of
from fieldpack.signals.limits import library_limits
from fieldpack.signals.netpbm import netpbm
from fieldpack.signals.palette import nearest_entries
from fieldpack.signals.pillow import to_pillow
from fieldpack.signals.png import deep_png
from fieldpack.signals.signal import Picture
from fieldpack.signals.suiting import fits_palette, suited
from fieldpack.signals.tiff import deep_tiff


def write_picture(picture: Picture, path: StrPath) -> None:
    """Write a picture to a file, whole or not at all, in the format of the name's extension.

    Mode and depth are the picture's as far as the format allows. Where it does not:

    - 16 bits become 8, correctly rounded; 1 bit becomes 8.
    - Float samples stay as they are in TIFF and PFM; for other formats those in [0, 1] (clipped,
      if they reach beyond it by at most 0.1) are scaled to the format's greatest depth.
    - A palette picture gets the palette's nearest entries in PNG, TIFF, BMP and GIF, and its
      colours elsewhere.
    - CMYK stays in TIFF and JPEG and becomes RGB elsewhere, without its profile.
    - Greyscale becomes RGB in WebP and AVIF.
    - Alpha is dropped, with a UserWarning, in JPEG, BMP, GIF and the Netpbm formats.

    JPEG has quality 95 with chroma at full resolution, AVIF the same, WebP is lossless. A colour
    profile is written in PNG, JPEG, TIFF, WebP and AVIF.

    Args:
        picture: The picture.
        path: The file.

    Raises:
        RequestError: The extension is missing or unknown.
        SignalError: The format cannot hold the picture: too many pixels a side, floats outside
            [0, 1], colours in PGM, and the like; or memory does not suffice.
        FieldpackError: `cannot write PATH: CAUSE`: no such folder, no permission, a full disk.
    """
    format = format_of(path)
    try:
        fitted, alpha_dropped = suited(picture, format)
        with library_limits():
            data = _encoded(fitted, format)
    except Exception as error:
        raise SignalError(f"cannot write {shown(path)}: {cause(error)}") from error
    write_atomically(path, data)
    if alpha_dropped:
        warnings.warn(
            f"{format.label} holds no transparency: {shown(path)} is without it", stacklevel=2
        )


def _encoded(picture: Picture, format: Format) -> bytes:
    if format.name == "NETPBM":
        return netpbm(picture)
    deep = picture.bit_depth > 8
    if deep and format.name == "PNG":
        return deep_png(picture)
    if deep and format.name == "TIFF":
        return deep_tiff(picture)
    options = dict(format.options)
    if picture.icc_profile is not None:
        options["icc_profile"] = picture.icc_profile
    if fits_palette(picture, format):
        image = _palette_image(picture, options)
    else:
        image = to_pillow(picture)
    Image.preinit()
    if format.name not in Image.SAVE:
        Image.init()  # loads all formats, about as slow as decoding a picture
    if format.name not in Image.SAVE:
        raise SignalError(f"this installation of Pillow does not write {format.label}; write PNG")
    file = io.BytesIO()
    image.save(file, format.name, **options)
    return file.getvalue()


def _palette_image(picture: Picture, options: dict[str, object]) -> Image.Image:
    assert picture.palette is not None
    image = Image.fromarray(nearest_entries(picture.samples, picture.palette))
    image.putpalette(np.ascontiguousarray(picture.palette[:, :3]).tobytes())
    if picture.palette.shape[1] == 4:
        options["transparency"] = picture.palette[:, 3].tobytes()
    return image
