"""From a picture with missing pixels to a whole one, or to a field of it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fieldpack.codec.encoder import PASSES, encode_pyramid
from fieldpack.codec.evaluation import PyramidEvaluator
from fieldpack.codec.fit import Progress
from fieldpack.codec.payload import read_pyramid
from fieldpack.errors import RequestError
from fieldpack.field import Field, pyramid_file
from fieldpack.filling.noise import estimate_noise
from fieldpack.filling.proposal import propose
from fieldpack.filling.samples import Samples, propose_from_samples
from fieldpack.filling.views import VIEWS, restore, see
from fieldpack.signals import Colour, Picture, picture_from, read_picture
from fieldpack.signals.description import (
    PictureDescription,
    Range,
    from_units,
    to_units,
    value_ranges,
)

DEFAULT_EFFORT = 5
FIELD_LAMBDA = 1e-4
"""Loss of a bit a pixel where nothing is noise: the field is near to the samples."""
LAMBDA_PER_VARIANCE = 0.3
"""Lambda by the noise's variance."""
DENOISING_EFFORT = 1
"""Of each fit where several are averaged: more of them do better than longer ones."""
PROPOSED_WEIGHT = 0.1
"""Of a proposed sample in the fit; a known one has 1."""

Source = str | os.PathLike[str] | Picture | NDArray[np.generic] | Image.Image
MaskSource = str | os.PathLike[str] | Picture | NDArray[np.bool_] | Image.Image
FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
Noise = float | Literal["auto"]

_WITHOUT_ALPHA = {Colour.GREY_ALPHA: Colour.GREY, Colour.RGBA: Colour.RGB}
_PROPOSING_SHARE = 0.3  # of the progress, where a fit follows


@dataclass(frozen=True)
class Effort:
    """How much work goes into it.

    Attributes:
        effort: 1 (fast) to 9 (good).
        seed: Of the fit's noise.
        threads: Threads of the engine, at least 1.
        callback: Told the part done, 0 to 1.
    """

    effort: int
    seed: int
    threads: int
    callback: Callable[[float], Any] | None

    @classmethod
    def of(
        cls, effort: int, seed: int, threads: int, callback: Callable[[float], Any] | None
    ) -> Effort:
        """Check what a caller asks for; raises RequestError."""
        if effort not in PASSES:
            raise RequestError(f"the effort is 1 to 9, not {effort}")
        if seed < 0 or threads < 0:
            raise RequestError("seed and threads are not negative")
        return cls(effort, seed, threads or os.cpu_count() or 1, callback)

    def part(self, first: float, last: float) -> Effort:
        """Return the same for work that takes the callback from one part done to another."""

        def tell(done: float) -> None:
            self.tell(first + (last - first) * done)

        return replace(self, callback=tell)

    def tell(self, done: float) -> None:
        """Tell the callback, if there is one."""
        if self.callback:
            self.callback(done)


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
    levels = _levels(to_units(image, units), samples.bit_depth)
    return Picture(levels, samples.colour, samples.bit_depth)


