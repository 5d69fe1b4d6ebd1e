"""The network that proposes missing pixels, and its file.

The file holds the signature FPFN, the four widths (a byte each), and for each layer the weights as
PyTorch lays them out: for each entry of the first axis a float32 step, then a signed byte a weight;
then the biases as float32. All numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fieldpack import _engine
from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.errors import FieldpackError, FormatError

WIDTHS = (48, 80, 96, 96)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution."""

LEAK = 0.1
"""Slope below zero of the activation."""

SIGNATURE = b"FPFN"
_FILE = "photographs-1.filling"
_SHA256 = "bf773838e8169e802be25bb3b8419ccd897dec627a6f003d0b6349cfd9179225"
_LARGEST = 127

FloatArray = NDArray[np.float32]
Widths = tuple[int, int, int, int]


def layer_shapes(widths: Widths) -> list[tuple[tuple[int, ...], int]]:
    """Return each layer's shape of weights and number of biases, as prior/filling_network.py."""

    def conv(inputs: int, outputs: int, side: int = 3) -> tuple[tuple[int, ...], int]:
        return (outputs, inputs, side, side), outputs

    shapes = [conv(8, widths[0])]
    for level, width in enumerate(widths):
        if level:
            shapes.append(conv(widths[level - 1], width, 2))
        shapes += 2 * [conv(width, width)]
    for finer, coarser in zip(widths[-2::-1], widths[:0:-1], strict=True):
        shapes += [((coarser, finer, 2, 2), finer), *2 * [conv(finer, finer)]]
    return [*shapes, conv(widths[0], 4)]


@lru_cache
def shipped_network() -> _engine.FillingNetwork:
    """Return the network that comes with the package.

    Raises:
        FieldpackError: The installed file is damaged.
    """
    data = Path(__file__).with_name(_FILE).read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise FieldpackError("the filling network is damaged; please install fieldpack again")
    widths, parameters = parse_network(data)
    return _engine.FillingNetwork(widths, parameters)


def parse_network(data: bytes) -> tuple[Widths, FloatArray]:
    """Read the bytes of a network's file.

    Returns:
        The widths, and all weights and biases in order as one flat vector.

    Raises:
        FormatError: They are not those of one.
    """
    reader = ByteReader(data, "the filling network")
    if reader.raw(len(SIGNATURE)) != SIGNATURE:
        raise FormatError("the filling network does not begin like one")
    widths = reader.byte(), reader.byte(), reader.byte(), reader.byte()
    parts: list[FloatArray] = []
    for shape, biases in layer_shapes(widths):
        count = math.prod(shape[1:])
        for _ in range(shape[0]):
            step = np.float32(reader.float32())
            parts.append(step * np.frombuffer(reader.raw(count), np.int8).astype(np.float32))
        parts.append(np.frombuffer(reader.raw(4 * biases), "<f4"))
    reader.end()
    return widths, np.concatenate(parts, dtype=np.float32)


def write_network(widths: Widths, parameters: FloatArray) -> bytes:
    """Return the bytes of a network's file, its weights rounded to eight bits each."""
    writer = ByteWriter()
    writer.raw(SIGNATURE)
    for width in widths:
        writer.byte(width)
    start = 0
    for shape, biases in layer_shapes(widths):
        count = math.prod(shape)
        weights = parameters[start : start + count].reshape(shape[0], -1)
        for row in weights:
            step = np.float32(np.abs(row).max() / _LARGEST) or np.float32(1)
            writer.float32(float(step))
            writer.raw(np.rint(row / step).astype(np.int8).tobytes())
        start += count
        writer.raw(parameters[start : start + biases].astype("<f4").tobytes())
        start += biases
    return writer.getvalue()
