"""From a picture to a .fpk file with the pyramid codec."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fieldpack.codec.effort import PASSES
from fieldpack.codec.encoder import encode_pyramid
from fieldpack.codec.fit import Progress
from fieldpack.codec.goal import Goal
from fieldpack.codec.quality import lambda_of_quality
from fieldpack.codec.structure import Structure
from fieldpack.cores import usable_cores
from fieldpack.defaults import DEFAULT_EFFORT, DEFAULT_LAMBDA
from fieldpack.errors import GoalMissedWarning, RequestError
from fieldpack.field import Field, pyramid_file
from fieldpack.metrics import WINDOW
from fieldpack.signals import Picture, picture_from, read_picture
from fieldpack.signals.description import PictureDescription, from_units

TUNES = ("psnr", "ms-ssim")
_EXAMPLE_PAYLOAD = 1 << 16

Source = str | os.PathLike[str] | Picture | NDArray[np.generic] | Image.Image


def encode(
    picture: Source,
    *,
    quality: float | None = None,
    lambda_: float | None = None,
    size: int | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    tune: str = "psnr",
    effort: int = DEFAULT_EFFORT,
    use_prior: bool = True,
    seed: int = 0,
    threads: int = 0,
    callback: Callable[[Progress], Any] | None = None,
) -> bytes:
    """Compress a picture.

    At most one of `quality`, `lambda_`, `size`, `bpp` and `psnr` says how small or how good the
    file is to be; without any, lambda is `DEFAULT_LAMBDA`. Where a size or PSNR is out of reach,
    the file comes as near as it can, and a `GoalMissedWarning` says so.

    Args:
        picture: A path, an array (H, W) or (H, W, C), or a Pillow image.
        quality: 1 to 100, about as JPEG has it: photographs come, on average, to the PSNR that
            libjpeg gives them at that quality.
        lambda_: What a bit a pixel may cost: the encoder minimises the mean squared error (of
            samples scaled to [0, 1]) plus lambda times the bits a pixel. 0.0002 is high quality,
            0.001 medium, 0.01 low.
        size: Most bytes of the file, of which at least 96 % are used.
        bpp: Bits a pixel of the file, within 2 %.
        psnr: Least PSNR in dB of the decoded picture, exceeded by 0.05 dB at most.
        tune: What is to be good: "psnr", or "ms-ssim", the structure that eyes see: busy parts lose
            more and smooth ones less. At the same lambda or quality, files are then smaller; takes
            about a third more time. Cannot go with `psnr`, nor with less than 11 pixels a side.
        effort: 1 (fast) to 9 (small).
        use_prior: Begin with networks learned from many photographs, where there are any for such a
            picture (RGB), and store only how those of this one differ; if false, learn and store
            all of them.
        seed: Of the first networks and the training noise.
        threads: Threads; 0 means one for each core. The bytes do not depend on it.
        callback: Called after every pass over the picture.

    Returns:
        The bytes of a .fpk file.

    Raises:
        SignalError: The picture cannot be read or represented.
        RequestError: An argument is out of range.
    """
    return encode_field(
        picture,
        quality=quality,
        lambda_=lambda_,
        size=size,
        bpp=bpp,
        psnr=psnr,
        tune=tune,
        effort=effort,
        use_prior=use_prior,
        seed=seed,
        threads=threads,
        callback=callback,
    ).to_bytes()


def encode_field(
    picture: Source,
    *,
    quality: float | None,
    lambda_: float | None,
    size: int | None,
    bpp: float | None,
    psnr: float | None,
    tune: str,
    effort: int,
    use_prior: bool,
    seed: int,
    threads: int,
    callback: Callable[[Progress], Any] | None,
) -> Field:
    """Compress a picture, and return the field whose bytes `encode`, which takes the same, returns.

    Its pyramid is the one that those bytes were decoded to when they were verified; so drawing it
    takes no second decoding.

    Returns:
        The field of the file; `to_bytes` and `save` give the file itself.

    Raises:
        SignalError: The picture cannot be read or represented.
        RequestError: An argument is out of range.
    """
    if effort not in PASSES:
        raise RequestError(f"the effort is 1 to 9, not {effort}")
    if tune not in TUNES:
        raise RequestError(f"there is tune {' and '.join(TUNES)}, not {tune}")
    if psnr is not None and tune != "psnr":
        raise RequestError(f"psnr and tune {tune} contradict each other")
    wishes = {"quality": quality, "lambda": lambda_, "size": size, "bpp": bpp, "psnr": psnr}
    given = {name: wish for name, wish in wishes.items() if wish is not None}
    if len(given) > 1:
        raise RequestError(f"{' and '.join(given)} contradict each other: give one of them")
    for name, wish in given.items():
        if not (math.isfinite(wish) and wish > 0):
            raise RequestError(f"{name} is a positive number, not {wish}")
    if quality is not None:
        if not 1 <= quality <= 100:
            raise RequestError(f"the quality is 1 to 100, not {quality:g}")
        lambda_ = lambda_of_quality(quality)
    if isinstance(picture, str | os.PathLike):
        picture = read_picture(picture)
    elif not isinstance(picture, Picture):
        picture = picture_from(picture)
    description = PictureDescription.of(picture)
    image = np.ascontiguousarray(from_units(picture.samples, description.units))

    def file(payload: bytes) -> bytes:
        return pyramid_file(
            description, payload, palette=picture.palette, icc_profile=picture.icc_profile
        )

    structure = None
    if tune == "ms-ssim":
        if min(picture.width, picture.height) < WINDOW:
            raise RequestError(f"tune ms-ssim needs at least {WINDOW} pixels a side")
        structure = Structure.of(image, threads or usable_cores())
    pixels = picture.width * picture.height
    wanted: float | Goal = lambda_ or DEFAULT_LAMBDA
    if size is not None:
        # Blocks of a picture take some bytes each: so near a small file can hardly come.
        aim = max(min(0.994 * size, size - 12), 0.97 * size)
        wanted = _size_goal(0.96 * size, aim, size, file)
    elif bpp is not None:
        middle = bpp * pixels / 8
        wanted = _size_goal(0.98 * middle, middle, 1.02 * middle, file)
    elif psnr is not None:
        wanted = _psnr_goal(psnr, picture, description)
    encoded = encode_pyramid(
        image,
        wanted,
        effort,
        structure=structure,
        use_prior=use_prior,
        seed=seed,
        threads=threads or usable_cores(),
        callback=callback,
    )
    data = file(encoded.payload)
    if not encoded.is_met:
        name, wish = next(iter(given.items()))
        warnings.warn(
            f"no file meets {name} {wish:g}: this is the nearest, {len(data):,} bytes",
            GoalMissedWarning,
            stacklevel=3,
        )
    return Field(data, threads=threads, pyramid=encoded.pyramid)


def _psnr_goal(psnr: float, picture: Picture, description: PictureDescription) -> Goal:
    window = (psnr, psnr + 0.02, psnr + 0.05)
    if picture.bit_depth != 32:
        return Goal(psnr=window, levels=round(picture.peak))
    lowest, highest = np.array(description.units).T
    whole = highest.max() - lowest.min()
    return Goal(psnr=window, scales=tuple((highest - lowest) / whole))


def _size_goal(least: float, aim: float, most: float, file: Callable[[bytes], bytes]) -> Goal:
    """The goal of so many bytes of the whole file, beside which the payload has company."""
    example = bytes(int(min(most, _EXAMPLE_PAYLOAD)))
    rest = len(file(example)) - len(example)
    return Goal(payload_bytes=(least - rest, aim - rest, most - rest))
