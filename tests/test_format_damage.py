"""Damaged and hostile .fpk files: refused, or drawn as the format says; never anything else."""

from __future__ import annotations

import time
from collections.abc import Iterator

import format_reference as reference
import numpy as np
import pytest
from format_comparison import assert_refused
from format_container import read_sections
from format_examples import (
    coordinate_network,
    file_of_all_sections,
    picture_file,
    samples_file,
    smooth_file,
    whole_position_network,
)
from format_reference import FLOAT32, GREY, ONE_BIT
from format_writing import checksummed, container, section
from numpy.typing import NDArray

import fieldpack

# Far more than any of these files takes, far less than what seems to never end.
MOST_SECONDS = 20

# Damage --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undamaged() -> bytes:
    """A file with all kinds of sections."""
    return file_of_all_sections()


def test_wrong_signature(undamaged: bytes) -> None:
    for data in (b"", b"\xf1", b"not a file of this format", b"\x89PNG" + undamaged[4:]):
        assert_refused(data)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_named(undamaged: bytes, version: int) -> None:
    content = undamaged[:3] + bytes([version]) + undamaged[4:-4]
    assert_refused(checksummed(content), rf"version {version}\b")


def test_every_truncation_is_refused(undamaged: bytes) -> None:
    for size in range(len(undamaged)):
        assert_refused(undamaged[:size])


def test_every_truncation_with_a_valid_checksum_is_refused(undamaged: bytes) -> None:
    for size in range(4, len(undamaged) - 4):
        assert_refused(checksummed(undamaged[:size]))


def test_every_flipped_bit_is_refused(undamaged: bytes) -> None:
    for bit in range(8 * len(undamaged)):
        damaged = bytearray(undamaged)
        damaged[bit // 8] ^= 1 << bit % 8
        assert_refused(bytes(damaged))


# Hostile files -------------------------------------------------------------------------------


def mutated(rng: np.random.Generator, payload: bytes) -> bytes:
    """The payload with one to three bytes changed, inserted, removed or doubled."""
    changed = bytearray(payload)
    interesting = (0, 1, 2, 0x7F, 0x80, 0xFF)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(changed) + 1))
        byte = int(rng.choice(interesting)) if rng.random() < 0.4 else int(rng.integers(256))
        match rng.integers(6):
            case 0:
                changed[at:at] = bytes([byte])
            case 1:
                del changed[at : at + int(rng.integers(1, 5))]
            case 2:
                changed[at:at] = changed[at : at + int(rng.integers(1, 12))]
            case _:
                changed[at : at + 1] = bytes([byte])
    return bytes(changed)


def hostile_files(seed: int, count: int) -> Iterator[bytes]:
    """Damaged files with correct checksums."""
    rng = np.random.default_rng(seed)
    originals = [
        smooth_file(0),
        smooth_file(1, GREY, FLOAT32),
        picture_file(*whole_position_network(rng, 5, 3, 1), sample=ONE_BIT),
        file_of_all_sections(),
        samples_file(),
        picture_file(*coordinate_network(np.random.default_rng(2), 2, 1), sample=FLOAT32),
    ]
    for index in range(count):
        sections = read_sections(originals[index % len(originals)])
        weight = np.array([{"N": 6.0, "S": 1.0}.get(part.name, 0.5) for part in sections])
        chosen = rng.choice(len(sections), p=weight / weight.sum())
        sections[chosen].payload = mutated(rng, sections[chosen].payload)
        yield container(*(section(part.name, part.payload) for part in sections))


def opened_and_drawn(data: bytes) -> tuple[fieldpack.Field | None, NDArray[np.generic] | None]:
    """The field, None if it is refused, and its samples, None if it is not a small picture."""
    try:
        field = fieldpack.open(data, threads=1)
    except fieldpack.FormatError:
        return None, None
    small = field.info["kind"] == "picture" and np.prod(field.shape) <= 3000
    return field, fieldpack.decode(field) if small else None


@pytest.mark.parametrize("seed", range(4))
def test_hostile_files_are_refused_or_drawn_as_the_reference_does(seed: int) -> None:
    drawn = 0
    for data in hostile_files(seed, 500):
        start = time.monotonic()
        field, samples = opened_and_drawn(data)
        assert time.monotonic() - start < MOST_SECONDS, data.hex()

        if field is not None and field.info["network"]["weights"] > 20000:
            continue  # the reference would take too long
        try:
            signal = reference.read_signal(data)
        except reference.FormatViolationError:
            assert field is None, data.hex()
            continue
        assert field is not None, data.hex()
        if samples is not None:
            assert samples.tobytes() == reference.draw(signal).tobytes(), data.hex()
            drawn += 1
    assert drawn > 100
