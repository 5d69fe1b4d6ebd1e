"""Exact evaluation of programs by the engine, in blocks that bound memory and answer Ctrl-C."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fieldpack import _engine
from fieldpack.errors import FormatError, RequestError
from fieldpack.program.graph import Program

_BLOCK_MULTIPLICATIONS = 1 << 34
_BLOCK_WIDTH = 1024
_BLOCK_FLOATS = 1 << 24
_MAX_BLOCK_POINTS = 1 << 18


class Evaluator:
    """Evaluates one program; the same bits on every machine and for any number of threads.

    Args:
        program: What to evaluate.
        threads: Threads to use; 0 means one for each core.

    Raises:
        FormatError: The engine refuses the program.
        RequestError: FIELDPACK_ISA names an instruction set that is not there.
    """

    def __init__(self, program: Program, threads: int = 0) -> None:
        """Hand the program to the engine."""
        self.program = program
        self.threads = threads
        try:
            _engine.instruction_set()
        except ValueError as error:
            raise RequestError(f"FIELDPACK_ISA: {error}") from None
        operations = [
            (int(op.opcode), op.inputs, op.tensors, op.integers, op.floats)
            for op in program.operations
        ]
        try:
            self._engine = _engine.Program(program.axes, operations, program.tensors)
        except ValueError as error:
            raise FormatError(f"the network is not valid: {error}") from None
        self._block_points = _points_in_a_block(program)

    def points(self, coordinates: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values (n, channels) at coordinates (n, axes) in [-1, 1]."""
        count = len(coordinates)
        values = np.empty((count, self.program.output_channels), np.float32)
        for start in range(0, count, self._block_points):
            block = np.ascontiguousarray(coordinates[start : start + self._block_points])
            values[start : start + len(block)] = self._engine.points(block, self.threads)
        return values

    def enlarging(self, pitch: tuple[float, float]) -> Evaluator:
        """The same: a network is a function of any coordinates."""
        return self

    def grid(self, coordinates: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
        """Values (n_last, ..., n_0, channels) at all combinations of the axes' coordinates.

        Args:
            coordinates: One array (n_i,) an axis, x first, in [-1, 1].
        """
        shape = (*(len(c) for c in coordinates[::-1]), self.program.output_channels)
        values = np.empty(shape, np.float32)
        # What depends on x alone is held for a whole block at once.
        width = min(_BLOCK_WIDTH, self._block_points, _BLOCK_FLOATS // sum(self.program.channels))
        lengths = [width] + [1] * (len(coordinates) - 1)
        room = max(1, self._block_points // width)
        for axis in range(1, len(coordinates)):
            lengths[axis] = min(room, len(coordinates[axis]))
            room = max(1, room // lengths[axis])
        for place in _blocks([len(c) for c in coordinates], lengths):
            block = [
                np.ascontiguousarray(c[s], np.float64)
                for c, s in zip(coordinates, place, strict=True)
            ]
            values[place[::-1]] = self._engine.grid(block, self.threads)
        return values


def _points_in_a_block(program: Program) -> int:
    """Points evaluated by one uninterruptible call, so that it takes a fraction of a second."""
    cost = program.multiplications + sum(program.channels)
    return max(64, min(_MAX_BLOCK_POINTS, _BLOCK_MULTIPLICATIONS // cost))


def _blocks(sizes: list[int], lengths: list[int]) -> Iterator[tuple[slice, ...]]:
    """Yield the places of blocks of `lengths` that cover an array of `sizes`."""
    starts = [range(0, size, length) for size, length in zip(sizes, lengths, strict=True)]
    for corner in itertools.product(*starts[::-1]):
        yield tuple(
            slice(start, min(start + length, size))
            for start, length, size in zip(corner[::-1], lengths, sizes, strict=True)
        )
