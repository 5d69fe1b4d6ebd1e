"""Quantised networks and their bytes: all of them, or how they differ from a prior's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.codec.model import ModelShape
from fieldpack.codec.prior import PriorNetworks, prior_networks
from fieldpack.codec.shapes import read_shape, write_shape
from fieldpack.errors import FormatError
from fieldpack.program.weights import (
    MAX_REACH,
    QuantizedTensor,
    WeightDecoder,
    WeightDistribution,
    WeightEncoder,
)

OF_PRIOR = 255
_LEAST_EXPONENT, _EXPONENTS = -20, 32


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
            writer.byte(OF_PRIOR)
            writer.byte(self.prior.prior)
            writer.byte(self.prior.index)

    def write_weights(self, writer: ByteWriter) -> None:
        """Append the tensors: their steps and distributions, then all symbols range coded."""
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
            distribution, _ = WeightDistribution.fit(tensor.symbols)
            _write_coding(writer, tensor.step, distribution)
            weights.encode(tensor.symbols, distribution)
        stream = weights.finish()
        writer.varint(len(stream))
        writer.raw(stream)


def read_sizes(
    reader: ByteReader, channels: int, grids: int
) -> tuple[ModelShape, PriorNetworks | None]:
    """Read what `Networks.write_sizes` wrote behind its first byte, `grids`."""
    if grids != OF_PRIOR:
        return read_shape(reader, channels, grids), None
    prior = prior_networks(reader.byte(), reader.byte())
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
    steps, distributions = [], []
    for _ in coded:
        step, distribution = _read_coding(reader)
        steps.append(step)
        distributions.append(distribution)
    decoder = WeightDecoder(reader.raw(reader.varint()))
    for i, step, distribution in zip(coded, steps, distributions, strict=True):
        tensors[i] = QuantizedTensor(decoder.decode(sizes[i], distribution), step)
    return Networks(shape, tuple(tensors), prior)


def _write_coding(writer: ByteWriter, step: float, distribution: WeightDistribution) -> None:
    """Append a tensor's step and distribution in few bytes: of small files, they are a part."""
    mantissa, exponent = np.frexp(step)
    exponent = int(exponent) - 1 - _LEAST_EXPONENT
    if mantissa != 0.5 or not 0 <= exponent < _EXPONENTS:
        raise ValueError("the steps of a pyramid's networks are powers of two, 2^-20 to 2^11")
    writer.byte(distribution.shape * _EXPONENTS + exponent)
    writer.varint(2 * distribution.reach + (distribution.centre != 0))
    if distribution.centre:
        writer.signed(distribution.centre)
    if distribution.reach:
        writer.byte(distribution.scale)


def _read_coding(reader: ByteReader) -> tuple[float, WeightDistribution]:
    shape, exponent = divmod(reader.byte(), _EXPONENTS)
    reach, has_centre = divmod(reader.varint(limit=2 * MAX_REACH + 1), 2)
    centre = reader.signed() if has_centre else 0
    scale = reader.byte() if reach else 0
    distribution = WeightDistribution.checked(centre, reach, shape, scale)
    return 2.0 ** (exponent + _LEAST_EXPONENT), distribution


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
