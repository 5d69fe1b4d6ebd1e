"""What the commands' options have in common, and how their texts are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from fieldpack.rendering import Region, Size

PictureArgument = Annotated[Path, typer.Argument(metavar="INPUT", help="A picture.")]
FileOption = Annotated[
    Path | None, typer.Option("-o", "--output", help="The .fpk file; default: INPUT's name.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads; 0 means one for each core.")]


def parse_bytes(text: str | None) -> int | None:
    """Read a number of bytes such as 40000, 40k or 1.5M."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([kM]?)", text.strip())
    count = int(float(match[1]) * {"": 1, "k": 1000, "M": 1_000_000}[match[2]]) if match else 0
    if count < 1:
        raise typer.BadParameter(
            f"{text!r} is not a number of bytes, for example 40000, 40k or 1.5M",
            param_hint="--size",
        )
    return count


def parse_size(text: str | None, option: str = "--resize") -> Size | None:
    """Read WxH."""
    if text is None:
        return None
    width, height = _integers(text, "x", 2, option, "WxH, for example 800x600")
    return width, height


def parse_region(text: str | None) -> Region | None:
    """Read X,Y,W,H."""
    if text is None:
        return None
    x, y, width, height = _integers(text, ",", 4, "--region", "X,Y,W,H, for example 10,20,300,200")
    return x, y, width, height


def _integers(text: str, separator: str, count: int, option: str, form: str) -> list[int]:
    parts = text.lower().split(separator)
    if len(parts) != count or not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"{text!r} is not of the form {form}", param_hint=option)
    return [int(part) for part in parts]
