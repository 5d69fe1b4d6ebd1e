"""A field's network as a program: a list of elementary operations on channels of numbers.

PyTorch modules are exported to programs, files store them, and the engine evaluates them, so that
a file needs no torch and any new network built from known operations needs no new decoder.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fieldpack.errors import FormatError

MAX_AXES = 8
MAX_OPERATIONS = 4096
MAX_CHANNELS = 1 << 16
MAX_TOTAL_CHANNELS = 1 << 17
MAX_WEIGHTS = 1 << 24


class Opcode(enum.IntEnum):
    """Numbers of the operations in the file (docs/format.md, "Operations")."""

    SINUSOID = 1
    ONE_HOT = 2
    BINARY = 3
    LINEAR = 4
    ADD = 5
    MULTIPLY = 6
    SHIFT = 7
    SCALE = 8
    TANH = 9
    GELU = 10
    SIGMOID = 11
    COORDINATE = 12
    SINE = 13
    COSINE = 14
    RELU = 15
    ABSOLUTE = 16
    GAUSSIAN = 17
    COMPLEX_LINEAR = 18
    GABOR = 19
    HASH_GRID = 20


@dataclass(frozen=True)
class Arity:
    """How many of each kind of argument an operation takes."""

    inputs: int
    tensors: int
    integers: int
    floats: int


ARITY: dict[Opcode, Arity] = {
    Opcode.SINUSOID: Arity(0, 0, 3, 2),
    Opcode.ONE_HOT: Arity(0, 0, 2, 0),
    Opcode.BINARY: Arity(0, 0, 3, 0),
    Opcode.LINEAR: Arity(1, 1, 0, 0),
    Opcode.ADD: Arity(2, 0, 0, 0),
    Opcode.MULTIPLY: Arity(2, 0, 0, 0),
    Opcode.SHIFT: Arity(1, 1, 0, 0),
    Opcode.SCALE: Arity(1, 1, 0, 0),
    Opcode.TANH: Arity(1, 0, 0, 0),
    Opcode.GELU: Arity(1, 0, 0, 0),
    Opcode.SIGMOID: Arity(1, 0, 0, 0),
    Opcode.COORDINATE: Arity(0, 0, 1, 0),
    Opcode.SINE: Arity(1, 0, 0, 1),
    Opcode.COSINE: Arity(1, 0, 0, 1),
    Opcode.RELU: Arity(1, 0, 0, 0),
    Opcode.ABSOLUTE: Arity(1, 0, 0, 0),
    Opcode.GAUSSIAN: Arity(1, 0, 0, 0),
    Opcode.COMPLEX_LINEAR: Arity(1, 1, 0, 0),
    Opcode.GABOR: Arity(1, 0, 0, 2),
    Opcode.HASH_GRID: Arity(0, 1, 2, 0),
}


@dataclass(frozen=True)
class Operation:
    """One operation; its result is the value with the same index as the operation.

    Attributes:
        opcode: What to compute.
        inputs: Indices of earlier operations whose results it reads.
        tensors: Indices of the weights it reads.
        integers: Sizes and axes, meaning by opcode.
        floats: Constants, exactly representable as float32, meaning by opcode.
    """

    opcode: Opcode
    inputs: tuple[int, ...] = ()
    tensors: tuple[int, ...] = ()
    integers: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()


@dataclass(frozen=True)
class Program:
    """A checked program.

    Attributes:
        axes: Number of coordinates d of a point.
        operations: In order of evaluation; the last one's result is the field's value.
        tensors: Weights, float32; rank 2 for `LINEAR` and `COMPLEX_LINEAR` (outputs, inputs) and
            for `HASH_GRID` (entries, channels), rank 1 otherwise.
        channels: Channels of every operation's result.

    Raises:
        FormatError: An operation reads what does not exist, sizes disagree or exceed the limits.
    """

    axes: int
    operations: tuple[Operation, ...]
    tensors: tuple[NDArray[np.float32], ...]
    channels: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.axes <= MAX_AXES:
            raise FormatError(f"a program has 1 to {MAX_AXES} coordinates, not {self.axes}")
        if not 1 <= len(self.operations) <= MAX_OPERATIONS:
            raise FormatError(f"a program has 1 to {MAX_OPERATIONS} operations")
        if sum(tensor.size for tensor in self.tensors) > MAX_WEIGHTS:
            raise FormatError(f"a program has at most {MAX_WEIGHTS} weights")
        channels: list[int] = []
        for operation in self.operations:
            channels.append(self._result_channels(operation, channels))
        if sum(channels) > MAX_TOTAL_CHANNELS:
            raise FormatError(
                f"a program's values have at most {MAX_TOTAL_CHANNELS} channels together"
            )
        object.__setattr__(self, "channels", tuple(channels))

    @property
    def output_channels(self) -> int:
        """Channels of the field's value."""
        return self.channels[-1]

    @property
    def weight_count(self) -> int:
        """Numbers in all tensors together."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def multiplications(self) -> int:
        """Multiplications of the matrix products, and of hash grids, at one point."""
        total = 0
        for op in self.operations:
            if op.opcode is Opcode.HASH_GRID:
                total += (1 << self.axes) * op.integers[1]
            elif op.opcode in (Opcode.LINEAR, Opcode.COMPLEX_LINEAR):
                size = self.tensors[op.tensors[0]].size
                total += size if op.opcode is Opcode.LINEAR else 2 * size
        return total

    def with_tensors(self, tensors: Sequence[NDArray[np.float32]]) -> Program:
        """Return the same operations with other weights of the same shapes."""
        return replace(self, tensors=tuple(tensors))

    def _result_channels(self, operation: Operation, channels: list[int]) -> int:
        index = len(channels)
        name = operation.opcode.name.lower()
        arity = ARITY[operation.opcode]
        counts = Arity(
            len(operation.inputs),
            len(operation.tensors),
            len(operation.integers),
            len(operation.floats),
        )
        if counts != arity:
            raise FormatError(f"operation {index} ({name}) has the wrong number of arguments")
        if any(not 0 <= i < index for i in operation.inputs):
            raise FormatError(f"operation {index} ({name}) reads a value that is not there yet")
        if any(not 0 <= t < len(self.tensors) for t in operation.tensors):
            raise FormatError(f"operation {index} ({name}) reads weights that are not there")
        if not np.all(np.isfinite(operation.floats)):
            raise FormatError(f"operation {index} ({name}) has a constant that is not finite")

        inputs = [channels[i] for i in operation.inputs]
        tensors = [self.tensors[t] for t in operation.tensors]
        match operation.opcode:
            case Opcode.SINUSOID | Opcode.BINARY:
                axis, positions, result = operation.integers
                self._check_axis(index, name, axis, positions)
            case Opcode.ONE_HOT:
                axis, positions = operation.integers
                self._check_axis(index, name, axis, positions)
                result = positions
            case Opcode.LINEAR:
                if tensors[0].ndim != 2 or tensors[0].shape[1] != inputs[0]:
                    raise FormatError(f"operation {index} (linear): matrix and input disagree")
                result = tensors[0].shape[0]
            case Opcode.COMPLEX_LINEAR:
                if inputs[0] % 2:
                    raise FormatError(f"operation {index} ({name}): the input is not complex")
                if tensors[0].ndim != 2 or tensors[0].shape[1] != inputs[0]:
                    raise FormatError(f"operation {index} ({name}): matrix and input disagree")
                result = 2 * tensors[0].shape[0]
            case Opcode.GABOR:
                if inputs[0] % 2:
                    raise FormatError(f"operation {index} ({name}): the input is not complex")
                result = inputs[0]
            case Opcode.COORDINATE:
                self._check_axis(index, name, operation.integers[0], 1)
                result = 1
            case Opcode.HASH_GRID:
                cells, result = operation.integers
                self._check_axis(index, name, 0, cells)
                if tensors[0].ndim != 2 or not tensors[0].shape[0]:
                    raise FormatError(f"operation {index} ({name}) has no table")
                if tensors[0].shape[1] != result:
                    raise FormatError(f"operation {index} ({name}): table and channels disagree")
            case Opcode.ADD | Opcode.MULTIPLY:
                if inputs[0] != inputs[1]:
                    raise FormatError(f"operation {index} ({name}): inputs differ in channels")
                result = inputs[0]
            case Opcode.SHIFT | Opcode.SCALE:
                if tensors[0].shape not in ((inputs[0],), (1,)):
                    raise FormatError(f"operation {index} ({name}): weights and input disagree")
                result = inputs[0]
            case _:
                result = inputs[0]
        if not 1 <= result <= MAX_CHANNELS:
            raise FormatError(f"operation {index} ({name}) has {result} channels")
        return result

    def _check_axis(self, index: int, name: str, axis: int, positions: int) -> None:
        if not 0 <= axis < self.axes:
            raise FormatError(f"operation {index} ({name}) reads coordinate {axis}")
        if not 1 <= positions < 1 << 31:
            raise FormatError(f"operation {index} ({name}) has {positions} positions")


class ProgramBuilder:
    """Builds a program operation by operation; each method returns the index of its result.

    Example:
        >>> builder = ProgramBuilder(axes=2)
        >>> code = builder.sinusoid(axis=0, positions=768, length=11, first=2.0, ratio=0.5)
        >>> hidden = builder.tanh(builder.linear(code, np.ones((3, 11)), bias=np.zeros(3)))
        >>> builder.build().output_channels
        3
    """

    def __init__(self, axes: int) -> None:
        """Start an empty program of points with `axes` coordinates."""
        self._axes = axes
        self._operations: list[Operation] = []
        self._tensors: list[NDArray[np.float32]] = []

    def build(self) -> Program:
        """Return the program; the operation added last gives the field's value."""
        return Program(self._axes, tuple(self._operations), tuple(self._tensors))

    def sinusoid(self, axis: int, positions: int, length: int, first: float, ratio: float) -> int:
        """Positional encoding `sin(first · ratio^i · p)`, i < length.

        p is the position 0 .. positions - 1 along `axis`: a coordinate c in [-1, 1] gives
        p = c · positions / 2 + (positions - 1) / 2, which also holds between pixel centres.
        `first` and `ratio` are rounded to float32.
        """
        floats = (float(np.float32(first)), float(np.float32(ratio)))
        return self._add(Opcode.SINUSOID, integers=(axis, positions, length), floats=floats)

    def one_hot(self, axis: int, positions: int) -> int:
        """One channel a position: 1 at the nearest position, 0 elsewhere."""
        return self._add(Opcode.ONE_HOT, integers=(axis, positions))

    def binary(self, axis: int, positions: int, length: int) -> int:
        """Bits of the nearest position, lowest first, as 0 or 1."""
        return self._add(Opcode.BINARY, integers=(axis, positions, length))

    def linear(self, value: int, weight: ArrayLike, bias: ArrayLike | None = None) -> int:
        """Matrix `weight` (outputs, inputs) times the value, plus `bias` (outputs,) if given."""
        result = self._add(Opcode.LINEAR, inputs=(value,), tensor=weight)
        return result if bias is None else self.shift(result, bias)

    def add(self, first: int, second: int) -> int:
        """Sum of two values."""
        return self._add(Opcode.ADD, inputs=(first, second))

    def multiply(self, first: int, second: int) -> int:
        """Elementwise product of two values."""
        return self._add(Opcode.MULTIPLY, inputs=(first, second))

    def shift(self, value: int, offset: ArrayLike) -> int:
        """Value plus `offset`, (channels,) or (1,)."""
        return self._add(Opcode.SHIFT, inputs=(value,), tensor=offset)

    def scale(self, value: int, factor: ArrayLike) -> int:
        """Value times `factor`, (channels,) or (1,)."""
        return self._add(Opcode.SCALE, inputs=(value,), tensor=factor)

    def tanh(self, value: int) -> int:
        """Hyperbolic tangent."""
        return self._add(Opcode.TANH, inputs=(value,))

    def gelu(self, value: int) -> int:
        """Gaussian error linear unit with the exact normal distribution (not the tanh form)."""
        return self._add(Opcode.GELU, inputs=(value,))

    def sigmoid(self, value: int) -> int:
        """Logistic function."""
        return self._add(Opcode.SIGMOID, inputs=(value,))

    def coordinate(self, axis: int) -> int:
        """The coordinate of an axis, in [-1, 1] within the domain: one channel."""
        return self._add(Opcode.COORDINATE, integers=(axis,))

    def sine(self, value: int, frequency: float = 1.0) -> int:
        """`sin(frequency · value)`; the frequency is rounded to float32."""
        return self._add(Opcode.SINE, inputs=(value,), floats=(float(np.float32(frequency)),))

    def cosine(self, value: int, frequency: float = 1.0) -> int:
        """`cos(frequency · value)`; the frequency is rounded to float32."""
        return self._add(Opcode.COSINE, inputs=(value,), floats=(float(np.float32(frequency)),))

    def relu(self, value: int) -> int:
        """The larger of the value and 0."""
        return self._add(Opcode.RELU, inputs=(value,))

    def absolute(self, value: int) -> int:
        """The value without its sign."""
        return self._add(Opcode.ABSOLUTE, inputs=(value,))

    def gaussian(self, value: int) -> int:
        """`exp(-value²)`."""
        return self._add(Opcode.GAUSSIAN, inputs=(value,))

    def complex_linear(self, value: int, weight: ArrayLike) -> int:
        """Complex matrix times a complex value, whose real channels come before the imaginary.

        Args:
            value: 2n channels.
            weight: (outputs, 2n): the real, then the imaginary parts of each row.
        """
        return self._add(Opcode.COMPLEX_LINEAR, inputs=(value,), tensor=weight)

    def gabor(self, value: int, omega: float, scale: float) -> int:
        """`exp(i · omega · z - |scale · z|²)` of a complex value z; constants become float32."""
        floats = (float(np.float32(omega)), float(np.float32(scale)))
        return self._add(Opcode.GABOR, inputs=(value,), floats=floats)

    def hash_grid(self, cells: int, table: ArrayLike) -> int:
        """Vectors at the corners of a grid of `cells` an axis, interpolated linearly.

        Args:
            cells: Cells of the grid along every axis, over the domain.
            table: (entries, channels). A grid with more corners than entries shares them, by a
                hash of the corner (docs/format.md, "Hash grid").
        """
        size = np.shape(table)[1]
        return self._add(Opcode.HASH_GRID, tensor=table, integers=(cells, size))

    def _add(
        self,
        opcode: Opcode,
        *,
        inputs: tuple[int, ...] = (),
        tensor: ArrayLike | None = None,
        integers: tuple[int, ...] = (),
        floats: tuple[float, ...] = (),
    ) -> int:
        tensors: tuple[int, ...] = ()
        if tensor is not None:
            tensors = (len(self._tensors),)
            self._tensors.append(np.ascontiguousarray(tensor, dtype=np.float32))
        self._operations.append(Operation(opcode, inputs, tensors, integers, floats))
        return len(self._operations) - 1
