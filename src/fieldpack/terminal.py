"""What a person at a terminal sees while a network learns: the picture, the progress, the end."""

from __future__ import annotations

import math
import shutil
import time
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.style import Style
from rich.text import Text

from fieldpack.codec.fit import Progress as PassState
from fieldpack.fitting import FitState
from fieldpack.rendering import Size

_REDRAW_SECONDS = 1.0
_UPPER_HALF = "\N{UPPER HALF BLOCK}"


class _Bar:
    """What all progress bars share: they show while one is inside of them."""

    _progress: Progress

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()


class EncodeDisplay(_Bar):
    """A progress bar with passes, loss, PSNR, bits a pixel and time left.

    Shows nothing unless standard error is a terminal.

    Args:
        pixels: Of the picture.
        is_psnr: Whether the distortion is a mean squared error; if not, no PSNR is shown.
    """

    def __init__(self, pixels: int, *, is_psnr: bool = True) -> None:
        console = Console(stderr=True)
        self._pixels = pixels
        self._progress = Progress(
            TextColumn("pass {task.completed}"),
            BarColumn(),
            TextColumn(
                ("PSNR {task.fields[psnr]:.2f} dB  " if is_psnr else "")
                + "{task.fields[bpp]:.3f} bpp"
            ),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, psnr=0.0, bpp=0.0)

    def update(self, state: PassState) -> None:
        """Show a pass."""
        self._progress.update(
            self._task,
            total=state.passes,
            completed=state.step + 1,
            psnr=-10 * math.log10(max(state.distortion, 1e-20)),
            bpp=sum(state.bits) / self._pixels,
        )


class PartDisplay(_Bar):
    """A progress bar with the part done and the time left.

    Shows nothing unless standard error is a terminal.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=1.0)

    def update(self, done: float) -> None:
        """Show the part done, 0 to 1."""
        self._progress.update(self._task, completed=done)


class FitDisplay:
    """A progress bar with step, loss, PSNR and time left, under a picture of what is learned.

    Shows nothing unless standard error is a terminal.

    Args:
        size: (width, height) of the picture.
        preview: Whether to show the picture.
    """

    def __init__(self, size: Size, preview: bool) -> None:
        console = Console(stderr=True)
        self._size = _preview_size(size) if preview and console.color_system else None
        self._picture = Text()
        self._next_redraw = 0.0
        self._progress = Progress(
            TextColumn("{task.fields[doing]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.5f}  PSNR {task.fields[psnr]:.2f} dB"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=1.0, doing="step 0", loss=0.0, psnr=0.0)
        self._live = Live(self._group(), console=console, transient=True, auto_refresh=False)
        self._shown = console.is_terminal

    def __enter__(self) -> FitDisplay:
        if self._shown:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._shown:
            self._live.stop()

    def update(self, state: FitState) -> None:
        """Show a step."""
        if not self._shown:
            return
        self._progress.update(
            self._task,
            completed=state.progress,
            doing=f"step {state.step}",
            loss=state.mean_loss,
            psnr=state.psnr,
        )
        now = time.monotonic()
        if now < self._next_redraw:
            return
        self._next_redraw = now + _REDRAW_SECONDS
        if self._size is not None and state.draw is not None:
            self._picture = half_blocks(state.draw(self._size))
        self._live.update(self._group(), refresh=True)

    def choosing(self, done: float) -> None:
        """Show how much of choosing a network is done, 0 to 1."""
        if self._shown:
            self._progress.update(self._task, completed=done, doing="choosing a network")
            self._live.refresh()

    def print(self, line: str) -> None:
        """Print a line that stays."""
        self._live.console.print(line, highlight=False, markup=False)

    def _group(self) -> Group:
        return Group(self._picture, self._progress)


def half_blocks(samples: NDArray[np.generic]) -> Text:
    """Turn a picture into coloured text, two pixels a character.

    Args:
        samples: (H, W, C) of any sample type; the first one or three channels are shown.
    """
    pixels = samples[:, :, :3] if samples.shape[2] >= 3 else samples[:, :, [0, 0, 0]]
    if pixels.dtype != np.uint8 or pixels.max(initial=0) <= 1:
        low, high = float(pixels.min(initial=0)), float(pixels.max(initial=1))
        pixels = ((pixels.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        line = Text()
        for above, below in zip(upper, lower, strict=True):
            line.append(_UPPER_HALF, Style(color=_colour(above), bgcolor=_colour(below)))
        lines.append(line)
    return Text("\n").join(lines)


def _colour(pixel: NDArray[np.generic]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(c) for c in pixel))


def _preview_size(size: Size) -> Size:
    columns, lines = shutil.get_terminal_size()
    width, height = size
    scale = min((columns - 1) / width, 2 * (lines - 3) / height, 80 / width, 1.0)
    return max(1, int(width * scale)), max(1, int(height * scale))
