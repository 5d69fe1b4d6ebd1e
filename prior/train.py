"""Train a prior: networks that many pictures share, for one lambda at a time.

    python prior/train.py --data DIR --out STATE.npz --lambda 0.001 --size small

DIR holds train/ with MANIFEST.tsv and the pictures it lists. Every round draws new crops from the
pictures, starts their latents from the linear analysis, and fits all of them together: each crop
moves its own latents, and after every few crops the networks move, once for all. The engine does
the passes, so that neither a GPU nor PyTorch is needed. The state is written after every round, and
a later call with the same file goes on from there.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fieldpack.codec.fit import fit, make_trainer
from fieldpack.codec.initialisation import analyse, initial_parameters
from fieldpack.codec.model import ModelShape
from fieldpack.codec.optimiser import context_optimiser, drawing_optimiser
from fieldpack.codec.prior import PriorNetworks
from fieldpack.codec.schedule import Schedule, equivalent_lambda

# Whole sources are kept aside, so that no picture of the validation has a sibling in the training.
VALIDATION_SOURCES = (
    "pop-os/wallpapers",
    "google/cameratrapai",
    "tetiana-kolmychek/oceanic-awesomewm-theme",
    "immich-app/test-assets",
    "mapillary/OpenSfM",
)
NOT_PHOTOGRAPHS = ("screenshot", "text", "illustration")
SHAPES = {
    "plain": ModelShape(3, 7, (40,), 2, 16, (16, 16), tuple(range(7))),
    "small": ModelShape(3, 7, (40,), 2, 16, (16, 16), tuple(range(7)), 7, is_filtered=True),
    "large": ModelShape(3, 7, (40,), 2, 24, (24, 24), tuple(range(7)), 7, is_filtered=True),
    "largest": ModelShape(3, 7, (40,), 2, 24, (32, 32), tuple(range(7)), 14, is_filtered=True),
}
FOR_FEW_PIXELS = "largest"
_PASSES_OF_TRIALS = 20

FloatArray = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lambda", dest="lambda_", type=float, required=True)
    parser.add_argument("--size", choices=sorted(SHAPES), required=True)
    parser.add_argument("--start", type=Path, help="state of another lambda or size to begin from")
    parser.add_argument("--seed", type=int, default=0, help="of the first round's crops")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crops", type=int, default=40)
    parser.add_argument("--crop", type=int, default=384, help="pixels along a side")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--flat", action="store_true", help="luminance all in the finest grid")
    parser.add_argument("--finest", type=int, default=0, help="finer grids stay at zero")
    parser.add_argument(
        "--coarser",
        type=int,
        default=0,
        metavar="N",
        help="begin with what the start has for grids that are finer by N",
    )
    parser.add_argument(
        "--half", choices=("smooth", "busy"), help="only those crops of twice as many"
    )
    parser.add_argument("--contexts-only", action="store_true", help="what draws stays as it is")
    options = parser.parse_args()

    shape = SHAPES[options.size]
    parameters = initial_parameters(
        shape, options.lambda_, is_flat=options.flat, finest=options.finest
    )
    first_round = 0
    if options.out.exists():
        with np.load(options.out) as state:
            parameters, first_round = state["parameters"], int(state["rounds"])
    elif options.start:
        with np.load(options.start) as state:
            parameters = grown(state["parameters"], SHAPES[str(state["size"])], shape)
            parameters = coarser(parameters, shape, options.coarser)
            # A quantisation step moves the colour by more where a bit is dearer.
            gain = (options.lambda_ / float(state["lambda_"]) / 4**options.coarser) ** 0.25
            shape.views(parameters)["synthesis.0.weight"][:] *= gain
    files = training_files(options.data / "train")
    for number in range(first_round, options.rounds):
        random = np.random.default_rng(options.seed + number)
        wanted = options.crops * (2 if options.half else 1)
        names = random.choice(len(files), min(wanted, len(files)), replace=False)
        names = np.resize(names, wanted)
        crops = [crop(read(files[i]), options.crop, random) for i in names]
        if options.half:
            crops = half(crops, shape, parameters, options)
        fresh = number == 0 and not options.start
        losses = train_round(shape, parameters, crops, options, fresh, options.seed + number)
        print(f"round {number}: loss {1000 * losses:.4f}", flush=True)
        np.savez(
            options.out,
            parameters=parameters,
            lambda_=options.lambda_,
            size=options.size,
            is_flat=options.flat,
            finest=options.finest,
            rounds=number + 1,
            loss=losses,
        )


def grown(parameters: FloatArray, shape: ModelShape, larger: ModelShape) -> FloatArray:
    """The same networks with more inputs, filters and hidden units, which at first do nothing."""
    flat = np.zeros(larger.parameters, np.float32)
    known = shape.views(parameters)
    random = np.random.default_rng(0)
    for name, view in larger.views(flat).items():
        part = known[name]
        if name.startswith("context") and name.endswith("weight"):
            outputs, inputs = part.shape
            if name.split(".")[1] == "0":
                # What new units see is random; what they say weighs nothing.
                view[outputs:] = random.normal(
                    0, view.shape[1] ** -0.5, (view.shape[0] - outputs, view.shape[1])
                )
                ancestors = part[:, shape.neighbours :]
                view[:outputs, larger.neighbours :][:, : ancestors.shape[1]] = ancestors
                inputs = shape.neighbours
            view[:outputs, :inputs] = part[:, :inputs]
        else:
            view[tuple(slice(size) for size in part.shape)] = part
    return flat


def coarser(parameters: FloatArray, shape: ModelShape, by: int) -> FloatArray:
    """The same networks for grids that are coarser by so many levels, as pictures are alike at all.

    Of a picture of a quarter of the pixels, four times the lambda gives as much in such a grid.
    """
    flat = parameters.copy()
    known, moved = shape.views(parameters), shape.views(flat)
    for level in range(by, shape.grids):
        moved["synthesis.0.weight"][:, level] = known["synthesis.0.weight"][:, level - by]
        for name in known:
            of_level = f"context{level - by}."
            if name.startswith(of_level):
                moved[name.replace(of_level, f"context{level}.")][:] = known[name]
    return flat


def training_files(folder: Path) -> list[Path]:
    """The photographs of all sources but those kept aside for validation."""
    return _photographs(folder, is_kept=False)


def kept_files(folder: Path) -> list[Path]:
    """The photographs of the sources kept aside."""
    return _photographs(folder, is_kept=True)


def manifest(folder: Path) -> list[dict[str, str]]:
    """What is known of each picture: file, source, category and more."""
    try:
        with (folder / "MANIFEST.tsv").open(newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))
    except OSError as error:
        sys.exit(f"the training pictures are not there: {error}")


def _photographs(folder: Path, *, is_kept: bool) -> list[Path]:
    return [
        folder / row["file"]
        for row in manifest(folder)
        if row["category"] not in NOT_PHOTOGRAPHS
        and any(source in row["source"] for source in VALIDATION_SOURCES) == is_kept
    ]


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def crop(picture: NDArray[np.uint8], size: int, random: np.random.Generator) -> FloatArray:
    """A random part of at most so many pixels along a side, sometimes mirrored or turned."""
    height, width = picture.shape[:2]
    top = int(random.integers(max(height - size, 0) + 1))
    left = int(random.integers(max(width - size, 0) + 1))
    part = picture[top : top + size, left : left + size]
    if random.integers(2):
        part = part[:, ::-1]
    if random.integers(2):
        part = part.swapaxes(0, 1)
    return np.ascontiguousarray(part, np.float32) / np.float32(255)


def half(
    crops: list[FloatArray], shape: ModelShape, parameters: FloatArray, options: argparse.Namespace
) -> list[FloatArray]:
    """The crops on which networks as they are have less loss than on the others, or more."""
    networks = PriorNetworks(
        0, 0, options.lambda_, options.flat, options.finest, True, shape, parameters
    )
    schedule = Schedule.with_prior(_PASSES_OF_TRIALS, options.lambda_, moves=False)
    losses = []
    for image in crops:
        fitted = fit(image, shape, options.lambda_, schedule, prior=networks)
        bits = sum(fitted.bits) / (image.shape[0] * image.shape[1])
        losses.append(fitted.distortion + options.lambda_ * bits)
    order = np.argsort(losses)
    middle = len(crops) // 2
    return [crops[i] for i in (order[:middle] if options.half == "smooth" else order[middle:])]


def train_round(
    shape: ModelShape,
    parameters: FloatArray,
    crops: list[FloatArray],
    options: argparse.Namespace,
    fresh: bool,
    seed: int,
) -> float:
    """Fit the crops' latents and the shared networks; returns the mean loss of the last epoch."""
    lambda_ = options.lambda_
    schedule = replace(
        Schedule.with_prior(options.epochs, equivalent_lambda(lambda_, options.finest)),
        hard_fraction=0.0,
        noise=(0.4, 0.3),
    )
    finest = options.finest
    trainers = [make_trainer(shape, image, threads=1, finest=finest) for image in crops]
    for trainer, image in zip(trainers, crops, strict=True):
        latents = analyse(
            image, shape, lambda_, schedule.threshold, is_flat=options.flat, finest=finest
        )
        for k in range(finest, shape.grids):
            trainer.set_latents(k, latents[k])
    shares = schedule.shares(shape.grids)
    drawing = drawing_optimiser(shape, (0.95, 0.95))
    context = context_optimiser(shape, (0.95, 0.95), shape.set_of_grid[finest:])
    gradient, total = np.zeros_like(parameters), np.zeros_like(parameters)
    pixels = [image.shape[0] * image.shape[1] for image in crops]
    start, loss = time.time(), 0.0
    random = np.random.default_rng(seed)
    for epoch in range(options.epochs):
        now = schedule.at(epoch)
        rate = 0.02 if fresh else 0.008
        rate = (rate * (1 - epoch / options.epochs) ** 1.5 + 0.0005) * min(1.0, (epoch + 1) / 10)
        loss = 0.0
        order = random.permutation(len(crops))
        for first in range(0, len(crops), options.batch):
            total[:] = 0
            for i in order[first : first + options.batch]:
                result = trainers[i].step(
                    parameters,
                    gradient,
                    hard=False,
                    temperature=now.temperature,
                    noise=now.noise,
                    lambda_=lambda_,
                    seed=seed * 1000 + int(i),
                    step=epoch,
                    learning_rate=[now.latent_rate * share for share in shares],
                    beta1=schedule.latent_betas[0],
                    beta2=schedule.latent_betas[1],
                    sharing=schedule.sharing,
                )
                part = result["distortion"] + lambda_ * sum(result["bits"]) / pixels[i]
                # Smooth pictures, whose loss is small, count as much as busy ones.
                total += gradient / max(part, 1e-6)
                loss += part / len(crops)
            if not options.contexts_only:
                drawing.step(parameters, total, rate * (0.15 if fresh else 0.3))
            context.step(parameters, total, rate)
        if epoch % 20 == 19:
            print(
                f"  epoch {epoch + 1}: {1000 * loss:.4f}  {time.time() - start:.0f} s", flush=True
            )
    return loss


if __name__ == "__main__":
    main()
