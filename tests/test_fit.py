"""Fitting, from a picture or samples to a file and back."""

import _thread
import threading

import numpy as np
import pytest
from conftest import smooth_samples
from PIL import Image

import fieldpack
from fieldpack import Colour, Picture, RequestError, SignalError
from fieldpack.metrics import psnr

pytest.importorskip("torch")


def test_a_smooth_picture_is_learned():
    samples = smooth_samples(40, 60)
    field = fieldpack.fit(samples, steps=150, batch=600)
    decoded = fieldpack.decode(field.to_bytes())
    assert decoded.shape == samples.shape
    assert psnr(decoded, samples, 255) > 28
    assert field.report.steps == 150
    assert field.report.stopped == "steps"


def test_quantisation_costs_little_and_more_bits_cost_more_bytes():
    samples = smooth_samples(40, 60)
    fields = {
        bits: fieldpack.fit(samples, steps=60, batch=600, bits=bits) for bits in (None, 6, 16)
    }
    quality = {bits: psnr(fieldpack.decode(f), samples, 255) for bits, f in fields.items()}
    size = {bits: len(field.to_bytes()) for bits, field in fields.items()}
    assert quality[16] - quality[None] <= 0.1
    assert size[None] < 0.6 * size[16]
    assert size[6] < size[16]
    assert quality[6] < quality[16] + 0.01


@pytest.mark.parametrize(
    "picture",
    [
        Picture(np.full((1, 1, 3), 77, np.uint8), Colour.RGB, 8),
        Picture(smooth_samples(1, 500, 1), Colour.GREY, 8),
        Picture(smooth_samples(500, 1, 1), Colour.GREY, 8),
        Picture(smooth_samples(9, 11, 3, 65535, np.uint16), Colour.RGB, 16),
        Picture(smooth_samples(9, 11, 4), Colour.RGBA, 8),
        Picture(smooth_samples(9, 11, 2), Colour.GREY_ALPHA, 8),
        Picture(smooth_samples(9, 11, 1, 1), Colour.GREY, 1),
        Picture(smooth_samples(9, 11, 4), Colour.CMYK, 8),
        Picture(smooth_samples(9, 11, 3, 5, np.float32) - 2, Colour.RGB, 32),
        Picture(np.full((4, 4, 1), -3.5, np.float32), Colour.GREY, 32),
    ],
    ids=lambda p: f"{p.width}x{p.height}-{p.colour.name}-{p.bit_depth}",
)
def test_every_size_mode_and_depth_returns(picture):
    decoded = fieldpack.fit(picture, steps=40, batch=64).picture()
    assert decoded.samples.shape == picture.samples.shape
    assert decoded.samples.dtype == picture.samples.dtype
    assert (decoded.colour, decoded.bit_depth) == (picture.colour, picture.bit_depth)
    span = float(np.ptp(picture.samples)) or float(abs(picture.samples.flat[0])) or 1.0
    error = np.abs(decoded.samples.astype(float) - picture.samples.astype(float))
    assert error.mean() < 0.3 * span


def test_arrays_paths_and_pillow_images_are_the_same_picture(tmp_path):
    samples = smooth_samples(12, 15)
    image = Image.fromarray(samples)
    image.save(tmp_path / "a.png")
    files = {
        fieldpack.fit(source, steps=3, batch=32).to_bytes()
        for source in (samples, image, tmp_path / "a.png", str(tmp_path / "a.png"))
    }
    assert len(files) == 1


