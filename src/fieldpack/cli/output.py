"""What the commands print, and what they measure for it."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import typer

from fieldpack import metrics
from fieldpack.signals import Picture


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object on one line."""
    # JSON has no infinity: a picture without any error has a PSNR of null.
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
    typer.echo(json.dumps(finite, allow_nan=False))


def show_warning(message: Warning | str, *rest: Any, **named: Any) -> None:
    """Print a warning on one line of stderr."""
    print(f"fieldpack: warning: {' '.join(str(message).split())}", file=sys.stderr)


def quality_of(original: Picture, decoded: Picture) -> float:
    """PSNR in dB of a decoded picture."""
    return metrics.psnr(original.samples, decoded.samples, peak(original))


def peak(picture: Picture) -> float:
    """Span of the levels; that of the samples themselves if they are floats."""
    if picture.bit_depth == 32:
        return float(picture.samples.max() - picture.samples.min()) or 1.0
    return picture.peak
