"""The pyramid codec's bytes: model, quantised networks, latents (docs/format.md, "Section P")."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fieldpack import _engine
from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.codec.model import MAX_GRIDS, FloatArray, ModelShape, engine_model
from fieldpack.codec.network_coding import Networks, read_sizes, read_weights
from fieldpack.errors import FormatError

_NAME = "the pyramid"

Latents = list[NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A decoded pyramid.

    Attributes:
        networks: As the file holds them, or None for a picture of one colour.
        shape: Sizes of the model that draws: without the grids that were skipped.
        parameters: Its networks, as the flat vector that the engine reads.
        latents: One array a grid, finest first.
        network_bytes: What the networks take in the file.
        latent_bytes: What the latents take.
        colour: (C,) of a picture of one colour, else None.
    """

    networks: Networks | None
    shape: ModelShape | None
    parameters: FloatArray
    latents: Latents
    network_bytes: int
    latent_bytes: int
    colour: NDArray[np.float32] | None = None


def write_pyramid(
    networks: Networks, latents: Latents, height: int, width: int
) -> tuple[bytes, list[float]]:
    """Return the payload of a section P, and the bits that each grid takes.

    Args:
        networks: Quantised.
        latents: One array a grid, finest first.
        height: The picture's.
        width: The picture's.
    """
    writer = ByteWriter()
    networks.write_sizes(writer)
    empty = [not grid.any() for grid in latents]
    writer.varint(sum(1 << k for k, grid_is_empty in enumerate(empty) if grid_is_empty))
    networks.write_weights(writer)
    coded, bits = _engine.encode_latents(
        engine_model(networks.shape), networks.parameters, height, width, latents, empty
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
        return Pyramid(None, None, np.zeros(0, np.float32), [], len(payload), 0, colour)
    shape, prior = read_sizes(reader, channels, grids)
    if prior is None and shape.grids > _most_grids(height, width):
        raise FormatError(f"{_NAME} has more grids than the picture has room for")
    mask = reader.varint(limit=(1 << shape.grids) - 1)
    empty = [bool(mask >> k & 1) for k in range(shape.grids)]
    networks = read_weights(reader, shape, prior)
    parameters, stream = networks.parameters, reader.rest()
    if skipped := min(skipped, shape.grids - 1):
        shape, parameters = _without_finest(shape, parameters, skipped)
        height, width = -(-height >> skipped), -(-width >> skipped)
        empty = empty[skipped:]
    latents = _engine.decode_latents(engine_model(shape), parameters, height, width, stream, empty)
    return Pyramid(networks, shape, parameters, latents, len(payload) - len(stream), len(stream))


def _without_finest(
    shape: ModelShape, parameters: FloatArray, count: int
) -> tuple[ModelShape, FloatArray]:
    """The model that takes the `count` finest grids for zeros and works at the next one's size."""
    coarse = replace(
        shape,
        grids=shape.grids - count,
        context_set_of=shape.set_of_grid[count:] if shape.context_set_of else (),
    )
    views, kept = shape.views(parameters), np.zeros(coarse.parameters, np.float32)
    for name, view in coarse.views(kept).items():
        source = views[name]
        if name in {"taps", "filters"}:
            source = source[count:]
        elif name == "synthesis.0.weight":
            source = source[:, count:]
        view[:] = source
    return coarse, kept


def _most_grids(height: int, width: int) -> int:
    return min(MAX_GRIDS, 1 + max(height - 1, width - 1).bit_length())
