"""What .fpk files mean: fieldpack against a decoder written from docs/format.md alone."""

from __future__ import annotations

import format_reference as reference
import numpy as np
import pytest
from format_comparison import assert_draws_as_reference
from format_container import first_signal, read_sections
from format_evaluation import (
    ABSOLUTE,
    ADD,
    BINARY,
    COSINE,
    GABOR,
    GAUSSIAN,
    GELU,
    HASH_GRID,
    LINEAR,
    ONE_HOT,
    RELU,
    SCALE,
    SHIFT,
    SIGMOID,
    SINE,
    SINUSOID,
    TANH,
    Operation,
    Program,
    evaluate,
)
from format_examples import (
    HALF_GREY,
    constant,
    coordinate_network,
    picture_file,
    picture_section,
    random_weights,
    samples_file,
    smooth_file,
    smooth_network,
    whole_position_network,
)
from format_reference import (
    CMYK,
    EIGHT_BITS,
    FLOAT32,
    GREY,
    GREY_ALPHA,
    ONE_BIT,
    RGB,
    RGBA,
    SIXTEEN_BITS,
)
from format_weights import Weights
from format_writing import container, network_payload, picture_payload, samples_payload, section
from numpy.typing import NDArray

import fieldpack


def test_smallest_file_byte_by_byte() -> None:
    data = bytes.fromhex(
        "f1504b 01"  # signature, version
        "53 04 00 10 02 01"  # a grey picture of 8 bits, 2 x 1 pixels
        "4e 0e 02 02"  # a network of two axes and two operations
        "02 00 01"  # one-hot of axis 0 on one place
        "08 01 01 0000003f 02 00"  # scale by one weight: step 0.5, centre 1, reach 0
        "e1cba75b"  # CRC-32
    )
    assert data == container(picture_section(width=2, height=1), HALF_GREY)
    assert fieldpack.decode(data).tolist() == [[128, 128]]


@pytest.mark.parametrize("colour", [GREY, GREY_ALPHA, RGB, RGBA, CMYK])
@pytest.mark.parametrize("sample", [EIGHT_BITS, SIXTEEN_BITS, FLOAT32])
def test_hand_made_picture(colour: int, sample: int) -> None:
    samples = assert_draws_as_reference(smooth_file(7, colour, sample))
    assert len(np.unique(samples[..., 0])) > 3  # the network is not a constant


def test_hand_made_picture_of_one_bit() -> None:
    samples = assert_draws_as_reference(smooth_file(3, GREY, ONE_BIT, width=9, height=7))
    assert samples.dtype == np.bool_
    assert 0 < samples.mean() < 1


@pytest.mark.parametrize(("width", "height"), [(5, 3), (1, 1), (16, 9), (67, 2)])
def test_encodings_of_whole_positions(width: int, height: int) -> None:
    operations = whole_position_network(np.random.default_rng(width), width, height, 3)
    assert_draws_as_reference(picture_file(*operations, colour=RGB, width=width, height=height))


def test_bits_beyond_the_number_of_places_are_zero() -> None:
    operations = (
        Operation(BINARY, integers=(0, 2**31 - 1, 70)),
        Operation(LINEAR, [1], weights=random_weights(np.random.default_rng(0), 1, 70)),
    )
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32))


@pytest.mark.parametrize("shape", range(7))
def test_distributions_of_weights(shape: int) -> None:
    rng = np.random.default_rng(shape)
    operations = [Operation(SINUSOID, integers=(0, 5, 32), constants=(1.0, 0.75))]
    for scale in (0, 41, 66, 75, 84, 93, 102, 111, 128, 255):
        weights = random_weights(rng, 32, reach=int(rng.choice([1, 7, 300, 3000])))
        weights.shape, weights.scale = shape, scale
        operations.append(Operation(SHIFT, [1], weights=weights))
    operations.append(Operation(LINEAR, [1], weights=random_weights(rng, 1, 32, reach=32767)))
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32))


@pytest.mark.parametrize(("width", "height"), [(5, 3), (1, 1), (16, 9), (67, 2)])
def test_network_of_coordinates(width: int, height: int) -> None:
    operations = coordinate_network(np.random.default_rng(width), 2, 3)
    data = picture_file(*operations, colour=RGB, sample=FLOAT32, width=width, height=height)
    samples = assert_draws_as_reference(data)
    assert width == 1 or len(np.unique(samples[..., 0])) > width


@pytest.mark.parametrize("axes", [1, 3, 4])
def test_network_of_coordinates_on_other_numbers_of_axes(axes: int) -> None:
    rng = np.random.default_rng(axes)
    program = Program(axes, coordinate_network(rng, axes, 2))
    domain = [(9, -1.0, 1.0)] * axes
    ranges = [(0.0, 1.0), (0.0, 1.0)]
    data = container(
        section("S", samples_payload(domain, ranges)), section("N", network_payload(program))
    )
    # Beyond the domain, too, and at the corners and edges of the hash grid's cells.
    points = np.concatenate([rng.uniform(-1.5, 1.5, (150, axes)), rng.integers(-1, 2, (9, axes))])
    np.testing.assert_array_equal(fieldpack.open(data)(points), evaluate(program, points))


