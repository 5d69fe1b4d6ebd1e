"""What a file should come to, and the lambda with which a fit comes near.

The lambda is that for which coding theory promises the goal ("reverse water-filling", Cover and
Thomas, Elements of Information Theory, 10.3.3), corrected by what fits were found to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fieldpack.codec.initialisation import colour_axes
from fieldpack.codec.model import FloatArray

Table = tuple[tuple[float, ...], ...]

LEAST_LAMBDA, MOST_LAMBDA = 1e-6, 3.0
"""Where quality saturates, and beyond which fits get hardly smaller, see `emptying`."""

# Bits and distortion of fits to photographs, as ratios of theory's: a row for each number
# of passes, a column for each lambda.
FOUND_PASSES = (20, 80, 380)
FOUND_LAMBDAS = (5e-5, 2e-4, 1e-3, 4e-3, 2e-2, 0.1, 0.5, 2.5)
FOUND_BITS = (
    (1.050, 1.046, 0.995, 0.936, 0.812, 0.799, 0.520, 1.246),
    (0.948, 0.943, 0.870, 0.760, 0.696, 0.688, 0.473, 0.990),
    (0.929, 0.861, 0.757, 0.660, 0.609, 0.598, 0.445, 0.825),
)
_FOUND_DISTORTIONS = (
    (2.407, 1.676, 1.417, 1.340, 1.254, 1.193, 1.498, 1.524),
    (1.556, 1.217, 1.087, 1.080, 1.070, 1.030, 1.370, 1.271),
    (1.242, 1.095, 1.047, 1.049, 1.047, 1.023, 1.340, 1.296),
)
# The same of the trials before them, which take the same passes from the second row on.
_TRIAL_BITS = (
    (1.157, 1.213, 1.227, 1.317, 1.201, 0.959, 0.702, 1.736),
    (1.085, 1.104, 1.093, 1.052, 0.974, 0.909, 0.709, 1.391),
)
_TRIAL_DISTORTIONS = (
    (2.800, 1.865, 1.545, 1.416, 1.435, 2.020, 4.647, 5.313),
    (2.185, 1.650, 1.431, 1.380, 1.297, 1.534, 2.482, 3.375),
)
# And of trials in which networks move.
_MOVING_TRIAL_DISTORTIONS = (2.008, 1.395, 1.209, 1.135, 1.103, 1.098, 1.499, 1.441)
# How much of what is special about the part is so about the picture, for each number of passes: a
# power of the ratios.
_BITS_IN_COMMON, _DISTORTION_IN_COMMON = (0.95, 0.75, 0.7), (0.85, 0.35, 0.25)
_DISTORTION_IN_COMMON_WHEN_MOVING = 0.8
# Smooth pictures, of little distortion for their lambda, gain more from networks that move: a power
# of the distortion for a lambda, as a ratio of the usual, for each number of passes.
_GAIN_OF_SMOOTHNESS, _USUAL_DISTORTION = (-0.02, 0.1, 0.1), 0.4
_BLOCK = 8
_LEAST_ENERGY, _CLASSES_AN_OCTAVE = 1e-9, 16


@dataclass(frozen=True)
class Goal:
    """What a file should come to; one of the two.

    Attributes:
        payload_bytes: (least, aim, most) bytes of the section P.
        psnr: (least, aim, most) PSNR in dB of the decoded samples.
        levels: Integer steps from 0 to 1 of the decoded samples; None of floating-point ones.
        scales: Of floating-point samples, each channel's range relative to the largest possible
            error; else empty, and all are 1.
    """

    payload_bytes: tuple[float, float, float] | None = None
    psnr: tuple[float, float, float] | None = None
    levels: int | None = None
    scales: tuple[float, ...] = ()

    @property
    def window(self) -> tuple[float, float, float]:
        """Least, aim and most."""
        window = self.payload_bytes or self.psnr
        assert window is not None
        return window

    def excess(self, value: float) -> float:
        """How far a size or PSNR is above the aim: ln of the ratio of bytes, or of distortions."""
        aim = self.window[1]
        if self.payload_bytes:
            return math.log(max(value, 1.0) / max(aim, 1.0))
        return (value - aim) * math.log(10) / 10

    def is_met(self, value: float) -> bool:
        """Whether a size or PSNR is in the window."""
        least, _, most = self.window
        return least <= value <= most

    def is_met_by_constant(self, payload_bytes: int) -> bool:
        """Whether a picture of one colour meets it, which loses nothing."""
        return self.payload_bytes is None or self.is_met(payload_bytes)

    def miss(self, value: float) -> float:
        """How bad a size or PSNR is; files that are too large are worse than all that are not."""
        too_large = self.payload_bytes is not None and value > self.window[2]
        return abs(self.excess(value)) + (1e6 if too_large else 0.0)

    def psnr_of(self, distortion: float) -> float:
        """PSNR after the decoder has rounded, which adds an error of its own."""
        rounding = 0.0 if self.levels is None else 1 / (12 * self.levels**2)
        return -10 * math.log10(max(distortion + rounding, 1e-20))


class Forecast:
    """With which lambda a fit comes near a goal.

    Args:
        image: (H, W, C) float32 in [0, 1].
        part: (h, w, C) float32 in [0, 1], what is fitted in trials.
        goal: What to come to.
        passes: Of the fit.
    """

    def __init__(self, image: FloatArray, part: FloatArray, goal: Goal, passes: int) -> None:
        self._goal, self._passes = goal, passes
        self._promised, self._promised_of_part = theory(image), theory(part)
        self._pixels_of_part = part.shape[0] * part.shape[1]
        self._bits_found: float | None = None
        self._distortion_found: float | None = None

    def learn(self, lambda_: float, bits: float, distortion: float) -> None:
        """Take in a trial, of which only the last counts.

        Args:
            lambda_: For what.
            bits: What came of it, a pixel.
            distortion: And its mean squared error.
        """
        promised_bits, promised_distortion = self._promised_of_part(lambda_)
        logarithm, passes = math.log(lambda_), self._passes
        usual = found(_TRIAL_BITS, logarithm, passes) * promised_bits
        usual /= self._pixels_of_part
        special = _ratio(bits, usual) ** of_passes(_BITS_IN_COMMON, passes)
        self._bits_found = special * found(FOUND_BITS, logarithm, passes)
        usual = found(_TRIAL_DISTORTIONS, logarithm, passes) * promised_distortion
        special = _ratio(distortion, usual) ** of_passes(_DISTORTION_IN_COMMON, passes)
        smoothness = distortion / (lambda_ * _USUAL_DISTORTION)
        special *= _ratio(smoothness, 1.0) ** of_passes(_GAIN_OF_SMOOTHNESS, passes)
        self._distortion_found = special * found(_FOUND_DISTORTIONS, logarithm, passes)

    def learn_from_moving(self, lambda_: float, distortion: float) -> None:
        """Take in a trial in which networks moved, which tells the distortion more surely.

        Args:
            lambda_: For what.
            distortion: What came of it.
        """
        logarithm = math.log(lambda_)
        usual = found((_MOVING_TRIAL_DISTORTIONS,), logarithm, self._passes)
        usual *= self._promised_of_part(lambda_)[1]
        special = _ratio(distortion, usual) ** _DISTORTION_IN_COMMON_WHEN_MOVING
        self._distortion_found = special * found(_FOUND_DISTORTIONS, logarithm, self._passes)

    def first_lambda(self) -> float:
        """Return a lambda to begin with."""
        low, high = math.log(LEAST_LAMBDA), math.log(MOST_LAMBDA)
        for _ in range(20):
            middle = (low + high) / 2
            if self._goal.excess(self._value(middle)) > 0:
                low = middle
            else:
                high = middle
        return math.exp((low + high) / 2)

    def _value(self, log_lambda: float) -> float:
        bits, distortion = self._promised(math.exp(log_lambda))
        if self._goal.payload_bytes:
            ratio = self._bits_found or found(FOUND_BITS, log_lambda, self._passes)
            return ratio * bits / 8
        ratio = self._distortion_found or found(_FOUND_DISTORTIONS, log_lambda, self._passes)
        return self._goal.psnr_of(ratio * distortion)


def _ratio(value: float, usual: float) -> float:
    """Within bounds that no picture worth the name is beyond."""
    return min(max(value / max(usual, 1e-12), 0.1), 10.0)


def theory(image: FloatArray) -> Callable[[float], tuple[float, float]]:
    """Return what gives the bits and the mean squared error that theory promises for a lambda.

    Args:
        image: (H, W, C) float32 in [0, 1].
    """
    energies = _block_energies(image).ravel()
    height, width, channels = image.shape
    # Sums over a few classes of like energies are as good, and quick.
    classes = np.log2(np.maximum(energies, _LEAST_ENERGY)) - math.log2(_LEAST_ENERGY)
    classes = (classes * _CLASSES_AN_OCTAVE).astype(np.int32)
    shares = np.bincount(classes) / energies.size
    means = np.bincount(classes, energies) / energies.size / np.maximum(shares, 1e-30)

    def promised(lambda_: float) -> tuple[float, float]:
        level = lambda_ * channels / (2 * math.log(2))
        bits = height * width * channels * float(shares @ np.log2(1 + means / level)) / 2
        return bits, float(shares @ np.minimum(means, level))

    return promised


def found(table: Table, log_lambda: float, passes: int) -> float:
    """Return what fits come to, as a ratio of what theory promises."""
    rows = [np.interp(log_lambda, np.log(FOUND_LAMBDAS), row) for row in table]
    return of_passes(rows, passes)


def of_passes(values: Sequence[float], passes: int) -> float:
    """Return what is between values for each of FOUND_PASSES, or the first of these."""
    return float(np.interp(math.log(passes), np.log(FOUND_PASSES[: len(values)]), values))


def _block_energies(image: FloatArray) -> npt.NDArray[np.float32]:
    """Squares of a block's cosine transform, of at most about a million pixels spread evenly.

    Of the mean values, those of the differences from block to block.
    """
    height, width, channels = image.shape
    every = -(-(height * width) // (1 << 20))
    rows = np.arange(height) if every == 1 else _rows_of_some_blocks(height, every)
    part = image[np.minimum(rows, height - 1)]
    planes = np.moveaxis(part @ colour_axes(channels).T.astype(np.float32), -1, 0)
    padding = ((0, 0), (0, -len(part) % _BLOCK), (0, -width % _BLOCK))
    planes = np.pad(planes, padding, mode="edge")
    k, x = np.mgrid[:_BLOCK, :_BLOCK]
    cosines = np.cos(np.pi * (2 * x + 1) * k / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    cosines[0] /= math.sqrt(2)
    basis = cosines.astype(np.float32)
    _, rows_of_planes, columns = planes.shape
    vertical = basis @ planes.reshape(channels, rows_of_planes // _BLOCK, _BLOCK, columns)
    transformed = vertical.reshape(-1, _BLOCK, columns // _BLOCK, _BLOCK) @ basis.T
    means = transformed[:, 0, :, 0]
    means[:, 1:] -= means[:, :-1].copy()
    means[:, 0] = 0
    energies: npt.NDArray[np.float32] = transformed * transformed
    return energies


def _rows_of_some_blocks(height: int, every: int) -> npt.NDArray[np.int64]:
    starts = np.arange(0, height, _BLOCK * every)
    rows: npt.NDArray[np.int64] = (starts[:, None] + np.arange(_BLOCK)).ravel()
    return rows
