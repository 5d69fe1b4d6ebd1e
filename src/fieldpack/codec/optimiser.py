"""Optimiser of the few network weights: Adam in the eigenbasis of Shampoo's preconditioner (SOAP).

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024. A layer's weights and
biases form one matrix, so that the preconditioner sees both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fieldpack.codec.model import FloatArray, ModelShape

_LARGEST_STEP = 3.0

Matrix = npt.NDArray[np.float64]


class _Block:
    """State of one layer's matrix [outputs, inputs + 1]."""

    def __init__(self, rows: int, columns: int) -> None:
        self.left: Matrix = np.zeros((rows, rows))
        self.right: Matrix = np.zeros((columns, columns))
        self.left_basis: Matrix = np.eye(rows)
        self.right_basis: Matrix = np.eye(columns)
        self.mean: Matrix = np.zeros((rows, columns))
        self.square: Matrix = np.zeros((rows, columns))


class Soap:
    """Steps one flat parameter vector in place.

    Args:
        tensors: for each block, (start of the weights, outputs, inputs, start of the biases or -1)
            in the flat vector.
        beta1, beta2: decay of the gradient's mean, and of its square and the preconditioner.
        refresh: steps between updates of the eigenbasis.

    """

    def __init__(
        self,
        tensors: Sequence[tuple[int, int, int, int]],
        beta1: float = 0.95,
        beta2: float = 0.95,
        refresh: int = 4,
    ) -> None:
        self._tensors = list(tensors)
        self._blocks = [_Block(o, i + (b >= 0)) for _, o, i, b in tensors]
        self._beta1, self._beta2, self._refresh = beta1, beta2, refresh
        self._steps = 0

    def step(self, parameters: FloatArray, gradient: FloatArray, learning_rate: float) -> None:
        """Moves the parameters by about `learning_rate` against the gradient."""
        self._steps += 1
        b1, b2, t = self._beta1, self._beta2, self._steps
        correction = np.sqrt(1 - b2**t) / (1 - b1**t)
        for (start, o, i, bias), s in zip(self._tensors, self._blocks, strict=True):
            g = np.empty(s.mean.shape)
            g[:, :i] = gradient[start : start + o * i].reshape(o, i)
            if bias >= 0:
                g[:, i] = gradient[bias : bias + o]
            s.left += (1 - b2) * (g @ g.T - s.left)
            s.right += (1 - b2) * (g.T @ g - s.right)
            if t == 1:
                s.left_basis = np.linalg.eigh(s.left)[1]
                s.right_basis = np.linalg.eigh(s.right)[1]
            elif t % self._refresh == 0:
                s.left_basis = np.linalg.qr(s.left @ s.left_basis)[0]
                s.right_basis = np.linalg.qr(s.right @ s.right_basis)[0]
            rotated = s.left_basis.T @ g @ s.right_basis
            s.mean += (1 - b1) * (g - s.mean)
            s.square += (1 - b2) * (rotated * rotated - s.square)
            direction = (s.left_basis.T @ s.mean @ s.right_basis) / (np.sqrt(s.square) + 1e-15)
            # A basis that has just turned may point where no gradient was seen before, and the
            # mean square there is next to nothing.
            direction = np.clip(correction * direction, -_LARGEST_STEP, _LARGEST_STEP)
            update = learning_rate * (s.left_basis @ direction @ s.right_basis.T)
            parameters[start : start + o * i] -= update[:, :i].ravel()
            if bias >= 0:
                parameters[bias : bias + o] -= update[:, i]


def blocks_of(
    tensors: Sequence[tuple[str, tuple[int, ...]]],
) -> list[tuple[int, int, int, int]]:
    """The blocks of `Soap` for named tensors in flat order: each weight with the bias behind it."""
    blocks: list[tuple[int, int, int, int]] = []
    start = 0
    for name, shape in tensors:
        count = int(np.prod(shape))
        if name.endswith(".weight"):
            blocks.append((start, shape[0], count // shape[0], start + count))
        elif not name.endswith(".bias") and count:
            blocks.append((start, shape[0], count // shape[0], -1))
        start += count
    return blocks


def network_optimisers(shape: ModelShape, moving_contexts: int | None = None) -> tuple[Soap, Soap]:
    """Optimisers of the networks that draw the picture, and of context models.

    Args:
        shape: The model's sizes.
        moving_contexts: The context models of so many of the finest grids; None means of all.
    """
    moving = set(shape.set_of_grid[:moving_contexts])
    drawing, contexts = [], []
    contexts_start = shape.parameters - (max(shape.set_of_grid) + 1) * shape.context.parameters
    for block in blocks_of(shape.offsets):
        index = (block[0] - contexts_start) // shape.context.parameters
        if index < 0:
            drawing.append(block)
        elif index in moving:
            contexts.append(block)
    return Soap(drawing), Soap(contexts)
