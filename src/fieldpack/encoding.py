"""From a picture to a .fpk file with the pyramid codec."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fieldpack.codec.encoder import PASSES, encode_pyramid
from fieldpack.codec.fit import Progress
from fieldpack.errors import RequestError
from fieldpack.field import pyramid_file
from fieldpack.signals import Picture, picture_from, read_picture
from fieldpack.signals.description import PictureDescription, from_units

DEFAULT_LAMBDA = 1e-3
DEFAULT_EFFORT = 5

Source = str | os.PathLike[str] | Picture | NDArray[np.generic] | Image.Image


def encode(
    picture: Source,
    *,
    lambda_: float = DEFAULT_LAMBDA,
    effort: int = DEFAULT_EFFORT,
    use_prior: bool = True,
    seed: int = 0,
    threads: int = 0,
    callback: Callable[[Progress], Any] | None = None,
) -> bytes:
    """Compress a picture.

    Args:
        picture: A path, an array (H, W) or (H, W, C), or a Pillow image.
        lambda_: What a bit a pixel may cost: the encoder minimises the mean squared error (of
            samples scaled to [0, 1]) plus lambda times the bits a pixel. 0.0002 is high quality,
            0.001 medium, 0.01 low.
        effort: 1 (fast) to 9 (small).
        use_prior: Begin with networks learned from many photographs, where there are any for such a
            picture (RGB, lambda 0.00002 to 0.08, not a large one at effort 8 or 9), and store only
            how those of this one differ; if false, learn and store all of them.
        seed: Of the first networks and the training noise.
        threads: Threads; 0 means one for each core. The bytes do not depend on it.
        callback: Called after every pass over the picture.

    Returns:
        The bytes of a .fpk file.

    Raises:
        SignalError: The picture cannot be read or represented.
        RequestError: An argument is out of range.
    """
    if effort not in PASSES:
        raise RequestError(f"the effort is 1 to 9, not {effort}")
    if not (math.isfinite(lambda_) and lambda_ > 0):
        raise RequestError(f"lambda is a positive number, not {lambda_}")
    if isinstance(picture, str | os.PathLike):
        picture = read_picture(picture)
    elif not isinstance(picture, Picture):
        picture = picture_from(picture)
    description = PictureDescription.of(picture)
    image = np.ascontiguousarray(from_units(picture.samples, description.units))
    encoded = encode_pyramid(
        image,
        lambda_,
        effort,
        use_prior=use_prior,
        seed=seed,
        threads=threads or os.cpu_count() or 1,
        callback=callback,
    )
    return pyramid_file(
        description,
        encoded.payload,
        palette=picture.palette,
        icc_profile=picture.icc_profile,
    )
