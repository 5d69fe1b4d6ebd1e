"""FINER: sines whose frequency grows with their argument."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fieldpack.networks.projection import Projection
from fieldpack.networks.siren import Siren
from fieldpack.program import ProgramBuilder


class Finer(Siren):
    """A SIREN with the activation `sin(omega · (|z| + 1) · z)`, z being `W x + b`.

    After Liu et al. 2024, "FINER: flexible spectral-bias tuning in implicit neural representation
    by variable-periodic activation functions" (https://arxiv.org/abs/2312.02434): biases of the
    first layer are drawn from +-`bias`, which spreads its units over frequencies.
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
        bias: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Make the network; see `Siren` for the other arguments.

        Args:
            positions: Positions on each axis, x first.
            channels: Channels of a value.
            width: Channels of each layer.
            layers: Layers between the first one and the output.
            first_omega: Factor within the first sine.
            omega: Factor within the other sines.
            bias: Largest bias of the first layer: the first frequencies reach 2 · bias + 1 times
                those of a SIREN.
            seed: Of the random weights; the global random state is left as it was.

        Raises:
            RequestError: A size is not positive.
        """
        self.first_bias = bias
        super().__init__(
            positions,
            channels,
            width=width,
            layers=layers,
            first_omega=first_omega,
            omega=omega,
            seed=seed,
        )

    def activate(self, value: Tensor, omega: float) -> Tensor:
        """Return `sin(omega · (|z| + 1) · z)`."""
        return torch.sin(omega * (value + value * value.abs()))

    def trace_activation(self, builder: ProgramBuilder, value: int, omega: float) -> int:
        """Append the same to a program and return its value's index."""
        square = builder.multiply(value, builder.absolute(value))
        return builder.sine(builder.add(value, square), omega)

    def _first(self, width: int) -> Projection:
        return self._spread_first(width, self.first_bias)
