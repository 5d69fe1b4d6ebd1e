"""The pyramid's bytes: latents return, whatever the machine; damage is refused."""

import numpy as np
import pytest

from fieldpack import FormatError, _engine
from fieldpack.bytestream import ByteWriter
from fieldpack.codec.model import ModelShape, engine_model, grids_of
from fieldpack.codec.network_coding import Networks, tensor_bits
from fieldpack.codec.payload import (
    read_pyramid,
    write_constant,
    write_pyramid,
)
from fieldpack.program.weights import QuantizedTensor

INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]


def use(monkeypatch, isa):
    monkeypatch.setenv("FIELDPACK_ISA", isa)
    try:
        _engine.instruction_set()
    except ValueError:
        pytest.skip(f"this machine has no {isa}")


def random_pyramid(height, width, channels=3, seed=0, scale=2.0, **sizes):
    """A model with random quantised networks, and random latents."""
    generator = np.random.default_rng(seed)
    shape = ModelShape(channels=channels, grids=grids_of(height, width), **sizes)
    tensors = []
    for name, size in shape.offsets:
        if np.prod(size):
            fan_in = np.prod(size[1:]) if len(size) > 1 else 1
            values = generator.normal(0, 1 / np.sqrt(fan_in), size).astype(np.float32)
            if name == "taps":
                values[:] = (0.87, 0.23, -0.07, -0.03)
            tensors.append(QuantizedTensor.from_values(values, 2.0**-8))
    latents = []
    for _ in range(shape.grids):
        grid = generator.laplace(0, scale, (height, width))
        latents.append(np.rint(grid).astype(np.int32))
        height, width = (height + 1) // 2, (width + 1) // 2
    return shape, tensors, latents


SIZES = [(1, 1), (1, 40), (40, 1), (3, 7), (16, 16), (17, 33), (50, 21)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [0.1, 2.0, 60.0])
def test_latents_return(size, scale):
    shape, tensors, latents = random_pyramid(*size, scale=scale)
    payload, bits = write_pyramid(Networks(shape, tuple(tensors)), latents, *size)
    pyramid = read_pyramid(payload, 3, *size)
    assert pyramid.shape == shape
    for decoded, grid in zip(pyramid.latents, latents, strict=True):
        np.testing.assert_array_equal(decoded, grid)
    np.testing.assert_array_equal(pyramid.parameters, Networks(shape, tuple(tensors)).parameters)
    entropy = sum(bits) / 8
    assert entropy - 1 < pyramid.latent_bytes <= 1.005 * entropy + 16


@pytest.mark.parametrize("neighbours", [1, 2, 8, 12, 16, 24])
@pytest.mark.parametrize("ancestors", [0, 5])
def test_every_number_of_neighbours(neighbours, ancestors):
    shape, tensors, latents = random_pyramid(35, 29, neighbours=neighbours, ancestors=ancestors)
    payload, _ = write_pyramid(Networks(shape, tuple(tensors)), latents, 35, 29)
    for decoded, grid in zip(read_pyramid(payload, 3, 35, 29).latents, latents, strict=True):
        np.testing.assert_array_equal(decoded, grid)


@pytest.mark.parametrize(
    "sizes",
    [
        {"synthesis_hidden": (), "context_hidden": ()},
        {"synthesis_hidden": (5, 5, 7), "context_hidden": (13, 13, 13)},
        {"convolutions": 0},
        {"convolutions": 4},
        {"context_set_of": (0, 1, 2)},
    ],
)
def test_models_of_other_sizes(sizes):
    shape, tensors, latents = random_pyramid(14, 18, **sizes)
    payload, _ = write_pyramid(Networks(shape, tuple(tensors)), latents, 14, 18)
    pyramid = read_pyramid(payload, 3, 14, 18)
    assert pyramid.shape.offsets == shape.offsets
    for decoded, grid in zip(pyramid.latents, latents, strict=True):
        np.testing.assert_array_equal(decoded, grid)


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_instruction_set_gives_the_same_bits(isa, channels, monkeypatch):
    shape, tensors, latents = random_pyramid(45, 300, channels)

    def everything():
        payload, _ = write_pyramid(Networks(shape, tuple(tensors)), latents, 45, 300)
        pyramid = read_pyramid(payload, channels, 45, 300)
        pictures = [
            _engine.synthesise(
                engine_model(shape), pyramid.parameters, 45, 300, latents, (0, 45, 0, 300), threads
            )
            for threads in (1, 2, 3, 7)
        ]
        return payload, pyramid.latents, pictures

    monkeypatch.setenv("FIELDPACK_ISA", "baseline")
    expected = everything()
    use(monkeypatch, isa)
    payload, decoded, pictures = everything()
    assert payload == expected[0]
    for grid, other in zip(decoded, expected[1], strict=True):
        np.testing.assert_array_equal(grid, other)
    for picture in pictures:
        np.testing.assert_array_equal(picture, expected[2][0])


