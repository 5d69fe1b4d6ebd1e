"""The .fpk format: fieldpack against a decoder written from docs/format.md alone."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator

import format_reference as reference
import numpy as np
import pytest
from format_reference import (
    ADD,
    BINARY,
    CMYK,
    EIGHT_BITS,
    FLOAT32,
    GELU,
    GREY,
    GREY_ALPHA,
    LINEAR,
    MULTIPLY,
    ONE_BIT,
    ONE_HOT,
    RGB,
    RGBA,
    SCALE,
    SHIFT,
    SIGMOID,
    SINUSOID,
    SIXTEEN_BITS,
    TANH,
    FormatViolationError,
    Operation,
    Program,
    Weights,
    container,
    network_payload,
    picture_payload,
    section,
)
from numpy.typing import NDArray

import fieldpack

RANGES = [(-2.5, 7.25), (0.0, 1e-3), (-1e6, 1e6), (0.5, 0.75)]
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


# Files made by hand --------------------------------------------------------------------------


def constant(symbol: int, step: float, rows: int = 1, columns: int = 1) -> Weights:
    """Weights that all are symbol times step and take no bytes of the stream."""
    return Weights(np.full((rows, columns), symbol, np.int64), step, centre=symbol)


def random_weights(
    rng: np.random.Generator, rows: int, columns: int = 1, reach: int = 40, spread: float = 0.8
) -> Weights:
    """Weights of about `spread`, coded with a random distribution."""
    centre = int(rng.integers(-3, 4))
    offsets = np.rint(rng.normal(0, reach / 2.5, (rows, columns)))
    return Weights(
        np.clip(offsets, -reach, reach).astype(np.int64) + centre,
        step=float(np.float32(spread / reach)),
        centre=centre,
        reach=reach,
        shape=int(rng.integers(7)),
        scale=int(rng.integers(64, 120)),
    )


def smooth_network(
    rng: np.random.Generator, width: int, height: int, channels: int
) -> list[Operation]:
    """Every operation but the two encodings of whole positions."""
    return [
        Operation(SINUSOID, integers=(0, width, 5), constants=(2.0, 0.5)),
        Operation(LINEAR, [1], weights=random_weights(rng, 6, 5)),
        Operation(SINUSOID, integers=(1, height, 4), constants=(1.75, 0.625)),
        Operation(LINEAR, [1], weights=random_weights(rng, 6, 4)),
        Operation(ADD, [1, 3]),
        Operation(SHIFT, [1], weights=random_weights(rng, 6)),
        Operation(TANH, [1]),
        Operation(GELU, [2]),
        Operation(MULTIPLY, [1, 2]),
        Operation(SCALE, [1], weights=random_weights(rng, 6)),
        Operation(ADD, [1, 3]),
        Operation(SHIFT, [1], weights=random_weights(rng, 1, reach=1, spread=0.1)),
        Operation(SCALE, [1], weights=constant(3, 1.25)),
        Operation(LINEAR, [1], weights=random_weights(rng, channels, 6)),
        Operation(SIGMOID, [1]),
    ]


def whole_position_network(
    rng: np.random.Generator, width: int, height: int, channels: int
) -> list[Operation]:
    """The encodings of whole positions, one of them with fewer places than pixels."""
    return [
        Operation(ONE_HOT, integers=(0, width)),
        Operation(LINEAR, [1], weights=random_weights(rng, 4, width)),
        Operation(BINARY, integers=(1, height, 4)),
        Operation(LINEAR, [1], weights=random_weights(rng, 4, 4)),
        Operation(ONE_HOT, integers=(1, 2)),
        Operation(LINEAR, [1], weights=random_weights(rng, 4, 2)),
        Operation(ADD, [1, 3]),
        Operation(ADD, [1, 6]),
        Operation(LINEAR, [1], weights=random_weights(rng, channels, 4)),
        Operation(SHIFT, [1], weights=constant(1, 0.5)),
    ]


def picture_section(
    colour: int = GREY, sample: int = EIGHT_BITS, width: int = 5, height: int = 3
) -> bytes:
    """Section S of a picture."""
    channels = reference.CHANNELS_OF_COLOUR[colour] if sample == FLOAT32 else 0
    return section("S", picture_payload(colour, sample, width, height, RANGES[:channels]))


def network_section(*operations: Operation) -> bytes:
    """Section N of a picture."""
    return section("N", network_payload(Program(2, list(operations))))


def picture_file(
    *operations: Operation,
    colour: int = GREY,
    sample: int = EIGHT_BITS,
    width: int = 5,
    height: int = 3,
) -> bytes:
    """A file with a picture."""
    return container(picture_section(colour, sample, width, height), network_section(*operations))


def smooth_file(
    seed: int = 0,
    colour: int = RGB,
    sample: int = EIGHT_BITS,
    width: int = 5,
    height: int = 3,
) -> bytes:
    """A file with a picture of the smooth network."""
    channels = reference.CHANNELS_OF_COLOUR[colour]
    operations = smooth_network(np.random.default_rng(seed), width, height, channels)
    return picture_file(*operations, colour=colour, sample=sample, width=width, height=height)


HALF_GREY = network_section(
    Operation(ONE_HOT, integers=(0, 1)), Operation(SCALE, [1], weights=constant(1, 0.5))
)


def assert_draws_as_reference(data: bytes) -> NDArray[np.generic]:
    """Check that fieldpack draws the bits that the format means; return them (H, W, C)."""
    expected = reference.read_file(data).samples
    decoded = fieldpack.decode(data)
    shape = expected.shape if expected.shape[2] > 1 else expected.shape[:2]
    assert decoded.shape == shape
    assert decoded.dtype == expected.dtype
    assert decoded.tobytes() == expected.tobytes()
    return expected


# What files mean -----------------------------------------------------------------------------


def test_smallest_file_byte_by_byte() -> None:
    data = bytes.fromhex(
        "f1504b 01"  # signature, version
        "53 04 00 10 02 01"  # a grey picture of 8 bits, 2 x 1 pixels
        "4e 0e 02 02"  # a network of two axes and two operations
        "02 00 01"  # one-hot of axis 0 on one place
        "08 01 01 0000003f 02 00"  # scale by one weight: step 0.5, centre 1, reach 0
        "e1cba75b"  # CRC-32
    )
    assert data == container(picture_section(width=2, height=1), HALF_GREY)
    assert fieldpack.decode(data).tolist() == [[128, 128]]


@pytest.mark.parametrize("colour", [GREY, GREY_ALPHA, RGB, RGBA, CMYK])
@pytest.mark.parametrize("sample", [EIGHT_BITS, SIXTEEN_BITS, FLOAT32])
def test_hand_made_picture(colour: int, sample: int) -> None:
    samples = assert_draws_as_reference(smooth_file(7, colour, sample))
    assert len(np.unique(samples[..., 0])) > 3  # the network is not a constant


def test_hand_made_picture_of_one_bit() -> None:
    samples = assert_draws_as_reference(smooth_file(3, GREY, ONE_BIT, width=9, height=7))
    assert samples.dtype == np.bool_
    assert 0 < samples.mean() < 1


@pytest.mark.parametrize(("width", "height"), [(5, 3), (1, 1), (16, 9), (67, 2)])
def test_encodings_of_whole_positions(width: int, height: int) -> None:
    operations = whole_position_network(np.random.default_rng(width), width, height, 3)
    assert_draws_as_reference(picture_file(*operations, colour=RGB, width=width, height=height))


def test_bits_beyond_the_number_of_places_are_zero() -> None:
    operations = (
        Operation(BINARY, integers=(0, 2**31 - 1, 70)),
        Operation(LINEAR, [1], weights=random_weights(np.random.default_rng(0), 1, 70)),
    )
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32))


@pytest.mark.parametrize("shape", range(7))
def test_distributions_of_weights(shape: int) -> None:
    rng = np.random.default_rng(shape)
    operations = [Operation(SINUSOID, integers=(0, 5, 32), constants=(1.0, 0.75))]
    for scale in (0, 41, 66, 75, 84, 93, 102, 111, 128, 255):
        weights = random_weights(rng, 32, reach=int(rng.choice([1, 7, 300, 3000])))
        weights.shape, weights.scale = shape, scale
        operations.append(Operation(SHIFT, [1], weights=weights))
    operations.append(Operation(LINEAR, [1], weights=random_weights(rng, 1, 32, reach=32767)))
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32))


@pytest.mark.parametrize("opcode", [TANH, GELU, SIGMOID])
def test_elementary_functions_far_from_zero(opcode: int) -> None:
    operations = (
        Operation(ONE_HOT, integers=(0, 201)),
        Operation(LINEAR, [1], weights=Weights(np.arange(-100, 101)[None, :], 1.0, 0, 100, 6, 160)),
        Operation(opcode, [1]),
    )
    assert_draws_as_reference(picture_file(*operations, sample=FLOAT32, width=201, height=1))


@pytest.mark.parametrize("first", [1e9, 1e16, 1e17, 1e18, 1e20, 3e38])
def test_sinusoids_of_huge_frequencies(first: float) -> None:
    operations = (
        Operation(SINUSOID, integers=(0, 67, 9), constants=(first, 1e38)),
        Operation(LINEAR, [1], weights=constant(1, 0.25, 1, 9)),
    )
    for sample in (EIGHT_BITS, FLOAT32):
        assert_draws_as_reference(picture_file(*operations, sample=sample, width=67, height=1))


def test_weights_may_overflow() -> None:
    operations = (
        Operation(SINUSOID, integers=(0, 5, 2), constants=(1.0, 0.5)),
        Operation(SCALE, [1], weights=constant(100, 3e38)),
        Operation(LINEAR, [1], weights=Weights(np.array([[2, -1]]), 1.0, 0, 2, 1, 72)),
    )
    for sample in (EIGHT_BITS, FLOAT32):
        assert_draws_as_reference(picture_file(*operations, sample=sample))


def test_ranges_may_overflow() -> None:
    description = picture_payload(GREY, FLOAT32, 5, 3, [(-3e38, 3e38)])
    assert_draws_as_reference(container(section("S", description), HALF_GREY))


def test_palette_and_profile_change_no_sample() -> None:
    operations = smooth_network(np.random.default_rng(0), 5, 3, 3)
    profile = bytes(range(200))
    data = container(
        picture_section(RGB),
        section("p", bytes(range(12))),
        section("c", zlib.compress(profile)),
        network_section(*operations),
    )
    assert_draws_as_reference(data)
    picture = fieldpack.open(data).picture()
    assert picture.icc_profile == profile
    assert picture.palette is not None
    assert picture.palette.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_first_of_two_signals_is_drawn() -> None:
    first = picture_section(RGB) + network_section(
        *smooth_network(np.random.default_rng(0), 5, 3, 3)
    )
    second = picture_section(GREY, width=2, height=2) + HALF_GREY
    samples = assert_draws_as_reference(container(first, second))
    assert samples.shape == (3, 5, 3)


# The same bits everywhere --------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide_file() -> tuple[bytes, reference.Picture]:
    """A picture of several tiles, with every operation."""
    width, height, rng = 53, 11, np.random.default_rng(5)
    smooth = smooth_network(rng, width, height, 3)
    whole = whole_position_network(rng, width, height, 3)
    operations = [*smooth, *whole, Operation(ADD, [1, 1 + len(whole)])]
    data = picture_file(*operations, colour=RGB, sample=FLOAT32, width=width, height=height)
    return data, reference.read_file(data)


@pytest.fixture(params=INSTRUCTION_SETS)
def instruction_set(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force an instruction set, or skip the test where this machine lacks it."""
    name = str(request.param)
    monkeypatch.setenv("FIELDPACK_ISA", name)
    try:
        assert fieldpack._engine.instruction_set() == name
    except ValueError as error:
        pytest.skip(str(error))
    return name


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_same_bits_for_all_instruction_sets_and_threads(
    wide_file: tuple[bytes, reference.Picture], threads: int
) -> None:
    data, expected = wide_file
    field = fieldpack.open(data, threads=threads)
    assert fieldpack.decode(field).tobytes() == expected.samples.tobytes()


