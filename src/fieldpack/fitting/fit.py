"""From a signal to a field: train a coordinate network, quantise it, make the file."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fieldpack.errors import RequestError
from fieldpack.field import Field
from fieldpack.fitting.task import Source, Task, grid_task, picture_task, samples_task
from fieldpack.interruption import StopOnInterrupt
from fieldpack.program import (
    Evaluator,
    Program,
    QuantizedTensor,
    quantize_to_bits,
    quantize_to_loss,
)
from fieldpack.rendering import Size, View, draw
from fieldpack.report import FitReport
from fieldpack.signals.description import Description, PictureDescription

if TYPE_CHECKING:
    from fieldpack.networks import Choice, Network

MAX_LOSS = 0.05
"""Largest fall in PSNR, in dB, at the probed points when weights are quantised. Over whole pictures
it may be half as much again; 0.1 dB is what `fit` promises."""
MOST_TIME_FOR_TRIALS = 0.3
"""Of the seconds that bound a fit, for choosing a network."""


@dataclass(frozen=True)
class FitState:
    """What a callback is told after each step of a fit.

    Attributes:
        step: Steps done, from 1.
        loss: Mean squared error of this step's batch, of values scaled to [0, 1].
        mean_loss: Mean of the last 100 losses.
        elapsed: Seconds since training began, callbacks included.
        progress: Part of the training done, 0 to 1.
        draw: Draws the picture as the network knows it now, at a size (width, height) or, given
            None, at its own; (H, W, C) of the picture's sample type. None when fitting scattered
            samples.
    """

    step: int
    loss: float
    mean_loss: float
    elapsed: float
    progress: float
    draw: Callable[[Size | None], NDArray[np.generic]] | None

    @property
    def psnr(self) -> float:
        """PSNR in dB that `mean_loss` stands for."""
        return -10 * math.log10(max(self.mean_loss, 1e-20))


Callback = Callable[[FitState], bool | None]


def fit(
    signal: Source | ArrayLike | None,
    values: ArrayLike | None = None,
    *,
    network: str = "gated",
    settings: Mapping[str, int | float | str] | None = None,
    recipe: Literal["default", "notebook"] = "default",
    steps: int | None = None,
    seconds: float | None = None,
    batch: int | None = None,
    bits: int | None = None,
    resolution: tuple[int, ...] | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 0,
    callback: Callback | None = None,
    on_trial: Callable[[float], bool | None] | None = None,
) -> Field:
    """Train a network on a picture, or on samples of any function.

    The first Ctrl-C stops training and keeps what was learned. The same call gives the same bytes
    on the same kind of machine, unless time bounds it.

    Size and frequencies of a network follow the samples (`fieldpack.networks.suited`). With "auto",
    short trainings judged by samples held out choose network and frequencies too; what they choose
    does not depend on the seed (`fieldpack.networks.choose`).

    Args:
        signal: A picture (path, array (H, W) or (H, W, C), Pillow image), or, if `values` is
            given, coordinates (n, d), x first, in any units, or None for a regular grid.
        values: (n, C) or (n,) values at the coordinates; those of a grid have shape
            (n_last, ..., n_0, C), like a sound (n, 1) or a film (t, y, x, 3), and its samples are
            at the coordinates (2i + 1) / n - 1. None for a picture.
        network: Which network to train: "gated", "siren", "fourier", "wire", "finer",
            "multiplicative", "hashgrid" or "auto".
        settings: Arguments of the network's class (see `fieldpack.networks`) that are to replace
            the chosen ones, such as {"first_omega": 30.0} for "siren".
        recipe: How to train it.
        steps: Most steps; None for the recipe's, or for no such bound if `seconds` is given.
        seconds: Most seconds of training.
        batch: Points a step; None for the recipe's.
        bits: Bits a weight before entropy coding, 2 to 16; None to choose each tensor's step so
            that together they cost at most 0.1 dB.
        resolution: For scattered samples, about how many samples there are along each axis, x
            first: the finest detail to expect. None to estimate it.
        seed: Of the initial weights and the drawn points.
        device: "cpu" or "cuda".
        threads: Threads to train and draw with. 0 draws with one for each core but trains with
            one: PyTorch's sums, and so the file, depend on the number of training threads, and on
            a busy machine its threads spend their time waiting for each other.
        callback: Called after each step; returning False stops.
        on_trial: Told the part done of the trials of "auto", 0 to 1; returning False ends them.

    Returns:
        The field, as it reads from the file that `field.save` writes; `field.report` tells how
        training went.

    Raises:
        SignalError: The picture or the samples are not valid.
        RequestError: An argument is out of range, or PyTorch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise RequestError("fitting a network needs PyTorch: pip install 'fieldpack[fit]'")
    import torch  # noqa: PLC0415 - only this function needs it

    from fieldpack import networks  # noqa: PLC0415

    if recipe not in networks.RECIPES:
        raise RequestError(f"there is no recipe {recipe!r}; known: {', '.join(networks.RECIPES)}")
    if network not in (*networks.NETWORKS, "auto"):
        known = ", ".join(networks.NETWORKS)
        raise RequestError(f"there is no network {network!r}; known: {known}, auto")
    if network == "auto" and settings:
        raise RequestError("settings are those of one network; name it instead of auto")
    if steps is not None and steps < 1:
        raise RequestError(f"training takes at least 1 step, not {steps}")
    if seconds is not None and not seconds > 0:
        raise RequestError(f"training takes more than 0 seconds, not {seconds}")
    _check_device(device, torch.cuda.is_available())

    if values is None:
        task = picture_task(signal)
    elif signal is None:
        if resolution is not None:
            raise RequestError("the resolution of samples on a grid is that of the grid")
        task = grid_task(values)
    else:
        task = samples_task(cast(ArrayLike, signal), values, resolution)
    description = task.description
    started = time.perf_counter()

    with StopOnInterrupt() as interrupt, _torch_threads(threads):

        def go_on(done: float) -> bool:
            late = seconds is not None and (
                time.perf_counter() - started > MOST_TIME_FOR_TRIALS * seconds
            )
            stop = on_trial is not None and on_trial(done) is False
            return not (stop or late or interrupt.requested)

        choice = _choice(network, task, steps, device, go_on).with_settings(settings or {})
        if interrupt.requested:
            raise KeyboardInterrupt  # before training there is nothing to keep
        module = choice.build(description.positions, description.channels, seed)
        chosen_after = time.perf_counter() - started

        def on_step(state: networks.TrainingState) -> bool | None:
            if interrupt.requested:
                return False
            if callback is None:
                return None
            return callback(_fit_state(state, module, description, threads))

        history = networks.train(
            module,
            task.samples,
            choice.recipe if recipe == "default" else networks.RECIPES[recipe],
            steps=steps,
            seconds=None if seconds is None else seconds - chosen_after,
            batch=batch,
            seed=seed,
            device=device,
            callback=on_step,
        )
        interrupted = interrupt.requested

    program = module.export()
    tensors = _quantize(program, task, bits, seed, threads)
    field = Field(task.file(program, tensors), threads=threads)
    recent = history.losses[-100:]
    field.report = FitReport(
        network=choice.network,
        settings=dict(choice.settings),
        recipe=recipe,
        steps=len(history.losses),
        seconds=chosen_after + history.seconds,
        loss=sum(recent) / len(recent) if recent else math.nan,
        stopped="interrupt" if interrupted else history.stopped,
        weights=module.parameter_count,
    )
    return field


