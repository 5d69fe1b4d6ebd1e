"""Bytes at equal MS-SSIM on the Kodak pictures: encode --tune ms-ssim and psnr, and AVIF.

    python benchmarks/structure.py --data DIR [--effort 5] [--pictures kodim01 kodim02]

DIR holds kodak/. Every file is made in memory and decoded from its bytes. AVIF comes through Pillow
at 4:4:4 (which suits it better here than 4:2:0) and speed 4; its default tune is one for structure.
BD-rate: the mean difference of the bytes at equal MS-SSIM, -10 log10(1 - MS-SSIM) in dB,
in % of AVIF's, by picture. results/structure.json is written after every picture, and a later call
skips what it holds.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from typing import Any

import numpy as np
from environment import RESULTS, add_data_option, describe, kodak_picture, read_results
from PIL import Image

import fieldpack
from fieldpack.files import write_atomically
from fieldpack.metrics import bd_rate, ms_ssim, psnr

NAME = "structure"
PICTURES = [f"kodim{i:02d}" for i in range(1, 25)]
LAMBDAS = (0.0003, 0.001, 0.003, 0.01)
AVIF_QUALITIES = (15, 25, 40, 55, 65, 75, 85)
AVIF_SETTINGS = {"subsampling": "4:4:4", "speed": 4}

Samples = np.ndarray[Any, np.dtype[np.uint8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_data_option(parser)
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--pictures", nargs="+", default=PICTURES, metavar="kodimNN")
    options = parser.parse_args()
    path = RESULTS / f"{NAME}.json"
    runs: list[dict[str, Any]] = read_results(NAME)["runs"] if path.exists() else []
    done = {(run["picture"], run["effort"]) for run in runs}
    about = describe(("numpy", "pillow"))
    for picture in options.pictures:
        if (picture, options.effort) in done:
            continue
        with Image.open(kodak_picture(options.data, picture)) as image:
            samples = np.asarray(image.convert("RGB"))
        run = {"picture": picture, "effort": options.effort, "commit": about["commit"]}
        run |= measure(samples, options.effort)
        print(picture, {k: f"{v:+.1f} %" for k, v in run["bd_rate"].items()}, flush=True)
        runs.append(run)
        results = {**about, "summary": summarise(runs), "runs": runs}
        write_atomically(path, (json.dumps(results, indent=1) + "\n").encode())
    for row in summarise(runs):
        print(row)


def measure(samples: Samples, effort: int) -> dict[str, Any]:
    """Return (bytes, MS-SSIM in dB, PSNR) of each coder's files, and BD-rates against AVIF."""
    curves: dict[str, list[tuple[int, float, float]]] = {}
    seconds = {}
    for tune in ("ms-ssim", "psnr"):
        start = time.perf_counter()
        files = [
            fieldpack.encode(samples, tune=tune, lambda_=lambda_, effort=effort)
            for lambda_ in LAMBDAS
        ]
        seconds[tune] = round((time.perf_counter() - start) / len(LAMBDAS), 2)
        curves[tune] = [point(samples, data, fieldpack.decode(data)) for data in files]
    curves["avif"] = [avif(samples, quality) for quality in AVIF_QUALITIES]
    anchor_sizes, anchor_quality, _ = zip(*curves["avif"], strict=True)
    rates = {}
    for tune in seconds:
        sizes, quality, _ = zip(*curves[tune], strict=True)
        rates[tune] = bd_rate(sizes, quality, anchor_sizes, anchor_quality)
    return {"seconds": seconds, "bd_rate": rates, "curves": curves}


def point(samples: Samples, data: bytes, decoded: np.ndarray[Any, Any]) -> tuple[int, float, float]:
    """Return a file's bytes, MS-SSIM in dB and PSNR."""
    similarity = -10 * math.log10(1 - ms_ssim(samples, decoded, 255))
    return len(data), round(similarity, 4), round(psnr(samples, decoded, 255), 4)


def avif(samples: Samples, quality: int) -> tuple[int, float, float]:
    """Return the same of AVIF."""
    out = io.BytesIO()
    Image.fromarray(samples).save(out, "AVIF", quality=quality, **AVIF_SETTINGS)
    with Image.open(out) as image:
        return point(samples, out.getvalue(), np.asarray(image.convert("RGB")))


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean BD-rates and seconds a picture of each effort."""
    out = []
    for effort in sorted({run["effort"] for run in runs}):
        chosen = [run for run in runs if run["effort"] == effort]
        row: dict[str, Any] = {"effort": effort, "pictures": len(chosen)}
        for what in ("bd_rate", "seconds"):
            row[what] = {
                tune: round(float(np.mean([run[what][tune] for run in chosen])), 2)
                for tune in chosen[0][what]
            }
        out.append(row)
    return out


if __name__ == "__main__":
    main()
