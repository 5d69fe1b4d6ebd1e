"""SIREN: sines all the way."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fieldpack.networks.network import Network, weight_array
from fieldpack.networks.projection import Projection, check_sizes, spread, uniform
from fieldpack.program import Program, ProgramBuilder


class Siren(Network):
    """Layers `sin(omega · (W x + b))` and a linear map to the channels.

    After Sitzmann et al. 2020, "Implicit neural representations with periodic activation
    functions" (https://arxiv.org/abs/2006.09661), with their initialisation: first weights in
    +-1 / d, all others in +-sqrt(6 / inputs) / omega, so that every layer's sines see a standard
    normal distribution. Those of the first layer are spread evenly, which makes seeds differ less.
    The output stands for values of -1 to 1, which are moved to 0 to 1.

    Attributes:
        first: The map of the coordinates.
        hidden: Linear maps, each followed by a sine.
        output: The last linear map.
    """

    def __init__(
        self,
        positions: Sequence[int],
        channels: int,
        *,
        width: int = 256,
        layers: int = 3,
        first_omega: float = 30.0,
        omega: float = 30.0,
        seed: int = 0,
    ) -> None:
        """Make the network with random weights.

        Args:
            positions: Positions on each axis, x first.
            channels: Channels of a value.
            width: Channels of each layer.
            layers: Layers between the first one and the output.
            first_omega: Factor within the first sine: how fine the first details are.
            omega: Factor within the other sines; a larger one learns faster and less steadily.
            seed: Of the random weights; the global random state is left as it was.

        Raises:
            RequestError: A size is not positive.
        """
        super().__init__(check_sizes(positions, channels, width, layers + 1), channels)
        self.first_omega = first_omega
        self.omega = omega
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = self._first(width)
            self.hidden = nn.ModuleList(self._linear(width, width) for _ in range(layers))
            self.output = self._linear(width, channels)

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Evaluate the field; see `Network.forward`."""
        value = self.activate(self.first(*coordinates), self.first_omega)
        for layer in self.hidden:
            value = self.activate(layer(value), self.omega)
        result: Tensor = 0.5 + 0.5 * self.output(value)
        return result

    def export(self) -> Program:
        """Return the network as a program."""
        builder = ProgramBuilder(self.axes)
        value = self.trace_activation(builder, self.first.trace(builder), self.first_omega)
        for layer in self.hidden:
            linear = builder.linear(value, weight_array(layer.weight), weight_array(layer.bias))
            value = self.trace_activation(builder, linear, self.omega)
        weight, bias = weight_array(self.output.weight), weight_array(self.output.bias)
        builder.linear(value, 0.5 * weight, 0.5 + 0.5 * bias)
        return builder.build()

    def activate(self, value: Tensor, omega: float) -> Tensor:
        """Return what a layer makes of its linear map's value."""
        return torch.sin(omega * value)

    def trace_activation(self, builder: ProgramBuilder, value: int, omega: float) -> int:
        """Append the same to a program and return its value's index."""
        return builder.sine(value, omega)

    def _first(self, width: int) -> Projection:
        return self._spread_first(width, 1 / math.sqrt(self.axes))

    def _spread_first(self, width: int, bias: float) -> Projection:
        drawn = spread([1 / self.axes] * self.axes + [bias], width)
        weight, biases = drawn[:, :-1], drawn[:, -1]
        return Projection(self.positions, weight, biases, rate=min(1.0, 30 / self.first_omega))

    def _linear(self, inputs: int, outputs: int) -> nn.Linear:
        linear = nn.Linear(inputs, outputs)
        bound = math.sqrt(6 / inputs) / self.omega
        with torch.no_grad():
            linear.weight.copy_(uniform(bound, outputs, inputs))
        return linear
