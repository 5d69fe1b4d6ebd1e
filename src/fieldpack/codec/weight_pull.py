"""What pulls the networks of a fit to those that cost nothing: the bits that differences take."""

from __future__ import annotations

import math

import numpy as np

from fieldpack.codec.model import FloatArray, ModelShape

# A weight that has hardly moved must still be able to.
_LEAST_MEAN = 0.007


class WeightPull:
    """The slope of the bits that weights take, in how far they are from a prior's, or from zero.

    Each tensor is coded with a distribution of its own. For a Laplace distribution as wide as the
    differences are on average, a weight's bits grow by 1 / (ln 2 * mean) with its distance. The
    optimiser divides gradients by their size: without this pull, weights that do not matter wander
    about, the farther the longer the fit, and all of that must be stored.

    Args:
        shape: Sizes of the model.
        known: What the file need not hold, (parameters,) float32: the prior's networks, or zeros.
    """

    def __init__(self, shape: ModelShape, known: FloatArray) -> None:
        self._known = known
        sizes = [size for _, tensor in shape.offsets if (size := math.prod(tensor))]
        self._sizes = np.array(sizes)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def slopes(self, parameters: FloatArray) -> FloatArray:
        """Return the slopes, (parameters,) float32, in bits for a distance of 1.

        They are signed as the differences are, and 0 where there is none.

        Args:
            parameters: The networks as they are now, (parameters,) float32.
        """
        difference = parameters - self._known
        means = np.add.reduceat(np.abs(difference), self._starts) / self._sizes
        slopes = 1 / (math.log(2) * np.maximum(means, _LEAST_MEAN))
        signed: FloatArray = np.sign(difference) * np.repeat(slopes, self._sizes).astype(np.float32)
        return signed
