"""Networks and files made by hand, for the tests of the format."""

from __future__ import annotations

import zlib

import numpy as np
from format_evaluation import (
    ABSOLUTE,
    ADD,
    BINARY,
    COMPLEX_LINEAR,
    COORDINATE,
    COSINE,
    GABOR,
    GAUSSIAN,
    GELU,
    HASH_GRID,
    LINEAR,
    MULTIPLY,
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
)
from format_reference import CHANNELS_OF_COLOUR, EIGHT_BITS, FLOAT32, GREY, RGB
from format_weights import Weights
from format_writing import container, network_payload, picture_payload, samples_payload, section

RANGES = [(-2.5, 7.25), (0.0, 1e-3), (-1e6, 1e6), (0.5, 0.75)]


def constant(symbol: int, step: float, rows: int = 1, columns: int = 1) -> Weights:
    """Weights that all are symbol times step and take no bytes of the stream."""
    return Weights(np.full((rows, columns), symbol, np.int64), step, centre=symbol)


def random_weights(
    rng: np.random.Generator, rows: int, columns: int = 1, reach: int = 40, spread: float = 0.8
) -> Weights:
    """Weights of about `spread`, coded with a random distribution."""
    centre = int(rng.integers(-3, 4))
    offsets = np.rint(rng.normal(0, reach / 2.5, (rows, columns)))
    return Weights(
        np.clip(offsets, -reach, reach).astype(np.int64) + centre,
        step=float(np.float32(spread / reach)),
        centre=centre,
        reach=reach,
        shape=int(rng.integers(7)),
        scale=int(rng.integers(64, 120)),
    )


def smooth_network(
    rng: np.random.Generator, width: int, height: int, channels: int
) -> list[Operation]:
    """Operations on a sinusoidal encoding."""
    return [
        Operation(SINUSOID, integers=(0, width, 5), constants=(2.0, 0.5)),
        Operation(LINEAR, [1], weights=random_weights(rng, 6, 5)),
        Operation(SINUSOID, integers=(1, height, 4), constants=(1.75, 0.625)),
        Operation(LINEAR, [1], weights=random_weights(rng, 6, 4)),
        Operation(ADD, [1, 3]),
        Operation(SHIFT, [1], weights=random_weights(rng, 6)),
        Operation(TANH, [1]),
        Operation(GELU, [2]),
        Operation(MULTIPLY, [1, 2]),
        Operation(SCALE, [1], weights=random_weights(rng, 6)),
        Operation(ADD, [1, 3]),
        Operation(SHIFT, [1], weights=random_weights(rng, 1, reach=1, spread=0.1)),
        Operation(SCALE, [1], weights=constant(3, 1.25)),
        Operation(LINEAR, [1], weights=random_weights(rng, channels, 6)),
        Operation(SIGMOID, [1]),
    ]


def whole_position_network(
    rng: np.random.Generator, width: int, height: int, channels: int
) -> list[Operation]:
    """The encodings of whole positions, one of them with fewer places than pixels."""
    return [
        Operation(ONE_HOT, integers=(0, width)),
        Operation(LINEAR, [1], weights=random_weights(rng, 4, width)),
        Operation(BINARY, integers=(1, height, 4)),
        Operation(LINEAR, [1], weights=random_weights(rng, 4, 4)),
        Operation(ONE_HOT, integers=(1, 2)),
        Operation(LINEAR, [1], weights=random_weights(rng, 4, 2)),
        Operation(ADD, [1, 3]),
        Operation(ADD, [1, 6]),
        Operation(LINEAR, [1], weights=random_weights(rng, channels, 4)),
        Operation(SHIFT, [1], weights=constant(1, 0.5)),
    ]


