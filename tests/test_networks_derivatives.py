"""Derivatives of networks by their coordinates, and training on them."""

import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import smooth_samples
from PIL import Image

from fieldpack.errors import RequestError

torch = pytest.importorskip("torch")

from fieldpack import networks  # noqa: E402

SMOOTH = {
    "siren": lambda p: networks.Siren(p, 2, width=16, first_omega=5.0, omega=5.0).double(),
    "finer": lambda p: networks.Finer(p, 2, width=16, first_omega=5.0, omega=3.0).double(),
    "wire": lambda p: networks.Wire(p, 2, width=8, omega=3.0, scale=2.0).double(),
    "gabor": lambda p: networks.MultiplicativeNetwork(p, 2, width=16, scale=10.0).double(),
    "gated": lambda p: networks.GatedNetwork(p, 2, width=16).double().eval(),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stencil(network, points, axis, h):
    """Values (N, C) half a step before, at, and after points (N, d), h positions apart."""
    step = np.zeros(points.shape[1])
    step[axis] = 2 * h / network.positions[axis]
    with torch.no_grad():
        return [network(*torch.from_numpy(points + k * step).unbind(1)).numpy() for k in (-1, 0, 1)]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_are_those_of_finite_differences(name, axes):
    network = SMOOTH[name]((11, 7, 5)[:axes])
    points = np.random.default_rng(axes).uniform(-0.9, 0.9, (25, axes))
    coordinates = torch.from_numpy(points).unbind(1)
    gradient = networks.gradients(network, coordinates).detach().numpy()
    laplacian = networks.laplacians(network, coordinates).detach().numpy()
    assert gradient.shape == (25, 2, axes)
    assert laplacian.shape == (25, 2)
    h, curvature = 1e-3, 0.0
    for axis in range(axes):
        before, at, after = stencil(network, points, axis, h)
        slope = (after - before) / (2 * h)
        np.testing.assert_allclose(gradient[:, :, axis], slope, atol=1e-3 * np.abs(slope).max())
        curvature = curvature + (after - 2 * at + before) / h**2
    # FINER's second derivatives jump where a unit changes its sign.
    close = np.isclose(laplacian, curvature, atol=1e-3 * np.abs(curvature).max())
    assert close.mean() > 0.9 if name == "finer" else close.all()


def test_coordinates_of_a_grid_give_the_derivatives_of_its_points():
    network = SMOOTH["siren"]((6, 4))
    x, y = networks.axis_coordinates(6), networks.axis_coordinates(4)
    grid = networks.gradients(network, networks.grid_coordinates((x, y)))
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    points = networks.gradients(network, (columns.flatten(), rows.flatten()))
    assert torch.allclose(grid.reshape(24, 2, 2), points, atol=1e-9)


@pytest.mark.parametrize(
    "network",
    [
        networks.FourierNetwork((6, 4), 1, encoding="none", width=8),
        networks.HashGridNetwork((6, 4), 1),
    ],
    ids=["relu", "hashgrid"],
)
def test_networks_without_second_derivatives_say_so(network):
    coordinates = torch.rand(5, 2).double().unbind(1)
    assert networks.gradients(network, coordinates).shape == (5, 1, 2)
    with pytest.raises(RequestError, match="vanish"):
        networks.laplacians(network, coordinates)


def test_a_picture_is_learned_from_its_gradients():
    picture = smooth_samples(20, 24, 2) / 255
    by_y, by_x = np.gradient(picture, axis=(0, 1))
    targets = np.stack([by_x, by_y], axis=-1).reshape(20, 24, 4)
    network = networks.Siren((24, 20), 2, width=32, layers=1, first_omega=10.0)
    recipe = networks.Choice("siren", 0.005).recipe
    networks.train(
        network,
        networks.GridSamples(targets),
        recipe,
        steps=150,
        batch=200,
        objective=networks.GRADIENTS,
    )
    found = networks.render(network)
    found = found + (picture - found).mean(axis=(0, 1))
    assert -10 * math.log10(np.mean(np.square(found - picture))) > 30


def test_a_laplacian_is_matched():
    y, x = np.mgrid[0:20, 0:24] / 24
    targets = 0.05 * np.sin(4 * x + 2 * y)[..., None]
    network = networks.Siren((24, 20), 1, width=32, layers=1, first_omega=10.0)
    recipe = networks.Choice("siren", 0.005).recipe
    history = networks.train(
        network,
        networks.GridSamples(targets),
        recipe,
        steps=150,
        batch=200,
        objective=networks.LAPLACIANS,
    )
    assert np.mean(history.losses[-10:]) < 0.05 * targets.var()


def test_targets_of_another_number_of_channels_are_refused():
    network = networks.Siren((4, 4), 3, width=8)
    samples = networks.GridSamples(np.zeros((4, 4, 3)))
    recipe = networks.Choice("siren", 0.005).recipe
    with pytest.raises(RequestError, match="6 channels of gradients"):
        networks.train(network, samples, recipe, steps=1, objective=networks.GRADIENTS)


def test_the_example_writes_its_pictures(tmp_path, monkeypatch, capsys):
    script = Path(__file__).parents[1] / "examples" / "poisson.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--steps", "2", "--folder", str(tmp_path)])
    runpy.run_path(str(script), run_name="__main__")
    assert "from gradients" in capsys.readouterr().out
    with Image.open(tmp_path / "poisson.png") as shown:
        assert shown.size == (450, 100)
    with Image.open(tmp_path / "cloning.png") as shown:
        assert shown.size == (300, 100)
