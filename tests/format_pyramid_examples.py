"""Files with random pyramids, for the tests of the format."""

from __future__ import annotations

from typing import Any

import numpy as np
from format_pyramid import grid_sizes
from format_reference import FLOAT32, GREY, GREY_ALPHA, RGB, RGBA
from format_writing import container, picture_payload, section
from numpy.typing import NDArray

from fieldpack.codec.model import ModelShape
from fieldpack.codec.network_coding import Networks
from fieldpack.codec.payload import write_pyramid
from fieldpack.program.weights import QuantizedTensor

COLOUR_OF_CHANNELS = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}
Models = dict[str, Any]  # what `random_file` takes


def pyramid_file(
    payload: bytes, height: int, width: int, channels: int = 3, sample: int = FLOAT32
) -> bytes:
    """A file with a pyramid; float32 samples are the field's values as they are."""
    ranges = [(0.0, 1.0)] * channels if sample == FLOAT32 else []
    head = picture_payload(COLOUR_OF_CHANNELS[channels], sample, width, height, ranges)
    return container(section("S", head), section("P", payload))


def random_tensors(
    rng: np.random.Generator, shape: ModelShape, gain: float, exponent: int
) -> list[QuantizedTensor]:
    tensors = []
    for name, size in shape.offsets:
        if np.prod(size) > 0:
            inputs = np.prod(size[1:]) if len(size) > 1 else 1
            values = rng.normal(0, gain / np.sqrt(inputs), size)
            if name == "taps":
                values = values * 0.1 + min(gain, 1.0) * np.array((0.87, 0.23, -0.07, -0.03))
            tensors.append(QuantizedTensor.from_values(values.astype(np.float32), 2.0**exponent))
    return tensors


def random_latents(
    rng: np.random.Generator, grids: int, size: tuple[int, int], spread: float
) -> list[NDArray[np.int32]]:
    sizes = zip(range(grids), grid_sizes(*size), strict=False)
    return [np.rint(rng.laplace(0, spread, grid)).astype(np.int32) for _, grid in sizes]


def random_file(
    size: tuple[int, int] = (18, 10),
    channels: int = 3,
    seed: int = 0,
    spread: float = 3.0,
    gain: float = 1.0,
    exponent: int = -8,
    sample: int = FLOAT32,
    outliers: bool = False,
    empty: tuple[int, ...] = (),
    grids: int | None = None,
    **models: Any,
) -> bytes:
    """A file with a random pyramid."""
    rng = np.random.default_rng(seed)
    grids = min(7, 1 + (max(size) - 1).bit_length()) if grids is None else grids
    shape = ModelShape(channels=channels, grids=grids, **models)
    latents = random_latents(rng, grids, size, spread)
    for grid, values in enumerate(latents):
        if outliers:
            places = rng.integers(values.size, size=6)
            values.flat[places] = rng.choice([-(2**20), 2**20, -70001, 40, -3000, 999999], 6)
        if grid in empty:
            values[:] = 0
    tensors = random_tensors(rng, shape, gain, exponent)
    payload, _ = write_pyramid(Networks(shape, tuple(tensors)), latents, *size)
    return pyramid_file(payload, *size, channels, sample)
