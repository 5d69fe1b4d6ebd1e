"""How much work to do, and whom to tell of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fieldpack.codec.effort import PASSES
from fieldpack.cores import usable_cores
from fieldpack.errors import RequestError


@dataclass(frozen=True)
class Effort:
    """How much work goes into it.

    Attributes:
        effort: 1 (fast) to 9 (good).
        seed: Of the fit's noise.
        threads: Threads of the engine, at least 1.
        callback: Told the part done, 0 to 1.
    """

    effort: int
    seed: int
    threads: int
    callback: Callable[[float], Any] | None

    @classmethod
    def of(
        cls, effort: int, seed: int, threads: int, callback: Callable[[float], Any] | None
    ) -> Effort:
        """Check what a caller asks for; raises RequestError."""
        if effort not in PASSES:
            raise RequestError(f"the effort is 1 to 9, not {effort}")
        if seed < 0 or threads < 0:
            raise RequestError("seed and threads are not negative")
        return cls(effort, seed, threads or usable_cores(), callback)

    def part(self, first: float, last: float) -> Effort:
        """Return the same for work that takes the callback from one part done to another."""

        def tell(done: float) -> None:
            self.tell(first + (last - first) * done)

        return replace(self, callback=tell)

    def tell(self, done: float) -> None:
        """Tell the callback, if there is one."""
        if self.callback:
            self.callback(done)
