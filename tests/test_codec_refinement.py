"""The search that refines rounded latents, and the losses by block that it rests on."""

import numpy as np
import pytest

from fieldpack._engine import Trainer, synthesise
from fieldpack.codec import attempt, encoder
from fieldpack.codec.fit import make_trainer
from fieldpack.codec.initialisation import analyse, initial_parameters
from fieldpack.codec.model import ModelShape, engine_model, grids_of
from fieldpack.codec.payload import read_pyramid
from fieldpack.codec.refinement import refine, refine_towards

LAMBDA = 1e-3


def picture(height: int, width: int) -> np.ndarray:
    random = np.random.default_rng(height * width)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([np.sin(x / 5 + y / 9), np.cos(x / 7), np.sin(y / 4)], -1) / 4 + 0.5
    return (smooth + random.normal(0, 0.05, smooth.shape)).clip(0, 1).astype(np.float32)


def rounded(
    image: np.ndarray, weights: np.ndarray | None = None, threads: int = 1, finest: int = 0
) -> tuple[Trainer, np.ndarray, list[np.ndarray]]:
    height, width, _ = image.shape
    grids = grids_of(height, width)
    shape = ModelShape(grids=grids, neighbours=8, context_hidden=(8,), ancestors=3)
    parameters = initial_parameters(shape, LAMBDA)
    trainer = make_trainer(shape, image, weights, threads, finest)
    latents = [np.rint(grid) for grid in analyse(image, shape, LAMBDA, finest=finest)]
    for k, grid in enumerate(latents):
        trainer.set_latents(k, grid)
    return trainer, parameters, latents


def loss_of(trainer: Trainer, parameters: np.ndarray, pixels: int) -> float:
    result = trainer.evaluate(parameters, hard=True, draw=False)
    return result["distortion"] + LAMBDA * sum(result["bits"]) / pixels


@pytest.mark.parametrize("size", [(64, 96), (37, 53), (1, 70), (3, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_by_block_add_up(size: tuple[int, int], weighted: bool) -> None:
    image = picture(*size)
    weights = None
    if weighted:
        weights = np.random.default_rng(0).uniform(0, 2, image.shape).astype(np.float32)
    trainer, parameters, _ = rounded(image, weights)
    losses, rates = trainer.loss_by_block(parameters, LAMBDA)
    assert losses.shape == rates.shape == (-(-size[0] // 4), -(-size[1] // 4))
    assert losses.sum() == pytest.approx(loss_of(trainer, parameters, size[0] * size[1]), rel=1e-5)
    distortion = (losses - rates).sum()
    assert distortion == pytest.approx(trainer.distortion(parameters), rel=1e-5)


def test_losses_by_block_lie_where_the_picture_changes() -> None:
    image = picture(48, 300)
    trainer, parameters, latents = rounded(image)
    before, _ = trainer.loss_by_block(parameters, LAMBDA)
    latents[0][20, 260] += 3
    trainer.set_latents(0, latents[0])
    changed = np.argwhere(trainer.loss_by_block(parameters, LAMBDA)[0] != before)
    assert len(changed)
    assert (abs(changed - (5, 65)) <= 3).all()


@pytest.mark.parametrize("size", [(64, 96), (37, 53), (1, 70), (17, 16), (3, 2)])
def test_refined_latents_are_integers_with_less_loss(size: tuple[int, int]) -> None:
    image = picture(*size)
    trainer, parameters, latents = rounded(image)
    pixels = size[0] * size[1]
    before = loss_of(trainer, parameters, pixels)
    refined = refine(trainer, parameters, latents, LAMBDA, 100)
    assert all((grid == np.rint(grid)).all() for grid in refined)
    assert all((trainer.latents(k) == grid).all() for k, grid in enumerate(refined))
    after = loss_of(trainer, parameters, pixels)
    assert after < before if min(size) > 8 else after <= before


def test_changes_are_left_out_or_let_in_for_other_lambdas() -> None:
    trainer, parameters, latents = rounded(picture(64, 96))
    alone = refine(trainer, parameters, latents, LAMBDA, 100)
    refined = refine_towards(trainer, parameters, latents, LAMBDA, 100)
    assert all((a == b).all() for a, b in zip(alone, refined.latents, strict=True))
    assert all((a == b).all() for a, b in zip(refined.for_other(0), refined.latents, strict=True))

    def bits_and_distortion(push: float) -> tuple[float, float]:
        for k, grid in enumerate(refined.for_other(push)):
            trainer.set_latents(k, grid)
        return sum(trainer.bits(parameters)), trainer.distortion(parameters)

    bits, distortions = zip(*(bits_and_distortion(push) for push in (-1, 0, 1)), strict=True)
    assert bits[0] > bits[1] > bits[2]
    assert distortions[0] < distortions[1] < distortions[2]


def test_grids_that_stay_at_zero_are_left_alone() -> None:
    trainer, parameters, latents = rounded(picture(64, 96), finest=1)
    refined = refine(trainer, parameters, latents, LAMBDA, 100)
    assert not refined[0].any()
    assert any((a != b).any() for a, b in zip(refined[1:], latents[1:], strict=True))


def test_refinement_does_not_depend_on_the_threads() -> None:
    image = picture(80, 320)
    results = []
    for threads in (1, 3):
        trainer, parameters, latents = rounded(image, threads=threads)
        results.append(refine(trainer, parameters, latents, LAMBDA, 100))
    assert all((a == b).all() for a, b in zip(*results, strict=True))


def test_losses_by_block_need_all_parameters() -> None:
    trainer, parameters, _ = rounded(picture(16, 16))
    with pytest.raises(ValueError, match="parameters"):
        trainer.loss_by_block(parameters[:-1], LAMBDA)


def test_encoding_refines(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(256, 256)

    def loss() -> float:
        payload = encoder.encode_pyramid(image, LAMBDA, 1).payload
        pyramid = read_pyramid(payload, 3, 256, 256)
        networks = pyramid.networks
        model, region = engine_model(networks.shape), (0, 256, 0, 256)
        drawn = synthesise(model, networks.parameters, 256, 256, pyramid.latents, region, 1)
        return float(((drawn - image) ** 2).mean() + LAMBDA * 8 * len(payload) / 256**2)

    refined = loss()
    monkeypatch.setattr(attempt, "refine", lambda trainer, parameters, latents, *_: latents)
    assert refined < 0.995 * loss()
