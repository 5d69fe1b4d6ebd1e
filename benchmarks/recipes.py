"""How much sooner the default recipe reaches what the notebook recipe has after 1,000 steps.

    python benchmarks/recipes.py --data DIR     (DIR contains kodak/)

Trains the same network on the same picture with the same threads: first by the notebook recipe,
then by the default recipe with 1/20, 1/10, 1/5 and 1/2 of the seconds which that took, each from
scratch. Quality is that of the whole picture after training, rounded and clipped to 8 bits; the
time to draw it is not counted. Writes results/recipes.json.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import add_data_option, describe, kodak_picture, write_results
from numpy.typing import NDArray
from PIL import Image

from fieldpack import networks
from fieldpack.metrics import psnr

FRACTIONS = (1 / 20, 1 / 10, 1 / 5, 1 / 2)


def measure(
    picture: NDArray[np.uint8],
    recipe: networks.Recipe,
    seed: int,
    steps: int | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Train once and return the PSNR in dB, the steps and the wall and processor seconds."""
    height, width, channels = picture.shape
    network = networks.GatedNetwork((width, height), channels, seed=seed)
    samples = networks.GridSamples(picture / 255)
    processor = time.process_time()
    history = networks.train(network, samples, recipe, steps=steps, seconds=seconds, seed=seed)
    processor = time.process_time() - processor
    decoded = np.rint(255 * networks.render(network)).astype(np.uint8)
    return {
        "recipe": recipe.name,
        "steps": len(history.losses),
        "seconds": round(history.seconds, 2),
        "processor_seconds": round(processor, 2),
        "psnr": round(psnr(decoded, picture, 255), 3),
    }


def seconds_to_reach(target: float, runs: list[dict[str, Any]]) -> float | None:
    """Interpolate PSNR over the logarithm of seconds; None where no run reaches `target`."""
    runs = sorted(runs, key=lambda run: float(run["seconds"]))
    if runs[0]["psnr"] >= target:
        return float(runs[0]["seconds"])
    for before, after in itertools.pairwise(runs):
        if after["psnr"] >= target:
            part = (target - before["psnr"]) / (after["psnr"] - before["psnr"])
            ratio = after["seconds"] / before["seconds"]
            return float(before["seconds"] * math.pow(ratio, part))
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_data_option(parser)
    parser.add_argument("--picture", default="kodim15", help="a Kodak picture, or a path")
    parser.add_argument("--steps", type=int, default=1000, help="steps of the notebook recipe")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    path = Path(options.picture)
    if not path.is_file():
        path = kodak_picture(options.data, options.picture)
    picture = np.asarray(Image.open(path).convert("RGB"))
    torch.set_num_threads(options.threads)

    notebook = measure(picture, networks.NOTEBOOK, options.seed, steps=options.steps)
    print_run(notebook, notebook)
    runs = []
    for fraction in FRACTIONS:
        seconds = notebook["seconds"] * fraction
        runs.append(measure(picture, networks.DEFAULT, options.seed, seconds=seconds))
        print_run(runs[-1], notebook)
    reached = seconds_to_reach(notebook["psnr"], runs)
    if reached is None:
        print(f"the default recipe does not reach {notebook['psnr']:.2f} dB")
    else:
        print(
            f"the default recipe reaches {notebook['psnr']:.2f} dB in {reached:.1f} s, "
            f"{notebook['seconds'] / reached:.1f} times as fast"
        )
    results = {
        **describe(("torch", "numpy")),
        "picture": path.stem,
        "size": list(picture.shape),
        "threads": options.threads,
        "seed": options.seed,
        "notebook": notebook,
        "default": runs,
        "default_seconds_to_reach_notebook": reached,
    }
    print(f"wrote {write_results('recipes', results)}")


def print_run(run: dict[str, Any], notebook: dict[str, Any]) -> None:
    print(
        f"{run['recipe']:>8}  {run['steps']:6} steps  {run['seconds']:7.1f} s "
        f"({run['seconds'] / notebook['seconds']:6.1%})  {run['psnr']:6.2f} dB "
        f"({run['psnr'] - notebook['psnr']:+.2f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
