"""The pyramid codec's bytes: model, quantised networks, latents (docs/format.md, "Section P")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fieldpack import _engine
from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.codec.model import (
    MAX_CHANNELS,
    MAX_CONVOLUTIONS,
    MAX_GRIDS,
    MAX_HIDDEN_LAYERS,
    MAX_WIDTH,
    NEIGHBOURS,
    ModelShape,
    engine_model,
)
from fieldpack.errors import FormatError
from fieldpack.program.weights import (
    QuantizedTensor,
    WeightDecoder,
    WeightDistribution,
    WeightEncoder,
)

_NAME = "the pyramid"
_MIN_EXPONENT, _MAX_EXPONENT = -30, 10

Latents = list[NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A decoded pyramid.

    Attributes:
        shape: The model's sizes, or None for a picture of one colour.
        tensors: Its quantised networks, in the order of `shape.offsets`, empty ones left out.
        latents: One array a grid, finest first.
        network_bytes: What the networks take in the file.
        latent_bytes: What the latents take.
        colour: (C,) of a picture of one colour, else None.
    """

    shape: ModelShape | None
    tensors: tuple[QuantizedTensor, ...]
    latents: Latents
    network_bytes: int
    latent_bytes: int
    colour: NDArray[np.float32] | None = None

    @property
    def parameters(self) -> NDArray[np.float32]:
        """The networks as the flat vector that the engine reads."""
        return flat_parameters(self.tensors)


def flat_parameters(tensors: Sequence[QuantizedTensor]) -> NDArray[np.float32]:
    """Return the dequantised weights as one flat vector."""
    return np.concatenate([np.zeros(0, np.float32), *(t.values().ravel() for t in tensors)])


def write_pyramid(
    shape: ModelShape,
    tensors: Sequence[QuantizedTensor],
    latents: Latents,
    height: int,
    width: int,
) -> tuple[bytes, list[float]]:
    """Return the payload of a section P, and the bits that each grid takes.

    Args:
        shape: The model's sizes.
        tensors: Quantised networks with steps that are powers of two, empty ones left out.
        latents: One array a grid, finest first.
        height: The picture's.
        width: The picture's.
    """
    writer = ByteWriter()
    _write_shape(writer, shape)
    empty = [not grid.any() for grid in latents]
    writer.varint(sum(1 << k for k, grid_is_empty in enumerate(empty) if grid_is_empty))
    weights = WeightEncoder()
    for tensor in tensors:
        mantissa, exponent = np.frexp(tensor.step)
        if mantissa != 0.5:
            raise ValueError("the steps of a pyramid's networks are powers of two")
        writer.signed(int(exponent) - 1)
        distribution, _ = WeightDistribution.fit(tensor.symbols)
        distribution.write(writer)
        weights.encode(tensor.symbols, distribution)
    stream = weights.finish()
    writer.varint(len(stream))
    writer.raw(stream)
    coded, bits = _engine.encode_latents(
        engine_model(shape), flat_parameters(tensors), height, width, latents, empty
    )
    writer.raw(coded)
    return writer.getvalue(), bits


def write_constant(colour: NDArray[np.float32]) -> bytes:
    """Return the payload of a picture whose pixels all are `colour` (C,): no grid at all."""
    writer = ByteWriter()
    writer.byte(0)
    for value in colour:
        writer.float32(float(value))
    return writer.getvalue()


