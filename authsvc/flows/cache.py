"""A look-up that is remembered for a few seconds, so that most calls need one trip to Redis less."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")

FRESH_S = 5.0  # how long a change may go unseen by a running process
MOST = 10_000  # entries; above that the oldest half goes


class Cache(Generic[V]):
    """Keeps what was found; what wasn't found is asked again, so that a new record works at once."""

    def __init__(
        self,
        read: Callable[[str], V | None],
        monotonic: Callable[[], float] = time.monotonic,
        fresh_s: float = FRESH_S,
        most: int = MOST,
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._fresh_s = fresh_s
        self._most = most
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[float, V]] = {}

    def get(self, name: str) -> V | None:
        """What `read` finds, at most `fresh_s` old. Raises what `read` raises."""
        entry = self._entries.get(name)
        if entry is not None and self._monotonic() - entry[0] < self._fresh_s:
            return entry[1]
        value = self._read(name)
        with self._lock:
            if value is None:
                self._entries.pop(name, None)
            else:
                if len(self._entries) >= self._most:
                    for old in list(self._entries)[: self._most // 2]:
                        del self._entries[old]
                self._entries[name] = (self._monotonic(), value)
        return value

    def forget(self, name: str) -> None:
        """After a change made by this process."""
        with self._lock:
            self._entries.pop(name, None)
