"""Pillow's images of every mode to pictures, and pictures to Pillow's images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fieldpack.errors import SignalError
from fieldpack.signals.orientation import orientation_of, upright
from fieldpack.signals.profile import profile_for
from fieldpack.signals.signal import Colour, Picture

_PLAIN = {
    "1": (Colour.GREY, 1),
    "L": (Colour.GREY, 8),
    "LA": (Colour.GREY_ALPHA, 8),
    "RGB": (Colour.RGB, 8),
    "RGBA": (Colour.RGBA, 8),
    "CMYK": (Colour.CMYK, 8),
    "F": (Colour.GREY, 32),
}
_DEEP = {2: Colour.GREY_ALPHA, 3: Colour.RGB, 4: Colour.RGBA}
_CONVERTED = {
    "La": "LA",
    "PA": "RGBA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "YCbCr": "RGB",
    "HSV": "RGB",
}


def from_pillow(image: Image.Image, deep: NDArray[np.uint16] | None = None) -> Picture:
    """Return the picture of an image of any mode, loading it.

    Args:
        image: The image.
        deep: (H, W, 2 to 4) samples to take in place of the image's own, which have 8 bits.

    Raises:
        SignalError: The mode, or its values, cannot be a picture's.
    """
    image.load()
    orientation = orientation_of(image)
    palette: NDArray[np.uint8] | None = None
    samples: NDArray[Any]
    if deep is None and image.mode == "P":
        samples, colour, palette = _through_palette(image)
        depth = 8
    else:
        if deep is None:
            samples, colour, depth = _samples(image)
        else:
            samples, colour, depth = deep, _DEEP[deep.shape[2]], 16
        samples, colour, depth = _with_key(samples, colour, depth, image.info.get("transparency"))
    return Picture(
        upright(samples, orientation),
        colour,
        depth,
        palette,
        profile_for(image.info.get("icc_profile"), colour),
    )


def to_pillow(picture: Picture) -> Image.Image:
    """Return a picture of 1 or 8 bits, or 16-bit or float greyscale, as a Pillow image."""
    grey = picture.colour == Colour.GREY
    if picture.bit_depth == 1 and grey:
        return Image.fromarray(picture.samples[:, :, 0].astype(bool))
    if picture.bit_depth in (16, 32) and grey:
        return Image.fromarray(np.ascontiguousarray(picture.samples[:, :, 0]))
    mode = {Colour.GREY: "L", Colour.GREY_ALPHA: "LA"}.get(picture.colour, picture.colour.name)
    return Image.frombytes(mode, (picture.width, picture.height), picture.samples.tobytes())


def zeros_and_ones(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Return booleans as uint8; True is stored as 255 in the arrays that Pillow makes."""
    truth: NDArray[np.bool_] = np.ascontiguousarray(samples).view(np.uint8) != 0
    return truth.astype(np.uint8)


def whole_numbers(samples: NDArray[Any]) -> NDArray[np.uint16]:
    """Return integers of any size as 16-bit samples.

    Raises:
        SignalError: They do not lie in 0..65535.
    """
    low, high = int(samples.min()), int(samples.max())
    if low < 0 or high > 0xFFFF:
        raise SignalError(
            f"its integer samples, {low} to {high}, do not fit in 16 bits; "
            "save it with 16-bit or floating-point samples"
        )
    return samples.astype(np.uint16)


def _samples(image: Image.Image) -> tuple[NDArray[Any], Colour, int]:
    mode = image.mode
    if mode == "LAB":
        image, mode = _lab_to_rgb(image), "RGB"
    elif mode in _CONVERTED:
        mode = _CONVERTED[mode]
        image = image.convert(mode)
    samples = np.array(image)
    if samples.ndim == 2:
        samples = samples[:, :, np.newaxis]
    if mode in _PLAIN:
        return (zeros_and_ones(samples) if mode == "1" else samples), *_PLAIN[mode]
    if mode == "I" or mode.startswith("I;16"):
        return whole_numbers(samples), Colour.GREY, 16
    raise SignalError(f"pictures of Pillow's mode {mode} are not supported; convert it to RGB")


def _through_palette(
    image: Image.Image,
) -> tuple[NDArray[np.uint8], Colour, NDArray[np.uint8]]:
    """Return the colours of a palette image (H, W, 3 or 4), their meaning, and the palette."""
    indices = np.asarray(image)
    palette = np.array(image.getpalette("RGBA") or [], dtype=np.uint8).reshape(-1, 4)
    missing = int(indices.max()) + 1 - len(palette)
    if missing > 0:  # indices beyond the palette are black
        black = np.array([[0, 0, 0, 255]], dtype=np.uint8)
        palette = np.concatenate([palette, np.repeat(black, missing, axis=0)])
    key = image.info.get("transparency")
    if isinstance(key, int) and 0 <= key < len(palette):
        palette[key, 3] = 0
    elif isinstance(key, bytes):
        count = min(len(key), len(palette))
        palette[:count, 3] = np.frombuffer(key, np.uint8, count)
    if (palette[:, 3] == 255).all():
        palette = np.ascontiguousarray(palette[:, :3])
    return palette[indices], Colour.RGBA if palette.shape[1] == 4 else Colour.RGB, palette


def _with_key(
    samples: NDArray[Any], colour: Colour, depth: int, key: object
) -> tuple[NDArray[Any], Colour, int]:
    """Turn a declared transparent colour into an alpha channel."""
    if colour == Colour.GREY and depth != 32 and isinstance(key, int):
        wanted, result = [key], Colour.GREY_ALPHA
    elif colour == Colour.RGB and isinstance(key, tuple) and len(key) == 3:
        wanted, result = list(key), Colour.RGBA
    else:
        return samples, colour, depth
    if depth == 1:
        samples, depth = samples * np.uint8(255), 8
        wanted = [255 if wanted[0] else 0]
    peak = (1 << depth) - 1
    opaque = (samples.astype(np.int64) != np.array(wanted)).any(axis=2, keepdims=True)
    alpha = (opaque * peak).astype(samples.dtype)
    return np.concatenate([samples, alpha], axis=2), result, depth


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    try:
        from PIL import ImageCms  # noqa: PLC0415 - Pillow may be built without it
    except ImportError as error:
        raise SignalError("this Pillow cannot convert Lab colours; save it as RGB") from error
    converted = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    if converted is None:
        raise SignalError("its Lab colours cannot be converted; save it as RGB")
    return converted
