"""Clients that misbehave at the wire: half requests, drips, junk, idle connections. Honest calls must not notice."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from tests.resilience.processes import children
from tests.resilience.registry import Doing, Run, fault

BOTH = ("maple", "birch")
HEAD = b"POST /v1/practices/maple/codes HTTP/1.1\r\nHost: signin.maple.example\r\nContent-Type: application/json\r\n"


def connect(port: int, first: bytes = b"", timeout_s: float = 3.0) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout_s)
    with suppress(OSError):
        line.sendall(first)
    return line


def connected(port: int, number: int, first: bytes) -> list[socket.socket]:
    found = []
    for _ in range(number):
        with suppress(OSError):
            found.append(connect(port, first))
    return found


def _close(lines: list[socket.socket]) -> None:
    for line in lines:
        with suppress(OSError):
            line.close()


def _held(number: int, first: bytes, hold_s: float = 5.0) -> Doing:
    """So many connections say this much and then nothing."""

    def act(run: Run) -> Iterator[float]:
        lines = connected(run.deployment.port, number, first)
        yield hold_s
        _close(lines)

    act.__module__ = __name__
    return act


HELD = {
    "http-half-requests": (200, HEAD, "200 requests that end after the first headers, for 5 s"),
    "http-half-bodies": (
        200,
        HEAD + b'Content-Length: 400\r\n\r\n{"pat',
        "200 requests without the rest of their body",
    ),
    "http-idle-connections": (1000, b"", "1,000 connections that say nothing, for 5 s"),
    "http-kept-alive": (
        300,
        b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        "300 kept-alive connections after a request, 5 s",
    ),
    "http-continue-expected": (
        64,
        HEAD + b"Expect: 100-continue\r\nContent-Length: 30\r\n\r\n",
        "64 requests that wait for 100 Continue and send no body",
    ),
    "http-tls-to-plain-port": (50, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40, "50 TLS greetings"),
    "http-never-ending-chunk": (
        64,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n4000\r\n{",
        "64 requests whose chunk never ends",
    ),
}
for _name, (_number, _first, _how) in HELD.items():
    fault(_name, _how, spared=BOTH)(_held(_number, _first))


def _dripped(number: int, data: bytes, every_s: float, lasts_s: float) -> Doing:
    def act(run: Run) -> Iterator[float]:
        lines = connected(run.deployment.port, number, b"")
        deadline, place = time.monotonic() + lasts_s, 0
        while time.monotonic() < deadline:
            for line in lines:
                with suppress(OSError):
                    line.send(data[place % len(data) : place % len(data) + 1])
            place += 1
            time.sleep(every_s)
        yield 0.1
        _close(lines)

    act.__module__ = __name__
    return act


fault("http-dripping-headers", "64 senders, a byte of a header each 0.2 s, for 8 s", spared=BOTH)(
    _dripped(64, HEAD + b"X-Long: " + b"a" * 500, 0.2, 8)
)
fault("http-dripping-bodies", "64 senders, a byte of the body each 0.2 s, for 8 s", spared=BOTH)(
    _dripped(64, HEAD + b"Content-Length: 400\r\n\r\n" + b" " * 300, 0.02, 8)
)

MALFORMED = {
    "chunk size that is no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nsecret-body\r\n0\r\n\r\n",
    "chunk without its end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nsecretXX0\r\n\r\n",
    "trailer that is no header": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nsecret-body\r\n\r\n",
    "long trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 4000 + b"\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nsecret",
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length that is no number": HEAD + b"Content-Length: 0x10\r\n\r\nsecret-body",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\nsecret-body",
    "header without a colon": HEAD + b"secret-body\r\n\r\n",
    "header name with a space": HEAD + b"Bad Name: secret-body\r\n\r\n",
    "null in a header": HEAD + b"X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "bare line feeds": HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}",
    "no method": b"\r\n\r\nGET\r\n\r\n",
    "wrong version": b"GET /livez HTTP/9.9\r\n\r\n",
    "path with raw bytes": b"GET /p/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "path with bad escapes": b"GET /p/%zz%/l/%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute form": b"GET http://elsewhere.example/livez HTTP/1.1\r\nHost: a\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "long request line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "many headers": HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(500)) + b"\r\n",
    "long header": HEAD + b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n",
    "unknown transfer coding": HEAD + b"Transfer-Encoding: gzip, secret\r\n\r\n",
    "huge length": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "random bytes": bytes(range(256)) * 8,
}


def status_of(port: int, data: bytes) -> int:
    """The status of the first answer; 0 when the connection just ends."""
    with connect(port, data, 5) as line:
        with suppress(OSError):
            line.shutdown(socket.SHUT_WR)
        try:
            head = line.recv(4096)
        except OSError:
            return 0
    parts = head.split(None, 2)
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


@fault(
    "http-malformed", f"{len(MALFORMED)} requests that are none: 400 or the end, nothing of it in the log", spared=BOTH
)
def malformed(run: Run) -> Iterator[float]:
    deployment = run.deployment
    before = len(deployment.logs())
    found = {name: status_of(deployment.port, data) for name, data in MALFORMED.items()}
    yield 0.5
    for name, status in found.items():
        run.expect(status < 500 or status == 501, f"{name}: {status}")
    log = deployment.logs()[before:]
    run.expect("Traceback" not in log, "a traceback in the log")
    run.expect("secret-body" not in log, "a piece of the request in the log")


def _repeated(number: int, act: Callable[[int], None]) -> Doing:
    def doing(run: Run) -> Iterator[float]:
        for _ in range(number):
            with suppress(OSError):
                act(run.deployment.port)
        yield 0.1

    doing.__module__ = __name__
    return doing


def _reset_after_request(port: int) -> None:
    line = connect(port, b"GET /p/maple/sign-in HTTP/1.1\r\nHost: a\r\n\r\n")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


fault("http-reset-after-request", "600 requests whose sender resets before the answer", spared=BOTH)(
    _repeated(600, _reset_after_request)
)
fault("http-connect-and-close", "2,000 connections that are closed at once", spared=BOTH)(
    _repeated(2000, lambda port: connect(port).close())
)


@fault(
    "http-answers-unread", "100 pipelined requests on each of 40 connections, no answer is read for 6 s", spared=BOTH
)
def unread(run: Run) -> Iterator[float]:
    request = b"GET /p/maple/sign-in HTTP/1.1\r\nHost: a\r\n\r\n" * 100
    lines = []
    for _ in range(40):
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.settimeout(1)
        with suppress(OSError):
            line.connect(("127.0.0.1", run.deployment.port))
            line.sendall(request)
        lines.append(line)
    yield 6
    _close(lines)


@fault("http-large-bodies", "40 bodies of 5 MB: refused, not read", spared=BOTH)
def large_bodies(run: Run) -> Iterator[float]:
    before = children(run.deployment.serve_program.pid)
    for _ in range(40):
        with suppress(OSError):
            line = connect(run.deployment.port, HEAD + b"Content-Length: 5000000\r\n\r\n")
            for _ in range(50):
                line.sendall(b" " * 100_000)
            line.close()
    yield 0.5
    run.expect(children(run.deployment.serve_program.pid) == before, "a process of serve died of it")