def test_the_seed_decides():
    samples = smooth_samples(12, 15)
    first, again, other = (
        fieldpack.fit(samples, steps=3, batch=32, seed=seed).to_bytes() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_callback_sees_progress_and_the_picture_and_can_stop():
    states = []

    def callback(state):
        states.append(state)
        assert state.draw(None).shape == (12, 15, 3)
        assert state.draw((5, 4)).shape == (4, 5, 3)
        return state.step < 4

    field = fieldpack.fit(smooth_samples(12, 15), steps=50, batch=32, callback=callback)
    assert [state.step for state in states] == [1, 2, 3, 4]
    assert field.report.stopped == "callback"
    assert all(0 < state.progress <= 1 and state.loss > 0 for state in states)


def test_interrupt_stops_and_keeps_the_field():
    def interrupt(state):
        if state.step == 3:
            threading.Thread(target=_thread.interrupt_main).start()

    field = fieldpack.fit(smooth_samples(12, 15), seconds=60, batch=32, callback=interrupt)
    assert field.report.stopped == "interrupt"
    assert fieldpack.decode(field).shape == (12, 15, 3)


def test_time_bounds_training():
    report = fieldpack.fit(smooth_samples(12, 15), seconds=0.3, batch=32).report
    assert report.stopped == "seconds"
    assert report.steps >= 1


def test_scattered_samples_in_their_own_units():
    generator = np.random.default_rng(0)
    points = generator.uniform([100, -3], [200, 5], (800, 2))
    values = 1000 * np.sin(points[:, 0] / 20) + 300 * points[:, 1]
    field = fieldpack.fit(points, values, steps=300, batch=400)
    returned = fieldpack.open(field.to_bytes())
    assert returned.shape[-1] == 1
    np.testing.assert_allclose(
        np.array(returned.domain), np.stack([points.min(axis=0), points.max(axis=0)]).T
    )
    error = np.sqrt(np.mean(np.square(returned(points)[:, 0] - values)))
    assert error < 0.15 * values.std()
    with pytest.raises(RequestError, match="samples"):
        returned.picture()


@pytest.mark.parametrize("axes", [1, 3])
def test_samples_of_other_dimensions(axes):
    points = np.random.default_rng(1).uniform(-1, 1, (300, axes))
    values = np.stack([points.sum(axis=1), points[:, 0] ** 2], axis=1)
    field = fieldpack.fit(points, values, steps=100, batch=128)
    assert field(points).shape == (300, 2)
    assert np.abs(field(points) - values).mean() < 0.5 * np.abs(values - values.mean(axis=0)).mean()


def test_samples_on_a_grid_give_its_resolution():
    x, y = np.meshgrid(np.arange(7), np.arange(5))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    field = fieldpack.fit(points, np.ones(35), steps=2)
    assert field.shape == (5, 7, 1)
    assert fieldpack.fit(points, np.ones(35), steps=2, resolution=(9, 4)).shape == (4, 9, 1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"signal": np.zeros((4, 4, 3), np.int64)}, SignalError),
        ({"signal": np.zeros((4, 4, 9), np.uint8)}, SignalError),
        ({"signal": np.full((4, 4), np.nan)}, SignalError),
        ({"signal": "no such file.png"}, SignalError),
        ({"signal": [[0.0], [1.0]], "values": [1.0]}, RequestError),
        ({"signal": [[0.0], [np.nan]], "values": [1.0, 2.0]}, RequestError),
        ({"signal": [[0.0], [1.0]], "values": [np.inf, 2.0]}, RequestError),
        ({"signal": np.zeros((0, 2)), "values": np.zeros(0)}, RequestError),
        ({"signal": [["a"]], "values": [1.0]}, RequestError),
        ({"signal": [[0.0], [1.0]], "values": [1e39, 2.0]}, RequestError),
        ({"signal": np.zeros((4, 4), np.uint8), "steps": 0}, RequestError),
        ({"signal": np.zeros((4, 4), np.uint8), "seconds": -1.0}, RequestError),
        ({"signal": np.zeros((4, 4), np.uint8), "batch": 1}, RequestError),
        ({"signal": np.zeros((4, 4), np.uint8), "bits": 99, "steps": 1}, RequestError),
        ({"signal": np.zeros((4, 4), np.uint8), "device": "tpu"}, RequestError),
        ({"signal": np.zeros((4, 4), np.uint8), "recipe": "secret"}, RequestError),
        ({"signal": np.zeros((4, 4), np.uint8), "network": "oracle"}, RequestError),
    ],
)
def test_bad_requests(arguments, error):
    with pytest.raises(error):
        fieldpack.fit(**arguments)