@pytest.mark.parametrize(
    ("opcode", "constants"),
    [
        *[(opcode, ()) for opcode in (TANH, GELU, SIGMOID, RELU, ABSOLUTE, GAUSSIAN)],
        *[(opcode, (f,)) for opcode in (SINE, COSINE) for f in (0.0, -0.37, 1e12, 3e38)],
    ],
)
def test_elementary_functions_far_from_zero(opcode: int, constants: tuple[float, ...]) -> None:
    operations = (
        Operation(ONE_HOT, integers=(0, 201)),
        Operation(LINEAR, [1], weights=Weights(np.arange(-100, 101)[None, :], 1.0, 0, 100, 6, 160)),
        Operation(opcode, [1], constants=constants),
    )
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32, width=201, height=1))


@pytest.mark.parametrize("constants", [(1.5, 0.25), (-3.0, 0.0), (1e12, 2.0), (3e38, -3e38)])
def test_wavelets_far_from_zero(constants: tuple[float, float]) -> None:
    rows = np.stack([np.arange(-100, 101), np.arange(201) % 23 - 11])
    operations = (
        Operation(ONE_HOT, integers=(0, 201)),
        Operation(LINEAR, [1], weights=Weights(rows, 0.125, 0, 100, 6, 160)),
        Operation(GABOR, [1], constants=constants),
        Operation(LINEAR, [1], weights=Weights(np.array([[2, -1]]), 1.0, 0, 2, 1, 72)),
    )
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32, width=201, height=1))


@pytest.mark.parametrize("cells", [1, 2, 6, 2**31 - 1])
@pytest.mark.parametrize("entries", [1, 7, 9, 49, 50, 700])
def test_hash_grids_of_any_size(cells: int, entries: int) -> None:
    weights = random_weights(np.random.default_rng(cells), entries, 2)
    operations = (
        Operation(HASH_GRID, integers=(cells, 2), weights=weights),
        Operation(LINEAR, [1], weights=constant(1, 1.0, 1, 2)),
    )
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32, width=9, height=7))


def test_hash_grid_of_more_entries_than_channels_of_a_value() -> None:
    operations = (
        Operation(HASH_GRID, integers=(2**20, 3), weights=constant(3, 0.25, 70_000, 3)),
        Operation(LINEAR, [1], weights=constant(1, 1.0, 1, 3)),
    )
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32))


@pytest.mark.parametrize("first", [1e9, 1e16, 1e17, 1e18, 1e20, 3e38])
def test_sinusoids_of_huge_frequencies(first: float) -> None:
    operations = (
        Operation(SINUSOID, integers=(0, 67, 9), constants=(first, 1e38)),
        Operation(LINEAR, [1], weights=constant(1, 0.25, 1, 9)),
    )
    for sample in (EIGHT_BITS, FLOAT32):
        assert_draws_as_reference(picture_file(*operations, sample=sample, width=67, height=1))


@pytest.mark.parametrize("step", [-0.5, 0.0, -0.0, 1e-45, 3e38])
def test_weights_of_any_step(step: float) -> None:
    weights = random_weights(np.random.default_rng(2), 6, reach=3)
    weights.step = step
    operations = (
        Operation(SINUSOID, integers=(0, 5, 6), constants=(1.0, 0.75)),
        Operation(SHIFT, [1], weights=weights),
        Operation(LINEAR, [1], weights=random_weights(np.random.default_rng(3), 1, 6)),
    )
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32))


def test_bytes_after_the_weights_are_ignored() -> None:
    operations = smooth_network(np.random.default_rng(0), 5, 3, 1)
    payload = network_payload(Program(2, operations))
    padded = container(picture_section(), section("N", payload + bytes(range(1, 40))))
    samples = assert_draws_as_reference(padded)
    assert (samples == assert_draws_as_reference(picture_file(*operations))).all()


def test_numbers_may_be_longer_than_needed() -> None:
    width = b"\x85" + b"\x80" * 7 + b"\x00"  # 5, in nine bytes
    description = section("S", b"\x00\x10" + width + b"\x83\x00")
    samples = assert_draws_as_reference(container(description, HALF_GREY))
    assert samples.shape == (3, 5, 1)


def test_weights_may_overflow() -> None:
    operations = (
        Operation(SINUSOID, integers=(0, 5, 2), constants=(1.0, 0.5)),
        Operation(SCALE, [1], weights=constant(100, 3e38)),
        Operation(LINEAR, [1], weights=Weights(np.array([[2, -1]]), 1.0, 0, 2, 1, 72)),
    )
    for sample in (EIGHT_BITS, FLOAT32):
        assert_draws_as_reference(picture_file(*operations, sample=sample))


