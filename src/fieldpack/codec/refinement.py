"""Rate-distortion-optimised quantisation of fitted latents, as video encoders do it.

Rounding is blind: here, single latents go one step up or down wherever that lowers the loss, which
is measured, not predicted. What changes when one latent does is confined to its surroundings, so
that one pass over the picture tells the worth of a change in each of many separate cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fieldpack._engine import Trainer
from fieldpack.codec.model import FloatArray

_LOSS_BLOCK = 4  # pixels, of Trainer.loss_by_block
_BLOCK = 8  # latents; in each, one change at a time
_LEVELS = 4  # grids coarser than these have next to nothing to gain
# A round over a grid has to lower the loss by this share, divided by the fit's passes: as much as
# more passes would in the same time. Of short fits, they would do more.
_WORTH, _LONG_FIT, _OF_SHORT_FITS = 0.1, 400, 0.4

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Places = tuple[Indices, Indices]


@dataclass(frozen=True)
class _Changes:
    """Single latents of a grid that were tried a step up or down, and what came of it.

    `losses` is by how much the loss grew, `rates` by how much its part that is for the bits did.
    """

    grid: int
    places: Places
    steps: FloatArray
    losses: Array
    rates: Array


class Refined:
    """Latents with less loss for a lambda, and for others not far from it.

    Attributes:
        latents: Integers in quantisation steps, float32 (h_k, w_k) of each grid.
    """

    def __init__(
        self,
        before: Sequence[FloatArray],
        latents: Sequence[FloatArray],
        changes: Sequence[_Changes],
    ) -> None:
        self.latents = tuple(latents)
        self._before, self._changes = tuple(before), changes

    def for_other(self, push: float) -> tuple[FloatArray, ...]:
        """Return latents for exp(push) times the lambda: with those changes that then pay.

        What a change was worth was found among the others that paid for the first lambda; so the
        farther the other is, the less is this as good as to refine for it.
        """
        latents = [grid.copy() for grid in self._before]
        dearer = math.expm1(push)
        for tried in self._changes:
            pays = tried.losses + dearer * tried.rates < 0
            rows, columns = tried.places
            latents[tried.grid][rows[pays], columns[pays]] += tried.steps[pays]
        return tuple(latents)


def refine(
    trainer: Trainer,
    parameters: FloatArray,
    latents: Sequence[FloatArray],
    lambda_: float,
    passes: int,
) -> tuple[FloatArray, ...]:
    """Return integer latents (h_k, w_k) of each grid with less loss.

    Args:
        trainer: Of the fit; its latents become those that are returned, and from now on it
            compares no structure.
        parameters: The networks, one flat float32 vector.
        latents: Integers in quantisation steps, float32 (h_k, w_k) of each grid.
        lambda_: Loss of one bit a pixel.
        passes: Of the fit: the search ends where more of them would have brought as much.
    """
    search = _Search(trainer, parameters, latents, lambda_, None)
    search.go_on(passes)
    return tuple(search.latents)


def refine_towards(
    trainer: Trainer,
    parameters: FloatArray,
    latents: Sequence[FloatArray],
    lambda_: float,
    passes: int,
) -> Refined:
    """As `refine`, and remember what was tried: some 40 bytes for each change."""
    changes: list[_Changes] = []
    search = _Search(trainer, parameters, latents, lambda_, changes)
    search.go_on(passes)
    return Refined(latents, search.latents, changes)


class _Search:
    """The latents, what they cost and where, and the changes known to be of no use.

    What is tried is added to `changes`, if there is such a list.
    """

    def __init__(
        self,
        trainer: Trainer,
        parameters: FloatArray,
        latents: Sequence[FloatArray],
        lambda_: float,
        changes: list[_Changes] | None,
    ) -> None:
        self._trainer, self._parameters, self._lambda = trainer, parameters, lambda_
        self.latents = [grid.copy() for grid in latents]
        for k, grid in enumerate(self.latents):
            trainer.set_latents(k, grid)
        if trainer.compares_structure:
            # A change's effect on structure reaches far; on squared errors, it does not.
            trainer.linearise(parameters)
        self._costs = trainer.loss_by_block(parameters, lambda_)
        self._changes = changes
        self._refused = [np.zeros(grid.shape, bool) for grid in self.latents]

    @property
    def loss(self) -> float:
        """Distortion and lambda * bits a pixel, without the networks."""
        return float(self._costs[0].sum())

    def go_on(self, passes: int) -> None:
        """Search all grids until a round brings less than more passes would have."""
        first_grid, grids = self._trainer.finest, len(self.latents)
        least_share = _WORTH / passes * max(_LONG_FIT / passes, 1.0) ** _OF_SHORT_FITS
        for k in range(first_grid, min(first_grid + _LEVELS, grids)):
            first = gained = self.round(k)
            while gained > least_share * self.loss:
                gained = self.round(k)
            if k > first_grid and first < least_share * self.loss:
                break

    def round(self, k: int) -> float:
        """Try a change in each block of grid k; return by how much the loss fell."""
        self._trainer.step(self._parameters, None, hard=True, lambda_=self._lambda, update=False)
        gradient = self._trainer.quantised_gradient(k)
        rows, columns, y, x = _steepest(gradient, self._refused[k])
        steps = -np.sign(gradient[y, x])
        del gradient
        before = self.loss
        for colour in range(4):
            of_colour = (rows % 2 == colour // 2) & (columns % 2 == colour % 2)
            if of_colour.any():
                cells = (rows[of_colour] // 2, columns[of_colour] // 2)
                places = (y[of_colour], x[of_colour])
                self._try(k, places, steps[of_colour], cells, colour)
        self._trainer.set_latents(k, self.latents[k])
        return before - self.loss

    def _try(self, k: int, places: Places, steps: FloatArray, cells: Places, colour: int) -> None:
        """Change latents of grid k, one in each of some cells, and leave what lowers the loss."""
        grid = self.latents[k]
        before = grid[places]
        grid[places] += steps
        self._trainer.set_latents(k, grid)
        costs = self._trainer.loss_by_block(self._parameters, self._lambda)
        # A cell is a block and half a block on all sides of it.
        side = (_BLOCK << k) // _LOSS_BLOCK
        top, left = (colour // 2) * side - side // 2, (colour % 2) * side - side // 2
        losses, rates = (_sums(x, top, left, 2 * side)[cells] for x in costs - self._costs)
        if self._changes is not None:
            self._changes.append(_Changes(k, places, steps, losses, rates))
        worse = ~(losses < 0)
        refused = (places[0][worse], places[1][worse])
        grid[refused] = before[worse]
        self._refused[k][refused] = True
        is_better = np.zeros((cells[0].max() + 1, cells[1].max() + 1), bool)
        is_better[cells] = ~worse
        spread = is_better.repeat(2 * side, 0).repeat(2 * side, 1)
        spread = spread[max(-top, 0) :, max(-left, 0) :]
        target = self._costs[:, max(top, 0) :, max(left, 0) :]
        height, width = np.minimum(spread.shape, target.shape[1:])
        np.copyto(
            target[:, :height, :width],
            costs[:, max(top, 0) :, max(left, 0) :][:, :height, :width],
            where=spread[:height, :width],
        )


def _steepest(
    gradient: FloatArray, refused: npt.NDArray[np.bool_]
) -> tuple[Indices, Indices, Indices, Indices]:
    """Where each block is steepest, but for refused places: row, column of the block; y, x."""
    height, width = gradient.shape
    columns = -(-width // _BLOCK)
    found = []
    for top in range(0, height, _BLOCK):
        strip = np.zeros((_BLOCK, columns * _BLOCK), np.float32)
        part = slice(top, top + _BLOCK)
        here = strip[: min(_BLOCK, height - top), :width]
        here[:] = np.abs(gradient[part])
        here[refused[part]] = 0
        blocks = strip.reshape(_BLOCK, columns, _BLOCK).swapaxes(0, 1).reshape(columns, -1)
        best = blocks.argmax(-1)
        column = np.flatnonzero(blocks[np.arange(columns), best])
        y, x = np.divmod(best[column], _BLOCK)
        found.append((np.full(column.shape, top // _BLOCK), column, top + y, column * _BLOCK + x))
    row, column, y, x = (np.concatenate(part) for part in zip(*found, strict=True))
    return row, column, y, x


def _sums(values: Array, top: int, left: int, side: int) -> Array:
    """Sums over cells of side x side, the first of which begins at (top, left)."""
    height, width = values.shape
    rows, columns = -(-(height - top) // side), -(-(width - left) // side)
    padded = np.zeros((max(rows, 1) * side, max(columns, 1) * side))
    inside = values[max(top, 0) :, max(left, 0) :]
    y, x = max(-top, 0), max(-left, 0)
    padded[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    sums: Array = padded.reshape(-1, side, padded.shape[1] // side, side).sum((1, 3))
    return sums
