"""Values between the samples: every other pixel of every other row is known, the rest is not.

    python benchmarks/interpolation.py --data DIR [--methods siren,fourier] [--pictures 4]
    python benchmarks/interpolation.py --plot-only

The protocol of Tancik et al. 2020 (https://arxiv.org/abs/2006.10739), table 1: of pictures of
512 x 512 pixels, `[::2, ::2]` is known and `[1::2, 1::2]` compared; the figure of a set is the mean
of the PSNR of its pictures. DIR contains interpolation/natural/ and interpolation/text/ with 16
pictures each (00.png to 15.png). Results are written to results/interpolation.json after each
picture, and runs that are there with the same settings are not repeated.

`--side 256` takes the centre of each picture only: far quicker, and not the published protocol; its
results are in files of their own.

To add a method, add a function of the known picture to METHODS.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import RESULTS, add_data_option, describe, read_results, write_results
from numpy.typing import NDArray
from PIL import Image

import fieldpack
from fieldpack import networks

ROOT = Path(__file__).parents[1]
SETS = ("natural", "text")
SIDE = 512

Image64 = NDArray[np.float64]


@dataclass
class Settings:
    """What networks are trained with; other methods use `side` alone."""

    side: int = SIDE
    steps: int = 2000
    batch: int = 2500
    seed: int = 0
    device: str = "cpu"
    threads: int = 1


SETTINGS = Settings()


def results_name() -> str:
    """Name of the file of results: parts of pictures have one of their own."""
    return "interpolation" if SETTINGS.side == SIDE else f"interpolation-{SETTINGS.side}"


def nearest(known: Image64) -> Image64:
    """Repeat each sample to its right and below."""
    return known.repeat(2, axis=0).repeat(2, axis=1)


def bilinear(known: Image64) -> Image64:
    """Interpolate linearly along rows and columns."""
    return _spline(known, 1)


def cubic_spline(known: Image64) -> Image64:
    """Interpolate by cubic splines."""
    return _spline(known, 3)


def fill(known: Image64) -> Image64:
    """Fill the pixels between by fieldpack.fill, as the 8-bit picture that it is."""
    picture = np.zeros((2 * known.shape[0], 2 * known.shape[1], known.shape[2]), np.uint8)
    picture[::2, ::2] = np.rint(255 * known)
    mask = np.zeros(picture.shape[:2], bool)
    mask[::2, ::2] = True
    return np.asarray(fieldpack.fill(picture, mask, threads=SETTINGS.threads), np.float64) / 255


def _spline(known: Image64, order: int) -> Image64:
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - only these methods need it

    places = np.arange(2 * len(known)) / 2
    rows, columns = np.meshgrid(places, places, indexing="ij")
    channels = [
        map_coordinates(channel, [rows, columns], order=order, mode="nearest")
        for channel in np.moveaxis(known, -1, 0)
    ]
    return np.stack(channels, axis=-1)


def network(name: str, **settings: networks.catalogue.Setting) -> Callable[[Image64], Image64]:
    """Return the method that trains a network, with the settings that suit the known samples."""

    def fill(known: Image64) -> Image64:
        height, width, channels = known.shape
        samples = networks.GridSamples(known)
        if name == "auto":
            choice, _ = networks.choose(
                samples, (width, height), steps=SETTINGS.steps, device=SETTINGS.device
            )
        else:
            choice = networks.suited(name, samples, (width, height)).with_settings(settings)
        module = choice.build((width, height), channels, SETTINGS.seed)
        networks.train(
            module,
            samples,
            choice.recipe,
            steps=SETTINGS.steps,
            batch=SETTINGS.batch,
            seed=SETTINGS.seed,
            device=SETTINGS.device,
        )
        return _at_all_pixels(module, known.shape[:2])

    return fill


@torch.no_grad()
def _at_all_pixels(module: networks.Network, shape: tuple[int, ...]) -> Image64:
    # Known sample i of n is at (2i + 1) / n - 1; pixel p of the whole picture is sample p / 2.
    y, x = (
        torch.arange(2 * n, dtype=torch.float64, device=SETTINGS.device) / n + 1 / n - 1
        for n in shape
    )
    bands = [module(*networks.grid_coordinates((x, band))).cpu() for band in torch.split(y, 32)]
    return torch.cat(bands).double().numpy()


METHODS: dict[str, Callable[[Image64], Image64]] = {
    "nearest": nearest,
    "bilinear": bilinear,
    "cubic-spline": cubic_spline,
    "fill": fill,
    "gated": network("gated"),
    "siren": network("siren"),
    "fourier": network("fourier"),
    "fourier-positional": network("fourier", encoding="positional", scale=64.0, features=16),
    "fourier-basic": network("fourier", encoding="basic"),
    "relu": network("fourier", encoding="none"),
    "wire": network("wire"),
    "finer": network("finer"),
    "multiplicative": network("multiplicative"),
    "multiplicative-fourier": network("multiplicative", filters="fourier"),
    "hashgrid": network("hashgrid"),
    "auto": network("auto"),
}
"""By name, what makes the whole picture (512, 512, 3) of the known one (256, 256, 3): sample (i, j)
of the known one is pixel (2i, 2j) of the whole one; values are 0 to 1. With --side both
are smaller."""

TRAINED = tuple(METHODS)[4:]


def score(filled: Image64, picture: Image64) -> float:
    """PSNR in dB at the pixels whose rows and columns are both unknown."""
    error = np.mean(np.square(np.clip(filled, 0, 1)[1::2, 1::2] - picture[1::2, 1::2]))
    return -10 * math.log10(error)


def run(method: str, picture: Image64) -> dict[str, Any]:
    """Fill one picture and return its PSNR, the seconds, and what a network was trained with."""
    started = time.perf_counter()
    filled = METHODS[method](picture[::2, ::2].copy())
    result = {
        "psnr": round(score(filled, picture), 3),
        "seconds": round(time.perf_counter() - started, 2),
    }
    return result | settings_of(method)


def settings_of(method: str) -> dict[str, Any]:
    """What the result of a method depends on."""
    if method not in TRAINED:
        return {"side": SETTINGS.side}
    return {key: value for key, value in vars(SETTINGS).items() if key != "threads"}


def is_done(found: dict[str, Any] | None, method: str) -> bool:
    """Whether a run is there, with the settings of now."""
    wanted = settings_of(method).items()
    return found is not None and all(found.get(key) == value for key, value in wanted)


def measure(options: argparse.Namespace, methods: list[str]) -> dict[str, Any]:
    folder = Path(options.data) / "interpolation"
    results: dict[str, Any] = {"runs": {}}
    if (RESULTS / f"{results_name()}.json").is_file():
        results = read_results(results_name())
    results |= describe(("torch", "numpy", "scipy"))
    results["threads"] = options.threads
    for index in range(options.pictures):
        for group in SETS:
            path = folder / group / f"{index:02d}.png"
            if not path.is_file():
                sys.exit(f"there is no {path}: DIR of --data DIR must contain it")
            picture = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) / 255
            if picture.shape != (SIDE, SIDE, 3):
                sys.exit(f"{path} is not of {SIDE} x {SIDE} pixels")
            part = slice((SIDE - options.side) // 2, (SIDE + options.side) // 2)
            picture = picture[part, part]
            for method in methods:
                runs = results["runs"].setdefault(method, {}).setdefault(group, {})
                if is_done(runs.get(path.stem), method):
                    continue
                runs[path.stem] = run(method, picture)
                print(
                    f"{group}/{path.stem} {method}: {runs[path.stem]['psnr']:.2f} dB, "
                    f"{runs[path.stem]['seconds']:.1f} s",
                    flush=True,
                )
                write_results(results_name(), results)
    return results


def summary(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Means over the pictures that every method has, by method and set."""
    table: dict[str, dict[str, Any]] = {}
    runs = results["runs"]
    for group in SETS:
        common = set.intersection(*(set(sets.get(group, {})) for sets in runs.values()))
        for method, sets in runs.items():
            found = [sets[group][name] for name in sorted(common)]
            if found:
                table.setdefault(method, {})[group] = {
                    "pictures": len(found),
                    "psnr": sum(one["psnr"] for one in found) / len(found),
                    "seconds": sum(one["seconds"] for one in found) / len(found),
                    "side": found[0].get("side", SIDE),
                    "steps": found[0].get("steps"),
                }
    return table


