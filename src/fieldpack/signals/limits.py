"""How large a picture may be, and the libraries made to agree with that, quietly, for a moment."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator

from PIL import Image

from fieldpack.errors import SignalError

MAX_PIXELS = 1 << 29

# Without a handler of their own, these libraries' messages would go to stderr.
for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


def check_size(width: int, height: int) -> None:
    """Refuse a declared size that is not a picture's.

    Raises:
        SignalError: A side is not positive, or there are more than 2^29 pixels.
    """
    if width < 1 or height < 1:
        raise SignalError(f"it declares a size of {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise SignalError(
            f"it declares {width} x {height} pixels; the most that is read is {MAX_PIXELS} in all"
        )


class _Shared:
    """A change to the whole process: the first thread in makes it, the last one out undoes it."""

    def __init__(self, change: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._inside = 0
        self._undo = contextlib.ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._undo.enter_context(self._change())
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._undo.close()


@_Shared
@contextlib.contextmanager
def library_limits() -> Iterator[None]:
    """Let Pillow open pictures of up to 2^29 pixels, and keep its warnings quiet, while inside.

    Only warnings that come from within Pillow and tifffile are silenced.
    """
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|tifffile)\b")
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice its limit
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@_Shared
@contextlib.contextmanager
def silent_libtiff() -> Iterator[None]:
    """Keep the C library libtiff, which prints what is wrong with a file, from doing so."""
    try:
        stderr = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
