"""A steady stream of good requests through gateways, at a rate that is kept in the end even on a busy machine."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter

from tests.gateways.recipes import Gateway

LINES = 4  # connections to each gateway, kept open as a browser does
DROPPED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class Load:
    """`rate` requests a second through each gateway until `stop`, and `least` of them in any case.

    `tokens` may be replaced at any time; they are sent in turn. `passed` and `refused` count by gateway and token.
    """

    def __init__(self, gateways: list[Gateway], rate: int, least: int, tokens: list[str]) -> None:
        self.tokens = tokens
        self.passed: Counter[tuple[str, str]] = Counter()
        self.refused: list[tuple[str, object]] = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._every_s = LINES / rate
        self._least = -(-least // LINES)
        self._threads = [
            threading.Thread(target=self._line, args=(gateway, number), daemon=True)
            for gateway in gateways
            for number in range(LINES)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, within_s: float) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(within_s)
            assert not thread.is_alive()

    def sent(self, gateway: Gateway) -> int:
        return sum(count for (name, _), count in self.passed.items() if name == gateway.recipe.name)

    def _line(self, gateway: Gateway, number: int) -> None:
        """Paced by a timetable: who is late doesn't wait, so that the rate holds over the whole."""
        began, sent = time.monotonic() + number * self._every_s / LINES, 0
        connection: http.client.HTTPConnection | None = None
        while sent < self._least or not self._over.is_set():
            if (wait_s := began + sent * self._every_s - time.monotonic()) > 0:
                time.sleep(wait_s)
            token = self.tokens[sent % len(self.tokens)]
            sent += 1
            try:
                connection, status = self._request(gateway, token, connection)
            except OSError as error:
                connection, status = None, repr(error)
            with self._lock:
                if status == 200:
                    self.passed[gateway.recipe.name, token] += 1
                else:
                    self.refused.append((gateway.recipe.name, status))
        if connection:
            connection.close()

    def _request(
        self, gateway: Gateway, token: str, connection: http.client.HTTPConnection | None
    ) -> tuple[http.client.HTTPConnection, int | str]:
        """A kept connection that the other side closed meanwhile is opened anew, once (RFC 9112 §9.3.1)."""
        for fresh in (connection is None, True):
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
            try:
                connection.request("GET", "/contact", headers={"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                answer.read()
            except DROPPED:
                connection.close()
                connection = None
                if fresh:
                    raise
            else:
                return connection, answer.status
        raise AssertionError("one of the two came to an end")
