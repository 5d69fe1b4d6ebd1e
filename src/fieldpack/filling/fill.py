"""From a picture with missing pixels, or scattered samples, to a whole one, or to a field of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldpack.defaults import DEFAULT_EFFORT
from fieldpack.field import Field
from fieldpack.filling.effort import Effort
from fieldpack.filling.known import Known, MaskSource, Noise, Source, levels_of, load, units_of
from fieldpack.filling.samples import Samples, propose_from_samples
from fieldpack.signals import Picture
from fieldpack.signals.description import from_units, to_units


def fill(
    picture: Source,
    mask: MaskSource | None = None,
    *,
    refit: bool = False,
    denoise: Noise | None = None,
    effort: int = DEFAULT_EFFORT,
    seed: int = 0,
    threads: int = 0,
    callback: Callable[[float], Any] | None = None,
) -> NDArray[np.generic]:
    """Rebuild what is missing in a picture.

    A network that was trained to guess hidden pixels of photographs and drawn text proposes the
    missing ones; it is evaluated on several views of the picture, mirrored, turned and shifted, and
    the results are averaged. Known pixels stay as they are, unless `refit` or `denoise` asks for
    the values of a field: a pyramid (see `encode`) that is fitted to the known samples and, with a
    small weight, to the proposed ones. What noise has of it costs more bits than it is worth (the
    "Occam filter" of Natarajan, 1995); the result is the mean over fields of several views.

    Args:
        picture: A path, an array (H, W) or (H, W, C), or a Pillow image.
        mask: (H, W) bool, true where a pixel is known; or a picture of that size, or its path,
            whose bright pixels are. Without it, the picture's alpha channel tells: pixels at least
            half opaque are known, and the result has no alpha. A picture without either can only be
            denoised.
        refit: Return the field's own values everywhere.
        denoise: Standard deviation of the noise in the known samples, in their own unit (levels of
            an integer picture); or "auto" to estimate it from them.
        effort: 1 (fast) to 9 (good): how many views, and how many passes of a fit.
        seed: Of the fit's noise.
        threads: Threads; 0 means one for each core. The result does not depend on it.
        callback: Told the part done, 0 to 1, now and then.

    Returns:
        Samples of the type that came in: (H, W) of a grey picture, (H, W, C) of others.

    Raises:
        SignalError: The picture or mask cannot be read or represented.
        RequestError: Nothing is known, the mask is of another size, or an argument is out of range.
    """
    work = Effort.of(effort, seed, threads, callback)
    filled = fill_picture(load(picture), mask, refit, denoise, work)
    samples = filled.samples[:, :, 0] if filled.channels == 1 else filled.samples
    return samples.astype(np.bool_) if filled.bit_depth == 1 else samples


def fill_field(
    picture: Source,
    mask: MaskSource | None = None,
    *,
    denoise: Noise | None = None,
    effort: int = DEFAULT_EFFORT,
    seed: int = 0,
    threads: int = 0,
    callback: Callable[[float], Any] | None = None,
) -> Field:
    """Rebuild what is missing in a picture, as a field: what `fill` draws with `refit`.

    Arguments and errors are those of `fill`.
    """
    work = Effort.of(effort, seed, threads, callback)
    known = Known.of(load(picture), mask, denoise)
    sigma = None if denoise is None else known.noise(denoise)
    return known.field(sigma, work)


def fill_samples(
    coordinates: NDArray[np.floating[Any]],
    values: NDArray[np.generic],
    size: tuple[int, int] | None = None,
    *,
    effort: int = DEFAULT_EFFORT,
    threads: int = 0,
    callback: Callable[[float], Any] | None = None,
) -> NDArray[np.generic]:
    """Draw a picture from scattered samples.

    Args:
        coordinates: (n, 2), x then y in pixels of the result: the centre of the pixel in column i
            and row j is at (i, j).
        values: (n,) or (n, C), C = 1 to 4 (grey, grey and alpha, RGB, RGBA), uint8, uint16, float32
            or float64.
        size: (width, height) of the result; the smallest that holds all samples if not told.
        effort: 1 (fast) to 9 (good).
        threads: Threads; 0 means one for each core. The result does not depend on it.
        callback: Told the part done, 0 to 1, now and then.

    Returns:
        (H, W) or (H, W, C) samples of the type of `values`, float64 as float32.

    Raises:
        SignalError: The samples are of a wrong shape or type, not finite, or outside the picture.
        RequestError: An argument is out of range.
    """
    work = Effort.of(effort, 0, threads, callback)
    picture = fill_from_samples(Samples.of(coordinates, values, size), work)
    return picture.samples[:, :, 0] if picture.channels == 1 else picture.samples


def fill_picture(
    picture: Picture, mask: MaskSource | None, refit: bool, denoise: Noise | None, work: Effort
) -> Picture:
    """Do the work of `fill`."""
    known = Known.of(picture, mask, denoise)
    sigma = None if denoise is None else known.noise(denoise)
    return known.drawn(refit, sigma, work)


def fill_from_samples(samples: Samples, work: Effort) -> Picture:
    """Do the work of `fill_samples`."""
    units = units_of(samples.values, samples.bit_depth)
    image = propose_from_samples(
        samples, from_units(samples.values, units), work.effort, work.threads, work.tell
    )
    levels = levels_of(to_units(image, units), samples.bit_depth)
    return Picture(levels, samples.colour, samples.bit_depth)
