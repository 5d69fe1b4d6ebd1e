"""Quantisation of the codec's networks by what it costs in loss.

Weights are rounded one after the other, and those still to come make up for the error as far as
the loss's curvature allows (Frantar and Alistarh, "Optimal brain compression", 2022; GPTQ, 2023).
The curvature also tells how fine each tensor must be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from fieldpack._engine import Trainer
from fieldpack.codec.curvature import Matrix, context_curvature, synthesis_curvature
from fieldpack.codec.model import FloatArray, ModelShape
from fieldpack.codec.network_coding import Networks, tensor_bits, unchanged
from fieldpack.codec.prior import PriorNetworks
from fieldpack.program.weights import MAX_REACH, QuantizedTensor

_FINEST_EXPONENT, _COARSEST_EXPONENT = -16, 0
_DAMPING = 0.003


@dataclass(frozen=True)
class _Group:
    """Tensors that are quantised together, and the loss's curvature in all of their weights.

    Without a curvature there is one tensor, which is rounded as it is. `loss` is the part of it
    that these tensors have a say in.
    """

    names: tuple[str, ...]
    curvature: Matrix | None
    loss: Callable[[], float]


def quantize_networks(
    parameters: FloatArray,
    shape: ModelShape,
    trainer: Trainer,
    loss_per_bit: float,
    prior: PriorNetworks | None = None,
) -> Networks:
    """Choose each tensor's step, a power of two, and its symbols for the least loss.

    Args:
        parameters: The flat vector after training.
        shape: The model's sizes.
        trainer: Holds the picture and the latents.
        loss_per_bit: What a bit of the file adds to the loss.
        prior: What the file need not hold. Groups of tensors whose differences are not worth their
            bits fall back to it.
    """
    known = np.zeros_like(parameters) if prior is None else prior.parameters
    flat = parameters - known
    views = shape.views(flat)

    def distortion() -> float:
        return trainer.distortion(known + flat)

    def rate(index: int) -> float:
        return loss_per_bit * sum(trainer.bits(known + flat, index))

    latents = [np.rint(trainer.latents(k)) for k in range(shape.grids)]
    tensors = dict(zip(views, unchanged(shape, keep_empty=True), strict=True))
    for group in _groups(parameters, flat, shape, latents, loss_per_bit, distortion, rate):
        chosen = _quantize_group(group, views, loss_per_bit)
        for name, tensor in chosen.items():
            views[name][:] = tensor.values()
        if prior is not None:
            chosen = _or_nothing(chosen, views, group.loss, loss_per_bit)
        tensors |= chosen
    return Networks(shape, tuple(t for t in tensors.values() if t.symbols.size), prior)


def _or_nothing(
    tensors: dict[str, QuantizedTensor],
    views: dict[str, FloatArray],
    loss: Callable[[], float],
    loss_per_bit: float,
) -> dict[str, QuantizedTensor]:
    """The tensors, or zeros in all of their places if that is better; changes `views`."""
    with_them = loss() + loss_per_bit * _bits(tensors.values())
    for name in tensors:
        views[name][:] = 0
    if loss() <= with_them:
        return {
            name: QuantizedTensor(np.zeros_like(tensor.symbols), 1.0)
            for name, tensor in tensors.items()
        }
    for name, tensor in tensors.items():
        views[name][:] = tensor.values()
    return tensors


def _bits(tensors: Iterable[QuantizedTensor]) -> float:
    return sum(map(tensor_bits, tensors))


def _groups(
    flat: FloatArray,
    stored: FloatArray,
    shape: ModelShape,
    latents: Sequence[FloatArray],
    loss_per_bit: float,
    distortion: Callable[[], float],
    rate: Callable[[int], float],
) -> Iterator[_Group]:
    """Groups of tensors with anything to store, and the curvature at the networks `flat`."""
    random = np.random.default_rng(0)
    views = shape.views(stored)
    names = [name for name, view in views.items() if view.size]
    kernels = ("taps", "filters")
    for name in kernels:
        if views[name].any():
            yield _Group((name,), None, distortion)
    drawing = tuple(n for n in names if n not in kernels and not n.startswith("context"))
    if any(views[name].any() for name in drawing):
        yield _Group(drawing, synthesis_curvature(shape, flat, latents, random), distortion)
    for index in range(max(shape.set_of_grid) + 1):
        of_set = tuple(name for name in names if name.startswith(f"context{index}."))
        if any(views[name].any() for name in of_set):
            curvature = context_curvature(shape, flat, index, latents, random) * loss_per_bit
            yield _Group(of_set, curvature, partial(rate, index))


def _quantize_group(
    group: _Group,
    views: dict[str, FloatArray],
    loss_per_bit: float,
) -> dict[str, QuantizedTensor]:
    """Try finer and coarser steps than the curvature asks for until neither is better.

    Where almost all latents are foreseen, the curvature at the fitted weights says next to nothing
    of what lies around them: then steps become finer for as long as rounding costs too much.
    """
    if group.curvature is None:
        (name,) = group.names
        return {name: _quantize_alone(views[name], group.loss, loss_per_bit)}
    originals = {name: views[name].copy() for name in group.names}
    unrounded = group.loss()
    rounding = _Rounding(group.curvature, originals)

    def attempt(coarseness: float) -> tuple[float, dict[str, QuantizedTensor]]:
        tensors = rounding.tensors(loss_per_bit, 2.0 ** (coarseness / 2))
        for name, tensor in tensors.items():
            views[name][:] = tensor.values()
        total = group.loss() + loss_per_bit * _bits(tensors.values())
        for name, original in originals.items():
            views[name][:] = original
        return total, tensors

    def costs_too_much() -> bool:
        """Whether rounding adds more to the loss than all the bits of the weights do."""
        return least - unrounded > 2 * loss_per_bit * _bits(best.values())

    least, best = attempt(0)
    for direction in (-1, 1):
        coarseness, misses = direction, 0
        while abs(coarseness) <= 16 and (misses < 2 or (direction < 0 and costs_too_much())):
            total, tensors = attempt(coarseness)
            misses = 0 if total < least else misses + 1
            if total < least:
                least, best = total, tensors
            coarseness += direction
    return best


class _Rounding:
    """Rounds a group's weights in their order, each error made up for by the weights behind it."""

    def __init__(self, curvature: Matrix, values: dict[str, FloatArray]) -> None:
        self._values = values
        self._flat = np.concatenate([v.ravel() for v in values.values()]).astype(np.float64)
        damping = _DAMPING * max(float(np.trace(curvature)) / len(self._flat), 1e-30)
        damped = curvature + damping * np.eye(len(self._flat))
        # Row i of this factor says how the weights behind make up for an error of weight i, and
        # 1 / factor[i, i]^2 is the curvature that is left in it when they do.
        self._factor: Matrix = np.linalg.cholesky(np.linalg.inv(damped)).T
        self._curvature = 1 / np.diag(self._factor) ** 2

    def tensors(self, loss_per_bit: float, coarseness: float) -> dict[str, QuantizedTensor]:
        steps, pulls = np.empty(len(self._flat)), np.empty(len(self._flat))
        start = 0
        for value in self._values.values():
            part = slice(start, start + value.size)
            # The least of curvature * step^2 / 24 - loss_per_bit * log2(step), summed over weights.
            square = 12 * loss_per_bit / (math.log(2) * float(self._curvature[part].mean()))
            exponent = round(math.log2(max(math.sqrt(square) * coarseness, 1e-30)))
            steps[part] = 2.0 ** max(
                min(exponent, _COARSEST_EXPONENT),
                _FINEST_EXPONENT,
                _least_exponent(value),
            )
            # A Laplace distribution's bits grow by this much with a weight's size.
            slope = loss_per_bit / (math.log(2) * max(float(np.abs(value).mean()), 1e-9))
            pulls[part] = slope / self._curvature[part]
            start += value.size
        symbols = self._round(steps, pulls)
        tensors = {}
        start = 0
        for name, value in self._values.items():
            part = slice(start, start + value.size)
            tensors[name] = QuantizedTensor(symbols[part].reshape(value.shape), float(steps[start]))
            start += value.size
        return tensors

    def _round(self, steps: Matrix, pulls: Matrix) -> npt.NDArray[np.int32]:
        left = self._flat.copy()
        symbols = np.empty(len(left), np.int32)
        for i, step in enumerate(steps):
            pulled = math.copysign(max(abs(left[i]) - min(pulls[i], step / 4), 0), left[i])
            symbols[i] = min(max(round(pulled / step), 1 - MAX_REACH), MAX_REACH - 1)
            error = (left[i] - symbols[i] * step) / self._factor[i, i]
            left[i + 1 :] -= error * self._factor[i, i + 1 :]
        return symbols


def _least_exponent(values: FloatArray) -> int:
    """Of the finest step that leaves all symbols in reach, with room for corrections."""
    return math.ceil(math.log2(max(float(np.abs(values).max()), 1e-9) * 4 / MAX_REACH))


def _quantize_alone(
    view: FloatArray, loss: Callable[[], float], loss_per_bit: float
) -> QuantizedTensor:
    """From the finest step on, coarser ones until three in a row are worse; changes `view`."""
    original = view.copy()
    best, least, misses = None, np.inf, 0
    for exponent in range(max(_FINEST_EXPONENT, _least_exponent(view)), _COARSEST_EXPONENT + 1):
        tensor = QuantizedTensor.from_values(original, 2.0**exponent)
        view[:] = tensor.values()
        total = loss() + loss_per_bit * _bits([tensor])
        misses = 0 if total < least else misses + 1
        if total < least:
            best, least = tensor, total
        elif misses == 3:
            break
    assert best is not None
    return best
