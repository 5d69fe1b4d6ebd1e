"""Quantised networks: the curvature against PyTorch, the loss against plain rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from fieldpack.codec.curvature import context_curvature, synthesis_curvature
from fieldpack.codec.fit import fit, make_trainer
from fieldpack.codec.model import ModelShape, grids_of
from fieldpack.codec.quantization import _bits, _Group, _quantize_group, quantize_networks
from fieldpack.codec.schedule import Schedule
from fieldpack.program.weights import QuantizedTensor, WeightDistribution
from prior import reference


def example(shape: ModelShape, height: int, width: int):
    random = np.random.default_rng(3)
    parameters = random.normal(0, 0.25, shape.parameters).astype(np.float32)
    shape.views(parameters)["taps"][:] += (0.8, 0.2, 0, 0)
    sizes = [(-(-height // 2**k), -(-width // 2**k)) for k in range(shape.grids)]
    return parameters, [np.rint(random.normal(0, 2, s)).astype(np.float32) for s in sizes]


def of_group(shape: ModelShape, prefixes: tuple[str, ...]) -> np.ndarray:
    """Where the tensors whose names start so lie in the flat vector."""
    places, start = [], 0
    for name, size in shape.offsets:
        count = int(np.prod(size))
        if name.startswith(prefixes):
            places += range(start, start + count)
        start += count
    return np.array(places)


@pytest.mark.parametrize("convolutions", [0, 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_synthesis_curvature_is_gauss_newton(convolutions: int, channels: int):
    shape = ModelShape(
        channels, 3, synthesis_hidden=(5, 5), convolutions=convolutions, context_hidden=(4,)
    )
    height, width = 11, 14
    parameters, latents = example(shape, height, width)
    grids = [torch.tensor(q, dtype=torch.float64) for q in latents]

    def draw(flat: torch.Tensor) -> torch.Tensor:
        return reference.synthesise(grids, shape, reference.split(flat, shape)).flatten()

    flat = torch.tensor(parameters, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(draw, flat).numpy()
    places = of_group(shape, ("synthesis", "convolution"))
    expected = 2 * jacobian.T @ jacobian / (height * width * channels)
    expected = expected[np.ix_(places, places)]
    found = synthesis_curvature(shape, parameters, latents, np.random.default_rng(0))
    if convolutions:
        # Only the last layer's own block does without the approximation.
        tail = channels * (channels * 9 + 1)
        found, expected = found[-tail:, -tail:], expected[-tail:, -tail:]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_context_curvature_is_the_empirical_fisher_matrix():
    shape = ModelShape(
        1, 2, synthesis_hidden=(4,), neighbours=6, context_hidden=(5, 5), context_set_of=(1, 0)
    )
    parameters, latents = example(shape, 6, 7)
    places = of_group(shape, ("context1",))
    expected = np.zeros((len(places), len(places)))
    grids = [torch.tensor(q, dtype=torch.float64) for q in latents]
    tensors_of = torch.tensor(parameters, dtype=torch.float64, requires_grad=True)
    padded = np.pad(latents[0], 4)
    tensors = reference.split(tensors_of, shape)
    for y in range(6):
        for x in range(7):
            near = [padded[4 + y + i, 4 + x + j] for i, j in reference.NEIGHBOURS[:6]]
            inputs = torch.tensor(np.array(near, np.float64))
            output = reference.perceptron(inputs, shape.context, tensors, "context1")
            bits = reference.laplace_bits(grids[0][y, x], output[0], output[1])
            (g,) = torch.autograd.grad(bits * np.log(2), tensors_of, retain_graph=True)
            expected += np.outer(g.numpy()[places], g.numpy()[places])
    found = context_curvature(shape, parameters, 1, latents, np.random.default_rng(0))
    np.testing.assert_allclose(
        found, expected / np.log(2), rtol=1e-3, atol=1e-4 * np.abs(expected).max()
    )


@pytest.mark.parametrize(("height", "width", "channels"), [(96, 128, 3), (1, 9, 1), (40, 70, 2)])
def test_quantised_networks_cost_less_than_rounded_ones(height: int, width: int, channels: int):
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    waves = [np.sin(9 * x + 3 * y), np.cos(7 * y * x), (np.hypot(x - 0.6, y - 0.5) < 0.3) * 1.0]
    image = np.stack([0.5 + 0.3 * w for w in waves[:channels]], -1).astype(np.float32)
    shape = ModelShape(channels, grids_of(height, width), neighbours=8, context_hidden=(8, 8))
    lambda_ = 0.001
    fitted = fit(image, shape, lambda_, Schedule(150), threads=2)
    trainer = make_trainer(shape, image)
    for k, grid in enumerate(fitted.latents):
        trainer.set_latents(k, grid)
    pixels = height * width

    def loss(parameters: np.ndarray) -> float:
        report = trainer.evaluate(parameters, hard=True, draw=False)
        return report["distortion"] + lambda_ * sum(report["bits"]) / pixels

    def total(tensors: Sequence[QuantizedTensor]) -> float:
        flat = np.concatenate([tensor.values().ravel() for tensor in tensors])
        bits = sum(WeightDistribution.fit(tensor.symbols)[1] for tensor in tensors)
        return loss(flat) + lambda_ / pixels * bits

    views = shape.views(fitted.parameters)
    rounded = min(
        total([QuantizedTensor.from_values(v, 2.0**-s) for v in views.values() if v.size])
        for s in range(2, 13)
    )
    chosen = quantize_networks(fitted.parameters, shape, trainer, lambda_ / pixels)
    assert len(chosen.tensors) == sum(v.size > 0 for v in views.values())
    assert total(chosen.tensors) < rounded


def test_steps_become_finer_where_the_curvature_is_far_too_small():
    weights = np.random.default_rng(5).normal(0, 1, (6, 7)).astype(np.float32)
    views = {"weight": weights.copy()}

    def loss() -> float:
        # Flat where the curvature would have the weights, so that finer steps only seem to cost.
        return float(1e3 * (1 - np.exp(-1e2 * np.square(views["weight"] - weights).sum())))

    group = _Group(("weight",), np.eye(weights.size), loss)
    tensors = _quantize_group(group, views, 1.0)
    assert (views["weight"] == weights).all()
    views["weight"][:] = tensors["weight"].values()
    assert loss() <= _bits(tensors.values())
