"""From a picture's values to the bytes of a pyramid: fit, quantise, code, verify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fieldpack.codec.fit import Fitted, Progress, fit, make_trainer
from fieldpack.codec.model import FloatArray, ModelShape, grids_of
from fieldpack.codec.network_coding import Networks
from fieldpack.codec.payload import Latents, read_pyramid, write_constant, write_pyramid
from fieldpack.codec.prior import PriorNetworks, nearest_networks
from fieldpack.codec.quantization import quantize_networks
from fieldpack.codec.schedule import Schedule
from fieldpack.errors import FieldpackError

PASSES = {1: 20, 2: 40, 3: 80, 4: 160, 5: 380, 6: 800, 7: 1900, 8: 4000, 9: 9500}
"""Passes over the whole picture by effort, where there is a prior."""

SCRATCH_PASSES = {1: 30, 2: 100, 3: 250, 4: 500, 5: 1000, 6: 2000, 7: 4000, 8: 6000, 9: 9500}
"""Passes by effort where all networks have to be learned."""

_LARGE_MODEL_EFFORT = 6
# With so much time, large networks of a large picture's own end better than the prior's small ones.
_PATIENT_EFFORT = 8
_SMALL_PICTURE, _MEDIUM_PICTURE, _LARGE_PICTURE = 12_000, 50_000, 200_000  # pixels


@dataclass(frozen=True)
class EncodedPyramid:
    """A coded pyramid.

    Attributes:
        payload: The bytes of a section P.
        passes: Passes done.
        latent_bits: By grid, finest first.
    """

    payload: bytes
    passes: int
    latent_bits: tuple[float, ...]


def encode_pyramid(
    image: FloatArray,
    lambda_: float,
    effort: int,
    *,
    use_prior: bool = True,
    seed: int = 0,
    threads: int = 1,
    callback: Callable[[Progress], None] | None = None,
) -> EncodedPyramid:
    """Fit a pyramid to a picture and code it.

    Args:
        image: (H, W, C) float32, C = 1 to 4, in [0, 1].
        lambda_: Loss of one bit a pixel, against the mean squared error.
        effort: 1 to 9, see `PASSES` and `SCRATCH_PASSES`.
        use_prior: Whether to build on the shipped prior, where it has networks for such a picture
            and is the better choice.
        seed: Of the first networks and the training noise.
        threads: Threads of the engine; the bytes do not depend on it.
        callback: Called after every pass.
    """
    height, width, channels = image.shape
    colour = image[0, 0]
    if (image == colour).all():
        return EncodedPyramid(write_constant(colour), 0, ())
    patient = effort >= _PATIENT_EFFORT and height * width >= _LARGE_PICTURE
    prior = nearest_networks(lambda_, channels) if use_prior and not patient else None
    if prior is None:
        passes = SCRATCH_PASSES[effort]
        shape = _model(channels, grids_of(height, width), effort, height * width)
        schedule = Schedule.of(passes, lambda_)
    else:
        passes = PASSES[effort]
        shape, schedule = prior.shape, Schedule.with_prior(passes, lambda_)
    fitted = fit(
        image,
        shape,
        lambda_,
        schedule,
        prior=prior,
        threads=threads,
        seed=seed,
        callback=callback,
    )
    networks = _quantize(fitted, image, lambda_, threads, prior)
    latents: Latents = [np.rint(grid).astype(np.int32) for grid in fitted.latents]
    payload, bits = write_pyramid(networks, latents, height, width)
    _verify(payload, latents, image.shape)
    return EncodedPyramid(payload, passes, tuple(bits))


def _model(channels: int, grids: int, effort: int, pixels: int) -> ModelShape:
    """Return the networks' sizes: the larger ones cost 1 to 2 kB, which the picture must repay."""
    if pixels < _SMALL_PICTURE:
        return ModelShape(
            channels, grids, synthesis_hidden=(12,), neighbours=8, context_hidden=(8,)
        )
    if pixels < _MEDIUM_PICTURE:
        return ModelShape(
            channels, grids, synthesis_hidden=(24,), neighbours=12, context_hidden=(12, 12)
        )
    if effort < _LARGE_MODEL_EFFORT or pixels < _LARGE_PICTURE:
        return ModelShape(
            channels, grids, synthesis_hidden=(40,), neighbours=16, context_hidden=(16, 16)
        )
    return ModelShape(
        channels, grids, synthesis_hidden=(40,), neighbours=24, context_hidden=(24, 24)
    )


def _quantize(
    fitted: Fitted,
    image: FloatArray,
    lambda_: float,
    threads: int,
    prior: PriorNetworks | None,
) -> Networks:
    if prior is not None and (fitted.parameters == prior.parameters).all():
        return Networks.of_prior(prior)
    trainer = make_trainer(fitted.shape, image, threads=threads)
    for k, grid in enumerate(fitted.latents):
        trainer.set_latents(k, grid)
    pixels = image.shape[0] * image.shape[1]
    return quantize_networks(fitted.parameters, fitted.shape, trainer, lambda_ / pixels, prior)


def _verify(payload: bytes, latents: Latents, size: tuple[int, ...]) -> None:
    height, width, channels = size
    decoded = read_pyramid(payload, channels, height, width).latents
    if not all((a == b).all() for a, b in zip(decoded, latents, strict=True)):
        raise FieldpackError("the coded latents do not decode to what was coded; please report it")