@pytest.mark.parametrize(
    "region", [(0, 1, 0, 1), (3, 20, 5, 6), (31, 70, 255, 300), (0, 70, 9, 13)]
)
def test_a_region_is_the_part_of_the_picture(region):
    shape, tensors, latents = random_pyramid(70, 300)
    arguments = (engine_model(shape), Networks(shape, tuple(tensors)).parameters, 70, 300, latents)
    whole = _engine.synthesise(*arguments, (0, 70, 0, 300))
    top, bottom, left, right = region
    part = _engine.synthesise(*arguments, region)
    np.testing.assert_array_equal(part, whole[top:bottom, left:right])


def test_empty_grids_cost_nothing_and_empty_regions_little():
    shape, tensors, latents = random_pyramid(256, 256)
    for grid in latents:
        grid[:] = 0
    nothing = len(write_pyramid(Networks(shape, tuple(tensors)), latents, 256, 256)[0])
    latents[2][:5, :5] = 3
    a_little = len(write_pyramid(Networks(shape, tuple(tensors)), latents, 256, 256)[0])
    assert nothing < a_little
    pyramid = read_pyramid(
        write_pyramid(Networks(shape, tuple(tensors)), latents, 256, 256)[0], 3, 256, 256
    )
    assert not pyramid.latents[0].any()
    np.testing.assert_array_equal(pyramid.latents[2], latents[2])


@pytest.mark.parametrize("value", [-(1 << 20), 1 << 20, 12_345])
def test_outliers_return(value):
    shape, tensors, latents = random_pyramid(9, 9)
    latents[0][4, 4] = value
    payload, _ = write_pyramid(Networks(shape, tuple(tensors)), latents, 9, 9)
    np.testing.assert_array_equal(read_pyramid(payload, 3, 9, 9).latents[0], latents[0])


@pytest.mark.parametrize("value", [0, 1, -3, 300, 30_000, -32_766])
@pytest.mark.parametrize("exponent", [-39, -7, 25])
def test_tensors_return(value, exponent):
    shape, tensors, latents = random_pyramid(3, 7)
    for tensor in (0, 1, -1):
        symbols = np.zeros_like(tensors[tensor].symbols)
        symbols.flat[-1] = value
        tensors[tensor] = QuantizedTensor(symbols, 2.0**exponent)
    networks = Networks(shape, tuple(tensors))
    payload, _ = write_pyramid(networks, latents, 3, 7)
    read = read_pyramid(payload, 3, 3, 7).networks
    assert read is not None
    for decoded, tensor in zip(read.tensors, tensors, strict=True):
        np.testing.assert_array_equal(decoded.symbols, tensor.symbols)
        assert decoded.step == tensor.step


def test_a_tensor_takes_what_is_foretold():
    shape, tensors, _ = random_pyramid(50, 21)
    writer = ByteWriter()
    Networks(shape, tuple(tensors)).write_weights(writer)
    foretold = sum(map(tensor_bits, tensors)) / 8
    assert foretold - 1 <= len(writer.getvalue()) <= 1.005 * foretold + 16
    zeros = QuantizedTensor(np.zeros((16, 23), np.int32), 1.0)
    assert tensor_bits(zeros) < 16


@pytest.mark.parametrize("step", [2.0**-40, 2.0**26, 0.3])
def test_steps_that_a_file_cannot_hold(step):
    with pytest.raises(ValueError, match="powers of two"):
        tensor_bits(QuantizedTensor(np.zeros((2, 2), np.int32), step))


def test_a_picture_of_one_colour():
    colour = np.array([0.1, 0.5, 0.9], np.float32)
    pyramid = read_pyramid(write_constant(colour), 3, 1000, 1000)
    np.testing.assert_array_equal(pyramid.colour, colour)
    assert pyramid.shape is None


def test_damage_is_refused_or_decodes_to_something():
    shape, tensors, latents = random_pyramid(12, 17)
    payload, _ = write_pyramid(Networks(shape, tuple(tensors)), latents, 12, 17)
    generator = np.random.default_rng(0)
    for length in range(0, 40):
        with pytest.raises(FormatError):
            read_pyramid(payload[:length], 3, 12, 17)
    refused = 0
    for _ in range(1000):
        damaged = bytearray(payload)
        damaged[generator.integers(min(len(payload), 120))] = generator.integers(256)
        try:
            pyramid = read_pyramid(bytes(damaged), 3, 12, 17)
        except FormatError:
            refused += 1
        else:
            if pyramid.shape is not None:
                _engine.synthesise(
                    engine_model(pyramid.shape), pyramid.parameters, 12, 17, pyramid.latents,
                    (0, 12, 0, 17),
                )  # fmt: skip
    assert refused > 50
