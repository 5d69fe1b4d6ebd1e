"""The networks of the literature: their formulas, their programs, their files."""

import math

import numpy as np
import pytest
from conftest import smooth_samples
from format_comparison import assert_draws_as_reference

import fieldpack
from fieldpack.errors import RequestError
from fieldpack.program import Evaluator

torch = pytest.importorskip("torch")

from fieldpack import networks  # noqa: E402

POSITIONS = (12, 9, 7)
MAKERS = {
    "siren": lambda p, **o: networks.Siren(p, 2, width=20, layers=2, **o),
    "finer": lambda p, **o: networks.Finer(p, 2, width=20, layers=2, **o),
    "wire": lambda p, **o: networks.Wire(p, 2, width=10, omega=5.0, scale=5.0, **o),
    "gabor": lambda p, **o: networks.MultiplicativeNetwork(p, 2, width=20, scale=20.0, **o),
    "multiplicative-fourier": lambda p, **o: networks.MultiplicativeNetwork(
        p, 2, width=20, scale=20.0, filters="fourier", **o
    ),
    "hashgrid": lambda p, **o: networks.HashGridNetwork(p, 2, entries=60, **o),
    "gaussian": lambda p, **o: networks.FourierNetwork(p, 2, width=20, features=9, **o),
    "positional": lambda p, **o: networks.FourierNetwork(
        p, 2, width=20, features=5, encoding="positional", **o
    ),
    "basic": lambda p, **o: networks.FourierNetwork(p, 2, width=20, encoding="basic", **o),
    "relu": lambda p, **o: networks.FourierNetwork(p, 2, width=20, encoding="none", **o),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny matrices gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(name, axes=2, **options):
    """A network whose every weight matters."""
    network = MAKERS[name](POSITIONS[:axes], **options)
    if name == "hashgrid":
        with torch.no_grad():
            for level in network.levels:
                level.table.mul_(1e4)
    return network


def points_and_coordinates(axes, count=60, seed=0):
    points = np.random.default_rng(seed).uniform(-1, 1, (count, axes))
    return points, torch.from_numpy(points).unbind(1)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_program_gives_the_values_of_the_network(name, axes):
    network = made(name, axes)
    points, coordinates = points_and_coordinates(axes)
    values = network(*coordinates).detach().numpy()
    assert values.shape == (60, 2)
    assert values.dtype == np.float32
    assert values.std() > 0.002
    evaluator = Evaluator(network.export())
    np.testing.assert_allclose(evaluator.points(points), values, atol=2e-5)
    lines = [(2 * np.arange(n) + 1) / n - 1 for n in POSITIONS[:axes]]
    np.testing.assert_allclose(evaluator.grid(lines), networks.render(network), atol=2e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_the_seed_gives_the_weights_and_no_random_state_changes(name):
    _, coordinates = points_and_coordinates(2)
    before = torch.get_rng_state()
    first, again, other = (made(name, seed=seed)(*coordinates) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_siren_keeps_the_spread_of_its_activations():
    network = networks.Siren((64, 64), 3, width=256, layers=4)
    _, coordinates = points_and_coordinates(2, 2000)
    value = network.first(*coordinates)
    for layer in network.hidden:
        value = layer(torch.sin(30 * value))
        assert 0.9 < (30 * (value - layer.bias)).std().item() < 1.1


def test_siren_is_its_formula():
    network = networks.Siren((8, 8), 1, width=5, layers=1, first_omega=7.0, omega=3.0)
    points, coordinates = points_and_coordinates(2)
    first, hidden, output = network.first, network.hidden[0], network.output
    value = np.sin(7 * (points @ array(first.weight).T + array(first.bias)))
    value = np.sin(3 * (value @ array(hidden.weight).T + array(hidden.bias)))
    expected = 0.5 + 0.5 * (value @ array(output.weight).T + array(output.bias))
    np.testing.assert_allclose(network(*coordinates).detach().numpy(), expected, atol=1e-5)


def test_finer_is_its_formula():
    network = networks.Finer((8, 8), 1, width=5, layers=0, first_omega=7.0, bias=2.0)
    points, coordinates = points_and_coordinates(2)
    z = points @ array(network.first.weight).T + array(network.first.bias)
    assert np.abs(array(network.first.bias)).max() > 1
    value = np.sin(7 * (np.abs(z) + 1) * z)
    expected = 0.5 + 0.5 * (value @ array(network.output.weight).T + array(network.output.bias))
    np.testing.assert_allclose(network(*coordinates).detach().numpy(), expected, atol=1e-5)


def test_wire_is_its_formula():
    network = networks.Wire((8, 8), 1, width=5, layers=1, omega=4.0, scale=3.0, first_omega=6.0)
    points, coordinates = points_and_coordinates(2)

    def wavelet(z, omega):
        return np.exp(1j * omega * z - np.square(np.abs(3 * z)))

    hidden = network.hidden[0]
    weight, bias = array(hidden.weight), array(hidden.bias)
    value = wavelet(points @ array(network.first.weight).T + array(network.first.bias), 6)
    value = value @ (weight[:, :5] + 1j * weight[:, 5:]).T + bias[:5] + 1j * bias[5:]
    value = wavelet(value, 4)
    output = array(network.output.weight)
    # The real part of the product with complex weights.
    real = (value @ (output[:, :5] - 1j * output[:, 5:]).T).real + array(network.output.bias)
    np.testing.assert_allclose(network(*coordinates).detach().numpy(), 0.5 + 0.5 * real, atol=1e-5)


def test_gabor_filters_are_their_formula():
    network = networks.MultiplicativeNetwork((8, 4), 1, width=6, layers=1, scale=9.0)
    points, coordinates = points_and_coordinates(2)
    x = points * [1.0, 0.5]  # one scale for both axes

    def filtered(filters):
        distance = np.square(x[:, None] - array(filters.centre)).sum(axis=-1)
        waves = np.sin(x @ array(filters.waves.weight).T + array(filters.waves.bias))
        return waves * np.exp(-np.square(array(filters.sharpness)) * distance)

    first, second = network.filters
    hidden, output = network.hidden[0], network.output
    value = filtered(first) @ array(hidden.weight).T + array(hidden.bias)
    value = (value * filtered(second)) @ array(output.weight).T + array(output.bias)
    np.testing.assert_allclose(network(*coordinates).detach().numpy(), 0.5 + 0.5 * value, atol=1e-5)


@pytest.mark.parametrize(
    ("encoding", "waves"),
    [
        ("positional", [[1, 0], [4, 0], [0, 1], [0, 4]]),
        ("basic", [[1, 0], [0, 1]]),
    ],
)
def test_fourier_features_are_waves_over_the_longest_axis(encoding, waves):
    network = networks.FourierNetwork((8, 4), 1, encoding=encoding, scale=16.0, features=2)
    points, coordinates = points_and_coordinates(2)
    phase = network.frequencies(*coordinates).numpy()
    expected = 2 * np.pi * (points * [0.5, 0.25]) @ np.array(waves, float).T
    np.testing.assert_allclose(phase, expected, atol=1e-5)
    assert not network.frequencies.weight.requires_grad


def test_gaussian_features_have_their_deviation():
    network = networks.FourierNetwork((8, 8), 1, scale=7.0, features=4000)
    assert array(network.frequencies.weight).std() == pytest.approx(7 * math.pi, rel=0.05)


def test_hash_level_interpolates_linearly_between_its_corners():
    level = networks.hashgrid.HashLevel(2, 3, 100, 1)
    assert level.table.shape == (16, 1)
    with torch.no_grad():
        level.table.copy_(torch.arange(16.0)[:, None])
    points = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [0.0, -1.0], [-1.0, 0.0]])
    # Entry x + 4 y at corner (x, y): the function 1.5 (x + 1) + 6 (y + 1).
    expected = 1.5 * (points[:, 0] + 1) + 6 * (points[:, 1] + 1)
    assert torch.allclose(level(points)[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("siren", {"width": 16, "layers": 1}),
        ("finer", {"width": 16, "layers": 1}),
        ("wire", {"width": 8, "layers": 1}),
        ("fourier", {"width": 16, "layers": 1, "features": 8}),
        ("multiplicative", {"width": 16, "layers": 1}),
        ("multiplicative", {"width": 16, "layers": 1, "filters": "fourier"}),
        ("hashgrid", {"width": 8, "layers": 1, "entries": 64, "levels": 3}),
    ],
)
def test_files_are_drawn_as_the_format_says(name, settings):
    samples = smooth_samples(9, 12)
    field = fieldpack.fit(samples, network=name, settings=settings, steps=30, batch=64)
    assert_draws_as_reference(field.to_bytes())
    assert field.report.network == name
    assert field.report.settings.items() >= settings.items()
    decoded = fieldpack.decode(field.to_bytes(), scale=2)
    assert decoded.shape == (18, 24, 3)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("siren", {"width": 0}),
        ("siren", {"colour": 3}),
        ("siren", {"width": "wide"}),
        ("siren", {"width": 10**12}),
        ("fourier", {"encoding": "magic"}),
        ("multiplicative", {"filters": "magic"}),
        ("hashgrid", {"levels": 0}),
        ("auto", {"width": 10}),
    ],
)
def test_wrong_settings(name, settings):
    with pytest.raises(RequestError):
        fieldpack.fit(np.zeros((4, 4), np.uint8), network=name, settings=settings, steps=1)


def test_hash_grids_have_at_most_four_axes():
    with pytest.raises(RequestError, match="4 axes"):
        networks.HashGridNetwork((2, 2, 2, 2, 2), 1)


def array(tensor):
    return tensor.detach().double().numpy()
