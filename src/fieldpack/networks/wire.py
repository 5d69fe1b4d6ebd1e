"""WIRE: complex Gabor wavelets as activation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fieldpack.networks.network import Network, weight_array
from fieldpack.networks.projection import Projection, check_sizes, spread, uniform
from fieldpack.program import Program, ProgramBuilder


class ComplexLinear(nn.Module):
    """`W z + b` of complex numbers, held as real and imaginary parts.

    Attributes:
        weight: (outputs, 2 inputs): real, then imaginary parts of W's rows.
        bias: (2 outputs,): real, then imaginary parts.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Draw all parts from +-1 / sqrt(inputs)."""
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(uniform(bound, outputs, 2 * inputs))
        self.bias = nn.Parameter(uniform(bound, 2 * outputs))

    def forward(self, value: Tensor) -> Tensor:
        """Map (..., 2 inputs), real parts first, to (..., 2 outputs)."""
        real, imaginary = self.weight.chunk(2, dim=1)
        matrix = torch.cat(
            [torch.cat([real, -imaginary], dim=1), torch.cat([imaginary, real], dim=1)]
        )
        return nn.functional.linear(value, matrix, self.bias)


class Wire(Network):
    """Complex layers `exp(i · omega · z - |scale · z|²)`, z being `W x + b`, and a real output.

    After Saragadam et al. 2023, "WIRE: wavelet implicit neural representations"
    (https://arxiv.org/abs/2301.05187). The first layer's weights are real. The output stands for
    values of -1 to 1, which are moved to 0 to 1.

    Attributes:
        first: The real map of the coordinates.
        hidden: Complex maps, each followed by the activation.
        output: The last map, of (real, imaginary) parts to real channels.
    """

    def __init__(
        self,
        positions: Sequence[int],
        channels: int,
        *,
        width: int = 181,
        layers: int = 2,
        omega: float = 20.0,
        scale: float = 10.0,
        first_omega: float | None = None,
        seed: int = 0,
    ) -> None:
        """Make the network with random weights.

        Args:
            positions: Positions on each axis, x first.
            channels: Channels of a value.
            width: Complex channels of each layer; 181 have about as many weights as 256 real ones.
            layers: Layers between the first one and the output.
            omega: Frequency of the wavelets.
            scale: How narrow they are.
            first_omega: Frequency of those of the first layer; None for `omega`.
            seed: Of the random weights; the global random state is left as it was.

        Raises:
            RequestError: A size is not positive.
        """
        super().__init__(check_sizes(positions, channels, width, layers + 1), channels)
        self.omega = omega
        self.scale = scale
        self.first_omega = omega if first_omega is None else first_omega
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            bound = 1 / math.sqrt(self.axes)
            drawn = spread([bound] * (self.axes + 1), width)
            self.first = Projection(
                self.positions,
                drawn[:, :-1],
                drawn[:, -1],
                rate=min(1.0, 30 / self.first_omega),
            )
            self.hidden = nn.ModuleList(ComplexLinear(width, width) for _ in range(layers))
            self.output = nn.Linear(2 * width, channels)

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Evaluate the field; see `Network.forward`."""
        real = self.first(*coordinates)
        envelope = torch.exp(-(self.scale**2) * real.square())
        phase = self.first_omega * real
        value = torch.cat([envelope * torch.cos(phase), envelope * torch.sin(phase)], dim=-1)
        for layer in self.hidden:
            value = self._activate(layer(value))
        result: Tensor = 0.5 + 0.5 * self.output(value)
        return result

    def export(self) -> Program:
        """Return the network as a program."""
        builder = ProgramBuilder(self.axes)
        real = self.first.trace(builder)
        # The imaginary parts of the first layer's argument are 0.
        width = len(self.first.weight)
        value = builder.linear(real, np.eye(2 * width, width))
        value = builder.gabor(value, self.first_omega, self.scale)
        for layer in self.hidden:
            value = builder.complex_linear(value, weight_array(layer.weight))
            value = builder.shift(value, weight_array(layer.bias))
            value = builder.gabor(value, self.omega, self.scale)
        weight, bias = weight_array(self.output.weight), weight_array(self.output.bias)
        builder.linear(value, 0.5 * weight, 0.5 + 0.5 * bias)
        return builder.build()

    def _activate(self, value: Tensor) -> Tensor:
        real, imaginary = value.chunk(2, dim=-1)
        square = real.square() + imaginary.square()
        envelope = torch.exp(-self.omega * imaginary - self.scale**2 * square)
        phase = self.omega * real
        return torch.cat([envelope * torch.cos(phase), envelope * torch.sin(phase)], dim=-1)