def read_pyramid(
    payload: bytes, channels: int, height: int, width: int, skipped: int = 0
) -> Pyramid:
    """Read the payload of a section P.

    Args:
        payload: The section's.
        channels: The picture's.
        height: The picture's.
        width: The picture's.
        skipped: How many of the finest grids to leave out (all but one at most): what is left is
            a pyramid of the picture at 1 / 2^skipped of its size, rounded up.

    Raises:
        FormatError: It is not valid.
    """
    reader = ByteReader(payload, _NAME)
    grids = reader.byte()
    if grids == 0:
        colour = np.array([reader.float32() for _ in range(channels)], np.float32)
        reader.end()
        return Pyramid(None, (), [], len(payload), 0, colour)
    shape = _read_shape(reader, channels, grids)
    if shape.grids > _most_grids(height, width):
        raise FormatError(f"{_NAME} has more grids than the picture has room for")
    mask = reader.varint(limit=(1 << shape.grids) - 1)
    empty = [bool(mask >> k & 1) for k in range(shape.grids)]
    sizes = [size for _, size in shape.offsets if np.prod(size)]
    steps, distributions = [], []
    for _ in sizes:
        exponent = reader.signed()
        if not _MIN_EXPONENT <= exponent <= _MAX_EXPONENT:
            raise FormatError(f"{_NAME} has a quantisation step out of range")
        steps.append(2.0**exponent)
        distributions.append(WeightDistribution.read(reader))
    decoder = WeightDecoder(reader.raw(reader.varint()))
    tensors = tuple(
        QuantizedTensor(decoder.decode(size, distribution), step)
        for size, distribution, step in zip(sizes, distributions, steps, strict=True)
    )
    stream = reader.rest()
    if skipped:
        shape, tensors = _without_finest(shape, tensors, min(skipped, grids - 1))
        dropped = grids - shape.grids
        height, width, empty = -(-height >> dropped), -(-width >> dropped), empty[dropped:]
    latents = _engine.decode_latents(
        engine_model(shape), flat_parameters(tensors), height, width, stream, empty
    )
    return Pyramid(shape, tensors, latents, len(payload) - len(stream), len(stream))


def _without_finest(
    shape: ModelShape, tensors: tuple[QuantizedTensor, ...], count: int
) -> tuple[ModelShape, tuple[QuantizedTensor, ...]]:
    """The model that takes the `count` finest grids for zeros and works at the next one's size."""
    coarse = replace(
        shape,
        grids=shape.grids - count,
        context_set_of=shape.set_of_grid[count:] if shape.context_set_of else (),
    )
    names = [name for name, size in shape.offsets if np.prod(size)]
    kept = []
    for name, tensor in zip(names, tensors, strict=True):
        symbols = tensor.symbols
        if name == "taps":
            symbols = symbols[count:]
        elif name == "synthesis.0.weight":
            symbols = np.ascontiguousarray(symbols[:, count:])
        if symbols.size:
            kept.append(QuantizedTensor(symbols, tensor.step))
    return coarse, tuple(kept)


def _most_grids(height: int, width: int) -> int:
    return min(MAX_GRIDS, 1 + max(height - 1, width - 1).bit_length())


def _write_shape(writer: ByteWriter, shape: ModelShape) -> None:
    writer.byte(shape.grids)
    writer.byte(shape.convolutions)
    writer.byte(shape.neighbours)
    for hidden in (shape.synthesis_hidden, shape.context_hidden):
        writer.byte(len(hidden))
        for size in hidden:
            writer.byte(size)
    sets = shape.set_of_grid
    shared = all(index == 0 for index in sets)
    writer.byte(0 if shared else 1)
    if not shared:
        for index in sets:
            writer.byte(index)


def _read_shape(reader: ByteReader, channels: int, grids: int) -> ModelShape:
    convolutions, neighbours = reader.byte(), reader.byte()
    hidden = []
    for _ in range(2):
        layers = reader.byte()
        if layers > MAX_HIDDEN_LAYERS:
            raise FormatError(f"{_NAME} has a network of {layers} hidden layers")
        hidden.append(tuple(reader.byte() for _ in range(layers)))
    shared = reader.byte()
    sets = () if shared == 0 else tuple(reader.byte() for _ in range(grids))
    valid = (
        1 <= channels <= MAX_CHANNELS
        and 1 <= grids <= MAX_GRIDS
        and convolutions <= MAX_CONVOLUTIONS
        and 1 <= neighbours <= len(NEIGHBOURS)
        and all(1 <= size <= MAX_WIDTH for sizes in hidden for size in sizes)
        and shared <= 1
        and all(index < grids for index in sets)
    )
    if not valid:
        raise FormatError(f"{_NAME} has a model of unknown sizes")
    return ModelShape(channels, grids, hidden[0], convolutions, neighbours, hidden[1], sets)
