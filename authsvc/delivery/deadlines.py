"""An end to a whole exchange with a host, where a socket's time-out only bounds each wait: a host that sends one byte a
second would never run into one. One thread watches over all exchanges of the process, so none starts a timer.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

PERIOD_S: Final = 0.05  # how late an exchange may be cut


class Deadlines:
    """Cuts exchanges whose time is over. Thread-safe."""

    def __init__(self) -> None:
        self._running: dict[object, tuple[float, Callable[[], None]]] = {}
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @contextmanager
    def within(self, span_s: float, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut` from another thread if what is inside takes longer than `span_s`."""
        if self._thread is None:
            self._start()
        key = object()
        self._running[key] = (time.monotonic() + span_s, cut)
        self._busy.set()
        try:
            yield
        finally:
            self._running.pop(key, None)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        while True:
            self._busy.wait()
            time.sleep(PERIOD_S)
            now_s = time.monotonic()
            for key, (ends_s, cut) in list(self._running.items()):
                if ends_s <= now_s and self._running.pop(key, None) is not None:
                    cut()
            if not self._running:
                self._busy.clear()
                if self._running:  # one began between the two lines
                    self._busy.set()


DEADLINES: Final = Deadlines()
"""The one of this process."""


def cut(sock: socket.socket | None) -> None:
    """End the conversation under a library, which then sees a closed connection wherever it is waiting."""
    if sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's own: that one isn't safe between threads
