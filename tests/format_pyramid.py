"""The pyramid of a .fpk file, decoded as section 8 of docs/format.md defines it: plain and slow.

One elementwise float32 operation at a time, in the order of the page, so that the field at the
pixel centres is the format's to the last bit. How latents are coded is in format_latents.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources

import numpy as np
from format_container import Reader, require
from format_evaluation import Float32Array
from format_latents import ANCESTORS, NEIGHBOURS, Layer, decode_grid, run_network
from format_weights import FARTHEST_REACH, SCALE_STEPS, RangeDecoder, Weights, read_symbols
from numpy.typing import NDArray

MOST_GRIDS = 7
MOST_CONVOLUTIONS = 4
MOST_HIDDEN_LAYERS = 3
LARGEST_LAYER = 64
SHAPE_FREQUENCIES = (32, 16, 4, 4, 2, 2, 2)
REACHES = (120, 11, 5, 3.25, 2.25, 1.75, 1.375)  # by shape, in scales


@dataclass
class Pyramid:
    """The content of section P of a picture of `height` by `width` pixels."""

    height: int
    width: int
    colour: Float32Array  # of all pixels, if there are no grids
    latents: list[NDArray[np.int64]] = field(default_factory=list)
    taps: Float32Array = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    synthesis: list[Layer] = field(default_factory=list)
    convolutions: list[Layer] = field(default_factory=list)  # weights (C, C, 3, 3) and bias (C)
    filters: Float32Array = field(default_factory=lambda: np.zeros((0, 4), np.float32))


@dataclass
class Architecture:
    """What section P says about the sizes of its parts."""

    channels: int
    grids: int
    filtered: int  # 0 or 1
    convolutions: int
    neighbours: int
    ancestors: int
    synthesis_hidden: list[int]
    context_hidden: list[int]
    context_model_of: list[int]  # of each grid

    def tensor_sizes(self) -> Iterator[tuple[int, ...]]:
        """The sizes of all tensors, in their order."""
        yield (self.grids - 1, 4)
        if self.filtered:
            yield (self.grids - 1, 4)
        yield from _layer_sizes([self.grids, *self.synthesis_hidden, self.channels])
        for _ in range(self.convolutions):
            yield (self.channels, self.channels, 3, 3)
            yield (self.channels,)
        for _ in range(max(self.context_model_of) + 1):
            yield from _layer_sizes([self.neighbours + self.ancestors, *self.context_hidden, 2])


def _layer_sizes(widths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for inputs, outputs in itertools.pairwise(widths):
        yield (outputs, inputs)
        yield (outputs,)


# Reading -------------------------------------------------------------------------------------


def read_pyramid(payload: bytes, channels: int, height: int, width: int) -> Pyramid:
    """The content of section P of a picture."""
    reader = Reader(payload)
    grids = reader.byte()
    if grids > MOST_GRIDS:
        return _read_on_prior(grids - MOST_GRIDS, reader, channels, height, width)
    if grids == 0:
        colour = np.array([reader.float32() for _ in range(channels)], np.float32)
        require(reader.remaining == 0, "bytes are left after the colour")
        return Pyramid(height, width, colour)
    halvings = (max(height, width) - 1).bit_length()  # the logarithm to base 2, rounded up
    require(grids <= 1 + halvings, "more grids than the picture's size allows")
    architecture = _read_architecture(reader, grids, channels)
    empty = _read_empty(reader, grids)
    tensors = _read_tensors(reader, list(architecture.tensor_sizes()))
    return _decode(reader, architecture, empty, tensors, height, width)


def _read_on_prior(number: int, reader: Reader, channels: int, height: int, width: int) -> Pyramid:
    require(number == 1, "another prior")
    index = reader.byte()
    sets = read_prior()
    require(index < len(sets), "the prior has no such set")
    architecture, values = sets[index]
    require(architecture.channels == channels, "the prior is for other channels")
    empty = _read_empty(reader, architecture.grids)
    sizes = list(architecture.tensor_sizes())
    models = max(architecture.context_model_of) + 1
    per_model = 2 * (len(architecture.context_hidden) + 1)
    drawing = len(sizes) - models * per_model
    groups = [range(drawing)] + [
        range(drawing + m * per_model, drawing + (m + 1) * per_model) for m in range(models)
    ]
    mask = reader.varint()
    require(mask < 2 ** len(groups), "a group that does not exist differs")
    changed = [i for g, group in enumerate(groups) if mask >> g & 1 for i in group]
    differences = dict.fromkeys(range(len(sizes)), np.float32(0))
    if changed:
        read = _read_tensors(reader, [sizes[i] for i in changed])
        differences |= dict(zip(changed, read, strict=True))
    tensors = [value + differences[i] for i, value in enumerate(values)]
    return _decode(reader, architecture, empty, tensors, height, width)


def read_prior() -> list[tuple[Architecture, list[Float32Array]]]:
    """The sets of networks of prior 1, from its file."""
    data = resources.files("fieldpack.codec").joinpath("photographs-1.prior").read_bytes()
    reader = Reader(data)
    require(reader.take(4) == b"FPRI", "another signature")
    sets = []
    for _ in range(reader.byte()):
        reader.take(7)
        channels, grids = reader.byte(), reader.byte()
        architecture = _read_architecture(reader, grids, channels)
        values = []
        for size in architecture.tensor_sizes():
            count = math.prod(size)
            halves = np.frombuffer(reader.take(2 * count), "<f2")
            values.append(halves.astype(np.float32).reshape(size))
        sets.append((architecture, values))
    require(reader.remaining == 0, "bytes are left")
    return sets


def _decode(
    reader: Reader,
    architecture: Architecture,
    empty: list[bool],
    values: list[Float32Array],
    height: int,
    width: int,
) -> Pyramid:
    tensors = iter(values)
    channels = architecture.channels
    taps = next(tensors)
    filters = next(tensors) if architecture.filtered else taps[:0]
    synthesis = _take_layers(tensors, len(architecture.synthesis_hidden) + 1)
    convolutions = _take_layers(tensors, architecture.convolutions)
    context_models = [
        _take_layers(tensors, len(architecture.context_hidden) + 1)
        for _ in range(max(architecture.context_model_of) + 1)
    ]
    stream = reader.take(reader.remaining)
    with np.errstate(over="ignore", invalid="ignore"):
        latents = _decode_latents(
            stream, architecture, empty, context_models, grid_sizes(height, width)
        )
    return Pyramid(
        height,
        width,
        np.zeros(channels, np.float32),
        latents,
        taps,
        synthesis,
        convolutions,
        filters,
    )


def _read_architecture(reader: Reader, grids: int, channels: int) -> Architecture:
    filtered = reader.byte()
    require(filtered <= 1, "another way to filter")
    convolutions = reader.byte()
    require(convolutions <= MOST_CONVOLUTIONS, "too many 3x3 layers")
    neighbours = reader.byte()
    require(1 <= neighbours <= len(NEIGHBOURS), "the number of neighbours is out of range")
    ancestors = reader.byte()
    require(ancestors <= len(ANCESTORS), "the number of ancestors is out of range")
    synthesis_hidden = _read_hidden(reader)
    context_hidden = _read_hidden(reader)
    separate = reader.byte()
    require(separate in (0, 1), "another way to share context models")
    context_model_of = [reader.byte() if separate else 0 for _ in range(grids)]
    require(max(context_model_of) < grids, "the context model does not exist")
    return Architecture(
        channels,
        grids,
        filtered,
        convolutions,
        neighbours,
        ancestors,
        synthesis_hidden,
        context_hidden,
        context_model_of,
    )


def _read_empty(reader: Reader, grids: int) -> list[bool]:
    empty = reader.varint()
    require(empty < 2**grids, "a grid that does not exist is empty")
    return [bool(empty >> grid & 1) for grid in range(grids)]


def _read_hidden(reader: Reader) -> list[int]:
    layers = reader.byte()
    require(layers <= MOST_HIDDEN_LAYERS, "too many hidden layers")
    sizes = [reader.byte() for _ in range(layers)]
    require(all(1 <= size <= LARGEST_LAYER for size in sizes), "a layer's size is out of range")
    return sizes


def _read_tensors(reader: Reader, sizes: Sequence[tuple[int, ...]]) -> list[Float32Array]:
    decoder = RangeDecoder(reader.take(reader.varint()))
    return [
        _read_tensor(decoder, size) if math.prod(size) else np.zeros(size, np.float32)
        for size in sizes
    ]


def _read_tensor(decoder: RangeDecoder, size: tuple[int, ...]) -> Float32Array:
    exponent = _read_number(decoder, centre=-7, reach=32, shape=1, scale=72)
    shape = decoder.decode(np.cumsum([0, *SHAPE_FREQUENCIES]))
    quarters = _read_number(decoder, centre=0, reach=64, shape=1, scale=88)
    require(quarters >= -32, "the scale is out of range")
    tensor = weights_around_zero(shape, quarters)
    tensor.symbols, tensor.step = np.zeros(size, np.int64), 2.0**exponent
    read_symbols([tensor], decoder)
    return tensor.values()


def weights_around_zero(shape: int, quarters: int) -> Weights:
    """A tensor of no size yet; its reach follows from shape and scale, 2^(quarters / 4)."""
    scale = 2.0 ** (quarters // 4) * SCALE_STEPS[2 * (quarters % 4)]
    reach = min(math.floor(scale * REACHES[shape]), FARTHEST_REACH)
    return Weights(np.zeros((0, 0), np.int64), 1.0, 0, reach, shape, 2 * quarters + 64)


def _read_number(decoder: RangeDecoder, **coding: int) -> int:
    number = Weights(np.zeros((1, 1), np.int64), 1.0, **coding)
    read_symbols([number], decoder)
    return int(number.symbols[0, 0])


def _take_layers(tensors: Iterator[Float32Array], count: int) -> list[Layer]:
    return [(next(tensors), next(tensors)) for _ in range(count)]


def grid_sizes(height: int, width: int) -> Iterator[tuple[int, int]]:
    """The sizes of grids 0, 1, 2, ... without end."""
    while True:
        yield height, width
        height, width = (height + 1) // 2, (width + 1) // 2


def _decode_latents(
    stream: bytes,
    architecture: Architecture,
    is_empty: Sequence[bool],
    context_models: Sequence[Sequence[Layer]],
    sizes: Iterator[tuple[int, int]],
) -> list[NDArray[np.int64]]:
    latents = [np.zeros(next(sizes), np.int64) for _ in range(architecture.grids)]
    decoder = RangeDecoder(stream)
    for grid in reversed(range(architecture.grids)):
        if not is_empty[grid]:
            model = context_models[architecture.context_model_of[grid]]
            latents[grid] = decode_grid(
                decoder,
                model,
                architecture.neighbours,
                architecture.ancestors,
                latents[grid].shape,
                latents[grid + 1 :],
            )
    return latents


# Drawing -------------------------------------------------------------------------------------


def draw_pyramid(pyramid: Pyramid) -> Float32Array:
    """The field's values (height, width, channels) at the pixel centres."""
    height, width = pyramid.height, pyramid.width
    if not pyramid.latents:
        return np.broadcast_to(pyramid.colour, (height, width, len(pyramid.colour)))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        grids = [grid.astype(np.float32) for grid in pyramid.latents]
        for grid, values in enumerate(pyramid.filters):
            grids[grid] = _filtered_rows(_filtered_rows(grids[grid], values).T, values).T
        planes = np.stack(upsampled(grids, pyramid.taps))
        values = run_network(pyramid.synthesis, planes.reshape(len(planes), -1))
        values = values.reshape(-1, height, width)
        for index, (weights, bias) in enumerate(pyramid.convolutions):
            values = convolved(values, weights, bias)
            if index < len(pyramid.convolutions) - 1:
                eighth = values * np.float32(0.125)
                values = np.where(values > eighth, values, eighth)
    assert values.dtype == np.float32
    return values.transpose(1, 2, 0)


