"""A plain float64 interpreter of programs: one NumPy expression an operation."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    raise AssertionError(f"no reference for {operation.opcode!r}")


def _position(coordinate: Array, positions: int) -> Array:
    return coordinate * positions / 2 + (positions - 1) / 2


def _nearest(coordinate: Array, positions: int) -> NDArray[np.int64]:
    nearest = np.floor(_position(coordinate, positions) + 0.5).astype(np.int64)
    return np.clip(nearest, 0, positions - 1)
