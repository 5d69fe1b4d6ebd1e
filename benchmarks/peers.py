"""Bytes at equal PSNR against AVIF, WebP and JPEG: small pictures, screenshots, other photographs.

    python benchmarks/peers.py --data DIR --sets 64 128 256 [--effort 5] [--pictures 12]
    python benchmarks/peers.py --data DIR --sets screenshots photographs --effort 7

DIR holds kodak/ and, for the last two sets, train/ with MANIFEST.tsv. The sets:

- 64, 128, 256, 384: one crop of so many pixels a side from the middle of each Kodak picture;
- thumbnails: the Kodak pictures reduced to 128 pixels along the longer side;
- photographs: of the training pictures' sources, those that the prior never saw, 384 x 384 crops;
- screenshots: which the prior never saw either, 384 x 384 crops.

Every file is made in memory by the library and decoded from its bytes. The peers come through
Pillow at 4:4:4 (WebP cannot) and their slowest settings, without any metadata; AVIF is tuned for
PSNR, which its default is not. BD-rate: the mean difference of the bytes at equal PSNR, in % of the
peer's, by picture. results/peers.json is written after every picture, and a later call skips what
it holds. With --workers, several pictures are measured at once: their bytes are the same, but
fieldpack_seconds would say nothing and are null.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, add_data_option, describe, kodak_picture, read_results
from PIL import Image

import fieldpack
from fieldpack.files import write_atomically
from fieldpack.metrics import bd_rate, psnr

NAME = "peers"
LAMBDAS = (0.0002, 0.0006, 0.002, 0.006)
CROP = 384
KODAK_SETS = ("64", "128", "256", "384", "thumbnails")
PEERS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "avif": (
        "AVIF",
        (1, 10, 20, 35, 50, 60, 70, 80, 90),
        {"subsampling": "4:4:4", "speed": 0, "advanced": {"tune": "psnr"}},
    ),
    "webp": ("WEBP", (1, 10, 30, 50, 70, 80, 90, 97), {"method": 6}),
    "jpeg": (
        "JPEG",
        (5, 10, 20, 40, 60, 75, 85, 92, 97),
        {"subsampling": 0, "optimize": True, "progressive": True},
    ),
}

Samples = np.ndarray[Any, np.dtype[np.uint8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_data_option(parser)
    choices = (*KODAK_SETS, "photographs", "screenshots")
    parser.add_argument("--sets", nargs="+", choices=choices, default=["64", "128", "256"])
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=12, help="at most so many of each set")
    parser.add_argument(
        "--workers", type=int, default=1, help="so many pictures at once, none of them timed"
    )
    options = parser.parse_args()
    path = RESULTS / f"{NAME}.json"
    runs: list[dict[str, Any]] = read_results(NAME)["runs"] if path.exists() else []
    done = {(run["set"], run["picture"], run["effort"]) for run in runs}
    about = describe(("numpy", "pillow"))
    waiting = [
        (name, picture, samples)
        for name in options.sets
        for picture, samples in pictures(name, options.data, options.pictures)
        if (name, picture, options.effort) not in done
    ]
    for (name, picture), measured in measured_all(waiting, options.effort, options.workers):
        run = {"set": name, "picture": picture, "effort": options.effort}
        run |= {"commit": about["commit"], **measured}
        print(name, picture, {k: f"{v:+.1f} %" for k, v in run["bd_rate"].items()}, flush=True)
        runs.append(run)
        results = {**about, "summary": summarise(runs), "runs": runs}
        write_atomically(path, (json.dumps(results, indent=1) + "\n").encode())
    for row in summarise(runs):
        print(row)


def pictures(name: str, data: Path | None, most: int) -> Iterator[tuple[str, Samples]]:
    """Yield the names and samples (H, W, 3) of a set."""
    if name in KODAK_SETS:
        step = 24 // min(most, 24)
        for number in range(1, 25, step):
            with Image.open(kodak_picture(data, f"kodim{number:02d}")) as image:
                picture = image.convert("RGB")
            if name == "thumbnails":
                picture.thumbnail((128, 128), Image.Resampling.LANCZOS)
                samples = np.asarray(picture)
            else:
                samples = middle(np.asarray(picture), int(name))
            yield f"kodim{number:02d}", samples
        return
    if data is None:
        sys.exit("say where the pictures are: --data DIR or FIELDPACK_DATA=DIR, with DIR/train/")
    folder = Path(data) / "train"
    # Programs of the repository, not of the package.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from prior.train import kept_files, manifest  # noqa: PLC0415

    files = kept_files(folder)
    if name == "screenshots":
        files = [
            folder / row["file"] for row in manifest(folder) if row["category"] == "screenshot"
        ]
    for path in files[:: max(len(files) // most, 1)][:most]:
        with Image.open(path) as image:
            yield path.name, middle(np.asarray(image.convert("RGB")), CROP)


def middle(samples: Samples, size: int) -> Samples:
    """Return the middle of a picture, at most `size` pixels along a side."""
    top, left = (max(n - size, 0) // 2 for n in samples.shape[:2])
    return np.ascontiguousarray(samples[top : top + size, left : left + size])


def measured_all(
    waiting: list[tuple[str, str, Samples]], effort: int, workers: int
) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """Yield the set and name of each picture and what `measure` says of it."""
    if workers == 1:
        for name, picture, samples in waiting:
            yield (name, picture), measure(samples, effort)
        return
    with ProcessPoolExecutor(workers) as executor:
        jobs = {
            executor.submit(measure, samples, effort, threads=1): (name, picture)
            for name, picture, samples in waiting
        }
        for job in as_completed(jobs):
            yield jobs[job], {**job.result(), "fieldpack_seconds": None}


def measure(samples: Samples, effort: int, threads: int = 0) -> dict[str, Any]:
    """Return the (bytes, PSNR) of each codec, and fieldpack's BD-rate against each other."""
    start = time.perf_counter()
    curves = {
        "fieldpack": curve(samples, LAMBDAS, lambda v: _fieldpack(samples, v, effort, threads))
    }
    seconds = (time.perf_counter() - start) / len(LAMBDAS)
    for name, (form, qualities, settings) in PEERS.items():
        curves[name] = curve(samples, qualities, lambda q: _pillow(samples, form, q, settings))  # noqa: B023
    rates = {}
    for name in PEERS:
        try:
            rates[name] = bd_rate(
                *zip(*curves["fieldpack"], strict=True), *zip(*curves[name], strict=True)
            )
        except ValueError as error:
            print(f"no BD-rate against {name}: {error}", file=sys.stderr)
    return {
        "size": list(samples.shape[:2]),
        "fieldpack_seconds": round(seconds, 2),
        "bd_rate": rates,
        "curves": curves,
    }


