"""Colour profiles: which ones to keep with a picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from fieldpack.signals.signal import Colour

_SPACES = {
    Colour.GREY: b"GRAY",
    Colour.GREY_ALPHA: b"GRAY",
    Colour.RGB: b"RGB ",
    Colour.RGBA: b"RGB ",
    Colour.CMYK: b"CMYK",
}


def profile_for(profile: object, colour: Colour) -> bytes | None:
    """Return an ICC profile if it describes pictures of these channels and is not sRGB's."""
    if not isinstance(profile, bytes) or profile[16:20] != _SPACES[colour]:
        return None
    return None if _is_srgb(profile) else profile


def _is_srgb(profile: bytes) -> bool:
    """Say whether a profile maps colours as sRGB does: names vary, and some of them lie."""
    if profile[16:20] != b"RGB ":
        return False
    try:
        from PIL import ImageCms  # noqa: PLC0415 - Pillow may be built without it

        levels = np.arange(0, 256, 51, dtype=np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        mapped = ImageCms.profileToProfile(
            Image.fromarray(colours),
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
        )
        return bool(np.abs(np.asarray(mapped).astype(int) - colours).max() <= 1)
    except Exception:  # a broken profile is kept as it is
        return False
