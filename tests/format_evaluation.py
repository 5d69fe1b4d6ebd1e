"""What the operations of a network compute, from sections 4 and 6 of docs/format.md alone.

One elementwise NumPy operation at a time, in the order of the page, so that the results are the
format's to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from format_weights import Weights
from numpy.typing import NDArray

SINUSOID, ONE_HOT, BINARY, LINEAR, ADD, MULTIPLY, SHIFT, SCALE, TANH, GELU, SIGMOID = range(1, 12)
COORDINATE, SINE, COSINE, RELU, ABSOLUTE, GAUSSIAN, COMPLEX_LINEAR, GABOR, HASH_GRID = range(12, 21)

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


@dataclass
class Operation:
    """One operation; `inputs` says how many operations back each input is."""

    opcode: int
    inputs: Sequence[int] = ()
    integers: Sequence[int] = ()
    constants: Sequence[float] = ()
    weights: Weights | None = None


@dataclass
class Program:
    """The content of section N."""

    axes: int
    operations: list[Operation]


def evaluate(program: Program, coordinates: Float64Array) -> Float32Array:
    """The field's values (points, channels) at coordinates (points, axes)."""
    values: list[Float32Array] = []  # each (channels, points)
    with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
        for operation in program.operations:
            inputs = [values[-back] for back in operation.inputs]
            if operation.opcode in ENCODINGS:
                axis, *integers = operation.integers
                encode = ENCODINGS[operation.opcode]
                value = encode(coordinates[:, axis], *integers, *operation.constants)
            elif operation.opcode == HASH_GRID:
                assert operation.weights is not None
                table = operation.weights.values()
                value = hash_grid(coordinates, operation.integers[0], table)
            elif operation.weights is not None:
                value = WEIGHTED[operation.opcode](inputs[0], operation.weights.values())
            else:
                value = ELEMENTWISE[operation.opcode](*inputs, *operation.constants)
            assert value.dtype == np.float32
            values.append(value)
    return values[-1].T


def _position(coordinates: Float64Array, places: int) -> Float64Array:
    return coordinates * (places / 2) + (places - 1) / 2


def _nearest_position(coordinates: Float64Array, places: int) -> list[int]:
    nearest = np.floor(_position(coordinates, places) + 0.5)
    return [0 if not value >= 0 else int(min(value, places - 1)) for value in nearest.tolist()]


def _sinusoid(
    coordinates: Float64Array, places: int, length: int, first: float, ratio: float
) -> Float32Array:
    position = _position(coordinates, places)
    frequency, rows = np.float64(first), []
    for _ in range(length):
        turns = (position * frequency) * 0.15915494309189534
        rows.append(sine_of_turns(turns).astype(np.float32))
        frequency = frequency * np.float64(ratio)
    return np.stack(rows)


def _one_hot(coordinates: Float64Array, places: int) -> Float32Array:
    nearest = np.array(_nearest_position(coordinates, places))
    return (np.arange(places)[:, None] == nearest).astype(np.float32)


def _binary(coordinates: Float64Array, places: int, length: int) -> Float32Array:
    nearest = _nearest_position(coordinates, places)
    return np.array([[(at >> k) & 1 for at in nearest] for k in range(length)], np.float32)


def _linear(x: Float32Array, weights: Float32Array) -> Float32Array:
    total = np.zeros((len(weights), x.shape[1]), np.float32)
    for column, row in zip(weights.T, x, strict=True):
        product = column[:, None] * row[None, :]
        total = total + product
    return total


def _complex_linear(x: Float32Array, weights: Float32Array) -> Float32Array:
    real, imaginary = np.split(weights, 2, axis=1)
    return _linear(x, np.block([[real, -imaginary], [imaginary, real]]))


PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737, 1220703125)


def hash_grid(coordinates: Float64Array, cells: int, table: Float32Array) -> Float32Array:
    """One level of a hash grid, point by point."""
    rows = [_hash_grid_at(point, cells, table) for point in coordinates.tolist()]
    return np.array(rows, np.float32).reshape(len(rows), -1).T


def _hash_grid_at(point: list[float], cells: int, table: Float32Array) -> Float32Array:
    lower, fractions = [], []
    for c in point:
        place = c * (cells / 2) + cells / 2
        place = min(place, float(cells)) if place > 0 else 0.0
        lower.append(min(int(place), cells - 1))
        fractions.append(np.float32(place - lower[-1]))
    total = np.zeros(table.shape[1], np.float32)
    for k in range(2 ** len(point)):
        bits = [k >> axis & 1 for axis in range(len(point))]
        weight = np.float32(1)
        for bit, fraction in zip(bits, fractions, strict=True):
            weight = weight * (fraction if bit else np.float32(1) - fraction)
        corner = [at + bit for at, bit in zip(lower, bits, strict=True)]
        if len(table) >= (cells + 1) ** len(point):
            entry = sum(at * (cells + 1) ** axis for axis, at in enumerate(corner))
        else:
            entry = 0
            for at, prime in zip(corner, PRIMES, strict=False):
                entry ^= at * prime % 2**32
            entry %= len(table)
        total = total + weight * table[entry]
    return total


