"""A picture from its gradients or its Laplacian alone, and seamless cloning.

    python examples/poisson.py [--steps 800] [--folder .]

A network that never sees a colour, only how colours change from pixel to pixel, still finds the
picture, but for a constant (after Sitzmann et al. 2020, https://arxiv.org/abs/2006.09661, section
4.1). If the gradients within a mask come from another picture, what is there seems to belong (after
Pérez et al. 2003, "Poisson image editing"): here the spoon, mirrored, on the table beside the cup.

Prints the PSNR of the reconstructions and writes poisson.png (the picture, from its gradients, from
its Laplacian) and cloning.png (pasted as it is, cloned).
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fieldpack import networks

Values = NDArray[np.float64]


def load() -> Values:
    """Return coffee.png at a quarter of its size, (100, 150, 3), values in 0 .. 1."""
    with Image.open(Path(__file__).parent / "coffee.png") as image:
        return np.asarray(image.convert("RGB").reduce(4), dtype=np.float64) / 255


def gradients_of(picture: Values) -> Values:
    """Return central differences (H, W, 2C): of channel 0 by x, by y, of channel 1 by x, ..."""
    by_y, by_x = np.gradient(picture, axis=(0, 1))
    return np.stack([by_x, by_y], axis=-1).reshape(*picture.shape[:2], -1)


def laplacian_of(picture: Values) -> Values:
    """Return the sum of the second differences along x and y, (H, W, C)."""
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return around - 4 * picture


def learn(
    targets: Values, objective: networks.Objective, picture: Values, steps: int, seed: int = 0
) -> Values:
    """Train a SIREN on derivatives and return the picture that it has learned, (H, W, C).

    Each channel is moved to the mean of `picture`, which derivatives do not tell.
    """
    height, width, channels = picture.shape
    choice = networks.suited("siren", networks.GridSamples(picture), (width, height))
    # Gradients hardly feel errors that spread over the whole picture: those must not arise, from
    # large steps or from frequencies beyond need.
    choice = replace(choice, rate=choice.rate / 4).with_settings({"first_omega": 15.0})
    network = choice.build((width, height), channels, seed)
    samples = networks.GridSamples(targets)
    networks.train(
        network, samples, choice.recipe, steps=steps, batch=1000, seed=seed, objective=objective
    )
    found = networks.render(network).astype(np.float64)
    return found + (picture - found).mean(axis=(0, 1))


def psnr(found: Values, picture: Values) -> float:
    """PSNR in dB."""
    return -10 * math.log10(np.mean(np.square(np.clip(found, 0, 1) - picture)))


def clone(picture: Values) -> tuple[Values, Values, Values]:
    """Return the picture with the spoon pasted, its gradients, and the mask (H, W).

    The spoon comes from the picture mirrored left to right.
    """
    source = picture[:, ::-1]
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    # The spoon's bowl: a circle around (91, 71), mirrored, moved to the table on the right.
    to_x, to_y, radius = 131, 31, 13
    from_x, from_y = width - 1 - 91, 71
    mask = (x - to_x) ** 2 + (y - to_y) ** 2 <= radius**2
    moved = np.roll(source, (to_y - from_y, to_x - from_x), axis=(0, 1))
    pasted = np.where(mask[..., None], moved, picture)
    gradients = np.where(mask[..., None], gradients_of(moved), gradients_of(picture))
    return pasted, gradients, mask


def write(path: Path, *pictures: Values) -> None:
    """Write pictures side by side."""
    row = np.concatenate(pictures, axis=1)
    Image.fromarray(np.rint(255 * np.clip(row, 0, 1)).astype(np.uint8)).save(path)
    print(f"wrote {path}")


def main() -> None:
    """Run the three parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    torch.set_num_threads(1)  # the same pictures whatever the machine's number of cores

    picture = load()
    by_gradients = learn(gradients_of(picture), networks.GRADIENTS, picture, options.steps)
    print(f"from gradients: {psnr(by_gradients, picture):.2f} dB")
    by_laplacian = learn(laplacian_of(picture), networks.LAPLACIANS, picture, options.steps)
    print(f"from the Laplacian: {psnr(by_laplacian, picture):.2f} dB")
    write(options.folder / "poisson.png", picture, by_gradients, by_laplacian)

    pasted, gradients, mask = clone(picture)
    cloned = learn(gradients, networks.GRADIENTS, picture, options.steps)
    # Outside of the mask the colours are known: they tell the constant.
    cloned += (picture - cloned)[~mask].mean(axis=0)
    print(f"cloning: {psnr(cloned[~mask], picture[~mask]):.2f} dB outside of the mask")
    write(options.folder / "cloning.png", pasted, cloned)


if __name__ == "__main__":
    main()
