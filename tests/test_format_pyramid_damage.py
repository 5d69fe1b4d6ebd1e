"""Damaged and hostile pyramids: refused, or drawn as the format says; never anything else."""

from __future__ import annotations

from collections.abc import Sequence

import format_reference as reference
import numpy as np
import pytest
from format_comparison import assert_draws_as_reference, assert_refused
from format_container import first_signal, read_sections
from format_examples import HALF_GREY, picture_section, samples_file
from format_pyramid import (
    SHAPE_FREQUENCIES,
    Architecture,
    Pyramid,
    read_prior,
    weights_around_zero,
)
from format_pyramid_examples import Models, pyramid_file, random_file, random_latents
from format_weights import Weights, cumulative_frequencies
from format_writing import RangeEncoder, container, float32s, section, varint
from numpy.typing import NDArray

import fieldpack
from fieldpack.codec.model import ModelShape
from fieldpack.codec.network_coding import Networks
from fieldpack.codec.payload import read_pyramid, write_pyramid
from fieldpack.program.weights import QuantizedTensor

Symbols = NDArray[np.int64]

# Damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0",
        b"\0" + float32s(1.0, 2.0),
        b"\0" + float32s(1.0, 2.0, 3.0) + b"\0",
        b"\0" + float32s(1.0, float("inf"), 3.0),
        b"\0" + float32s(1.0, 2.0, float("nan")),
        b"\x09" + bytes(60),
    ],
)
def test_wrong_colours_are_refused(payload: bytes) -> None:
    assert_refused(pyramid_file(payload, 4, 3))


def test_a_signal_has_either_network_or_pyramid() -> None:
    pyramid = section("P", b"\0" + float32s(1.0))
    assert_draws_as_reference(container(picture_section(), pyramid))
    assert_refused(container(picture_section(), HALF_GREY, pyramid))
    assert_refused(container(picture_section(), pyramid, pyramid))
    assert_refused(container(pyramid, picture_section()))


def test_scattered_samples_have_no_pyramid() -> None:
    description = read_sections(samples_file(1))[0].payload
    colour = b"\0" + float32s(1.0)
    assert_refused(container(section("S", description), section("P", colour)))


def test_too_many_grids_are_refused() -> None:
    payload = first_signal(read_sections(random_file((3, 8))))["P"]
    assert_draws_as_reference(pyramid_file(payload, 1, 5))
    for size in ((1, 4), (1, 1), (3, 2)):
        assert_refused(pyramid_file(payload, *size))


# Hostile files -------------------------------------------------------------------------------

HOSTILE_MODELS: list[Models] = [
    {},
    {"synthesis_hidden": (), "context_hidden": (), "convolutions": 0},
    {"synthesis_hidden": (5, 5), "context_hidden": (3,), "context_set_of": (0, 1, 2, 0)},
]


def mutated(rng: np.random.Generator, payload: bytes) -> bytes:
    """The payload with one to three bytes changed, inserted or removed, most in the header."""
    changed = bytearray(payload)
    for _ in range(rng.integers(1, 4)):
        end = len(changed) if rng.random() < 0.3 else min(len(changed), 60)
        at = int(rng.integers(end))
        byte = int(rng.integers(256)) if rng.random() < 0.5 else int(rng.integers(4))
        removed = int(rng.integers(2)) if rng.random() < 0.3 else 1
        changed[at : at + removed] = bytes([byte]) if rng.random() < 0.8 else b""
    return bytes(changed)


@pytest.mark.parametrize("index", range(len(HOSTILE_MODELS)))
def test_hostile_pyramids_are_refused_or_drawn_as_the_reference_does(index: int) -> None:
    rng = np.random.default_rng(index)
    size = (6, 7)
    original = random_file(size, exponent=-3, **HOSTILE_MODELS[index])
    payload = first_signal(read_sections(original))["P"]
    drawn = refused = 0
    for _ in range(80):
        data = pyramid_file(mutated(rng, payload), *size)
        try:
            signal = reference.read_signal(data)
        except reference.FormatViolationError:
            with pytest.raises(fieldpack.FormatError):
                fieldpack.open(data, threads=1)
            refused += 1
        else:
            assert isinstance(signal.program, Pyramid)
            samples = fieldpack.decode(data, threads=1)
            assert samples.tobytes() == reference.draw(signal).tobytes(), data.hex()
            drawn += 1
    assert drawn > 20
    assert refused > 5


