"""Fourier features: sines and cosines of the coordinates, then a ReLU network."""

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

Features = Literal["gaussian", "positional", "basic", "none"]
FEATURES: tuple[Features, ...] = ("gaussian", "positional", "basic", "none")


class FourierNetwork(Network):
    """`cos(2 pi B x)` and `sin(2 pi B x)`, then ReLU layers.

    After Tancik et al. 2020, "Fourier features let networks learn high frequency functions in low
    dimensional domains" (https://arxiv.org/abs/2006.10739). Their x runs from 0 to 1 along the
    longest axis, so that B holds waves over the domain. B is not trained:

    - "gaussian": `features` rows from a normal distribution of deviation `scale`;
    - "positional": for each axis, `features` waves `scale^(j / features)`, j = 0, 1, ...;
    - "basic": one wave for each axis;
    - "none": no features but x itself: a plain ReLU network.

    They end with the logistic function, which saturates on pictures that are mostly white, where
    training then stands still. Here the output is linear; it stands for values of -1 to 1, which
    are moved to 0 to 1.

    Attributes:
        frequencies: The map to `2 pi B x`, or None.
        layers: Linear maps, all but the last followed by a ReLU.
    """

    def __init__(
        self,
        positions: Sequence[int],
        channels: int,
        *,
        encoding: Features = "gaussian",
        scale: float = 10.0,
        features: int = 256,
        width: int = 256,
        layers: int = 3,
        seed: int = 0,
    ) -> None:
        """Make the network with random weights.

        Args:
            positions: Positions on each axis, x first.
            channels: Channels of a value.
            encoding: "gaussian", "positional", "basic" or "none".
            scale: Of the frequencies: larger for finer details, and noise between samples.
            features: Frequencies (of each axis, if positional).
            width: Channels of the ReLU layers.
            layers: Number of them.
            seed: Of the random weights; the global random state is left as it was.

        Raises:
            RequestError: A size is not positive, or the encoding is unknown.
        """
        super().__init__(check_sizes(positions, channels, width, layers, features), channels)
        if encoding not in FEATURES:
            raise RequestError(f"there is no encoding {encoding!r}; known: {', '.join(FEATURES)}")
        self.curved = encoding != "none"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.frequencies: Projection | None = None
            self.first: Projection | None = None
            sizes = [width] * layers
            if encoding == "none":
                bound = 1 / math.sqrt(self.axes)
                self.first = Projection(
                    self.positions, uniform(bound, width, self.axes), uniform(bound, width)
                )
            else:
                waves = _waves(encoding, self.axes, scale, features)
                # x in 0 .. 1 is half of the coordinate's -1 .. 1; the offset is a mere phase.
                self.frequencies = Projection(self.positions, math.pi * waves, trained=False)
                sizes = [2 * len(waves), *sizes]
            pairs = zip(sizes, [*sizes[1:], channels], strict=True)
            self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairs)

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Evaluate the field; see `Network.forward`."""
        if self.frequencies is not None:
            phase = self.frequencies(*coordinates)
            value = torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)
        else:
            assert self.first is not None
            value = torch.relu(self.first(*coordinates))
        *hidden, output = self.layers
        for layer in hidden:
            value = torch.relu(layer(value))
        result: Tensor = 0.5 + 0.5 * output(value)
        return result

    def export(self) -> Program:
        """Return the network as a program."""
        builder = ProgramBuilder(self.axes)
        layers = [(weight_array(layer.weight), weight_array(layer.bias)) for layer in self.layers]
        if self.frequencies is not None:
            phase = self.frequencies.trace(builder)
            (weight, bias), *layers = layers
            half = weight.shape[1] // 2
            cosines = builder.linear(builder.cosine(phase), weight[:, :half])
            sines = builder.linear(builder.sine(phase), weight[:, half:])
            value = builder.shift(builder.add(cosines, sines), bias)
        else:
            assert self.first is not None
            value = self.first.trace(builder)
        layers[-1] = (0.5 * layers[-1][0], 0.5 + 0.5 * layers[-1][1])
        for weight, bias in layers:
            value = builder.linear(builder.relu(value), weight, bias)
        return builder.build()


def _waves(encoding: Features, axes: int, scale: float, features: int) -> Tensor:
    """Return B (rows, axes), in waves over the longest axis."""
    if encoding == "gaussian":
        return scale * torch.randn(features, axes)
    waves = torch.ones(1) if encoding == "basic" else scale ** (torch.arange(features) / features)
    return torch.kron(torch.eye(axes), waves[:, None])
