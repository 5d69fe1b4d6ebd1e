"""Measure on photographs what rate control should expect of fits, and print its tables.

    PYTHONPATH=. python prior/calibrate.py --data DIR

For `goal.py`, what fits end with as ratios of what coding theory promises; for `rate_control.py`,
what first latents and early passes cost as ratios of what the end does. After every change of the
networks or the schedule, the numbers there should be made like these.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fieldpack.codec.choice import best_networks
from fieldpack.codec.encoder import schedule_for
from fieldpack.codec.fit import Progress, fit, make_trainer
from fieldpack.codec.goal import FOUND_LAMBDAS, FOUND_PASSES, theory
from fieldpack.codec.initialisation import analyse
from fieldpack.codec.prior import PriorNetworks, nearest_networks
from fieldpack.codec.rate_control import FIRST_BITS_PASSES, LAMBDAS, PROGRESS
from prior.train import read, training_files

HEIGHT, WIDTH = 384, 512
FloatArray = NDArray[np.float32]


class Ratios:
    """Geometric means of ratios, and how far single ones are from them."""

    def __init__(self) -> None:
        self._logarithms: dict[object, list[float]] = defaultdict(list)

    def add(self, key: object, ratio: float) -> None:
        self._logarithms[key].append(math.log(ratio))

    def row(self, keys: Iterable[object]) -> str:
        logarithms = [self._logarithms[key] for key in keys]
        means = ", ".join(f"{math.exp(np.mean(v)):.3f}" if v else "?" for v in logarithms)
        spread = max((float(np.std(v)) for v in logarithms if v), default=0)
        return f"({means}),  # +- {100 * spread:.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=10, help="take each n-th photograph")
    options = parser.parse_args()
    pictures = [middle(read(path)) for path in training_files(options.data / "train")]
    pictures = pictures[:: options.every]
    bits, distortions = Ratios(), Ratios()
    for image in pictures:
        promised = theory(image)
        for passes in FOUND_PASSES:
            for lambda_ in FOUND_LAMBDAS:
                end = trace(image, lambda_, passes)[-1]
                theoretical_bits, theoretical_distortion = promised(lambda_)
                bits.add((passes, lambda_), sum(end.bits) / theoretical_bits)
                distortions.add((passes, lambda_), end.distortion / theoretical_distortion)
    for name, ratios in (("FOUND_BITS", bits), ("_FOUND_DISTORTIONS", distortions)):
        print(name)
        for passes in FOUND_PASSES:
            print("   ", ratios.row((passes, lambda_) for lambda_ in FOUND_LAMBDAS), flush=True)
    bits, distortions = Ratios(), Ratios()
    for lambda_ in LAMBDAS:
        for image in pictures:
            for passes in FOUND_PASSES[:2]:
                seen = trace(image, lambda_, passes)
                for progress in PROGRESS:
                    last = min(round(progress * len(seen)), len(seen) - 1)
                    pair = seen[last - 2 : last]  # their noise is mirrored
                    mean = sum(sum(one.bits) for one in pair) / 2
                    bits.add((progress, lambda_), mean / sum(seen[-1].bits))
                    mean = sum(one.distortion for one in pair) / 2
                    distortions.add((progress, lambda_), mean / seen[-1].distortion)
    for name, ratios in (("_BITS", bits), ("_DISTORTIONS", distortions)):
        print(name)
        for progress in PROGRESS:
            print("   ", ratios.row((progress, lambda_) for lambda_ in LAMBDAS), flush=True)
    first = Ratios()
    lambdas = sorted({s.lambda_ for lambda_ in FOUND_LAMBDAS for s in nearest_networks(lambda_, 3)})
    for lambda_ in lambdas:
        for image in pictures:
            networks = chosen(image, lambda_, FIRST_BITS_PASSES)
            seen = trace(image, lambda_, FIRST_BITS_PASSES, networks)
            ratio = first_bits(image, networks) / sum(seen[-1].bits)
            first.add((networks.is_flat, lambda_), ratio)
    print("first bits, lambda", lambdas)
    for is_flat in (True, False):
        print("   ", first.row((is_flat, lambda_) for lambda_ in lambdas), flush=True)


def middle(picture: NDArray[np.uint8]) -> FloatArray:
    """The middle of a picture, at most WIDTH by HEIGHT."""
    top, left = max(picture.shape[0] - HEIGHT, 0) // 2, max(picture.shape[1] - WIDTH, 0) // 2
    part = picture[top : top + HEIGHT, left : left + WIDTH]
    return np.ascontiguousarray(part, np.float32) / np.float32(255)


def chosen(image: FloatArray, lambda_: float, passes: int) -> PriorNetworks:
    """The networks that an encoder would begin with."""
    return best_networks(image, nearest_networks(lambda_, 3), lambda_, passes)


def trace(
    image: FloatArray, lambda_: float, passes: int, networks: PriorNetworks | None = None
) -> list[Progress]:
    """What each soft pass of a fit reported, and at last what rounded latents come to."""
    networks = networks or chosen(image, lambda_, passes)
    schedule = schedule_for(passes, lambda_, networks)
    seen: list[Progress] = []
    fitted = fit(image, networks.shape, lambda_, schedule, prior=networks, callback=seen.append)
    del seen[schedule.soft_passes :]
    seen.append(Progress(passes, passes, lambda_, fitted.distortion, fitted.bits))
    return seen


def first_bits(image: FloatArray, networks: PriorNetworks) -> float:
    """Bits of the latents that a fit begins with."""
    schedule = schedule_for(FIRST_BITS_PASSES, networks.lambda_, networks)
    trainer = make_trainer(networks.shape, image, finest=networks.finest)
    latents = analyse(
        image,
        networks.shape,
        networks.lambda_,
        schedule.threshold,
        is_flat=networks.is_flat,
        finest=networks.finest,
    )
    for k in range(networks.finest, networks.shape.grids):
        trainer.set_latents(k, latents[k])
    return sum(trainer.bits(networks.parameters))


if __name__ == "__main__":
    main()
