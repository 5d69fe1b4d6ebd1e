"""What optimises the networks: the engine's SOAP, one for those that draw, one for the contexts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from fieldpack._engine import Soap
from fieldpack.codec.model import ModelShape


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


def drawing_optimiser(shape: ModelShape, betas: tuple[float, float]) -> Soap:
    """The optimiser of the networks that draw the picture.

    Args:
        shape: The model's sizes.
        betas: Decay of the gradient's mean, and of its square and the preconditioner.
    """
    return Soap([block for block, index in _blocks(shape) if index is None], *betas)


def context_optimiser(shape: ModelShape, betas: tuple[float, float], sets: Collection[int]) -> Soap:
    """The optimiser of some context models: of those `sets` of weights."""
    return Soap([block for block, index in _blocks(shape) if index in sets], *betas)


def _blocks(shape: ModelShape) -> Iterator[tuple[tuple[int, int, int, int], int | None]]:
    """Each block, and the set of context weights that it belongs to."""
    contexts_start = shape.parameters - (max(shape.set_of_grid) + 1) * shape.context.parameters
    for block in blocks_of(shape.offsets):
        index = (block[0] - contexts_start) // shape.context.parameters
        yield block, index if index >= 0 else None
