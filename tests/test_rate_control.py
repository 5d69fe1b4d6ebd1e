"""Files of a wanted size or quality."""

import json
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import smooth_samples
from PIL import Image

import fieldpack
from fieldpack import GoalMissedWarning, RequestError, cli
from fieldpack.codec import encoder, finishing
from fieldpack.codec.goal import LEAST_LAMBDA, MOST_LAMBDA, Forecast, Goal
from fieldpack.codec.quality import lambda_of_quality
from fieldpack.codec.rate_control import CHECKPOINTS, RateControl
from fieldpack.metrics import psnr

COFFEE = Path(__file__).parents[1] / "examples" / "coffee.png"


def textured(height=96, width=128, channels=3):
    """A picture with edges and grain, for which rate and quality vary smoothly."""
    random = np.random.default_rng(5)
    samples = smooth_samples(height, width, channels).astype(np.float64)
    y, x = np.mgrid[:height, :width]
    samples += 25 * np.sign(np.sin(x / 5) * np.cos(y / 9))[..., None]
    samples += random.normal(0, 6, samples.shape)
    return np.clip(np.rint(samples), 0, 255).astype(np.uint8)


def quality(picture, data):
    decoded = fieldpack.decode(data)
    return psnr(picture, decoded, 255)


@pytest.mark.parametrize("effort", [1, 3])
@pytest.mark.parametrize("size", [900, 2500, 4500])
def test_size_is_used_and_never_exceeded(size, effort):
    data = fieldpack.encode(textured(), size=size, effort=effort)
    assert 0.96 * size <= len(data) <= size


@pytest.mark.parametrize("effort", [1, 3])
@pytest.mark.parametrize("bpp", [0.7, 2.5])
def test_bits_a_pixel(bpp, effort):
    picture = textured()
    data = fieldpack.encode(picture, bpp=bpp, effort=effort)
    assert 8 * len(data) / (96 * 128) == pytest.approx(bpp, rel=0.02)


@pytest.mark.parametrize("effort", [1, 3])
@pytest.mark.parametrize("wanted", [27, 31])
def test_psnr_is_reached_and_hardly_exceeded(wanted, effort):
    picture = textured()
    data = fieldpack.encode(picture, psnr=wanted, effort=effort)
    assert wanted <= quality(picture, data) <= wanted + 0.05


@pytest.mark.parametrize("channels", [1, 4])
def test_without_a_prior(channels):
    picture = textured(channels=channels)
    data = fieldpack.encode(picture, size=3000, effort=2)
    assert 0.96 * 3000 <= len(data) <= 3000


def test_a_size_is_not_met_at_the_price_of_quality():
    with Image.open(COFFEE) as image:
        picture = np.asarray(image.convert("RGB"))
    # With lambda alone, 6,735 bytes have 29.3 dB, and 9,211 bytes 30.6 dB.
    data = fieldpack.encode(picture, size=8000, effort=3)
    assert 0.96 * 8000 <= len(data) <= 8000
    assert quality(picture, data) > 29.3


@pytest.mark.parametrize("size", [300, 600])
@pytest.mark.parametrize("effort", [1, 2])
def test_smallest_sizes(size, effort):
    with Image.open(COFFEE) as image:
        picture = np.asarray(image.convert("RGB"))
    data = fieldpack.encode(picture, size=size, effort=effort)
    assert 0.96 * size <= len(data) <= size
    mean = np.broadcast_to(picture.mean((0, 1)), picture.shape)
    assert quality(picture, data) > psnr(picture, mean, 255) + 2


def test_files_to_a_goal_are_refined(monkeypatch):
    with Image.open(COFFEE) as image:
        picture = np.asarray(image.convert("RGB"))

    def size_for(wanted):
        data = fieldpack.encode(picture, psnr=wanted, effort=3)
        assert wanted <= quality(picture, data) <= wanted + 0.05
        return len(data)

    refined = size_for(31)
    monkeypatch.setattr(finishing, "_refined", lambda *_: {})
    assert refined < 0.99 * size_for(31)


def test_floating_point_samples():
    picture = textured().astype(np.float32) * np.float32(0.3) - 20
    data = fieldpack.encode(picture, psnr=28, effort=3)
    span = float(picture.max() - picture.min())
    assert 28 <= psnr(picture, fieldpack.decode(data), span) <= 28.05


@pytest.mark.parametrize(("effort", "is_shorter"), [(2, False), (3, True)])
def test_fits_to_a_goal_are_shorter_where_passes_are_worth_little(monkeypatch, effort, is_shorter):
    plans = []
    once = encoder.attempt
    monkeypatch.setattr(encoder, "attempt", lambda *a, **k: plans.append(a[2]) or once(*a, **k))
    fieldpack.encode(textured(270, 270), size=20_000, effort=effort)
    assert {plan.share < 1 for plan in plans} == {is_shorter}


def test_threads_do_not_matter():
    picture = textured()
    files = {fieldpack.encode(picture, size=2000, effort=2, threads=n) for n in (1, 2, 3)}
    assert len(files) == 1


@pytest.mark.parametrize("picture", [textured(), textured(1, 1), textured(7, 300)])
def test_what_is_too_small_for_a_picture_gives_the_nearest_file(picture):
    with pytest.warns(GoalMissedWarning, match="no file meets size 1"):
        data = fieldpack.encode(picture, size=1, effort=1)
    assert fieldpack.decode(data).shape == picture.shape
    assert len(data) < 400


