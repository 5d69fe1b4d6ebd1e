"""A picture reduced to what a format can hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldpack.errors import SignalError
from fieldpack.signals.formats import Format
from fieldpack.signals.profile import profile_for
from fieldpack.signals.signal import Colour, Picture

_OVERSHOOT = 0.1
_WITHOUT_ALPHA = {Colour.GREY_ALPHA: Colour.GREY, Colour.RGBA: Colour.RGB}
_AS_RGB = {Colour.GREY: Colour.RGB, Colour.GREY_ALPHA: Colour.RGBA, Colour.CMYK: Colour.RGB}


def suited(picture: Picture, format: Format) -> tuple[Picture, bool]:
    """Return a picture that the format can hold, and whether alpha was dropped for that.

    Raises:
        SignalError: The picture is too large for the format, or nothing sensible can be done.
    """
    if max(picture.width, picture.height) > format.max_side:
        raise SignalError(
            f"{format.label} holds at most {format.max_side} pixels a side, "
            f"not {picture.width} x {picture.height}"
        )
    drops = False
    bare = _WITHOUT_ALPHA.get(picture.colour)
    if bare is not None and not set(format.colours) & set(_WITHOUT_ALPHA):
        drops = True
        opaque = np.ascontiguousarray(picture.samples[:, :, :-1])
        palette = None if picture.palette is None else picture.palette[:, :3]
        picture = replace(picture, samples=opaque, colour=bare, palette=palette)
    if fits_palette(picture, format):
        return picture, drops
    depth = _depth(picture, format)
    samples = _at_depth(picture.samples, picture.bit_depth, depth, format)
    colour = picture.colour
    if colour not in format.colours:
        samples, colour = _as_rgb(samples, colour, format)
    profile = profile_for(picture.icc_profile, colour)
    return Picture(np.ascontiguousarray(samples), colour, depth, icc_profile=profile), drops


def fits_palette(picture: Picture, format: Format) -> bool:
    """Say whether a picture can be written with the palette that it came with."""
    palette = picture.palette
    if palette is None or not format.palette or picture.bit_depth != 8:
        return False
    alpha = palette.shape[1] == 4
    return (
        1 <= len(palette) <= 256
        and picture.channels == palette.shape[1]
        and (not alpha or format.palette_alpha)
    )


def _depth(picture: Picture, format: Format) -> int:
    """Return the format's depth nearest above the picture's, else its greatest."""
    depths = [depth for depth in format.depths if depth > 1 or picture.colour == Colour.GREY]
    enough = [depth for depth in depths if depth >= picture.bit_depth]
    depth = min(enough) if enough else max(depths, default=0)
    if depth == 32 and picture.bit_depth != 32 and 16 not in depths:
        raise SignalError(f"{format.label} holds floating-point samples only; write PNG or TIFF")
    if depth <= 1 and picture.bit_depth != 1:
        raise SignalError(f"{format.label} holds 1-bit pictures only; write PNG")
    return depth


def _at_depth(samples: NDArray[Any], old: int, new: int, format: Format) -> NDArray[Any]:
    if old == new:
        return samples
    if old == 32:
        low, high = float(samples.min()), float(samples.max())
        if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
            raise SignalError(
                f"{format.label} holds no floating-point samples, and {low:g} to {high:g} is not "
                "the range 0 to 1 that would be scaled; write .tif"
            )
        scaled = np.rint(samples.clip(0, 1) * np.float64((1 << new) - 1))
    elif old < new:
        scaled = samples.astype(np.uint32) * (((1 << new) - 1) // ((1 << old) - 1))
    else:
        scaled = (samples.astype(np.uint32) * 255 + 32767) // 65535
    return scaled.astype(np.uint8 if new == 8 else np.uint16)


def _as_rgb(samples: NDArray[Any], colour: Colour, format: Format) -> tuple[NDArray[Any], Colour]:
    target = _AS_RGB.get(colour, colour)
    if target not in format.colours:
        raise SignalError(f"{format.label} does not hold {colour.name} pictures; write PNG")
    if colour == Colour.CMYK:
        return _cmyk_to_rgb(samples), target
    channels = [0, 0, 0] if colour == Colour.GREY else [0, 0, 0, 1]
    return samples[:, :, channels], target


def _cmyk_to_rgb(samples: NDArray[Any]) -> NDArray[Any]:
    """Return (1 - ink) (1 - black) of integer or [0, 1] float samples."""
    if samples.dtype == np.float32:
        light: NDArray[Any] = 1 - samples
        mixed: NDArray[Any] = light[:, :, :3] * light[:, :, 3:]
        return mixed
    peak = int(np.iinfo(samples.dtype).max)
    light = peak - samples.astype(np.int64)
    return ((light[:, :, :3] * light[:, :, 3:] + peak // 2) // peak).astype(samples.dtype)