def coordinate_network(rng: np.random.Generator, axes: int, channels: int) -> list[Operation]:
    """Operations on the coordinates themselves, with every one that the two above lack."""
    operations = [
        Operation(COORDINATE, integers=(0,)),
        Operation(LINEAR, [1], weights=random_weights(rng, 6, 1)),
    ]
    for axis in range(1, axes):
        operations += [
            Operation(COORDINATE, integers=(axis,)),
            Operation(LINEAR, [1], weights=random_weights(rng, 6, 1)),
            Operation(ADD, [1, 3]),
        ]
    return [
        *operations,
        Operation(SINE, [1], constants=(3.5,)),
        Operation(COSINE, [2], constants=(-1.25,)),
        Operation(ABSOLUTE, [2]),
        Operation(GAUSSIAN, [4]),
        Operation(MULTIPLY, [1, 3]),
        Operation(ADD, [1, 3]),
        Operation(GABOR, [1], constants=(4.5, 1.5)),
        Operation(COMPLEX_LINEAR, [1], weights=random_weights(rng, 5, 6)),
        Operation(GABOR, [1], constants=(-2.5, 0.75)),
        Operation(LINEAR, [1], weights=random_weights(rng, 4, 10)),
        Operation(RELU, [1]),
        Operation(HASH_GRID, integers=(2, 4), weights=random_weights(rng, 3**axes, 4)),
        Operation(ADD, [1, 2]),
        Operation(HASH_GRID, integers=(1000, 4), weights=random_weights(rng, 17, 4)),
        Operation(ADD, [1, 2]),
        Operation(LINEAR, [1], weights=random_weights(rng, channels, 4)),
    ]


def picture_section(
    colour: int = GREY, sample: int = EIGHT_BITS, width: int = 5, height: int = 3
) -> bytes:
    """Section S of a picture."""
    channels = CHANNELS_OF_COLOUR[colour] if sample == FLOAT32 else 0
    return section("S", picture_payload(colour, sample, width, height, RANGES[:channels]))


def network_section(*operations: Operation) -> bytes:
    """Section N of a picture."""
    return section("N", network_payload(Program(2, list(operations))))


def picture_file(
    *operations: Operation,
    colour: int = GREY,
    sample: int = EIGHT_BITS,
    width: int = 5,
    height: int = 3,
) -> bytes:
    """A file with a picture."""
    return container(picture_section(colour, sample, width, height), network_section(*operations))


def smooth_file(
    seed: int = 0,
    colour: int = RGB,
    sample: int = EIGHT_BITS,
    width: int = 5,
    height: int = 3,
) -> bytes:
    """A file with a picture of the smooth network."""
    channels = CHANNELS_OF_COLOUR[colour]
    operations = smooth_network(np.random.default_rng(seed), width, height, channels)
    return picture_file(*operations, colour=colour, sample=sample, width=width, height=height)


HALF_GREY = network_section(
    Operation(ONE_HOT, integers=(0, 1)), Operation(SCALE, [1], weights=constant(1, 0.5))
)


def file_of_all_sections() -> bytes:
    """A file with a palette, a profile and an extension."""
    return container(
        picture_section(RGB),
        section("p", bytes(9)),
        section("c", zlib.compress(b"profile")),
        section("mask", b"\x00"),
        network_section(*smooth_network(np.random.default_rng(0), 5, 3, 3)),
    )


def samples_file(channels: int = 2) -> bytes:
    """A file with scattered samples on three axes."""
    rng = np.random.default_rng(0)
    operations = [
        Operation(SINUSOID, integers=(0, 10, 4), constants=(2.0, 0.5)),
        Operation(BINARY, integers=(1, 6, 4)),
        Operation(MULTIPLY, [1, 2]),
        Operation(ONE_HOT, integers=(2, 4)),
        Operation(ADD, [1, 2]),
        Operation(LINEAR, [1], weights=random_weights(rng, channels, 4)),
    ]
    axes = [(10, -1.0, 3.0), (6, 0.0, 0.5), (4, 16.0, 32.0)]
    return container(
        section("S", samples_payload(axes, RANGES[:channels])),
        section("N", network_payload(Program(3, operations))),
    )
