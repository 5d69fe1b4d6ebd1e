"""Encodings of a position 0 .. n-1 on one axis as a vector, the first step of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldpack.errors import RequestError
from fieldpack.program import ProgramBuilder


class Encoding(nn.Module):
    """Maps positions on one axis to codes; has no trained weights.

    Attributes:
        positions: Number of positions n of the axis.
        length: Channels of a code.
    """

    def __init__(self, positions: int, length: int) -> None:
        """Check and keep the sizes.

        Raises:
            RequestError: There is no position or no channel.
        """
        super().__init__()
        if positions < 1:
            raise RequestError(f"an axis has at least 1 position, not {positions}")
        if length < 1:
            raise RequestError(f"an encoding has at least 1 channel, not {length}")
        self.positions = positions
        self.length = length

    def forward(self, positions: Tensor) -> Tensor:
        """Encode positions (...) of a floating dtype as codes (..., length) of that dtype."""
        raise NotImplementedError

    def trace(self, builder: ProgramBuilder, axis: int) -> int:
        """Append this encoding of coordinate `axis` to a program and return its value's index."""
        raise NotImplementedError

    def _nearest(self, positions: Tensor) -> Tensor:
        return (positions + 0.5).floor().long().clamp(0, self.positions - 1)


class OneHot(Encoding):
    """One channel a position: 1 at the nearest position, 0 elsewhere.

    Example:
        >>> OneHot(3)(torch.tensor([2.0])).tolist()
        [[0.0, 0.0, 1.0]]
    """

    def __init__(self, positions: int) -> None:
        """Make the encoding of `positions` positions; its length is the same number."""
        super().__init__(positions, positions)

    def forward(self, positions: Tensor) -> Tensor:
        """Encode positions (...) as (..., n)."""
        return nn.functional.one_hot(self._nearest(positions), self.length).to(positions.dtype)

    def trace(self, builder: ProgramBuilder, axis: int) -> int:
        """Append the operation `ONE_HOT`."""
        return builder.one_hot(axis, self.positions)


class Binary(Encoding):
    """Bits of the nearest position, lowest first: ceil(log2 n) channels (1 if n is 1).

    Example:
        >>> Binary(8)(torch.tensor([6.0])).tolist()
        [[0.0, 1.0, 1.0]]
    """

    shifts: Tensor

    def __init__(self, positions: int) -> None:
        """Make the encoding of `positions` positions."""
        super().__init__(positions, max(1, (positions - 1).bit_length()))
        self.register_buffer("shifts", torch.arange(self.length), persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        """Encode positions (...) as (..., ceil(log2 n))."""
        bits = (self._nearest(positions)[..., None] >> self.shifts) & 1
        return bits.to(positions.dtype)

    def trace(self, builder: ProgramBuilder, axis: int) -> int:
        """Append the operation `BINARY`."""
        return builder.binary(axis, self.positions, self.length)


class Sinusoidal(Encoding):
    """Positional encoding `sin(first · ratio^i · p)`, i < length.

    The textbook's `sin(a^i · p)` is first=1, ratio=a. The defaults are sin(p · 2^(1-i)) with
    length int(log2 n) + 2: from 2 radians a pixel to about a radian over the whole axis.
    After the positional encoding of Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762).

    Example:
        >>> Sinusoidal(4)(torch.tensor([0.0])).tolist()
        [[0.0, 0.0, 0.0, 0.0]]
    """

    frequencies: Tensor

    def __init__(
        self, positions: int, length: int | None = None, first: float = 2.0, ratio: float = 0.5
    ) -> None:
        """Make the encoding.

        Args:
            positions: Number of positions n.
            length: Number of frequencies; None for int(log2 n) + 2.
            first: First frequency in radians a position, rounded to float32.
            ratio: Each frequency over the one before it, rounded to float32.
        """
        super().__init__(positions, positions.bit_length() + 1 if length is None else length)
        constants = torch.tensor([first, ratio], dtype=torch.float32).double()
        self.first, self.ratio = constants.tolist()
        powers = self.ratio ** torch.arange(self.length, dtype=torch.float64)
        self.register_buffer("frequencies", self.first * powers, persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        """Encode positions (...) as (..., length); phases and sines are taken in float64."""
        return torch.sin(positions[..., None].double() * self.frequencies).to(positions.dtype)

    def trace(self, builder: ProgramBuilder, axis: int) -> int:
        """Append the operation `SINUSOID`."""
        return builder.sinusoid(axis, self.positions, self.length, self.first, self.ratio)


ENCODINGS: dict[str, type[OneHot] | type[Binary] | type[Sinusoidal]] = {
    "one-hot": OneHot,
    "binary": Binary,
    "sinusoidal": Sinusoidal,
}
