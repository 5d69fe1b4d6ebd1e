"""The prior: networks learned once from many photographs, which files build upon.

A prior is part of the format: a file that names it stores only how its own networks differ. The
shipped one lies beside this module; docs/format.md describes its bytes, prior/ how it was made.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fieldpack.bytestream import ByteReader
from fieldpack.codec.model import FloatArray, ModelShape
from fieldpack.codec.shapes import read_shape
from fieldpack.errors import FieldpackError, FormatError

SHIPPED = 1
"""Number of the prior that new files name."""

_FILES = {1: "photographs-1.prior"}
_SHA256 = {1: "1f697f7a377191bea66eaa1cfd700dbff5113f1a17fa7ecd0e0dacd842357539"}
SIGNATURE = b"FPRI"

# Where a bit is dear, there is none for latents at the picture's own resolution. Sets with and
# without them overlap: it depends on the picture.
_OVERLAP = 2.899  # as a ratio of lambdas
_WORTH = 3.4  # trying, as a ratio of lambdas
LEAST_SURELY_COARSE_LAMBDA = 0.0029
"""Below, few pictures do without the finest grid, and their best qualities are out of reach."""

FEW_PIXELS = 70_000
"""Pictures with fewer have sets of their own: larger ones, which hardly move and cost no bytes."""


@dataclass(frozen=True, eq=False)
class PriorNetworks:
    """One set of a prior's networks.

    Attributes:
        prior: Number of the prior.
        index: Which of its sets this is.
        lambda_: What it was trained for.
        is_flat: Which latents it was trained with, see `initialisation.analyse`.
        finest: Grids finer than this one are left at zero.
        is_for_few_pixels: Whether it is for pictures of fewer than `FEW_PIXELS` alone.
        shape: Sizes of the model.
        parameters: The flat vector.
    """

    prior: int
    index: int
    lambda_: float
    is_flat: bool
    finest: int
    is_for_few_pixels: bool
    shape: ModelShape
    parameters: FloatArray


def prior_networks(number: int, index: int) -> PriorNetworks:
    """Return a set that a file names.

    Raises:
        FormatError: This release has no such prior, or the prior no such set.
    """
    if number not in _FILES:
        raise FormatError(f"the file needs prior {number}, which this release does not have")
    sets = load_prior(number)
    if index >= len(sets):
        raise FormatError(f"prior {number} has no networks number {index}")
    return sets[index]


def nearest_networks(
    lambda_: float, channels: int, pixels: int = FEW_PIXELS
) -> list[PriorNetworks]:
    """Return the shipped sets for a lambda and a picture of so many pixels, nearest first.

    The list is empty if no set has so many channels. Of those with the finest grid and of those
    without, only the nearest, and those of the kind that is farther only if they are near enough.

    Args:
        lambda_: Loss of a bit a pixel; positive.
        channels: Of the picture.
        pixels: Of the picture; by default, as many as the usual sets are for.
    """
    sets = _sets(channels, pixels)

    def distance(networks: PriorNetworks) -> float:
        return abs(math.log(networks.lambda_ / lambda_))

    kinds = [[s for s in sets if (s.finest == 0) == has_finest] for has_finest in (True, False)]
    least = [min(map(distance, kind), default=math.inf) for kind in kinds]
    nearest = [
        s
        for kind, of_kind in zip(kinds, least, strict=True)
        for s in kind
        if distance(s) == of_kind and of_kind <= max(min(least), math.log(_OVERLAP))
    ]
    return sorted(nearest, key=lambda s: (distance(s), s.finest, s.is_flat))


def near_networks(lambda_: float, channels: int, pixels: int) -> list[PriorNetworks]:
    """Return the shipped sets that may be worth trying for a lambda, of every kind.

    If none is near, those of `nearest_networks`, whose arguments these are.
    """
    return [
        s for s in _sets(channels, pixels) if abs(math.log(s.lambda_ / lambda_)) < math.log(_WORTH)
    ] or nearest_networks(lambda_, channels, pixels)


def _sets(channels: int, pixels: int) -> list[PriorNetworks]:
    # Where bits are dearest, there are few latents in any picture, and the same sets for all.
    return [
        s
        for s in load_prior(SHIPPED)
        if s.shape.channels == channels
        and (s.is_for_few_pixels == (pixels < FEW_PIXELS) or s.finest > 1)
    ]


@lru_cache
def load_prior(number: int) -> tuple[PriorNetworks, ...]:
    """Read a prior that comes with the package.

    Raises:
        FieldpackError: The installed file is damaged.
    """
    data = Path(__file__).with_name(_FILES[number]).read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256[number]:
        raise FieldpackError(f"prior {number} is damaged; please install fieldpack again")
    return parse_prior(data, number)


def parse_prior(data: bytes, number: int) -> tuple[PriorNetworks, ...]:
    """Read the bytes of a prior (docs/format.md, "Priors").

    Raises:
        FormatError: They are not those of one.
    """
    reader = ByteReader(data, f"prior {number}")
    if reader.raw(len(SIGNATURE)) != SIGNATURE:
        raise FormatError(f"prior {number} does not begin like one")
    sets = []
    for index in range(reader.byte()):
        lambda_, is_flat = reader.float32(), bool(reader.byte())
        finest, is_for_few_pixels = reader.byte(), bool(reader.byte())
        shape = read_shape(reader, reader.byte(), reader.byte())
        values = np.frombuffer(reader.raw(2 * shape.parameters), "<f2").astype(np.float32)
        sets.append(
            PriorNetworks(number, index, lambda_, is_flat, finest, is_for_few_pixels, shape, values)
        )
    reader.end()
    return tuple(sets)
