"""Arrays in memory to pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fieldpack.errors import SignalError
from fieldpack.files import cause
from fieldpack.signals.limits import library_limits
from fieldpack.signals.pillow import from_pillow, zeros_and_ones
from fieldpack.signals.signal import Colour, Picture

_COLOURS = (Colour.GREY, Colour.GREY_ALPHA, Colour.RGB, Colour.RGBA)


def picture_from(image: Image.Image | NDArray[np.generic]) -> Picture:
    """Return the picture of an array or of a Pillow image.

    Args:
        image: An array (H, W) or (H, W, C), C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA, of bool
            (1-bit), uint8, uint16, float32 or float64 (kept as float32); or a Pillow image of any
            mode, whose EXIF orientation is applied. An array that needs no conversion is shared
            with the picture, not copied.

    Raises:
        SignalError: Any other shape or dtype, a float that is not finite or beyond float32, a
            Pillow image that cannot be loaded.
    """
    if isinstance(image, Image.Image):
        try:
            with library_limits():
                return from_pillow(image)
        except SignalError:
            raise
        except Exception as error:
            raise SignalError(f"cannot load the Pillow image: {cause(error)}") from error
    if not isinstance(image, np.ndarray) or isinstance(image, np.ma.MaskedArray):
        raise SignalError(
            f"a picture is a NumPy array or a Pillow image, not a {type(image).__name__}; "
            "convert it with numpy.asarray"
        )
    samples = image[:, :, np.newaxis] if image.ndim == 2 else image
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4:
        raise SignalError(
            f"a picture has shape (H, W) or (H, W, 1 to 4 channels), not {image.shape}; "
            "the channels come last"
        )
    samples, depth = stored_samples(samples)
    return Picture(samples, _COLOURS[samples.shape[2] - 1], depth)


def stored_samples(samples: NDArray[np.generic]) -> tuple[NDArray[np.generic], int]:
    """Return samples as a picture stores them, contiguous, and their bit depth.

    Raises:
        SignalError: The dtype is not one of those of `picture_from`, or a float is not finite.
    """
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if kind == "b":
        return zeros_and_ones(samples), 1
    if kind == "u" and size <= 2:
        return np.ascontiguousarray(samples, dtype=f"u{size}"), 8 * size
    if kind == "f" and size in (4, 8):
        with np.errstate(over="ignore"):
            single = np.ascontiguousarray(samples, dtype=np.float32)
        if not np.isfinite(single).all():
            raise SignalError(
                "the picture has samples that are not finite or beyond float32; "
                "replace them first, for example with numpy.nan_to_num"
            )
        return single, 32
    raise SignalError(
        f"a picture's samples are bool, uint8, uint16, float32 or float64, not {samples.dtype}; "
        "convert the array with astype"
    )
