"""The command line: a file for each command."""

from fieldpack.cli.program import main

__all__ = ["main"]
