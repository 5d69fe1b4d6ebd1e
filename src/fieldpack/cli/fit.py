"""fieldpack fit."""

from __future__ import annotations

import enum
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import fieldpack
from fieldpack.cli.options import FileOption, Json, PictureArgument
from fieldpack.cli.output import print_json, quality_of
from fieldpack.errors import FieldpackError
from fieldpack.files import check_writable, shown
from fieldpack.signals import Picture, read_picture, write_picture

if TYPE_CHECKING:
    from fieldpack.fitting import FitState


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
    quality = quality_of(picture, decoded)
    report = field.report
    assert report is not None
    size = len(written.to_bytes())
    bpp = 8 * size / (picture.width * picture.height)
    interrupted = report.stopped == "interrupt"
    if as_json:
        print_json(
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
