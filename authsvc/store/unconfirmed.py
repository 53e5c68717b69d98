"""Calls whose caller was answered 503 after the script was sent: it may have run, and nobody was told.

A credential that works once would then be used up by a call that failed: its own caller's repeat would be refused.
So the process that answered 503 leaves a mark in the practice's slot, and the script lets the same caller's repeat
through (`lua/lib/unconfirmed.lua`, ADR 27). While Redis is away the mark waits here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from authsvc.errors import Unavailable
from authsvc.ports import Clock
from authsvc.store.connection import Connection

KEPT_MS: Final = 600_000  # as long as an Idempotency-Key; what the credential itself allows ends earlier or later
MOST: Final = 10_000  # marks that wait, some 150 bytes each; then the oldest goes, whose repeat is refused


class UnconfirmedCalls:
    """The marks of this process that are not in Redis yet. Thread-safe."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._waiting: dict[str, int] = {}  # until when, ms
        self._lock = threading.Lock()

    def add(self, marks: Iterable[str]) -> None:
        """Keep marks, which are keys, to be written by `write`."""
        until_ms = self._clock.now_ms() + KEPT_MS
        with self._lock:
            self._waiting.update(dict.fromkeys(marks, until_ms))
            while len(self._waiting) > MOST:
                del self._waiting[next(iter(self._waiting))]

    def write(self, prefix: str = "") -> None:
        """Write what waits under `prefix`: all, called by a poller; those of a practice before a script that would look
        for one. Raises Unavailable; a shard that is down keeps only its own marks waiting."""
        down: dict[str, Unavailable] = {}
        with self._lock:
            waiting = [(key, until_ms) for key, until_ms in self._waiting.items() if key.startswith(prefix)]
        for key, until_ms in waiting:
            slot, left_ms = key.partition("}")[0], until_ms - self._clock.now_ms()
            if slot in down:
                continue
            try:
                if left_ms > 0:
                    self._write(key, left_ms)
            except Unavailable as error:
                down[slot] = error
                continue
            with self._lock:
                if self._waiting.get(key) == until_ms:
                    del self._waiting[key]
        if down:
            raise next(iter(down.values()))

    def _write(self, key: str, left_ms: int) -> None:
        self._connection.call(lambda client: client.set(key, "1", px=left_ms), key)
