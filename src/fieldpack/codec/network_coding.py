"""Quantised networks and their bytes: all of them, or how they differ from a prior's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.codec.model import MAX_GRIDS, ModelShape
from fieldpack.codec.prior import PriorNetworks, prior_networks
from fieldpack.codec.shapes import read_shape, write_shape
from fieldpack.errors import FormatError
from fieldpack.program.weights import (
    LEAST_QUARTERS,
    QuantizedTensor,
    WeightDecoder,
    WeightDistribution,
    WeightEncoder,
)

# How likely steps, shapes and scales are: about as in files of photographs.
_EXPONENTS = WeightDistribution(centre=-7, reach=32, shape=1, scale=72)
_SHAPE_FREQUENCIES = (32, 16, 4, 4, 2, 2, 2)
_QUARTERS = WeightDistribution(centre=0, reach=64, shape=1, scale=88)


@dataclass(frozen=True, eq=False)
class Networks:
    """Networks as a file holds them.

    Attributes:
        shape: Sizes of the model.
        tensors: For each tensor of `shape.offsets` that is not empty, its weights, or what is added
            to those of the prior. Steps are powers of two.
        prior: What they build upon, if anything.
    """

    shape: ModelShape
    tensors: tuple[QuantizedTensor, ...]
    prior: PriorNetworks | None = None

    @classmethod
    def of_prior(cls, prior: PriorNetworks) -> Networks:
        """A prior's networks as they are."""
        return cls(prior.shape, unchanged(prior.shape), prior)

    @property
    def parameters(self) -> NDArray[np.float32]:
        """The flat vector that the engine reads."""
        flat = np.concatenate(
            [np.zeros(0, np.float32), *(t.values().ravel() for t in self.tensors)]
        )
        return flat if self.prior is None else self.prior.parameters + flat

    def write_sizes(self, writer: ByteWriter) -> None:
        """Append what says which model this is."""
        if self.prior is None:
            write_shape(writer, self.shape)
        else:
            writer.byte(MAX_GRIDS + self.prior.prior)
            writer.byte(self.prior.index)

    def write_weights(self, writer: ByteWriter) -> None:
        """Append the tensors, range coded: of each its step and distribution, then its symbols."""
        coded = list(self.tensors)
        if self.prior is not None:
            groups = tensor_groups(self.shape)
            differ = [any(self.tensors[i].symbols.any() for i in group) for group in groups]
            writer.varint(sum(1 << i for i, differs in enumerate(differ) if differs))
            coded = [
                self.tensors[i]
                for group, differs in zip(groups, differ, strict=True)
                if differs
                for i in group
            ]
            if not coded:
                return
        weights = WeightEncoder()
        for tensor in coded:
            coding, _ = _Coding.fit(tensor)
            coding.write(weights)
            weights.encode(tensor.symbols, coding.distribution)
        stream = weights.finish()
        writer.varint(len(stream))
        writer.raw(stream)


def read_sizes(
    reader: ByteReader, channels: int, grids: int
) -> tuple[ModelShape, PriorNetworks | None]:
    """Read what `Networks.write_sizes` wrote behind its first byte, `grids`."""
    if grids <= MAX_GRIDS:
        return read_shape(reader, channels, grids), None
    prior = prior_networks(grids - MAX_GRIDS, reader.byte())
    if prior.shape.channels != channels:
        raise FormatError("the pyramid's prior is for another number of channels")
    return prior.shape, prior


def read_weights(reader: ByteReader, shape: ModelShape, prior: PriorNetworks | None) -> Networks:
    """Read what `Networks.write_weights` wrote; raises FormatError where it makes no sense."""
    sizes = _sizes(shape)
    tensors, coded = list(unchanged(shape)), list(range(len(sizes)))
    if prior is not None:
        groups = tensor_groups(shape)
        mask = reader.varint(limit=(1 << len(groups)) - 1)
        coded = [i for k, group in enumerate(groups) if mask >> k & 1 for i in group]
        if not coded:
            return Networks(shape, tuple(tensors), prior)
    weights = WeightDecoder(reader.raw(reader.varint()))
    for i in coded:
        coding = _Coding.read(weights)
        symbols = weights.decode(sizes[i], coding.distribution)
        tensors[i] = QuantizedTensor(symbols, 2.0**coding.exponent)
    return Networks(shape, tuple(tensors), prior)


