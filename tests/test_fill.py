"""Filling in missing pixels: the pieces against their plain counterparts, the API, the command."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import smooth_samples
from PIL import Image

import fieldpack
from fieldpack import RequestError, SignalError, _engine, cli
from fieldpack.filling import network, parts, proposal, views
from fieldpack.filling.guess import pull_push, thin_plate
from fieldpack.filling.noise import estimate_noise
from fieldpack.filling.samples import Samples, read_samples
from fieldpack.metrics import psnr
from prior import filling_network, filling_patches


def random_mask(height, width, share=0.3, seed=0):
    mask = np.random.default_rng(seed).random((height, width)) < share
    mask[height // 2, width // 2] = True
    return mask


def missing_psnr(result, samples, mask, peak=255):
    return psnr(result[~mask], samples[~mask], peak)


def run_command(*arguments):
    command = [sys.executable, "-m", "fieldpack", "fill", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# The pieces


@pytest.mark.parametrize("size", [(8, 8), (23, 41), (70, 16)])
def test_the_engine_evaluates_the_network_as_pytorch_does(size):
    torch.manual_seed(0)
    plain = filling_network.FillingNetwork()
    torch.nn.init.normal_(plain.tail.weight, std=0.05)
    flat = plain.flat_parameters().numpy()
    engine = _engine.FillingNetwork(network.WIDTHS, flat)
    height, width = (-(-side // views.CELL) * views.CELL for side in size)
    guess = np.random.default_rng(0).random((height, width), np.float32)
    mask = random_mask(height, width)
    with torch.no_grad():
        known = torch.from_numpy(mask.astype(np.float32))
        expected = plain(torch.from_numpy(guess)[None, None], known[None, None])[0, 0].numpy()
    result = engine.run(guess, mask.astype(np.float32), 1)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(result - guess).max() > 0.01
    assert (engine.run(guess, mask.astype(np.float32), 3) == result).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (16, 41), (37, 8)])
def test_the_engine_relaxes_as_numpy_does(size):
    values = np.random.default_rng(1).random((*size, 3), np.float32)
    mask = random_mask(*size)
    tension, momentum = 0.7, 0.6

    def laplacian(x):
        up, down = np.concatenate((x[:1], x[:-1])), np.concatenate((x[1:], x[-1:]))
        left = np.concatenate((x[:, :1], x[:, :-1]), axis=1)
        right = np.concatenate((x[:, 1:], x[:, -1:]), axis=1)
        return up + down + left + right - 4 * x

    expected = ahead = values.astype(np.float64)
    for _ in range(9):
        curvature = laplacian(ahead)
        slope = (laplacian(curvature) - tension * curvature) * ~mask[:, :, np.newaxis]
        moved = ahead - slope / (64 + 8 * tension)
        expected, ahead = moved, moved + momentum * (moved - expected)
    result = _engine.relax(values, mask, tension, momentum, 9, 1)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert (_engine.relax(values, mask, tension, momentum, 9, 5) == result).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 12), (37, 64)])
def test_training_makes_the_same_first_guesses(size):
    image = np.random.default_rng(4).random((3, *size), np.float32)
    masks = np.stack([random_mask(*size, share, seed) for seed, share in enumerate((0, 0.2, 0.8))])
    guesses = filling_patches.first_guess(
        torch.from_numpy(image)[:, None], torch.from_numpy(masks.astype(np.float32))[:, None]
    )
    for guess, channel, mask in zip(guesses.numpy(), image, masks, strict=True):
        expected = thin_plate(channel[:, :, np.newaxis], mask)[:, :, 0]
        np.testing.assert_allclose(guess[0], expected, atol=1e-5)


def test_training_draws_patches_of_all_kinds():
    random = np.random.default_rng(5)
    y, x = np.mgrid[:80, :100]
    picture = np.stack([y, x, 40 + 0 * x], axis=-1).astype(np.uint8)
    texts = np.full((2, 3, 48, 48), 250, np.uint8)
    holes = np.stack([filling_patches.draw_holes(48, random) for _ in range(9)])
    torch.manual_seed(0)
    patches = filling_patches.Patches([picture], texts, holes, 0.5, torch.device("cpu"))
    image, mask = patches.draw(256)
    assert image.shape == mask.shape == (256, 1, 48, 48)
    known = mask.mean((1, 2, 3))
    assert 0 < known.min() < 0.1
    assert 0.9 < known.max() < 1
    # The text is of one colour, 250 or its negative; the picture's channels are below 100.
    level = image * 255
    is_text = ((level - 250).abs() < 0.1).all(3).all(2) | ((level - 5).abs() < 0.1).all(3).all(2)
    assert 90 < int(is_text.sum()) < 166
    others = level[~is_text[:, 0]]
    assert ((others < 100) | (others > 155)).all()


def test_pull_push_averages_cells():
    image = np.zeros((4, 4, 1), np.float32)
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = mask[1, 1] = mask[3, 3] = True
    image[:, :, 0] = 99
    image[0, 0], image[1, 1], image[3, 3] = 1, 3, 10
    # Cells of 2 x 2 know 2 and 10; the other two get the mean of all cells, 6.
    result = pull_push(image, mask)[:, :, 0]
    assert (result[mask] == [1, 3, 10]).all()
    assert result[1, 0] == pytest.approx(0.75 * 2 + 0.25 * 6)
    assert result[0, 3] == pytest.approx(6)
    assert result[3, 0] == pytest.approx(6)


def test_a_plate_through_a_plane_is_the_plane():
    y, x = np.mgrid[:20, :30].astype(np.float32)
    plane = (0.01 * x + 0.02 * y)[:, :, np.newaxis]
    mask = random_mask(20, 30, 0.5)
    mask[[0, 1, -2, -1]] = mask[:, [0, 1, -2, -1]] = True  # beyond the border it is flat
    relaxed = _engine.relax(pull_push(plane, mask), mask, 0.5, 0.85, 500)
    np.testing.assert_allclose(relaxed, plane, atol=1e-4)


def test_the_engine_checks_sizes():
    flat = np.zeros(10, np.float32)
    with pytest.raises(ValueError, match="as many"):
        _engine.FillingNetwork(network.WIDTHS, flat)
    with pytest.raises(ValueError, match="multiples of eight"):
        _engine.FillingNetwork((4, 8, 8, 8), flat)
    with pytest.raises(ValueError, match="multiples of sixteen"):
        network.shipped_network().run(np.zeros((16, 8), np.float32), np.zeros((16, 8), np.float32))
    with pytest.raises(ValueError, match="size"):
        _engine.relax(np.zeros((8, 9, 3), np.float32), np.zeros((8, 8), bool), 0.5, 0.8, 1)


def test_the_shipped_network_is_whole_and_small():
    count = sum(np.prod(shape) + biases for shape, biases in network.layer_shapes(network.WIDTHS))
    values = np.linspace(-1, 1, count, dtype=np.float32)
    data = network.write_network(network.WIDTHS, values)
    assert len(data) < 1_000_000
    widths, parameters = network.parse_network(data)
    assert widths == network.WIDTHS
    np.testing.assert_allclose(parameters, values, atol=1 / 254 + 1e-6)
    assert network.shipped_network() is network.shipped_network()


def test_a_damaged_network_is_told(monkeypatch):
    monkeypatch.setattr(network, "_SHA256", "0")
    network.shipped_network.cache_clear()
    with pytest.raises(fieldpack.FieldpackError, match="damaged"):
        network.shipped_network()
    network.shipped_network.cache_clear()
    with pytest.raises(fieldpack.FormatError):
        network.parse_network(b"FPFX")
    with pytest.raises(fieldpack.FormatError):
        network.parse_network(network.SIGNATURE + bytes([8, 8, 8, 8, 0]))


def test_parts_have_no_seams(monkeypatch):
    image = np.random.default_rng(2).random((100, 150, 3), np.float32)
    mask = random_mask(100, 150)
    whole = proposal.propose(image, mask, 2, 1)
    monkeypatch.setattr(parts, "CORE", 32)
    assert (proposal.propose(image, mask, 2, 1) == whole).all()


def test_views_lead_back():
    picture = np.random.default_rng(3).random((13, 22, 2), np.float32)
    seen = [views.see(picture, view) for view in range(32)]
    assert all(side % views.CELL == 0 for view in seen for side in view.shape[:2])
    assert len({view[:8, :8].tobytes() for view in seen}) == 32
    for number, view in enumerate(seen):
        assert (views.restore(view, number, (13, 22)) == picture).all()


# Pictures


def test_missing_pixels_are_rebuilt_and_known_ones_kept():
    samples = smooth_samples(64, 96)
    mask = random_mask(64, 96)
    damaged = np.where(mask[:, :, np.newaxis], samples, 77).astype(np.uint8)
    result = fieldpack.fill(damaged, mask, threads=1)
    assert result.dtype == np.uint8
    assert (result[mask] == samples[mask]).all()
    assert missing_psnr(result, samples, mask) > 40
    other = np.where(mask[:, :, np.newaxis], samples, 200).astype(np.uint8)
    assert (fieldpack.fill(other, mask, threads=3) == result).all()


def test_photographs_are_rebuilt_better_than_by_the_plate():
    with Image.open("examples/coffee.png") as image:
        samples = np.asarray(image.convert("RGB"))[:192, :256]
    mask = random_mask(*samples.shape[:2], 0.25)
    values = samples.astype(np.float32) / 255
    plate = 255 * np.clip(thin_plate(values, mask), 0, 1)
    result = fieldpack.fill(samples, mask, effort=1)
    assert missing_psnr(result, samples, mask) > missing_psnr(plate, samples, mask) + 0.2
    better = fieldpack.fill(samples, mask, effort=4)
    assert missing_psnr(better, samples, mask) > missing_psnr(result, samples, mask)


@pytest.mark.parametrize(
    ("channels", "dtype", "peak"),
    [(1, np.uint8, 255), (3, np.uint16, 65535), (4, np.uint8, 255), (2, np.float32, 3.0)],
)
def test_kinds_of_samples(channels, dtype, peak):
    if dtype == np.float32:
        samples = smooth_samples(33, 47, channels, 255, dtype) / 85 - 7
    else:
        samples = smooth_samples(33, 47, channels, peak, dtype)
    mask = random_mask(33, 47, 0.5)
    result = fieldpack.fill(samples, mask, effort=1, threads=1)
    expected = samples[:, :, 0] if channels == 1 else samples
    assert result.dtype == dtype
    assert (result[mask] == expected[mask]).all()
    assert missing_psnr(result.astype(float), expected.astype(float), mask, peak) > 30


def test_bilevel_pictures_stay_so():
    samples = smooth_samples(20, 20, 1)[:, :, 0] > 128
    result = fieldpack.fill(samples, random_mask(20, 20, 0.6), effort=1)
    assert result.dtype == np.bool_
    assert (result == samples).mean() > 0.9


@pytest.mark.parametrize("size", [(1, 2), (1, 30), (3, 2), (9, 17)])
def test_tiny_pictures(size):
    samples = np.full((*size, 3), 100, np.uint8)
    mask = np.zeros(size, bool)
    mask[0, 0] = True
    result = fieldpack.fill(samples, mask, effort=1)
    assert result.shape == samples.shape
    assert np.abs(result.astype(int) - 100).max() < 40
    field = fieldpack.fill_field(samples, mask, effort=1)
    assert fieldpack.decode(field).shape == samples.shape


def test_nothing_missing_returns_the_picture():
    samples = smooth_samples(9, 12)
    assert (fieldpack.fill(samples, np.ones((9, 12), bool)) == samples).all()
    one = np.array([[7]], np.uint8)
    assert (fieldpack.fill(one, np.array([[True]])) == one).all()


def test_alpha_is_the_mask_without_another():
    samples = smooth_samples(24, 32)
    mask = random_mask(24, 32, 0.5)
    rgba = np.dstack([samples, np.where(mask, 255, 0).astype(np.uint8)])
    by_alpha = fieldpack.fill(rgba, effort=1)
    assert by_alpha.shape == samples.shape
    assert (by_alpha == fieldpack.fill(samples, mask, effort=1)).all()
    assert fieldpack.fill(rgba, mask, effort=1).shape == rgba.shape


def test_a_field_is_what_refit_draws():
    samples = smooth_samples(40, 56)
    mask = random_mask(40, 56, 0.5)
    seen = []
    field = fieldpack.fill_field(samples, mask, effort=3, threads=1, callback=seen.append)
    drawn = fieldpack.fill(samples, mask, refit=True, effort=3, threads=2)
    assert (field.picture().samples == drawn).all()
    assert psnr(drawn, samples, 255) > 32
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_noise_is_estimated_and_removed():
    samples = smooth_samples(96, 128, 1)
    noisy = samples + np.random.default_rng(4).normal(0, 12, samples.shape)
    noisy = np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)
    everywhere = np.ones((96, 128), bool)
    sigma = 255 * estimate_noise(noisy.astype(np.float32) / 255, everywhere)
    assert sigma == pytest.approx(12, rel=0.1)
    for denoise in (12.0, "auto"):
        result = fieldpack.fill(noisy, denoise=denoise, effort=3)
        assert psnr(result, samples[:, :, 0], 255) > psnr(noisy, samples, 255) + 5


def test_noise_needs_neighbours():
    mask = np.zeros((40, 40), bool)
    mask[::2, ::2] = True
    with pytest.raises(RequestError, match="standard deviation"):
        fieldpack.fill(smooth_samples(40, 40), mask, denoise="auto")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": None}, "mask"),
        ({"mask": np.zeros((9, 12), bool)}, "no pixel is known"),
        ({"mask": np.ones((9, 11), bool)}, "11 x 9"),
        ({"mask": np.ones((9, 12), np.uint8)}, "bool"),
        ({"mask": np.ones((9, 12, 1), bool)}, "bool"),
        ({"effort": 0}, "effort"),
        ({"denoise": -1.0}, "standard deviation"),
        ({"denoise": float("nan")}, "standard deviation"),
        ({"denoise": 1e300}, "beyond the range"),
        ({"denoise": "much"}, "standard deviation"),
        ({"threads": -1}, "negative"),
    ],
)
def test_wrong_requests(arguments, message):
    with pytest.raises(RequestError, match=message):
        fieldpack.fill(smooth_samples(9, 12), **{"mask": random_mask(9, 12), **arguments})


# Scattered samples


def test_samples_between_the_pixels():
    random = np.random.default_rng(5)
    places = random.uniform(0, (79, 59), (2500, 2))

    def value(x, y):
        return 128 + 60 * np.sin(x / 5) + 50 * np.cos(y / 6 + x / 9)

    y, x = np.mgrid[:60, :80]
    picture = fieldpack.fill_samples(places, value(*places.T), (80, 60), effort=2)
    assert picture.shape == (60, 80)
    assert picture.dtype == np.float32
    nearest = fieldpack.fill_samples(np.rint(places), value(*places.T), (80, 60), effort=2)
    assert psnr(picture, value(x, y), 255) > psnr(nearest, value(x, y), 255) + 6


def test_samples_on_the_pixels_are_those_of_a_picture():
    samples = smooth_samples(20, 30)
    mask = random_mask(20, 30, 0.5)
    mask[19, 29] = True
    places = np.argwhere(mask)[:, ::-1]
    drawn = fieldpack.fill_samples(places, samples[mask], effort=1)
    assert (drawn == fieldpack.fill(samples, mask, effort=1)).all()


@pytest.mark.parametrize(
    ("coordinates", "values", "size", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0), None, "shape"),
        (np.zeros((3, 3)), np.zeros(3), None, "shape"),
        (np.zeros((3, 2)), np.zeros(2), None, "values of shape"),
        (np.zeros((3, 2)), np.zeros((3, 5)), None, "values of shape"),
        (np.full((3, 2), np.nan), np.zeros(3), None, "finite"),
        (np.zeros((3, 2)), np.full(3, np.inf), None, "finite"),
        (np.zeros((3, 2)), np.zeros(3, np.int64), None, "int64"),
        (np.full((1, 2), 1e300), np.zeros(1), None, "too far"),
        (np.full((1, 2), -1.0), np.zeros(1), None, "outside"),
        (np.full((1, 2), 7.0), np.zeros(1), (7, 8), "outside"),
        ([["a", "b"]], np.zeros(1), None, "not numbers"),
    ],
)
def test_wrong_samples(coordinates, values, size, message):
    with pytest.raises(SignalError, match=message):
        Samples.of(coordinates, values, size)


def test_too_large_a_picture_of_samples():
    with pytest.raises(RequestError, match="most"):
        Samples.of(np.zeros((1, 2)), np.zeros(1), (1 << 20, 1 << 20))


def test_files_of_samples(tmp_path):
    table = tmp_path / "samples.csv"
    table.write_text("x,y,value\n0,0,10\n\n2.5,1,300\n")
    samples = read_samples(table)
    assert samples.size == (3, 2)
    assert samples.values.tolist() == [[10], [300]]
    assert samples.bit_depth == 16
    table.write_text("0,0,0.5,-1\n")
    assert read_samples(table, (4, 4)).values.dtype == np.float32
    archive = tmp_path / "samples.npz"
    np.savez(archive, coordinates=samples.coordinates, values=samples.values)
    assert (read_samples(archive).coordinates == samples.coordinates).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "no samples"),
        ("a.csv", b"x,y,v\n1,2,3\n1,2\n", "line 3 has 2 numbers"),
        ("a.csv", b"1,2,3\n1,x,3\n", "line 2 holds what is not a number"),
        ("a.csv", b"1,2,nan\n", "not finite"),
        ("a.csv", b"\xff\xfe1,2\n", "cannot read"),
        ("a.csv", b"1,2\x00,3\n", "cannot read|not a number"),
        ("a.npz", b"PK\x03\x04 no archive", "cannot read"),
        ("a.npz", b"", "cannot read"),
    ],
)
def test_bad_files_of_samples(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SignalError, match=message) as caught:
        read_samples(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_archives_without_samples(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, coordinates=np.zeros((1, 2)))
    with pytest.raises(SignalError, match="no array values"):
        read_samples(path)
    np.savez(path, coordinates=np.zeros((1, 2)), values=np.array([object()]))
    with pytest.raises(SignalError, match="cannot read"):
        read_samples(path)


# The command


def test_the_command_fills_a_picture(tmp_path):
    samples = smooth_samples(40, 48)
    mask = random_mask(40, 48, 0.5)
    damaged, masked, out = tmp_path / "a.png", tmp_path / "m.png", tmp_path / "out.png"
    Image.fromarray(samples).save(damaged)
    Image.fromarray(mask.astype(np.uint8) * 255).save(masked)
    done = run_command(damaged, "--mask", masked, "-o", out, "--effort", 1, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["width"] == 48
    assert report["known"] == pytest.approx(mask.mean())
    assert report["denoise"] is None
    with Image.open(out) as image:
        assert (np.asarray(image) == fieldpack.fill(samples, mask, effort=1)).all()


def test_the_command_writes_fields(tmp_path):
    samples = smooth_samples(24, 32)
    rgba = np.dstack([samples, np.where(random_mask(24, 32, 0.5), 255, 0).astype(np.uint8)])
    damaged, out, drawn = tmp_path / "a.png", tmp_path / "out.fpk", tmp_path / "out.png"
    Image.fromarray(rgba).save(damaged)
    done = run_command(damaged, "-o", out, "--effort", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == out.stat().st_size
    done = run_command(damaged, "-o", drawn, "--effort", 1, "--refit")
    assert done.returncode == 0, done.stderr
    with Image.open(drawn) as image:
        assert (np.asarray(image) == fieldpack.decode(out)).all()


def test_the_command_draws_samples(tmp_path):
    table, out, field = tmp_path / "s.csv", tmp_path / "out.png", tmp_path / "out.fpk"
    lines = [f"{x},{y},{5 * x},{4 * y},90" for x in range(0, 20, 2) for y in range(0, 30, 2)]
    table.write_text("\n".join(lines))
    done = run_command("--samples", table, "--size", "20x30", "-o", out, "--effort", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["known"] == pytest.approx(0.25)
    with Image.open(out) as image:
        assert image.size == (20, 30)
        assert np.abs(np.asarray(image)[10, 10] - [50.0, 40.0, 90.0]).max() <= 3
    done = run_command("--samples", table, "-o", field, "--effort", 1)
    assert done.returncode == 0, done.stderr
    assert fieldpack.decode(field).shape == (29, 19, 3)


def test_the_command_tells_what_is_wrong(tmp_path, monkeypatch, capsys):
    picture, out = tmp_path / "a.png", tmp_path / "out.png"
    Image.fromarray(smooth_samples(8, 8)).save(picture)
    mask = tmp_path / "m.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(mask)
    for arguments, message in (
        ([picture, "-o", out], "mask"),
        ([picture, "--mask", mask, "-o", out], "no pixel is known"),
        ([picture, "--mask", mask], "-o"),
        (["-o", out], "either a picture or --samples"),
        ([picture, "--samples", mask, "-o", out], "either a picture or --samples"),
        (["--samples", tmp_path / "none.csv", "-o", out], "none.csv"),
        (["--samples", mask, "--mask", mask, "-o", out], "--mask goes with a picture"),
        ([picture, "--mask", tmp_path / "none.png", "-o", out], "none.png"),
        ([picture, "--mask", mask, "-o", out, "--denoise", "much"], "--denoise"),
        ([picture, "--mask", mask, "--size", "3x3", "-o", out], "--size"),
    ):
        monkeypatch.setattr(sys, "argv", ["fieldpack", "fill", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        errors = capsys.readouterr().err
        assert end.value.code == 1, (arguments, errors)
        assert errors.startswith("fieldpack: error: ")
        assert errors.count("\n") == 1
        assert message in errors
    assert not out.exists()
