import io
import struct
import warnings

import numpy as np
import png
import pytest
import tifffile
from PIL import Image, ImageCms

from fieldpack.errors import SignalError
from fieldpack.signals import Colour, picture_from, read_picture

RANDOM = np.random.default_rng(1)


def noise(*shape, dtype=np.uint8):
    return RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def check(picture, samples, colour, bit_depth):
    assert picture.colour == colour
    assert picture.bit_depth == bit_depth
    assert picture.samples.flags.c_contiguous
    assert np.array_equal(picture.samples, samples.reshape(picture.samples.shape))


@pytest.mark.parametrize(
    ("mode", "colour"),
    [
        ("L", Colour.GREY),
        ("LA", Colour.GREY_ALPHA),
        ("RGB", Colour.RGB),
        ("RGBA", Colour.RGBA),
    ],
)
@pytest.mark.parametrize("extension", ["png", "tif"])
def test_eight_bit_modes(tmp_path, mode, colour, extension):
    samples = noise(7, 5, colour.channels)
    path = tmp_path / f"picture.{extension}"
    Image.frombytes(mode, (5, 7), samples.tobytes()).save(path)
    check(read_picture(path), samples, colour, 8)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.ppm", {}),
        ("a.bmp", {}),
        ("a.webp", {"lossless": True}),
        ("a.jp2", {"irreversible": False}),
        ("a.tga", {}),
        ("a.pcx", {}),
    ],
)
def test_lossless_rgb_formats(tmp_path, name, options):
    samples = noise(9, 6, 3)
    Image.fromarray(samples).save(tmp_path / name, **options)
    check(read_picture(tmp_path / name), samples, Colour.RGB, 8)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_samples_are_those_that_pillow_decodes(tmp_path, mode):
    path = tmp_path / "a.jpg"
    Image.new(mode, (16, 8), "orange").save(path)
    picture = read_picture(str(path))
    assert picture.colour == {"L": Colour.GREY, "RGB": Colour.RGB, "CMYK": Colour.CMYK}[mode]
    check(picture, np.asarray(Image.open(path)), picture.colour, 8)


@pytest.mark.parametrize("extension", ["png", "tif", "bmp", "pbm"])
def test_one_bit(tmp_path, extension):
    samples = noise(5, 11) > 127
    Image.fromarray(samples).save(tmp_path / f"a.{extension}")
    check(read_picture(tmp_path / f"a.{extension}"), samples, Colour.GREY, 1)
    pillows = np.asarray(Image.fromarray(samples))
    check(picture_from(pillows), samples, Colour.GREY, 1)


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB"])
def test_other_colour_spaces_become_rgb(mode):
    white = {"YCbCr": (255, 128, 128), "HSV": (0, 0, 255), "LAB": (255, 128, 128)}[mode]
    picture = picture_from(Image.new(mode, (2, 3), white))
    assert picture.colour == Colour.RGB
    assert picture.samples.shape == (3, 2, 3)
    assert picture.samples.min() >= 254


# --- 16 bits a sample ---


