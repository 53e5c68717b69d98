"""Name look-ups with an end to them. The system's resolver has none that we could set: with a name server that is
silent it waits for 40 seconds and more, and no socket's time-out applies.

A look-up therefore runs in a thread of its own, one a name at a time, and whoever waits for it gives up in time.
Answers are used for half a minute, and when the next look-up fails, the last good answer for an hour.
"""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future
from typing import Final

LOOKUP_S: Final = 5.0
FRESH_S: Final = 30.0
STALE_S: Final = 3_600.0
NO_ANSWER: Final = "the name server doesn't answer"
UNDER_WAY: Final = 16  # look-ups at a time: a silent name server must not fill the process with threads

Address = tuple[str, int]


class Resolver:
    """Finds the addresses of hosts. Thread-safe."""

    def __init__(self, lookup_s: float = LOOKUP_S) -> None:
        self._lookup_s = lookup_s
        self._lock = threading.Lock()
        self._known: dict[Address, tuple[float, list[Address]]] = {}
        self._running: dict[Address, Future[list[Address]]] = {}

    def addresses(self, host: str, port: int) -> list[Address]:
        """Every (IP address, port) of this host, best first. Raises OSError within `LOOKUP_S`: socket.gaierror for a
        name that there isn't, TimeoutError when the name server doesn't answer."""
        name = (host, port)
        known = self._known.get(name)
        if known and time.monotonic() - known[0] < FRESH_S:
            return known[1]
        try:
            return self._look_up(name).result(self._lookup_s)
        except OSError as error:
            if known and time.monotonic() - known[0] < STALE_S:
                return known[1]
            if isinstance(error, TimeoutError):
                raise TimeoutError(NO_ANSWER) from None
            raise

    def _look_up(self, name: Address) -> Future[list[Address]]:
        with self._lock:
            future = self._running.get(name)
            if future is None:
                if len(self._running) >= UNDER_WAY:
                    raise TimeoutError(NO_ANSWER)
                future = self._running[name] = Future()
                threading.Thread(target=self._run, args=(name, future), name="name-look-up", daemon=True).start()
            return future

    def _run(self, name: Address, future: Future[list[Address]]) -> None:
        try:
            found = [entry[4][:2] for entry in socket.getaddrinfo(*name, type=socket.SOCK_STREAM)]
            addresses: list[Address] = [(str(host), int(port)) for host, port in found]
        except (OSError, UnicodeError) as error:
            with self._lock:
                del self._running[name]
            future.set_exception(error if isinstance(error, OSError) else socket.gaierror("not a host name"))
        else:
            with self._lock:
                self._known[name] = (time.monotonic(), addresses)
                del self._running[name]
            future.set_result(addresses)


RESOLVER: Final = Resolver()
"""The one of this process."""


def connect(addresses: list[Address], span_s: float) -> socket.socket:
    """A connection to the first of these addresses that takes it. Each gets half of what time is left, so that there is
    some for the next one. Raises OSError."""
    ends_s = time.monotonic() + span_s
    problem = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection(address, max((ends_s - time.monotonic()) / 2, 0.01))
        except OSError as error:
            problem = error
    raise problem
