"""Compression from a picture to a file and back, and its command."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import smooth_samples
from PIL import Image

import fieldpack
from fieldpack import RequestError, SignalError, cli, encoding
from fieldpack.codec import attempt
from fieldpack.codec.effort import PASSES_OF_FEW_PIXELS
from fieldpack.codec.prior import near_networks
from fieldpack.metrics import psnr


def test_a_smooth_picture_is_compressed():
    samples = smooth_samples(64, 96)
    data = fieldpack.encode(samples, effort=3, threads=1)
    decoded = fieldpack.decode(data)
    assert decoded.shape == samples.shape
    assert psnr(decoded, samples, 255) > 30
    assert len(data) < samples.size / 5


def test_more_lambda_means_fewer_bytes_and_less_quality():
    samples = smooth_samples(64, 96)
    samples = samples + np.random.default_rng(0).integers(0, 20, samples.shape).astype(np.uint8)
    files = [fieldpack.encode(samples, effort=2, lambda_=x, threads=1) for x in (1e-4, 1e-2)]
    assert len(files[0]) > len(files[1])
    quality = [psnr(fieldpack.decode(file), samples, 255) for file in files]
    assert quality[0] > quality[1]


def test_more_effort_is_better():
    samples = smooth_samples(64, 96)

    def loss(effort):
        data = fieldpack.encode(samples, effort=effort, threads=1)
        error = np.mean(np.square((fieldpack.decode(data).astype(float) - samples) / 255))
        return error + 1e-3 * 8 * len(data) / (64 * 96)

    assert loss(3) < loss(1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to be kept to a core")
def test_by_default_there_are_as_many_threads_as_the_process_may_have_cores(monkeypatch):
    cores = os.sched_getaffinity(0)
    seen = []
    monkeypatch.setattr(
        encoding, "encode_pyramid", lambda *_, threads, **__: seen.append(threads) or 1 / 0
    )
    try:
        os.sched_setaffinity(0, {min(cores)})
        with pytest.raises(ZeroDivisionError):
            fieldpack.encode(smooth_samples(8, 8))
    finally:
        os.sched_setaffinity(0, cores)
    assert seen == [1]


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_and_runs_give_the_same_bytes(threads):
    samples = smooth_samples(50, 300)
    first = fieldpack.encode(samples, effort=1, threads=1)
    assert fieldpack.encode(samples, effort=1, threads=threads) == first


def test_the_seed_decides():
    samples = smooth_samples(20, 30)
    assert fieldpack.encode(samples, effort=1, seed=1) != fieldpack.encode(samples, effort=1)


@pytest.mark.parametrize(
    ("size", "channels", "dtype"),
    [
        ((1, 1), 3, np.uint8),
        ((1, 2), 1, np.uint8),
        ((1, 500), 1, np.uint8),
        ((40, 1), 3, np.uint8),
        ((3, 7), 3, np.uint8),
        ((17, 100), 4, np.uint8),
        ((17, 1000), 3, np.uint8),
        ((9, 8), 2, np.uint8),
        ((12, 13), 3, np.uint16),
        ((12, 13), 1, np.bool_),
        ((12, 13), 3, np.float32),
    ],
)
@pytest.mark.parametrize("lambda_", [1e-6, 2e-3, 2e-2])
def test_every_size_mode_and_depth(size, channels, dtype, lambda_):
    if dtype == np.bool_:
        samples = smooth_samples(*size, channels) > 127
    elif dtype == np.float32:
        samples = smooth_samples(*size, channels, 5, np.float32) - 2
    else:
        samples = smooth_samples(*size, channels, np.iinfo(dtype).max, dtype)
    if channels == 1:
        samples = samples[:, :, 0]
    decoded = fieldpack.decode(fieldpack.encode(samples, effort=1, lambda_=lambda_))
    assert decoded.shape == samples.shape
    assert decoded.dtype == samples.dtype


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 200, 77)])
def test_one_colour_takes_under_64_bytes(colour):
    samples = np.full((300, 400, 3), colour, np.uint8)
    data = fieldpack.encode(samples)
    assert len(data) < 64
    np.testing.assert_array_equal(fieldpack.decode(data), samples)
    half = fieldpack.decode(data, scale=0.5)
    np.testing.assert_array_equal(half, samples[:150, :200])


@pytest.mark.parametrize("lambda_", [1e-7, 1e-3])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_does_not_blow_up(channels, lambda_):
    samples = np.random.default_rng(0).integers(0, 256, (64, 80, channels)).astype(np.uint8)
    assert len(fieldpack.encode(samples, effort=2, lambda_=lambda_)) <= 1.1 * samples.size


@pytest.mark.parametrize("channels", [3, 4])
def test_only_a_priors_networks_are_tried_in_several_ways(monkeypatch, channels):
    seen = []
    once = attempt.fit
    monkeypatch.setattr(attempt, "fit", lambda *a, **k: seen.append(a) or once(*a, **k))
    samples = np.random.default_rng(0).integers(0, 256, (24, 32, channels), np.uint8)
    states = []
    fieldpack.encode(samples, effort=2, lambda_=0.001, callback=states.append)
    # There are none for four channels. Each of the sets is tried, then three of them as they move,
    # then one of these as it stays, then the best once more for longer.
    assert len(seen) == (len(near_networks(0.001, 3, 24 * 32)) + 5 if channels == 3 else 1)
    # They are told as one.
    steps = [state.step for state in states]
    assert steps == sorted(steps)
    assert {state.passes for state in states} == {steps[-1] + 1}


def test_values_between_pixels():
    samples = smooth_samples(32, 48)
    field = fieldpack.open(fieldpack.encode(samples, effort=1))
    x, y = (2 * np.arange(48) + 1) / 48 - 1, (2 * np.arange(32) + 1) / 32 - 1
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    values = field(points).reshape(32, 48, 3)
    rounded = np.clip(np.floor(values + np.float32(0.5)), 0, 255)
    np.testing.assert_array_equal(rounded, fieldpack.decode(field))
    whole = fieldpack.decode(field)
    part = fieldpack.decode(field, region=(7, 5, 20, 11))
    np.testing.assert_array_equal(part, whole[5:16, 7:27])


def test_an_enlarged_picture_has_the_same_means():
    samples = smooth_samples(32, 48)
    field = fieldpack.open(fieldpack.encode(samples, effort=1))
    whole = fieldpack.decode(field).astype(float)
    for scale in (2, 3):
        large = fieldpack.decode(field, scale=scale).astype(float)
        means = large.reshape(32, scale, 48, scale, 3).mean(axis=(1, 3))
        inside = (slice(3, -3), slice(3, -3))
        assert np.abs(means[inside] - whole[inside]).max() < 1.5
        # Interpolation alone blurs: its means differ by more.
        assert np.abs(means - whole)[inside].mean() < 0.4
    # A part is drawn as the whole is, and each axis on its own.
    part = fieldpack.decode(field, region=(20, 5, 20, 11), scale=2)
    np.testing.assert_array_equal(part, fieldpack.decode(field, scale=2)[10:32, 40:80])
    wide = fieldpack.decode(field, size=(96, 32)).astype(float)
    assert np.abs(wide.reshape(32, 48, 2, 3).mean(axis=2) - whole)[:, 3:-3].max() < 1.5


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"effort": 0}, RequestError),
        ({"effort": 10}, RequestError),
        ({"lambda_": 0.0}, RequestError),
        ({"lambda_": float("nan")}, RequestError),
        ({"picture": "missing.png"}, SignalError),
        ({"picture": np.zeros((4, 4), np.int32)}, SignalError),
    ],
)
def test_bad_requests(arguments, error):
    with pytest.raises(error):
        fieldpack.encode(**{"picture": np.zeros((4, 4), np.uint8), **arguments})


def test_command(tmp_path, monkeypatch, capsys):
    source, target = tmp_path / "a.png", tmp_path / "a.fpk"
    Image.fromarray(smooth_samples(20, 30)).save(source)
    command = ["fieldpack", "encode", str(source), "--effort", "1", "--lambda", "0.001", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (0, "")
    report = json.loads(out)
    assert report["bytes"] == target.stat().st_size
    assert (report["width"], report["height"], report["channels"]) == (30, 20, 3)
    assert (report["effort"], report["lambda"], report["steps"]) == (
        1,
        0.001,
        PASSES_OF_FEW_PIXELS[1],
    )
    decoded = fieldpack.decode(target)
    assert report["psnr"] == pytest.approx(psnr(decoded, smooth_samples(20, 30), 255))


@pytest.mark.parametrize("size", [(64, 96), (45, 77)])
@pytest.mark.parametrize("skipped", [1, 2, 6])
def test_preview_is_a_small_version_of_the_picture(size, skipped):
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32) / 64
    image = np.stack([0.5 + 0.4 * np.sin(3 * x), 0.5 + 0.3 * np.cos(4 * y), 0.5 + 0.2 * x * y], -1)
    image = np.clip(255 * image + 0.5, 0, 255).astype(np.uint8)
    data = fieldpack.encode(image, effort=3)
    small = fieldpack.preview(data, skipped_grids=skipped)
    grids = fieldpack.open(data).info["pyramid"]["grids"]
    dropped = min(skipped, len(grids) - 1)
    step = 1 << dropped
    assert small.shape == (-(-size[0] // step), -(-size[1] // step), 3)
    field = fieldpack.open(data, skipped_grids=skipped)
    assert len(field.info["pyramid"]["grids"]) == len(grids) - dropped
    np.testing.assert_array_equal(field.picture(size=small.shape[1::-1]).samples, small)
    assert field.picture().samples.shape == image.shape
    if skipped == 1:
        # Paler or not, which depends on how the fit went: the same picture.
        shrunk = fieldpack.decode(data, size=small.shape[1::-1])
        assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.95


def test_a_network_has_no_preview(tmp_path):
    field = fieldpack.fit(np.full((4, 4, 3), 9, np.uint8), steps=2)
    with pytest.raises(fieldpack.RequestError, match="network"):
        fieldpack.preview(field.to_bytes())
    with pytest.raises(fieldpack.RequestError, match="not negative"):
        fieldpack.open(field.to_bytes(), skipped_grids=-1)


def test_ctrl_c_ends_encoding_with_one_line(tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "a.fpk"
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    Image.fromarray(noise).save(source)
    # Standard error tells when the first pass is done; the passes of effort 9 take minutes.
    program = (
        "import sys, fieldpack.cli as cli, fieldpack.encoding as encoding\n"
        "encode = encoding.encode_pyramid\n"
        "def announce(*args, callback, **named):\n"
        "    def seen(state):\n"
        "        callback(state)\n"
        "        print('pass', file=sys.stderr, flush=True)\n"
        "    return encode(*args, callback=seen, **named)\n"
        "encoding.encode_pyramid = announce\n"
        "cli.main()\n"
    )
    command = [sys.executable, "-c", program, "encode", source, "-o", target, "--effort", "9"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "pass\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line for line in errors.splitlines() if line != "pass"] == ["fieldpack: interrupted"]
    assert not target.exists()


def test_a_prior_saves_bytes_and_passes():
    samples = smooth_samples(64, 96)
    samples = samples + np.random.default_rng(0).integers(0, 9, samples.shape).astype(np.uint8)

    def loss(data):
        error = np.mean(np.square((fieldpack.decode(data).astype(float) - samples) / 255))
        return error + 1e-3 * 8 * len(data) / (64 * 96)

    with_prior = fieldpack.encode(samples, effort=1)
    without = fieldpack.encode(samples, effort=1, use_prior=False)
    assert fieldpack.open(with_prior).info["pyramid"]["prior"] == 1
    assert fieldpack.open(without).info["pyramid"]["prior"] is None
    assert loss(with_prior) < loss(without)


def test_command_without_a_prior(tmp_path, monkeypatch):
    source, target = tmp_path / "a.png", tmp_path / "a.fpk"
    Image.fromarray(smooth_samples(20, 30)).save(source)
    command = ["fieldpack", "encode", str(source), "--effort", "1", "--prior", "none"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert fieldpack.open(target).info["pyramid"]["prior"] is None
