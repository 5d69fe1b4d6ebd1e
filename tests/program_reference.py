"""A plain float64 interpreter of programs: one NumPy expression an operation."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RegularGridInterpolator

from fieldpack.program import Opcode, Operation, Program

Array = NDArray[np.float64]

_erf = np.vectorize(math.erf, otypes=[float])


def evaluate(program: Program, coordinates: ArrayLike) -> Array:
    """Evaluate a program at `coordinates` (N, d) in [-1, 1], as values (N, C)."""
    points = np.asarray(coordinates, dtype=np.float64)
    tensors = [tensor.astype(np.float64) for tensor in program.tensors]
    values: list[Array] = []
    for operation in program.operations:
        inputs = [values[i] for i in operation.inputs]
        values.append(_result(operation, inputs, [tensors[t] for t in operation.tensors], points))
    return values[-1]


def _result(
    operation: Operation, inputs: Sequence[Array], tensors: Sequence[Array], points: Array
) -> Array:
    integers, floats = operation.integers, operation.floats
    match operation.opcode:
        case Opcode.SINUSOID:
            axis, positions, length = integers
            first, ratio = floats
            frequencies = np.array([first * ratio**i for i in range(length)])
            return np.sin(_position(points[:, axis], positions)[:, None] * frequencies)
        case Opcode.ONE_HOT:
            axis, positions = integers
            return np.eye(positions)[_nearest(points[:, axis], positions)]
        case Opcode.BINARY:
            axis, positions, length = integers
            nearest = _nearest(points[:, axis], positions)
            return np.stack([(nearest >> bit) % 2 for bit in range(length)], axis=1).astype(float)
        case Opcode.LINEAR:
            return inputs[0] @ tensors[0].T
        case Opcode.ADD:
            return inputs[0] + inputs[1]
        case Opcode.MULTIPLY:
            return inputs[0] * inputs[1]
        case Opcode.SHIFT:
            return inputs[0] + tensors[0]
        case Opcode.SCALE:
            return inputs[0] * tensors[0]
        case Opcode.TANH:
            return np.tanh(inputs[0])
        case Opcode.GELU:
            return inputs[0] * 0.5 * (1 + _erf(inputs[0] / np.sqrt(2)))
        case Opcode.SIGMOID:
            return 0.5 + 0.5 * np.tanh(0.5 * inputs[0])
        case Opcode.COORDINATE:
            return points[:, [integers[0]]]
        case Opcode.SINE:
            return np.sin(floats[0] * inputs[0])
        case Opcode.COSINE:
            return np.cos(floats[0] * inputs[0])
        case Opcode.RELU:
            return np.maximum(inputs[0], 0)
        case Opcode.ABSOLUTE:
            return np.abs(inputs[0])
        case Opcode.GAUSSIAN:
            return np.exp(-np.square(inputs[0]))
        case Opcode.COMPLEX_LINEAR:
            return _parts(_complex(inputs[0]) @ _complex(tensors[0]).T)
        case Opcode.GABOR:
            omega, scale = floats
            z = _complex(inputs[0])
            return _parts(np.exp(1j * omega * z - np.square(np.abs(scale * z))))
        case Opcode.HASH_GRID:
            return _dense_grid(points, integers[0], tensors[0])
    raise AssertionError(f"no reference for {operation.opcode!r}")


def _complex(parts: Array) -> NDArray[np.complex128]:
    real, imaginary = np.split(parts, 2, axis=-1)
    return real + 1j * imaginary


def _parts(values: NDArray[np.complex128]) -> Array:
    return np.concatenate([values.real, values.imag], axis=-1)


def _dense_grid(points: Array, cells: int, table: Array) -> Array:
    axes = points.shape[1]
    corners = table[: (cells + 1) ** axes].reshape(*[cells + 1] * axes, -1)
    places = [np.linspace(-1, 1, cells + 1)] * axes
    # The table's first axis varies fastest, so it is the array's last.
    grid = RegularGridInterpolator(places, corners)
    return grid(np.clip(points[:, ::-1], -1, 1))


def _position(coordinate: Array, positions: int) -> Array:
    return coordinate * positions / 2 + (positions - 1) / 2


def _nearest(coordinate: Array, positions: int) -> NDArray[np.int64]:
    nearest = np.floor(_position(coordinate, positions) + 0.5).astype(np.int64)
    return np.clip(nearest, 0, positions - 1)
