"""Scattered samples: read from files, brought to the pixels of a picture."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldpack.errors import RequestError, SignalError
from fieldpack.files import cause, shown
from fieldpack.filling.proposal import propose
from fieldpack.interpolation import cubic_taps
from fieldpack.signals.arrays import stored_samples
from fieldpack.signals.description import MAX_PIXELS
from fieldpack.signals.signal import Colour

_COLOURS = (Colour.GREY, Colour.GREY_ALPHA, Colour.RGB, Colour.RGBA)
_ROUNDS = 2  # of moving samples to the centres of their pixels

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a picture at any coordinates.

    Attributes:
        coordinates: (n, 2) float64, x then y in pixels; (i, j) is the centre of the pixel in column
            i and row j.
        values: (n, C) uint8, uint16 or float32.
        size: (width, height) of the picture.
    """

    coordinates: NDArray[np.float64]
    values: NDArray[np.generic]
    size: tuple[int, int]

    @property
    def bit_depth(self) -> int:
        """8, 16 or 32."""
        return 8 * self.values.dtype.itemsize

    @property
    def colour(self) -> Colour:
        """What the channels mean."""
        return _COLOURS[self.values.shape[1] - 1]

    @property
    def share(self) -> float:
        """Pixels that hold a sample, of all."""
        width, height = self.size
        rows_and_columns = np.unique(np.rint(self.coordinates), axis=0)
        return len(rows_and_columns) / (width * height)

    @classmethod
    def of(
        cls,
        coordinates: NDArray[np.floating[Any]],
        values: NDArray[np.generic],
        size: tuple[int, int] | None = None,
    ) -> Samples:
        """Check samples, and work out the size if it is not told.

        Raises:
            SignalError: Shapes or types are wrong, a number is not finite, or a sample lies outside
                the picture.
            RequestError: The size makes no sense.
        """
        try:
            points = np.asarray(coordinates, np.float64)
            numbers = np.asarray(values)
        except (TypeError, ValueError) as error:
            raise SignalError(f"the samples are not numbers: {cause(error)}") from error
        if numbers.ndim == 1:
            numbers = numbers[:, np.newaxis]
        if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
            raise SignalError(f"coordinates have shape (n, 2), n at least 1, not {points.shape}")
        if numbers.ndim != 2 or len(numbers) != len(points) or not 1 <= numbers.shape[1] <= 4:
            raise SignalError(
                f"{len(points)} samples have values of shape ({len(points)}, 1 to 4 channels), "
                f"not {numbers.shape}"
            )
        if numbers.dtype.kind == "b":
            raise SignalError("values are uint8, uint16, float32 or float64, not bool")
        stored, _ = stored_samples(numbers)
        if not np.isfinite(points).all():
            raise SignalError("some coordinates are not finite")
        if size is None:
            last = np.maximum(np.rint(points.max(axis=0)), 0)
            if last.max() >= MAX_PIXELS:
                raise SignalError(f"a sample lies at {last.max():g} pixels, which is too far")
            size = int(last[0]) + 1, int(last[1]) + 1
        width, height = size
        if min(size) < 1 or width * height > MAX_PIXELS:
            raise RequestError(
                f"a picture cannot have {width} x {height} pixels; {MAX_PIXELS} are the most"
            )
        outside = (np.abs(points - (np.array(size) - 1) / 2) > np.array(size) / 2).any(axis=1)
        if outside.any():
            x, y = points[np.argmax(outside)]
            raise SignalError(
                f"{np.count_nonzero(outside)} samples lie outside the picture of "
                f"{width} x {height} pixels, the first at ({x:g}, {y:g})"
            )
        return cls(points, stored, size)