@dataclass(frozen=True, eq=False)
class Known:
    """A picture, and which of its pixels are known.

    Attributes:
        picture: Without the alpha that served as the mask.
        mask: (H, W), true where known, somewhere at least.
    """

    picture: Picture
    mask: Mask

    @classmethod
    def of(cls, picture: Picture, mask: MaskSource | None, denoise: Noise | None) -> Known:
        """Bring a picture and its mask together; raises as `fill` does.

        A picture that is to be denoised, and neither has a mask nor alpha, is known everywhere.
        """
        if mask is not None:
            known = _read_mask(mask)
            if known.shape != picture.samples.shape[:2]:
                raise RequestError(
                    f"the mask has {known.shape[1]} x {known.shape[0]} pixels, "
                    f"the picture {picture.width} x {picture.height}"
                )
        elif picture.colour in _WITHOUT_ALPHA:
            known = _is_bright(picture.samples[:, :, -1], picture)
            opaque = np.ascontiguousarray(picture.samples[:, :, :-1])
            bare = _WITHOUT_ALPHA[picture.colour]
            picture = replace(picture, samples=opaque, colour=bare, palette=None)
        elif denoise is not None:
            known = np.ones(picture.samples.shape[:2], np.bool_)
        else:
            raise RequestError("nothing tells what is missing: give a mask, or an alpha channel")
        if not known.any():
            raise RequestError("no pixel is known: there is nothing to fill from")
        # What is filled in need not be of the palette's colours.
        return cls(picture if known.all() else replace(picture, palette=None), known)

    @cached_property
    def description(self) -> PictureDescription:
        """The picture's; ranges of floats are those of the known samples."""
        picture = self.picture
        ranges: tuple[Range, ...] = ()
        if picture.bit_depth == 32:
            ranges = units_of(picture.samples[self.mask], 32)
        return PictureDescription(
            picture.width, picture.height, picture.colour, picture.bit_depth, ranges
        )

    @cached_property
    def image(self) -> FloatArray:
        """(H, W, C), known samples in [0, 1], and zeros."""
        image = np.ascontiguousarray(from_units(self.picture.samples, self.description.units))
        image[~self.mask] = 0
        return image

    def proposed(self, work: Effort) -> FloatArray:
        """Return values at all pixels, the known ones as they are."""
        if self.mask.all():
            return self.image
        return propose(self.image, self.mask, work.effort, work.threads, work.tell)

    def drawn(self, refit: bool, sigma: float | None, work: Effort) -> Picture:
        """Return the whole picture: denoised, as a field has it, or with known pixels kept."""
        if sigma is not None:
            return self.denoised(sigma, work)
        if refit:
            return self.field(None, work).picture()
        return self.picture_of(self.proposed(work))

    def picture_of(self, image: FloatArray) -> Picture:
        """Return a picture whose known samples are the very ones, and others those of `image`."""
        levels = _levels(to_units(image, self.description.units), self.picture.bit_depth)
        samples = np.where(self.mask[:, :, np.newaxis], self.picture.samples, levels)
        return replace(self.picture, samples=samples)

    def field(self, sigma: float | None, work: Effort) -> Field:
        """Fit a pyramid to the known samples and, with a small weight, the proposed ones.

        Args:
            sigma: Standard deviation of the noise in the picture's unit, or None.
            work: How much to do.
        """
        proposed = self.proposed(work.part(0, _PROPOSING_SHARE))
        payload = self._fit(proposed, 0, sigma, work.part(_PROPOSING_SHARE, 1))
        file = pyramid_file(self.description, payload, icc_profile=self.picture.icc_profile)
        return Field(file, threads=work.threads)

    def denoised(self, sigma: float, work: Effort) -> Picture:
        """Return the mean of the fields of several views of the picture; see `field`."""
        proposed = self.proposed(work.part(0, _PROPOSING_SHARE))
        size = self.picture.height, self.picture.width
        if self.picture.channels == 1:
            # As a colour picture it finds a prior; its noise is then three times that of one axis.
            proposed = np.repeat(proposed, 3, axis=2)
            sigma *= math.sqrt(3)
        total, views = np.zeros_like(proposed), VIEWS[work.effort]
        fits = replace(work, effort=DENOISING_EFFORT).part(_PROPOSING_SHARE, 1)
        for view in range(views):
            payload = self._fit(proposed, view, sigma, fits.part(view / views, (view + 1) / views))
            seen = see(proposed, view).shape if view else proposed.shape
            pyramid = read_pyramid(payload, seen[2], seen[0], seen[1])
            evaluator = PyramidEvaluator(pyramid, seen[0], seen[1], work.threads)
            axes = [(2.0 * np.arange(n) + 1.0) / n - 1.0 for n in (seen[1], seen[0])]
            total += restore(evaluator.grid(axes), view, size)
        mean = total / np.float32(views)
        if self.picture.channels == 1:
            mean = mean.mean(axis=2, keepdims=True)
        levels = to_units(mean, self.description.units)
        return replace(self.picture, samples=_levels(levels, self.picture.bit_depth))

    def _fit(self, proposed: FloatArray, view: int, sigma: float | None, work: Effort) -> bytes:
        """Fit a pyramid to a view of the picture."""
        lambda_ = FIELD_LAMBDA
        if sigma is not None:
            lambda_ = max(lambda_, LAMBDA_PER_VARIANCE * (sigma / self._span) ** 2)
        weights = np.where(self.mask, np.float32(1), np.float32(PROPOSED_WEIGHT))
        weights = np.repeat(weights[:, :, np.newaxis], proposed.shape[2], axis=2)

        def on_pass(state: Progress) -> None:
            work.tell((state.step + 1) / state.passes)

        return encode_pyramid(
            np.ascontiguousarray(see(proposed, view) if view else proposed),
            lambda_,
            work.effort,
            weights=np.ascontiguousarray(see(weights, view) if view else weights),
            seed=work.seed + view,
            threads=work.threads,
            callback=on_pass,
        ).payload

    def noise(self, denoise: Noise) -> float:
        """Return the noise's standard deviation in the picture's unit; raises RequestError."""
        if denoise == "auto":
            return self._span * estimate_noise(self.image, self.mask)
        if isinstance(denoise, str) or not (math.isfinite(denoise) and denoise >= 0):
            raise RequestError(f'the noise is a standard deviation or "auto", not {denoise!r}')
        return float(denoise)

    @property
    def _span(self) -> float:
        lowest, highest = np.array(self.description.units).T
        return float(np.mean(highest - lowest))


def load(picture: Source) -> Picture:
    """Read a picture, whatever it comes as."""
    if isinstance(picture, str | os.PathLike):
        return read_picture(picture)
    return picture if isinstance(picture, Picture) else picture_from(picture)


def units_of(values: NDArray[np.generic], bit_depth: int) -> tuple[Range, ...]:
    """Return what 0 and 1 stand for in each channel of values (n, C)."""
    if bit_depth == 32:
        return value_ranges(values)
    channels: int = values.shape[1]
    return ((0.0, float((1 << bit_depth) - 1)),) * channels


def _levels(values: FloatArray, bit_depth: int) -> NDArray[np.generic]:
    if bit_depth == 32:
        return values
    dtype = np.uint16 if bit_depth == 16 else np.uint8
    return np.rint(np.clip(values, 0, (1 << bit_depth) - 1)).astype(dtype)


def _read_mask(mask: MaskSource) -> Mask:
    if isinstance(mask, np.ndarray):
        if mask.dtype != np.bool_ or mask.ndim != 2:
            raise RequestError(
                f"a mask is a bool array (H, W), true where a pixel is known, "
                f"not {mask.dtype} of shape {mask.shape}"
            )
        return mask
    picture = load(mask)
    colours = picture.samples
    if picture.colour in _WITHOUT_ALPHA:
        colours = colours[:, :, :-1]
    return _is_bright(colours.mean(axis=2), picture)


def _is_bright(values: NDArray[Any], picture: Picture) -> Mask:
    half = 0.5 if picture.bit_depth == 32 else picture.peak / 2
    return np.asarray(values >= half)