def _choice(
    network: str, task: Task, steps: int | None, device: str, go_on: Callable[[float], bool]
) -> Choice:
    from fieldpack import networks  # noqa: PLC0415 - needs torch

    positions = task.description.positions
    if network != "auto":
        return networks.suited(network, task.samples, positions)
    length = networks.DEFAULT.steps if steps is None else steps
    choice, _ = networks.choose(
        task.samples, positions, steps=length, device=device, progress=go_on
    )
    return choice


def _quantize(
    program: Program, task: Task, bits: int | None, seed: int, threads: int
) -> list[QuantizedTensor]:
    if bits is not None:
        return quantize_to_bits(program, bits)
    evaluate, target = task.probe(seed)
    description = task.description
    floor = 1e-9
    if isinstance(description, PictureDescription) and description.bit_depth <= 16:
        # Rounding to integers adds the variance of one step of uniform noise.
        floor = 1 / 12 / ((1 << description.bit_depth) - 1) ** 2
    return quantize_to_loss(
        program,
        lambda candidate: evaluate(Evaluator(candidate, threads)),
        target,
        max_loss=MAX_LOSS,
        floor=floor,
    )


def _fit_state(state: Any, module: Network, description: Description, threads: int) -> FitState:
    draw_now = None
    if isinstance(description, PictureDescription):

        def draw_now(size: Size | None) -> NDArray[np.generic]:
            view = View.of(description.width, description.height, size=size)
            return draw(Evaluator(module.export(), threads), description, view)

    return FitState(
        step=state.step,
        loss=state.loss,
        mean_loss=state.mean_loss,
        elapsed=state.elapsed,
        progress=state.progress,
        draw=draw_now,
    )


@contextlib.contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Let PyTorch use so many threads for a while; 0 means one."""
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_device(device: str, cuda: bool) -> None:
    if device not in ("cpu", "cuda"):
        raise RequestError(f"the device is cpu or cuda, not {device!r}")
    if device == "cuda" and not cuda:
        raise RequestError("PyTorch finds no CUDA device on this machine; use --device cpu")
