"""Train the network that proposes missing pixels.

    python prior/train_filling.py --data DIR --out STATE.pt --steps 20000

DIR holds train/ with MANIFEST.tsv and the pictures it lists. Every step draws patches from the
pictures and from text that is drawn for the purpose, hides pixels in many ways, and lets the
network guess them. The loss of a patch is the root of the mean squared error at the hidden pixels,
so that smooth patches count too. The state is written now and then, and a later call with the same
file goes on from there; `--steps` counts all of them.
"""

from __future__ import annotations

import argparse
import math
import string
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fieldpack.filling.guess import thin_plate
from prior.filling_network import FillingNetwork
from prior.train import VALIDATION_SOURCES, manifest, read

PATCH, BATCH = 64, 8
RATE, WARM_UP, AVERAGING = 2e-3, 200, 0.998
PIXELS = NDArray[np.uint8]
MASK = NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--save-every", type=int, default=1000)
    parser.add_argument("--text", type=float, default=0.25, help="share of patches that are text")
    parser.add_argument("--rate", type=float, default=RATE, help="of learning, at its highest")
    parser.add_argument("--start", type=Path, help="state of another training to begin from")
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # much faster on CPUs
    torch.manual_seed(0)
    network = FillingNetwork().to(memory_format=torch.channels_last)
    average = [p.detach().clone() for p in network.parameters()]
    tail = list(network.tail.parameters())
    others = list(network.parameters())[: -len(tail)]
    # The corrections are small, and so must the last weights' steps be.
    groups = [{"params": others, "share": 1.0}, {"params": tail, "share": 0.1}]
    optimiser = torch.optim.Adam(groups, RATE, betas=(0.9, 0.99))
    first = 0
    if options.out.exists():
        state = torch.load(options.out)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average, first = state["average"], state["step"]
    elif options.start:
        average = torch.load(options.start)["average"]
        with torch.no_grad():
            for parameter, mean in zip(network.parameters(), average, strict=True):
                parameter.copy_(mean)
    training, validation = files_of(options.data / "train")
    pictures = [read(path) for path in training]
    kept = [read(path) for path in validation]
    fonts = sorted(options.fonts.rglob("*.ttf"))
    if not fonts:
        sys.exit(f"there are no fonts (*.ttf) in {options.fonts}")
    print(f"{len(pictures)} pictures, {len(kept)} for validation, {len(fonts)} fonts", flush=True)
    started, losses = time.time(), []
    for step in range(first, options.steps):
        random = np.random.default_rng(step)
        patches = [
            draw_patch(pictures, fonts, options.text, random)[:, :, random.integers(3)]
            for _ in range(BATCH)
        ]
        masks = [draw_mask(PATCH, PATCH, random) for _ in range(BATCH)]
        image, guess, mask = tensors(patches, masks)
        rate = (
            options.rate
            * min(1, (step + 1) / WARM_UP)
            * 0.5
            * (1 + math.cos(math.pi * step / options.steps))
        )
        for group in optimiser.param_groups:
            group["lr"] = rate * group["share"]
        loss = root_error(network(guess, mask), image, mask).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimiser.step()
        losses.append(loss.item())
        with torch.no_grad():
            decay = min(AVERAGING, (step + 1) / (step + 10))
            for mean, parameter in zip(average, network.parameters(), strict=True):
                mean.lerp_(parameter, 1 - decay)
        if (step + 1) % options.save_every == 0 or step + 1 == options.steps:
            current = {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "average": average,
                "step": step + 1,
            }
            torch.save(current, options.out.with_suffix(".new"))
            options.out.with_suffix(".new").replace(options.out)
            print(
                f"step {step + 1}: loss {np.mean(losses):.5f}, "
                f"{validate(average, kept, fonts)}, {time.time() - started:.0f} s",
                flush=True,
            )
            losses.clear()