def test_every_truncation_is_refused_or_drawn_as_the_reference_does() -> None:
    payload = first_signal(read_sections(random_file((3, 4))))["P"]
    for length in [*range(60), *range(60, len(payload), 40)]:
        data = pyramid_file(payload[:length], 3, 4)
        try:
            reference.read_signal(data)
        except reference.FormatViolationError:
            assert_refused(data)
        else:
            assert_draws_as_reference(data, threads=1)


def hostile_architecture(rng: np.random.Generator) -> Architecture:
    grids = int(rng.integers(1, 5))
    separate = rng.random() < 0.3
    return Architecture(
        channels=3,
        grids=grids,
        filtered=int(rng.integers(2)),
        convolutions=int(rng.integers(3)),
        neighbours=int(rng.integers(1, 25)),
        ancestors=int(rng.integers(0, 15)),
        synthesis_hidden=rng.integers(1, 9, rng.integers(4)).tolist(),
        context_hidden=rng.integers(1, 9, rng.integers(4)).tolist(),
        context_model_of=rng.integers(0, grids if separate else 1, grids).tolist(),
    )


def hostile_weights(
    rng: np.random.Generator, sizes: Sequence[tuple[int, ...]], largest: Sequence[int]
) -> bytes:
    """Tensors whose steps and distributions may be extreme; `largest` are exponents of steps."""
    encoder = RangeEncoder()
    for size, most in zip(sizes, largest, strict=True):
        if np.prod(size) == 0:
            continue
        exponent = int(rng.choice([-39, -20, -6, -3, 0, most]))
        shape, quarters = int(rng.integers(7)), int(rng.integers(-32, 34))
        encode_coding(encoder, exponent, shape, quarters)
        tensor = weights_around_zero(shape, quarters)
        if tensor.reach > 0:
            cumulative = cumulative_frequencies(tensor)
            near = min(tensor.reach, 200)
            for _ in range(np.prod(size)):
                encoder.encode(cumulative, tensor.reach + int(rng.integers(-near, near + 1)))
    stream = encoder.finish()
    return varint(len(stream)) + stream


def encode_coding(encoder: RangeEncoder, exponent: int, shape: int, quarters: int) -> None:
    steps = Weights(np.zeros((1, 1), np.int64), 1.0, -7, 32, 1, 72)
    encoder.encode(cumulative_frequencies(steps), exponent + 39)
    encoder.encode(np.cumsum([0, *SHAPE_FREQUENCIES]), shape)
    scales = Weights(np.zeros((1, 1), np.int64), 1.0, 0, 64, 1, 88)
    encoder.encode(cumulative_frequencies(scales), quarters + 64)


def hostile_pyramid(seed: int) -> bytes:
    """A payload with a valid header, which may lead to infinities, and arbitrary streams."""
    rng = np.random.default_rng(seed)
    model = hostile_architecture(rng)
    head = bytes(
        [model.grids, model.filtered, model.convolutions, model.neighbours, model.ancestors]
    )
    for hidden in (model.synthesis_hidden, model.context_hidden):
        head += bytes([len(hidden), *hidden])
    separate = any(model.context_model_of)
    head += bytes([1, *model.context_model_of]) if separate else b"\0"
    head += varint(some_empty(rng, model.grids))
    sizes = list(model.tensor_sizes())
    drawing = 1 + model.filtered + 2 * (len(model.synthesis_hidden) + 1) + 2 * model.convolutions
    largest = [25 if index >= drawing or seed % 4 == 0 else -2 for index in range(len(sizes))]
    return head + hostile_weights(rng, sizes, largest) + rng.bytes(rng.integers(600))


