"""Quantisation of the codec's networks by what each tensor costs in loss."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fieldpack.codec.model import FloatArray, ModelShape
from fieldpack.program.weights import MAX_REACH, QuantizedTensor, WeightDistribution

_COARSEST, _FINEST = 2, 14
_HEADER_BITS = 40.0

Loss = Callable[[FloatArray], float]


def quantize_networks(
    parameters: FloatArray, shape: ModelShape, loss: Loss, loss_per_bit: float
) -> list[QuantizedTensor]:
    """Choose each tensor's step 2^-s, one tensor after the other, for the least loss.

    Args:
        parameters: The flat vector after training.
        shape: The model's sizes.
        loss: Distortion plus lambda times the latents' bits per pixel for a flat vector.
        loss_per_bit: What a bit of the file adds to the loss.

    Returns:
        One quantised tensor for each tensor that is not empty.
    """
    flat = parameters.copy()
    views = shape.views(flat)
    tensors = []
    for view in views.values():
        if not view.size:
            continue
        original = view.copy()
        best, least, since = None, np.inf, 0
        finest = math.floor(math.log2((MAX_REACH - 1) / max(float(np.abs(original).max()), 1.0)))
        for fineness in range(min(_COARSEST, finest), min(_FINEST, finest) + 1):
            tensor = QuantizedTensor.from_values(original, 2.0**-fineness)
            view[:] = tensor.values()
            bits = _HEADER_BITS + WeightDistribution.fit(tensor.symbols)[1]
            total = loss(flat) + loss_per_bit * bits
            if total < least:
                best, least, since = tensor, total, 0
            else:
                since += 1
                if since == 3:
                    break
        assert best is not None
        view[:] = best.values()
        tensors.append(best)
    return tensors