def files_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures to train with, and those of the sources that are kept aside."""
    aside = {
        row["file"]: any(s in row["source"] for s in VALIDATION_SOURCES) for row in manifest(folder)
    }
    return (
        [folder / name for name, kept in aside.items() if not kept],
        [folder / name for name, kept in aside.items() if kept],
    )


def draw_patch(
    pictures: list[PIXELS], fonts: list[Path], text_share: float, random: np.random.Generator
) -> PIXELS:
    """A patch of a picture, reduced, turned, with its colours changed; or some text."""
    if random.random() < text_share:
        return draw_text(fonts, random)
    picture = pictures[random.integers(len(pictures))]
    height, width = picture.shape[:2]
    # The sharper half is reduced from up to three times the size.
    scale = 1.0 if random.random() < 0.5 else math.exp(random.uniform(0, math.log(3)))
    side = min(round(PATCH * scale), height, width)
    top = int(random.integers(height - side + 1))
    left = int(random.integers(width - side + 1))
    part = picture[top : top + side, left : left + side]
    if side != PATCH:
        way = (Image.Resampling.BOX, Image.Resampling.LANCZOS, Image.Resampling.BICUBIC)
        part = np.asarray(Image.fromarray(part).resize((PATCH, PATCH), way[random.integers(3)]))
    return turned(part, random)


def turned(part: PIXELS, random: np.random.Generator) -> PIXELS:
    """Any of eight orientations; sometimes other colours, as a negative, or grey."""
    part = np.rot90(part, random.integers(4))
    if random.integers(2):
        part = part[:, ::-1]
    if random.random() < 0.3:
        part = part[:, :, random.permutation(3)]
    if random.random() < 0.1:
        part = 255 - part
    if random.random() < 0.05:
        part = np.repeat(part[:, :, 1:2], 3, axis=2)
    return np.ascontiguousarray(part)


def draw_text(fonts: list[Path], random: np.random.Generator) -> PIXELS:
    """Words of random letters on one colour, with smooth edges or without."""

    def colour() -> tuple[int, ...]:
        return tuple(int(c) for c in random.integers(0, 256, 3))

    background = (255, 255, 255) if random.random() < 0.4 else colour()
    image = Image.new("RGB", (PATCH, PATCH), background)
    pencil = ImageDraw.Draw(image)
    pencil.fontmode = "1" if random.random() < 0.25 else "L"
    letters = list(string.ascii_letters + string.digits)
    for _ in range(int(random.integers(1, 6))):
        size = int(math.exp(random.uniform(math.log(14), math.log(90))))
        font = ImageFont.truetype(fonts[random.integers(len(fonts))], size)
        place = (int(random.integers(-60, PATCH)), int(random.integers(-20, PATCH)))
        words = "".join(random.choice(letters, int(random.integers(3, 12))))
        pencil.text(place, words, colour(), font=font)
    return turned(np.asarray(image), random)


def draw_mask(height: int, width: int, random: np.random.Generator) -> MASK:
    """Which pixels are known: something is, and something is not."""
    while True:
        mask = _draw_mask(height, width, random)
        if mask.any() and not mask.all():
            return mask


def _draw_mask(height: int, width: int, random: np.random.Generator) -> MASK:
    kind = random.random()
    rows, columns = np.mgrid[:height, :width]
    if kind < 0.45:
        share = math.exp(random.uniform(math.log(0.03), math.log(0.9)))
        return np.asarray(random.random((height, width)) < share)
    if kind < 0.68:
        step = int(random.choice([2, 2, 2, 2, 2, 3, 4]))
        y, x = random.integers(step, size=2)
        return np.asarray((rows % step == y) & (columns % step == x))
    if kind < 0.76:
        lines = rows if random.integers(2) else columns
        if random.integers(2):
            return np.asarray(random.random(lines.max() + 1)[lines] < random.uniform(0.3, 0.97))
        step = int(random.integers(2, 5))
        return np.asarray((lines % step == 0) ^ bool(random.integers(2)))
    image = Image.new("1", (width, height), 1)
    pencil = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 8))):
        if random.random() < 0.3:
            size = random.integers(4, 65, 2)
            corner = random.integers(-size // 2, (width, height))
            pencil.rectangle([*corner.tolist(), *(corner + size).tolist()], fill=0)
        elif random.random() < 0.4:
            size = int(random.integers(10, 40))
            place = random.integers(-size, (width, height)).tolist()
            pencil.text(
                place,
                "".join(random.choice(list(string.printable[:62]), 12)),
                0,
                font=ImageFont.load_default(size),
            )
        else:
            points = random.integers(
                -10, (width + 10, height + 10), (int(random.integers(2, 5)), 2)
            )
            pencil.line([tuple(p) for p in points.tolist()], 0, int(random.integers(1, 9)))
    mask = np.asarray(image)
    if random.random() < 0.15:
        mask = mask & (random.random(mask.shape) < random.uniform(0.1, 0.9))
    return mask


def tensors(patches: list[PIXELS], masks: list[MASK]) -> tuple[torch.Tensor, ...]:
    """Single channels, first guesses at them, and masks, as the network sees them."""

    def stacked(arrays: list[NDArray[np.float32]]) -> torch.Tensor:
        batch = torch.from_numpy(np.stack(arrays).transpose(0, 3, 1, 2))
        return batch.contiguous(memory_format=torch.channels_last)

    images = [patch[:, :, np.newaxis].astype(np.float32) / 255 for patch in patches]
    guesses = [thin_plate(image, mask) for image, mask in zip(images, masks, strict=True)]
    known = [mask[:, :, np.newaxis].astype(np.float32) for mask in masks]
    return stacked(images), stacked(guesses), stacked(known)


def root_error(guess: torch.Tensor, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Root of the mean squared error of each patch at its missing pixels."""
    missing = 1 - mask
    error = ((guess - image) ** 2 * missing).sum((1, 2, 3)) / missing.sum((1, 2, 3))
    return (error + 1e-5).sqrt()


@torch.no_grad()
def validate(average: list[torch.Tensor], pictures: list[PIXELS], fonts: list[Path]) -> str:
    """PSNR at the missing pixels of pictures that training never sees, by kind of mask."""
    network = FillingNetwork()
    for parameter, mean in zip(network.parameters(), average, strict=True):
        parameter.copy_(mean)
    random = np.random.default_rng(1)
    grid = np.zeros((256, 256), bool)
    grid[::2, ::2] = True
    masks = {"grid": grid} | {f"{s:g}": random.random(grid.shape) < s for s in (0.1, 0.25, 0.5)}
    parts = []
    for name, mask in masks.items():
        values = []
        for picture in pictures[:: max(1, len(pictures) // 12)]:
            image, first, known = tensors([picture[100:356, 100:356, 1]], [mask])
            guess = network(first, known).clamp(0, 1)
            missing = (1 - known).expand_as(image) > 0
            values.append(-10 * math.log10(float((guess - image)[missing].square().mean()) + 1e-9))
        parts.append(f"{name} {np.mean(values):.3f}")
    values = []
    for _ in range(16):
        image, first, known = tensors([draw_text(fonts, random)[:, :, 1]], [grid[:PATCH, :PATCH]])
        guess = network(first, known).clamp(0, 1)
        values.append(-10 * math.log10(float((guess - image).square().mean()) + 1e-9))
    parts.append(f"text {np.mean(values):.3f}")
    return "PSNR " + ", ".join(parts)


if __name__ == "__main__":
    main()
