"""The work of the command `fill`, from files to a file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldpack.errors import RequestError
from fieldpack.files import check_writable
from fieldpack.filling.effort import Effort
from fieldpack.filling.fill import fill_from_samples
from fieldpack.filling.known import Known, Noise
from fieldpack.filling.samples import read_samples
from fieldpack.rendering import Size
from fieldpack.signals import read_picture, write_picture


@dataclass(frozen=True)
class FillRequest:
    """What the command line asks for; see `fieldpack.fill`."""

    input: Path | None
    output: Path | None
    mask: Path | None
    samples: Path | None
    size: Size | None
    refit: bool
    denoise: str | None
    effort: int
    seed: int
    threads: int


def run(request: FillRequest, progress: Callable[[float], None]) -> dict[str, Any]:
    """Fill in and write the result.

    Returns:
        What the command's JSON object holds, but for the seconds.

    Raises:
        FieldpackError: Something cannot be read, done or written.
    """
    if (request.input is None) == (request.samples is None):
        raise RequestError("give either a picture or --samples FILE")
    if request.output is None:
        raise RequestError("say with -o where to write the result")
    if request.samples is not None and request.mask is not None:
        raise RequestError("--mask goes with a picture, not with --samples")
    if request.samples is None and request.size is not None:
        raise RequestError("--size goes with --samples: a picture has its own")
    denoise = _parse_noise(request.denoise)
    check_writable(request.output)
    work = Effort.of(request.effort, request.seed, request.threads, progress)
    as_field = request.output.suffix.lower() == ".fpk"
    result: dict[str, Any] = {
        "input": os.fspath(request.input or request.samples or ""),
        "output": os.fspath(request.output),
    }
    if request.samples is not None:
        samples = read_samples(request.samples, request.size)
        drawn = fill_from_samples(samples, work)
        share = samples.share
        # The field of scattered samples is that of their picture, in which all is known.
        known = Known(drawn, np.ones(drawn.samples.shape[:2], np.bool_))
    else:
        assert request.input is not None
        known = Known.of(read_picture(request.input), request.mask, denoise)
        share = float(known.mask.mean())
    sigma = None if denoise is None else known.noise(denoise)
    picture = known.picture
    if as_field:
        field = known.field(sigma, work)
        field.save(request.output)
        size = len(field.to_bytes())
        result |= {"bytes": size, "bpp": 8 * size / (picture.width * picture.height)}
    else:
        picture = known.drawn(request.refit, sigma, work)
        write_picture(picture, request.output)
    return result | {
        "width": picture.width,
        "height": picture.height,
        "channels": picture.channels,
        "bit_depth": picture.bit_depth,
        "known": share,
        "effort": request.effort,
        "denoise": sigma,
    }


def _parse_noise(text: str | None) -> Noise | None:
    if text is None:
        return None
    if text == "auto":
        return "auto"
    try:
        sigma = float(text)
    except ValueError:
        sigma = math.nan
    if not (math.isfinite(sigma) and sigma >= 0):
        raise RequestError(f'--denoise takes a standard deviation or "auto", not {text!r}')
    return sigma