@pytest.mark.usefixtures("instruction_set")
def test_values_at_pixel_centres_are_the_picture(
    wide_file: tuple[bytes, reference.Picture],
) -> None:
    data, expected = wide_file
    height, width, channels = expected.samples.shape
    x, y = np.meshgrid(reference.pixel_centres(width), reference.pixel_centres(height))
    for threads in (1, 3):
        field = fieldpack.open(data, threads=threads)
        values = field(np.stack([x.ravel(), y.ravel()], axis=1))
        assert values.shape == (height * width, channels)
        assert values.tobytes() == expected.samples.tobytes()


def test_values_between_pixels_are_those_of_the_reference(
    wide_file: tuple[bytes, reference.Picture],
) -> None:
    data, picture = wide_file
    coordinates = np.random.default_rng(0).integers(-70, 71, (100, 2)) / 64  # beyond the edges, too
    values = reference.evaluate(picture.program, coordinates)
    expected = reference.to_samples(values, picture.description)
    assert fieldpack.open(data)(coordinates).tobytes() == expected.tobytes()


# Files that fieldpack writes -----------------------------------------------------------------


def fitted(samples: NDArray[np.generic]) -> bytes:
    """The bytes of a file with a network trained for a moment."""
    pytest.importorskip("torch")
    return fieldpack.fit(samples, steps=3, batch=64, threads=1, seed=0).to_bytes()


