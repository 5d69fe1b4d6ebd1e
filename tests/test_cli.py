"""The command line: results, exit codes, one line of error."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import network_bytes, smooth_samples
from PIL import Image

import fieldpack
from fieldpack import Colour, cli


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process; gives (exit code, stdout, stderr)."""

    def run_arguments(*arguments):
        monkeypatch.setattr(sys, "argv", ["fieldpack", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run_arguments


@pytest.fixture
def picture_file(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(smooth_samples(20, 30)).save(path)
    return path


def assert_one_line_of_error(result, *parts):
    code, out, err = result
    assert code == 1
    assert out == ""
    assert err.startswith("fieldpack: error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def mode_and_size(path):
    with Image.open(path) as image:
        return image.mode, image.size


def samples_of(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fit_decode_and_info(run, picture_file, tmp_path):
    pytest.importorskip("torch")
    target = tmp_path / "a.fpk"
    code, out, err = run(
        "fit", picture_file, "-o", target, "--steps", 30, "--batch", 200, "--json"
    )  # fmt: skip
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["bytes"] == target.stat().st_size
    assert report["bpp"] == pytest.approx(8 * report["bytes"] / 600)
    assert (report["width"], report["height"], report["channels"]) == (30, 20, 3)
    assert (report["bit_depth"], report["steps"], report["weights"]) == (8, 30, 187_405)

    drawn = tmp_path / "b.png"
    code, out, err = run("decode", target, "-o", drawn)
    assert (code, err) == (0, "")
    original = samples_of(picture_file)
    decoded = samples_of(drawn)
    error = np.mean(np.square(decoded - original))
    assert report["psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-6)

    code, out, _ = run("info", target, "--json")
    assert code == 0
    assert json.loads(out)["bytes"] == report["bytes"]
    code, out, _ = run("info", target)
    assert code == 0
    assert "30 x 20" in out
    assert files_in(tmp_path) == ["a.fpk", "b.png", "picture.png"]


def test_notebook_recipe_logs_and_draws(run, picture_file, tmp_path):
    pytest.importorskip("torch")
    code, out, err = run(
        "fit", picture_file, "--recipe", "notebook", "--steps", 20, "--batch", 50,
        "--snapshots", tmp_path / "shots", "--snapshot-every", 10,
    )  # fmt: skip
    assert code == 0
    assert [line.split()[:2] for line in err.splitlines()] == [["step", "10"], ["step", "20"]]
    assert "picture.fpk" in out
    assert files_in(tmp_path / "shots") == ["step_000010.png", "step_000020.png"]
    assert mode_and_size(tmp_path / "shots" / "step_000020.png") == ("RGB", (30, 20))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ([], (13, 7)),
        (["--scale", "2.5"], (32, 18)),
        (["--scale", "0.01"], (1, 1)),
        (["--resize", "40x9"], (40, 9)),
        (["--region", "1,2,5,4"], (5, 4)),
        (["--region", "1,2,5,4", "--scale", "2"], (10, 8)),
    ],
)
def test_decode_views(run, small_file, tmp_path, options, size):
    target = tmp_path / "out.png"
    code, out, err = run("decode", small_file, "-o", target, *options, "--json")
    assert (code, err) == (0, "")
    assert (json.loads(out)["width"], json.loads(out)["height"]) == size
    assert mode_and_size(target) == ("RGB", size)


@pytest.mark.parametrize(
    ("colour", "depth", "name", "mode"),
    [
        (Colour.GREY, 1, "a.png", "1"),
        (Colour.GREY, 16, "a.png", "I;16"),
        (Colour.RGBA, 8, "a.png", "RGBA"),
        (Colour.CMYK, 8, "a.tiff", "CMYK"),
        (Colour.GREY, 32, "a.tiff", "F"),
    ],
)
def test_decode_keeps_the_mode(run, tmp_path, colour, depth, name, mode):
    (tmp_path / "a.fpk").write_bytes(network_bytes(13, 7, colour, depth))
    code, _, err = run("decode", tmp_path / "a.fpk")
    assert (code, err) == (0, "")
    assert mode_and_size(tmp_path / name) == (mode, (13, 7))


def test_decode_does_not_overwrite_unless_told(run, picture_file, tmp_path):
    before = picture_file.read_bytes()
    file = tmp_path / "picture.fpk"
    file.write_bytes(network_bytes(13, 7))
    assert_one_line_of_error(run("decode", file), "exists", "-o")
    assert picture_file.read_bytes() == before
    assert run("decode", file, "-o", picture_file)[0] == 0
    assert picture_file.read_bytes() != before


def test_bad_inputs_of_fit(run, tmp_path, picture_file):
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    broken = tmp_path / "broken.jpg"
    Image.fromarray(smooth_samples(50, 50)).save(broken)
    broken.write_bytes(broken.read_bytes()[:500])
    before = files_in(tmp_path)
    for source in (tmp_path / "missing.png", tmp_path, text, broken):
        assert_one_line_of_error(run("fit", source, "--steps", 1), source.name)
    nowhere = tmp_path / "no" / "folder.fpk"
    assert_one_line_of_error(run("fit", picture_file, "-o", nowhere), "cannot write", "folder.fpk")
    assert_one_line_of_error(run("fit", picture_file, "-o", tmp_path), "cannot write")
    assert_one_line_of_error(
        run("fit", picture_file, "--snapshots", text, "--steps", 1), "cannot make the folder"
    )
    assert_one_line_of_error(run("fit", picture_file, "--seconds", "nan"))
    assert files_in(tmp_path) == before


def test_bad_inputs_of_decode(run, tmp_path, small_file):
    data = small_file.read_bytes()
    bad = tmp_path / "bad.fpk"
    for content in (b"", data[:3], data[:-1], data[:40], b"\x89PNG\r\n\x1a\n" + data):
        bad.write_bytes(content)
        assert_one_line_of_error(run("decode", bad), "bad.fpk")
        assert_one_line_of_error(run("info", bad), "bad.fpk")
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 4
    bad.write_bytes(flipped)
    assert_one_line_of_error(run("decode", bad), "damaged")
    assert_one_line_of_error(run("decode", tmp_path / "missing.fpk"), "missing.fpk")
    assert_one_line_of_error(run("decode", tmp_path), "directory")
    assert_one_line_of_error(run("decode", small_file, "-o", tmp_path / "a.xyz"), "a.xyz")
    assert_one_line_of_error(run("decode", small_file, "--scale", "-1"), "scale")
    assert_one_line_of_error(run("decode", small_file, "--region", "0,0,99,1"), "region")
    assert files_in(tmp_path) == ["bad.fpk", "small.fpk"]


def test_unknown_instruction_set_is_one_line(run, small_file, monkeypatch):
    monkeypatch.setenv("FIELDPACK_ISA", "quantum")
    assert_one_line_of_error(run("decode", small_file), "quantum")
    assert_one_line_of_error(run("encode", small_file), "quantum")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit"],
        ["fit", "a.png", "--steps", "0"],
        ["fit", "a.png", "--bits", "1"],
        ["fit", "a.png", "--network", "oracle"],
        ["decode", "a.fpk", "--resize", "10"],
        ["decode", "a.fpk", "--region", "1,2,3"],
        ["frobnicate"],
    ],
)
def test_usage_errors_exit_with_2(run, arguments):
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err


def test_version_and_help(run):
    assert run("--version")[1].startswith("fieldpack ")
    assert "decode" in run("--help")[1]


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line(run, tmp_path):
    pytest.importorskip("torch")
    frames = [Image.fromarray(smooth_samples(6, 5, 3, peak)) for peak in (100, 200)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    code, _, err = run("fit", tmp_path / "two.gif", "--steps", 1, "--batch", 4, "--json")
    assert code == 0
    assert err.startswith("fieldpack: warning: ")
    assert err.count("\n") == 1


def test_ctrl_c_stops_training_and_writes_the_file(picture_file, tmp_path):
    pytest.importorskip("torch")
    shots = tmp_path / "shots"
    target = tmp_path / "a.fpk"
    process = subprocess.Popen(
        [sys.executable, "-m", "fieldpack", "fit", picture_file, "-o", target, "--batch", "50",
         "--seconds", "300", "--snapshots", shots, "--snapshot-every", "5", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while not (shots.exists() and os.listdir(shots)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b""
    assert json.loads(out)["stopped"] == "interrupt"
    assert json.loads(out)["bytes"] == target.stat().st_size


def test_no_torch_is_needed_to_decode(small_file):
    code = (
        "import sys; sys.modules['torch'] = None; import fieldpack;"
        f"print(fieldpack.decode({str(small_file)!r}).shape);"
        "sys.exit('torch' in (m for m in sys.modules if sys.modules[m] is not None))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(7, 13, 3)\n", "")


def test_what_decoding_does_not_need_is_not_loaded(small_file, tmp_path):
    code = (
        "import sys; from fieldpack.cli import main\n"
        f"sys.argv[1:] = ['decode', {str(small_file)!r}, '-o', {str(tmp_path / 'picture.png')!r}]\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    loaded = set(done.stderr.split())
    assert "fieldpack.codec.evaluation" in loaded
    slow = {"fieldpack.encoding", "fieldpack.filling", "fieldpack.fitting", "rich", "pydantic"}
    assert not slow & loaded
    assert "PIL.PdfImagePlugin" not in loaded


def test_names_that_are_loaded_later():
    assert set(fieldpack.__all__) <= set(dir(fieldpack))
    for name in fieldpack.__all__:
        assert callable(getattr(fieldpack, name))
    with pytest.raises(AttributeError, match="nothing"):
        fieldpack.nothing  # noqa: B018