def curve(
    samples: Samples, settings: tuple[Any, ...], code: Callable[[Any], tuple[bytes, Samples]]
) -> list[tuple[int, float]]:
    """Return the bytes and PSNR of each setting; of several with the same PSNR, the smallest."""
    best: dict[float, int] = {}
    for setting in settings:
        data, decoded = code(setting)
        quality = psnr(samples, decoded, 255)
        if np.isfinite(quality):
            best[quality] = min(len(data), best.get(quality, len(data)))
    return [(size, quality) for quality, size in sorted(best.items())]


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean BD-rates of each set and effort."""
    out = []
    for name, effort in sorted({(run["set"], run["effort"]) for run in runs}):
        chosen = [run for run in runs if (run["set"], run["effort"]) == (name, effort)]
        row: dict[str, Any] = {"set": name, "effort": effort, "pictures": len(chosen)}
        for peer in PEERS:
            rates = [run["bd_rate"][peer] for run in chosen if peer in run["bd_rate"]]
            row[peer] = round(float(np.mean(rates)), 1) if rates else None
        out.append(row)
    return out


def _fieldpack(
    samples: Samples, lambda_: float, effort: int, threads: int
) -> tuple[bytes, Samples]:
    data = fieldpack.encode(samples, lambda_=lambda_, effort=effort, threads=threads)
    return data, np.asarray(fieldpack.decode(data), np.uint8)


def _pillow(
    samples: Samples, form: str, quality: int, settings: dict[str, Any]
) -> tuple[bytes, Samples]:
    out = io.BytesIO()
    Image.fromarray(samples).save(out, form, quality=quality, **settings)
    with Image.open(out) as image:
        return out.getvalue(), np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    main()
