"""Sections of .fpk files: which are skipped, which are needed, which are refused."""

from __future__ import annotations

import zlib

import format_reference as reference
import numpy as np
import pytest
from format_comparison import assert_draws_as_reference, assert_refused
from format_container import read_sections
from format_evaluation import ONE_HOT, SCALE, Operation
from format_examples import (
    HALF_GREY,
    constant,
    network_section,
    picture_section,
    samples_file,
    smooth_network,
)
from format_reference import (
    CMYK,
    EIGHT_BITS,
    FLOAT32,
    GREY,
    GREY_ALPHA,
    ONE_BIT,
    RGB,
    RGBA,
    SIXTEEN_BITS,
)
from format_writing import checksummed, container, picture_payload, samples_payload, section

import fieldpack

# Order and names -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "n", "s", "z", "mask", "zZ"])
def test_unknown_section_of_lower_case_is_skipped(name: str) -> None:
    unknown = section(name, b"any bytes")
    for data in (
        container(picture_section(), unknown, HALF_GREY),
        container(picture_section(), HALF_GREY, unknown, unknown),
    ):
        assert (assert_draws_as_reference(data) == 128).all()


@pytest.mark.parametrize("name", ["A", "Q", "C", "Z", "MASK", "Layers"])
def test_unknown_section_of_upper_case_is_refused(name: str) -> None:
    unknown = section(name, b"any bytes")
    assert_refused(container(picture_section(), unknown, HALF_GREY), rf"\b{name}\b")
    assert_refused(container(picture_section(), HALF_GREY, unknown), rf"\b{name}\b")


def test_the_last_section_may_do_without_its_size() -> None:
    network = read_sections(container(HALF_GREY))[0].payload
    sizeless = b"\xce" + network  # an N whose highest bit is set
    assert (assert_draws_as_reference(container(picture_section(), sizeless)) == 128).all()
    for skipped in (b"\xe1any bytes", b"\xe1", b"\xf8\x02abany bytes"):
        data = container(picture_section(), HALF_GREY, skipped)
        assert (assert_draws_as_reference(data) == 128).all()
    for needed in (b"\xc1any bytes", b"\xd8\x02ABany bytes", b"\xf8", b"\xce", b"\xb1"):
        assert_refused(container(picture_section(), HALF_GREY, needed))
    assert_refused(container(b"\xd3" + picture_section()[2:], HALF_GREY))


WRONG_SECTIONS = {
    "none": b"",
    "no signal": HALF_GREY,
    "no network": picture_section(),
    "the network first": HALF_GREY + picture_section(),
    "a skipped one first": section("a", b"") + picture_section() + HALF_GREY,
    "two networks": picture_section() + HALF_GREY + HALF_GREY,
    "two palettes": picture_section(RGB) + 2 * section("p", bytes(3)) + HALF_GREY,
    "two profiles": picture_section() + 2 * section("c", zlib.compress(b"profile")) + HALF_GREY,
    "channels of the network": picture_section(RGB) + HALF_GREY,
    "extension ends within its name": picture_section() + b"x\x01\x09" + HALF_GREY,
    "extension of no letter": picture_section() + b"x\x01\x00" + HALF_GREY,
    "extension of one letter": picture_section() + b"x\x02\x01a" + HALF_GREY,
    "extension in the other case": picture_section() + b"x\x03\x02Ab" + HALF_GREY,
    "extension not of letters": picture_section() + b"x\x03\x02a1" + HALF_GREY,
    "name is no letter": picture_section() + HALF_GREY + b"1\x00",
    "longer than the file": picture_section() + HALF_GREY + b"a\x01",
    "size of ten bytes": picture_section() + HALF_GREY + b"a" + b"\xff" * 9 + b"\x01",
}


@pytest.mark.parametrize("wrong", WRONG_SECTIONS)
def test_wrong_sections_are_refused(wrong: str) -> None:
    assert_refused(container(WRONG_SECTIONS[wrong]))


