"""fieldpack encode."""

from __future__ import annotations

import enum
import os
import sys
import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

import fieldpack
from fieldpack import metrics
from fieldpack.cli.options import FileOption, Json, PictureArgument, Threads, parse_bytes
from fieldpack.cli.output import peak, print_json, quality_of, show_warning
from fieldpack.defaults import DEFAULT_EFFORT, DEFAULT_LAMBDA
from fieldpack.files import check_writable, shown
from fieldpack.signals import Picture, read_picture

if TYPE_CHECKING:
    from fieldpack.codec.fit import Progress
    from fieldpack.terminal import EncodeDisplay


class Tune(enum.StrEnum):
    """Names for --tune."""

    PSNR = "psnr"
    MS_SSIM = "ms-ssim"


class PriorName(enum.StrEnum):
    """Names for --prior."""

    AUTO = "auto"
    NONE = "none"


def encode(
    input: PictureArgument,
    output: FileOption = None,
    quality: Annotated[
        float | None, typer.Option(min=1, max=100, help="1 to 100, about as JPEG has it.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="BYTES[k|M]", help="Most bytes of the file; k = 1000, M = 1000 k."),
    ] = None,
    bpp: Annotated[float | None, typer.Option(help="Bits a pixel of the file.")] = None,
    psnr: Annotated[float | None, typer.Option(help="PSNR in dB of the picture.")] = None,
    lambda_: Annotated[
        float | None,
        typer.Option(
            "--lambda",
            help="Cost of a bit a pixel: more means smaller, worse.",
            show_default=f"{DEFAULT_LAMBDA:g} if nothing else is asked for",
        ),
    ] = None,
    tune: Annotated[
        Tune, typer.Option(help="What is to be good: PSNR, or structure, which eyes see.")
    ] = Tune.PSNR,
    effort: Annotated[int, typer.Option(min=1, max=9, help="1 fast, 9 small.")] = DEFAULT_EFFORT,
    prior: Annotated[
        PriorName, typer.Option(help="Networks to build on; none learns all from this picture.")
    ] = PriorName.AUTO,
    seed: Annotated[int, typer.Option(min=0, help="Of the first networks and the noise.")] = 0,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Compress a picture into a .fpk file.

    One of --quality, --size, --bpp, --psnr and --lambda says how small or how good it is to be.
    """
    most_bytes = parse_bytes(size)
    picture = read_picture(input)
    target = output if output is not None else input.with_suffix(".fpk")
    check_writable(target)
    started = time.perf_counter()
    last: Progress | None = None
    from fieldpack.encoding import encode_field  # noqa: PLC0415  # slow to load, not for decoding

    with warnings.catch_warnings(record=True) as missed, _display(picture, tune) as display:
        warnings.simplefilter("always", fieldpack.GoalMissedWarning)

        def on_pass(state: Progress) -> None:
            nonlocal last
            last = state
            if display:
                display.update(state)

        field = encode_field(
            picture,
            quality=quality,
            lambda_=lambda_,
            size=most_bytes,
            bpp=bpp,
            psnr=psnr,
            tune=tune.value,
            effort=effort,
            use_prior=prior is PriorName.AUTO,
            seed=seed,
            threads=threads,
            callback=on_pass,
        )
    data = field.to_bytes()
    decoded = field.picture()
    quality = quality_of(picture, decoded)
    structure = None
    if tune is Tune.MS_SSIM:
        structure = metrics.ms_ssim(picture.samples, decoded.samples, peak(picture))
    field.save(target)
    passes = last.step + 1 if last else 0
    warning = str(missed[0].message) if missed else None
    seconds = time.perf_counter() - started
    bpp = 8 * len(data) / (picture.width * picture.height)
    if as_json:
        print_json(
            {
                "input": os.fspath(input),
                "output": os.fspath(target),
                "bytes": len(data),
                "bpp": bpp,
                "psnr": quality,
                "ms_ssim": structure,
                "width": picture.width,
                "height": picture.height,
                "channels": picture.channels,
                "bit_depth": picture.bit_depth,
                "tune": tune.value,
                "effort": effort,
                "lambda": last.lambda_ if last else None,
                "steps": passes,
                "seconds": seconds,
                "warning": warning,
            }
        )
    else:
        if warning:
            show_warning(warning)
        typer.echo(
            f"{shown(target)}: {len(data):,} bytes, {bpp:.3f} bits a pixel, "
            f"PSNR {quality:.2f} dB, "
            + (f"MS-SSIM {structure:.4f}, " if structure is not None else "")
            + f"{passes} passes in {seconds:.1f} s"
        )


def _display(picture: Picture, tune: Tune) -> AbstractContextManager[EncodeDisplay | None]:
    """What shows the progress, where there is a terminal: short encodes have no time to load it."""
    if not (sys.stderr and sys.stderr.isatty()):
        return nullcontext()
    from fieldpack.terminal import EncodeDisplay  # noqa: PLC0415  # slow to load

    return EncodeDisplay(picture.width * picture.height, is_psnr=tune is Tune.PSNR)
