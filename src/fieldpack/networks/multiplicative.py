"""Multiplicative filter networks: products of sines or of Gabor wavelets, no other activation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from fieldpack.errors import RequestError
from fieldpack.networks.network import Network, weight_array
from fieldpack.networks.projection import Projection, check_sizes, uniform
from fieldpack.program import Program, ProgramBuilder


class FourierFilter(nn.Module):
    """`sin(W x + b)`.

    Attributes:
        waves: The map W x + b.
    """

    def __init__(self, positions: Sequence[int], width: int, scale: Tensor) -> None:
        """Draw W from +-scale / sqrt(d), a scale for each of `width` channels, and any phase."""
        super().__init__()
        axes = len(positions)
        weight = uniform(1 / math.sqrt(axes), width, axes) * scale[:, None]
        self.waves = Projection(positions, weight, uniform(math.pi, width))

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Evaluate the filters, (..., width)."""
        return torch.sin(self.waves(*coordinates))

    def trace(self, builder: ProgramBuilder) -> int:
        """Append the filters to a program and return their value's index."""
        return builder.sine(self.waves.trace(builder))


class GaborFilter(FourierFilter):
    """`sin(W x + b)` times a Gaussian `exp(-|s · (x - m)|²)`.

    Attributes:
        waves: The map W x + b.
        sharpness: s (width,), how narrow the Gaussians are.
        centre: m (width, d), on the coordinates' common scale.
    """

    def __init__(
        self, positions: Sequence[int], width: int, scale: Tensor, sharpness: Tensor
    ) -> None:
        """Draw the waves as a Fourier filter does, and centres from anywhere in the domain."""
        super().__init__(positions, width, scale)
        self.sharpness = nn.Parameter(sharpness.clone())
        centre = uniform(1, width, len(positions)) * self.waves.extents
        self.centre = nn.Parameter(centre.to(sharpness.dtype))

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Evaluate the filters, (..., width)."""
        value = super().forward(*coordinates)
        # A product over the axes, which need be computed only once for each line of a grid.
        scaled = self.waves.scaled(coordinates)
        for coordinate, centre in zip(scaled, self.centre.unbind(1), strict=True):
            distance = self.sharpness * (coordinate[..., None] - centre)
            value = value * torch.exp(-distance.square())
        return value

    def trace(self, builder: ProgramBuilder) -> int:
        """Append the filters to a program and return their value's index."""
        value = super().trace(builder)
        sharpness, centre = weight_array(self.sharpness), weight_array(self.centre)
        for axis, extent in enumerate(self.waves.extents.tolist()):
            coordinate = builder.coordinate(axis)
            distance = builder.linear(
                coordinate, extent * sharpness[:, None], -sharpness * centre[:, axis]
            )
            value = builder.multiply(value, builder.gaussian(distance))
        return value


class MultiplicativeNetwork(Network):
    """`z_1 = g_1(x)`, `z_(i+1) = (W_i z_i + b_i) · g_(i+1)(x)`, and a linear map to the channels.

    After Fathony et al. 2021, "Multiplicative filter networks"
    (https://openreview.net/forum?id=OmtmcPkkhT), with their initialisation. The output stands for
    values of -1 to 1, which are moved to 0 to 1.

    Attributes:
        filters: The filters g.
        hidden: The linear maps between them.
        output: The last linear map.
    """

    def __init__(
        self,
        positions: Sequence[int],
        channels: int,
        *,
        filters: Literal["gabor", "fourier"] = "gabor",
        width: int = 256,
        layers: int = 3,
        scale: float = 256.0,
        seed: int = 0,
    ) -> None:
        """Make the network with random weights.

        Args:
            positions: Positions on each axis, x first.
            channels: Channels of a value.
            filters: "gabor" or "fourier".
            width: Channels of each layer.
            layers: Linear maps between filters; there is one filter more.
            scale: Of the frequencies, in radians by the unit of coordinates; the layers share it.
            seed: Of the random weights; the global random state is left as it was.

        Raises:
            RequestError: A size is not positive, or the filters are unknown.
        """
        super().__init__(check_sizes(positions, channels, width, layers + 1), channels)
        if filters not in ("gabor", "fourier"):
            raise RequestError(f"there are no filters {filters!r}; known: gabor, fourier")
        count = layers + 1
        share = torch.full((width,), scale / math.sqrt(count))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.filters = nn.ModuleList()
            for _ in range(count):
                if filters == "fourier":
                    self.filters.append(FourierFilter(self.positions, width, share))
                    continue
                shape = torch.full((width,), 6.0 / count)
                gamma = torch.distributions.Gamma(shape, torch.ones(width)).sample()
                self.filters.append(
                    GaborFilter(self.positions, width, share * gamma.sqrt(), (gamma / 2).sqrt())
                )
            linears = [nn.Linear(width, width) for _ in range(layers)]
            self.hidden = nn.ModuleList(linears)
            with torch.no_grad():
                for layer in linears:
                    layer.weight.copy_(uniform(1 / math.sqrt(width), width, width))
            self.output = nn.Linear(width, channels)

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Evaluate the field; see `Network.forward`."""
        first, *others = self._filters()
        value: Tensor = first(*coordinates)
        for layer, filters in zip(self.hidden.children(), others, strict=True):
            value = layer(value) * filters(*coordinates)
        result: Tensor = 0.5 + 0.5 * self.output(value)
        return result

    def export(self) -> Program:
        """Return the network as a program."""
        builder = ProgramBuilder(self.axes)
        first, *others = self._filters()
        value = first.trace(builder)
        for layer, filters in zip(self.hidden.children(), others, strict=True):
            linear = builder.linear(value, weight_array(layer.weight), weight_array(layer.bias))
            value = builder.multiply(linear, filters.trace(builder))
        weight, bias = weight_array(self.output.weight), weight_array(self.output.bias)
        builder.linear(value, 0.5 * weight, 0.5 + 0.5 * bias)
        return builder.build()

    def _filters(self) -> list[FourierFilter]:
        return [each for each in self.filters if isinstance(each, FourierFilter)]
