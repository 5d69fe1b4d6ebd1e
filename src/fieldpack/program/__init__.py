"""Networks as programs: operations, exact evaluation, coding of the weights. Needs no torch."""

from fieldpack.program.graph import Opcode, Operation, Program, ProgramBuilder

__all__ = ["Opcode", "Operation", "Program", "ProgramBuilder"]
