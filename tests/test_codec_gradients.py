"""The engine's training step against the PyTorch reference in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fieldpack.codec.fit import make_trainer
from fieldpack.codec.model import ModelShape, grids_of
from prior import reference

LAMBDA = 0.01

SIZES = [(1, 1), (1, 9), (5, 3), (17, 23), (64, 64), (45, 301), (97, 130)]


def example(height: int, width: int, shape: ModelShape, weighted: bool, seed: int = 0):
    random = np.random.default_rng(seed)
    image = random.random((height, width, shape.channels), np.float32)
    weights = random.random(image.shape, np.float32) if weighted else None
    parameters = random.normal(0, 0.25, shape.parameters).astype(np.float32)
    shape.views(parameters)["taps"][:] += (0.8, 0.2, 0, 0)
    latents = []
    for k in range(shape.grids):
        size = (-(-height // 2**k), -(-width // 2**k))
        latents.append(random.normal(0, 2, size).astype(np.float32))
    return image, weights, parameters, latents


def reference_step(image, weights, parameters, quantised, shape):
    flat = torch.tensor(parameters, dtype=torch.float64, requires_grad=True)
    grids = [torch.tensor(q, dtype=torch.float64, requires_grad=True) for q in quantised]
    planes = torch.tensor(image, dtype=torch.float64).permute(2, 0, 1)
    w = None if weights is None else torch.tensor(weights, dtype=torch.float64).permute(2, 0, 1)
    loss, distortion, bits = reference.loss(grids, planes, w, flat, shape, lambda_=LAMBDA)
    loss.backward()
    return (
        distortion.item(),
        [b.item() for b in bits],
        flat.grad.numpy(),
        [g.grad.numpy() for g in grids],
    )


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / (np.abs(b).max() + 1e-12))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_gradients(size: tuple[int, int], weighted: bool):
    height, width = size
    shape = ModelShape(
        grids=grids_of(height, width), neighbours=13, ancestors=8, context_hidden=(10, 10)
    )
    check(height, width, shape, weighted)


@pytest.mark.parametrize(
    "shape",
    [
        ModelShape(channels=1, grids=4, convolutions=0, neighbours=8, context_hidden=(8,)),
        ModelShape(channels=4, grids=3, convolutions=1, synthesis_hidden=(24, 17)),
        ModelShape(channels=2, grids=5, convolutions=3, context_hidden=()),
        ModelShape(grids=4, synthesis_hidden=(), neighbours=24, context_set_of=(0, 1, 1, 2)),
        ModelShape(grids=1, synthesis_hidden=(40,), neighbours=1),
        ModelShape(grids=6, neighbours=8, ancestors=14, context_set_of=(0, 1, 2, 3, 4, 5)),
        ModelShape(channels=2, grids=6, is_filtered=True),
    ],
)
def test_other_shapes(shape: ModelShape):
    check(50, 70, shape, weighted=True)


def test_gradients_across_bands():
    shape = ModelShape(
        grids=6,
        neighbours=8,
        ancestors=14,
        context_hidden=(12, 12),
        context_set_of=tuple(range(6)),
        is_filtered=True,
    )
    check(75, 900, shape, weighted=False)


def check(height: int, width: int, shape: ModelShape, weighted: bool) -> None:
    image, weights, parameters, latents = example(height, width, shape, weighted)
    trainer = make_trainer(shape, image, weights, threads=2)
    for k, y in enumerate(latents):
        trainer.set_latents(k, y)
    gradient = np.zeros_like(parameters)
    result = trainer.step(parameters, gradient, lambda_=LAMBDA, seed=3, step=5, update=False)
    quantised = [trainer.quantised(k) for k in range(shape.grids)]
    distortion, bits, expected, latent_gradients = reference_step(
        image, weights, parameters, quantised, shape
    )
    assert result["distortion"] == pytest.approx(distortion, rel=2e-5)
    assert result["bits"] == pytest.approx(bits, rel=2e-5, abs=1e-3)
    actual = shape.views(gradient)
    for name, tensor in shape.views(expected).items():
        if tensor.size:
            assert relative_error(actual[name], tensor) < 3e-4, name
    for k, g in enumerate(latent_gradients):
        assert relative_error(trainer.quantised_gradient(k), g) < 3e-4, f"grid {k}"

    rounded = trainer.evaluate(parameters, hard=True)
    assert trainer.distortion(parameters) == rounded["distortion"]
    for index in range(max(shape.set_of_grid) + 1):
        of_set = zip(rounded["bits"], shape.set_of_grid, strict=True)
        assert trainer.bits(parameters, index) == [b if s == index else 0 for b, s in of_set]
    assert trainer.bits(parameters) == rounded["bits"]
    image_out = rounded["image"]
    hard = [torch.tensor(trainer.quantised(k), dtype=torch.float64) for k in range(shape.grids)]
    tensors = reference.split(torch.tensor(parameters, dtype=torch.float64), shape)
    expected_image = reference.synthesise(hard, shape, tensors).permute(1, 2, 0).numpy()
    assert relative_error(image_out, expected_image) < 1e-5
    for k, y in enumerate(latents):
        np.testing.assert_array_equal(trainer.quantised(k), np.round(y))


def test_soft_rounding_and_its_slope():
    shape = ModelShape(channels=1, grids=1)
    image, _, parameters, latents = example(40, 60, shape, False)
    trainer = make_trainer(shape, image, None, threads=1)
    trainer.set_latents(0, latents[0])
    gradient = np.zeros_like(parameters)
    for temperature in (0.05, 0.3, 1.0):
        trainer.step(
            parameters, gradient, lambda_=LAMBDA, temperature=temperature, noise=0, update=False
        )
        y = torch.tensor(latents[0], dtype=torch.float64, requires_grad=True)
        q = reference.soft_round(reference.soft_round(y, temperature), temperature)
        (slope,) = torch.autograd.grad(q.sum(), y)
        np.testing.assert_allclose(trainer.quantised(0), q.detach(), atol=2e-5)
        np.testing.assert_allclose(trainer.slope(0), slope, rtol=2e-3, atol=1e-4)


def test_noise_is_uniform_and_repeatable():
    shape = ModelShape(channels=1, grids=1)
    image, _, parameters, _ = example(200, 200, shape, False)
    trainer = make_trainer(shape, image, None, threads=1)
    gradient = np.zeros_like(parameters)

    def noise(seed: int, step: int) -> np.ndarray:
        # At a high temperature soft rounding is the identity.
        trainer.set_latents(0, np.full((200, 200), 0.5, np.float32))
        trainer.step(
            parameters, gradient, lambda_=0, temperature=20, noise=0.25, seed=seed, step=step,
            update=False,
        )  # fmt: skip
        return trainer.quantised(0) - 0.5

    first = noise(1, 1)
    np.testing.assert_array_equal(first, noise(1, 1))
    np.testing.assert_allclose(noise(1, 0), -first, atol=1e-4)
    for other in (noise(1, 9), noise(2, 1), np.roll(first, 1, axis=1), np.roll(first, 1, axis=0)):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.02
    # Over eight passes, each latent's noise falls into every quarter of the range twice.
    quarters = np.floor(np.stack([noise(1, step) for step in range(8, 16)]) / 0.125)
    for quarter in range(-2, 2):
        inside = (quarters == quarter).sum(0)
        assert (inside == 2).mean() > 0.999
    counts, _ = np.histogram(first, bins=20, range=(-0.2501, 0.2501))
    assert counts.sum() == first.size
    assert np.abs(counts / 2000 - 1).max() < 0.1


@pytest.mark.parametrize("size", [(1, 1), (33, 700), (150, 97)])
def test_threads_do_not_change_the_result(size: tuple[int, int]):
    height, width = size
    shape = ModelShape(grids=grids_of(height, width))
    image, _, parameters, latents = example(height, width, shape, False)
    runs = []
    for threads in (1, 2, 3, 7):
        trainer = make_trainer(shape, image, None, threads)
        for k, y in enumerate(latents):
            trainer.set_latents(k, y)
        gradient = np.zeros_like(parameters)
        for step in range(3):
            result = trainer.step(
                parameters, gradient, lambda_=LAMBDA, step=step, learning_rate=[0.1] * shape.grids
            )
        runs.append(
            [gradient.tobytes(), repr((result["distortion"], result["bits"]))]
            + [trainer.latents(k).tobytes() for k in range(shape.grids)]
        )
    assert all(run == runs[0] for run in runs)


def trainer_of_two_grids():
    shape = ModelShape(channels=1, grids=2)
    image, _, parameters, latents = example(20, 30, shape, False)
    trainer = make_trainer(shape, image, None, threads=1)
    for k, y in enumerate(latents):
        trainer.set_latents(k, y)
    return shape, trainer, parameters, latents


def test_latents_follow_adam():
    shape, trainer, parameters, latents = trainer_of_two_grids()
    gradient = np.zeros_like(parameters)
    y = torch.tensor(latents[1], requires_grad=True)
    adam = torch.optim.Adam([y], lr=0.1, betas=(0.8, 0.95), eps=1e-12)
    for step in range(4):
        trainer.step(
            parameters, gradient, lambda_=LAMBDA, step=step, learning_rate=[0.1] * shape.grids,
            beta1=0.8, sharing=0,
        )  # fmt: skip
        y.grad = torch.tensor(trainer.quantised_gradient(1) * trainer.slope(1))
        adam.step()
        np.testing.assert_allclose(trainer.latents(1), y.detach(), atol=1e-4)


def test_a_grid_shares_its_mean_square_gradient():
    shape, trainer, parameters, latents = trainer_of_two_grids()
    gradient = np.zeros_like(parameters)
    y = latents[0].astype(np.float64)
    mean, square, before = np.zeros_like(y), np.zeros_like(y), None
    for step in range(1, 6):
        trainer.step(
            parameters, gradient, lambda_=LAMBDA, step=step, learning_rate=[0.1] * shape.grids,
            beta1=0.6, beta2=0.95, sharing=0.7,
        )  # fmt: skip
        g = (trainer.quantised_gradient(0) * trainer.slope(0)).astype(np.float64)
        mean += 0.4 * (g - mean)
        square += 0.05 * (g * g - square)
        now = square / (1 - 0.95**step)
        divisor = now if before is None else 0.3 * now + 0.7 * before
        y -= 0.1 * np.clip(mean / (1 - 0.6**step) / np.sqrt(divisor), -3, 3)
        before = now.mean()
        np.testing.assert_allclose(trainer.latents(0), y, atol=1e-4)


def test_latents_move_alike_without_the_networks_gradient():
    moved, gradients = [], []
    for networks, contexts in ((True, True), (True, False), (False, True)):
        shape, trainer, parameters, _ = trainer_of_two_grids()
        gradient = np.zeros_like(parameters) if networks else None
        for step in range(3):
            trainer.step(
                parameters,
                gradient,
                lambda_=0.02,
                learning_rate=[0.1, 0.1],
                seed=1,
                step=step,
                context_gradient=contexts,
            )
        moved.append([trainer.latents(k).tobytes() for k in range(shape.grids)])
        gradients.append(gradient)
    assert moved[0] == moved[1] == moved[2]
    context = -shape.context.parameters
    np.testing.assert_array_equal(gradients[0][:context], gradients[1][:context])
    assert gradients[0][context:].any()
    assert not gradients[1][context:].any()


def test_grids_that_are_not_used_stay_at_zero():
    shape = ModelShape(grids=4, neighbours=8, context_hidden=(8,), context_set_of=(0, 1, 2, 3))
    image, _, parameters, latents = example(45, 70, shape, weighted=False)
    latents[0][:] = 0
    results = []
    for finest in (0, 1):
        trainer = make_trainer(shape, image, threads=2, finest=finest)
        for k in range(finest, shape.grids):
            trainer.set_latents(k, latents[k])
        gradient = np.empty_like(parameters)
        result = trainer.step(parameters, gradient, lambda_=LAMBDA, hard=True, update=False)
        grids = [trainer.quantised_gradient(k) for k in range(1, shape.grids)]
        results.append((result["distortion"], result["bits"], gradient, grids))
    assert results[0][0] == results[1][0]
    assert results[1][1] == [0, *results[0][1][1:]]
    for a, b in zip(results[0][3], results[1][3], strict=True):
        np.testing.assert_array_equal(a, b)
    first, second = shape.views(results[0][2]), shape.views(results[1][2])
    for name in first:
        if name.startswith("context0."):
            assert not second[name].any()
        else:
            np.testing.assert_array_equal(first[name], second[name])
    trainer.step(parameters, gradient, lambda_=LAMBDA, learning_rate=[0.1] * shape.grids)
    assert not trainer.latents(0).any()
    assert (trainer.latents(1) != latents[1]).any()
    with pytest.raises(ValueError, match="finest"):
        make_trainer(shape, image, finest=4)