@pytest.fixture(scope="module")
def thumbnail_file() -> bytes:
    """A trained network of a small picture."""
    return fitted(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8))


def test_written_file_decodes_in_the_reference(thumbnail_file: bytes) -> None:
    assert assert_draws_as_reference(thumbnail_file).shape == (6, 9, 3)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint16, np.float32])
def test_written_file_of_other_samples(dtype: type[np.generic]) -> None:
    random = np.random.default_rng(1).random((4, 6))
    samples = random > 0.5 if dtype is np.bool_ else (random * 1000).astype(dtype)
    decoded = assert_draws_as_reference(fitted(samples))
    assert decoded.dtype == dtype


def test_overhead_of_a_thumbnail(thumbnail_file: bytes) -> None:
    network = reference.first_signal(reference.read_sections(thumbnail_file))["N"]
    assert len(thumbnail_file) - len(network) < 24


# Sections ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "n", "s", "z", "mask", "zZ"])
def test_unknown_section_of_lower_case_is_skipped(name: str) -> None:
    unknown = section(name, b"any bytes")
    for data in (
        container(picture_section(), unknown, HALF_GREY),
        container(picture_section(), HALF_GREY, unknown, unknown),
    ):
        assert (assert_draws_as_reference(data) == 128).all()


@pytest.mark.parametrize("name", ["A", "P", "C", "Z", "MASK", "Layers"])
def test_unknown_section_of_upper_case_is_refused(name: str) -> None:
    unknown = section(name, b"any bytes")
    for data in (
        container(picture_section(), unknown, HALF_GREY),
        container(picture_section(), HALF_GREY, unknown),
    ):
        with pytest.raises(fieldpack.FormatError, match=rf"\b{name}\b"):
            fieldpack.decode(data)


