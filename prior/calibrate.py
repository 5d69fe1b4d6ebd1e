"""Measure on photographs what rate control should expect of fits, and print its tables.

    PYTHONPATH=. python prior/calibrate.py --data DIR

For `goal.py`, what fits and trials end with as ratios of what coding theory promises; for
`rate_control.py`, what rounded latents come to during a fit as ratios of what they come to in the
end, and what a change of lambda still brings about. After every change of the networks or the
schedule, the numbers there should be made like these.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fieldpack._engine import Trainer
from fieldpack.codec.choice import best_networks
from fieldpack.codec.fit import Fitted, fit
from fieldpack.codec.goal import FOUND_LAMBDAS, FOUND_PASSES, Goal, theory
from fieldpack.codec.prior import PriorNetworks, nearest_networks
from fieldpack.codec.rate_control import CHECKPOINTS, LAMBDAS, RateControl
from fieldpack.codec.schedule import schedule_for
from fieldpack.codec.trial import Trials
from prior.train import read, training_files

HEIGHT, WIDTH = 384, 512
CHANGE = 0.5  # of ln(lambda)
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


class Recorder(RateControl):
    """Notes what rounded latents come to, and changes lambda at most once."""

    def __init__(self, lambda_: float, change_at: int | None = None) -> None:
        super().__init__(Goal(), lambda_, FOUND_PASSES[0])
        self.seen: list[tuple[float, float]] = []
        self._change_at = change_at

    def observe(self, trainer: Trainer, parameters: FloatArray) -> None:
        """Note bits and distortion."""
        if len(self.seen) == self._change_at:
            self.lambda_ *= math.exp(CHANGE)
        self.seen.append((sum(trainer.bits(parameters)), trainer.distortion(parameters)))
        self._next += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=10, help="take each n-th photograph")
    parser.add_argument(
        "--responses-every", type=int, default=40, help="the same, for what takes longest"
    )
    options = parser.parse_args()
    pictures = [middle(read(path)) for path in training_files(options.data / "train")]
    compare_with_theory(pictures[:: options.every])
    watch_fits(pictures[:: options.every])
    change_lambda(pictures[:: options.responses_every])


def compare_with_theory(pictures: Sequence[FloatArray]) -> None:
    """Print the tables of `goal.py`."""
    names = ("FOUND_BITS", "_FOUND_DISTORTIONS", "_TRIAL_BITS", "_TRIAL_DISTORTIONS")
    tables = {name: Ratios() for name in names}
    for image in pictures:
        trials = Trials(image)
        promised, promised_of_part = theory(image), theory(trials.part)
        pixels = trials.part.shape[0] * trials.part.shape[1]
        for passes in FOUND_PASSES:
            for lambda_ in FOUND_LAMBDAS:
                networks = best_networks(trials, nearest_networks(lambda_, 3), lambda_, passes)
                fitted = fit_for(image, lambda_, passes, networks)
                bits, distortion = promised(lambda_)
                found = [sum(fitted.bits) / bits, fitted.distortion / distortion]
                trial = trials.of_networks(networks, lambda_, passes)
                bits, distortion = promised_of_part(lambda_)
                found += [trial.bits * pixels / bits, trial.distortion / distortion]
                for name, ratio in zip(names, found, strict=True):
                    tables[name].add((passes, lambda_), ratio)
    for name, ratios in tables.items():
        print(name)
        for passes in FOUND_PASSES:
            print("   ", ratios.row((passes, lambda_) for lambda_ in FOUND_LAMBDAS), flush=True)


def watch_fits(pictures: Sequence[FloatArray]) -> None:
    """Print the tables of `rate_control.py` for the checkpoints."""
    bits, distortions = Ratios(), Ratios()
    for passes in FOUND_PASSES:
        for lambda_ in LAMBDAS:
            for image in pictures:
                recorder = Recorder(lambda_)
                end = fit_for(image, lambda_, passes, chosen(image, lambda_, passes), recorder)
                for checkpoint, now in zip(CHECKPOINTS, recorder.seen, strict=True):
                    bits.add((passes, checkpoint, lambda_), now[0] / sum(end.bits))
                    distortions.add((passes, checkpoint, lambda_), now[1] / end.distortion)
    for name, ratios in (("_BITS", bits), ("_DISTORTIONS", distortions)):
        print(name)
        for passes in FOUND_PASSES:
            for checkpoint in CHECKPOINTS:
                row = ratios.row((passes, checkpoint, lambda_) for lambda_ in LAMBDAS)
                print("   ", passes, row, flush=True)


def change_lambda(pictures: Sequence[FloatArray]) -> None:
    """Print the responses to a change of lambda, of bits and of distortion.

    Behind them, what share of them is pending at the next checkpoint.
    """
    for passes in FOUND_PASSES:
        responses: dict[float, list[FloatArray]] = defaultdict(list)
        seen: list[FloatArray] = []
        for lambda_ in LAMBDAS:
            for image in pictures:
                networks = chosen(image, lambda_, passes)
                watched = Recorder(lambda_)
                plain = come_to(fit_for(image, lambda_, passes, networks, watched))
                changed = fit_for(image, lambda_ * math.exp(CHANGE), passes, networks)
                responses[0.0].append(response(plain, come_to(changed)))
                for index, checkpoint in enumerate(CHECKPOINTS):
                    recorder = Recorder(lambda_, index)
                    changed = fit_for(image, lambda_, passes, networks, recorder)
                    responses[checkpoint].append(response(plain, come_to(changed)))
                    if index + 1 < len(CHECKPOINTS):
                        then = response(watched.seen[index + 1], recorder.seen[index + 1])
                        seen.append(np.stack([then, responses[checkpoint][-1]]))
        means = [np.mean(values, axis=0) for values in responses.values()]
        pending = 1 - np.divide(*np.mean(seen, axis=0))
        print("_RESPONSES, _PENDING", passes)
        for name, index in (("bits", 0), ("distortion", 1)):
            row = [round(float(mean[index]), 3) for mean in means]
            print("   ", name, row, round(float(pending[index]), 2), flush=True)


def come_to(fitted: Fitted) -> tuple[float, float]:
    """Bits and distortion."""
    return sum(fitted.bits), fitted.distortion


def response(plain: tuple[float, float], changed: tuple[float, float]) -> FloatArray:
    """How ln(bits) fell and ln(distortion) grew, for 1 more of ln(lambda)."""
    falls = math.log(plain[0] / changed[0]), math.log(changed[1] / plain[1])
    return np.array(falls, np.float32) / CHANGE


def middle(picture: NDArray[np.uint8]) -> FloatArray:
    """The middle of a picture, at most WIDTH by HEIGHT."""
    top, left = max(picture.shape[0] - HEIGHT, 0) // 2, max(picture.shape[1] - WIDTH, 0) // 2
    part = picture[top : top + HEIGHT, left : left + WIDTH]
    return np.ascontiguousarray(part, np.float32) / np.float32(255)


def chosen(image: FloatArray, lambda_: float, passes: int) -> PriorNetworks:
    """The networks that an encoder would begin with."""
    return best_networks(Trials(image), nearest_networks(lambda_, 3), lambda_, passes)


def fit_for(
    image: FloatArray,
    lambda_: float,
    passes: int,
    networks: PriorNetworks,
    control: RateControl | None = None,
) -> Fitted:
    """A fit as the encoder makes it."""
    schedule = schedule_for(passes, lambda_, networks)
    return fit(image, networks.shape, lambda_, schedule, prior=networks, control=control)


if __name__ == "__main__":
    main()
