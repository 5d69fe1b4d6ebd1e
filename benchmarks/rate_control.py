"""How well files meet a size, bits a pixel or a PSNR, and what that takes.

    python benchmarks/rate_control.py --data DIR [--efforts 1 3] [--pictures kodim01 kodim02]

Every file is written by the command `fieldpack encode` and read back; sizes are those of the file,
PSNR that of the decoded 8-bit RGB samples. Times are those of the whole command, as ratios to the
same command with the lambda that the goal led to. The loss is what the goal costs against that: how
much larger the file is, of the same quality (to the first order, as lambda is the slope there).
results/rate_control.json is written after every picture, and a later call skips what it holds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, add_data_option, describe, kodak_picture, read_results
from numpy.typing import NDArray
from PIL import Image

import fieldpack
from fieldpack.metrics import psnr

NAME = "rate_control"
PICTURES = [f"kodim{i:02d}" for i in range(1, 25)]
GOALS = {
    "size": (300, 1_000, 3_000, 10_000, 25_000, 60_000),
    "bpp": (0.2, 0.5, 1.0),
    "psnr": (28.0, 32.0, 36.0),
}

Run = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_data_option(parser)
    parser.add_argument("--efforts", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--pictures", nargs="+", default=PICTURES, metavar="kodimNN")
    options = parser.parse_args()
    runs: list[Run] = []
    if (RESULTS / f"{NAME}.json").exists():
        runs = read_results(NAME)["runs"]
    done = {_key(run) for run in runs}
    about = describe(("numpy", "pillow"))
    for effort in options.efforts:
        for name in options.pictures:
            path = kodak_picture(options.data, name)
            for kind, targets in GOALS.items():
                for target in targets:
                    run = {"effort": effort, "picture": name, "goal": kind, "target": target}
                    if _key(run) in done:
                        continue
                    run |= measure(path, effort, kind, target) | {"commit": about["commit"]}
                    runs.append(run)
                    print(json.dumps(run), flush=True)
            save(runs, about)
    for row in summarise(runs):
        print(json.dumps(row))


def measure(path: Path, effort: int, kind: str, target: float) -> Run:
    """Encode to a goal, decode, and encode with the lambda found."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.fpk"
        with Image.open(path) as image:
            original = np.asarray(image.convert("RGB"))
        seconds, report = _encode(path, file, effort, f"--{kind}", target)
        bits, quality = _bits_and_psnr(original, file)
        value = {"size": float(file.stat().st_size), "bpp": bits, "psnr": quality}[kind]
        plain, _ = _encode(path, file, effort, "--lambda", report["lambda"])
        plain_bits, plain_quality = _bits_and_psnr(original, file)
    error = 10 ** (-quality / 10) - 10 ** (-plain_quality / 10)
    return {
        "value": value,
        "met": is_met(kind, target, value),
        "warning": report["warning"],
        "lambda": report["lambda"],
        "loss_percent": round(100 * (bits - plain_bits + error / report["lambda"]) / plain_bits, 3),
        "seconds": round(seconds, 3),
        "plain_seconds": round(plain, 3),
    }


def _bits_and_psnr(original: NDArray[np.uint8], file: Path) -> tuple[float, float]:
    bits = 8 * file.stat().st_size / (original.shape[0] * original.shape[1])
    return bits, psnr(original, fieldpack.decode(file), 255)


def is_met(kind: str, target: float, value: float) -> bool:
    """Whether a value is what the documentation promises."""
    if kind == "size":
        return 0.96 * target <= value <= target
    if kind == "bpp":
        return abs(value / target - 1) <= 0.02
    return target <= value <= target + 0.05


def summarise(runs: list[Run]) -> list[Run]:
    """Return a row for each effort and goal."""
    rows = []
    for effort, kind, target in sorted({(r["effort"], r["goal"], r["target"]) for r in runs}):
        chosen = [
            r for r in runs if (r["effort"], r["goal"], r["target"]) == (effort, kind, target)
        ]
        values = [run["value"] for run in chosen]
        rows.append(
            {
                "effort": effort,
                "goal": kind,
                "target": target,
                "pictures": len(chosen),
                "met": sum(run["met"] for run in chosen),
                "missed_with_a_warning": sum(
                    not run["met"] and run["warning"] is not None for run in chosen
                ),
                "least": min(values),
                "most": max(values),
                "loss_percent": float(np.mean([run["loss_percent"] for run in chosen])),
                "mean_seconds": float(np.mean([run["seconds"] for run in chosen])),
                "time_ratio": sum(run["seconds"] for run in chosen)
                / sum(run["plain_seconds"] for run in chosen),
            }
        )
    return rows


def save(runs: list[Run], about: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    results = {**about, "summary": summarise(runs), "runs": sorted(runs, key=_key)}
    (RESULTS / f"{NAME}.json").write_text(json.dumps(results, indent=1) + "\n")


def _encode(path: Path, file: Path, effort: int, *goal: object) -> tuple[float, Run]:
    command = [sys.executable, "-m", "fieldpack", "encode", str(path), "-o", str(file)]
    command += ["--effort", str(effort), *map(str, goal), "--json"]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    seconds = time.perf_counter() - start
    report: Run = json.loads(done.stdout)
    return seconds, report


def _key(run: Run) -> tuple[int, str, str, float]:
    return run["effort"], run["picture"], run["goal"], run["target"]


if __name__ == "__main__":
    main()
