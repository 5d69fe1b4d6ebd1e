"""Patches with hidden pixels to train the filling network on, drawn on the device that trains.

Pictures, drawn text and irregular masks are prepared once; every batch picks and turns them, and
hides pixels. The first guesses are those of fieldpack/filling/guess.py, for a batch at a time.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from fieldpack.filling.guess import ITERATIONS, MOMENTUM, TENSION

Pixels = NDArray[np.uint8]
_WAYS = (Image.Resampling.BOX, Image.Resampling.LANCZOS, Image.Resampling.BICUBIC)
_REDUCTIONS = 4  # of each picture


class Patches:
    """A source of batches.

    Args:
        pictures: Each (H, W, 3), with sides of a patch at least.
        texts: (n, 3, side, side).
        holes: (n, side, side), true where known.
        text_share: Share of the patches that are text.
        device: Where batches are made.
    """

    def __init__(
        self,
        pictures: Sequence[Pixels],
        texts: Pixels,
        holes: NDArray[np.bool_],
        text_share: float,
        device: torch.device,
    ) -> None:
        self.side = texts.shape[-1]
        self.text_share, self.device = text_share, device
        random = np.random.default_rng(0)
        self._originals = len(pictures)
        versions = [*pictures, *(reduced(p, self.side, random) for p in pictures * _REDUCTIONS)]
        sizes = torch.tensor([v.shape[:2] for v in versions])
        starts = torch.tensor([0, *np.cumsum([v.size for v in versions])[:-1]])
        self._heights, self._widths = sizes[:, 0].to(device), sizes[:, 1].to(device)
        self._starts = starts.to(device)
        planar = [v.transpose(2, 0, 1).reshape(-1) for v in versions]
        self._pixels = torch.from_numpy(np.concatenate(planar)).to(device)
        self._texts = torch.from_numpy(texts.reshape(-1)).to(device)
        self._holes = torch.from_numpy(holes).to(device)
        self._text_count = len(texts)
        self._steps = torch.tensor([2, 2, 2, 2, 2, 3, 4], device=device)  # of grids

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Return patches (count, 1, side, side) in 0 .. 1, and masks, 1 where known, else 0."""
        image = torch.where(
            self._uniform(count, 1, 1) < self.text_share, self._text(count), self._part(count)
        )
        image = image.to(torch.float32) / 255
        image = torch.where(self._uniform(count, 1, 1) < 0.1, 1 - image, image)
        return image[:, None], self._masks(count).to(torch.float32)[:, None]

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device)

    def _whole(self, below: Tensor | int, count: int) -> Tensor:
        """Random whole numbers from 0 on, each below its bound."""
        return (self._uniform(count) * below).long()

    def _places(self, count: int) -> tuple[Tensor, Tensor]:
        """Row and column of each pixel of a patch, in one of eight orientations a patch."""
        axis = torch.arange(self.side, device=self.device)
        rows = axis[:, None].expand(count, self.side, self.side)
        columns = axis[None, :].expand(count, self.side, self.side)
        swap, up, left = (self._uniform(count, 1, 1) < 0.5 for _ in range(3))
        rows, columns = torch.where(swap, columns, rows), torch.where(swap, rows, columns)
        last = self.side - 1
        return torch.where(up, last - rows, rows), torch.where(left, last - columns, columns)

    def _part(self, count: int) -> Tensor:
        """One channel of parts of the pictures, half of them reduced."""
        reductions = len(self._starts) - self._originals
        which = torch.where(
            self._uniform(count) < 0.5,
            self._whole(self._originals, count),
            self._originals + self._whole(reductions, count),
        )
        height, width = self._heights[which], self._widths[which]
        start = self._starts[which] + self._whole(3, count) * height * width
        top = self._whole(height - self.side + 1, count)
        left = self._whole(width - self.side + 1, count)
        rows, columns = self._places(count)
        rows, columns = rows + top[:, None, None], columns + left[:, None, None]
        return self._pixels[start[:, None, None] + rows * width[:, None, None] + columns]

    def _text(self, count: int) -> Tensor:
        """One channel of the texts."""
        rows, columns = self._places(count)
        plane = self._whole(3 * self._text_count, count)[:, None, None]
        return self._texts[(plane * self.side + rows) * self.side + columns]

    def _masks(self, count: int) -> Tensor:
        """Which pixels are known: something is, and something is not."""
        rows, columns = self._places(count)
        kind, share = self._uniform(count, 1, 1), self._uniform(count, 1, 1)
        noise = self._uniform(count, self.side, self.side)
        low, high = math.log(0.03), math.log(0.9)
        scattered = noise < torch.exp(low + (high - low) * share)
        step = self._steps[self._whole(len(self._steps), count)][:, None, None]
        y, x = (self._whole(step[:, 0, 0], count)[:, None, None] for _ in range(2))
        grid = (rows % step == y) & (columns % step == x)
        # Whole lines, at random or evenly; `rows` are columns as often as not.
        line_noise = self._uniform(count, self.side).gather(1, rows.flatten(1)).view_as(rows)
        step = 2 + self._whole(3, count)[:, None, None]
        inverted = self._uniform(count, 1, 1) < 0.5
        lines = torch.where(
            self._uniform(count, 1, 1) < 0.5,
            line_noise < 0.3 + 0.67 * share,
            (rows % step == 0) ^ inverted,
        )
        holes = self._holes[self._whole(len(self._holes), count)[:, None, None], rows, columns]
        sparse = self._uniform(count, 1, 1) < 0.15
        holes = holes & ~(sparse & (noise > 0.1 + 0.8 * share))
        mask = torch.where(kind < 0.45, scattered, grid)
        mask = torch.where(kind < 0.68, mask, lines)
        mask = torch.where(kind < 0.76, mask, holes)
        known = mask.flatten(1).sum(1)
        is_fit = (known > 0) & (known < self.side * self.side)
        return torch.where(is_fit[:, None, None], mask, grid)


