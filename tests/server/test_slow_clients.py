"""Clients that misbehave at the wire, against one real worker without a proxy: nobody else notices."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from authsvc.demo.embedded import StoreServer
from authsvc.server import gunicorn as server
from authsvc.server import sockets
from tests.conftest import server_binary
from tests.fakes import environ
from tests.server.serving import STARTS_WITHIN_S, STOPS_WITHIN_S, Serving, select_nothing

HONEST_CALLS = 40
HONEST_WITHIN_S = 1.0  # the slowest of them: a figure that one waiting thread would break
GUARDED = "/v1/practices/maple/links"
HALF = b"POST /v1/practices/maple/codes HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    store = StoreServer(server_binary("valkey"), append_only=False)
    store.start()
    one = Serving(environ(store.url), tmp_path_factory.mktemp("serving"), "--workers", "1")
    try:
        yield one.answers().acts()
    finally:
        one.end()
        store.discard()


@pytest.fixture
def serving(running: Serving) -> Serving:
    """The worker, once it has done with what the test before this one left in its queue: a request that was cut off is
    answered too, and a queue that stands for a tenth of a second has the next ones refused."""
    until = time.monotonic() + STARTS_WITHIN_S
    while running.get(GUARDED)[0] == 503:
        assert time.monotonic() < until
        select_nothing(0.05)
    return running


def connected(serving: Serving) -> socket.socket:
    return socket.create_connection(("127.0.0.1", serving.port), timeout=20)


def slowest_honest_call_s(serving: Serving) -> float:
    """Probes, keys and refused calls by turns, each over a connection of its own."""
    slowest = 0.0
    for number in range(HONEST_CALLS):
        path, status = (("/livez", 200), ("/.well-known/jwks.json", 200), (GUARDED, 401))[number % 3]
        began = time.monotonic()
        assert serving.get(path)[0] == status
        slowest = max(slowest, time.monotonic() - began)
    return slowest


@contextmanager
def many(serving: Serving, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        lines = [stack.enter_context(connected(serving)) for _ in range(count)]
        for line in lines:
            line.sendall(first)
        yield lines


def raw(serving: Serving, data: bytes, *, ends: bool = False) -> bytes:
    """The whole answer to these bytes; a server that goes on waiting for more is cut off by the socket's own limit."""
    with connected(serving) as line:
        line.sendall(data)
        if ends:
            line.shutdown(socket.SHUT_WR)
        return line.makefile("rb").read()


# --- slow -----------------------------------------------------------------------------------------------------------


def test_attack_a_thousand_idle_connections_keep_nobody_waiting(serving: Serving) -> None:
    with many(serving, 900):
        assert slowest_honest_call_s(serving) < HONEST_WITHIN_S


def test_attack_two_hundred_half_requests_keep_nobody_waiting(serving: Serving) -> None:
    with many(serving, 100, HALF), many(serving, 100, b"GET /livez HT"):
        assert slowest_honest_call_s(serving) < HONEST_WITHIN_S


