"""What the 1 to 100 of other codecs mean here."""

import math

import numpy as np

# So that photographs come, on average, to the PSNR that libjpeg gives them at that quality without
# subsampling its colours: measured on training photographs at effort 5. From 96 on libjpeg's PSNR
# grows to where it hardly compresses at all, and this scale does not follow.
_QUALITIES = (1, 5, 7, 10, 15, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100)
_LAMBDAS = (
    0.5, 0.128, 0.06, 0.028, 0.01, 0.0067, 0.0038, 0.0025, 0.0018, 0.0014, 0.0009, 0.0007,
    0.00049, 0.00032, 0.000176, 0.00005, 0.00002,
)  # fmt: skip


def lambda_of_quality(quality: float) -> float:
    """Return the lambda that stands for a quality from 1 to 100, and falls with it.

    Qualities beyond the range count as its ends.
    """
    return math.exp(float(np.interp(quality, _QUALITIES, np.log(_LAMBDAS))))
