"""Clients for tests of back-channel logout: real HTTP servers on loopback that do as they are told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


@dataclass
class ReceivedLogout:
    """One call: what was asked, and the body as a form."""

    path: str
    headers: dict[str, str]
    form: dict[str, list[str]]

    @property
    def token(self) -> str:
        (token,) = self.form["logout_token"]
        return token


@dataclass
class Client:
    """A client's server. `answers` are statuses, one a call, and 200 after the last; 0 leaves the call hanging.
    `headers` and `body` go with every answer."""

    port: int = 0
    scheme: str = "http"
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    calls: list[ReceivedLogout] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/backchannel"

    @property
    def tokens(self) -> list[str]:
        return [call.token for call in self.calls]


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Calls that end early are what some tests are about."""


@contextmanager
def serving(given: Client | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Client]:
    """Serve on a free port of loopback."""
    client = given or Client()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            client.calls.append(ReceivedLogout(self.path, dict(self.headers), parse_qs(body, strict_parsing=True)))
            client.called.set()
            status = client.answers.pop(0) if client.answers else 200
            if not status:
                client.ended.wait(30)
                return
            self.send_response(status)
            for name, value in client.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(client.body)

        def log_message(self, *args: object) -> None:
            """Nothing on the tests' output."""

    with _Quiet(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            client.scheme = "https"
        client.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield client
        finally:
            client.ended.set()
            server.shutdown()
            thread.join()
