"""Choosing a network for a signal: short trainings, judged by samples held out of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, nn

from fieldpack.networks.catalogue import Choice, suited
from fieldpack.networks.hashgrid import MOST_AXES
from fieldpack.networks.network import Network
from fieldpack.networks.samples import GridSamples, Samples, ScatteredSamples
from fieldpack.networks.training import DivergenceError, TrainingState, train

# In the order of preference among equals: name and factor of the frequencies.
_CANDIDATES = (
    ("siren", 1.0),
    ("siren", 2.0),
    ("siren", 0.5),
    ("finer", 1.0),
    ("finer", 0.5),
    ("fourier", 1.0),
    ("hashgrid", 1.0),
)
_LONGER = 5
_EQUAL = 0.5  # dB
_FEWEST_SAMPLES = 64
_MOST_SAMPLES = 1 << 20
_MOST_HELD_OUT = 1 << 12
_SHARE_HELD_OUT = 1 / 8
_TRIAL_BATCH = 1024
_EVALUATED_AT_ONCE = 1 << 11
# Trials do not depend on the seed of a fit, so that all seeds train the same network.
_SEED = 0

Progress = Callable[[float], bool | None]


@dataclass(frozen=True)
class Trial:
    """One short training.

    Attributes:
        choice: What was trained.
        detail: Factor of its frequencies.
        steps: For how many steps.
        psnr: In dB, of values in 0 .. 1 at the samples held out.
        psnr_known: The same at samples trained on.
    """

    choice: Choice
    detail: float
    steps: int
    psnr: float
    psnr_known: float


def choose(
    samples: Samples,
    positions: Sequence[int],
    *,
    steps: int,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> tuple[Choice, list[Trial]]:
    """Choose network, frequencies, learning rate and size from the data.

    An eighth of the samples (4,096 at most) is held out. Every candidate, with the size and the
    frequencies that suit the signal, is trained on the others for a fiftieth of the steps; of each
    network, the candidate that is best at the samples held out is trained for five times as many.
    Of these, those within 0.5 dB of the best count as equals, and the one that is best at the
    samples it was trained on is taken. The choice depends on the data, on `steps` and on nothing
    else.

    Args:
        samples: The signal.
        positions: Positions on each axis, x first.
        steps: Of the training that is to follow.
        device: "cpu" or "cuda".
        progress: Told the part done, 0 to 1; returning False ends the trials, and the best so far
            is taken.

    Returns:
        The choice, and the trials that led to it: none if there are too few samples to hold any
        out, where a SIREN is taken.
    """
    candidates = [
        (suited(name, samples, positions, detail=detail), detail)
        for name, detail in _CANDIDATES
        if name != "hashgrid" or samples.axes <= MOST_AXES
    ]
    if samples.count < _FEWEST_SAMPLES:
        return candidates[0][0], []
    known, held = _split(samples)
    short = max(30, steps // 50)
    total = len(candidates) + _LONGER * len({choice.network for choice, _ in candidates})
    trials: list[Trial] = []
    stopped = False

    def run(choice: Choice, detail: float, length: int, before: float) -> Trial | None:
        nonlocal stopped

        def on_step(state: TrainingState) -> bool:
            nonlocal stopped
            done = before + state.step / short
            stopped = progress is not None and progress(done / total) is False
            return not stopped

        network = choice.build(positions, samples.channels, _SEED)
        try:
            train(
                network,
                known,
                choice.recipe,
                steps=length,
                batch=_TRIAL_BATCH,
                seed=_SEED,
                device=device,
                callback=on_step,
            )
        except DivergenceError:
            return Trial(choice, detail, length, -math.inf, -math.inf)
        if stopped:
            return None
        return Trial(choice, detail, length, _psnr(network, held), _psnr(network, known))

    def rounds(contestants: Sequence[tuple[Choice, float]], length: int, before: float) -> None:
        for index, (choice, detail) in enumerate(contestants):
            trial = run(choice, detail, length, before + index * length / short)
            if trial is None:
                return
            trials.append(trial)

    rounds(candidates, short, 0)
    if not stopped:
        best: dict[str, Trial] = {}
        for trial in sorted(trials, key=lambda trial: -trial.psnr):
            best.setdefault(trial.choice.network, trial)
        finalists = [(trial.choice, trial.detail) for trial in best.values()]
        rounds(finalists, _LONGER * short, len(candidates))
    if not trials:
        return candidates[0][0], []
    longest = max(trial.steps for trial in trials)
    last = [trial for trial in trials if trial.steps == longest]
    best_psnr = max(trial.psnr for trial in last)
    equals = [trial for trial in last if trial.psnr >= best_psnr - _EQUAL]
    return max(equals, key=lambda trial: trial.psnr_known).choice, trials


def _split(samples: Samples) -> tuple[ScatteredSamples, ScatteredSamples]:
    """Return samples to train on, and samples held out."""
    generator = Generator().manual_seed(_SEED)
    order = torch.randperm(samples.count, generator=generator)[:_MOST_SAMPLES]
    if isinstance(samples, GridSamples):
        points = samples.points(order)
        values = samples.values.reshape(-1, samples.channels)[order]
    else:
        points, values = samples.coordinates[order], samples.values[order]
    held = min(_MOST_HELD_OUT, max(1, int(len(order) * _SHARE_HELD_OUT)))
    return ScatteredSamples(points[held:], values[held:]), ScatteredSamples(
        points[:held], values[:held]
    )


@torch.no_grad()
def _psnr(network: Network, samples: ScatteredSamples) -> float:
    """PSNR in dB at some of the samples, which are in random order."""
    device = next(network.parameters()).device
    points = torch.split(samples.coordinates[:_MOST_HELD_OUT], _EVALUATED_AT_ONCE)
    values = torch.cat([network(*part.to(device).unbind(1)).cpu() for part in points])
    error = nn.functional.mse_loss(values, samples.values[:_MOST_HELD_OUT]).item()
    return -10 * math.log10(max(error, 1e-20)) if math.isfinite(error) else -math.inf
