"""TIFF with more than 8 bits a sample: tifffile reads and writes what Pillow cannot."""

from __future__ import annotations

import contextlib
import io
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from fieldpack.errors import SignalError
from fieldpack.signals.arrays import stored_samples
from fieldpack.signals.deep import deep_samples, loses_depth, raw_mode
from fieldpack.signals.limits import check_size, silent_libtiff
from fieldpack.signals.orientation import ORIENTATION_TAG, upright
from fieldpack.signals.pillow import from_pillow, whole_numbers
from fieldpack.signals.profile import profile_for
from fieldpack.signals.signal import Colour, Picture

MAGIC = (b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b")

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _SEPARATED = 0, 1, 2, 5
_COLOURS = {
    (_WHITE_IS_ZERO, False): Colour.GREY,
    (_WHITE_IS_ZERO, True): Colour.GREY_ALPHA,
    (_BLACK_IS_ZERO, False): Colour.GREY,
    (_BLACK_IS_ZERO, True): Colour.GREY_ALPHA,
    (_RGB, False): Colour.RGB,
    (_RGB, True): Colour.RGBA,
    (_SEPARATED, False): Colour.CMYK,
    (_SEPARATED, True): Colour.CMYK,
}
_BITS_TAG, _PHOTOMETRIC_TAG, _EXTRA_SAMPLES_TAG, _PROFILE_TAG = 258, 262, 338, 34675
_PREMULTIPLIED = 1


def read_tiff(file: BinaryIO) -> tuple[Picture, int]:
    """Return the first page of a TIFF file, and the number of pages.

    Raises:
        SignalError: The kind of TIFF is not supported, or the samples do not fit a picture.
        Exception: Whatever Pillow and tifffile raise for a damaged file.
    """
    try:
        image = Image.open(file, formats=["TIFF"])
    except UnidentifiedImageError:
        return _with_tifffile(file)
    assert isinstance(image, TiffImageFile)
    bits = max(image.tag_v2.get(_BITS_TAG, (1,)))
    pages = int(getattr(image, "n_frames", 1))
    if bits > 8:
        with contextlib.suppress(_MissingDecoder):
            return _with_tifffile(file)
    with silent_libtiff() if image.tile[0][0] == "libtiff" else contextlib.nullcontext():
        return (from_pillow(image) if bits <= 8 else _with_pillow(file, image, bits)), pages


class _MissingDecoder(SignalError):
    """The compression is one that tifffile alone does not decode."""


def _with_tifffile(file: BinaryIO) -> tuple[Picture, int]:
    import tifffile  # noqa: PLC0415 - slow to import and seldom needed

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        check_size(page.imagewidth, page.imagelength)
        try:
            samples = page.asarray()
        except (KeyError, ValueError, NotImplementedError) as error:
            if "imagecodecs" in str(error):
                raise _MissingDecoder(
                    "this kind of compressed TIFF needs the Python package imagecodecs"
                ) from error
            raise
        count = page.samplesperpixel
        if page.planarconfig == 2 and count > 1:
            samples = np.moveaxis(samples, 0, -1)
        samples = samples.reshape(page.imagelength, page.imagewidth, count)
        picture = _picture(
            samples,
            photometric=int(page.photometric),
            extra=tuple(int(extra) for extra in page.extrasamples),
            bits=page.bitspersample,
            orientation=page.tags.valueof(ORIENTATION_TAG, 1),
            profile=page.tags.valueof(_PROFILE_TAG),
        )
        return picture, len(tiff.pages)


def _with_pillow(file: BinaryIO, image: TiffImageFile, bits: int) -> Picture:
    """Return a page that Pillow opened; Pillow turns it upright while it loads it."""
    photometric = image.tag_v2.get(_PHOTOMETRIC_TAG, _BLACK_IS_ZERO)
    profile = image.tag_v2.get(_PROFILE_TAG)
    extra = tuple(image.tag_v2.get(_EXTRA_SAMPLES_TAG, ()))
    if loses_depth(image):
        if "X" in raw_mode(image):
            extra = ()
        samples: NDArray[Any] = deep_samples(file, image)
    else:
        samples = np.array(image)[:, :, np.newaxis]
    return _picture(
        samples, photometric=photometric, extra=extra, bits=bits, orientation=1, profile=profile
    )


def _picture(
    samples: NDArray[Any],
    *,
    photometric: int,
    extra: tuple[int, ...],
    bits: int,
    orientation: int,
    profile: object,
) -> Picture:
    """Return the picture of samples (H, W, C and more) as a TIFF file stores them."""
    has_alpha = photometric != _SEPARATED and extra[:1] in ((1,), (2,))
    colour = _COLOURS.get((photometric, has_alpha))
    if colour is None or samples.shape[2] < colour.channels:
        raise SignalError(
            f"TIFF with photometric interpretation {photometric}, {samples.shape[2]} channels "
            f"and {bits} bits a sample is not supported; save it as RGB"
        )
    samples = samples[:, :, : colour.channels]
    if samples.dtype.kind in "iu" and samples.dtype != np.uint8:
        samples = whole_numbers(samples)
        if bits < 16:
            peak = (1 << bits) - 1
            samples = ((samples.astype(np.uint32) * 65535 + peak // 2) // peak).astype(np.uint16)
    elif samples.dtype == np.float16:
        samples = samples.astype(np.float32)
    samples, depth = stored_samples(samples)
    if photometric == _WHITE_IS_ZERO and depth != 32:
        samples = samples.copy()
        samples[:, :, 0] = (1 << depth) - 1 - samples[:, :, 0].astype(np.int64)
    if has_alpha and extra[0] == _PREMULTIPLIED:
        samples = _unpremultiplied(samples)
    return Picture(
        upright(samples, orientation), colour, depth, icc_profile=profile_for(profile, colour)
    )


def _unpremultiplied(samples: NDArray[Any]) -> NDArray[Any]:
    """Divide colours by their alpha, the last channel; where that is 0 they become 0."""
    values = samples.astype(np.float64)
    peak = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    alpha = values[:, :, -1:]
    colours = np.divide(
        values[:, :, :-1] * peak, alpha, out=np.zeros_like(values[:, :, :-1]), where=alpha > 0
    )
    if samples.dtype.kind != "f":
        colours = np.rint(colours.clip(0, peak))
    return np.concatenate([colours, alpha], axis=2).astype(samples.dtype)


def deep_tiff(picture: Picture) -> bytes:
    """Return a TIFF file of 16-bit or float samples of any colour, uncompressed."""
    import tifffile  # noqa: PLC0415 - slow to import and seldom needed

    grey = picture.colour in (Colour.GREY, Colour.GREY_ALPHA)
    photometric = "minisblack" if grey else "rgb"
    profile = picture.icc_profile
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        picture.samples[:, :, 0] if picture.channels == 1 else picture.samples,
        photometric="separated" if picture.colour == Colour.CMYK else photometric,
        planarconfig=None if picture.channels == 1 else "contig",
        extrasamples=["unassalpha"] if picture.colour.name.endswith(("ALPHA", "RGBA")) else None,
        extratags=[(_PROFILE_TAG, 7, len(profile), profile, True)] if profile else [],
        metadata=None,
        software=False,
    )
    return file.getvalue()