def print_table(results: dict[str, Any]) -> None:
    """Print the table of docs/networks.md."""
    print("\n| method | natural (dB) | text (dB) | pictures a set | steps | seconds a picture |")
    print("|---|---|---|---|---|---|")
    for method, sets in summary(results).items():
        cells = [f"{sets[group]['psnr']:.2f}" if group in sets else "" for group in SETS]
        one = next(iter(sets.values()))
        seconds = sum(each["seconds"] for each in sets.values()) / len(sets)
        steps = one["steps"] or ""
        print(f"| {method} | {' | '.join(cells)} | {one['pictures']} | {steps} | {seconds:.1f} |")


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw a bar a method and set."""
    import matplotlib as mpl  # noqa: PLC0415 - only the plot needs it

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    table = summary(results)
    figure, axes = plt.subplots(figsize=(11, 4.2), layout="constrained")
    place = np.arange(len(table))
    for offset, (group, colour) in enumerate(zip(SETS, ("#4c72b0", "#dd8452"), strict=True)):
        heights = [sets.get(group, {}).get("psnr", math.nan) for sets in table.values()]
        bars = axes.bar(place + 0.4 * offset - 0.2, heights, 0.4, label=group, color=colour)
        axes.bar_label(bars, fmt="%.1f", fontsize=7)
    axes.set_xticks(place, list(table), rotation=35, ha="right")
    axes.set(ylabel="PSNR between the samples (dB)", ylim=(15, None))
    counts = {one["pictures"] for sets in table.values() for one in sets.values()}
    sides = {one["side"] for sets in table.values() for one in sets.values()}
    axes.set_title(
        f"Every other pixel known; mean of {max(counts)} pictures of {max(sides)} pixels a set"
    )
    axes.grid(alpha=0.3, axis="y")
    axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_data_option(parser)
    parser.add_argument("--methods", default=",".join(METHODS), help="names, with commas between")
    parser.add_argument("--pictures", type=int, default=16, help="of each set, the first ones")
    parser.add_argument(
        "--side", type=int, default=SIDE, help="take the centre of each picture; 512 is all of it"
    )
    parser.add_argument("--steps", type=int, default=SETTINGS.steps, help="of training networks")
    parser.add_argument("--batch", type=int, default=SETTINGS.batch, help="pixels a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot-only", action="store_true", help="use the results that are there")
    options = parser.parse_args()
    methods = [name for name in options.methods.split(",") if name]
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        parser.error(f"there is no method {unknown[0]!r}; known: {', '.join(METHODS)}")
    if not 1 <= options.pictures <= 16:
        parser.error("each set has 16 pictures")
    if options.side not in (64, 128, 256, 512):
        parser.error("the side is 64, 128, 256 or 512")
    torch.set_num_threads(options.threads)
    for key in ("side", "steps", "batch", "seed", "device", "threads"):
        setattr(SETTINGS, key, getattr(options, key))
    if options.plot_only:
        results = read_results(results_name())
    elif options.data is None:
        sys.exit("say where the pictures are: --data DIR or FIELDPACK_DATA=DIR")
    else:
        results = measure(options, methods)
    results["mean"] = summary(results)
    print(f"wrote {write_results(results_name(), results)}")
    print_table(results)
    plot(results, ROOT / "docs" / f"{results_name()}.png")


if __name__ == "__main__":
    main()
