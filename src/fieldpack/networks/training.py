"""The one training loop of all coordinate networks."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor, nn

from fieldpack.errors import FieldpackError, RequestError
from fieldpack.networks.network import Network
from fieldpack.networks.objectives import VALUES, Objective
from fieldpack.networks.recipes import Recipe
from fieldpack.networks.samples import Batch, Samples
from fieldpack.networks.statistics import average_statistics, settle_constants

_BACKUP_EVERY = 100
_MOST_RECOVERIES = 8
_MEAN_OVER = 100


@dataclass(frozen=True)
class TrainingState:
    """What a callback is told after each step.

    Attributes:
        step: Steps done, from 1.
        loss: Mean squared error of this step's batch, before the step.
        mean_loss: Mean of the last 100 losses (of all, if fewer).
        elapsed: Seconds since the start, callbacks included.
        progress: Part done, 0 to 1, by steps or by time, whichever is nearer its end.
    """

    step: int
    loss: float
    mean_loss: float
    elapsed: float
    progress: float


@dataclass
class History:
    """What happened in a training.

    Attributes:
        losses: Mean squared error of each step's batch.
        seconds: Seconds taken, callbacks included.
        stopped: "steps", "seconds" or "callback".
        recoveries: How often training diverged and went on from earlier weights at half the rate.
    """

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = "steps"
    recoveries: int = 0


class DivergenceError(FieldpackError):
    """The loss is not a finite number however small the rate."""


Callback = Callable[[TrainingState], bool | None]


def train(
    network: Network,
    samples: Samples,
    recipe: Recipe,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    batch: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    objective: Objective = VALUES,
    callback: Callback | None = None,
) -> History:
    """Train a network in place; it ends in evaluation mode, on `device`.

    The rate follows the nearer of the two bounds, so that training is annealed to its end also
    when time bounds it. If the loss stops being a finite number, training goes on from the
    weights of at most 100 steps before, at half the rate. With the same seed, device and number
    of torch threads the result is the same, unless time bounds it.

    Args:
        network: What to train.
        samples: Where points are drawn from.
        recipe: How to train.
        steps: Most steps; None for no such bound if `seconds` is given, else the recipe's.
        seconds: Most seconds; None for no such bound.
        batch: Points a step, at least 2; None for the recipe's.
        seed: Of the drawn points.
        device: "cpu" or "cuda".
        objective: What of the network is to match the samples' values.
        callback: Called after each step; returning False stops, and the weights are kept.

    Raises:
        RequestError: A bound is not positive, or samples and network do not go together.
        DivergenceError: The loss is not a finite number however small the rate.
    """
    if steps is None and seconds is None:
        steps = recipe.steps
    size = recipe.batch if batch is None else batch
    _check(network, samples, steps, seconds, size, objective)
    limits = (math.inf if steps is None else steps, math.inf if seconds is None else seconds)

    started = time.perf_counter()
    network.to(device).train()
    generator = Generator().manual_seed(seed)
    draw = samples.draw_crossings if recipe.sampling == "crossings" else samples.draw_points
    rate = recipe.rate
    optimizers = recipe.optimizers(network, rate)
    history = History()
    recent: deque[float] = deque(maxlen=_MEAN_OVER)
    good = _copy_state(network)
    step = 0
    with _matmul_precision(recipe.matmul):
        while True:
            elapsed = time.perf_counter() - started
            progress = min(1.0, max(step / limits[0], elapsed / limits[1]))
            if progress == 1 and step > 0:
                history.stopped = "steps" if step >= limits[0] else "seconds"
                break
            drawn = _to_device(draw(size, generator), device)
            loss = objective.loss(network, drawn)
            loss_value = loss.item()
            if not math.isfinite(loss_value):
                history.recoveries += 1
                if history.recoveries > _MOST_RECOVERIES:
                    raise DivergenceError("training diverges at every rate")
                network.load_state_dict(good)
                rate /= 2
                optimizers = recipe.optimizers(network, rate)
                continue
            if step % _BACKUP_EVERY == 0:
                good = _copy_state(network)
            network.zero_grad()
            torch.autograd.backward(loss)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * recipe.schedule(progress) * group.get("factor", 1.0)
                optimizer.step()
            step += 1

            history.losses.append(loss_value)
            recent.append(loss_value)
            if callback is not None:
                elapsed = time.perf_counter() - started
                progress = min(1.0, max(step / limits[0], elapsed / limits[1]))
                mean_loss = sum(recent) / len(recent)
                state = TrainingState(step, loss_value, mean_loss, elapsed, progress)
                if callback(state) is False:
                    history.stopped = "callback"
                    break

        if not all(bool(torch.isfinite(weight).all()) for weight in network.parameters()):
            network.load_state_dict(good)
        if recipe.average_statistics:
            average_statistics(
                network, (_to_device(draw(size, generator), device) for _ in range(16))
            )
    settle_constants(network)
    network.eval()
    history.seconds = time.perf_counter() - started
    return history


def _check(
    network: Network,
    samples: Samples,
    steps: int | None,
    seconds: float | None,
    batch: int,
    objective: Objective,
) -> None:
    if steps is not None and steps < 1:
        raise RequestError(f"training takes at least 1 step, not {steps}")
    if seconds is not None and not seconds > 0:
        raise RequestError(f"training takes more than 0 seconds, not {seconds}")
    if batch < 2:
        raise RequestError(f"a batch has at least 2 points, not {batch}")
    channels = objective.target_channels(network)
    if (samples.axes, samples.channels) != (network.axes, channels):
        raise RequestError(
            f"the network has {channels} channels of {objective.name} at {network.axes} "
            f"coordinates, the samples {samples.channels} at {samples.axes}"
        )


def _to_device(drawn: Batch, device: torch.device | str) -> Batch:
    coordinates = tuple(coordinate.to(device) for coordinate in drawn.coordinates)
    return replace(drawn, coordinates=coordinates, values=drawn.values.to(device))


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@contextlib.contextmanager
def _matmul_precision(precision: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
