"""Calls under way at once: a few threads that live as long as the worker, one for each connection."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Threads(Generic[T]):
    """Runs calls and hands back what they return, in whatever order they end. `count` 0 runs each at once, in the
    calling thread. The calls must not raise. Their threads are daemons: one that hangs doesn't hold up the process.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._calls: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._started = 0

    def submit(self, call: Callable[[], T]) -> None:
        if not self.count:
            self._results.put(call())
            return
        self._calls.put(call)
        if self._started < self.count:
            self._started += 1
            threading.Thread(target=self._run, name="outbox-sender", daemon=True).start()

    def results(self, wait_s: float = 0.0) -> list[T]:
        """What ended since the last time; waits for the first of them."""
        found: list[T] = []
        try:
            found.append(self._results.get(timeout=wait_s) if wait_s > 0 else self._results.get_nowait())
            while True:
                found.append(self._results.get_nowait())
        except queue.Empty:
            return found

    def _run(self) -> None:
        while True:
            self._results.put(self._calls.get()())
