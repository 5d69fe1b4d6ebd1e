import warnings

import numpy as np
import png
import pytest
import tifffile
from PIL import Image, ImageCms

from fieldpack.errors import FieldpackError, RequestError, SignalError
from fieldpack.signals import Colour, Picture, picture_from, read_picture, write_picture

RANDOM = np.random.default_rng(4)
SHAPES = [(5, 7), (1, 1), (1, 9), (9, 1), (70, 3)]
DTYPES = {1: np.uint8, 8: np.uint8, 16: np.uint16, 32: np.float32}


def picture_of(colour, bit_depth, shape=(5, 7), **attributes):
    shape = (*shape, colour.channels)
    if bit_depth == 32:
        samples = RANDOM.standard_normal(shape).astype(np.float32)
    else:
        samples = RANDOM.integers(0, 1 << bit_depth, shape).astype(DTYPES[bit_depth])
    return Picture(samples, colour, bit_depth, **attributes)


def written(picture, path):
    write_picture(picture, path)
    return read_picture(path)


def check_equal(result, picture):
    assert result.colour == picture.colour
    assert result.bit_depth == picture.bit_depth
    assert np.array_equal(result.samples, picture.samples)
    assert result.icc_profile == picture.icc_profile


KEPT = {
    ".png": [(colour, depth) for colour in list(Colour)[:4] for depth in (8, 16)],
    ".tif": [(colour, depth) for colour in Colour for depth in (8, 16, 32)],
    ".ppm": [(colour, depth) for colour in (Colour.GREY, Colour.RGB) for depth in (8, 16)],
    ".pgm": [(Colour.GREY, 8), (Colour.GREY, 16)],
    ".pbm": [(Colour.GREY, 1)],
    ".pfm": [(Colour.GREY, 32), (Colour.RGB, 32)],
    ".bmp": [(Colour.GREY, 8), (Colour.RGB, 8)],
    ".webp": [(Colour.RGB, 8), (Colour.RGBA, 8)],
    ".gif": [(Colour.GREY, 8)],
}
for one_bit in (".png", ".tif", ".bmp", ".ppm"):
    KEPT[one_bit].append((Colour.GREY, 1))


@pytest.mark.parametrize(
    ("extension", "colour", "bit_depth"),
    [(extension, *kind) for extension, kinds in KEPT.items() for kind in kinds],
)
def test_lossless_round_trip(tmp_path, extension, colour, bit_depth):
    for shape in SHAPES:
        picture = picture_of(colour, bit_depth, shape)
        if extension == ".gif":  # reads a ramp back as greyscale, other levels as a palette
            picture.samples.flat[:] = np.arange(picture.samples.size)
        result = written(picture, tmp_path / f"a{extension}")
        if extension == ".gif" and result.colour == Colour.RGB:
            assert np.array_equal(result.samples[:, :, :1], picture.samples)
        else:
            check_equal(result, picture)


@pytest.mark.parametrize("colour", list(Colour)[:4])
def test_another_decoder_reads_sixteen_bit_png(tmp_path, colour):
    picture = picture_of(colour, 16, (130, 6))
    write_picture(picture, tmp_path / "a.png")
    width, height, rows, info = png.Reader(bytes=(tmp_path / "a.png").read_bytes()).read()
    samples = np.array([list(row) for row in rows]).reshape(picture.samples.shape)
    assert (width, height, info["bitdepth"]) == (6, 130, 16)
    assert np.array_equal(samples, picture.samples)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()


def test_another_decoder_reads_deep_tiff(tmp_path):
    for bit_depth in (16, 32):
        picture = picture_of(Colour.RGBA, bit_depth)
        write_picture(picture, tmp_path / "a.tif")
        assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), picture.samples)


