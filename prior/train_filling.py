"""Train the network that proposes missing pixels.

    python prior/train_filling.py --data DIR --out STATE.pt --seconds 600 [--device cuda]

DIR holds train/ with MANIFEST.tsv and the pictures it lists. Every step draws patches from the
pictures and from text that is drawn for the purpose, hides pixels in many ways, and lets the
network guess them. The loss of a patch is the root of the mean squared error at the hidden pixels,
so that smooth patches count too. Training ends when its time is over, and its rate falls to 0 until
then; the state is written now and then, and a later call with the same file goes on from there with
the time that was left.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prior.filling_network import FillingNetwork
from prior.filling_patches import Patches, Pixels, draw_holes, draw_text, first_guess, relaxed
from prior.train import VALIDATION_SOURCES, manifest, read

SIDE = 96  # of a patch
WARM_UP, AVERAGING = 300, 0.9995


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--save-every", type=float, default=60, help="seconds")
    parser.add_argument("--batch", type=int, default=64, help="patches a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="of learning, at its highest")
    parser.add_argument("--text", type=float, default=0.3, help="share of patches that are text")
    parser.add_argument(
        "--strokes", type=float, default=0.4, help="share of the text in OpenCV's stroke fonts"
    )
    parser.add_argument("--texts", type=int, default=40000, help="texts to draw before the start")
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--eager", action="store_true", help="do without a CUDA graph")
    options = parser.parse_args()
    training, validation = files_of(options.data / "train")
    fonts = sorted(options.fonts.rglob("*.[to]tf"))
    if not fonts:
        sys.exit(f"there are no fonts (*.ttf, *.otf) in {options.fonts}")
    with multiprocessing.Pool() as pool:
        write = partial(_text, fonts, options.strokes)
        texts = np.stack(pool.map(write, range(options.texts), 64))
        holes = np.stack(pool.map(_holes, range(20000), 64))
        pictures, kept = pool.map(read, training), pool.map(read, validation)
    pictures = [p for p in pictures if min(p.shape[:2]) >= SIDE]
    print(f"{len(pictures)} pictures, {len(kept)} for validation, {len(fonts)} fonts", flush=True)
    device = torch.device(options.device)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # much faster on CPUs
    torch.backends.cudnn.benchmark = True
    training_texts = texts[: -len(texts) // 20]
    patches = Patches(pictures, training_texts, holes, options.text, device)
    train(Training(patches, options), kept, texts[-64:], options)


class Training:
    """The network, its average and its optimiser; `step` makes one step."""

    def __init__(self, patches: Patches, options: argparse.Namespace) -> None:
        self.patches, self.batch, self.device = patches, options.batch, patches.device
        is_cuda = self.device.type == "cuda"
        self.network = FillingNetwork().to(self.device, memory_format=torch.channels_last)
        self.average = FillingNetwork().to(self.device)
        self.average.load_state_dict(self.network.state_dict())
        tail = list(self.network.tail.parameters())
        others = [p for n, p in self.network.named_parameters() if not n.startswith("tail.")]
        # The corrections are small, and so must the last weights' steps be.
        groups = [{"params": others, "share": 1.0}, {"params": tail, "share": 0.1}]
        self.optimiser = torch.optim.Adam(
            groups, torch.tensor(options.rate), betas=(0.9, 0.99), capturable=is_cuda
        )
        self.steps, self.seconds = 0, 0.0
        if options.out.exists():
            self._load(torch.load(options.out, map_location=self.device))
        for group in self.optimiser.param_groups:
            group["lr"] = torch.tensor(0.0, device=self.device)
        self.loss = torch.zeros((), device=self.device)  # sum since the last report
        self.decay = torch.ones((), device=self.device)
        self.relaxed = torch.compile(relaxed) if is_cuda else relaxed
        self.step = self._captured() if is_cuda and not options.eager else self._step

    def _load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps, self.seconds = state["step"], state["seconds"]

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.steps,
            "seconds": self.seconds,
        }

    def set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"].fill_(rate * group["share"])
        self.decay.fill_(min(AVERAGING, (self.steps + 1) / (self.steps + 10)))

    def _step(self) -> None:
        image, mask = self.patches.draw(self.batch)
        guess = first_guess(image, mask, self.relaxed)
        use = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=use, cache_enabled=False):
            out = self.network(
                guess.contiguous(memory_format=torch.channels_last),
                mask.contiguous(memory_format=torch.channels_last),
            )
        loss = root_error(out.float(), image, mask).mean()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 0.5, foreach=True)
        self.optimiser.step()
        with torch.no_grad():
            self.loss += loss.detach()
            means = list(self.average.parameters())
            changes = torch._foreach_sub(list(self.network.parameters()), means)
            torch._foreach_mul_(changes, 1 - self.decay)
            torch._foreach_add_(means, changes)

    def _captured(self) -> Callable[[], None]:
        """One step as a CUDA graph: a launch instead of some hundreds."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):
                self._step()  # at a rate of 0
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph.replay


