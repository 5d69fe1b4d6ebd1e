"""The command line: one function a command."""

from __future__ import annotations

import enum
import json
import math
import os
import re
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

import fieldpack
from fieldpack import _engine, metrics
from fieldpack.encoding import DEFAULT_EFFORT, DEFAULT_LAMBDA
from fieldpack.errors import FieldpackError, RequestError
from fieldpack.files import check_writable, shown
from fieldpack.rendering import Region, Size
from fieldpack.signals import Picture, read_picture, write_picture

if TYPE_CHECKING:
    from fieldpack.codec.fit import Progress
    from fieldpack.fitting import FitState

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Embeds images into small neural networks.",
)


class NetworkName(enum.StrEnum):
    """Networks that `fit` can train."""

    GATED = "gated"
    SIREN = "siren"
    FOURIER = "fourier"
    WIRE = "wire"
    FINER = "finer"
    MULTIPLICATIVE = "multiplicative"
    HASHGRID = "hashgrid"
    AUTO = "auto"


class RecipeName(enum.StrEnum):
    """Ways to train them."""

    DEFAULT = "default"
    NOTEBOOK = "notebook"


class Device(enum.StrEnum):
    """Where PyTorch computes."""

    CPU = "cpu"
    CUDA = "cuda"


class Tune(enum.StrEnum):
    """Names for --tune."""

    PSNR = "psnr"
    MS_SSIM = "ms-ssim"


class PriorName(enum.StrEnum):
    """Names for --prior."""

    AUTO = "auto"
    NONE = "none"


PictureArgument = Annotated[Path, typer.Argument(metavar="INPUT", help="A picture.")]
FileOption = Annotated[
    Path | None, typer.Option("-o", "--output", help="The .fpk file; default: INPUT's name.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads; 0 means one for each core.")]


@app.command()
def fit(
    input: PictureArgument,
    output: FileOption = None,
    network: Annotated[NetworkName, typer.Option(help="Which network.")] = NetworkName.GATED,
    recipe: Annotated[RecipeName, typer.Option(help="How to train it.")] = RecipeName.DEFAULT,
    steps: Annotated[int | None, typer.Option(min=1, help="Most training steps.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Most seconds of training.")] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Pixels drawn a step.")] = None,
    bits: Annotated[
        int | None,
        typer.Option(min=2, max=16, help="Bits a weight; default: as many as quality needs."),
    ] = None,
    snapshots: Annotated[
        Path | None, typer.Option(help="Folder for pictures of the network as it learns.")
    ] = None,
    snapshot_every: Annotated[int, typer.Option(min=1, help="Steps between them.")] = 100,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.CPU,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and drawn pixels.")] = 0,
    threads: Annotated[
        int, typer.Option(min=0, help="Training threads; 0 means one, see the guide.")
    ] = 0,
    preview: Annotated[bool, typer.Option(help="Show the picture in the terminal.")] = True,
    as_json: Json = False,
) -> None:
    """Train a coordinate network on a picture and write it as a .fpk file.

    Ctrl-C stops training and still writes the file (exit code 130).
    """
    picture = read_picture(input)
    target = output if output is not None else input.with_suffix(".fpk")
    check_writable(target)
    if snapshots is not None:
        _make_folder(snapshots)
    drawing = snapshots is not None
    log_steps = recipe is RecipeName.NOTEBOOK and (not as_json or sys.stderr.isatty())

    from fieldpack.terminal import FitDisplay  # noqa: PLC0415  # slow to load, not for decoding

    with FitDisplay((picture.width, picture.height), preview) as display:

        def on_step(state: FitState) -> None:
            nonlocal drawing
            display.update(state)
            if log_steps and state.step % 10 == 0:
                display.print(
                    f"step {state.step:5d}  loss {state.loss:.6f}  mean {state.mean_loss:.6f}"
                )
            if drawing and snapshots is not None and state.step % snapshot_every == 0:
                try:
                    _write_snapshot(snapshots / f"step_{state.step:06d}.png", picture, state)
                except FieldpackError as error:
                    # A full disk must not cost the training.
                    drawing = False
                    warnings.warn(f"{error}; no more snapshots", stacklevel=1)

        field = fieldpack.fit(
            picture,
            network=network.value,
            recipe=recipe.value,
            steps=steps,
            seconds=seconds,
            batch=batch,
            bits=bits,
            seed=seed,
            device=device.value,
            threads=threads,
            callback=on_step,
            on_trial=display.choosing,
        )
    field.save(target)

    # What counts is what a reader of the file will see.
    written = fieldpack.open(target, threads=threads)
    decoded = written.picture()
    quality = _psnr(picture, decoded)
    report = field.report
    assert report is not None
    size = len(written.to_bytes())
    bpp = 8 * size / (picture.width * picture.height)
    interrupted = report.stopped == "interrupt"
    if as_json:
        _print_json(
            {
                "input": os.fspath(input),
                "output": os.fspath(target),
                "bytes": size,
                "bpp": bpp,
                "psnr": quality,
                "width": picture.width,
                "height": picture.height,
                "channels": picture.channels,
                "bit_depth": picture.bit_depth,
                "network": report.network,
                "settings": dict(report.settings),
                "weights": report.weights,
                "recipe": report.recipe,
                "steps": report.steps,
                "loss": report.loss,
                "seconds": report.seconds,
                "stopped": report.stopped,
            }
        )
    else:
        stopped = " (interrupted)" if interrupted else ""
        typer.echo(
            f"{shown(target)}: {size:,} bytes, {bpp:.3f} bits a pixel, PSNR {quality:.2f} dB, "
            f"{report.network}, {report.steps} steps in {report.seconds:.1f} s{stopped}"
        )
    if interrupted:
        raise typer.Exit(130)


