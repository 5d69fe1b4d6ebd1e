"""What tests share: small pictures and small files, made here."""

import signal

import numpy as np
import pytest

from fieldpack.field import network_file
from fieldpack.program import ProgramBuilder, quantize_to_bits
from fieldpack.signals import Colour
from fieldpack.signals.description import PictureDescription

# A shell ignores it for what runs in the background, and so would commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def smooth_samples(height, width, channels=3, peak=255, dtype=np.uint8):
    """A smooth picture (H, W, C) that uses most of the range."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width, 2)
    waves = [0.5 + 0.45 * np.sin(3 * x + 2 * c * y + c) for c in range(channels)]
    return np.rint(np.stack(waves, axis=-1) * peak).astype(dtype)


def network_bytes(width, height, colour=Colour.RGB, bit_depth=8, seed=0, **extra):
    """A file with an arbitrary small network."""
    generator = np.random.default_rng(seed)
    ranges = ((-2.0, 3.0),) * colour.channels if bit_depth == 32 else ()
    description = PictureDescription(width, height, colour, bit_depth, ranges)
    builder = ProgramBuilder(2)
    x = builder.linear(builder.sinusoid(0, width, 4, 2.0, 0.5), generator.normal(size=(8, 4)))
    y = builder.linear(builder.sinusoid(1, height, 4, 2.0, 0.5), generator.normal(size=(8, 4)))
    hidden = builder.gelu(builder.add(x, y))
    channels = colour.channels
    builder.sigmoid(builder.linear(hidden, generator.normal(size=(channels, 8)), [0.1] * channels))
    program = builder.build()
    return network_file(description, program, quantize_to_bits(program, 8), **extra)


@pytest.fixture
def small_file(tmp_path):
    """Path of a .fpk file of a 13 x 7 RGB picture."""
    path = tmp_path / "small.fpk"
    path.write_bytes(network_bytes(13, 7))
    return path