def sixteen_bit_png(samples, **options):
    height, width, channels = samples.shape
    file = io.BytesIO()
    writer = png.Writer(
        width, height, greyscale=channels < 3, alpha=channels in (2, 4), bitdepth=16, **options
    )
    writer.write(file, samples.reshape(height, -1).tolist())
    return file.getvalue()


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png(tmp_path, channels, interlace):
    samples = noise(13, 9, channels, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(sixteen_bit_png(samples, interlace=interlace))
    check(read_picture(tmp_path / "a.png"), samples, Colour(channels - 1), 16)


def test_sixteen_bit_png_with_a_transparent_colour(tmp_path):
    samples = noise(4, 4, 3, dtype=np.uint16)
    key = tuple(int(value) for value in samples[1, 2])
    samples[3, 3] = (key[0] ^ 1, *key[1:])  # equal in its high bytes only
    (tmp_path / "a.png").write_bytes(sixteen_bit_png(samples, transparent=key))
    picture = read_picture(tmp_path / "a.png")
    alpha = np.full((4, 4, 1), 65535)
    alpha[1, 2] = 0
    check(picture, np.concatenate([samples, alpha], axis=2), Colour.RGBA, 16)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_with_a_transparent_level(tmp_path, bits):
    levels = [0, 1, (1 << bits) - 1]
    with (tmp_path / "a.png").open("wb") as file:
        png.Writer(3, 1, greyscale=True, bitdepth=bits, transparent=1).write(file, [levels])
    picture = read_picture(tmp_path / "a.png")
    peak = 65535 if bits == 16 else 255
    grey = [level * peak // ((1 << bits) - 1) for level in levels]
    alpha = [0 if level == 1 else peak for level in levels]
    check(picture, np.array([grey, alpha]).T, Colour.GREY_ALPHA, max(bits, 8))


@pytest.mark.parametrize(
    "layout",
    [
        {"byteorder": "<", "planarconfig": "contig"},
        {"byteorder": ">", "planarconfig": "contig"},
        {"byteorder": "<", "planarconfig": "separate"},
    ],
)
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_deep_tiff(tmp_path, channels, dtype, compression, layout):
    samples = noise(17, 9, channels, dtype=np.uint16).astype(dtype)
    data = samples
    if channels == 1:
        data, layout = samples[:, :, 0], {"byteorder": layout["byteorder"]}
    elif layout["planarconfig"] == "separate":
        data = np.moveaxis(samples, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        photometric="rgb" if channels > 2 else "minisblack",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression=compression,
        predictor=compression is not None and dtype == "uint16",
        metadata=None,
        **layout,
    )
    depth = 16 if dtype == "uint16" else 32
    check(read_picture(tmp_path / "a.tif"), samples, Colour(channels - 1), depth)


def lzw(data):
    """TIFF's LZW without ever using a string: nine-bit codes, cleared before they grow."""
    bits = []
    for start in range(0, len(data), 200):
        bits += [f"{code:09b}" for code in (256, *data[start : start + 200])]
    text = "".join([*bits, f"{257:09b}"])
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def twelve_bit(samples):
    text = "".join(f"{value:012b}" for value in samples.flat)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def tiff(samples, photometric, extra=(), bits=16):
    """A TIFF file of one strip: LZW of 16-bit samples, or 12-bit samples as they are."""
    height, width, channels = samples.shape
    strip = twelve_bit(samples) if bits == 12 else lzw(samples.astype("<u2").tobytes())
    tags = {
        256: [width],
        257: [height],
        258: [bits] * channels,
        259: [5 if bits == 16 else 1],
        262: [photometric],
        273: [0],
        277: [channels],
        278: [height],
        279: [len(strip)],
        284: [1],
    }
    if extra:
        tags[338] = list(extra)
    end = 10 + 12 * len(tags) + 4
    far, entries = b"", b""
    for tag, values in tags.items():
        kind, code = (4, "I") if tag in (273, 279) else (3, "H")
        packed = struct.pack(f"<{len(values)}{code}", *values)
        if len(packed) > 4:
            far += packed
            packed = struct.pack("<I", end + len(far) - len(packed))
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    at = struct.pack("<HHI", 273, 4, 1)
    entries = entries.replace(at + b"\0\0\0\0", at + struct.pack("<I", end + len(far)))
    head = b"II\x2a\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + b"\0\0\0\0" + far + strip


@pytest.mark.parametrize(
    ("channels", "photometric", "extra", "colour"),
    [
        (1, 1, (), Colour.GREY),
        (3, 2, (), Colour.RGB),
        (4, 2, (2,), Colour.RGBA),
        (4, 5, (), Colour.CMYK),
    ],
)
def test_sixteen_bit_tiff_with_lzw(tmp_path, channels, photometric, extra, colour):
    samples = noise(6, 5, channels, dtype=np.uint16)
    (tmp_path / "a.tif").write_bytes(tiff(samples, photometric, extra))
    check(read_picture(tmp_path / "a.tif"), samples, colour, 16)


def test_twelve_bit_tiff_is_scaled_to_sixteen(tmp_path):
    samples = np.array([0, 1, 2048, 4095]).reshape(2, 2, 1)
    (tmp_path / "a.tif").write_bytes(tiff(samples, 1, bits=12))
    check(read_picture(tmp_path / "a.tif"), np.array([0, 16, 32776, 65535]), Colour.GREY, 16)


def test_a_fourth_tiff_channel_that_is_not_alpha_is_left_out(tmp_path):
    samples = noise(6, 5, 4, dtype=np.uint16)
    (tmp_path / "a.tif").write_bytes(tiff(samples, 2, (0,)))
    check(read_picture(tmp_path / "a.tif"), samples[:, :, :3], Colour.RGB, 16)


def test_premultiplied_tiff_is_divided_by_its_alpha(tmp_path):
    stored = np.array([[[1000, 2000, 0, 20000], [0, 0, 0, 0]]], dtype=np.uint16)
    expected = np.array([[[3277, 6554, 0, 20000], [0, 0, 0, 0]]])
    (tmp_path / "a.tif").write_bytes(tiff(stored, 2, (1,)))
    tifffile.imwrite(tmp_path / "b.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    check(read_picture(tmp_path / "a.tif"), expected, Colour.RGBA, 16)
    check(read_picture(tmp_path / "b.tif"), expected, Colour.RGBA, 16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_whose_zero_is_white(tmp_path, dtype):
    samples = noise(3, 4, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="miniswhite")
    depth = 8 * samples.itemsize
    check(read_picture(tmp_path / "a.tif"), np.iinfo(dtype).max - samples, Colour.GREY, depth)


@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
@pytest.mark.parametrize("largest", [1, 15, 255, 1023, 65535])
def test_netpbm_of_every_depth(tmp_path, magic, largest):
    channels = 3 if magic in ("P3", "P6") else 1
    samples = RANDOM.integers(0, largest, (4, 3, channels), endpoint=True)
    if magic in ("P2", "P3"):
        data = " ".join(map(str, samples.ravel())).encode() + b"\n# the end\n"
    else:
        data = samples.astype(">u2" if largest > 255 else np.uint8).tobytes()
    header = f"{magic} # comment 7\n3\t4\n# another\n{largest}\n".encode()
    (tmp_path / "a.ppm").write_bytes(header + data)
    depth, peak = (16, 65535) if largest > 255 else (8, 255)
    expected = np.floor(samples * peak / largest + 0.5)
    colour = Colour.RGB if channels == 3 else Colour.GREY
    check(read_picture(tmp_path / "a.ppm"), expected, colour, depth)


@pytest.mark.parametrize(("scale", "order"), [("-1.0", "<"), ("1.0", ">")])
def test_colour_pfm(tmp_path, scale, order):
    samples = RANDOM.standard_normal((3, 2, 3)).astype(f"{order}f4")
    header = f"PF\n2 3\n{scale}\n".encode()
    (tmp_path / "a.pfm").write_bytes(header + samples[::-1].tobytes())
    check(read_picture(tmp_path / "a.pfm"), samples, Colour.RGB, 32)


def test_float_greyscale(tmp_path):
    samples = RANDOM.standard_normal((3, 5)).astype(np.float32)
    Image.fromarray(samples).save(tmp_path / "a.tif")
    check(read_picture(tmp_path / "a.tif"), samples, Colour.GREY, 32)


def test_thirty_two_bit_integers_that_fit_sixteen(tmp_path):
    samples = np.array([[0, 70, 65535]], dtype=np.int32)
    Image.fromarray(samples).save(tmp_path / "a.tif")
    check(read_picture(tmp_path / "a.tif"), samples, Colour.GREY, 16)
    Image.fromarray(samples * 2).save(tmp_path / "b.tif")
    with pytest.raises(SignalError, match="0 to 131070, do not fit in 16 bits"):
        read_picture(tmp_path / "b.tif")


# --- palettes ---


def palette_image():
    image = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8))
    image = image.convert("L").convert("P")
    image.putdata([0, 1, 2, 2, 1, 0])
    image.putpalette([10, 20, 30, 200, 100, 0, 1, 2, 3])
    return image


@pytest.mark.parametrize("extension", ["png", "tif", "bmp", "gif"])
def test_palette(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    palette_image().save(path)
    picture = read_picture(path)
    first = [[10, 20, 30], [200, 100, 0], [1, 2, 3]]
    check(picture, np.array([first, first[::-1]]), Colour.RGB, 8)
    assert picture.palette[:3].tolist() == first
    if extension == "png":
        assert len(picture.palette) == 3


@pytest.mark.parametrize("extension", ["png", "gif"])
def test_palette_with_a_transparent_entry(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    palette_image().save(path, transparency=1)
    picture = read_picture(path)
    assert picture.colour == Colour.RGBA
    assert picture.samples[0].tolist() == [[10, 20, 30, 255], [200, 100, 0, 0], [1, 2, 3, 255]]
    assert picture.palette.shape[1] == 4


def test_palette_with_partial_transparency(tmp_path):
    palette_image().save(tmp_path / "a.png", transparency=bytes([255, 128]))
    picture = read_picture(tmp_path / "a.png")
    assert picture.palette[:, 3].tolist() == [255, 128, 255]
    assert picture.samples[1, 1].tolist() == [200, 100, 0, 128]


# --- orientation, frames, profiles ---

TURNED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    samples = noise(3, 5, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(samples)
    image.save(tmp_path / "a.png", exif=exif)
    image.save(tmp_path / "a.jpg", exif=exif)
    image.save(tmp_path / "a.webp", exif=exif, lossless=True)
    image.save(tmp_path / "a.tif", tiffinfo={0x0112: orientation})
    deep = samples.astype(np.uint16) * 257 + 1
    tag = [(0x0112, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "b.tif", deep, extratags=tag, photometric="rgb")
    turned = TURNED[orientation](samples)
    for name in ("a.png", "a.webp", "a.tif"):
        check(read_picture(tmp_path / name), turned, Colour.RGB, 8)
    check(read_picture(tmp_path / "b.tif"), TURNED[orientation](deep), Colour.RGB, 16)
    stored = np.asarray(Image.open(tmp_path / "a.jpg"))
    check(read_picture(tmp_path / "a.jpg"), TURNED[orientation](stored), Colour.RGB, 8)
    with Image.open(tmp_path / "a.png") as opened:
        check(picture_from(opened), turned, Colour.RGB, 8)


def test_broken_exif_does_not_stop_a_picture(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0II\x2a\0\xff\xff")
    assert read_picture(tmp_path / "a.jpg").width == 4


@pytest.mark.parametrize("extension", ["gif", "webp", "png", "tif"])
def test_only_the_first_frame_is_read(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=f"a.{extension} holds 3 pictures; only the first"):
        picture = read_picture(path)
    assert np.abs(picture.samples.astype(int) - [255, 0, 0]).max() < 5


def profile_of_another_space():
    """An sRGB profile whose gamma tags are replaced by a gamma of 1."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for index in range(count):
        at = 132 + 12 * index
        if profile[at : at + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            offset = struct.unpack(">I", profile[at + 4 : at + 8])[0]
            profile[offset : offset + 16] = b"curv" + bytes(4) + struct.pack(">IHH", 1, 256, 0)
    return bytes(profile)


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "webp"])
def test_profiles_are_kept_unless_they_are_srgb(tmp_path, extension):
    other = profile_of_another_space()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile, kept in ((other, other), (srgb, None), (b"nonsense" * 20, None)):
        path = tmp_path / f"a.{extension}"
        Image.new("RGB", (2, 2)).save(path, icc_profile=profile)
        assert read_picture(path).icc_profile == kept


def test_deep_files_keep_their_profile(tmp_path):
    other = profile_of_another_space()
    samples = noise(2, 2, 3, dtype=np.uint16)
    tag = [(34675, 7, len(other), other, True)]
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", extratags=tag)
    assert read_picture(tmp_path / "a.tif").icc_profile == other


# --- arrays ---


@pytest.mark.parametrize(
    ("dtype", "depth"),
    [(bool, 1), (np.uint8, 8), (np.uint16, 16), (">u2", 16), (np.float32, 32), (np.float64, 32)],
)
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 2), (3, 4, 3), (3, 4, 4), (1, 1)])
def test_arrays(shape, dtype, depth):
    samples = (noise(*shape) > 99).astype(dtype)
    channels = shape[2] if len(shape) == 3 else 1
    check(picture_from(samples), samples, Colour(channels - 1), depth)
    check(picture_from(samples[::-1]), samples[::-1], Colour(channels - 1), depth)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((2, 2), np.int32), "not int32; convert the array"),
        (np.zeros((2, 2, 5), np.uint8), "not \\(2, 2, 5\\)"),
        (np.zeros((3,), np.uint8), "not \\(3,\\)"),
        (np.zeros((0, 3), np.uint8), "3 x 0 pixels"),
        (np.full((2, 2), np.nan), "not finite"),
        (np.full((2, 2), 1e300), "beyond float32"),
        (np.array([["a"]]), "not <U1"),
        ([[1, 2]], "not a list; convert it with numpy.asarray"),
        (np.ma.masked_array([[1, 2]], mask=[[True, False]]), "not a MaskedArray"),
    ],
)
def test_arrays_that_are_no_pictures(value, message):
    with pytest.raises(SignalError, match=message):
        picture_from(value)


def test_reading_leaves_pillow_and_warnings_as_they_were(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    read_picture(tmp_path / "a.png")
    assert limit == Image.MAX_IMAGE_PIXELS
    assert filters == warnings.filters
