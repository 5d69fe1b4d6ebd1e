"""Time of decoding, with AVIF at about the same bits a pixel beside it.

    python benchmarks/decoding.py FILE.fpk ...       files as they are
    python benchmarks/decoding.py --data DIR         a Kodak picture, encoded first

Inside the process: entropy decoding (`latents`), drawing the pixels from the latents
(`synthesis`), all of it from the file's bytes to 8-bit samples (`together`), and the same of an
AVIF file through Pillow (`avif`), in turn, so that all meet the same machine. Each instruction set
and number of threads has a process of its own. The pixels of all must be equal. The whole command
writes a PNG file, for AVIF `python -c` with Pillow does. Writes results/decoding.json.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from environment import add_data_option, describe, kodak_picture, write_results
from PIL import AvifImagePlugin, Image

import fieldpack
from fieldpack import _engine
from fieldpack.codec.model import engine_model
from fieldpack.codec.payload import read_pyramid
from fieldpack.container import unpack
from fieldpack.cores import usable_cores
from fieldpack.metrics import psnr

INSTRUCTION_SETS = ("avx512", "avx2", "baseline")
AVIF_SPEED = 4
AVIF_COMMAND = "import sys; from PIL import Image; Image.open(sys.argv[1]).save(sys.argv[2])"
PEAK_COMMAND = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""

Times = dict[str, float]  # milliseconds: minimum and median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.fpk")
    add_data_option(parser)
    parser.add_argument("--picture", default="kodim11", help="what to encode without FILE.fpk")
    parser.add_argument("--effort", type=int, default=3)
    parser.add_argument("--lambda", dest="lambda_", type=float, default=0.001)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=usable_cores(), help="the larger count")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        file, avif = options.files
        print(json.dumps(time_inside(file, avif, options.threads, options.runs)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files: list[tuple[Path, Path | None]] = [(file, None) for file in options.files]
        if not files:
            original = kodak_picture(options.data, options.picture)
            file = folder / f"{options.picture}.fpk"
            file.write_bytes(
                fieldpack.encode(original, effort=options.effort, lambda_=options.lambda_)
            )
            files = [(file, original)]
        measured = [measure(*pair, folder, options.threads, options.runs) for pair in files]
    results = {
        **describe(("numpy", "pillow")),
        "runs": options.runs,
        "unit": "milliseconds",
        "effort": None if options.files else options.effort,
        "lambda": None if options.files else options.lambda_,
        "files": measured,
    }
    print(f"wrote {write_results('decoding', results)}")


def measure(
    file: Path, original: Path | None, folder: Path, threads: int, runs: int
) -> dict[str, Any]:
    """Measure one file in all configurations."""
    field = fieldpack.open(file)
    info = field.info
    if info["field"] != "pyramid" or info["bit_depth"] != 8 or info["channels"] != 3:
        sys.exit(f"{file} is not an 8-bit RGB picture of the pyramid codec")
    decoded = field.picture().samples
    # Without the original, AVIF compresses what the file holds.
    picture = Image.open(original).convert("RGB") if original else Image.fromarray(decoded)
    avif = folder / f"{file.stem}.avif"
    quality = write_avif(picture, avif, info["bytes"])
    result: dict[str, Any] = {
        "file": file.name,
        "size": [info["width"], info["height"]],
        "bytes": info["bytes"],
        "bpp": info["bpp"],
        "model": {key: info["pyramid"][key] for key in ("synthesis", "convolutions", "context")},
        "avif_bytes": avif.stat().st_size,
        "avif_bpp": info["bpp"] * avif.stat().st_size / info["bytes"],
        "avif_quality": quality,
        "avif_speed": AVIF_SPEED,
    }
    if original:
        samples = np.asarray(picture)
        result["psnr"] = psnr(samples, decoded, 255)
        result["avif_psnr"] = psnr(samples, np.asarray(Image.open(avif)), 255)
    print(
        f"{file.name}: {info['bpp']:.3f} bpp; AVIF quality {quality}: {result['avif_bpp']:.3f} bpp"
    )
    result["inside"] = []
    for isa in INSTRUCTION_SETS:
        for count in dict.fromkeys((1, threads)):
            row = in_child(file, avif, isa, count, runs)
            if row is not None:
                print_times(f"{row['instruction_set']}, {count} threads", row["times"])
                result["inside"].append(row)
    if len({row["pixels"] for row in result["inside"]}) != 1:
        sys.exit("the instruction sets and numbers of threads do not draw the same pixels")
    result["commands"], result["peak_megabytes"] = time_commands(file, avif, folder, threads, runs)
    print_times("commands", result["commands"])
    peaks = ", ".join(f"{name} {peak:.0f} MB" for name, peak in result["peak_megabytes"].items())
    print(f"  peak memory: {peaks}")
    return result


def write_avif(picture: Image.Image, path: Path, size: int) -> int:
    """Write the 4:4:4 AVIF file whose size is nearest to `size`; return its quality."""
    coded: dict[int, bytes] = {}

    def encode(quality: int) -> int:
        buffer = io.BytesIO()
        picture.save(buffer, "AVIF", quality=quality, subsampling="4:4:4", speed=AVIF_SPEED)
        coded[quality] = buffer.getvalue()
        return len(coded[quality])

    low, high = 0, 100
    while low < high:
        middle = (low + high) // 2
        if encode(middle) < size:
            low = middle + 1
        else:
            high = middle
    if low not in coded:
        encode(low)
    best = min(coded, key=lambda quality: abs(len(coded[quality]) - size))
    path.write_bytes(coded[best])
    return best


def time_inside(file: Path, avif: Path, threads: int, runs: int) -> dict[str, Any]:
    """Time the parts of decoding in this process."""
    try:
        isa = _engine.instruction_set()
    except ValueError as error:
        return {"error": str(error)}
    data, avif_data = file.read_bytes(), avif.read_bytes()
    info = fieldpack.open(data).info
    height, width = info["height"], info["width"]
    payload = next(section.payload for section in unpack(data) if section.name == "P")
    pyramid = read_pyramid(payload, info["channels"], height, width)
    assert pyramid.shape is not None
    model, parameters = engine_model(pyramid.shape), pyramid.parameters
    stream = payload[pyramid.network_bytes :]
    empty = [not grid.any() for grid in pyramid.latents]
    AvifImagePlugin.DEFAULT_MAX_THREADS = threads

    def draw() -> bytes:
        return fieldpack.open(data, threads=threads).picture().samples.tobytes()

    tasks: dict[str, Callable[[], object]] = {
        "latents": lambda: _engine.decode_latents(model, parameters, height, width, stream, empty),
        "synthesis": lambda: _engine.synthesise(
            model, parameters, height, width, pyramid.latents, (0, height, 0, width), threads
        ),
        "together": lambda: fieldpack.open(data, threads=threads).picture(),
        "avif": lambda: np.asarray(Image.open(io.BytesIO(avif_data)).convert("RGB")),
    }
    return {
        "instruction_set": isa,
        "threads": threads,
        "pixels": hashlib.sha256(draw()).hexdigest()[:16],
        "times": _time_in_turn(tasks, runs),
    }


def in_child(file: Path, avif: Path, isa: str, threads: int, runs: int) -> dict[str, Any] | None:
    """Return `time_inside` of a new process, or None if the machine lacks the instruction set."""
    command = [sys.executable, __file__, "--child", str(file), str(avif)]
    command += ["--threads", str(threads), "--runs", str(runs)]
    environment = {**os.environ, "FIELDPACK_ISA": isa}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    row: dict[str, Any] = json.loads(done.stdout)
    if "error" in row:
        print(f"  {isa}: {row['error']}")
        return None
    return row


def time_commands(
    file: Path, avif: Path, folder: Path, threads: int, runs: int
) -> tuple[dict[str, Times], dict[str, float]]:
    """Return times of whole commands, and the most memory that each took."""
    fpk = [sys.executable, "-m", "fieldpack"]
    target = str(folder / "decoded.png")
    commands = {
        "decode": [*fpk, "decode", str(file), "-o", target, "--threads", str(threads)],
        "decode, 1 thread": [*fpk, "decode", str(file), "-o", target, "--threads", "1"],
        "start (--version)": [*fpk, "--version"],
        "avif": [sys.executable, "-c", AVIF_COMMAND, str(avif), target],
    }

    def task(command: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    times = _time_in_turn({name: task(command) for name, command in commands.items()}, runs)
    return times, {name: peak_megabytes(command) for name, command in commands.items()}


def peak_megabytes(command: list[str]) -> float:
    """Run a command; return the most memory that it had, in 10^6 bytes."""
    # A new process starts with the peak of the one that starts it, so a small one has to.
    launcher = [sys.executable, "-c", PEAK_COMMAND, *command]
    done = subprocess.run(launcher, check=True, stdout=subprocess.PIPE)
    # Linux counts in KiB, macOS in bytes.
    return round(int(done.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def print_times(title: str, times: dict[str, Times]) -> None:
    columns = "  ".join(
        f"{name} {time['minimum']:.1f} ({time['median']:.1f})" for name, time in times.items()
    )
    print(f"  {title}: {columns} ms", flush=True)


def _time_in_turn(tasks: dict[str, Callable[[], object]], runs: int) -> dict[str, Times]:
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for run in range(runs + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            # The first run only warms up.
            if run:
                seconds[name].append(time.perf_counter() - start)
    return {
        name: {
            "minimum": round(1e3 * min(values), 3),
            "median": round(1e3 * statistics.median(values), 3),
        }
        for name, values in seconds.items()
    }


if __name__ == "__main__":
    main()