def reduced(picture: Pixels, side: int, random: np.random.Generator) -> Pixels:
    """The picture at a third of its size or more, but with sides of `side` at least."""
    height, width = picture.shape[:2]
    factor = min(math.exp(random.uniform(0, math.log(3))), min(height, width) / side)
    size = max(side, round(width / factor)), max(side, round(height / factor))
    way = _WAYS[random.integers(len(_WAYS))]
    return np.asarray(Image.fromarray(picture).resize(size, way))


def draw_text(
    side: int, fonts: Sequence[Path], stroke_share: float, random: np.random.Generator
) -> Pixels:
    """Words of random letters on one colour, (3, side, side), with smooth edges or without.

    A share is drawn in the stroke fonts of OpenCV (after Hershey, 1967), which it takes to do so.
    """

    def colour() -> tuple[int, ...]:
        return tuple(int(c) for c in random.integers(0, 256, 3))

    background = (255, 255, 255) if random.random() < 0.4 else colour()
    letters = list(string.ascii_letters + string.digits)
    words = [
        "".join(random.choice(letters, int(random.integers(3, 12))))
        for _ in range(int(random.integers(1, 6)))
    ]
    if random.random() < stroke_share:
        return _draw_strokes(side, words, background, random)
    image = Image.new("RGB", (side, side), background)
    pencil = ImageDraw.Draw(image)
    pencil.fontmode = "1" if random.random() < 0.25 else "L"
    for word in words:
        size = int(math.exp(random.uniform(math.log(14), math.log(90))))
        font = ImageFont.truetype(fonts[random.integers(len(fonts))], size)
        place = (int(random.integers(-60, side)), int(random.integers(-20, side)))
        pencil.text(place, word, colour(), font=font)
    return np.asarray(image).transpose(2, 0, 1)


def _draw_strokes(
    side: int, words: Sequence[str], background: tuple[int, ...], random: np.random.Generator
) -> Pixels:
    import cv2  # noqa: PLC0415 - only these fonts need it

    image = np.empty((side, side, 3), np.uint8)
    image[:] = background
    kind = cv2.LINE_AA if random.random() < 0.4 else cv2.LINE_8
    for word in words:
        font = int(random.integers(8)) | (16 if random.random() < 0.2 else 0)  # some are italic
        size = math.exp(random.uniform(math.log(0.5), math.log(4)))
        weight = int(random.integers(1, 2 + round(2 * size)))
        place = (int(random.integers(-80, side)), int(random.integers(10, side + 40)))
        ink = tuple(int(c) for c in random.integers(0, 256, 3))
        cv2.putText(image, word, place, font, size, ink, weight, kind)
    return image.transpose(2, 0, 1)


def draw_holes(side: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Rectangles, text and strokes of which nothing is known: (side, side), true where known."""
    image = Image.new("1", (side, side), 1)
    pencil = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 8))):
        if random.random() < 0.3:
            size = random.integers(4, 65, 2)
            corner = random.integers(-size // 2, (side, side))
            pencil.rectangle([*corner.tolist(), *(corner + size).tolist()], fill=0)
        elif random.random() < 0.4:
            size = int(random.integers(10, 40))
            place = random.integers(-size, side, 2).tolist()
            word = "".join(random.choice(list(string.printable[:62]), 12))
            pencil.text(place, word, 0, font=ImageFont.load_default(size))
        else:
            points = random.integers(-10, side + 10, (int(random.integers(2, 5)), 2))
            pencil.line([tuple(p) for p in points.tolist()], 0, int(random.integers(1, 9)))
    return np.asarray(image)


Iteration = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def relaxed(value: Tensor, ahead: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """One iteration of `first_guess`."""
    curvature = _laplacian(ahead)
    moved = ahead - step * (_laplacian(curvature) - TENSION * curvature)
    return moved, moved + MOMENTUM * (moved - value)


def first_guess(image: Tensor, mask: Tensor, iteration: Iteration = relaxed) -> Tensor:
    """fieldpack.filling.guess.thin_plate of a batch: (n, 1, H, W), 1 in `mask` where known."""
    value = ahead = _pull_push(image, mask)
    step = (1 - mask) / (64 + 8 * TENSION)
    for _ in range(ITERATIONS):
        value, ahead = iteration(value, ahead, step)
    return value


def _laplacian(x: Tensor) -> Tensor:
    wide = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    around = wide[:, :, :-2, 1:-1] + wide[:, :, 2:, 1:-1] + wide[:, :, 1:-1, :-2]
    return around + wide[:, :, 1:-1, 2:] - 4 * x


def _pull_push(image: Tensor, mask: Tensor) -> Tensor:
    values, weights = [image * mask], [mask]
    while min(values[-1].shape[2:]) > 1:
        odd = [side % 2 for side in values[-1].shape[2:]]
        frame = (0, odd[1], 0, odd[0])
        total, count = (
            4 * functional.avg_pool2d(functional.pad(x, frame), 2)
            for x in (values[-1], weights[-1])
        )
        values.append(total / count.clamp(min=1))
        weights.append((count > 0).to(image.dtype))
    known = weights[-1].sum((2, 3), keepdim=True)
    guess = torch.where(weights[-1] > 0, values[-1], values[-1].sum((2, 3), keepdim=True) / known)
    for value, weight in zip(values[-2::-1], weights[-2::-1], strict=True):
        height, width = value.shape[2:]
        finer = functional.interpolate(guess, scale_factor=2, mode="bilinear", align_corners=False)
        guess = torch.where(weight > 0, value, finer[:, :, :height, :width])
    return guess
