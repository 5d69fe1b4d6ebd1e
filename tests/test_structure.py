"""Structural similarity: the measure, its gradient in the engine, and files made for it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import fieldpack
from fieldpack import RequestError, cli
from fieldpack._engine import Trainer, structure_weights
from fieldpack.codec.initialisation import analyse, initial_parameters
from fieldpack.codec.model import ModelShape, engine_model, grids_of
from fieldpack.metrics import ms_ssim

SIZES = [(11, 11), (23, 40), (45, 301), (187, 200)]


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Half of it smooth, half of it busy."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    smooth = np.stack([0.5 + 0.3 * np.sin(x / 9 + c) * np.cos(y / 13) for c in range(channels)], -1)
    noise = np.random.default_rng(3).normal(0, 0.15, (height, width, channels))
    noise[:, : width // 2] *= 0.02
    return np.clip(smooth + noise, 0, 1).astype(np.float32)


def trainer_of(image: np.ndarray, threads: int = 1) -> tuple[Trainer, np.ndarray]:
    height, width, channels = image.shape
    shape = ModelShape(
        channels, grids_of(height, width), synthesis_hidden=(8,), neighbours=8, context_hidden=(8,)
    )
    weights = structure_weights(image, 0.5, threads)
    trainer = Trainer(image, weights / weights.mean(), engine_model(shape), threads)
    for k, grid in enumerate(analyse(image, shape, 0.01)):
        trainer.set_latents(k, grid)
    return trainer, initial_parameters(shape, 0.01)


def drawn(trainer: Trainer, parameters: np.ndarray) -> np.ndarray:
    image: np.ndarray = trainer.evaluate(parameters)["image"]
    return image


def test_similarity_of_a_single_window():
    generator = np.random.default_rng(0)
    x, y = generator.random((2, 11, 11))
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(taps, taps) / taps.sum() ** 2

    def mean(values: np.ndarray) -> float:
        return float((weights * values).sum())

    m, n = mean(x), mean(y)
    s, t, c = (mean((a - mean(a)) * (b - mean(b))) for a, b in ((x, x), (y, y), (x, y)))
    expected = (2 * m * n + 1e-4) * (2 * c + 9e-4) / (m * m + n * n + 1e-4) / (s + t + 9e-4)
    found = ms_ssim(255 * x, 255 * y, 255)
    assert found == pytest.approx(max(expected, 0) ** 1.0001)


def test_equal_pictures_are_most_similar_and_damage_counts():
    image = picture(187, 200)
    noise = np.random.default_rng(1).normal(0, 1, image.shape)
    values = [ms_ssim(image, image + scale * noise, 1) for scale in (0, 0.02, 0.1)]
    assert values[0] == pytest.approx(1)
    assert values[0] > values[1] > values[2] > 0
    assert ms_ssim(image[..., 0], image[..., 0] + 0.1, 1) < 1


@pytest.mark.parametrize("shape", [(10, 40), (40, 10), (11,)])
def test_there_must_be_room_for_a_window(shape):
    with pytest.raises(ValueError, match="at least 11"):
        ms_ssim(np.zeros(shape), np.zeros(shape), 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_the_engine_measures_the_same(size, channels):
    image = picture(*size, channels)
    trainer, parameters = trainer_of(image)
    error = trainer.distortion(parameters)
    shown = drawn(trainer, parameters)
    similarity = ms_ssim(image, shown, 1)
    assert 0.2 < similarity < 0.999
    trainer.compare_structure(0.5, 0)
    assert trainer.distortion(parameters) == pytest.approx(0.5 * (1 - similarity), abs=2e-6)
    np.testing.assert_array_equal(drawn(trainer, parameters), shown)
    trainer.compare_structure(0.5, 2)
    expected = 0.5 * (1 - similarity) + 2 * error
    assert trainer.distortion(parameters) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("fidelity", [0, 1])
@pytest.mark.parametrize("size", SIZES)
def test_gradient_against_differences(size, fidelity):
    image = picture(*size)
    trainer, parameters = trainer_of(image)
    weights = structure_weights(image, 0.5, 1)

    def distortion(shown: np.ndarray) -> float:
        error = np.average(np.square(shown - image, dtype=np.float64), weights=weights)
        return 1 - ms_ssim(image, shown, 1) + fidelity * float(error)

    trainer.compare_structure(1, fidelity)
    gradient = np.zeros_like(parameters)
    trainer.step(parameters, gradient, hard=True, lambda_=0, update=False)
    generator = np.random.default_rng(5)
    for _ in range(3):
        direction = (1e-4 * generator.normal(0, 1, parameters.shape)).astype(np.float32)
        above, below = (drawn(trainer, parameters + s * direction) for s in (1, -1))
        expected = (distortion(above) - distortion(below)) / 2
        along = float(direction.astype(np.float64) @ gradient)
        assert along == pytest.approx(expected, rel=0.04, abs=2e-6)


def test_the_gradient_does_not_depend_on_the_threads():
    image = picture(187, 300)
    results = []
    for threads in (1, 3):
        trainer, parameters = trainer_of(image, threads)
        trainer.compare_structure(1, 0.1)
        gradient = np.zeros_like(parameters)
        result = trainer.step(parameters, gradient, lambda_=1e-3, learning_rate=[0.1] * 7)
        latents = [trainer.latents(k).tobytes() for k in range(7)]
        results.append((result["distortion"], gradient.tobytes(), latents))
    assert results[0] == results[1]


def test_linearised_it_has_the_same_gradient():
    image = picture(60, 70)
    trainer, parameters = trainer_of(image)
    gradient, again = np.zeros_like(parameters), np.zeros_like(parameters)
    trainer.compare_structure(1, 0.05)
    with pytest.raises(ValueError, match="linearise first"):
        trainer.loss_by_block(parameters, 1e-3)
    trainer.step(parameters, gradient, hard=True, lambda_=1e-3, update=False)
    trainer.linearise(parameters)
    trainer.step(parameters, again, hard=True, lambda_=1e-3, update=False)
    np.testing.assert_allclose(again, gradient, rtol=1e-4, atol=1e-6 * np.abs(gradient).max())
    losses, _ = trainer.loss_by_block(parameters, 0)
    assert losses.sum() == pytest.approx(trainer.distortion(parameters))
    with pytest.raises(ValueError, match="does not compare"):
        trainer.linearise(parameters)


def test_smooth_parts_weigh_more():
    weights = structure_weights(picture(100, 120), 0.5, 1)
    assert weights.shape == (100, 120, 3)
    assert (weights > 0).all()
    assert weights[:, :50].mean() > 3 * weights[:, 70:].mean()


@pytest.mark.parametrize("size", [(10, 60), (60, 10)])
def test_the_engine_wants_room_for_a_window(size):
    image = np.zeros((*size, 3), np.float32)
    shape = ModelShape(3, grids_of(*size), neighbours=8, context_hidden=(8,))
    with pytest.raises(ValueError, match="smaller than a window"):
        structure_weights(image, 0.5, 1)
    with pytest.raises(ValueError, match="smaller than a window"):
        Trainer(image, None, engine_model(shape), 1).compare_structure(1, 0)


@pytest.mark.parametrize(
    ("size", "effort", "lambda_"), [((96, 144), 3, 0.002), ((272, 288), 2, 0.003)]
)
def test_tuning_makes_smaller_files_of_more_similarity(size, effort, lambda_):
    samples = np.rint(255 * picture(*size)).astype(np.uint8)

    def coded(tune: str, dearness: float) -> tuple[int, float]:
        data = fieldpack.encode(samples, tune=tune, lambda_=dearness, effort=effort, threads=2)
        return len(data), ms_ssim(samples, fieldpack.decode(data), 255)

    plain, tuned = coded("psnr", 0.003), coded("ms-ssim", lambda_)
    assert tuned[0] < 0.9 * plain[0]
    assert tuned[1] > plain[1]


def test_a_size_is_met_too():
    samples = np.rint(255 * picture(96, 144)).astype(np.uint8)
    data = fieldpack.encode(samples, tune="ms-ssim", size=3000, effort=2, threads=2)
    assert 0.96 * 3000 <= len(data) <= 3000


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_give_the_same_bytes(threads):
    samples = np.rint(255 * picture(60, 200)).astype(np.uint8)
    first = fieldpack.encode(samples, tune="ms-ssim", effort=2, threads=1)
    assert fieldpack.encode(samples, tune="ms-ssim", effort=2, threads=threads) == first


@pytest.mark.parametrize(
    ("arguments", "size", "message"),
    [
        ({"tune": "ssim"}, (20, 20), "there is tune"),
        ({"tune": "ms-ssim", "psnr": 30}, (20, 20), "contradict"),
        ({"tune": "ms-ssim"}, (10, 20), "at least 11"),
    ],
)
def test_bad_requests(arguments, size, message):
    with pytest.raises(RequestError, match=message):
        fieldpack.encode(np.zeros((*size, 3), np.uint8), **arguments)


def test_one_colour():
    samples = np.full((20, 30, 3), 77, np.uint8)
    data = fieldpack.encode(samples, tune="ms-ssim", effort=1)
    assert (fieldpack.decode(data) == 77).all()


def test_command(tmp_path, monkeypatch, capsys):
    samples = np.rint(255 * picture(40, 50)).astype(np.uint8)
    Image.fromarray(samples).save(tmp_path / "in.png")
    monkeypatch.chdir(tmp_path)

    def report_of(*options: str) -> dict[str, object]:
        arguments = ["fieldpack", "encode", "in.png", "--effort", "1", "--json", *options]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    report = report_of("--tune", "ms-ssim")
    assert report["tune"] == "ms-ssim"
    decoded = fieldpack.decode(tmp_path / "in.fpk")
    assert report["ms_ssim"] == pytest.approx(ms_ssim(samples, decoded, 255))
    assert report_of()["ms_ssim"] is None
