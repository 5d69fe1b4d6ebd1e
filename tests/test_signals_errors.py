import contextlib
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image

from fieldpack.errors import SignalError
from fieldpack.signals import picture_from, read_picture

SAMPLES = np.random.default_rng(2).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def refused(path, capfd):
    """Return the error's text after checking that it is one line and nothing else was printed."""
    with pytest.raises(SignalError) as raised:
        read_picture(path)
    text = str(raised.value)
    assert text.startswith("cannot read ")
    assert os.path.basename(path) in text
    assert "\n" not in text
    assert capfd.readouterr() == ("", "")
    return text


def test_missing_file(tmp_path, capfd):
    assert refused(tmp_path / "a.png", capfd).endswith("a.png: No such file or directory")


def test_directory(tmp_path, capfd):
    assert refused(tmp_path, capfd).endswith(": Is a directory")


def test_file_name_of_two_lines(tmp_path, capfd):
    with pytest.raises(SignalError, match=r"^cannot read '.*a\\nb.png': No such file"):
        read_picture(tmp_path / "a\nb.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello, this is a text\n" * 20, "not a picture"),
        (b"\0" * 5000, "not a picture"),
        (b"P6 is a format\n" * 9, "it has 'is' where a number"),
        (b"P6\n2 2\n255\n123", "truncated: 3 of 12 bytes"),
        (b"P5\n2 2\n99999\n123456789", "largest sample value is given as 99999"),
        (b"P5\n2 2\n7\n\1\2\3\x09", "samples above 7"),
        (b"P2\n2 2\n255\n1 2 3", "truncated: 3 of 4 samples"),
        (b"P2\n2 2\n255\n1 2 3 x", "it has 'x' where a number"),
        (b"PF\n1 1\n-1\n" + struct.pack("<3f", 1, float("nan"), 2), "not finite"),
        (b"\x89PNG\r\n\x1a\n", "the PNG file is truncated"),
        (b"II\x2a\0\x08\0\0\0\0\0", "a size of 0 x 0 pixels"),
        (b"\xff\xd8\xff\xe0" + b"nonsense" * 9, "damaged"),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a"])
def test_no_picture(tmp_path, capfd, content, message, name):
    (tmp_path / name).write_bytes(content)
    assert message in refused(tmp_path / name, capfd)


def encoded(tmp_path, name):
    path = tmp_path / name
    if name.startswith("deep"):
        deep = SAMPLES.astype(np.uint16) * 251
        compression = "zlib" if "zlib" in name else None
        tifffile.imwrite(path, deep, photometric="rgb", compression=compression)
    elif name.startswith("lzw"):
        Image.fromarray(SAMPLES).save(path, compression="tiff_lzw")
    else:
        Image.fromarray(SAMPLES).save(path)
    return path


@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
@pytest.mark.parametrize(
    "name",
    [
        *("a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "a.gif", "a.jp2", "a.ppm", "a.tga"),
        *("deep.tif", "deep_zlib.tif", "lzw.tif", "a.pcx", "a.ico", "a.avif"),
    ],
)
def test_truncated_file(tmp_path, capfd, name, part):
    if os.path.splitext(name)[1] not in Image.registered_extensions():
        pytest.skip("this Pillow does not know the format")
    path = encoded(tmp_path, name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    refused(path, capfd)


def test_a_flipped_bit_anywhere_in_a_png_is_noticed(tmp_path, capfd):
    path = tmp_path / "a.png"
    Image.fromarray(SAMPLES[:6, :6]).save(path)
    data = path.read_bytes()
    for at in range(0, len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        refused(path, capfd)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "lzw.tif", "deep_zlib.tif", "a.gif", "a.ppm"])
def test_random_damage_gives_a_picture_or_an_error(tmp_path, capfd, name):
    path = encoded(tmp_path, name)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    random = np.random.default_rng(3)
    for _ in range(40):
        damaged = data.copy()
        places = random.integers(0, len(data), 4)
        damaged[places] = random.integers(0, 256, 4)
        damaged[random.integers(0, 20)] ^= 1
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(SignalError):
            read_picture(path)
        assert capfd.readouterr() == ("", "")


def png_of_declared_size(width, height, bits=8):
    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content",
    [
        png_of_declared_size(100_000, 100_000),
        png_of_declared_size(100_000, 100_000, 16),
        b"P6\n100000 100000\n255\n",
        b"P4\n100000 100000\n",
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 99, 0, 54, 40, 99999, 99999, 1, 24, *[0] * 6),
    ],
)
def test_absurd_declared_size(tmp_path, capfd, content):
    (tmp_path / "a").write_bytes(content)
    assert "536870912" in refused(tmp_path / "a", capfd)


def test_absurd_declared_size_of_a_tiff(tmp_path, capfd):
    path = encoded(tmp_path, "deep.tif")
    data = bytearray(path.read_bytes())
    for tag in (256, 257):
        at = data.index(struct.pack("<HHI", tag, 4, 1))
        data[at + 8 : at + 12] = struct.pack("<I", 1_000_000)
    path.write_bytes(data)
    assert "536870912" in refused(path, capfd)


def test_pillows_own_limit_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for name in ("a.png", "a.jpg", "lzw.tif"):
        Image.fromarray(SAMPLES).save(tmp_path / name)
        assert read_picture(tmp_path / name).height == 40
    assert Image.MAX_IMAGE_PIXELS == 100


def test_threads_share_the_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = encoded(tmp_path, "lzw.tif")
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(read_picture, [path] * 100))
    assert all(np.array_equal(picture.samples, SAMPLES) for picture in pictures)
    assert Image.MAX_IMAGE_PIXELS == 100
    assert filters == warnings.filters


def test_out_of_memory(tmp_path, capfd, monkeypatch):
    path = encoded(tmp_path, "a.png")

    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("fieldpack.signals.png.from_pillow", fail)
    assert refused(path, capfd).endswith("a.png: not enough memory")


def test_a_pillow_image_that_does_not_load(tmp_path):
    path = encoded(tmp_path, "a.jpg")
    path.write_bytes(path.read_bytes()[:1500])
    with Image.open(path) as image, pytest.raises(SignalError, match=r"cannot load .* truncated"):
        picture_from(image)


def test_a_pipe_is_read(tmp_path):
    data = encoded(tmp_path, "a.ppm").read_bytes()
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    try:
        assert np.array_equal(read_picture(f"/dev/fd/{reading}").samples, SAMPLES)
    finally:
        os.close(reading)
