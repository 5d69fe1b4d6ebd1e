"""Programs with quantised weights to bytes and back (docs/format.md, "Section N: network")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.errors import FormatError
from fieldpack.program.graph import (
    ARITY,
    MAX_AXES,
    MAX_CHANNELS,
    MAX_OPERATIONS,
    MAX_WEIGHTS,
    Opcode,
    Operation,
    Program,
)
from fieldpack.program.weights import (
    QuantizedTensor,
    WeightDecoder,
    WeightDistribution,
    WeightEncoder,
)

_NAME = "the network"


@dataclass(frozen=True)
class TensorCost:
    """Where the bytes of a network go.

    Attributes:
        operation: Index of the operation that reads the tensor.
        shape: The tensor's.
        step: Its quantisation step.
        bits: Bits that its symbols take.
    """

    operation: int
    shape: tuple[int, ...]
    step: float
    bits: float


def write_program(program: Program, tensors: Sequence[QuantizedTensor]) -> bytes:
    """Return the bytes of `program` with `tensors` in the place of its own.

    Every operation that reads weights must read a tensor of its own, in order.
    """
    if [t for op in program.operations for t in op.tensors] != list(range(len(tensors))):
        raise ValueError("tensors must be read once each, in order")
    writer = ByteWriter()
    writer.byte(program.axes)
    writer.varint(len(program.operations))
    weights = WeightEncoder()
    for index, op in enumerate(program.operations):
        writer.byte(op.opcode)
        for value in op.inputs:
            writer.varint(index - value)
        for integer in op.integers:
            writer.varint(integer)
        for number in op.floats:
            writer.float32(number)
        for tensor in op.tensors:
            quantized = tensors[tensor]
            writer.varint(quantized.symbols.shape[0])
            writer.float32(quantized.step)
            distribution, _ = WeightDistribution.fit(quantized.symbols)
            distribution.write(writer)
            weights.encode(quantized.symbols, distribution)
    writer.raw(weights.finish())
    return writer.getvalue()


def program_bits(tensors: Sequence[QuantizedTensor]) -> float:
    """Return about how many bits the tensors take in a file."""
    return sum(WeightDistribution.fit(tensor.symbols)[1] for tensor in tensors)


def read_program(data: bytes) -> tuple[Program, list[TensorCost]]:
    """Return the program and what its tensors cost.

    Raises:
        FormatError: The bytes are not a valid program.
    """
    reader = ByteReader(data, _NAME)
    axes = reader.byte()
    if not 1 <= axes <= MAX_AXES:
        raise FormatError(f"{_NAME} has {axes} coordinates; 1 to {MAX_AXES} are possible")
    count = reader.varint(limit=MAX_OPERATIONS)
    operations: list[Operation] = []
    channels: list[int] = []
    pending: list[tuple[int, tuple[int, ...], float, WeightDistribution]] = []
    weight_count = 0
    for index in range(count):
        operation, shape, result = _read_operation(reader, index, channels, len(pending))
        operations.append(operation)
        channels.append(result)
        if shape is not None:
            weight_count += shape[0] * (shape[1] if len(shape) > 1 else 1)
            if weight_count > MAX_WEIGHTS:
                raise FormatError(f"{_NAME} has more than {MAX_WEIGHTS} weights")
            step = reader.float32()
            pending.append((index, shape, step, WeightDistribution.read(reader)))

    decoder = WeightDecoder(reader.rest())
    tensors, costs = [], []
    for index, shape, step, distribution in pending:
        quantized = QuantizedTensor(decoder.decode(shape, distribution), step)
        tensors.append(quantized.values())
        costs.append(TensorCost(index, shape, step, distribution.bits(quantized.symbols)))
    return Program(axes, tuple(operations), tuple(tensors)), costs


def _read_operation(
    reader: ByteReader, index: int, channels: list[int], tensors: int
) -> tuple[Operation, tuple[int, ...] | None, int]:
    """Return an operation, its tensor's shape if it has one, and its result's channels."""
    code = reader.byte()
    try:
        opcode = Opcode(code)
    except ValueError:
        raise FormatError(f"{_NAME} uses the unknown operation {code}") from None
    arity = ARITY[opcode]
    inputs = tuple(index - reader.varint() for _ in range(arity.inputs))
    if any(not 0 <= value < index for value in inputs):
        raise FormatError(f"{_NAME}: operation {index} reads a value that is not there yet")
    integers = tuple(reader.varint() for _ in range(arity.integers))
    floats = tuple(reader.float32() for _ in range(arity.floats))
    result = channels[inputs[0]] if inputs else integers[-1]
    if opcode is Opcode.COORDINATE:
        result = 1
    if not 1 <= result <= MAX_CHANNELS:
        raise FormatError(f"{_NAME}: operation {index} has {result} channels")
    if not arity.tensors:
        return Operation(opcode, inputs, (), integers, floats), None, result
    length = reader.varint(limit=MAX_WEIGHTS if opcode is Opcode.HASH_GRID else MAX_CHANNELS)
    if not length:
        raise FormatError(f"{_NAME}: operation {index} has empty weights")
    shape: tuple[int, ...] = (length,)
    if opcode in (Opcode.LINEAR, Opcode.COMPLEX_LINEAR, Opcode.HASH_GRID):
        shape = (length, result)
    if opcode is Opcode.LINEAR:
        result = length
    elif opcode is Opcode.COMPLEX_LINEAR:
        result = 2 * length
    return Operation(opcode, inputs, (tensors,), integers, floats), shape, result
