"""Structural similarity as what a fit maximises, in place of PSNR.

Near the original, 1 - MS-SSIM is a sum of squared errors, divided by the picture's variance around
each pixel: busy parts may change more than smooth ones. Where a fit wants weights (to choose its
networks, to refine its latents), those are used; everywhere else the engine follows MS-SSIM itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fieldpack import _engine
from fieldpack.codec.model import FloatArray
from fieldpack.metrics import ms_ssim

# How much less the errors' means over 2 x 2 pixels count than the errors: 1/4 would be right for
# noise, 1 for errors without fine detail.
_FALLING = 0.5
# With it, the networks for a lambda suit best; files are then smaller than with squared errors, and
# about as similar.
_FACTOR = 1.25
# Of the weighted squared error beside it: MS-SSIM hardly sees the picture's border, nor colours
# that are wrong in large areas.
_FIDELITY = 0.05


@dataclass(frozen=True)
class Structure:
    """The distortion factor * (1 - MS-SSIM) + fidelity * sum(w (x - y)^2) / sum(w).

    Attributes:
        weights: w, (H, W, C) float32.
        factor: Makes the first part about as large as the weighted mean of the squared errors.
        fidelity: Share of the second.
    """

    weights: FloatArray
    factor: float
    fidelity: float = _FIDELITY

    def distortion(self, image: FloatArray, drawn: FloatArray) -> float:
        """The distortion of a drawn picture (H, W, C) float32, of the original (H, W, C)."""
        error = np.average(np.square(drawn - image), weights=self.weights)
        return self.factor * (1 - ms_ssim(image, drawn, 1)) + self.fidelity * float(error)

    @classmethod
    def of(cls, image: FloatArray, threads: int) -> Structure:
        """The distortion for a picture.

        Args:
            image: (H, W, C) float32 in [0, 1].
            threads: Threads of the engine.

        Raises:
            ValueError: A side of the picture is less than 11 pixels.
        """
        weights = _engine.structure_weights(image, _FALLING, threads)
        mean = np.float32(weights.mean(dtype=np.float64))
        weights /= mean
        return cls(weights, _FACTOR / float(mean))
