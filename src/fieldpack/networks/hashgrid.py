"""A multiresolution hash grid of features and a small network that reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fieldpack.errors import RequestError
from fieldpack.networks.network import Network, broadcast, weight_array
from fieldpack.networks.projection import check_sizes, uniform
from fieldpack.program import Program, ProgramBuilder

# As in docs/format.md, "Hash grid".
_PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737, 1220703125)

MOST_AXES = 4


class HashLevel(nn.Module):
    """Vectors at the corners of a grid, interpolated linearly along every axis.

    Attributes:
        cells: Cells of the grid along every axis.
        table: (entries, channels); one entry a corner if there are enough, else shared by a hash.
    """

    def __init__(self, axes: int, cells: int, entries: int, channels: int) -> None:
        """Make a table of at most `entries` vectors near 0."""
        super().__init__()
        self.axes = axes
        self.cells = cells
        corners = (cells + 1) ** axes
        self.dense = corners <= entries
        self.table = nn.Parameter(uniform(1e-4, min(corners, entries), channels))

    def forward(self, points: Tensor) -> Tensor:
        """Interpolate at points (N, axes) in [-1, 1], as (N, channels)."""
        half = self.cells / 2
        place = (points * half + half).clamp(0, self.cells)
        corner = place.detach().floor().clamp(max=self.cells - 1)
        fraction = (place - corner).to(self.table.dtype)
        lower = corner.long()
        total = torch.zeros(len(points), self.table.shape[1], device=points.device)
        for k in range(1 << self.axes):
            weight = torch.ones(len(points), device=points.device)
            index = torch.zeros(len(points), dtype=torch.int64, device=points.device)
            stride = 1
            for axis in range(self.axes):
                upper = k >> axis & 1
                part = fraction[:, axis]
                weight = weight * (part if upper else 1 - part)
                at = lower[:, axis] + upper
                if self.dense:
                    index = index + at * stride
                    stride *= self.cells + 1
                else:
                    index = index ^ (at * _PRIMES[axis] & 0xFFFFFFFF)
            if not self.dense:
                index = index % len(self.table)
            total = total + weight[:, None] * nn.functional.embedding(index, self.table)
        return total


class HashGridNetwork(Network):
    """Grids of features from coarse to fine, then a small ReLU network.

    After Müller et al. 2022, "Instant neural graphics primitives with a multiresolution hash
    encoding" (https://arxiv.org/abs/2201.05989). Its second derivatives vanish within cells, so it
    cannot be supervised by Laplacians. The output stands for values of -1 to 1, moved to 0 to 1.

    Attributes:
        levels: The grids, coarsest first.
        layers: Linear maps, all but the last followed by a ReLU.
    """

    curved = False

    def __init__(
        self,
        positions: Sequence[int],
        channels: int,
        *,
        levels: int = 10,
        coarsest: int = 8,
        finest: int | None = None,
        entries: int = 1 << 14,
        features: int = 2,
        width: int = 64,
        layers: int = 2,
        seed: int = 0,
    ) -> None:
        """Make the network with random weights.

        Args:
            positions: Positions on each axis, x first.
            channels: Channels of a value.
            levels: Number of grids.
            coarsest: Cells along an axis of the coarsest one.
            finest: Those of the finest; None for half as many as positions on the longest axis.
            entries: Most entries of a grid's table.
            features: Channels of an entry.
            width: Channels of the ReLU layers.
            layers: Number of them.
            seed: Of the random weights; the global random state is left as it was.

        Raises:
            RequestError: A size is not positive, or there are more than 4 axes.
        """
        sizes = (levels, coarsest, entries, features, width, layers)
        super().__init__(check_sizes(positions, channels, *sizes), channels)
        if self.axes > MOST_AXES:
            raise RequestError(
                f"a hash grid has at most {MOST_AXES} axes; its cells have 2^axes corners"
            )
        last = max(coarsest, max(positions) // 2 if finest is None else finest)
        growth = (last / coarsest) ** (1 / max(1, levels - 1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.levels = nn.ModuleList(
                HashLevel(self.axes, math.floor(coarsest * growth**i + 0.5), entries, features)
                for i in range(levels)
            )
            widths = [levels * features, *[width] * layers]
            pairs = zip(widths, [*widths[1:], channels], strict=True)
            self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairs)

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Evaluate the field; see `Network.forward`."""
        expanded = broadcast(coordinates)
        shape = expanded[0].shape
        points = torch.stack(expanded, dim=-1).reshape(-1, self.axes)
        value = torch.cat([level(points) for level in self.levels], dim=1)
        *hidden, output = self.layers
        for layer in hidden:
            value = torch.relu(layer(value))
        result: Tensor = 0.5 + 0.5 * output(value)
        return result.reshape(*shape, self.channels)

    def export(self) -> Program:
        """Return the network as a program."""
        builder = ProgramBuilder(self.axes)
        (first, bias), *layers = (
            (weight_array(layer.weight), weight_array(layer.bias)) for layer in self.layers
        )
        layers[-1] = (0.5 * layers[-1][0], 0.5 + 0.5 * layers[-1][1])
        total, start = -1, 0
        for index, level in enumerate(self.levels):
            assert isinstance(level, HashLevel)
            table = weight_array(level.table)
            end = start + table.shape[1]
            part = builder.linear(builder.hash_grid(level.cells, table), first[:, start:end])
            total = part if index == 0 else builder.add(total, part)
            start = end
        value = builder.shift(total, bias)
        for weight, bias in layers:
            value = builder.linear(builder.relu(value), weight, bias)
        return builder.build()