def _filtered_rows(plane: Float32Array, values: Float32Array) -> Float32Array:
    rows = len(plane)
    padded = np.pad(plane, ((3, 3), (0, 0)))
    total = (values[0] + np.float32(1)) * plane
    for d in (1, 2, 3):
        product = values[d] * (padded[3 - d : 3 - d + rows] + padded[3 + d : 3 + d + rows])
        total = total + product
    return total


def upsampled(latents: Sequence[Float32Array], taps: Float32Array) -> list[Float32Array]:
    """All grids at the resolution of grid 0."""
    planes = []
    for grid, values in enumerate(latents):
        plane = values
        for finer in reversed(range(grid)):
            height, width = latents[finer].shape
            plane = _doubled_rows(plane, taps[finer], height)
            plane = _doubled_rows(plane.T, taps[finer], width).T
        planes.append(plane)
    return planes


def _doubled_rows(coarse: Float32Array, taps: Float32Array, rows: int) -> Float32Array:
    fine = np.arange(rows)
    i, a = fine // 2, np.where(fine % 2 == 1, 1, -1)
    v = [coarse[np.clip(at, 0, len(coarse) - 1)] for at in (i, i + a, i - a, i + 2 * a)]
    total = taps[0] * v[0]
    for tap, value in zip(taps[1:], v[1:], strict=True):
        product = tap * value
        total = total + product
    return total


def convolved(values: Float32Array, weights: Float32Array, bias: Float32Array) -> Float32Array:
    """A 3x3 layer with its residual, of values (channels, height, width)."""
    channels, height, width = values.shape
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    outputs = []
    for output in range(channels):
        total = np.full((height, width), bias[output])
        for channel in range(channels):
            for row in range(3):
                for column in range(3):
                    window = padded[channel, row : row + height, column : column + width]
                    product = weights[output, channel, row, column] * window
                    total = total + product
        outputs.append(total + values[output])
    return np.stack(outputs)
