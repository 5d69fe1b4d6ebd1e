"""fieldpack fill."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fieldpack.cli.options import Json, Threads, parse_size
from fieldpack.cli.output import print_json
from fieldpack.defaults import DEFAULT_EFFORT
from fieldpack.files import shown


def fill(
    input: Annotated[
        Path | None, typer.Argument(metavar="INPUT", help="A picture; none with --samples.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The picture, or a .fpk file.", show_default=False),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="A picture, bright where INPUT is known; default: INPUT's alpha."),
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(help="CSV or NPZ file of scattered samples instead of INPUT.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size of the picture of --samples.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Draw the field's own values at known pixels too.")
    ] = False,
    denoise: Annotated[
        str | None,
        typer.Option(metavar="SIGMA|auto", help="Standard deviation of the noise, in levels."),
    ] = None,
    effort: Annotated[int, typer.Option(min=1, max=9, help="1 fast, 9 good.")] = DEFAULT_EFFORT,
    seed: Annotated[int, typer.Option(min=0, help="Of the fit's noise.")] = 0,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Rebuild the missing pixels of a picture, or a picture from scattered samples."""
    from fieldpack.filling.command import FillRequest, run  # noqa: PLC0415  # not for decoding
    from fieldpack.terminal import PartDisplay  # noqa: PLC0415  # slow to load

    started = time.perf_counter()
    request = FillRequest(
        input,
        output,
        mask=mask,
        samples=samples,
        size=parse_size(size, "--size"),
        refit=refit,
        denoise=denoise,
        effort=effort,
        seed=seed,
        threads=threads,
    )
    with PartDisplay() as display:
        result = run(request, display.update)
    result["seconds"] = time.perf_counter() - started
    if as_json:
        print_json(result)
    else:
        typer.echo(
            f"{shown(result['output'])}: {result['width']} x {result['height']} pixels, "
            f"{100 * result['known']:.1f} % known, in {result['seconds']:.1f} s"
        )