def some_empty(rng: np.random.Generator, grids: int) -> int:
    return sum(1 << grid for grid in range(grids) if rng.random() < 0.1)


def hostile_differences(seed: int) -> bytes:
    """A payload that builds on the prior, with differences of any size and arbitrary streams."""
    rng = np.random.default_rng(seed)
    sets = read_prior()
    index = int(rng.integers(len(sets)))
    model = sets[index][0]
    head = bytes([8, index]) + varint(some_empty(rng, model.grids))
    models = max(model.context_model_of) + 1
    per_model = 2 * (len(model.context_hidden) + 1)
    sizes = list(model.tensor_sizes())
    drawing = len(sizes) - models * per_model
    group_of = [0] * drawing + [1 + m for m in range(models) for _ in range(per_model)]
    mask = int(rng.integers(2 ** (1 + models))) if seed else 0
    head += varint(mask)
    if mask:
        changed = [i for i, group in enumerate(group_of) if mask >> group & 1]
        largest = [25 if group_of[i] or seed % 4 == 0 else -2 for i in changed]
        head += hostile_weights(rng, [sizes[i] for i in changed], largest)
    return head + rng.bytes(rng.integers(600))


@pytest.mark.parametrize("seed", range(12))
def test_extreme_differences_from_the_prior(seed: int) -> None:
    payload = hostile_differences(seed)
    assert_same_latents(payload, (9, 11))
    assert_draws_as_reference(pyramid_file(payload, 9, 11), threads=1)


@pytest.mark.parametrize("seed", range(30))
def test_extreme_networks_and_arbitrary_streams(seed: int) -> None:
    payload = hostile_pyramid(seed)
    assert_same_latents(payload, (9, 11))
    assert_draws_as_reference(pyramid_file(payload, 9, 11), threads=1)


def assert_same_latents(payload: bytes, size: tuple[int, int]) -> None:
    """Check that fieldpack decodes the latents that the format means."""
    program = reference.read_signal(pyramid_file(payload, *size)).program
    assert isinstance(program, Pyramid)
    for expected, latents in zip(
        program.latents, read_pyramid(payload, 3, *size).latents, strict=True
    ):
        np.testing.assert_array_equal(latents, expected)


def overflowing_tensor(rng: np.random.Generator, name: str, size: tuple[int, ...]) -> Symbols:
    """Symbols with which the third layers of the networks reach infinities of both signs."""
    if not name.endswith(".weight") or name.startswith("convolution"):
        return rng.integers(-30, 30, size)
    match int(name.split(".")[1]):
        case 0 | 1:
            return np.full(size, 32766)
        case 2:
            return rng.choice([-32000, 32000], size)
    return rng.choice([[1], [0, 1], [-1, 0, 1]][rng.integers(3)], size)


@pytest.mark.parametrize("seed", range(12))
def test_networks_that_overflow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width = (5, 16, 40)[seed % 3]
    hidden = (width, width, width)
    shape = ModelShape(3, 2, hidden, seed % 2, neighbours=4, context_hidden=hidden)
    tensors = []
    for name, tensor_size in shape.offsets:
        if np.prod(tensor_size) > 0:
            symbols = overflowing_tensor(rng, name, tensor_size).astype(np.int32)
            step = 2.0**25 if np.abs(symbols).max() > 1000 else 2.0**-8
            tensors.append(QuantizedTensor(symbols, step))
    size = (5, 9)
    latents = random_latents(rng, shape.grids, size, spread=2.0)
    for grid in latents:
        grid[rng.random(grid.shape) < 0.3] = 2**20
    payload, _ = write_pyramid(Networks(shape, tuple(tensors)), latents, *size)
    assert_same_latents(payload, size)
    assert_draws_as_reference(pyramid_file(payload, *size), threads=1)
