"""Choosing the step of each tensor: what it costs in quality against what it saves in bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fieldpack.errors import RequestError
from fieldpack.program.graph import Program
from fieldpack.program.weights import QuantizedTensor

Evaluate = Callable[[Program], NDArray[np.float32]]

MIN_BITS, MAX_BITS = 2, 16
_PROBE_STEPS = 32
_SEARCH_ROUNDS = 14


def quantize_to_bits(program: Program, bits: int) -> list[QuantizedTensor]:
    """Quantise every tensor to `bits` bits a weight before entropy coding: 2^bits - 1 levels.

    Raises:
        RequestError: `bits` is not in 2 .. 16.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise RequestError(f"a weight takes {MIN_BITS} to {MAX_BITS} bits, not {bits}")
    levels = (1 << bits - 1) - 1
    return [
        QuantizedTensor.from_values(tensor, float(np.abs(tensor).max(initial=0.0)) / levels)
        for tensor in program.tensors
    ]


def quantize_to_loss(
    program: Program,
    evaluate: Evaluate,
    target: NDArray[np.float32],
    *,
    max_loss: float,
    floor: float,
) -> list[QuantizedTensor]:
    """Quantise with the steps that save most bytes for a given loss of quality.

    With an error d_t = c_t · step_t² that the quantised tensor t adds to the values, and
    n_t · log2(1 / step_t) bits for its n_t weights, bits are fewest for a total error where
    step_t² is proportional to n_t / c_t (the usual Lagrangian argument). c_t is measured by
    quantising one tensor at a time; the common factor is the largest that keeps the loss.

    Args:
        program: The network with its trained weights.
        evaluate: Gives the values of a program at some fixed points.
        target: What the values should be there, of the same shape.
        max_loss: Largest fall in PSNR, in dB, at these points.
        floor: Mean squared error that is invisible anyhow (such as that of rounding to the
            signal's samples); it counts as present before and after.

    Returns:
        One quantised tensor for each of the program's.
    """
    values = evaluate(program).astype(np.float64)
    error_before = _mean_square(values - target) + floor
    steps = []
    for index, tensor in enumerate(program.tensors):
        probe = _probe_step(tensor)
        added = _added_error(program, index, probe, evaluate, values)
        # A tensor that changes nothing still gets a finite step.
        cost = max(added, 1e-6 * error_before) / probe**2
        steps.append(math.sqrt(tensor.size / cost))

    def quantize(factor: float) -> list[QuantizedTensor]:
        return [
            QuantizedTensor.from_values(tensor, factor * step)
            for tensor, step in zip(program.tensors, steps, strict=True)
        ]

    def loss(tensors: Sequence[QuantizedTensor]) -> float:
        quantized = program.with_tensors([tensor.values() for tensor in tensors])
        error = _mean_square(evaluate(quantized) - target) + floor
        return 10 * math.log10(error / error_before)

    # The errors of the tensors add up, so this factor would double the error.
    estimate = math.sqrt(error_before / sum(tensor.size for tensor in program.tensors))
    low, high = math.log(estimate) - 12, math.log(estimate) + 2
    for _ in range(_SEARCH_ROUNDS):
        middle = (low + high) / 2
        if loss(quantize(math.exp(middle))) <= max_loss:
            low = middle
        else:
            high = middle
    return quantize(math.exp(low))


def _probe_step(tensor: NDArray[np.float32]) -> float:
    spread = float(np.sqrt(_mean_square(tensor)))
    return spread / _PROBE_STEPS if spread > 0 else 1.0


def _added_error(
    program: Program,
    index: int,
    step: float,
    evaluate: Evaluate,
    values: NDArray[np.float64],
) -> float:
    tensors = list(program.tensors)
    tensors[index] = QuantizedTensor.from_values(tensors[index], step).values()
    return _mean_square(evaluate(program.with_tensors(tensors)) - values)


def _mean_square(array: NDArray[np.floating]) -> float:
    return float(np.mean(np.square(array, dtype=np.float64)))
