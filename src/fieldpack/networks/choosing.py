"""Choosing a network for a signal: short trainings, judged by samples held out of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from fieldpack.networks.catalogue import Choice, suited
from fieldpack.networks.network import Network
from fieldpack.networks.samples import GridSamples, Samples, ScatteredSamples
from fieldpack.networks.training import TrainingState, train

# In the order of preference among equals: name and factor of the frequencies.
_CANDIDATES = (
    ("siren", 1.0),
    ("siren", 2.0),
    ("finer", 1.0),
    ("finer", 0.5),
    ("fourier", 1.0),
    ("hashgrid", 1.0),
)
_FINALISTS = 2
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
    """

    choice: Choice
    detail: float
    steps: int
    psnr: float


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
    frequencies that suit the signal, is trained on the others for a fiftieth of the steps; the
    best two of them for three times as many; and the better is taken. The choice depends
    on the data, on `steps` and on nothing else.

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
    candidates = [(suited(name, samples, positions, detail=d), d) for name, d in _CANDIDATES]
    if samples.count < _FEWEST_SAMPLES:
        return candidates[0][0], []
    known, points, targets = _split(samples)
    short = max(30, steps // 50)
    total = len(candidates) + 3 * _FINALISTS
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
        return None if stopped else Trial(choice, detail, length, _psnr(network, points, targets))

    def rounds(contestants: Sequence[tuple[Choice, float]], length: int, before: float) -> None:
        for index, (choice, detail) in enumerate(contestants):
            trial = run(choice, detail, length, before + index * length / short)
            if trial is None:
                return
            trials.append(trial)

    rounds(candidates, short, 0)
    if not stopped:
        best = sorted(trials, key=lambda trial: -trial.psnr)[:_FINALISTS]
        rounds([(trial.choice, trial.detail) for trial in best], 3 * short, len(candidates))
    if not trials:
        return candidates[0][0], []
    longest = max(trial.steps for trial in trials)
    finalists = [trial for trial in trials if trial.steps == longest]
    return max(finalists, key=lambda trial: trial.psnr).choice, trials


def _split(samples: Samples) -> tuple[ScatteredSamples, Tensor, Tensor]:
    """Return samples to train on, and the coordinates (n, d) and values (n, C) held out."""
    generator = Generator().manual_seed(_SEED)
    order = torch.randperm(samples.count, generator=generator)[:_MOST_SAMPLES]
    if isinstance(samples, GridSamples):
        points = samples.points(order)
        values = samples.values.reshape(-1, samples.channels)[order]
    else:
        points, values = samples.coordinates[order], samples.values[order]
    held = min(_MOST_HELD_OUT, max(1, int(len(order) * _SHARE_HELD_OUT)))
    return ScatteredSamples(points[held:], values[held:]), points[:held], values[:held]


@torch.no_grad()
def _psnr(network: Network, points: Tensor, targets: Tensor) -> float:
    device = next(network.parameters()).device
    parts = [
        network(*part.to(device).unbind(1)).cpu()
        for part in torch.split(points, _EVALUATED_AT_ONCE)
    ]
    error = nn.functional.mse_loss(torch.cat(parts), targets).item()
    return -10 * math.log10(max(error, 1e-20)) if math.isfinite(error) else -math.inf
