"""Networks as programs: operations, exact evaluation, coding of the weights. Needs no torch."""

from fieldpack.program.evaluation import Evaluator
from fieldpack.program.graph import Opcode, Operation, Program, ProgramBuilder
from fieldpack.program.quantization import quantize_to_bits, quantize_to_loss
from fieldpack.program.serialization import (
    TensorCost,
    program_bits,
    read_program,
    write_program,
)
from fieldpack.program.weights import QuantizedTensor

__all__ = [
    "Evaluator",
    "Opcode",
    "Operation",
    "Program",
    "ProgramBuilder",
    "QuantizedTensor",
    "TensorCost",
    "program_bits",
    "quantize_to_bits",
    "quantize_to_loss",
    "read_program",
    "write_program",
]
