"""Recipes: everything about training that is not the network or the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import Parameter
from torch.optim import Optimizer


def constant(progress: float) -> float:
    """Return 1: the same rate all along."""
    return 1.0


def warm_cosine(progress: float) -> float:
    """Rise linearly over the first 2 %, then fall along a cosine to 0."""
    warm = 0.02
    if progress < warm:
        return (progress + 0.1 * warm) / (1.1 * warm)
    return 0.5 + 0.5 * math.cos(math.pi * (progress - warm) / (1 - warm))


@dataclass(frozen=True)
class Recipe:
    """How to train a network.

    Attributes:
        name: For messages and files.
        optimizer: Makes the optimiser from the weights and the rate.
        rate: Largest learning rate.
        schedule: Factor of the rate by progress, from 0 at the start to 1 at the end.
        batch: Points a step.
        sampling: "points" drawn independently with replacement, or the "crossings" of random
            columns and rows, which are cheaper a point.
        steps: Steps if neither steps nor seconds are asked for.
        average_statistics: Whether the batch norms' statistics are measured anew at the end with
            the final weights, rather than kept as running averages over the last steps.
    """

    name: str
    optimizer: Callable[[Iterable[Parameter], float], Optimizer]
    rate: float
    schedule: Callable[[float], float]
    batch: int
    sampling: Literal["points", "crossings"]
    steps: int
    average_statistics: bool


def _rmsprop(weights: Iterable[Parameter], rate: float) -> Optimizer:
    return torch.optim.RMSprop(weights, lr=rate)


def _adam(weights: Iterable[Parameter], rate: float) -> Optimizer:
    return torch.optim.Adam(weights, lr=rate, betas=(0.9, 0.99))


NOTEBOOK = Recipe(
    name="notebook",
    optimizer=_rmsprop,
    rate=1e-3,
    schedule=constant,
    batch=10_000,
    sampling="points",
    steps=1_000,
    average_statistics=False,
)

DEFAULT = Recipe(
    name="default",
    optimizer=_adam,
    rate=5e-3,
    schedule=warm_cosine,
    batch=2_500,
    sampling="crossings",
    steps=2_000,
    average_statistics=True,
)

RECIPES = {recipe.name: recipe for recipe in (NOTEBOOK, DEFAULT)}
