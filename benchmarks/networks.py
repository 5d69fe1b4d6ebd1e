"""The coordinate networks compared: fidelity, seeds, and signals of other dimensions.

    python benchmarks/networks.py [--parts fidelity,seeds,signals] [--steps 1000] [--device cuda]
    python benchmarks/networks.py --plot-only

- fidelity: every network fitted to all pixels of a part of examples/coffee.png; the file's PSNR,
  bytes, weights and seconds.
- seeds: the same with 10 seeds; mean, standard deviation and least PSNR.
- signals: a sound (1-D) and a volume (3-D) fitted through every other sample, written as a file,
  read again, and evaluated at all samples.

Writes results/networks.json after each run and does not repeat what is there with the same
settings; prints the tables of docs/networks.md and draws docs/networks.png.
"""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, describe, read_results, write_results
from numpy.typing import NDArray
from PIL import Image

import fieldpack
from fieldpack.metrics import psnr

ROOT = Path(__file__).parents[1]
NAME = "networks"
PARTS = ("fidelity", "seeds", "signals")
SEEDS = 10

# Label: name and settings of a network. The last four are plain baselines of the literature.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "auto": ("auto", {}),
    "siren": ("siren", {}),
    "finer": ("finer", {}),
    "wire": ("wire", {}),
    "fourier": ("fourier", {}),
    "multiplicative": ("multiplicative", {}),
    "multiplicative-fourier": ("multiplicative", {"filters": "fourier"}),
    "hashgrid": ("hashgrid", {}),
    "gated": ("gated", {}),
    "fourier-positional": (
        "fourier",
        {"encoding": "positional", "scale": 64.0, "features": 16},
    ),
    "fourier-basic": ("fourier", {"encoding": "basic"}),
    "relu": ("fourier", {"encoding": "none"}),
}
SEEDED = ("auto", "siren", "finer", "fourier", "hashgrid")


def picture(side: int) -> NDArray[np.uint8]:
    """Return (side, side, 3): the cup and the spoon of examples/coffee.png, every k-th pixel."""
    whole = np.asarray(Image.open(ROOT / "examples" / "coffee.png").convert("RGB"))
    step = 320 // side
    return whole[40 : 40 + step * side : step, 100 : 100 + step * side : step]