def train(
    training: Training, kept: list[Pixels], texts: Pixels, options: argparse.Namespace
) -> None:
    """Make steps until the time is over."""
    started, reported, saved = time.time() - training.seconds, training.steps, training.seconds
    training.loss.zero_()
    done = 0.0
    while done < 1:
        done = min(1.0, training.seconds / options.seconds)
        fall = 0.5 * (1 + math.cos(math.pi * done))
        training.set_rate(options.rate * min(1, (training.steps + 1) / WARM_UP) * fall)
        training.step()
        training.steps += 1
        if training.steps % 16 == 0:
            training.loss.item()  # waits, so that the time is that of what is done
        training.seconds = time.time() - started
        if training.seconds - saved >= options.save_every or done == 1:
            saved = training.seconds
            loss = training.loss.item() / (training.steps - reported)
            training.loss.zero_()
            reported = training.steps
            print(
                f"step {reported}: loss {loss:.5f}, {validate(training.average, kept, texts)}, "
                f"{saved:.0f} s",
                flush=True,
            )
            write(options.out, training.state())


def write(path: Path, state: dict[str, Any]) -> None:
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def files_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures to train with, and those of the sources that are kept aside."""
    aside = {
        row["file"]: any(s in row["source"] for s in VALIDATION_SOURCES) for row in manifest(folder)
    }
    return (
        [folder / name for name, kept in aside.items() if not kept],
        [folder / name for name, kept in aside.items() if kept],
    )


def _text(fonts: list[Path], strokes: float, seed: int) -> Pixels:
    return draw_text(SIDE, fonts, strokes, np.random.default_rng((1, seed)))


def _holes(seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return draw_holes(SIDE, np.random.default_rng((2, seed)))


def root_error(guess: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Root of the mean squared error of each patch at its missing pixels."""
    missing = 1 - mask
    error = ((guess - image) ** 2 * missing).sum((1, 2, 3)) / missing.sum((1, 2, 3))
    return (error + 1e-5).sqrt()


@torch.no_grad()
def validate(network: FillingNetwork, pictures: list[Pixels], texts: Pixels) -> str:
    """PSNR at the missing pixels of pictures and text not trained on, by kind of mask."""
    device = next(network.parameters()).device
    random = np.random.default_rng(1)
    grid = np.zeros((256, 256), bool)
    grid[::2, ::2] = True
    masks = {"grid": grid} | {f"{s:g}": random.random(grid.shape) < s for s in (0.1, 0.25, 0.5)}
    holes = np.ones((256, 256), bool)
    holes[32:64, 40:80] = holes[128:192, 128:192] = holes[:, 100:103] = False
    some = [p[-256:, -256:, 1] for p in pictures if min(p.shape[:2]) >= 256]
    some = some[:: max(1, len(some) // 12)]
    images = torch.from_numpy(np.stack(some)).to(device)[:, None] / 255

    def score(images: Tensor, mask: np.ndarray[Any, Any]) -> float:
        known = torch.from_numpy(mask).to(device, torch.float32).expand_as(images)
        guess = network(first_guess(images, known), known).clamp(0, 1)
        missing = 1 - known
        error = ((guess - images) ** 2 * missing).sum((1, 2, 3)) / missing.sum((1, 2, 3))
        return float((-10 * torch.log10(error + 1e-9)).mean())

    parts = [f"{name} {score(images, m):.3f}" for name, m in (masks | {"holes": holes}).items()]
    lettering = torch.from_numpy(texts[:, 1:2]).to(device) / 255
    parts.append(f"text {score(lettering, grid[:SIDE, :SIDE]):.3f}")
    return "PSNR " + ", ".join(parts)


if __name__ == "__main__":
    main()
