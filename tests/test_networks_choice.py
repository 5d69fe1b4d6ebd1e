"""Settings of networks from the data, `auto`, and fits of signals of any dimension."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from conftest import smooth_samples
from PIL import Image

import fieldpack
from fieldpack.errors import RequestError
from fieldpack.metrics import psnr

torch = pytest.importorskip("torch")

from fieldpack import networks  # noqa: E402


@pytest.fixture(autouse=True)
def small_trials(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # Trials of small pictures need no more points a step than these have.
    monkeypatch.setattr(networks.choosing, "_TRIAL_BATCH", 128)
    candidates = (("siren", 1.0), ("siren", 0.5), ("finer", 1.0), ("fourier", 1.0))
    monkeypatch.setattr(networks.choosing, "_CANDIDATES", candidates)
    yield
    torch.set_num_threads(before)


# How fast samples vary


@pytest.mark.parametrize("waves", [3, 40, 90])
def test_frequency_of_a_tone_is_found(waves):
    x = networks.axis_coordinates(400).numpy()
    tone = np.sin(math.pi * waves * x)[:, None]
    grid = networks.GridSamples(tone)
    assert networks.typical_frequency(grid, (400,)) == pytest.approx(math.pi * waves, rel=0.02)
    scattered = networks.ScatteredSamples(x[:, None], tone)
    found = networks.typical_frequency(scattered, (400,))
    assert found == pytest.approx(math.pi * waves, rel=0.1)


def test_frequency_is_that_of_the_fastest_axis_in_units_of_the_longest():
    x, y = networks.axis_coordinates(300).numpy(), networks.axis_coordinates(100).numpy()
    wave = np.sin(20 * x)[None, :] + np.sin(9 * y)[:, None]  # y: 27 by the unit of x
    found = networks.typical_frequency(networks.GridSamples(wave[..., None]), (300, 100))
    assert 18 < found < 27


def test_frequency_of_a_large_picture_is_that_of_a_part(monkeypatch):
    y, x = np.mgrid[0:60, 0:90]
    samples = networks.GridSamples(np.sin(0.5 * x + 0.2 * y)[..., None])
    whole = networks.typical_frequency(samples, (90, 60))
    monkeypatch.setattr(networks.spectrum, "_MOST_VALUES", 500)
    assert networks.typical_frequency(samples, (90, 60)) == pytest.approx(whole, rel=0.1)


def test_frequencies_of_noise_and_of_constants_are_finite():
    noise = np.random.default_rng(0).normal(size=(50, 50, 1))
    found = networks.typical_frequency(networks.GridSamples(noise), (50, 50))
    assert found == pytest.approx(math.pi / 2 / (2 / 50), rel=0.1)
    assert networks.typical_frequency(networks.GridSamples(np.ones((5, 5, 3))), (5, 5)) == 1.0
    one = networks.ScatteredSamples([[0.0]], [[1.0]])
    assert networks.typical_frequency(one, (1,)) == 1.0
    same = networks.ScatteredSamples(np.zeros((9, 1)), np.arange(9.0)[:, None])
    assert networks.typical_frequency(same, (1,)) == 1.0


@pytest.mark.parametrize("name", networks.NETWORKS)
@pytest.mark.parametrize("positions", [(1,), (300,), (40, 30), (8, 8, 8)])
def test_every_network_suits_every_shape(name, positions):
    samples = networks.GridSamples(np.random.default_rng(0).random((*positions[::-1], 2)))
    choice = networks.suited(name, samples, positions)
    network = choice.build(positions, 2, seed=0)
    values = networks.render(network)
    assert values.shape == (*positions[::-1], 2)
    assert np.isfinite(values).all()


def test_faster_signals_get_higher_frequencies():
    x = networks.axis_coordinates(500).numpy()
    slow, fast = (
        networks.suited("siren", networks.GridSamples(np.sin(f * x)[:, None]), (500,))
        for f in (10, 200)
    )
    assert fast.settings["first_omega"] > 10 * slow.settings["first_omega"]


@pytest.mark.parametrize(("name", "knee"), [("siren", 45), ("finer", 22)])
def test_high_frequencies_of_pictures_count_less(name, knee):
    noise = np.random.default_rng(0).random((1, 200, 3))
    line, picture = networks.GridSamples(noise[0]), networks.GridSamples(noise.repeat(200, 0))
    typical = networks.typical_frequency(picture, (200, 200)) * math.sqrt(2)
    assert typical > 2 * knee

    def omega(samples, positions, detail=1.0):
        choice = networks.suited(name, samples, positions, detail=detail)
        return choice.settings["first_omega"]

    assert knee < omega(picture, (200, 200)) < 0.8 * typical
    assert omega(picture, (200, 200), 0.5) == pytest.approx(0.5 * omega(picture, (200, 200)))
    assert omega(line, (200,)) == networks.typical_frequency(line, (200,))


# Auto


def test_choice_depends_on_the_data_alone():
    samples = networks.GridSamples(smooth_samples(24, 24) / 255)
    first, trials = networks.choose(samples, (24, 24), steps=30)
    torch.manual_seed(5)
    again, _ = networks.choose(samples, (24, 24), steps=30)
    assert first == again
    longest = max(trial.steps for trial in trials)
    finalists = [trial for trial in trials if trial.steps == longest]
    assert 1 < len(finalists) < len(trials)
    best = max(trial.psnr for trial in finalists)
    chosen = next(trial for trial in finalists if trial.choice == first)
    assert chosen.psnr >= best - 0.5
    for trial in finalists:
        assert trial.psnr < best - 0.5 or trial.psnr_known <= chosen.psnr_known
    assert all(math.isfinite(trial.psnr) for trial in trials)


def test_trials_report_progress_and_can_be_stopped():
    samples = networks.GridSamples(smooth_samples(16, 16) / 255)
    seen = []

    def progress(done):
        seen.append(done)
        return done < 0.2

    choice, trials = networks.choose(samples, (16, 16), steps=30, progress=progress)
    assert len({trial.steps for trial in trials}) == 1
    assert seen == sorted(seen)
    assert choice in [trial.choice for trial in trials]


def test_few_samples_get_a_siren_without_trials():
    samples = networks.GridSamples(np.ones((3, 3, 1)))
    choice, trials = networks.choose(samples, (3, 3), steps=30)
    assert (choice.network, trials) == ("siren", [])


def test_no_seed_of_auto_collapses():
    samples = smooth_samples(24, 30)
    found = [
        psnr(
            fieldpack.decode(fieldpack.fit(samples, network="auto", steps=60, seed=s)), samples, 255
        )
        for s in range(2)
    ]
    assert min(found) > 30


def test_auto_is_bounded_by_time():
    report = fieldpack.fit(smooth_samples(24, 30), network="auto", seconds=1.0).report
    assert report.stopped == "seconds"
    assert report.seconds < 3


def test_on_trial_is_told_and_can_stop():
    seen = []

    def on_trial(done):
        seen.append(done)
        return False

    field = fieldpack.fit(smooth_samples(9, 9), network="auto", steps=2, on_trial=on_trial)
    assert len(seen) == 1
    assert field.report.network == "siren"


def test_a_candidate_that_diverges_is_not_chosen(monkeypatch):
    real = networks.choosing.suited

    def suited(name, *arguments, **options):
        choice = real(name, *arguments, **options)
        broken = {"first_omega": math.inf} if name == "siren" else {}
        return choice.with_settings(broken)

    monkeypatch.setattr(networks.choosing, "suited", suited)
    samples = networks.GridSamples(smooth_samples(12, 12) / 255)
    choice, trials = networks.choose(samples, (12, 12), steps=30)
    assert choice.network != "siren"
    assert any(trial.psnr == -math.inf for trial in trials)


def test_auto_has_no_hash_grid_of_five_axes(monkeypatch):
    candidates = (("fourier", 1.0), ("hashgrid", 1.0))
    monkeypatch.setattr(networks.choosing, "_CANDIDATES", candidates)
    points = np.random.default_rng(0).uniform(-1, 1, (70, 5))
    samples = networks.ScatteredSamples(points, points[:, :1])
    _, trials = networks.choose(samples, (3,) * 5, steps=30)
    assert {trial.choice.network for trial in trials} == {"fourier"}


# Signals of any dimension


def test_sound_is_fitted_saved_and_resampled(tmp_path):
    t = np.arange(600) / 600
    tone = 100 * np.sin(2 * np.pi * 30 * t) * np.exp(-t)
    field = fieldpack.fit(t, tone, network="siren", steps=200, batch=300)
    field.save(tmp_path / "tone.fpk")
    returned = fieldpack.open(tmp_path / "tone.fpk")
    assert returned.shape == (600, 1)
    between = t[:-1] + 1 / 1200
    expected = 100 * np.sin(2 * np.pi * 30 * between) * np.exp(-between)
    error = returned(between[:, None])[:, 0] - expected
    assert np.sqrt(np.mean(np.square(error))) < 0.1 * tone.std()
    assert returned.grid((1200,)).shape == (1200, 1)


@pytest.mark.parametrize(("name", "most"), [("siren", 0.12), ("hashgrid", 0.4)])
def test_volume_is_fitted_and_evaluated_elsewhere(name, most):
    axis = np.linspace(0, 1, 10)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)

    def values(p):
        return np.sin(3 * p[:, 0]) * p[:, 1] + p[:, 2] ** 2

    field = fieldpack.fit(points, values(points), network=name, steps=150, batch=500)
    returned = fieldpack.open(field.to_bytes())
    assert returned.shape == (10, 10, 10, 1)
    others = np.random.default_rng(0).uniform(0.05, 0.95, (200, 3))
    error = returned(others)[:, 0] - values(others)
    assert np.sqrt(np.mean(np.square(error))) < most * values(points).std()


@pytest.mark.parametrize("shape", [(90, 1), (9, 11, 2), (5, 6, 7, 1), (2, 3, 2, 3, 1)])
def test_grids_of_any_dimension_need_no_coordinates(shape):
    axes = [(2 * np.arange(n) + 1) / n - 1 for n in shape[:-1]]
    ramp = sum(np.meshgrid(*axes, indexing="ij"))
    values = 1000 * np.stack([ramp] * shape[-1], axis=-1)
    field = fieldpack.fit(None, values, network="siren", steps=60, batch=100)
    returned = fieldpack.open(field.to_bytes())
    assert returned.shape == shape
    assert np.abs(returned.grid() - values).mean() < 0.05 * np.ptp(values)
    doubled = tuple(2 * n for n in shape[:-1])
    assert returned.grid(doubled).shape == (*doubled, shape[-1])


@pytest.mark.parametrize("values", [[1.0, 2.0], np.zeros((0, 1)), np.full((3, 1), np.nan), "a", 3])
def test_wrong_grids(values):
    with pytest.raises(RequestError):
        fieldpack.fit(None, values, network="siren", steps=1)


def test_nothing_at_all_is_refused():
    with pytest.raises(fieldpack.FieldpackError):
        fieldpack.fit(None, steps=1)


@pytest.mark.parametrize("name", [*networks.NETWORKS, "auto"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 2, 4)])
def test_tiny_pictures(name, shape):
    samples = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    decoded = fieldpack.decode(fieldpack.fit(samples, network=name, steps=2, batch=4))
    assert decoded.shape == shape


def test_frequencies_of_the_first_layer_lower_its_rate():
    network = networks.Siren((9,), 1, width=16, layers=1, first_omega=300.0)
    _, adam = networks.DEFAULT.optimizers(network, 0.5)
    factors = {group["factor"]: len(group["params"]) for group in adam.param_groups}
    assert factors == {0.1: 2, 1.0: 3}


def test_command_line(tmp_path):
    Image.fromarray(smooth_samples(12, 15)).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "fieldpack", "fit", "a.png", "--steps", "3", "--batch", "32"]
    outcome = subprocess.run(
        [*command, "--network", "finer", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(outcome.stdout)
    assert report["network"] == "finer"
    assert report["settings"]["width"] >= 1
    assert fieldpack.decode(tmp_path / "a.fpk").shape == (12, 15, 3)


def test_unknown_network_names_the_known_ones():
    with pytest.raises(RequestError, match="hashgrid, auto"):
        fieldpack.fit(np.zeros((4, 4), np.uint8), network="oracle")
