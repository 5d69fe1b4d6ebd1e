"""Decoding at other sizes: Kodak pictures drawn at twice and at half the size of what was coded.

    python benchmarks/scaling.py --data DIR [--pictures kodim01 kodim05]

Twice: the picture is reduced to half by averaging 2 x 2 pixels, coded nearly without loss, decoded
at scale 2 and compared with the original; bicubic and Lanczos interpolation (Pillow) of the same
reduced picture beside it. Half: the original is coded nearly without loss, decoded at scale 0.5 and
compared with its averages of 2 x 2 pixels; beside it, the averages of the decoded picture. At scale
1, a decoded picture must equal one decoded without a scale. PSNR of 8-bit RGB samples. Results go
to results/scaling.json after every picture; a later call goes on.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from environment import (
    RESULTS,
    add_data_option,
    describe,
    kodak_picture,
    read_results,
    write_results,
)
from PIL import Image

import fieldpack
from fieldpack.metrics import psnr

NAME = "scaling"
LAMBDA = 2e-5
PICTURES = [f"kodim{i:02d}" for i in range(1, 25)]

Samples = np.ndarray[Any, np.dtype[np.uint8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_data_option(parser)
    parser.add_argument("--pictures", nargs="+", default=PICTURES, metavar="kodimNN")
    parser.add_argument("--effort", type=int, default=5)
    options = parser.parse_args()
    runs: dict[str, Any] = {}
    if (RESULTS / f"{NAME}.json").exists():
        runs = read_results(NAME)["runs"]
    for name in options.pictures:
        if name not in runs:
            with Image.open(kodak_picture(options.data, name)) as image:
                runs[name] = measure(np.asarray(image.convert("RGB")), options.effort)
            print(name, runs[name], flush=True)
        keys = list(runs[name])
        means = {k: round(float(np.mean([run[k] for run in runs.values()])), 3) for k in keys}
        about = describe(("numpy", "pillow")) | {"effort": options.effort, "lambda": LAMBDA}
        write_results(NAME, {**about, "pictures": len(runs), "mean": means, "runs": runs})
    print("mean", means)


def measure(original: Samples, effort: int) -> dict[str, float]:
    """Return PSNRs of one picture of even height and width."""
    small = halved(original)
    coded = fieldpack.encode(small, lambda_=LAMBDA, effort=effort)
    plain = decoded(coded)
    if not (decoded(coded, scale=1.0) == plain).all():
        sys.exit("decoding at scale 1 differs from decoding")
    picture = Image.fromarray(small)
    size = (original.shape[1], original.shape[0])
    rows = {
        "small_psnr": psnr(plain, small, 255),
        "small_bpp": 8 * len(coded) / (small.shape[0] * small.shape[1]),
        "twice": psnr(decoded(coded, scale=2.0), original, 255),
        "bicubic": psnr(np.asarray(picture.resize(size, Image.Resampling.BICUBIC)), original, 255),
        "lanczos": psnr(np.asarray(picture.resize(size, Image.Resampling.LANCZOS)), original, 255),
    }
    coded = fieldpack.encode(original, lambda_=LAMBDA, effort=min(effort, 3))
    rows["half"] = psnr(decoded(coded, scale=0.5), small, 255)
    rows["half_of_decoded"] = psnr(halved(decoded(coded)), small, 255)
    return {key: round(value, 3) for key, value in rows.items()}


def halved(samples: Samples) -> Samples:
    """Return means of 2 x 2 pixels, rounded."""
    h, w, c = samples.shape
    means = samples.reshape(h // 2, 2, w // 2, 2, c).mean((1, 3))
    return np.asarray(np.rint(means), np.uint8)


def decoded(data: bytes, scale: float | None = None) -> Samples:
    return np.asarray(fieldpack.decode(data, scale=scale), np.uint8)


if __name__ == "__main__":
    main()
