"""fieldpack decode and fieldpack info."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

import fieldpack
from fieldpack.cli.options import Json, Threads, parse_region, parse_size
from fieldpack.cli.output import print_json
from fieldpack.errors import RequestError
from fieldpack.files import shown
from fieldpack.signals import Picture, write_picture


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE.fpk", help="The file to draw.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The picture; its extension chooses the format."),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Times the size.")] = None,
    resize: Annotated[str | None, typer.Option(metavar="WxH", help="Size in pixels.")] = None,
    region: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="Part to draw, in original pixels.")
    ] = None,
    preview: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=6,
            help="Leave out the N finest grids: a quick picture, 1/2^N of the size if not told.",
        ),
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Draw the picture of a .fpk file, at its own size or any other."""
    size = parse_size(resize)
    part = parse_region(region)
    field = fieldpack.open(file, threads=threads, skipped_grids=preview or 0)
    if preview is not None and scale is None and size is None and part is None:
        picture = field.preview()
    else:
        picture = field.picture(scale=scale, size=size, region=part)
    target = output if output is not None else _default_target(file, picture)
    write_picture(picture, target)
    if as_json:
        print_json(
            {
                "input": os.fspath(file),
                "output": os.fspath(target),
                "width": picture.width,
                "height": picture.height,
                "channels": picture.channels,
                "bit_depth": picture.bit_depth,
            }
        )
    else:
        typer.echo(f"{shown(target)}: {picture.width} x {picture.height} pixels")


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE.fpk", help="The file to look into.")],
    as_json: Json = False,
) -> None:
    """Tell what is inside a .fpk file and where the bytes go."""
    details = fieldpack.open(file).info
    if as_json:
        print_json({"input": os.fspath(file), **details})
        return
    from fieldpack.info_tables import print_info  # noqa: PLC0415  # slow to load, not for decoding

    print_info(shown(file), details)


def _default_target(file: Path, picture: Picture) -> Path:
    # PNG holds neither floating-point samples nor CMYK.
    kept_by_png = picture.bit_depth != 32 and picture.colour is not fieldpack.Colour.CMYK
    target = file.with_suffix(".png" if kept_by_png else ".tiff")
    if target.exists():
        raise RequestError(f"{shown(target)} exists; say with -o where to write the picture")
    return target
