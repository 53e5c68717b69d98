"""Threads for one kind of request, and a queue before them that may be long for a moment and not for long.

A burst (a page with forty parts behind a gateway) is served, each a little later. Where more comes than can be
answered, a long queue would only make everybody late: once it has stood for `BURST_S`, requests above `steady` are
refused, until none has had to be for `CALM_S`. The distinction is that of controlled delay (RFC 8289 §3.1: a queue that
doesn't drain).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

BURST_S: Final = 0.1
CALM_S: Final = 1.0


class Lane:
    """Which requests are let in. For the loop alone, which counts those that are `under_way`, waiting ones included."""

    def __init__(self, threads: int, steady: int, most: int) -> None:
        """`steady` requests may be under way however long that lasts, and `most` at any time."""
        self.pool = ThreadPoolExecutor(threads)
        self.under_way = 0
        self._threads = threads
        self._steady = steady
        self._most = most
        self._full_since_s: float | None = None
        self._strict_until_s = 0.0

    def enter(self, now_s: float) -> bool:
        """Whether one more is let in; `now_s` by a clock that never goes back."""
        if self.under_way >= self._steady:
            if self._full_since_s is None:
                self._full_since_s = now_s
            if now_s - self._full_since_s > BURST_S or now_s < self._strict_until_s:
                self._strict_until_s = now_s + CALM_S
                return False
            if self.under_way >= self._most:
                return False
        self.under_way += 1
        return True

    def has_thread(self) -> bool:
        """Whether one more would begin at once."""
        return self.under_way < self._threads

    def leave(self) -> None:
        """An answer was given."""
        self.under_way -= 1
        if self.under_way < self._steady:
            self._full_since_s = None
