"""Fields: drawing at any size, evaluating at any point, and what a file tells about itself."""

import json

import numpy as np
import pytest
from conftest import network_bytes

import fieldpack
from fieldpack import Colour, FormatError, RequestError
from fieldpack.rendering import View


@pytest.mark.parametrize(
    ("colour", "depth", "dtype", "shape"),
    [
        (Colour.GREY, 1, np.bool_, (7, 13)),
        (Colour.GREY, 8, np.uint8, (7, 13)),
        (Colour.GREY, 16, np.uint16, (7, 13)),
        (Colour.GREY_ALPHA, 8, np.uint8, (7, 13, 2)),
        (Colour.RGB, 16, np.uint16, (7, 13, 3)),
        (Colour.RGBA, 8, np.uint8, (7, 13, 4)),
        (Colour.CMYK, 8, np.uint8, (7, 13, 4)),
        (Colour.RGB, 32, np.float32, (7, 13, 3)),
    ],
)
def test_decode_gives_the_sample_type_and_shape(colour, depth, dtype, shape):
    samples = fieldpack.decode(network_bytes(13, 7, colour, depth))
    assert samples.dtype == dtype
    assert samples.shape == shape
    assert samples.min() != samples.max()


def test_values_at_pixel_centres_round_to_the_picture():
    field = fieldpack.open(network_bytes(13, 7))
    x, y = (2 * np.arange(13) + 1) / 13 - 1, (2 * np.arange(7) + 1) / 7 - 1
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    rounded = np.clip(np.floor(field(points) + np.float32(0.5)), 0, 255)
    np.testing.assert_array_equal(rounded.reshape(7, 13, 3), fieldpack.decode(field))
    np.testing.assert_array_equal(field(points).reshape(7, 13, 3), field.grid())


def test_scale_one_and_own_size_are_the_picture():
    field = fieldpack.open(network_bytes(13, 7))
    whole = fieldpack.decode(field)
    np.testing.assert_array_equal(fieldpack.decode(field, scale=1.0), whole)
    np.testing.assert_array_equal(fieldpack.decode(field, size=(13, 7)), whole)


def test_region_is_the_part_of_the_picture():
    field = fieldpack.open(network_bytes(40, 30))
    whole = fieldpack.decode(field)
    part = fieldpack.decode(field, region=(5, 3, 20, 10))
    assert np.abs(part.astype(int) - whole[3:13, 5:25]).max() <= 1
    enlarged = fieldpack.decode(field, region=(5, 3, 20, 10), scale=2)
    assert enlarged.shape == (20, 40, 3)
    # Pixels of an odd enlargement fall on the old centres.
    tripled = fieldpack.decode(field, region=(5, 3, 20, 10), scale=3)
    assert np.abs(tripled[1::3, 1::3].astype(int) - part).max() <= 1


def test_shrinking_averages():
    field = fieldpack.open(network_bytes(64, 48, seed=3))
    whole = fieldpack.decode(field).astype(float)
    small = fieldpack.decode(field, scale=0.25)
    mean = whole.reshape(12, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - mean).max() <= 1


def test_bands_do_not_show(monkeypatch):
    field = fieldpack.open(network_bytes(50, 40))
    whole = fieldpack.decode(field)
    monkeypatch.setattr("fieldpack.rendering._BAND_POINTS", 64)
    np.testing.assert_array_equal(fieldpack.decode(field), whole)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_threads_do_not_change_the_picture(threads):
    data = network_bytes(130, 70)
    np.testing.assert_array_equal(
        fieldpack.decode(data, threads=threads), fieldpack.decode(data, threads=1)
    )


def test_progress_ends_at_one():
    seen = []
    fieldpack.open(network_bytes(13, 7)).picture(progress=seen.append)
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    "view",
    [
        {"scale": 0.0},
        {"scale": -1.0},
        {"scale": float("nan")},
        {"scale": float("inf")},
        {"scale": 1e9},
        {"size": (0, 5)},
        {"size": (1 << 20, 1 << 20)},
        {"scale": 2.0, "size": (5, 5)},
        {"region": (0, 0, 14, 7)},
        {"region": (-1, 0, 2, 2)},
        {"region": (0, 0, 0, 2)},
    ],
)
def test_views_that_make_no_sense(view):
    with pytest.raises(RequestError):
        fieldpack.decode(network_bytes(13, 7), **view)


@pytest.mark.parametrize("points", [[0.0, 0.0], [[0.0]], [[np.nan, 0.0]], [[np.inf, 0.0]]])
def test_coordinates_that_make_no_sense(points):
    with pytest.raises(RequestError):
        fieldpack.open(network_bytes(13, 7))(points)


def test_oversampling_only_when_shrinking():
    view = View.of(100, 50, size=(30, 60))
    assert (view.oversampling(0, 1), view.oversampling(1, 1)) == (4, 1)
    assert view.oversampling(0, 0.25) == 1


def test_palette_and_profile_travel():
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    picture = fieldpack.open(
        network_bytes(13, 7, palette=palette, icc_profile=b"profile" * 100)
    ).picture()
    np.testing.assert_array_equal(picture.palette, palette)
    assert picture.icc_profile == b"profile" * 100


def test_a_profile_that_inflates_without_end_is_refused():
    bomb = network_bytes(13, 7, icc_profile=bytes(1 << 25))
    assert len(bomb) < 1 << 17
    with pytest.raises(FormatError, match="profile"):
        fieldpack.open(bomb).picture()


def test_info_adds_up_and_is_json():
    data = network_bytes(13, 7)
    info = fieldpack.open(data).info
    assert json.loads(json.dumps(info)) == info
    assert info["bytes"] == len(data)
    sections = sum(section["bytes"] for section in info["sections"])
    assert 0 < len(data) - sections < 24
    network = next(s["bytes"] for s in info["sections"] if s["name"] == "N")
    assert sum(tensor["bytes"] for tensor in info["network"]["tensors"]) < network


def test_open_reads_paths_and_bytes(small_file):
    data = small_file.read_bytes()
    for source in (small_file, str(small_file), data, bytearray(data), memoryview(data)):
        assert fieldpack.open(source).shape == (7, 13, 3)
    with pytest.raises(FormatError, match="cannot read"):
        fieldpack.open(small_file.with_name("missing.fpk"))


def test_save_writes_the_bytes(tmp_path):
    data = network_bytes(13, 7)
    fieldpack.open(data).save(tmp_path / "a.fpk")
    assert (tmp_path / "a.fpk").read_bytes() == data
