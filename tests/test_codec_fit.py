"""Fitting a small picture: it must converge from any seed and stop when the callback asks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fieldpack.codec.fit import fit
from fieldpack.codec.model import ModelShape, grids_of
from fieldpack.codec.prior import PriorNetworks, nearest_networks
from fieldpack.codec.schedule import Schedule
from fieldpack.codec.weight_pull import WeightPull


def picture(height: int = 96, width: int = 128) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    waves = [np.sin(9 * x + 3 * y), np.cos(7 * y * x), (np.hypot(x - 0.6, y - 0.5) < 0.3) * 1.0]
    return np.stack([0.5 + 0.3 * w for w in waves], axis=-1).astype(np.float32)


def small_model(image: np.ndarray) -> ModelShape:
    return ModelShape(grids=grids_of(*image.shape[:2]), neighbours=8, context_hidden=(8, 8))


@pytest.mark.parametrize("seed", range(3))
def test_converges_from_any_seed(seed: int):
    image = picture()
    schedule = Schedule(300, warm_up=50)
    fitted = fit(image, small_model(image), 0.001, schedule, threads=2, seed=seed)
    pixels = image.shape[0] * image.shape[1]
    assert -10 * np.log10(fitted.distortion) > 28
    assert sum(fitted.bits) / pixels < 1.0
    for latents in fitted.latents:
        np.testing.assert_array_equal(latents, np.round(latents))


def test_same_bytes_for_any_thread_count():
    image = picture()
    runs = [
        fit(image, small_model(image), 0.001, Schedule(20, warm_up=5), threads=threads, seed=1)
        for threads in (1, 3)
    ]
    assert runs[0].parameters.tobytes() == runs[1].parameters.tobytes()
    for a, b in zip(runs[0].latents, runs[1].latents, strict=True):
        assert a.tobytes() == b.tobytes()


def test_missing_samples_do_not_count():
    image = picture()
    weights = np.ones_like(image)
    weights[20:40, 30:60] = 0
    damaged = np.where(weights > 0, image, 17.0).astype(np.float32)
    shape, schedule = small_model(image), Schedule(40, warm_up=10)
    first = fit(image, shape, 0.001, schedule, weights=weights)
    second = fit(damaged, shape, 0.001, schedule, weights=weights)
    assert first.distortion == second.distortion


def test_callback_sees_every_pass_and_may_stop():
    image = picture(32, 32)
    seen = []

    def callback(progress) -> None:
        seen.append(progress.step)
        if progress.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(image, small_model(image), 0.001, Schedule(100), callback=callback)
    assert seen == list(range(7))


def moved(prior: PriorNetworks, **settings: float) -> dict[str, float]:
    """How far each tensor of a short fit lies from the prior's, in all."""
    image = picture()
    schedule = replace(Schedule.with_prior(60, prior.lambda_), **settings)
    fitted = fit(image, prior.shape, prior.lambda_, schedule, prior=prior, threads=2)
    views = prior.shape.views(fitted.parameters - prior.parameters)
    return {name: float(np.abs(view).sum()) for name, view in views.items()}


def test_weights_are_pulled_to_the_priors(monkeypatch):
    prior = nearest_networks(0.001, 3)[0]
    pulled = sum(moved(prior).values())
    monkeypatch.setattr(WeightPull, "slopes", lambda _, parameters: np.zeros_like(parameters))
    free = sum(moved(prior).values())
    assert 0 < pulled < 0.9 * free


def test_weights_learned_from_scratch_are_pulled_to_zero(monkeypatch):
    image = picture()
    shape, schedule = small_model(image), Schedule.of(60, 0.01)

    def distance() -> float:
        return float(np.abs(fit(image, shape, 0.01, schedule, threads=2).parameters).sum())

    pulled = distance()
    monkeypatch.setattr(WeightPull, "slopes", lambda _, parameters: np.zeros_like(parameters))
    assert 0 < pulled < 0.95 * distance()


def test_the_pull_is_the_slope_of_a_tensors_bits():
    shape = small_model(picture())
    known = np.random.default_rng(0).normal(0, 1, shape.parameters).astype(np.float32)
    parameters = known.copy()
    wide, narrow = "synthesis.0.weight", "context0.0.weight"
    of_wide, of_narrow = shape.views(parameters)[wide], shape.views(parameters)[narrow]
    of_wide += np.where(np.arange(of_wide.size).reshape(of_wide.shape) % 2, 0.3, -0.1)
    of_narrow[0, 0] += 0.001
    slopes = shape.views(WeightPull(shape, known).slopes(parameters))
    distances = of_wide - shape.views(known)[wide]
    mean, longer = np.abs(distances).mean(), 1e-3

    def bits(distance: float) -> float:
        # Of a Laplace distribution of that mean distance.
        return float(-np.log2(np.exp(-distance / mean) / (2 * mean)))

    slope = (bits(0.2 + longer) - bits(0.2)) / longer
    np.testing.assert_allclose(slopes[wide], slope * np.sign(distances), rtol=1e-3)
    assert slopes[narrow][0, 0] > 3 * slope  # what has hardly moved is pulled harder
    assert np.isfinite(slopes[narrow]).all()
    assert not slopes[narrow].ravel()[1:].any()
    assert not slopes["synthesis.1.weight"].any()


def test_contexts_whose_grids_have_too_few_bits_stay_as_they_are():
    prior = nearest_networks(0.001, 3)[0]
    for least, some_move in ((0.0, True), (1e9, False)):
        distances = moved(prior, least_context_bits=least)
        contexts = [d for name, d in distances.items() if name.startswith("context")]
        assert any(contexts) == some_move
        assert distances["synthesis.0.weight"] > 0


def test_the_priors_kind_of_latents_decides():
    image = picture()
    for lambda_, finest in ((0.0001, 0), (0.004, 1)):
        prior = next(s for s in nearest_networks(lambda_, 3) if s.finest == finest)
        schedule = Schedule.with_prior(12, lambda_)
        fitted = fit(image, prior.shape, lambda_, schedule, prior=prior)
        assert fitted.latents[0].any() == (finest == 0)
        assert any(grid.any() for grid in fitted.latents)