@pytest.mark.parametrize(
    "sections",
    [
        b"",
        HALF_GREY,
        picture_section(),
        HALF_GREY + picture_section(),
        section("a", b"") + picture_section() + HALF_GREY,
        picture_section() + HALF_GREY + HALF_GREY,
        picture_section() + section("p", b"") + HALF_GREY,  # a palette of a grey picture
        picture_section() + section("c", b"not compressed") + HALF_GREY,
        picture_section() + section("c", zlib.compress(bytes(2**24 + 1))) + HALF_GREY,
        picture_section() + section("c", zlib.compress(b"profile")[:-1]) + HALF_GREY,
        picture_section(RGB) + HALF_GREY,  # three channels, a network of one
        section("S", b"") + HALF_GREY,
        section("S", b"\x02\x10\x05\x03") + HALF_GREY,  # another kind of signal
        section("S", picture_payload(5, EIGHT_BITS, 5, 3)) + HALF_GREY,
        section("S", picture_payload(GREY, 4, 5, 3)) + HALF_GREY,
        section("S", picture_payload(GREY, EIGHT_BITS, 0, 3)) + HALF_GREY,
        section("S", picture_payload(GREY, EIGHT_BITS, 2**15, 2**14 + 1)) + HALF_GREY,
        section("S", picture_payload(GREY, EIGHT_BITS, 2**62, 2**62)) + HALF_GREY,
        section("S", picture_payload(GREY, EIGHT_BITS, 5, 3) + b"\x00") + HALF_GREY,
        section("S", picture_payload(GREY, FLOAT32, 5, 3, [(1.0, 1.0)])) + HALF_GREY,
        section("S", picture_payload(GREY, FLOAT32, 5, 3, [(0.0, np.inf)])) + HALF_GREY,
        section("S", picture_payload(GREY, FLOAT32, 5, 3, [(np.nan, 1.0)])) + HALF_GREY,
        picture_section() + b"x\x01\x09" + HALF_GREY,  # an extension that ends within its name
        picture_section() + b"x\x02\x01a" + HALF_GREY,  # of one letter
        picture_section() + b"x\x03\x02Ab" + HALF_GREY,  # in the other case
        picture_section() + b"x\x03\x02a1" + HALF_GREY,  # not of letters
        picture_section() + HALF_GREY + b"1\x00",
        picture_section() + HALF_GREY + b"a\x01",
        picture_section() + HALF_GREY + b"a" + b"\xff" * 9 + b"\x01",
    ],
)
def test_wrong_sections_are_refused(sections: bytes) -> None:
    with pytest.raises(FormatViolationError):
        reference.read_file(container(sections))
    with pytest.raises(fieldpack.FormatError):
        fieldpack.decode(container(sections))