@app.command()
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
    most_bytes = _parse_bytes(size)
    picture = read_picture(input)
    target = output if output is not None else input.with_suffix(".fpk")
    check_writable(target)
    started = time.perf_counter()
    last: Progress | None = None
    from fieldpack.terminal import EncodeDisplay  # noqa: PLC0415  # slow to load, not for decoding

    with (
        warnings.catch_warnings(record=True) as missed,
        EncodeDisplay(picture.width * picture.height, is_psnr=tune is Tune.PSNR) as display,
    ):
        warnings.simplefilter("always", fieldpack.GoalMissedWarning)

        def on_pass(state: Progress) -> None:
            nonlocal last
            last = state
            display.update(state)

        data = fieldpack.encode(
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
    field = fieldpack.open(data, threads=threads)
    decoded = field.picture()
    quality = _psnr(picture, decoded)
    structure = None
    if tune is Tune.MS_SSIM:
        structure = metrics.ms_ssim(picture.samples, decoded.samples, _peak(picture))
    field.save(target)
    passes = last.step + 1 if last else 0
    warning = str(missed[0].message) if missed else None
    seconds = time.perf_counter() - started
    bpp = 8 * len(data) / (picture.width * picture.height)
    if as_json:
        _print_json(
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
            _show_warning(warning)
        typer.echo(
            f"{shown(target)}: {len(data):,} bytes, {bpp:.3f} bits a pixel, "
            f"PSNR {quality:.2f} dB, "
            + (f"MS-SSIM {structure:.4f}, " if structure is not None else "")
            + f"{passes} passes in {seconds:.1f} s"
        )


@app.command()
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
        size=_parse_size(size, "--size"),
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
        _print_json(result)
    else:
        typer.echo(
            f"{shown(result['output'])}: {result['width']} x {result['height']} pixels, "
            f"{100 * result['known']:.1f} % known, in {result['seconds']:.1f} s"
        )


@app.command()
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
    size = _parse_size(resize)
    part = _parse_region(region)
    field = fieldpack.open(file, threads=threads, skipped_grids=preview or 0)
    if preview is not None and scale is None and size is None and part is None:
        picture = field.preview()
    else:
        picture = field.picture(scale=scale, size=size, region=part)
    target = output if output is not None else _default_target(file, picture)
    write_picture(picture, target)
    if as_json:
        _print_json(
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


@app.command()
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE.fpk", help="The file to look into.")],
    as_json: Json = False,
) -> None:
    """Tell what is inside a .fpk file and where the bytes go."""
    details = fieldpack.open(file).info
    if as_json:
        _print_json({"input": os.fspath(file), **details})
        return
    from fieldpack.info_tables import print_info  # noqa: PLC0415  # slow to load, not for decoding

    print_info(shown(file), details)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fieldpack {fieldpack.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Embeds images into small neural networks."""
    if os.environ.get("FIELDPACK_ISA"):
        try:
            _engine.instruction_set()
        except ValueError as error:
            raise RequestError(f"FIELDPACK_ISA: {error}") from None


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 an error, 2 usage, 130 interrupted."""
    warnings.showwarning = _show_warning
    try:
        app()
    except FieldpackError as error:
        _fail(str(error))
    except MemoryError:
        _fail("not enough memory")
    except KeyboardInterrupt:
        print("fieldpack: interrupted", file=sys.stderr)
        sys.exit(130)
    except SystemExit as end:
        # Typer makes a silent exit of Ctrl-C; the one of `fit`, which keeps its work, has no cause.
        if end.__context__ and isinstance(end.__context__.__cause__, KeyboardInterrupt):
            print("fieldpack: interrupted", file=sys.stderr)
        raise
    except BrokenPipeError:
        # The reader of stdout has gone; Python would complain again when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(str(error))
    sys.exit(0)


def _fail(message: str) -> NoReturn:
    print(f"fieldpack: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)


def _show_warning(message: Warning | str, *rest: Any, **named: Any) -> None:
    print(f"fieldpack: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _print_json(values: dict[str, Any]) -> None:
    # JSON has no infinity: a picture without any error has a PSNR of null.
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
    typer.echo(json.dumps(finite, allow_nan=False))


def _psnr(original: Picture, decoded: Picture) -> float:
    return metrics.psnr(original.samples, decoded.samples, _peak(original))


def _peak(picture: Picture) -> float:
    if picture.bit_depth == 32:
        return float(picture.samples.max() - picture.samples.min()) or 1.0
    return picture.peak


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FieldpackError(f"cannot make the folder {shown(path)}: {error.strerror}") from error


def _write_snapshot(path: Path, picture: Picture, state: FitState) -> None:
    assert state.draw is not None
    target = path.with_suffix(".tiff") if picture.bit_depth == 32 else path
    write_picture(
        Picture(
            state.draw(None),
            picture.colour,
            picture.bit_depth,
            picture.palette,
            picture.icc_profile,
        ),
        target,
    )


def _default_target(file: Path, picture: Picture) -> Path:
    # PNG holds neither floating-point samples nor CMYK.
    kept_by_png = picture.bit_depth != 32 and picture.colour is not fieldpack.Colour.CMYK
    target = file.with_suffix(".png" if kept_by_png else ".tiff")
    if target.exists():
        raise RequestError(f"{shown(target)} exists; say with -o where to write the picture")
    return target


def _parse_bytes(text: str | None) -> int | None:
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


def _parse_size(text: str | None, option: str = "--resize") -> Size | None:
    if text is None:
        return None
    width, height = _integers(text, "x", 2, option, "WxH, for example 800x600")
    return width, height


def _parse_region(text: str | None) -> Region | None:
    if text is None:
        return None
    x, y, width, height = _integers(text, ",", 4, "--region", "X,Y,W,H, for example 10,20,300,200")
    return x, y, width, height


def _integers(text: str, separator: str, count: int, option: str, form: str) -> list[int]:
    parts = text.lower().split(separator)
    if len(parts) != count or not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"{text!r} is not of the form {form}", param_hint=option)
    return [int(part) for part in parts]
