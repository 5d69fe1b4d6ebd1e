"""Which encoding of a position a network learns best from: one-hot, binary or sinusoidal.

    python benchmarks/encodings.py [--data DIR]     (DIR contains kodak/)
    python benchmarks/encodings.py --plot-only

Measures the distances between codes, and trains the same network on the same pictures with each
encoding: on all pixels, and on every other column and row, to see what it makes of the pixels
between. Writes results/encodings.json, prints its tables and draws docs/encodings.png.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import (
    add_data_option,
    describe,
    kodak_picture,
    read_results,
    write_results,
)
from numpy.typing import NDArray
from PIL import Image

from fieldpack import networks
from fieldpack.metrics import psnr

ROOT = Path(__file__).parents[1]
NAMES = ("one-hot", "binary", "sinusoidal")
COLOURS = {"one-hot": "#c44e52", "binary": "#dd8452", "sinusoidal": "#4c72b0"}
POSITIONS = 512
STEPS = {"notebook": 300, "default": 600}
CURVE_POINTS = 60


def code_distances(name: str) -> dict[str, Any]:
    """Measure Euclidean distances between the codes of 512 positions.

    They are divided by the root mean square distance of two different positions, so that
    encodings of different lengths compare.
    """
    encoding = networks.ENCODINGS[name](POSITIONS)
    codes = encoding(torch.arange(POSITIONS, dtype=torch.float64)).numpy()
    distances = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    different = ~np.eye(POSITIONS, dtype=bool)
    distances /= np.sqrt(np.mean(np.square(distances[different])))
    neighbours = np.diagonal(distances, 1)
    steps = sorted({round(2 ** (i / 4)) for i in range(4 * int(math.log2(POSITIONS)) - 3)})
    return {
        "channels": codes.shape[1],
        "neighbours_mean": float(neighbours.mean()),
        "neighbours_smallest": float(neighbours.min()),
        "neighbours_largest": float(neighbours.max()),
        "neighbours": [round(float(value), 4) for value in neighbours[:64]],
        "position_distances": steps,
        "code_distances": [round(float(np.diagonal(distances, d).mean()), 4) for d in steps],
    }


def learn(picture: NDArray[np.uint8], name: str, recipe: str, seed: int) -> dict[str, Any]:
    """Train on all pixels; return PSNR in dB, weights, and PSNR of the batches over the steps."""
    network = network_for(picture, name, seed)
    samples = networks.GridSamples(picture / 255)
    history = networks.train(
        network, samples, networks.RECIPES[recipe], steps=STEPS[recipe], seed=seed
    )
    parts = np.array_split(np.array(history.losses), CURVE_POINTS)
    return {
        "encoding": name,
        "recipe": recipe,
        "steps": STEPS[recipe],
        "weights": network.parameter_count,
        "psnr": round(psnr(decode(network), picture, 255), 3),
        "curve": [round(-10 * math.log10(part.mean()), 3) for part in parts],
        "seconds": round(history.seconds, 1),
    }


def learn_every_other(
    picture: NDArray[np.uint8], name: str, recipe: str, seed: int
) -> dict[str, Any]:
    """Train on the even columns and rows; return PSNR in dB there and at all other pixels."""
    height, width, channels = picture.shape
    network = network_for(picture, name, seed)
    known = np.zeros((height, width), dtype=bool)
    known[::2, ::2] = True
    row, column = np.nonzero(known)
    points = np.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], axis=1)
    samples = networks.ScatteredSamples(points, picture[known].reshape(-1, channels) / 255)
    networks.train(network, samples, networks.RECIPES[recipe], steps=STEPS[recipe], seed=seed)
    decoded = decode(network)
    return {
        "encoding": name,
        "recipe": recipe,
        "steps": STEPS[recipe],
        "psnr_known": round(psnr(decoded[known], picture[known], 255), 3),
        "psnr_between": round(psnr(decoded[~known], picture[~known], 255), 3),
    }


def network_for(picture: NDArray[np.uint8], name: str, seed: int) -> networks.GatedNetwork:
    height, width, channels = picture.shape
    return networks.GatedNetwork((width, height), channels, encoding=name, seed=seed)


def decode(network: networks.Network) -> NDArray[np.uint8]:
    decoded: NDArray[np.uint8] = np.rint(255 * networks.render(network)).astype(np.uint8)
    return decoded


def measure(options: argparse.Namespace) -> dict[str, Any]:
    paths = [ROOT / "examples" / "coffee.png"]
    if options.data is not None:
        paths.append(kodak_picture(options.data, options.picture))
    results: dict[str, Any] = {
        **describe(("torch", "numpy")),
        "threads": options.threads,
        "seed": options.seed,
        "positions": POSITIONS,
        "distances": {name: code_distances(name) for name in NAMES},
        "pictures": {},
    }
    for path in paths:
        picture = np.asarray(Image.open(path).convert("RGB"))
        runs = []
        for recipe in STEPS:
            for name in NAMES:
                runs.append(learn(picture, name, recipe, options.seed))
                print(f"{path.stem} {recipe} {name}: {runs[-1]['psnr']:.2f} dB", flush=True)
        between = []
        for name in NAMES:
            between.append(learn_every_other(picture, name, "default", options.seed))
            print(
                f"{path.stem} every other pixel, {name}: {between[-1]['psnr_known']:.2f} dB, "
                f"between {between[-1]['psnr_between']:.2f} dB",
                flush=True,
            )
        results["pictures"][path.stem] = {
            "size": list(picture.shape),
            "all_pixels": runs,
            "every_other_pixel": between,
        }
    return results


def print_tables(results: dict[str, Any]) -> None:
    """Print the tables of docs/encodings.md."""
    print("\n| encoding | channels | neighbours: mean | smallest | largest |")
    print("|---|---|---|---|---|")
    for name, row in results["distances"].items():
        values = [row[f"neighbours_{key}"] for key in ("mean", "smallest", "largest")]
        print(f"| {name} | {row['channels']} | " + " | ".join(f"{v:.3f}" for v in values) + " |")
    for picture, runs in results["pictures"].items():
        heads = [f"{recipe}, {steps} steps" for recipe, steps in STEPS.items()]
        print(f"\n{picture}:\n\n| encoding | weights | {' | '.join(heads)} | known | between |")
        print("|---|---|---|---|---|---|")
        for name in NAMES:
            own = {run["recipe"]: run for run in runs["all_pixels"] if run["encoding"] == name}
            cells = [f"{own[recipe]['psnr']:.2f}" for recipe in STEPS]
            other = next(run for run in runs["every_other_pixel"] if run["encoding"] == name)
            cells += [f"{other['psnr_known']:.2f}", f"{other['psnr_between']:.2f}"]
            weights = own["default"]["weights"]
            print(f"| {name} | {weights:,} | " + " | ".join(cells) + " |")


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw distances and learning curves."""
    import matplotlib as mpl  # noqa: PLC0415 - only the plot needs it

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, (near, far, curve) = plt.subplots(1, 3, figsize=(13, 3.9), layout="constrained")
    for name in NAMES:
        row = results["distances"][name]
        style = {"label": name, "color": COLOURS[name]}
        near.plot(row["neighbours"], **style)
        far.plot(row["position_distances"], row["code_distances"], marker=".", **style)
        runs = results["pictures"]["coffee"]["all_pixels"]
        run = next(r for r in runs if (r["encoding"], r["recipe"]) == (name, "default"))
        steps = (np.arange(CURVE_POINTS) + 0.5) * run["steps"] / CURVE_POINTS
        curve.plot(steps, run["curve"], **style)
    near.set(title="Distance of a code from the next", xlabel="position")
    near.set_ylabel("distance (1 = root mean square of all pairs)")
    far.set(title="Mean distance of two codes", xlabel="distance of the positions", xscale="log")
    far.set_xticks([1, 4, 16, 64, 256], labels=["1", "4", "16", "64", "256"])
    curve.set(title="Learning coffee.png, default recipe", xlabel="step", ylabel="PSNR (dB)")
    for axes in (near, far):
        axes.set_ylim(0)
    for axes in (near, far, curve):
        axes.grid(alpha=0.3)
    near.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_data_option(parser)
    parser.add_argument("--picture", default="kodim15", help="which Kodak picture, if --data")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot-only", action="store_true", help="use results/encodings.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.plot_only:
        results = read_results("encodings")
    else:
        results = measure(options)
        print(f"wrote {write_results('encodings', results)}")
    print_tables(results)
    plot(results, ROOT / "docs" / "encodings.png")


if __name__ == "__main__":
    main()