# Networks ------------------------------------------------------------------------------------


def numbered(opcode: int, *numbers: int) -> bytes:
    """An operation without constants and weights."""
    return bytes([opcode]) + b"".join(map(reference.varint, numbers))


STEP_ONE = b"\x00\x00\x80\x3f"
WIDE = numbered(ONE_HOT, 0, 2**62)
NO_ROWS = numbered(LINEAR, 1, 0) + STEP_ONE + b"\x00\x00"
NO_CODED_ROWS = numbered(LINEAR, 1, 0) + STEP_ONE + b"\x00\x01\x00\x00"
ONE_ROW = numbered(LINEAR, 1, 1) + STEP_ONE + b"\x00\x00"
SINGLE = numbered(ONE_HOT, 0, 1)


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [numbered(0, 1)],
        [SINGLE, numbered(12, 1)],
        [numbered(ONE_HOT, 2, 1)],  # no such axis
        [numbered(ONE_HOT, 0, 0)],
        [numbered(ONE_HOT, 0, 65537), ONE_ROW],
        [numbered(BINARY, 0, 2**31, 1)],
        [numbered(BINARY, 0, 5, 0)],
        [numbered(BINARY, 0, 5, 65537), ONE_ROW],
        [numbered(TANH, 1)],  # reads nothing
        [SINGLE, numbered(TANH, 0)],  # reads itself
        [SINGLE, numbered(TANH, 2)],
        [SINGLE, numbered(TANH, 2**62)],
        [SINGLE, numbered(ONE_HOT, 0, 2), numbered(ADD, 1, 2), ONE_ROW],
        [SINGLE, numbered(SHIFT, 1, 2) + STEP_ONE + b"\x00\x00"],
        [SINGLE, numbered(SHIFT, 1, 0) + STEP_ONE + b"\x00\x00"],
        [SINGLE, numbered(SCALE, 1, 1) + b"\x00\x00\x80\x7f\x00\x00"],  # an infinite step
        [SINGLE, numbered(SCALE, 1, 1) + b"\x00\x00\xc0\x7f\x00\x00"],  # not a number
        [SINGLE, numbered(SCALE, 1, 1) + STEP_ONE + b"\x00\x80\x80\x02\x00\x00"],  # reach 32768
        [SINGLE, numbered(SCALE, 1, 1) + STEP_ONE + b"\x00\x01\x07\x00"],  # shape 7
        [SINGLE, numbered(SCALE, 1, 1) + STEP_ONE + reference.signed(2**30 + 1) + b"\x00"],
        [SINGLE, numbered(SCALE, 1, 1) + STEP_ONE + b"\xff" * 9 + b"\x01\x00"],
        [numbered(SINUSOID, 0, 5, 1) + b"\x00\x00\x80\x7f" + STEP_ONE],
        [SINGLE, numbered(LINEAR, 1, 65537) + STEP_ONE + b"\x00\x00", ONE_ROW],
        [numbered(ONE_HOT, 0, 257), numbered(LINEAR, 1, 65536) + STEP_ONE + b"\x00\x00", ONE_ROW],
        [SINGLE, NO_ROWS, ONE_ROW],
        [SINGLE, NO_CODED_ROWS, ONE_ROW],
        [WIDE, NO_ROWS, ONE_ROW],
        [WIDE, NO_CODED_ROWS, ONE_ROW],
        [WIDE, ONE_ROW],
        [SINGLE] * 4097,
    ],
)
def test_wrong_networks_are_refused(operations: list[bytes]) -> None:
    payload = b"\x02" + reference.varint(len(operations)) + b"".join(operations)
    data = container(picture_section(), section("N", payload))
    with pytest.raises(FormatViolationError):
        reference.read_file(data)
    with pytest.raises(fieldpack.FormatError):
        fieldpack.decode(data)


