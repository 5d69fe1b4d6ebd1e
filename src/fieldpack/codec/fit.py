"""Fits the pyramid model to one image: one engine call a pass, driven from here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fieldpack._engine import Trainer
from fieldpack.codec.initialisation import analyse, initial_parameters
from fieldpack.codec.model import FloatArray, ModelShape, engine_model
from fieldpack.codec.optimiser import context_optimiser, drawing_optimiser
from fieldpack.codec.prior import PriorNetworks
from fieldpack.codec.rate_control import RateControl
from fieldpack.codec.schedule import Schedule
from fieldpack.codec.structure import Structure
from fieldpack.codec.weight_pull import WeightPull


@dataclass(frozen=True)
class Progress:
    """State after one pass; `bits` are those of the noisy latents, without the network."""

    step: int
    passes: int
    lambda_: float
    distortion: float
    bits: tuple[float, ...]


@dataclass(frozen=True)
class Fitted:
    """A fitted model: flat network parameters and the quantised latents [h_k, w_k] of each grid.

    `trainer` still holds the picture and the latents before quantisation.
    """

    shape: ModelShape
    parameters: FloatArray
    latents: tuple[FloatArray, ...]
    trainer: Trainer
    distortion: float
    bits: tuple[float, ...]


def make_trainer(
    shape: ModelShape,
    image: FloatArray,
    weights: FloatArray | None = None,
    threads: int = 1,
    finest: int = 0,
) -> Trainer:
    """The engine's state for an image [H, W, C] and optional weights of the same shape.

    Grids finer than `finest` stay at zero.
    """
    return Trainer(image, weights, engine_model(shape), threads, finest)


def worth_moving(shape: ModelShape, bits: Sequence[float], least: float) -> set[int]:
    """The context sets whose grids take at least so many bits for each weight of a set.

    What a context model gains from learning is a share of its grids' bits, what it costs depends
    on its size.
    """
    by_set: dict[int, float] = {}
    for index, of_grid in zip(shape.set_of_grid, bits, strict=True):
        by_set[index] = by_set.get(index, 0.0) + of_grid
    return {i for i, total in by_set.items() if total >= least * shape.context.parameters}


def fit(
    image: FloatArray,
    shape: ModelShape,
    lambda_: float,
    schedule: Schedule,
    *,
    prior: PriorNetworks | None = None,
    control: RateControl | None = None,
    weights: FloatArray | None = None,
    structure: Structure | None = None,
    threads: int = 1,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Minimises sum(w (x - y)^2) / sum(w) + lambda * bits / pixel.

    Args:
        image: float32 [H, W, C], values in [0, 1].
        shape: sizes of the model; without a prior, `grids` must suit the image (see `grids_of`).
        lambda_: loss of one bit per pixel.
        schedule: passes and step sizes; from scratch, also which latents there are at first.
        prior: networks of the same shape to begin with, and their kind of latents; None begins
            from scratch.
        control: moves lambda from pass to pass.
        weights: weight of each sample, [H, W, C]; all ones when None.
        structure: says that the distortion is one of structure instead, see `Structure`.
        threads: threads of the engine; the result does not depend on them.
        seed: of the initial network and the training noise.
        callback: called after every pass; an exception it raises ends the fit.

    """
    # The analysis comes before the trainer, so that their memory does not add up.
    first: list[FloatArray] = []
    start = schedule if prior is None else prior
    is_flat, finest = start.is_flat, start.finest
    if prior is not None:
        parameters, made_for = prior.parameters.copy(), prior.lambda_
    else:
        parameters = initial_parameters(shape, lambda_, seed, is_flat=is_flat, finest=finest)
        made_for = lambda_
    if prior is not None or schedule.analysed_start:
        first = analyse(image, shape, made_for, schedule.threshold, is_flat=is_flat, finest=finest)
    trainer = make_trainer(shape, image, weights, threads, finest)
    if structure is not None:
        trainer.compare_structure(structure.factor, structure.fidelity)
    for k, grid in enumerate(first[finest:], finest):
        trainer.set_latents(k, grid)
    del first
    drawing, context = drawing_optimiser(shape, schedule.network_betas), None
    contexts_start = schedule.contexts_start if schedule.context_share > 0 else schedule.passes
    gradient = np.zeros_like(parameters) if schedule.moves_networks else None
    pull = WeightPull(shape, np.zeros_like(parameters) if prior is None else prior.parameters)
    for step in range(schedule.passes):
        now = schedule.at(step)
        if control is not None:
            lambda_ = control.lambda_
        result = trainer.step(
            parameters,
            gradient,
            hard=now.hard,
            temperature=now.temperature,
            noise=now.noise,
            lambda_=lambda_,
            seed=seed,
            step=step,
            context_gradient=step >= contexts_start,
            learning_rate=[now.latent_rate * share for share in schedule.shares(shape.grids)],
            beta1=schedule.latent_betas[0],
            beta2=schedule.latent_betas[1],
            sharing=schedule.sharing,
        )
        if gradient is not None:
            loss_per_bit = np.float32(lambda_ / (image.shape[0] * image.shape[1]))
            gradient += loss_per_bit * pull.slopes(parameters)
            drawing.step(parameters, gradient, now.network_rate * schedule.drawing_share)
            if step >= contexts_start:
                if context is None:
                    sets = worth_moving(shape, result["bits"], schedule.least_context_bits)
                    context = context_optimiser(shape, schedule.network_betas, sets)
                    if not sets:
                        contexts_start = schedule.passes
                context.step(parameters, gradient, now.network_rate * schedule.context_share)
        distortion, bits = result["distortion"], tuple(result["bits"])
        if control is not None and control.is_due((step + 1) / schedule.soft_passes):
            control.observe(trainer, parameters)
        if callback:
            made_for = lambda_ if control is None else control.goal_lambda
            callback(Progress(step, schedule.passes, made_for, distortion, bits))
    result = trainer.evaluate(parameters, hard=True, lambda_=lambda_, draw=False)
    return Fitted(
        shape,
        parameters,
        tuple(trainer.quantised(k) for k in range(shape.grids)),
        trainer,
        result["distortion"],
        tuple(result["bits"]),
    )