def test_attack_sixty_four_dripping_senders_keep_nobody_waiting_and_are_cut_off_in_time(serving: Serving) -> None:
    """Each byte used to renew the deadline, so that such a sender held its thread for ever."""
    done = threading.Event()

    def drip(lines: list[socket.socket]) -> None:
        while not done.wait(0.2):
            for line in lines:
                try:
                    line.sendall(b" ")
                except OSError:
                    return

    with many(serving, 64, b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nX-Slow: ") as lines:
        dripping = threading.Thread(target=drip, args=(lines,))
        dripping.start()
        try:
            assert slowest_honest_call_s(serving) < HONEST_WITHIN_S
            assert lines[0].recv(100).startswith(b"HTTP/1.1 408 ")
        finally:
            done.set()
            dripping.join()


def test_attack_clients_that_ask_to_close_and_never_close_hold_nothing_up(serving: Serving) -> None:
    with many(serving, 50, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
        assert slowest_honest_call_s(serving) < HONEST_WITHIN_S


def test_fault_a_worker_without_file_descriptors_lets_the_silent_go_and_lives(tmp_path: Path) -> None:
    store = StoreServer(server_binary("valkey"), append_only=False)
    store.start()
    limited = ("bash", "-c", 'ulimit -n 128; exec "$0" "$@"')

    command = (*limited, sys.executable, "-m", "authsvc", "serve", "--bind", "127.0.0.1:PORT", "--workers", "1")
    running = Serving(environ(store.url), tmp_path, command=command)
    try:
        running.answers().acts()
        with many(running, 300):
            assert slowest_honest_call_s(running) < HONEST_WITHIN_S
        assert "Traceback" not in running.err.read_text()
    finally:
        running.end()
        store.discard()


# --- malformed ------------------------------------------------------------------------------------------------------

CHUNKED = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
MARK = b"s3cr3tb0dy"


@pytest.mark.parametrize(
    "bad",
    [
        CHUNKED + MARK + b"\r\n",
        CHUNKED + b"5\r\n" + MARK + b"\r\n0\r\n\r\n",
        CHUNKED + b"a\r\n" + MARK + b"\r\n0\r\nno colon\r\n\r\n",
        CHUNKED + b"a\r\n" + MARK + b"\r\n0\r\n" + MARK + b"\x00: x\r\n\r\n",
        CHUNKED + b"-5\r\n" + MARK,
        CHUNKED + b"a;" + MARK + b"\r;\r\n" + MARK + b"\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + MARK,
        b"POST / HTTP/1.1\r\nHost: x\r\n" + MARK + b"\r\n\r\n",
        MARK + b"\r\n\r\n",
    ],
)
def test_attack_malformed_chunks_trailers_and_heads_are_400_and_nothing_of_them_is_repeated(
    serving: Serving, bad: bytes
) -> None:
    answer = raw(serving, bad)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 400
    assert b"X-Request-Id: " in answer
    told = serving.err.read_text()
    assert MARK not in answer
    assert MARK.decode() not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "large, status",
    [
        (b"Content-Length: 16385\r\n\r\n", b"401"),
        (b"Content-Length: 99999999999999\r\n\r\n", b"401"),
        (b"Transfer-Encoding: chunked\r\n\r\n4001\r\n", b"401"),
        (b"X-A: " + b"a" * 17_000 + b"\r\n\r\n", b"431"),
        (b"X-A: a\r\n" * 65 + b"\r\n", b"431"),
    ],
)
def test_attack_what_is_too_large_is_answered_without_waiting_for_it(
    serving: Serving, large: bytes, status: bytes
) -> None:
    began = time.monotonic()
    answer = raw(serving, b"POST /v1/practices/maple/codes HTTP/1.1\r\nHost: x\r\n" + large)
    assert answer.split(b" ")[1] == status
    assert b"onnection: close" in answer
    assert time.monotonic() - began < 5


def test_a_request_that_is_cut_off_is_told_so_where_its_client_still_listens(serving: Serving) -> None:
    assert raw(serving, CHUNKED + b"5\r\nhel", ends=True).startswith(b"HTTP/1.1 400 ")
    assert raw(serving, HALF, ends=True).startswith(b"HTTP/1.1 401 ")
    with connected(serving) as line:
        line.sendall(HALF)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    assert serving.get("/livez")[0] == 200


# --- several requests on one connection -------------------------------------------------------------------------------


def test_requests_that_come_together_are_answered_in_their_order(serving: Serving) -> None:
    get = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = raw(serving, get + HALF + b'"a": 1}x'[:8] + get + last)
    assert [part.split(b" ")[0] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"401", b"200", b"404"]


def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on_once(serving: Serving) -> None:
    head = HALF[:-5].replace(b"Content-Length: 9", b"Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close")
    with connected(serving) as line:
        line.sendall(head.rstrip() + b"\r\n\r\n")
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(b"{}")
        assert line.makefile("rb").read().startswith(b"HTTP/1.1 401 ")


def test_a_kept_connection_serves_many_requests_and_ends_when_the_client_does(serving: Serving) -> None:
    line = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=20)
    for _ in range(20):
        line.request("GET", "/livez")
        assert line.getresponse().read()
    line.close()
    select_nothing(0)


# --- more than can be answered ----------------------------------------------------------------------------------------


