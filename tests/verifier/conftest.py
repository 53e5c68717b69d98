"""An issuer to verify against: its clock, the keys of the conformance kit, a real HTTP server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from authsvc.verifier import ANY_PRACTICE, Verifier
from tests.vectors import generate as kit


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = float(kit.NOW)

    def __call__(self) -> float:
        return self.now


class Issuer:
    """What the address of the key set answers: `jwks` (bytes, or anything for JSON), or `error` raised instead."""

    def __init__(self) -> None:
        self.jwks: Any = kit.JWKS
        self.error: Exception | None = None
        self.fetches = 0

    def fetch(self, url: str) -> bytes:
        self.fetches += 1
        if self.error:
            raise self.error
        return self.jwks if isinstance(self.jwks, bytes) else json.dumps(self.jwks).encode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def verifier(issuer: Issuer, clock: Clock) -> Verifier:
    return Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, now=clock, fetch=issuer.fetch)


@pytest.fixture
def any_practice_verifier(issuer: Issuer, clock: Clock) -> Verifier:
    return Verifier(kit.ISSUER, kit.AUDIENCE, ANY_PRACTICE, now=clock, fetch=issuer.fetch)


Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A web server on loopback; `answer` is what it does for every GET, `hits` the paths it was asked for."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.jwks_url = f"{self.url}/.well-known/jwks.json"
        self.hits: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.stopped = threading.Event()
        self.answer: Answer = self.publish(kit.JWKS)

    @staticmethod
    def publish(jwks: Any, status: int = 200, **headers: str) -> Answer:
        body = jwks if isinstance(jwks, bytes) else json.dumps(jwks).encode()

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)

        return answer


@contextmanager
def serving() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.hits.append(self.path)
            shown.headers.append(dict(self.headers))
            try:
                shown.answer(self)
            except ConnectionError:
                self.close_connection = True  # the other side had enough, as some tests want

        def log_message(self, *args: object) -> None:
            return

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = True

    with Quiet(("127.0.0.1", 0), Handler) as server:
        shown = Server(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield shown
        finally:
            shown.stopped.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


@pytest.fixture
def canary() -> Iterator[Server]:
    """A server that nobody may ever ask for anything."""
    with serving() as one:
        yield one
