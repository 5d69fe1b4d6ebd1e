"""A linear map of the coordinates: the first step of networks that see no other encoding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fieldpack.errors import RequestError
from fieldpack.networks.network import weight_array
from fieldpack.program import ProgramBuilder


class Projection(nn.Module):
    """`W x + b`, where x are the coordinates, at one scale for all axes.

    A coordinate runs from -1 to 1 along the axis with the most positions, and over a part of that
    along shorter ones, so that neighbouring positions are equally far apart on every axis.

    Attributes:
        weight: W (outputs, axes).
        bias: b (outputs,), or None.
        rate: Factor of the learning rate for both.
    """

    extents: Tensor

    def __init__(
        self,
        positions: Sequence[int],
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        trained: bool = True,
        rate: float = 1.0,
    ) -> None:
        """Keep copies of the weights.

        Args:
            positions: Positions on each axis, x first.
            weight: (outputs, axes).
            bias: (outputs,).
            trained: Whether training changes them.
            rate: Factor of the learning rate for them: a step of a weight that a large frequency
                multiplies must be small.
        """
        super().__init__()
        self.rate = rate
        self.weight = nn.Parameter(weight.clone(), requires_grad=trained)
        self.bias = None if bias is None else nn.Parameter(bias.clone(), requires_grad=trained)
        extents = torch.tensor(positions, dtype=torch.float64) / max(positions)
        self.register_buffer("extents", extents, persistent=False)

    def scaled(self, coordinates: Sequence[Tensor]) -> list[Tensor]:
        """Return the coordinates on the scale of the longest axis, in the weights' dtype."""
        scaled = zip(coordinates, self.extents, strict=True)
        return [(value * extent).to(self.weight.dtype) for value, extent in scaled]

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Map coordinates in [-1, 1] that broadcast together to (..., outputs)."""
        scaled = self.scaled(coordinates)
        if all(value.shape == scaled[0].shape for value in scaled):
            return nn.functional.linear(torch.stack(scaled, dim=-1), self.weight, self.bias)
        total: Tensor | None = None
        for value, column in zip(scaled, self.weight.unbind(1), strict=True):
            part = value[..., None] * column
            total = part if total is None else total + part
        assert total is not None
        return total if self.bias is None else total + self.bias

    def trace(self, builder: ProgramBuilder) -> int:
        """Append the map and return its value's index; each axis is a product of its own."""
        weight = weight_array(self.weight) * weight_array(self.extents)
        total = -1
        for axis in range(weight.shape[1]):
            part = builder.linear(builder.coordinate(axis), weight[:, axis : axis + 1])
            total = part if axis == 0 else builder.add(total, part)
        return total if self.bias is None else builder.shift(total, weight_array(self.bias))


def check_sizes(positions: Sequence[int], channels: int, *sizes: int) -> tuple[int, ...]:
    """Return the positions if there is an axis and every number is positive.

    Raises:
        RequestError: They are not.
    """
    if not positions or min(*positions, channels, *sizes) < 1:
        raise RequestError("a network has at least one axis, one channel, and positive sizes")
    return tuple(positions)


def spread(bounds: Sequence[float], count: int) -> Tensor:
    """Return `count` points within +-bounds of each axis, (count, len(bounds)), evenly spread.

    On every axis there is one point, at random, in each of `count` equal stretches (a Latin
    hypercube, McKay et al. 1979): of as many independent points some stretches would get several
    and others none, more so by one seed than by another.
    """
    columns = [(torch.randperm(count) + torch.rand(count)) / count for _ in bounds]
    return (2 * torch.stack(columns, dim=1) - 1) * torch.tensor(bounds)


def uniform(bound: float, *shape: int) -> Tensor:
    """Return random numbers in [-bound, bound]."""
    return (2 * torch.rand(shape) - 1) * bound