def test_attack_a_flood_is_refused_at_once_while_probes_and_keys_go_on(serving: Serving) -> None:
    before = serving.figure('authsvc_requests_refused_total{reason="overload"}')
    request = b"POST /v1/practices/maple/codes HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Zm9vOmJhcg==\r\n\r\n"
    with many(serving, 150) as lines:
        for line in lines:
            line.sendall(request)
        assert slowest_honest_probe_s(serving) < HONEST_WITHIN_S
        answers = [line.recv(4_000) for line in lines]
    refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ")]
    assert refused
    assert all(b"\r\nRetry-After: 1\r\n" in answer for answer in refused)
    assert {answer.split(b" ")[1] for answer in answers} <= {b"401", b"429", b"503"}
    assert serving.figure('authsvc_requests_refused_total{reason="overload"}') == before + len(refused)
    assert serving.figure("authsvc_thread_wait_seconds_count") > 0


def slowest_honest_probe_s(serving: Serving) -> float:
    slowest = 0.0
    for path in ("/livez", "/.well-known/jwks.json", "/readyz") * 5:
        began = time.monotonic()
        assert serving.get(path)[0] == 200
        slowest = max(slowest, time.monotonic() - began)
    return slowest


# --- other sockets ----------------------------------------------------------------------------------------------------


def over_unix(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(path))
        line.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return line.makefile("rb").read()


def reload_and_wait(serving: Serving, workers: int) -> None:
    """SIGHUP, until every worker has been replaced."""
    serving.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 4 * STARTS_WITHIN_S

    def said(words: str) -> int:
        return serving.err.read_text().count(words)

    while said('"worker stopped"') < workers or said('"worker serving"') < 2 * workers:
        assert time.monotonic() < until
        select_nothing(0.1)


@pytest.mark.parametrize(
    "path, reason", [("missing/http.sock", "there is no folder"), ("file", "something else has that name")]
)
def test_a_unix_socket_that_cannot_be_there_is_said_before_anything_starts(
    tmp_path: Path, path: str, reason: str
) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(sockets.AddressTaken, match=reason):
        sockets.reserve(f"unix:{tmp_path / path}")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_unix_socket_in_a_folder_of_somebody_else_is_said_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(sockets.AddressTaken, match="may not write to"):
        sockets.reserve(f"unix:{tmp_path}/http.sock")


@pytest.mark.parametrize(
    "said, taken", [("1", True), ("2", True), ("0", False), ("", False), ("x", False), ("-1", False)]
)
def test_how_many_sockets_systemd_hands_over_is_a_number(
    said: str, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", said)
    assert server.inherited() is taken


def test_a_unix_socket_serves_all_workers_and_no_second_service_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    bind, nowhere = ("--bind", f"unix:{path}"), environ("unix:///nonexistent/store")
    with ExitStack() as stack:
        serving = Serving(nowhere, tmp_path, *bind, "--workers", "2")
        stack.callback(serving.end)
        until = time.monotonic() + 4 * STARTS_WITHIN_S
        while '"serving"' not in serving.err.read_text():
            assert time.monotonic() < until
            select_nothing(0.1)
        assert over_unix(path).startswith(b"HTTP/1.1 200 ")
        second = Serving(nowhere, tmp_path, *bind)
        stack.callback(second.end)
        assert second.process.wait(4 * STARTS_WITHIN_S) == 1
        assert "in use by another process" in second.err.read_text()
        reload_and_wait(serving, workers=2)
        assert over_unix(path).startswith(b"HTTP/1.1 200 ")
        assert serving.stop(signal.SIGTERM) < STOPS_WITHIN_S
        assert "Traceback" not in serving.err.read_text()


def test_a_socket_that_systemd_has_opened_is_taken_over(tmp_path: Path) -> None:
    """sd_listen_fds(3): descriptor 3 is a listening socket, and two variables say so."""
    with socket.create_server(("127.0.0.1", 0)) as opened, ExitStack() as stack:
        handed = f'exec 3<&{opened.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'
        command = ("bash", "-c", handed, sys.executable, "-m", "authsvc", "serve", "--workers", "1")
        nowhere = environ("unix:///nonexistent/store")
        serving = Serving(nowhere, tmp_path, command=command, pass_fds=(opened.fileno(),))
        stack.callback(serving.end)
        serving.port = opened.getsockname()[1]
        assert serving.get("/livez")[0] == 200
        reload_and_wait(serving, workers=1)
        assert serving.get("/livez")[0] == 200
        assert serving.stop(signal.SIGTERM) < STOPS_WITHIN_S
        assert "Traceback" not in serving.err.read_text()