# Elementary functions ------------------------------------------------------------------------


def _horner(y: Float32Array, x: Float32Array, coefficients: Iterable[float]) -> Float32Array:
    for coefficient in coefficients:
        y = y * x + np.float32(coefficient)
    return y


def exponential(x: Float32Array) -> Float32Array:
    """The format's exp(x)."""
    x = np.where(x > np.float32(-87), x, np.float32(-87))
    x = np.where(x < np.float32(88), x, np.float32(88))
    n = np.rint(x * np.float32(1.44269504))
    r = (x - n * np.float32(0.693359375)) - n * np.float32(-2.12194440e-4)
    y = np.full_like(x, 1 / 720)
    y = _horner(y, r, (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1, 1))
    return y * np.ldexp(np.float32(1), n.astype(np.int32))


def tanh(x: Float32Array) -> Float32Array:
    """The format's tanh(x)."""
    one, two = np.float32(1), np.float32(2)
    return one - two / (exponential(x + x) + one)


def sigmoid(x: Float32Array) -> Float32Array:
    """The format's sigmoid(x)."""
    one = np.float32(1)
    return one / (exponential(-x) + one)


def gelu(x: Float32Array) -> Float32Array:
    """The format's GELU(x)."""
    one = np.float32(1)
    z = np.abs(x)
    t = one / (one + np.float32(0.23164190) * z)
    y = np.full_like(x, 0.53070271)
    y = _horner(y, t, (-0.72657601, 0.71070687, -0.14224837, 0.12741480))
    tail = (y * t) * exponential(np.float32(-0.5) * (z * z))
    return np.where(x < 0, x * tail, x * (one - tail))


# Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, ties to even, up to 2^51, and is
# what the format does beyond, too.
ROUNDING = 6755399441055744.0


def sine_of_turns(t: Float64Array) -> Float64Array:
    """The format's S(t), about sin(2 pi t)."""
    u = t - ((t + ROUNDING) - ROUNDING)
    u = np.where(u > 0.25, 0.5 - u, u)
    u = np.where(u < -0.25, -0.5 - u, u)
    q = u * u
    y = np.full_like(u, 3.8199525848482803)
    for coefficient in (
        -15.094642576822984,
        42.058693944897634,
        -76.70585975306136,
        81.60524927607504,
        -41.341702240399755,
        6.283185307179586,
    ):
        y = y * q + coefficient
    return y * u


def _coordinate(coordinates: Float64Array) -> Float32Array:
    return coordinates.astype(np.float32)[None]


def _sine(x: Float32Array, frequency: float, quarter: float = 0.0) -> Float32Array:
    turns = (x.astype(np.float64) * frequency) * 0.15915494309189534
    return sine_of_turns(turns + quarter).astype(np.float32)


def _cosine(x: Float32Array, frequency: float) -> Float32Array:
    return _sine(x, frequency, 0.25)


def _gabor(x: Float32Array, frequency: float, sharpness: float) -> Float32Array:
    a, b = np.split(x, 2)
    f, s = np.float32(frequency), np.float32(sharpness)
    e = exponential(-(f * b) - (s * s) * (a * a + b * b))
    return np.concatenate([e * _cosine(a, frequency), e * _sine(a, frequency)])


# Operations by opcode ------------------------------------------------------------------------

ENCODINGS: dict[int, Callable[..., Float32Array]] = {
    SINUSOID: _sinusoid,
    ONE_HOT: _one_hot,
    BINARY: _binary,
    COORDINATE: _coordinate,
}
WEIGHTED: dict[int, Callable[[Float32Array, Float32Array], Float32Array]] = {
    LINEAR: _linear,
    COMPLEX_LINEAR: _complex_linear,
    SHIFT: np.add,
    SCALE: np.multiply,
}
ELEMENTWISE: dict[int, Callable[..., Float32Array]] = {
    ADD: np.add,
    MULTIPLY: np.multiply,
    TANH: tanh,
    GELU: gelu,
    SIGMOID: sigmoid,
    SINE: _sine,
    COSINE: _cosine,
    RELU: lambda x: np.where(x > 0, x, np.float32(0)),
    ABSOLUTE: np.abs,
    GAUSSIAN: lambda x: exponential(-(x * x)),
    GABOR: _gabor,
}
