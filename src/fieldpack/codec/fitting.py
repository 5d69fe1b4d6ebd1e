"""Fitting a pyramid to one picture: the engine does the passes, this the decisions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fieldpack import _engine
from fieldpack.codec.model import NEIGHBOURS, FloatArray, ModelShape
from fieldpack.codec.optimiser import Soap, blocks_of
from fieldpack.codec.payload import Latents
from fieldpack.codec.quantization import quantize_networks
from fieldpack.codec.schedule import Schedule
from fieldpack.program.weights import QuantizedTensor

_TAPS_RATE = 0.1


@dataclass(frozen=True)
class PassState:
    """What a callback is told after each pass.

    Attributes:
        step: Passes done, from 1.
        steps: Passes in all.
        distortion: Mean squared error of samples scaled to [0, 1].
        bits: Bits of the latents by the model.
        elapsed: Seconds since the start.
    """

    step: int
    steps: int
    distortion: float
    bits: float
    elapsed: float

    @property
    def psnr(self) -> float:
        """PSNR in dB that the distortion stands for."""
        return -10 * math.log10(max(self.distortion, 1e-20))


@dataclass(frozen=True, eq=False)
class Fitted:
    """What fitting found.

    Attributes:
        tensors: Quantised networks, in the order of the model's tensors.
        latents: One array a grid, finest first.
        steps: Passes done.
    """

    tensors: list[QuantizedTensor]
    latents: Latents
    steps: int
    losses: list[float] = field(default_factory=list)


PassCallback = Callable[[PassState], bool | None]


def fit_pyramid(
    image: FloatArray,
    shape: ModelShape,
    lambda_: float,
    steps: int,
    *,
    schedule: Schedule | None = None,
    weights: FloatArray | None = None,
    seed: int = 0,
    threads: int = 1,
    callback: PassCallback | None = None,
) -> Fitted:
    """Minimise distortion + lambda · bits / pixel over latents and networks.

    Args:
        image: (H, W, C) float32 in [0, 1].
        shape: The model's sizes.
        lambda_: Loss of one bit a pixel.
        steps: Passes over the whole picture.
        schedule: How they proceed; None for the default.
        weights: (H, W, C) weight of each sample in the distortion; None for equal ones.
        seed: Of the first networks and the noise.
        threads: Threads of the engine; results do not depend on it.
        callback: Called after each pass; returning False stops training.
    """
    schedule = schedule or Schedule()
    started = time.perf_counter()
    trainer = make_trainer(image, shape, weights, threads)
    parameters = shape.initial_parameters(seed)
    gradient = np.zeros_like(parameters)
    optimiser = Soap(blocks_of(shape.offsets))
    taps = shape.views(parameters)["taps"]
    pixels = image.shape[0] * image.shape[1]
    done = 0
    for step in range(steps):
        setting = schedule.at(step / steps)
        result = trainer.step(
            parameters,
            gradient,
            hard=setting.hard,
            temperature=setting.temperature,
            noise=setting.noise,
            lambda_=lambda_,
            seed=seed,
            step=step,
            learning_rate=[setting.latent_rate * 2 ** (0.5 * k) for k in range(shape.grids)],
        )
        before = taps.copy()
        optimiser.step(parameters, gradient, setting.network_rate)
        taps[:] = before + _TAPS_RATE * (taps - before)
        done = step + 1
        if callback is not None:
            state = PassState(
                step=done,
                steps=steps,
                distortion=result["distortion"],
                bits=sum(result["bits"]),
                elapsed=time.perf_counter() - started,
            )
            if callback(state) is False:
                break

    def loss(flat: FloatArray) -> float:
        report = trainer.evaluate(flat, hard=True)
        return float(report["distortion"] + lambda_ * sum(report["bits"]) / pixels)

    tensors = quantize_networks(parameters, shape, loss, lambda_ / pixels)
    latents = [np.rint(trainer.quantised(k)).astype(np.int32) for k in range(shape.grids)]
    return Fitted(tensors, latents, done)


def make_trainer(
    image: FloatArray, shape: ModelShape, weights: FloatArray | None, threads: int
) -> _engine.Trainer:
    """Return the engine's trainer of one picture."""
    return _engine.Trainer(
        image,
        weights,
        grids=shape.grids,
        synthesis=shape.synthesis.sizes,
        convolutions=shape.convolutions,
        neighbours=NEIGHBOURS[: shape.neighbours],
        context=shape.context.sizes,
        context_set_of=shape.set_of_grid,
        threads=threads,
    )