def read_samples(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Samples:
    """Read samples from a file.

    A CSV file has a line for each sample: x, y, and one to four values; its first line may be a
    header. An NPZ file has the arrays `coordinates` and `values`, as `Samples` describes them.
    Whole numbers of a CSV file are levels of an 8-bit picture, or of a 16-bit one where they exceed
    255; others are floats.

    Args:
        path: The file.
        size: (width, height) of the picture; the smallest that holds all samples if None.

    Raises:
        SignalError: It cannot be read, or what it holds are not samples.
        RequestError: The size makes no sense.
    """
    import zipfile  # noqa: PLC0415  # slow to load, not for decoding

    try:
        if os.fspath(path).lower().endswith(".npz"):
            coordinates, values = _read_npz(path)
        else:
            coordinates, values = _read_csv(path)
    except (OSError, MemoryError, ValueError, EOFError, zipfile.BadZipFile, SignalError) as error:
        raise SignalError(f"cannot read {shown(path)}: {cause(error)}") from error
    try:
        return Samples.of(coordinates, values, size)
    except SignalError as error:
        raise SignalError(f"{shown(path)}: {error}") from None


def _read_npz(path: str | os.PathLike[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise SignalError("it is no archive of arrays")
        missing = {"coordinates", "values"} - set(arrays.files)
        if missing:
            raise SignalError(f"it has no array {' and no array '.join(sorted(missing))}")
        return arrays["coordinates"], arrays["values"]


def _read_csv(path: str | os.PathLike[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    rows: list[list[float]] = []
    with open(path, newline="", encoding="utf-8") as file:
        try:
            for number, line in enumerate(csv.reader(file), 1):
                if not line:
                    continue
                try:
                    row = [float(cell) for cell in line]
                except ValueError:
                    if number == 1:
                        continue  # a header
                    raise SignalError(f"line {number} holds what is not a number") from None
                if not 3 <= len(row) <= 6 or (rows and len(row) != len(rows[0])):
                    raise SignalError(
                        f"line {number} has {len(row)} numbers: x, y and one to four values are "
                        "needed, as many on every line"
                    )
                if not all(math.isfinite(cell) for cell in row):
                    raise SignalError(f"line {number} holds a number that is not finite")
                rows.append(row)
        except csv.Error as error:
            raise SignalError(f"it is not a CSV file: {error}") from error
    if not rows:
        raise SignalError("it holds no samples")
    table = np.array(rows)
    values = table[:, 2:]
    if (values == np.rint(values)).all() and values.min() >= 0 and values.max() <= 65535:
        values = values.astype(np.uint8 if values.max() <= 255 else np.uint16)
    return table[:, :2], values


def propose_from_samples(
    samples: Samples,
    values: FloatArray,
    effort: int,
    threads: int,
    progress: Callable[[float], None],
) -> FloatArray:
    """Return the picture (H, W, C) of scattered samples.

    Each sample is taken for the pixel that it lies in, and the others are filled in. From that
    picture one knows about how the sample differs from the pixel's centre, and can fill in again.

    Args:
        samples: Where they are; a pixel with several gets their mean.
        values: (n, C), about [0, 1].
        effort: As `propose` has it.
        threads: Threads of the engine.
        progress: Told the part done.
    """
    width, height = samples.size
    x, y = samples.coordinates.T
    columns = np.clip(np.rint(x), 0, width - 1).astype(np.int64)
    rows = np.clip(np.rint(y), 0, height - 1).astype(np.int64)
    cells = rows * width + columns
    counts = np.bincount(cells, minlength=height * width)
    mask = (counts > 0).reshape(height, width)
    on_centres = bool((columns == x).all() and (rows == y).all())
    rounds = 0 if on_centres else _ROUNDS
    centred = values
    for done in range(rounds + 1):
        sums = [np.bincount(cells, channel, height * width) for channel in centred.T]
        means = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, np.newaxis]
        known = means.astype(np.float32).reshape(height, width, -1)
        if done == rounds:
            break
        image = known if mask.all() else propose(known, mask, 1, threads)
        centred = values - (_at(image, x, y) - image[rows, columns])
        progress(0.5 * (done + 1) / rounds)
    if mask.all():
        return known
    first = 0.5 if rounds else 0.0
    return propose(known, mask, effort, threads, lambda d: progress(first + (1 - first) * d))


def _at(image: FloatArray, x: NDArray[np.float64], y: NDArray[np.float64]) -> FloatArray:
    """Values (n, C) of a picture between its pixels, by cubic convolution."""
    columns, across = cubic_taps(x, image.shape[1])
    rows, down = cubic_taps(y, image.shape[0])
    total = np.zeros((len(x), image.shape[2]), np.float32)
    for row, v in zip(rows, down, strict=True):
        for column, h in zip(columns, across, strict=True):
            total += (v * h)[:, np.newaxis] * image[row, column]
    return total
