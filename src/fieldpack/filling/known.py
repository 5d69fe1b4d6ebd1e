"""A picture of which some pixels are known: what there is to see, to rebuild, and to fit."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fieldpack.codec.attempt import EncodedPyramid
from fieldpack.codec.encoder import encode_pyramid
from fieldpack.codec.evaluation import PyramidEvaluator
from fieldpack.codec.fit import Progress
from fieldpack.errors import RequestError
from fieldpack.field import Field, pyramid_file
from fieldpack.filling.effort import Effort
from fieldpack.filling.noise import estimate_noise
from fieldpack.filling.proposal import propose
from fieldpack.filling.views import VIEWS, restore, see
from fieldpack.signals import Colour, Picture, picture_from, read_picture
from fieldpack.signals.description import (
    PictureDescription,
    Range,
    from_units,
    to_units,
    value_ranges,
)

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
        levels = levels_of(to_units(image, self.description.units), self.picture.bit_depth)
        samples = np.where(self.mask[:, :, np.newaxis], self.picture.samples, levels)
        return replace(self.picture, samples=samples)

    def field(self, sigma: float | None, work: Effort) -> Field:
        """Fit a pyramid to the known samples and, with a small weight, the proposed ones.

        Args:
            sigma: Standard deviation of the noise in the picture's unit, or None.
            work: How much to do.
        """
        proposed = self.proposed(work.part(0, _PROPOSING_SHARE))
        fitted = self._fit(proposed, 0, sigma, work.part(_PROPOSING_SHARE, 1))
        icc_profile = self.picture.icc_profile
        file = pyramid_file(self.description, fitted.payload, icc_profile=icc_profile)
        return Field(file, threads=work.threads, pyramid=fitted.pyramid)

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
            fitted = self._fit(proposed, view, sigma, fits.part(view / views, (view + 1) / views))
            seen = see(proposed, view).shape if view else proposed.shape
            evaluator = PyramidEvaluator(fitted.pyramid, seen[0], seen[1], work.threads)
            axes = [(2.0 * np.arange(n) + 1.0) / n - 1.0 for n in (seen[1], seen[0])]
            total += restore(evaluator.grid(axes), view, size)
        mean = total / np.float32(views)
        if self.picture.channels == 1:
            mean = mean.mean(axis=2, keepdims=True)
        levels = to_units(mean, self.description.units)
        return replace(self.picture, samples=levels_of(levels, self.picture.bit_depth))

    def _fit(
        self, proposed: FloatArray, view: int, sigma: float | None, work: Effort
    ) -> EncodedPyramid:
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
        )

    def noise(self, denoise: Noise) -> float:
        """Return the noise's standard deviation in the picture's unit; raises RequestError."""
        if denoise == "auto":
            return self._span * estimate_noise(self.image, self.mask)
        if isinstance(denoise, str) or not (math.isfinite(denoise) and denoise >= 0):
            raise RequestError(f'the noise is a standard deviation or "auto", not {denoise!r}')
        if denoise > self._span:
            raise RequestError(
                f"noise of {denoise:g} is beyond the range of the samples, {self._span:g}"
            )
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


def levels_of(values: FloatArray, bit_depth: int) -> NDArray[np.generic]:
    """Return samples of a bit depth from values in its unit."""
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
