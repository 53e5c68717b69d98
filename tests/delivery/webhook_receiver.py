"""A practice's server that takes webhooks, on loopback and by https."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import webhooks

from authsvc.delivery import lookup
from tests.fakes import FakeClock


@dataclass
class Receiver:
    """A practice's server. `answers` are (status, location), one a call, and 204 after the last."""

    port: int = 0
    answers: list[tuple[int, str]] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/hook"


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Hand-shakes that fail are what some tests are about."""


@contextmanager
def receiving(tls: ssl.SSLContext) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, location = receiver.answers.pop(0) if receiver.answers else (204, "")
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing on the tests' output."""

    with _Quiet(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def leads_to(monkeypatch: pytest.MonkeyPatch, address: str, port: int) -> None:
    """Every name is looked up as this address."""
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
    )
    monkeypatch.setattr(lookup, "RESOLVER", lookup.Resolver())


def library_clock(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifying library, which asks the machine for the time, gets it from this clock."""

    class Frozen(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Frozen:
            return cls.fromtimestamp(clock.now_ms() / 1000, tz)

    monkeypatch.setattr(webhooks, "datetime", Frozen)
