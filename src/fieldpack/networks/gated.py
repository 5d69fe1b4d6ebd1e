"""The gated network: gating blocks on each axis, joined, then residual blocks for each point."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fieldpack.errors import RequestError
from fieldpack.networks.encodings import ENCODINGS, Encoding
from fieldpack.networks.network import Network, weight_array
from fieldpack.program import Program, ProgramBuilder


class Gating(nn.Module):
    """`gelu(norm(tanh(Q·K) · V))` of three linear maps Q, K, V of the input, elementwise.

    The input may come in parts that are to be concatenated; the parts' leading shapes need only
    broadcast, since a linear map of a concatenation is the sum of linear maps of its parts.

    Attributes:
        query: Q, a linear map with bias.
        key: K, likewise.
        value: V, likewise.
        norm: Batch norm of the product.
    """

    def __init__(self, inputs: int | Sequence[int], outputs: int) -> None:
        """Make the block.

        Args:
            inputs: Channels of the input, or of each of its parts.
            outputs: Channels of the result.
        """
        super().__init__()
        self.inputs = [inputs] if isinstance(inputs, int) else list(inputs)
        self.outputs = outputs
        self.query = nn.Linear(sum(self.inputs), outputs)
        self.key = nn.Linear(sum(self.inputs), outputs)
        self.value = nn.Linear(sum(self.inputs), outputs)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, *parts: Tensor) -> Tensor:
        """Map parts (..., inputs[i]) to (..., outputs), with batch statistics if training."""
        gate = _tanh(self._project(self.query, parts) * self._project(self.key, parts))
        product = gate * self._project(self.value, parts)
        normed = self.norm(product.reshape(-1, self.outputs))
        return nn.functional.gelu(normed).reshape(product.shape)

    def trace(self, builder: ProgramBuilder, parts: Sequence[int]) -> int:
        """Append the block, evaluated with running statistics, and return its value's index.

        The norm's scale goes into V; one linear map a part lets an evaluator compute the parts of
        one axis once for each of its positions.
        """
        norm = self.norm
        scale = weight_array(norm.weight) / np.sqrt(weight_array(norm.running_var) + norm.eps)
        shift = weight_array(norm.bias) - weight_array(norm.running_mean) * scale
        query = self._trace_projection(builder, self.query, parts)
        key = self._trace_projection(builder, self.key, parts)
        value = self._trace_projection(builder, self.value, parts, scale)
        gate = builder.tanh(builder.multiply(query, key))
        return builder.gelu(builder.shift(builder.multiply(gate, value), shift))

    def _project(self, linear: nn.Linear, parts: Sequence[Tensor]) -> Tensor:
        weights = torch.split(linear.weight, self.inputs, dim=1)
        total = nn.functional.linear(parts[0], weights[0], linear.bias)
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            total = total + nn.functional.linear(part, weight)
        return total

    def _trace_projection(
        self,
        builder: ProgramBuilder,
        linear: nn.Linear,
        parts: Sequence[int],
        scale: NDArray[np.float64] | float = 1.0,
    ) -> int:
        factors = np.broadcast_to(scale, (self.outputs,))
        weight = weight_array(linear.weight) * factors[:, None]
        blocks = np.split(weight, np.cumsum(self.inputs)[:-1], axis=1)
        total = builder.linear(parts[0], blocks[0], weight_array(linear.bias) * factors)
        for part, block in zip(parts[1:], blocks[1:], strict=True):
            total = builder.add(total, builder.linear(part, block))
        return total


class ReZero(nn.Module):
    """Shortcut + alpha · blocks(shortcut) with a trained number alpha.

    After Bachlechner et al. 2020, "ReZero is all you need" (https://arxiv.org/abs/2003.04887),
    who start alpha at 0, where the whole is the identity.
    """

    def __init__(self, blocks: Sequence[Gating], alpha: float = 0.01) -> None:
        """Wrap `blocks`, applied one after another, with `alpha` at first."""
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.alpha = nn.Parameter(torch.full((1,), float(alpha)))

    def forward(self, value: Tensor) -> Tensor:
        """Map (..., channels) to the same shape."""
        inner = value
        for block in self.blocks:
            inner = block(inner)
        return value + self.alpha * inner

    def trace(self, builder: ProgramBuilder, value: int) -> int:
        """Append the shortcut and its blocks and return the sum's index."""
        inner = value
        for block in self.blocks:
            assert isinstance(block, Gating)
            inner = block.trace(builder, [inner])
        return builder.add(value, builder.scale(inner, weight_array(self.alpha)))


class GatedNetwork(Network):
    """The gated network of the tutorial, for any number of axes.

    Each axis is encoded and goes through a gating block of its own; the results are joined by a
    gating block, followed by two shortcuts around a pair of gating blocks each, a linear map to
    the channels, and the logistic function, so that values lie in (0, 1).

    Example:
        >>> network = GatedNetwork((768, 512), channels=3)
        >>> network.parameter_count
        190405
        >>> x, y = torch.zeros(1, 768), torch.zeros(512, 1)
        >>> network(x, y).shape
        torch.Size([512, 768, 3])
    """

    def __init__(
        self,
        positions: Sequence[int],
        channels: int,
        *,
        width: int = 100,
        encoding: str | Callable[[int], Encoding] = "sinusoidal",
        alpha: float = 0.01,
        seed: int = 0,
    ) -> None:
        """Make the network with random weights.

        Args:
            positions: Positions on each axis, x first: (width, height) of a picture.
            channels: Channels of a value.
            width: Channels between the blocks.
            encoding: "one-hot", "binary" or "sinusoidal", or what makes an encoding from a
                number of positions.
            alpha: First factor of the shortcuts' inner branches.
            seed: Of the random weights; the global random state is left as it was.

        Raises:
            RequestError: A size is not positive or the encoding is unknown.
        """
        super().__init__(tuple(positions), channels)
        if not self.positions or channels < 1 or width < 1:
            raise RequestError("a network has at least one axis, one channel and width 1")
        if isinstance(encoding, str):
            if encoding not in ENCODINGS:
                known = ", ".join(ENCODINGS)
                raise RequestError(f"there is no encoding {encoding!r}; there are {known}")
            encoding = ENCODINGS[encoding]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encodings = nn.ModuleList(encoding(count) for count in self.positions)
            self.axis_blocks = nn.ModuleList(
                Gating(code.length, width) for code in self._encodings()
            )
            self.join = Gating([width] * self.axes, width)
            self.shortcuts = nn.ModuleList(
                ReZero([Gating(width, width), Gating(width, width)], alpha) for _ in range(2)
            )
            self.output = nn.Linear(width, channels)

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Evaluate the field at coordinates that broadcast together; see `Network.forward`."""
        parts = []
        axes = zip(self._encodings(), self.axis_blocks, coordinates, strict=True)
        for encoding, block, coordinate in axes:
            position = coordinate * (encoding.positions / 2) + (encoding.positions - 1) / 2
            parts.append(block(encoding(position).to(self.output.weight.dtype)))
        value = self.join(*parts)
        for shortcut in self.shortcuts:
            value = shortcut(value)
        return torch.sigmoid(self.output(value))

    def export(self) -> Program:
        """Return the network, evaluated with running statistics, as a program."""
        builder = ProgramBuilder(self.axes)
        parts = []
        for axis, (encoding, block) in enumerate(
            zip(self._encodings(), self.axis_blocks, strict=True)
        ):
            assert isinstance(block, Gating)
            parts.append(block.trace(builder, [encoding.trace(builder, axis)]))
        value = self.join.trace(builder, parts)
        for shortcut in self.shortcuts:
            assert isinstance(shortcut, ReZero)
            value = shortcut.trace(builder, value)
        value = builder.linear(
            value, weight_array(self.output.weight), weight_array(self.output.bias)
        )
        builder.sigmoid(value)
        return builder.build()

    def _encodings(self) -> list[Encoding]:
        return [code for code in self.encodings if isinstance(code, Encoding)]


def _tanh(value: Tensor) -> Tensor:
    # PyTorch's logistic function is seven times as fast on a CPU as its hyperbolic tangent.
    return 2 * torch.sigmoid(2 * value) - 1
