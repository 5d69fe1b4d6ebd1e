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
            elif operation.weights is not None:
                value = WEIGHTED[operation.opcode](inputs[0], operation.weights.values())
            else:
                value = ELEMENTWISE[operation.opcode](*inputs)
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


# Operations by opcode ------------------------------------------------------------------------

ENCODINGS: dict[int, Callable[..., Float32Array]] = {
    SINUSOID: _sinusoid,
    ONE_HOT: _one_hot,
    BINARY: _binary,
}
WEIGHTED: dict[int, Callable[[Float32Array, Float32Array], Float32Array]] = {
    LINEAR: _linear,
    SHIFT: np.add,
    SCALE: np.multiply,
}
ELEMENTWISE: dict[int, Callable[..., Float32Array]] = {
    ADD: np.add,
    MULTIPLY: np.multiply,
    TANH: tanh,
    GELU: gelu,
    SIGMOID: sigmoid,
}