def test_ranges_may_overflow() -> None:
    description = picture_payload(GREY, FLOAT32, 5, 3, [(-3e38, 3e38)])
    assert_draws_as_reference(container(section("S", description), HALF_GREY))


# The same bits everywhere --------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide_file() -> tuple[bytes, NDArray[np.generic]]:
    """A picture of several tiles, with every operation, and its samples."""
    width, height, rng = 53, 11, np.random.default_rng(5)
    smooth = smooth_network(rng, width, height, 3)
    whole = whole_position_network(rng, width, height, 3)
    coordinates = coordinate_network(rng, 2, 3)
    operations = [*smooth, *whole, Operation(ADD, [1, 1 + len(whole)]), *coordinates]
    operations.append(Operation(ADD, [1, 1 + len(coordinates)]))
    data = picture_file(*operations, colour=RGB, sample=FLOAT32, width=width, height=height)
    return data, reference.draw(reference.read_signal(data))


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def instruction_set(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force an instruction set, or skip the test where this machine lacks it."""
    name = str(request.param)
    monkeypatch.setenv("FIELDPACK_ISA", name)
    try:
        assert fieldpack._engine.instruction_set() == name
    except ValueError as error:
        pytest.skip(str(error))
    return name


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_same_bits_for_all_instruction_sets_and_threads(
    wide_file: tuple[bytes, NDArray[np.generic]], threads: int
) -> None:
    data, expected = wide_file
    field = fieldpack.open(data, threads=threads)
    assert fieldpack.decode(field).tobytes() == expected.tobytes()


@pytest.mark.usefixtures("instruction_set")
def test_values_at_pixel_centres_are_the_picture(
    wide_file: tuple[bytes, NDArray[np.generic]],
) -> None:
    data, expected = wide_file
    height, width, channels = expected.shape
    x, y = np.meshgrid(reference.pixel_centres(width), reference.pixel_centres(height))
    for threads in (1, 3):
        field = fieldpack.open(data, threads=threads)
        values = field(np.stack([x.ravel(), y.ravel()], axis=1))
        assert values.shape == (height * width, channels)
        assert values.tobytes() == expected.tobytes()


def test_values_between_pixels_are_those_of_the_reference(
    wide_file: tuple[bytes, NDArray[np.generic]],
) -> None:
    data, _ = wide_file
    signal = reference.read_signal(data)
    coordinates = np.random.default_rng(0).integers(-70, 71, (100, 2)) / 64  # beyond the edges, too
    expected = reference.in_units(evaluate(signal.program, coordinates), signal.description)
    assert fieldpack.open(data)(coordinates).tobytes() == expected.tobytes()


def test_values_of_scattered_samples_are_those_of_the_reference() -> None:
    data = samples_file()
    signal = reference.read_signal(data)
    description = signal.description
    assert isinstance(description, reference.SamplesDescription)
    low, high = np.array(description.lowest), np.array(description.highest)
    coordinates = np.random.default_rng(0).integers(-70, 71, (100, 3)) / 64
    expected = reference.in_units(evaluate(signal.program, coordinates), description)

    field = fieldpack.open(data)
    assert field.shape == (4, 6, 10, 2)
    assert field.domain == ((-1.0, 3.0), (0.0, 0.5), (16.0, 32.0))
    points = low + (coordinates + 1) * (high - low) / 2  # exact, as the sizes are powers of two
    assert field(points).tobytes() == expected.tobytes()


# Files that fieldpack writes -----------------------------------------------------------------


def fitted(samples: NDArray[np.generic]) -> bytes:
    """The bytes of a file with a network trained for a moment."""
    pytest.importorskip("torch")
    return fieldpack.fit(samples, steps=3, batch=64, threads=1, seed=0).to_bytes()


@pytest.fixture(scope="module")
def thumbnail_file() -> bytes:
    """A trained network of a small picture."""
    return fitted(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8))


def test_written_file_decodes_in_the_reference(thumbnail_file: bytes) -> None:
    assert assert_draws_as_reference(thumbnail_file).shape == (6, 9, 3)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint16, np.float32])
def test_written_file_of_other_samples(dtype: type[np.generic]) -> None:
    random = np.random.default_rng(1).random((4, 6))
    samples = random > 0.5 if dtype is np.bool_ else (random * 1000).astype(dtype)
    decoded = assert_draws_as_reference(fitted(samples))
    assert decoded.dtype == dtype


def test_overhead_of_a_thumbnail(thumbnail_file: bytes) -> None:
    network = first_signal(read_sections(thumbnail_file))["N"]
    assert len(thumbnail_file) - len(network) < 24