@dataclass(frozen=True)
class _Coding:
    """How a tensor is coded: in few bits, since of small files these are a part.

    Attributes:
        exponent: Of its step, a power of two.
        shape: Of the symbols' distribution, see `WeightDistribution.around_zero`.
        quarters: Of the logarithm of its scale.
    """

    exponent: int
    shape: int
    quarters: int

    @property
    def distribution(self) -> WeightDistribution:
        """The symbols'."""
        return WeightDistribution.around_zero(self.shape, self.quarters)

    @classmethod
    def fit(cls, tensor: QuantizedTensor) -> tuple[_Coding, float]:
        """Return the coding in which a tensor takes the fewest bits, and these, with its own."""
        mantissa, exponent = math.frexp(tensor.step)
        exponent -= 1
        if mantissa != 0.5 or abs(exponent - _EXPONENTS.centre) > _EXPONENTS.reach:
            raise ValueError("the steps of a pyramid's networks are powers of two, 2^-39 to 2^25")
        best, fewest = None, math.inf
        for shape, quarters, bits in WeightDistribution.candidates_around_zero(tensor.symbols):
            total = bits + _bits_of_coding(exponent, shape, quarters)
            if total < fewest:
                best, fewest = cls(exponent, shape, quarters), total
        if best is None:
            raise ValueError("symbols are out of reach")
        return best, fewest

    def write(self, weights: WeightEncoder) -> None:
        """Append it to the stream of the symbols."""
        weights.encode(np.array([self.exponent], np.int32), _EXPONENTS)
        weights.encode_number(self.shape, _SHAPE_FREQUENCIES)
        weights.encode(np.array([self.quarters], np.int32), _QUARTERS)

    @classmethod
    def read(cls, weights: WeightDecoder) -> _Coding:
        """Read what `write` wrote; raises FormatError where it makes no sense."""
        exponent = int(weights.decode((1,), _EXPONENTS)[0])
        shape = weights.decode_number(_SHAPE_FREQUENCIES)
        quarters = int(weights.decode((1,), _QUARTERS)[0])
        if quarters < LEAST_QUARTERS:
            raise FormatError("a weight distribution has a scale out of range")
        return cls(exponent, shape, quarters)


@lru_cache(maxsize=4096)
def _bits_of_coding(exponent: int, shape: int, quarters: int) -> float:
    """What `_Coding.write` takes."""
    return (
        _EXPONENTS.bits(np.array([exponent]))
        + math.log2(sum(_SHAPE_FREQUENCIES) / _SHAPE_FREQUENCIES[shape])
        + _QUARTERS.bits(np.array([quarters]))
    )


def tensor_bits(tensor: QuantizedTensor) -> float:
    """Return how many bits a tensor takes, all that a decoder has to know of it included.

    Args:
        tensor: Its step is a power of two from 2^-39 to 2^25; else a ValueError is raised.
    """
    return _Coding.fit(tensor)[1]


def tensor_groups(shape: ModelShape) -> list[list[int]]:
    """Which tensors (of those that are not empty) differ from a prior's together.

    First those that draw the picture, then each context model.
    """
    names = [name for name, size in shape.offsets if np.prod(size)]
    prefixes = [f"context{index}." for index in range(max(shape.set_of_grid) + 1)]
    drawing = [i for i, name in enumerate(names) if not name.startswith("context")]
    return [drawing] + [
        [i for i, name in enumerate(names) if name.startswith(prefix)] for prefix in prefixes
    ]


def unchanged(shape: ModelShape, *, keep_empty: bool = False) -> tuple[QuantizedTensor, ...]:
    """Zeros in place of every tensor that is not empty, or of all of them if `keep_empty`."""
    return tuple(
        QuantizedTensor(np.zeros(size, np.int32), 1.0)
        for _, size in shape.offsets
        if keep_empty or np.prod(size)
    )


def _sizes(shape: ModelShape) -> Sequence[tuple[int, ...]]:
    return [size for _, size in shape.offsets if np.prod(size)]