# Two signals ---------------------------------------------------------------------------------


def test_first_of_two_signals_is_drawn() -> None:
    first = picture_section(RGB) + network_section(
        *smooth_network(np.random.default_rng(0), 5, 3, 3)
    )
    second = picture_section(GREY, width=2, height=2) + HALF_GREY
    samples = assert_draws_as_reference(container(first, second))
    assert samples.shape == (3, 5, 3)


@pytest.mark.parametrize(
    "second",
    [
        section("S", b""),
        section("S", b"any bytes") + section("N", b"") + section("N", b""),
        picture_section() + section("p", b"") + section("c", b"not compressed"),
        picture_section() + section("A", b"") + section("LAYERS", b""),
    ],
    ids=["empty", "two networks", "wrong palette", "unknown sections"],
)
def test_content_of_a_second_signal_is_not_looked_at(second: bytes) -> None:
    assert (assert_draws_as_reference(container(picture_section(), HALF_GREY, second)) == 128).all()


@pytest.mark.parametrize(
    "broken", [b"1\x00", b"a\x01", b"x\x03\x02a1"], ids=["name", "size", "extension"]
)
def test_framing_of_a_second_signal_is_checked(broken: bytes) -> None:
    assert_refused(container(picture_section(), HALF_GREY, picture_section(), broken))


# Descriptions --------------------------------------------------------------------------------

AXIS = (10, -1.0, 3.0)
UNIT = [(0.0, 1.0)]
WRONG_DESCRIPTIONS = {
    "empty": b"",
    "another kind of signal": b"\x02\x10\x05\x03",
    "another colour type": picture_payload(5, EIGHT_BITS, 5, 3),
    "another sample type": picture_payload(GREY, 4, 5, 3),
    "no columns": picture_payload(GREY, EIGHT_BITS, 0, 3),
    "no rows": picture_payload(GREY, EIGHT_BITS, 5, 0),
    "too many pixels": picture_payload(GREY, EIGHT_BITS, 2**15, 2**14 + 1),
    "pixels beyond 64 bits": picture_payload(GREY, EIGHT_BITS, 2**62, 2**62),
    "bytes after it": picture_payload(GREY, EIGHT_BITS, 5, 3) + b"\x00",
    "an empty range": picture_payload(GREY, FLOAT32, 5, 3, [(1.0, 1.0)]),
    "an infinite range": picture_payload(GREY, FLOAT32, 5, 3, [(0.0, np.inf)]),
    "a range that is not a number": picture_payload(GREY, FLOAT32, 5, 3, [(np.nan, 1.0)]),
    "samples of no axis": samples_payload([], UNIT),
    "samples of nine axes": samples_payload([AXIS] * 9, UNIT),
    "samples, none along an axis": samples_payload([AXIS, (0, -1.0, 3.0)], UNIT),
    "samples, too many along an axis": samples_payload([AXIS, (2**31, -1.0, 3.0)], UNIT),
    "samples on an empty axis": samples_payload([AXIS, (10, 3.0, 3.0)], UNIT),
    "samples on an infinite axis": samples_payload([AXIS, (10, 3.0, np.inf)], UNIT),
    "samples of no channel": samples_payload([AXIS, AXIS], []),
    "samples of too many channels": samples_payload([AXIS, AXIS], UNIT * 65537),
    "samples of an empty range": samples_payload([AXIS, AXIS], [(1.0, 1.0)]),
    "samples and bytes after them": samples_payload([AXIS, AXIS], UNIT) + b"\x00",
}


@pytest.mark.parametrize("wrong", WRONG_DESCRIPTIONS)
def test_wrong_descriptions_are_refused(wrong: str) -> None:
    assert_refused(container(section("S", WRONG_DESCRIPTIONS[wrong]), HALF_GREY))


