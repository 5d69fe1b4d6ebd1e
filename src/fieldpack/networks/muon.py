"""Muon: gradient descent in which every step of a weight matrix is orthogonalised."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

# Below it, a gradient is nothing but rounding errors, and its square is no float32 number.
_SMALLEST_NORM = 1e-12


def orthogonalize(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Move the singular values of matrices (n, rows, columns) near 1, keeping singular vectors.

    A quintic Newton-Schulz iteration, whose coefficients (Jordan et al. 2024) trade exactness for
    speed: after five iterations the singular values of ordinary matrices lie within 0.7 .. 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    norms = torch.linalg.matrix_norm(matrices, keepdim=True)
    result: Tensor = matrices / norms.clamp(min=_SMALLEST_NORM)
    tall = result.shape[-2] > result.shape[-1]
    if tall:
        result = result.mT
    for _ in range(iterations):
        gram = result @ result.mT
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        result = torch.baddbmm(result, factor, result, beta=a)
    return result.mT if tall else result


@dataclass
class _Stack:
    """Matrices of one shape, handled together, with their moments (n, rows, columns)."""

    matrices: list[Parameter]
    momentum: Tensor
    square: Tensor


class Muon(Optimizer):
    """Orthogonalised momentum, scaled elementwise by how large recent steps were.

    After Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"
    (https://kellerjordan.github.io/posts/muon/), with Adam's second moment of the orthogonalised
    steps (Si et al. 2025, "AdaMuon", https://arxiv.org/abs/2507.11005). Matrices of equal shape
    are handled in one go.
    """

    def __init__(
        self,
        matrices: Iterable[Parameter],
        lr: float,
        *,
        momentum: float = 0.85,
        square_decay: float = 0.95,
    ) -> None:
        """Prepare to train `matrices`, all of rank 2.

        Args:
            matrices: Weights; those of vectors, and of layers with few inputs or outputs, are
                better left to another optimiser.
            lr: Learning rate: a step's root mean square is 0.2 of it, as is usual for Adam's.
            momentum: Decay of the gradients' mean.
            square_decay: Decay of the mean square of the orthogonalised steps.
        """
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "square_decay": square_decay})
        self._stacks = [_stacks(group["params"]) for group in self.param_groups]

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step against the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, stacks in zip(self.param_groups, self._stacks, strict=True):
            for stack in stacks:
                self._step(stack, group["lr"], group["momentum"], group["square_decay"])
        return loss

    def _step(self, stack: _Stack, lr: float, momentum: float, square_decay: float) -> None:
        gradient = torch.stack([_gradient(matrix) for matrix in stack.matrices])
        stack.momentum.lerp_(gradient, 1 - momentum)
        step = orthogonalize(gradient.lerp(stack.momentum, momentum))
        stack.square.lerp_(step.square(), 1 - square_decay)
        step /= stack.square.sqrt() + 1e-8
        norms = torch.linalg.matrix_norm(step, keepdim=True)
        step *= 0.2 * math.sqrt(step[0].numel()) / norms.clamp(min=_SMALLEST_NORM)
        for matrix, change in zip(stack.matrices, step, strict=True):
            matrix.sub_(change, alpha=lr)


def _stacks(matrices: list[Parameter]) -> list[_Stack]:
    by_shape: dict[torch.Size, list[Parameter]] = {}
    for matrix in matrices:
        by_shape.setdefault(matrix.shape, []).append(matrix)
    stacks = []
    for same in by_shape.values():
        values = torch.stack(tuple(same)).detach()
        stacks.append(_Stack(same, torch.zeros_like(values), torch.zeros_like(values)))
    return stacks


def _gradient(matrix: Parameter) -> Tensor:
    return torch.zeros_like(matrix) if matrix.grad is None else matrix.grad