def test_sixteen_bit_png_of_a_smooth_picture_is_small(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    samples = np.stack([np.add.outer(ramp // 2, ramp // 2)] * 3, axis=2)
    write_picture(picture_from(samples), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < samples.nbytes / 10


@pytest.mark.parametrize("colour", [Colour.GREY, Colour.RGB, Colour.CMYK])
def test_jpeg_is_close_and_keeps_its_channels(tmp_path, colour):
    ramp = np.add.outer(np.arange(64), 2 * np.arange(64))[:, :, np.newaxis]
    samples = ramp + 10 * np.arange(colour.channels)
    picture = Picture(samples.astype(np.uint8), colour, 8)
    result = written(picture, tmp_path / "a.JPG")
    assert result.colour == colour
    assert np.abs(result.samples.astype(int) - picture.samples).mean() < 2


def test_jpeg_has_full_chroma_resolution(tmp_path):
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = [255, 0, 0]
    stripes[:, 1::2] = [0, 0, 255]
    result = written(picture_from(stripes), tmp_path / "a.jpg")
    assert np.abs(result.samples.astype(int) - stripes).max() < 30


# --- palettes ---

PALETTE = np.array([[1, 2, 3], [250, 240, 0], [9, 99, 199], [0, 0, 0], [3, 2, 1]], np.uint8)
ALPHA = np.array([[255], [128], [0], [255], [7]], np.uint8)


@pytest.mark.parametrize("extension", ["png", "tif", "bmp", "gif"])
def test_palette_round_trip(tmp_path, extension):
    samples = PALETTE[RANDOM.integers(0, 5, (6, 8))]
    samples[0, :5] = PALETTE
    picture = Picture(samples, Colour.RGB, 8, palette=PALETTE)
    result = written(picture, tmp_path / f"a.{extension}")
    check_equal(result, picture)
    with Image.open(tmp_path / f"a.{extension}") as image:
        assert image.mode == "P"
    assert np.array_equal(result.palette[:5], PALETTE)


def test_palette_with_alpha_round_trip(tmp_path):
    palette = np.concatenate([PALETTE, ALPHA], axis=1)
    picture = Picture(palette[RANDOM.integers(0, 5, (6, 8))], Colour.RGBA, 8, palette=palette)
    result = written(picture, tmp_path / "a.png")
    check_equal(result, picture)
    assert np.array_equal(result.palette, palette)
    result = written(picture, tmp_path / "a.tif")  # which has no palettes with alpha
    check_equal(result, picture)
    assert result.palette is None
    with pytest.warns(UserWarning, match="GIF holds no transparency"):
        result = written(picture, tmp_path / "a.gif")
    assert np.array_equal(result.samples, picture.samples[:, :, :3])


def test_pixels_get_the_nearest_palette_entry(tmp_path):
    palette = RANDOM.integers(0, 256, (200, 3), dtype=np.uint8)
    samples = RANDOM.integers(0, 256, (150, 30, 3), dtype=np.uint8)
    result = written(Picture(samples, Colour.RGB, 8, palette=palette), tmp_path / "a.png")
    differences = samples[:, :, np.newaxis].astype(int) - palette
    nearest = (differences**2).sum(axis=3).argmin(axis=2)
    assert np.array_equal(result.samples, palette[nearest])


def test_palettes_are_left_where_they_cannot_be_kept(tmp_path):
    samples = PALETTE[RANDOM.integers(0, 5, (6, 8))]
    picture = Picture(samples, Colour.RGB, 8, palette=PALETTE)
    for name in ("a.webp", "a.ppm"):
        result = written(picture, tmp_path / name)
        check_equal(result, picture)
        assert result.palette is None


# --- what a format cannot hold ---


def test_sixteen_bits_are_rounded_to_eight(tmp_path):
    samples = np.array([[0, 128, 129, 257, 385, 386, 32767, 65406, 65407, 65535]], np.uint16)
    result = written(picture_from(samples), tmp_path / "a.bmp")
    assert result.samples.ravel().tolist() == [0, 0, 1, 1, 1, 2, 127, 254, 255, 255]


def test_one_bit_becomes_black_and_white(tmp_path):
    bits = RANDOM.integers(0, 2, (3, 4)).astype(bool)
    result = written(picture_from(bits), tmp_path / "a.webp")
    assert np.array_equal(result.samples, np.stack([bits * 255] * 3, axis=2))
    colours = RANDOM.integers(0, 2, (3, 4, 3)).astype(bool)
    result = written(picture_from(colours), tmp_path / "a.png")
    assert np.array_equal(result.samples, colours * 255)


def test_floats_in_the_unit_range_are_scaled(tmp_path):
    samples = np.array([[-0.05, 0.0, 0.5, 1.0, 1.05]], np.float32)
    result = written(picture_from(samples), tmp_path / "a.png")
    assert result.bit_depth == 16
    assert result.samples.ravel().tolist() == [0, 0, 32768, 65535, 65535]
    result = written(picture_from(samples), tmp_path / "a.bmp")
    assert result.samples.ravel().tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("name", ["a.jpg", "a.bmp", "a.ppm"])
@pytest.mark.parametrize("colour", [Colour.GREY_ALPHA, Colour.RGBA])
def test_alpha_is_dropped_with_a_warning(tmp_path, name, colour):
    picture = picture_of(colour, 8)
    with pytest.warns(UserWarning, match=f"holds no transparency: .*{name} is without it"):
        result = written(picture, tmp_path / name)
    assert result.colour == Colour(colour - 1)
    if name != "a.jpg":
        assert np.array_equal(result.samples, picture.samples[:, :, :-1])


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_cmyk_becomes_rgb(tmp_path, bit_depth):
    peak = (1 << bit_depth) - 1
    inks = np.array([[[0, 0, 0, 0], [peak, 0, 0, 0], [0, peak, 0, 0], [0, 0, peak, peak]]])
    picture = Picture(inks.astype(DTYPES[bit_depth]), Colour.CMYK, bit_depth)
    result = written(picture, tmp_path / "a.png")
    lights = [[[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 0]]]
    assert result.bit_depth == bit_depth
    assert np.array_equal(result.samples, np.array(lights) * peak)


def test_grey_with_alpha_becomes_rgba_in_webp(tmp_path):
    picture = picture_of(Colour.GREY_ALPHA, 8)
    result = written(picture, tmp_path / "a.webp")
    assert np.array_equal(result.samples, picture.samples[:, :, [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("name", "picture", "message"),
    [
        ("a.png", picture_from(np.array([[0.0, 255.0]])), "0 to 255 is not the range 0 to 1"),
        ("a.pgm", picture_of(Colour.RGB, 8), "PGM does not hold RGB pictures"),
        ("a.gif", picture_of(Colour.RGB, 8), "GIF does not hold RGB pictures; write PNG"),
        ("a.pbm", picture_of(Colour.GREY, 8), "PBM holds 1-bit pictures only"),
        ("a.pfm", picture_of(Colour.GREY, 8), "PFM holds floating-point samples only"),
        ("a.webp", picture_of(Colour.RGB, 8, (1, 20_000)), "WebP holds at most 16383 pixels"),
        ("a.jpg", picture_of(Colour.GREY, 8, (70_000, 1)), "not 1 x 70000"),
    ],
)
def test_pictures_that_a_format_cannot_hold(tmp_path, name, picture, message):
    with pytest.raises(SignalError, match=f"^cannot write .*{name}: .*{message}"):
        write_picture(picture, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_formats_that_pillow_was_built_without(tmp_path, monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.SAVE, "WEBP")
    with pytest.raises(SignalError, match="this installation of Pillow does not write WebP"):
        write_picture(picture_of(Colour.RGB, 8), tmp_path / "a.webp")


@pytest.mark.parametrize("name", ["a", "a.xyz", "a.", "a.png/b", "a.fpk"])
def test_unknown_extensions(tmp_path, name):
    with pytest.raises(RequestError, match=r"use \.png, \.jpg, .*\.tif") as raised:
        write_picture(picture_of(Colour.GREY, 8), tmp_path / name)
    assert "\n" not in str(raised.value)


# --- profiles ---


def lab_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def rgb_profile():
    """An sRGB profile whose red and blue primaries are exchanged."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("extension", ["png", "tif", "jpg", "webp"])
def test_profiles_are_written(tmp_path, extension, bit_depth):
    profile = rgb_profile()
    picture = picture_of(Colour.RGB, bit_depth, icc_profile=profile)
    assert written(picture, tmp_path / f"a.{extension}").icc_profile == profile


def test_profiles_of_other_channels_are_not_written(tmp_path):
    picture = picture_of(Colour.RGB, 8, icc_profile=lab_profile())
    write_picture(picture, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert "icc_profile" not in image.info


# --- failures ---


def test_a_missing_folder(tmp_path):
    path = tmp_path / "none" / "a.png"
    with pytest.raises(FieldpackError, match=r"^cannot write .*a\.png: No such file or directory$"):
        write_picture(picture_of(Colour.GREY, 8), path)


def test_a_folder_of_that_name(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(FieldpackError, match=r"^cannot write .*a\.png: Is a directory$"):
        write_picture(picture_of(Colour.GREY, 8), tmp_path / "a.png")


def test_a_failing_encoder_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise OSError("encoder error -2")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(SignalError, match=r"^cannot write .*a\.png: encoder error -2$"):
        write_picture(picture_of(Colour.GREY, 8), path)
    assert path.read_bytes() == b"old"


def test_writing_prints_and_warns_nothing(tmp_path, capfd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("a.png", "a.tif", "a.jpg"):
            for depth in (8, 16):
                write_picture(picture_of(Colour.RGB, depth), tmp_path / name)
    assert not caught
    assert capfd.readouterr() == ("", "")
