"""Fits the pyramid model to one image: one engine call a pass, driven from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fieldpack._engine import Trainer
from fieldpack.codec.model import FloatArray, ModelShape, engine_model
from fieldpack.codec.optimiser import Soap, blocks_of
from fieldpack.codec.schedule import Schedule


@dataclass(frozen=True)
class Progress:
    """State after one pass; `bits` are those of the noisy latents, without the network."""

    step: int
    passes: int
    distortion: float
    bits: tuple[float, ...]


@dataclass(frozen=True)
class Fitted:
    """A fitted model: flat network parameters and the quantised latents [h_k, w_k] of each grid."""

    shape: ModelShape
    parameters: FloatArray
    latents: tuple[FloatArray, ...]
    distortion: float
    bits: tuple[float, ...]


def make_trainer(
    shape: ModelShape, image: FloatArray, weights: FloatArray | None = None, threads: int = 1
) -> Trainer:
    """The engine's state for an image [H, W, C] and optional weights of the same shape."""
    return Trainer(image, weights, engine_model(shape), threads)


def fit(
    image: FloatArray,
    shape: ModelShape,
    lambda_: float,
    schedule: Schedule,
    *,
    weights: FloatArray | None = None,
    threads: int = 1,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Minimises sum(w (x - y)^2) / sum(w) + lambda * bits / pixel from scratch.

    Args:
        image: float32 [H, W, C], values in [0, 1].
        shape: sizes of the model; `grids` must suit the image (see `grids_of`).
        lambda_: loss of one bit per pixel.
        schedule: passes and step sizes.
        weights: weight of each sample, [H, W, C]; all ones when None.
        threads: threads of the engine; the result does not depend on them.
        seed: of the initial network and the training noise.
        callback: called after every pass; an exception it raises ends the fit.

    """
    trainer = make_trainer(shape, image, weights, threads)
    parameters = shape.initial_parameters(seed, schedule.gain, linear=schedule.linear_start)
    gradient = np.zeros_like(parameters)
    optimiser = Soap(blocks_of(shape.offsets))
    for step in range(schedule.passes):
        now = schedule.at(step)
        result = trainer.step(
            parameters,
            gradient,
            hard=now.hard,
            temperature=now.temperature,
            noise=now.noise,
            lambda_=lambda_,
            seed=seed,
            step=step,
            learning_rate=[
                now.latent_rate * (schedule.finest_share if k == 0 else 1)
                for k in range(shape.grids)
            ],
            beta1=schedule.latent_betas[0],
            beta2=schedule.latent_betas[1],
            sharing=schedule.sharing,
        )
        optimiser.step(parameters, gradient, now.network_rate)
        if callback:
            callback(Progress(step, schedule.passes, result["distortion"], tuple(result["bits"])))
    result = trainer.evaluate(parameters, hard=True, lambda_=lambda_, draw=False)
    return Fitted(
        shape,
        parameters,
        tuple(trainer.quantised(k) for k in range(shape.grids)),
        result["distortion"],
        tuple(result["bits"]),
    )