@pytest.mark.parametrize("axes", [0, 1, 3, 9])
def test_network_of_another_number_of_axes_is_refused(axes: int) -> None:
    payload = bytes([axes, 1]) + SINGLE
    with pytest.raises(fieldpack.FormatError):
        fieldpack.decode(container(picture_section(), section("N", payload)))


def test_whether_a_wide_network_is_drawn_does_not_depend_on_threads() -> None:
    live = 11  # values of 65536 channels that are needed at the same time
    operations = [
        Operation(ONE_HOT, integers=(0, 65536)),
        Operation(ONE_HOT, integers=(1, 65536)),
        Operation(ADD, [1, 2]),
        *[Operation(TANH, [1])] * live,
        *[Operation(ADD, [1, 2 * i]) for i in range(1, live)],
        Operation(LINEAR, [1], weights=constant(1, 0.01, 1, 65536)),
    ]
    data = picture_file(*operations, width=2, height=1)
    outcomes = set()
    for threads in (1, 7):
        try:
            outcomes.add(fieldpack.decode(data, threads=threads).tobytes())
        except fieldpack.FormatError:
            outcomes.add(b"refused")
    assert len(outcomes) == 1


# Damage --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_file() -> bytes:
    """A file with all kinds of sections."""
    return container(
        picture_section(RGB),
        section("p", bytes(9)),
        section("c", zlib.compress(b"profile")),
        section("mask", b"\x00"),
        network_section(*smooth_network(np.random.default_rng(0), 5, 3, 3)),
    )


def test_wrong_signature(small_file: bytes) -> None:
    for data in (b"", b"\xf1", b"not a file of this format", b"\x89PNG" + small_file[4:]):
        with pytest.raises(fieldpack.FormatError):
            fieldpack.decode(data)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_named(small_file: bytes, version: int) -> None:
    content = small_file[:3] + bytes([version]) + small_file[4:-4]
    with pytest.raises(fieldpack.FormatError, match=rf"version {version}\b"):
        fieldpack.decode(reference.checksummed(content))


def test_every_truncation_is_refused(small_file: bytes) -> None:
    for size in range(len(small_file)):
        with pytest.raises(fieldpack.FormatError):
            fieldpack.decode(small_file[:size])


def test_every_truncation_with_a_valid_checksum_is_harmless(small_file: bytes) -> None:
    for size in range(4, len(small_file) - 4):
        with pytest.raises(fieldpack.FormatError):
            fieldpack.decode(reference.checksummed(small_file[:size]))


def test_every_flipped_bit_is_refused(small_file: bytes) -> None:
    for bit in range(8 * len(small_file)):
        damaged = bytearray(small_file)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(fieldpack.FormatError):
            fieldpack.decode(bytes(damaged))


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
        container(
            picture_section(RGB),
            section("p", bytes(9)),
            section("c", zlib.compress(b"profile")),
            network_section(*whole_position_network(rng, 5, 3, 3)),
        ),
    ]
    for index in range(count):
        sections = reference.read_sections(originals[index % len(originals)])
        weight = np.array([{"N": 6.0, "S": 1.0}.get(part.name, 0.5) for part in sections])
        chosen = rng.choice(len(sections), p=weight / weight.sum())
        sections[chosen].payload = mutated(rng, sections[chosen].payload)
        yield container(*(section(part.name, part.payload) for part in sections))


@pytest.mark.parametrize("seed", range(4))
def test_hostile_files_are_refused_or_drawn_as_the_reference_does(seed: int) -> None:
    drawn = 0
    for data in hostile_files(seed, 700):
        start = time.monotonic()
        samples = None
        try:
            field = fieldpack.open(data, threads=1)
            cheap = np.prod(field.shape) <= 3000 and field.info["network"]["weights"] <= 20000
            if field.info["kind"] == "picture" and cheap:
                samples = fieldpack.decode(field)
        except fieldpack.FormatError:
            cheap = True
        assert time.monotonic() - start < 20, data.hex()

        if cheap:
            try:
                expected = reference.read_file(data).samples
            except FormatViolationError:
                assert samples is None, data.hex()
            else:
                assert samples is not None, data.hex()
                assert samples.tobytes() == expected.tobytes(), data.hex()
                drawn += 1
    assert drawn > 100
