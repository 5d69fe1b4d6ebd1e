"""The analysis network in PyTorch: from a picture to the latents with which a fit begins.

It corrects the latents of the linear analysis, from the coarsest grid to the finest, so that each
grid knows how the coarser ones were rounded. One network serves all lambdas: gains and shifts of
its channels depend on lambda, between the `KNOTS` linearly in its logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fieldpack.codec.initialisation import (
    CUBIC_TAPS,
    HALVING_TAPS,
    axis_of_grids,
)
from fieldpack.codec.model import ModelShape

KNOTS = (2e-5, 1e-4, 3e-4, 1e-3, 4e-3, 1.5e-2, 1e-1)
CHANNELS = (16, 24, 32, 32, 32, 32, 32)  # of features at each grid's resolution, finest first
MESSAGE = 8  # channels that one resolution tells the next finer one
MOST = 4.0  # latents are cut to this many quantisation steps before the network sees them
THRESHOLD, THRESHOLD_GRIDS = 0.5, 3


def linear_analysis(image: Tensor, shape: ModelShape, axes: Tensor, gains: Tensor) -> list[Tensor]:
    """As fieldpack.codec.initialisation.analyse without threshold, for images [B, C, H, W].

    Returns latents [B, 1, h_k, w_k]; `axes` are the `colour_axes`, `gains` the `first_gains`.
    """
    of_grid = axis_of_grids(shape)
    planes = [torch.einsum("bchw,ac->bahw", image - 0.5, axes)]
    for _ in range(shape.grids - 1):
        planes.append(_halve(planes[-1]))
    latents = [planes[0]] * shape.grids
    for axis in set(of_grid):
        own = {k for k in range(shape.grids) if of_grid[k] == axis}
        known: Tensor | None = None
        for level in range(max(own), -1, -1):
            plane = planes[level][:, axis : axis + 1]
            if known is not None:
                known = _double(known, plane.shape[2], plane.shape[3])
            if level in own:
                latents[level] = (plane if known is None else plane - known) / gains[level]
                known = plane
    return latents


class Analysis(nn.Module):
    """Latents from images [B, C, H, W] in [0, 1]; see the module's text."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        grids, c = shape.grids, CHANNELS
        self.first = nn.Conv2d(shape.channels, c[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(c[k], c[k + 1], 3, stride=2, padding=1) for k in range(grids - 1)
        )
        self.mix = nn.ModuleList(
            nn.Conv2d(c[k + 1], c[k + 1], 3, padding=1) for k in range(grids - 1)
        )
        self.merge = nn.ModuleList(
            nn.Conv2d(c[k] + 1 + (MESSAGE if k + 1 < grids else 0), c[k], 3, padding=1)
            for k in range(grids)
        )
        self.refine = nn.ModuleList(nn.Conv2d(c[k], c[k], 3, padding=1) for k in range(grids))
        self.head = nn.ModuleList(nn.Conv2d(c[k], 1, 3, padding=1) for k in range(grids))
        self.message = nn.ModuleList(nn.Conv2d(c[k] + 1, MESSAGE, 1) for k in range(1, grids))
        self.gain = nn.ParameterList(torch.ones(len(KNOTS), c[k]) for k in range(grids))
        self.shift = nn.ParameterList(torch.zeros(len(KNOTS), c[k]) for k in range(grids))
        for layer in self.head:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        image: Tensor,
        linear: Sequence[Tensor],
        between: Tensor,
        quantise: Callable[[Tensor], Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Returns the latents and the quantised latents of each grid.

        Args:
            image: [B, C, H, W].
            linear: The latents of the linear analysis.
            between: Weights of the knots, [len(KNOTS)].
            quantise: How latents are rounded.
        """
        features = [torch.relu(self.first(image - 0.5))]
        for down, mix in zip(self.down, self.mix, strict=True):
            x = torch.relu(down(features[-1]))
            features.append(x + torch.relu(mix(x)))
        latents, quantised = list(linear), list(linear)
        told: Tensor | None = None
        for k in range(self.shape.grids - 1, -1, -1):
            known = linear[k].clamp(-MOST, MOST).to(features[k].dtype)
            inputs = [features[k], known]
            if told is not None:
                h, w = known.shape[2:]
                inputs.append(functional.interpolate(told, scale_factor=2)[:, :, :h, :w])
            x = self.merge[k](torch.cat(inputs, 1))
            gain, shift = between @ self.gain[k], between @ self.shift[k]
            x = torch.relu(x * gain[:, None, None] + shift[:, None, None])
            x = x + torch.relu(self.refine[k](x))
            start = linear[k]
            if k < THRESHOLD_GRIDS:
                start = functional.softshrink(start, THRESHOLD)
            latents[k] = start + self.head[k](x).float()
            quantised[k] = quantise(latents[k])
            if k > 0:
                seen = quantised[k].clamp(-MOST, MOST).to(x.dtype)
                told = torch.relu(self.message[k - 1](torch.cat((x, seen), 1)))
        return latents, quantised


def _halve(x: Tensor) -> Tensor:
    for dim in (2, 3):
        n = x.shape[dim]
        first = 2 * torch.arange((n + 1) // 2, device=x.device)
        taps = [
            tap * x.index_select(dim, (first + i - 1).clamp(0, n - 1))
            for i, tap in enumerate(HALVING_TAPS)
        ]
        x = torch.stack(taps).sum(0)
    return x


def _double(x: Tensor, height: int, width: int) -> Tensor:
    for dim, size in ((2, height), (3, width)):
        n = x.shape[dim]
        fine = torch.arange(size, device=x.device)
        i, away = fine // 2, torch.where(fine % 2 == 1, 1, -1)
        taps = [
            tap * x.index_select(dim, at.clamp(0, n - 1))
            for tap, at in zip(CUBIC_TAPS, (i, i + away, i - away, i + 2 * away), strict=True)
        ]
        x = torch.stack(taps).sum(0)
    return x
