"""POST calls with an end to the whole of each, over connections that are kept for a moment.

Redirects are never followed: what is sent is for the given address alone. Only the answer's status is looked at, and at
most a small body is read: a flood for an answer ends the connection.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

from authsvc.delivery import lookup
from authsvc.delivery.deadlines import DEADLINES, cut
from authsvc.errors import AuthsvcError

CALL_S: Final = 5.0  # one call, from a found address to the answer, however slowly the other side drips
IDLE_S: Final = 10.0  # how long an unused connection is idle
BODY_BYTES: Final = 65_536  # the longest answer that is read

Admit = Callable[[list[lookup.Address]], list[lookup.Address]]


@dataclass(frozen=True)
class Answer:
    """An answer; `body` is empty where it was longer than `BODY_BYTES`."""

    status: int
    body: bytes


class Poster:
    """Posts. `admit` is given the addresses that a name has, and returns those that may be called. Thread-safe."""

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, call_s: float = CALL_S, admit: Admit | None = None
    ) -> None:
        self._tls = tls or ssl.create_default_context()
        self._call_s = call_s
        self._admit = admit
        self._lock = threading.Lock()
        self._idle: dict[str, list[_Connection]] = {}

    def post(
        self, url: str, body: bytes, fields: Mapping[str, str], before_sending: Callable[[], None] = lambda: None
    ) -> Answer:
        """Raises OSError (TimeoutError after `call_s`), HTTPException, and what `admit` and `before_sending` raise: the
        latter is called when the connection stands and nothing of the call has left."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        while True:
            connection = self._take(origin)
            reused = connection is not None
            if connection is None:
                tls = self._tls if parts.scheme == "https" else None
                addresses = lookup.RESOLVER.addresses(parts.hostname or "", parts.port or (443 if tls else 80))
                connection = _Connection(parts.netloc, self._admit(addresses) if self._admit else addresses, tls)
            try:
                answer = connection.exchange(
                    target, body, {"Host": parts.netloc, **fields}, self._call_s, before_sending
                )
            except AuthsvcError:
                connection.close()
                raise
            except (OSError, HTTPException) as error:
                connection.close()
                if reused and not isinstance(error, TimeoutError):  # closed in the meantime, most likely
                    continue
                raise
            if connection.sock is not None:
                self._give_back(origin, connection)
            return answer

    def _take(self, origin: str) -> _Connection | None:
        with self._lock:
            idle = self._idle.get(origin, [])
            while idle:
                connection = idle.pop()
                if time.monotonic() - connection.used_s < IDLE_S:
                    return connection
                connection.close()
        return None

    def _give_back(self, origin: str, connection: _Connection) -> None:
        connection.used_s = time.monotonic()
        with self._lock:
            for name, idle in list(self._idle.items()):
                while idle and connection.used_s - idle[0].used_s >= IDLE_S:
                    idle.pop(0).close()
                if not idle:
                    del self._idle[name]
            self._idle.setdefault(origin, []).append(connection)


class _Connection(HTTPConnection):
    """The library's client, to addresses that were found before: the name isn't looked up a second time."""

    used_s = 0.0

    def __init__(self, netloc: str, addresses: list[lookup.Address], tls: ssl.SSLContext | None) -> None:
        super().__init__(urlsplit(f"//{netloc}").hostname or "")
        self._addresses = addresses
        self._tls = tls
        self._call_s = 0.0

    def exchange(
        self,
        target: str,
        body: bytes,
        fields: Mapping[str, str],
        call_s: float,
        before_sending: Callable[[], None],
    ) -> Answer:
        self._call_s = call_s
        ended_early = threading.Event()

        def end() -> None:
            ended_early.set()
            cut(self.sock)

        with DEADLINES.within(call_s, end):
            try:
                if self.sock is None:
                    self.connect()
                before_sending()
                self.request("POST", target, body=body, headers=dict(fields))
                response = self.getresponse()
            except (OSError, HTTPException):
                if not ended_early.is_set():
                    raise
            if ended_early.is_set():  # the library takes half an answer for a whole one
                raise TimeoutError
            with response:
                try:
                    read = response.read(BODY_BYTES + 1)
                except (OSError, HTTPException):
                    read = b""
                if not response.isclosed() or fields.get("Connection") == "close":
                    self.close()
        return Answer(response.status, read if len(read) <= BODY_BYTES else b"")

    def connect(self) -> None:
        self.sock = lookup.connect(self._addresses, self._call_s)
        self.sock.settimeout(self._call_s)
        if self._tls is not None:
            # The hand-shake in a step of its own, so that `end` finds the socket in the middle of it.
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock.do_handshake()
