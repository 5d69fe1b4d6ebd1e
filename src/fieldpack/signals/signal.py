"""A picture as an array, with what is needed to write it back as it came."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldpack.errors import SignalError

MAX_SIDE = (1 << 31) - 1


class Colour(enum.IntEnum):
    """Meaning of a picture's channels; the values are those of the file (docs/format.md)."""

    GREY = 0
    GREY_ALPHA = 1
    RGB = 2
    RGBA = 3
    CMYK = 4

    @property
    def channels(self) -> int:
        """Number of channels."""
        return (1, 2, 3, 4, 4)[self]


_DTYPES: dict[int, type[np.generic]] = {1: np.uint8, 8: np.uint8, 16: np.uint16, 32: np.float32}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, upright (EXIF orientation applied).

    Attributes:
        samples: (H, W, C); uint8 for `bit_depth` 1 (values 0 and 1) and 8, uint16 for 16,
            float32 for 32 (any finite values).
        colour: What the channels mean.
        bit_depth: 1, 8, 16 or 32.
        palette: (n, 3) or (n, 4) uint8 if the source was a palette picture, else None; the
            samples are then already its colours (RGB, or RGBA if some entry is transparent).
        icc_profile: The source's colour profile, or None.

    Raises:
        SignalError: The parts do not go together, or a sample is not finite.
    """

    samples: NDArray[np.generic]
    colour: Colour
    bit_depth: int
    palette: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None

    def __post_init__(self) -> None:
        if self.bit_depth not in _DTYPES:
            raise SignalError(f"a picture has 1, 8, 16 or 32 bits a sample, not {self.bit_depth}")
        if self.samples.ndim != 3 or self.samples.shape[2] != self.colour.channels:
            raise SignalError(
                f"{self.colour.name} samples have shape (H, W, {self.colour.channels}), "
                f"not {self.samples.shape}"
            )
        if min(self.samples.shape) < 1 or max(self.samples.shape) > MAX_SIDE:
            raise SignalError(f"a picture cannot be {self.width} x {self.height} pixels")
        if self.samples.dtype != _DTYPES[self.bit_depth]:
            raise SignalError(f"{self.bit_depth}-bit samples cannot be {self.samples.dtype}")
        if self.bit_depth == 32 and not np.isfinite(self.samples).all():
            raise SignalError("the picture has samples that are not finite (NaN or infinity)")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.samples.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.samples.shape[1])

    @property
    def channels(self) -> int:
        """Channels, alpha included."""
        return int(self.samples.shape[2])

    @property
    def peak(self) -> int:
        """Largest sample value of an integer picture: 1, 255 or 65535."""
        if self.bit_depth == 32:
            raise SignalError("a floating-point picture has no largest sample value")
        return (1 << self.bit_depth) - 1