def fit_picture(label: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Fit all pixels, and measure the file."""
    name, settings = NETWORKS[label]
    original = picture(options.side)
    field = fieldpack.fit(
        original,
        network=name,
        settings=settings,
        steps=options.steps,
        batch=options.batch,
        seed=seed,
        device=options.device,
        threads=options.threads,
    )
    report = field.report
    assert report is not None
    data = field.to_bytes()
    return {
        "psnr": round(psnr(fieldpack.decode(data), original, 255), 3),
        "bytes": len(data),
        "weights": report.weights,
        "seconds": round(report.seconds, 1),
        "network": report.network,
        "settings": dict(report.settings),
    }


def sound(count: int = 8000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times (n, 1) of a second and samples (n, 1): two decaying tones and a rising one."""
    t = np.arange(count) / count
    low = 0.3 * np.sin(2 * np.pi * 440 * t) * np.exp(-2 * t)
    high = 0.2 * np.sin(2 * np.pi * 660 * t + 1) * np.exp(-np.square((t - 0.5) / 0.2))
    rising = 0.1 * np.sin(2 * np.pi * (200 * t + 300 * t * t))
    return t[:, None], (low + high + rising)[:, None]


def volume(side: int = 48) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points (n, 3) and values (n, 1) of a ball of waves that fade outwards."""
    axis = np.linspace(-1, 1, side)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt(x * x + y * y + z * z)
    values = np.exp(-2 * radius) * np.cos(12 * radius + 3 * np.arctan2(y, x) + 2 * z)
    return np.stack([x, y, z], axis=-1).reshape(-1, 3), values.reshape(-1, 1)


def fit_signal(label: str, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """Fit every other sample along each axis, and evaluate the file at all samples."""
    name, settings = NETWORKS[label]
    points, values = sound() if kind == "sound" else volume()
    side = round(len(points) ** (1 / points.shape[1]))
    index = np.indices((side,) * points.shape[1]).reshape(points.shape[1], -1)
    known = (index % 2 == 0).all(axis=0)
    field = fieldpack.fit(
        points[known],
        values[known],
        network=name,
        settings=settings,
        steps=options.steps,
        batch=options.batch,
        device=options.device,
        threads=options.threads,
    )
    report = field.report
    assert report is not None
    data = field.to_bytes()
    error = np.square(fieldpack.open(data)(points) - values)
    peak = float(np.ptp(values)) ** 2
    return {
        "samples": int(known.sum()),
        "psnr_known": round(10 * math.log10(peak / error[known].mean()), 3),
        "psnr_between": round(10 * math.log10(peak / error[~known].mean()), 3),
        "bytes": len(data),
        "weights": report.weights,
        "seconds": round(report.seconds, 1),
        "network": report.network,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {}
    if (RESULTS / f"{NAME}.json").is_file():
        results = read_results(NAME)
    results |= describe(("torch", "numpy"))
    settings = {
        key: getattr(options, key) for key in ("side", "steps", "batch", "device", "threads")
    }

    def record(part: str, label: str, key: str, run: Any) -> None:
        found = results.setdefault(part, {}).setdefault(label, {})
        if all(found.get(key, {}).get(name) == value for name, value in settings.items()):
            return
        found[key] = run() | settings
        print(part, label, key, found[key], flush=True)
        write_results(NAME, results)

    labels = options.networks.split(",") if options.networks else list(NETWORKS)
    for label in labels:
        if "fidelity" in options.parts:
            record("fidelity", label, "0", lambda label=label: fit_picture(label, options, 0))
        if "signals" in options.parts and label in SEEDED:
            for kind in ("sound", "volume"):
                record("signals", label, kind, lambda a=label, b=kind: fit_signal(a, b, options))
        if "seeds" in options.parts and label in SEEDED:
            for seed in range(SEEDS):
                key = f"{options.side}/{seed}"
                record("seeds", label, key, lambda a=label, b=seed: fit_picture(a, options, b))
    return results


def print_tables(results: dict[str, Any]) -> None:
    """Print the tables of docs/networks.md."""
    print(
        "\n| network | weights | bytes | PSNR (dB) | seconds | steps |\n|---|---|---|---|---|---|"
    )
    for label, runs in results.get("fidelity", {}).items():
        run = runs["0"]
        print(
            f"| {label} | {run['weights']:,} | {run['bytes']:,} | {run['psnr']:.2f} "
            f"| {run['seconds']:.0f} | {run['steps']} |"
        )
    print("\n| network | pixels | steps | seeds | mean PSNR (dB) | standard deviation | least |")
    print("|---|---|---|---|---|---|---|")
    for label, runs in results.get("seeds", {}).items():
        for side in sorted({run["side"] for run in runs.values()}):
            same = [run for run in runs.values() if run["side"] == side]
            found = [run["psnr"] for run in same]
            deviation = statistics.stdev(found) if len(found) > 1 else math.nan
            print(
                f"| {label} | {side} x {side} | {same[0]['steps']} | {len(found)} "
                f"| {statistics.mean(found):.2f} | {deviation:.2f} | {min(found):.2f} |"
            )
    print("\n| network | signal | samples | known (dB) | between (dB) | bytes | seconds |")
    print("|---|---|---|---|---|---|---|")
    for label, runs in results.get("signals", {}).items():
        for kind, run in runs.items():
            print(
                f"| {label} | {kind} | {run['samples']:,} | {run['psnr_known']:.1f} "
                f"| {run['psnr_between']:.1f} | {run['bytes']:,} | {run['seconds']:.0f} |"
            )


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw PSNR by network, and the spread over seeds."""
    import matplotlib as mpl  # noqa: PLC0415 - only the plot needs it

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, (fidelity, seeds) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    labels = list(results.get("fidelity", {}))
    heights = [results["fidelity"][label]["0"]["psnr"] for label in labels]
    bars = fidelity.bar(labels, heights, color="#4c72b0")
    fidelity.bar_label(bars, fmt="%.1f", fontsize=7)
    fidelity.set(title="All pixels fitted", ylabel="PSNR of the file (dB)", ylim=(15, None))
    fidelity.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    for label, runs in results.get("seeds", {}).items():
        names = [f"{label}, {run['side']}" for run in runs.values()]
        seeds.plot(names, [run["psnr"] for run in runs.values()], "o", alpha=0.5)
    seeds.set(title="Ten seeds; network, side of the picture", ylabel="PSNR of the file (dB)")
    seeds.tick_params(axis="x", rotation=20)
    for axes in (fidelity, seeds):
        axes.grid(alpha=0.3, axis="y")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--parts", default=",".join(PARTS), help="names, with commas between")
    parser.add_argument("--networks", default="", help="names, with commas between; all if none")
    parser.add_argument("--side", type=int, default=320, help="of the picture: 320, 160 or 80")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=2500)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot-only", action="store_true", help=f"use results/{NAME}.json")
    options = parser.parse_args()
    options.parts = options.parts.split(",")
    if not set(options.parts) <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    if options.side not in (320, 160, 80):
        parser.error("the side is 320, 160 or 80")
    unknown = set(options.networks.split(",")) - set(NETWORKS) - {""}
    if unknown:
        parser.error(f"there is no network {min(unknown)!r}; known: {', '.join(NETWORKS)}")
    results = read_results(NAME) if options.plot_only else measure(options)
    print_tables(results)
    plot(results, ROOT / "docs" / f"{NAME}.png")


if __name__ == "__main__":
    main()
