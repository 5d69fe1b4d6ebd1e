"""What section P of .fpk files means: fieldpack against the page's decoder, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from format_comparison import assert_draws_as_reference
from format_container import first_signal, read_sections
from format_pyramid_examples import Models, pyramid_file, random_file
from format_reference import EIGHT_BITS, SIXTEEN_BITS
from format_writing import float32s
from numpy.typing import NDArray

import fieldpack

# Encoded pictures ----------------------------------------------------------------------------


def smooth(height: int, width: int, channels: int, largest: int = 255) -> NDArray[np.generic]:
    y, x = np.mgrid[:height, :width] / 12
    waves = [0.5 + 0.45 * np.sin(3 * x + (2 + c) * y + c) for c in range(channels)]
    samples = np.rint(np.stack(waves, axis=-1) * largest)
    return samples.astype(np.uint8 if largest == 255 else np.uint16)


def noise(height: int, width: int, channels: int) -> NDArray[np.generic]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


PICTURES = {
    "RGB": smooth(24, 20, 3),
    "grey": smooth(9, 31, 1)[..., 0],
    "grey and alpha": smooth(5, 6, 2),
    "RGBA": smooth(17, 16, 4),
    "16 bits": smooth(19, 12, 3, largest=65535),
    "one pixel": smooth(1, 1, 3),
    "one row": smooth(1, 40, 3),
    "one column": smooth(40, 1, 1)[..., 0],
    "one colour": np.full((12, 10, 3), (3, 200, 77), np.uint8),
    "noise": noise(21, 18, 3),
    "step": np.kron(noise(4, 5, 3), np.ones((6, 6, 1), np.uint8)),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("lambda_", [1e-6, 2e-3])
def test_encoded_picture(name: str, lambda_: float) -> None:
    data = fieldpack.encode(PICTURES[name], effort=1, lambda_=lambda_, threads=1)
    assert "P" in first_signal(read_sections(data))
    assert_draws_as_reference(data, threads=1)


# Random models -------------------------------------------------------------------------------


def assert_draws_values(data: bytes) -> None:
    """Check a file whose picture is neither of one colour nor of infinities only."""
    samples = assert_draws_as_reference(data, threads=1)
    assert len(np.unique(samples)) > 3


SIZES = [(1, 2), (2, 1), (3, 7), (1, 40), (40, 1), (16, 16), (17, 33), (33, 5), (35, 18)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sizes_and_channels(size: tuple[int, int], channels: int) -> None:
    samples = assert_draws_as_reference(random_file(size, channels, seed=channels), threads=1)
    assert np.ptp(samples) > 0


def test_a_picture_larger_than_what_is_drawn_at_once() -> None:
    assert_draws_values(random_file((70, 150)))


@pytest.mark.parametrize("neighbours", [*range(1, 17), 20, 23, 24])
def test_every_number_of_neighbours(neighbours: int) -> None:
    assert_draws_values(random_file(neighbours=neighbours, seed=neighbours))


@pytest.mark.parametrize("ancestors", range(15))
def test_every_number_of_ancestors(ancestors: int) -> None:
    separate = tuple(range(7))
    assert_draws_values(random_file((35, 18), ancestors=ancestors, context_set_of=separate))


@pytest.mark.parametrize("size", SIZES)
def test_filtered_grids(size: tuple[int, int]) -> None:
    assert_draws_as_reference(random_file(size, is_filtered=True), threads=1)


def test_filtered_grids_that_are_drawn_in_tiles() -> None:
    assert_draws_values(random_file((70, 300), is_filtered=True))


@pytest.mark.parametrize("size", SIZES)
def test_ancestors_at_the_edges(size: tuple[int, int]) -> None:
    assert_draws_as_reference(random_file(size, ancestors=11, neighbours=5), threads=1)


@pytest.mark.parametrize("convolutions", range(5))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_number_of_3x3_layers(convolutions: int, channels: int) -> None:
    assert_draws_values(random_file(channels=channels, convolutions=convolutions))


@pytest.mark.parametrize("hidden", [(), (1,), (5, 7), (6, 6), (4, 9, 9), (11, 11, 11), (64, 3)])
def test_hidden_layers(hidden: tuple[int, ...]) -> None:
    assert_draws_values(random_file(synthesis_hidden=hidden))
    assert_draws_values(random_file(context_hidden=hidden))


@pytest.mark.parametrize("width", [5, 12])
def test_first_layers_with_as_many_outputs_as_inputs(width: int) -> None:
    hidden = (width, width, width)
    models: Models = {"grids": 5, "synthesis_hidden": hidden, "context_hidden": hidden}
    assert_draws_values(random_file(neighbours=width, **models))


@pytest.mark.parametrize("context_set_of", [(0, 1, 2, 3, 4, 5), (1, 1, 0, 0, 0, 0), (3,) * 6])
def test_separate_context_models(context_set_of: tuple[int, ...]) -> None:
    assert_draws_values(random_file(context_set_of=context_set_of))


@pytest.mark.parametrize("grids", range(1, 8))
def test_every_number_of_grids(grids: int) -> None:
    assert_draws_values(random_file((5, 64), grids=grids))


@pytest.mark.parametrize("spread", [0.05, 0.7, 8.0, 60.0, 2000.0])
@pytest.mark.parametrize("gain", [0.3, 1.0, 3.0])
def test_small_and_large_latents(spread: float, gain: float) -> None:
    data = random_file(spread=spread, gain=gain)
    assert_draws_as_reference(data, threads=1)


@pytest.mark.parametrize("seed", range(6))
def test_outliers(seed: int) -> None:
    assert_draws_values(random_file(seed=seed, outliers=True, spread=60.0))


@pytest.mark.parametrize("empty", [(0,), (1, 3), (5,), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5)])
def test_empty_grids(empty: tuple[int, ...]) -> None:
    assert_draws_as_reference(random_file(empty=empty), threads=1)


@pytest.mark.parametrize(
    ("exponent", "gain"), [(-20, 1e-3), (-10, 1.0), (0, 1.0), (0, 1e3), (4, 1e4), (11, 1e6)]
)
def test_steps_of_weights(exponent: int, gain: float) -> None:
    hidden = (8, 8, 8)
    models: Models = {"synthesis_hidden": hidden, "context_hidden": hidden, "convolutions": 4}
    data = random_file((9, 11), gain=gain, exponent=exponent, outliers=True, **models)
    assert_draws_as_reference(data, threads=1)


@pytest.mark.parametrize("sample", [EIGHT_BITS, SIXTEEN_BITS])
def test_integer_samples(sample: int) -> None:
    assert_draws_values(random_file(sample=sample, gain=0.5))


# Pictures of one colour ----------------------------------------------------------------------


def test_one_colour() -> None:
    payload = b"\0" + float32s(0.25, -1.5, 7.0)
    samples = assert_draws_as_reference(pyramid_file(payload, 4, 3))
    assert (samples == np.float32([0.25, -1.5, 7.0])).all()