@pytest.mark.parametrize("count", [1, 10, 2**31 - 1])
def test_number_of_samples_along_an_axis(count: int) -> None:
    description = samples_payload([AXIS, (count, -1.0, 3.0)], UNIT)
    data = container(section("S", description), HALF_GREY)
    reference.read_signal(data)
    assert fieldpack.open(data).shape == (count, 10, 1)


# Palette and profile -------------------------------------------------------------------------


def coloured_file(extra: bytes, colour: int = RGB, sample: int = EIGHT_BITS) -> bytes:
    """A file of one constant colour with another section."""
    channels = reference.CHANNELS_OF_COLOUR[colour]
    network = network_section(
        Operation(ONE_HOT, integers=(0, channels)),
        Operation(SCALE, [1], weights=constant(1, 0.5)),
    )
    return container(picture_section(colour, sample), extra, network)


def test_palette_and_profile_change_no_sample() -> None:
    operations = smooth_network(np.random.default_rng(0), 5, 3, 3)
    profile = bytes(range(200))
    extra = section("p", bytes(range(12))) + section("c", zlib.compress(profile))
    data = container(picture_section(RGB), extra, network_section(*operations))
    samples = assert_draws_as_reference(data)
    plain = container(picture_section(RGB), network_section(*operations))
    assert (samples == assert_draws_as_reference(plain)).all()
    picture = fieldpack.open(data).picture()
    assert picture.icc_profile == reference.read_signal(data).profile == profile
    assert picture.palette is not None
    assert picture.palette.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


@pytest.mark.parametrize("entries", [1, 256])
@pytest.mark.parametrize("colour", [RGB, RGBA])
def test_palette_of_one_to_256_colours(colour: int, entries: int) -> None:
    channels = reference.CHANNELS_OF_COLOUR[colour]
    colours = np.random.default_rng(0).integers(0, 256, (entries, channels), np.uint8)
    data = coloured_file(section("p", colours.tobytes()), colour)
    for palette in (reference.read_signal(data).palette, fieldpack.open(data).picture().palette):
        np.testing.assert_array_equal(palette, colours)


@pytest.mark.parametrize(
    ("colour", "size"),
    [(RGB, 0), (RGB, 4), (RGB, 3 * 257), (RGBA, 0), (RGBA, 3), (RGBA, 6), (RGBA, 4 * 257)],
)
def test_palette_of_a_wrong_size_is_refused(colour: int, size: int) -> None:
    assert_refused(coloured_file(section("p", bytes(size)), colour), "palette")


@pytest.mark.parametrize(
    ("colour", "sample"),
    [
        (GREY, EIGHT_BITS),
        (GREY_ALPHA, EIGHT_BITS),
        (CMYK, EIGHT_BITS),
        (RGB, ONE_BIT),
        (RGB, SIXTEEN_BITS),
        (RGBA, SIXTEEN_BITS),
        (RGB, FLOAT32),
    ],
)
def test_palette_of_another_picture_is_refused(colour: int, sample: int) -> None:
    assert_refused(coloured_file(section("p", bytes(12)), colour, sample), "palette")


def test_palette_of_scattered_samples_is_refused() -> None:
    content = samples_file(channels=3)[:-4]
    reference.read_signal(checksummed(content))
    assert_refused(checksummed(content + section("p", bytes(12))), "palette")


def test_profile_of_16_mebibytes() -> None:
    data = coloured_file(section("c", zlib.compress(bytes(2**24))))
    assert reference.read_signal(data).profile == bytes(2**24)
    assert fieldpack.open(data).picture().icc_profile == bytes(2**24)


WRONG_PROFILES = {
    "empty": b"",
    "not compressed": b"not compressed",
    "truncated": zlib.compress(b"profile")[:-1],
    "of another checksum": zlib.compress(b"profile")[:-1] + b"\x00",
    "too large": zlib.compress(bytes(2**24 + 1)),
}


@pytest.mark.parametrize("wrong", WRONG_PROFILES)
def test_wrong_profiles_are_refused(wrong: str) -> None:
    assert_refused(coloured_file(section("c", WRONG_PROFILES[wrong])), "profile")
