"""Files: written whole or not at all, and errors told in one line."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import BinaryIO

from fieldpack.errors import FieldpackError

StrPath = str | os.PathLike[str]


def shown(path: StrPath) -> str:
    """Return a path as it stands in a one-line message: quoted only where it would not print."""
    text = os.fspath(path)
    return text if text and text.isprintable() else repr(text)


def cause(error: BaseException) -> str:
    """Return what went wrong, in one line without the file's name."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def write_atomically(path: StrPath, data: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file whole or not at all.

    The data goes to a temporary file in the target's folder, which then takes the target's name.
    Whatever stops it, an interruption included, the temporary file is removed and an older
    target keeps its content. An existing target keeps its permissions; a symbolic link stays one
    and its target is replaced. What is not a regular file (/dev/null, a pipe) is written to
    directly.

    Args:
        path: The target.
        data: Its content, or a function that writes it to the open file.

    Raises:
        FieldpackError: `cannot write PATH: CAUSE`, for every OSError.
    """
    try:
        target = os.path.realpath(path)
        known = os.stat(target) if os.path.exists(target) else None
        if (known and stat.S_ISDIR(known.st_mode)) or not os.path.basename(os.fspath(path)):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if known and not stat.S_ISREG(known.st_mode):
            with open(target, "wb") as file:
                _put(data, file)
        else:
            _replace(target, data, None if known is None else stat.S_IMODE(known.st_mode))
    except OSError as error:
        raise FieldpackError(f"cannot write {shown(path)}: {cause(error)}") from error


def _beside(target: str) -> str:
    """Return a name for a temporary file in the same folder."""
    return os.path.join(os.path.dirname(target), f".fieldpack-{os.urandom(8).hex()}.tmp")


def _replace(target: str, data: bytes | Callable[[BinaryIO], None], mode: int | None) -> None:
    temporary = _beside(target)
    try:
        with open(temporary, "xb") as file:  # a new file: its permissions follow the umask
            if mode is not None:
                os.chmod(temporary, mode)
            _put(data, file)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _put(data: bytes | Callable[[BinaryIO], None], file: BinaryIO) -> None:
    if callable(data):
        data(file)
    else:
        file.write(data)


def check_writable(path: StrPath) -> None:
    """Check that a file can be made at `path`, before long work is spent on its content.

    Raises:
        FieldpackError: `cannot write PATH: CAUSE`.
    """
    try:
        target = os.path.realpath(path)
        if os.path.isdir(target) or not os.path.basename(os.fspath(path)):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if os.path.exists(target) and not os.path.isfile(target):
            return
        temporary = _beside(target)
        with open(temporary, "xb"):
            os.unlink(temporary)
    except OSError as error:
        raise FieldpackError(f"cannot write {shown(path)}: {cause(error)}") from error
