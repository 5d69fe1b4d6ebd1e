"""Ctrl-C as a request to stop and keep the work, rather than an exception in the middle of it."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class StopOnInterrupt:
    """While active, the first Ctrl-C only sets `requested`; the second raises KeyboardInterrupt.

    Only the main thread can take over Ctrl-C; in others, and where a program has a handler of its
    own, nothing changes.
    """

    def __init__(self) -> None:
        self.requested = False
        self._active = False

    def __enter__(self) -> StopOnInterrupt:
        self._active = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._active:
            signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._active:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
