"""What optimises the networks: the engine's SOAP, one for those that draw, one for the contexts."""

from __future__ import annotations

from collections.abc import Sequence

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


def network_optimisers(
    shape: ModelShape,
    betas: tuple[float, float],
    moving_contexts: int | None = None,
    finest: int = 0,
) -> tuple[Soap, Soap]:
    """Optimisers of the networks that draw the picture, and of context models.

    Args:
        shape: The model's sizes.
        betas: Decay of the gradient's mean, and of its square and the preconditioner.
        moving_contexts: The context models of so many of the finest grids; None means of all.
        finest: The finest grid that is in use.
    """
    moving = set(shape.set_of_grid[finest:][:moving_contexts])
    drawing, contexts = [], []
    contexts_start = shape.parameters - (max(shape.set_of_grid) + 1) * shape.context.parameters
    for block in blocks_of(shape.offsets):
        index = (block[0] - contexts_start) // shape.context.parameters
        if index < 0:
            drawing.append(block)
        elif index in moving:
            contexts.append(block)
    return Soap(drawing, *betas), Soap(contexts, *betas)