def test_what_no_quality_needs_gives_the_nearest_file():
    picture = textured(40, 40)
    with pytest.warns(GoalMissedWarning, match="nearest, [0-9,]+ bytes"):
        data = fieldpack.encode(picture, size=10**9, effort=1)
    plain = fieldpack.encode(picture, lambda_=0.005, effort=1)
    assert quality(picture, data) > quality(picture, plain) + 2
    with pytest.warns(GoalMissedWarning, match="no file meets psnr 90"):
        fieldpack.encode(picture, psnr=90, effort=1)


def test_one_colour_meets_any_psnr():
    picture = np.full((30, 40, 3), 77, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = fieldpack.encode(picture, psnr=50)
    assert (fieldpack.decode(data) == picture).all()
    with pytest.warns(GoalMissedWarning):
        assert len(fieldpack.encode(picture, size=1000)) < 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 1000, "psnr": 30}, "size and psnr contradict each other"),
        ({"bpp": 0.0}, "bpp is a positive number"),
        ({"quality": 0.5}, "the quality is 1 to 100, not 0.5"),
        ({"quality": 101}, "the quality is 1 to 100"),
        ({"quality": float("nan")}, "quality is a positive number"),
        ({"quality": 50, "lambda_": 0.001}, "quality and lambda contradict"),
        ({"psnr": float("nan")}, "psnr is a positive number"),
        ({"size": -3}, "size is a positive number"),
        ({"lambda_": float("inf")}, "lambda is a positive number"),
    ],
)
def test_bad_goals(arguments, message):
    with pytest.raises(RequestError, match=message):
        fieldpack.encode(textured(8, 8), **arguments)


class FakeTrainer:
    """Rounded latents that come to the same whatever lambda is."""

    def bits(self, _):
        return [8000.0]

    def distortion(self, _):
        return 0.001


@pytest.mark.parametrize("passes", [22, 300, 6000])
@pytest.mark.parametrize(
    ("goal", "must_grow"),
    [
        (Goal(payload_bytes=(96, 98, 100)), True),
        (Goal(payload_bytes=(9600, 9800, 10000)), False),
        (Goal(psnr=(40, 40.02, 40.05), levels=255), False),
        (Goal(psnr=(20, 20.02, 20.05), levels=255), True),
    ],
)
def test_lambda_stays_in_bounds_and_goes_the_right_way(goal, must_grow, passes):
    control = RateControl(goal, 0.001, passes)
    seen = 0
    for step in range(passes):
        if control.is_due((step + 1) / passes):
            control.observe(FakeTrainer(), np.zeros(1, np.float32))
            seen += 1
            assert (control.lambda_ > 0.001) == must_grow
            assert (control.effective_lambda > 0.001) == must_grow
    assert seen == len(CHECKPOINTS)
    assert LEAST_LAMBDA <= control.lambda_ <= MOST_LAMBDA
    assert abs(math.log(control.effective_lambda / 0.001)) < abs(math.log(control.lambda_ / 0.001))


def test_first_lambda_falls_with_the_size():
    image = textured().astype(np.float32) / 255
    sizes = (200, 1000, 4000, 20_000)
    lambdas = [Forecast(image, image, size_goal(n), 80).first_lambda() for n in sizes]
    assert lambdas == sorted(lambdas, reverse=True)
    assert lambdas[0] > 10 * lambdas[-1]


def size_goal(size):
    return Goal(payload_bytes=(0.96 * size, 0.98 * size, size))


def test_a_forecast_learns_from_a_trial():
    image = textured().astype(np.float32) / 255
    for goal, wrong_way in ((size_goal(2000), 1), (Goal(psnr=(30, 30.02, 30.05)), -1)):
        forecast = Forecast(image, image, goal, 80)
        usual = forecast.first_lambda()
        forecast.learn(0.001, bits=20.0, distortion=1.0)
        dear = forecast.first_lambda()
        forecast.learn(0.001, bits=1e-3, distortion=1e-7)
        cheap = forecast.first_lambda()
        assert (dear / usual) ** wrong_way > 1.5
        assert (cheap / usual) ** wrong_way < 0.7


def test_more_quality_means_more_bytes_and_a_higher_psnr():
    picture = textured()
    files = [fieldpack.encode(picture, quality=q, effort=1) for q in (1, 10, 30, 50, 70, 85, 95)]
    sizes = [len(file) for file in files]
    assert sizes == sorted(set(sizes))
    psnrs = [quality(picture, file) for file in files]
    assert psnrs == sorted(psnrs)


def test_every_step_of_quality_lowers_lambda():
    lambdas = [lambda_of_quality(q) for q in range(1, 101)]
    assert lambdas == sorted(set(lambdas), reverse=True)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["fieldpack", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def test_command(tmp_path, monkeypatch, capsys):
    source, target = tmp_path / "a.png", tmp_path / "a.fpk"
    Image.fromarray(textured()).save(source)
    arguments = ("encode", source, "-o", target, "--effort", 1)
    assert run(monkeypatch, *arguments, "--size", "1.5k", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert target.stat().st_size == report["bytes"] <= 1500
    assert report["warning"] is None
    assert report["lambda"] > 0

    assert run(monkeypatch, *arguments, "--psnr", 99, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert "no file meets psnr 99" in report["warning"]
    assert run(monkeypatch, *arguments, "--psnr", 99) == 0
    error = capsys.readouterr().err
    assert error.startswith("fieldpack: warning: no file meets psnr 99")
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["", "12q", "-4", "k", "1e3", "0", "0.0001"])
def test_bad_sizes_are_usage_errors(tmp_path, monkeypatch, capsys, text):
    source = tmp_path / "a.png"
    Image.fromarray(textured(8, 8)).save(source)
    assert run(monkeypatch, "encode", source, f"--size={text}") == 2
    assert "number of bytes" in capsys.readouterr().err
    assert not (tmp_path / "a.fpk").exists()
