"""The program: its commands, and what becomes of errors."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, NoReturn

import typer

import fieldpack
from fieldpack import _engine
from fieldpack.cli.decode import decode, info
from fieldpack.cli.encode import encode
from fieldpack.cli.fill import fill
from fieldpack.cli.fit import fit
from fieldpack.cli.output import show_warning
from fieldpack.errors import FieldpackError, RequestError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Embeds images into small neural networks.",
)
for command in (fit, encode, fill, decode, info):
    app.command()(command)


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
    warnings.showwarning = show_warning
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
