"""Recipes: everything about training that is not the network or the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer

from fieldpack.networks.muon import Muon
from fieldpack.networks.projection import Projection


def constant(progress: float) -> float:
    """Return 1: the same rate all along."""
    return 1.0


def warm_linear(progress: float) -> float:
    """Rise over the first 2 %, then fall in a line to 0."""
    warm = 0.02
    return min(progress / warm + 0.1, (1 - progress) / (1 - warm), 1.0)


@dataclass(frozen=True)
class Recipe:
    """How to train a network.

    Attributes:
        name: For messages and files.
        optimizers: Makes the optimisers of a network's weights from the network and the rate. A
            group of weights with a "factor" trains at that factor of the rate.
        rate: Largest learning rate.
        schedule: Factor of the rate by progress, from 0 at the start to 1 at the end.
        batch: Points a step.
        sampling: "points" drawn independently with replacement, or the "crossings" of random
            columns and rows, which are cheaper a point.
        matmul: Precision of matrix products, as of `torch.set_float32_matmul_precision`.
        steps: Steps if neither steps nor seconds are asked for.
        average_statistics: Whether the batch norms' statistics are measured anew at the end with
            the final weights, rather than kept as running averages over the last steps.
    """

    name: str
    optimizers: Callable[[nn.Module, float], list[Optimizer]]
    rate: float
    schedule: Callable[[float], float]
    batch: int
    sampling: Literal["points", "crossings"]
    matmul: Literal["highest", "high", "medium"]
    steps: int
    average_statistics: bool


def _rmsprop(network: nn.Module, rate: float) -> list[Optimizer]:
    return [torch.optim.RMSprop(network.parameters(), lr=rate)]


def _muon_and_adam(network: nn.Module, rate: float) -> list[Optimizer]:
    """Muon for matrices with at least 16 rows and columns, Adam for all else.

    Groups of weights have a "factor" of the rate: that of a `Projection`, or 1.
    """
    matrices: list[nn.Parameter] = []
    others: dict[float, list[nn.Parameter]] = {}
    for module in network.modules():
        factor = module.rate if isinstance(module, Projection) else 1.0
        for weight in module.parameters(recurse=False):
            if not weight.requires_grad:
                continue
            if weight.ndim == 2 and min(weight.shape) >= 16:
                matrices.append(weight)
            else:
                others.setdefault(factor, []).append(weight)
    optimizers: list[Optimizer] = []
    if matrices:
        optimizers.append(Muon(matrices, lr=rate))
    if others:
        groups = [{"params": weights, "factor": factor} for factor, weights in others.items()]
        optimizers.append(torch.optim.Adam(groups, lr=rate, betas=(0.9, 0.95), fused=True))
    return optimizers


NOTEBOOK = Recipe(
    name="notebook",
    optimizers=_rmsprop,
    rate=1e-3,
    schedule=constant,
    batch=10_000,
    sampling="points",
    matmul="highest",
    steps=1_000,
    average_statistics=False,
)

# On processors with AVX-512 "medium" lets PyTorch choose oneDNN, which is twice as fast as MKL on
# those not made by Intel, and as exact; only matrix units (AMX) round the factors to bfloat16.
DEFAULT = Recipe(
    name="default",
    optimizers=_muon_and_adam,
    rate=0.012,
    schedule=warm_linear,
    batch=2_500,
    sampling="crossings",
    matmul="medium",
    steps=2_000,
    average_statistics=True,
)

RECIPES = {recipe.name: recipe for recipe in (NOTEBOOK, DEFAULT)}
