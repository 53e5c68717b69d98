"""A gunicorn worker that no client can hold: its threads are given whole requests only.

One loop accepts, reads and closes every connection without ever waiting for one; threads (gthread's) run the
application. So a silent, slow or half-sent request costs a buffer and no thread, whatever their number, and each
request has one deadline for all of its bytes. Probes, keys and forward-auth have threads of their own. In front of the
others stands a short queue: when it is full the next request is answered 503 at once, which keeps the time that the
accepted ones take near to what it is without load; a long queue would only make all of them late.

When connections or file descriptors run out, the one that has been silent for longest gives way to the newcomer.
"""

from __future__ import annotations

import errno
import io
import json
import re
import resource
import selectors
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Final

from gunicorn import http
from gunicorn.errors import ConfigError
from gunicorn.http import errors as malformed
from gunicorn.workers import gthread

from authsvc.server.framing import BODY_BYTES_MAX, RequestBuffer

FIRST_BYTE_S: Final = 10.0  # how long a new connection may be silent
REQUEST_S: Final = 10.0  # how long all bytes of a request may take, from the first to the last
SEND_PAUSE_S: Final = 5  # how long a client may take no byte of its answer
LINGER_S: Final = 2.0  # how long a closing connection waits for the client to close as well (RFC 9112 §9.6)
STOPPING_LINGER_S: Final = 2.0  # what a stopping worker grants connections on which nothing is under way
WAITING_PER_THREAD: Final = 1  # requests that may wait for each thread: more waiting would only be more lateness
FAST_WAITING: Final = 64
CONNECTIONS: Final = 2_000  # of a worker
SPARE_FILES: Final = 64  # descriptors for all that isn't a client
RETRY_AFTER_S: Final = 1
SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
READ_BYTES: Final = 64 * 1024

_FAST: Final = re.compile(
    rb"[A-Z]+ [^ ?]*(?:/livez|/readyz|/metrics|/\.well-known/[^ ?]*|/keys/[^ ?/]*|/v1/forward-auth)[ ?]"
)
_STATUS: Final[dict[type[Exception], int]] = {
    malformed.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    malformed.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    malformed.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    malformed.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}


class Connection:
    """One client. `timeout` is the instant (`time.monotonic`) at which it is closed unless something happens."""

    def __init__(self, sock: socket.socket, client: Any, server: Any) -> None:
        self.sock = sock
        self.client = client
        self.server = server
        self.buffer = RequestBuffer()
        self.timeout = 0.0
        self.ended = False  # the client sends nothing more
        self.enqueued = 0.0


class Lane:
    """Threads for one kind of request, and how many may be under way or waiting. Counted by the loop alone."""

    def __init__(self, threads: int, waiting: int) -> None:
        self.pool = ThreadPoolExecutor(threads)
        self.places = threads + waiting


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The loop's states of a connection are four dicts, each in the order of its deadlines: `_silent` (nothing came
    yet), `_reading`, `keepalived_conns` (between two requests) and `_closing`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._silent: dict[Connection, None] = {}
        self._reading: dict[Connection, None] = {}
        self._closing: dict[Connection, None] = {}
        self.keepalived_conns: dict[Connection, None] = {}
        self._stopping_by = 0.0

    @classmethod
    def check_config(cls, cfg: Any, _log: Any) -> None:
        """Raises ConfigError: what this worker can't do must not be left out in silence."""
        if cfg.is_ssl:
            raise ConfigError("TLS ends at the proxy in front of the service: leave certfile and keyfile out")

    def init_process(self) -> None:
        files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = CONNECTIONS + SPARE_FILES
        if files < wanted:
            files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        self.worker_connections = min(CONNECTIONS, max(files - SPARE_FILES, 1))
        self.max_keepalived = self.worker_connections
        fast = max(1, self.cfg.threads // 4)
        usual = max(1, self.cfg.threads - fast)
        self._fast = Lane(fast, FAST_WAITING)
        self._usual = Lane(usual, usual * WAITING_PER_THREAD)
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        return self._usual.pool

    def run(self) -> None:
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        self.set_accept_enabled(True)
        while self.alive and self.is_parent_alive():
            self._turn()
        self._stop_accepting()
        leave_by = time.monotonic() + self.cfg.graceful_timeout
        while self.nr_conns > 0 and time.monotonic() < leave_by:
            self._turn()
        self._usual.pool.shutdown(wait=False)
        self._fast.pool.shutdown(wait=False)
        self.poller.close()
        self.method_queue.close()

    def _turn(self) -> None:
        self.notify()
        self.wait_for_and_dispatch_events(timeout=min(1.0, self._next_deadline()))
        for state in (self._silent, self._reading, self.keepalived_conns, self._closing):
            self._close_expired(state)

    # --- connections ------------------------------------------------------------------------------------------------

    def accept(self, listener: Any) -> None:
        """Take in one new client, if need be in the place of the one that has been silent for longest."""
        if self.nr_conns >= self.worker_connections and not self._close_oldest():
            time.sleep(0.01)  # every connection has a request under way: the kernel keeps the newcomer
            return
        try:
            client, peer = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # a sibling was faster, or the client changed its mind
        except OSError as error:
            if error.errno not in SHORTAGE:
                raise
            if not self._close_oldest():
                time.sleep(0.01)
            return
        client.setblocking(False)
        conn = Connection(client, peer, listener.getsockname())
        self.nr_conns += 1
        self._watch(conn, self._silent, FIRST_BYTE_S, self._on_readable)

    def _watch(self, conn: Connection, state: dict[Connection, None], for_s: float, react: Callable[..., None]) -> None:
        conn.timeout = time.monotonic() + for_s
        if self._stopping_by and state is not self._reading:
            conn.timeout = min(conn.timeout, self._stopping_by)
        state[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(react, conn, state))

    def _unwatch(self, conn: Connection, state: dict[Connection, None]) -> None:
        del state[conn]
        self.poller.unregister(conn.sock)

    def _on_readable(self, conn: Connection, state: dict[Connection, None], sock: socket.socket) -> None:
        try:
            data = sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.ended = not data
        if conn.ended and not conn.buffer.data:
            self._unwatch(conn, state)
            self._drop(conn)
            return
        conn.buffer.feed(data)
        if conn.buffer.whole or conn.ended:
            self._unwatch(conn, state)
            self.enqueue_req(conn)
            return
        if state is not self._reading:
            self._unwatch(conn, state)
            self._watch(conn, self._reading, REQUEST_S, self._on_readable)
        if conn.buffer.awaits_continue:
            conn.buffer.awaits_continue = False
            self._send(conn, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _on_closing_readable(self, conn: Connection, state: dict[Connection, None], sock: socket.socket) -> None:
        try:
            more = bool(sock.recv(READ_BYTES))
        except BlockingIOError:
            return
        except OSError:
            more = False
        if not more:
            self._unwatch(conn, state)
            self._drop(conn)

    def _close(self, conn: Connection) -> None:
        """Say that nothing more will come, and wait a little for the client to close: closed at once, with bytes
        unread, the kernel would reset the connection and the client might lose its answer."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
        else:
            self._watch(conn, self._closing, LINGER_S, self._on_closing_readable)

    def _drop(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.sock.close()

    def _next_deadline(self) -> float:
        states = (self._silent, self._reading, self.keepalived_conns, self._closing)
        now = time.monotonic()
        return max(0.0, min((next(iter(state)).timeout - now for state in states if state), default=1.0))

    def _close_expired(self, state: dict[Connection, None]) -> None:
        now = time.monotonic()
        while state and (conn := next(iter(state))).timeout <= now:
            self._unwatch(conn, state)
            if state is self._reading:
                self._refuse(conn, HTTPStatus.REQUEST_TIMEOUT, "too_slow")
            else:
                self._drop(conn)

    def _close_oldest(self) -> bool:
        """Let go of the connection that was silent for longest; False when each has a request under way."""
        for state in (self._closing, self._silent, self._reading, self.keepalived_conns):
            if state:
                conn = next(iter(state))
                self._unwatch(conn, state)
                self._drop(conn)
                self._count("too_many_connections")
                return True
        return False

    def _stop_accepting(self) -> None:
        """Take what the kernel has accepted already (closing would reset it), then refuse newcomers at once, so that
        they go elsewhere instead of being kept waiting."""
        self.set_accept_enabled(False)
        self._stopping_by = time.monotonic() + STOPPING_LINGER_S
        for listener in self.sockets:
            before = -1
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()
        for state in (self._silent, self.keepalived_conns, self._closing):
            for conn in state:
                conn.timeout = min(conn.timeout, self._stopping_by)

    # --- requests ---------------------------------------------------------------------------------------------------

    def enqueue_req(self, conn: Connection) -> None:
        """Give a whole request to a thread, or refuse it."""
        lane = self._fast if _FAST.match(conn.buffer.data) else self._usual
        if lane.places <= 0:
            self._refuse(conn, HTTPStatus.SERVICE_UNAVAILABLE, "overload")
            return
        lane.places -= 1
        conn.enqueued = time.monotonic()
        future = lane.pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self._finish, conn, lane, done))

    def _finish(self, conn: Connection, lane: Lane, done: Future[bool]) -> None:
        """Back in the loop, after the answer."""
        lane.places += 1
        if done.exception() is not None or not done.result() or conn.ended:
            self._close(conn)
            return
        if conn.buffer.whole:  # the next request came right behind
            self.enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        if conn.buffer.data:
            self._watch(conn, self._reading, REQUEST_S, self._on_readable)
        else:
            self._watch(conn, self.keepalived_conns, self.cfg.keepalive, self._on_readable)

    def handle(self, conn: Connection) -> bool:
        """Answer one request, in a thread. Whether the connection may have another one."""
        self._observe_wait(time.monotonic() - conn.enqueued)
        conn.sock.setblocking(True)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_PAUSE_S, 0))
        parser = http.get_parser(self.cfg, iter([bytes(conn.buffer.data)]), conn.client)
        try:
            request = next(parser)
            request._expected_100_continue = False  # it is here already
            if conn.buffer.too_large:
                # Stands for a body that is larger than any that is taken; the rest of it is never read.
                request.body = io.BytesIO(bytes(BODY_BYTES_MAX + 1))
                request.force_close()
            else:
                request.body = io.BytesIO(_body(request))
            conn.buffer = RequestBuffer(parser.unreader.take_buffered())
            return bool(self.handle_request(request, conn))
        except malformed.NoMoreData:
            status = HTTPStatus.BAD_REQUEST if conn.ended else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._answer(conn, status, "malformed")
        except (malformed.ParseException, malformed.InvalidHTTPVersion) as error:
            self._answer(conn, _STATUS.get(type(error), HTTPStatus.BAD_REQUEST), "malformed")
        except StopIteration:
            pass
        except OSError as error:  # the client went away, or took nothing of its answer for SEND_PAUSE_S
            self.log.debug("a client did not take its answer: %s", type(error).__name__)
        except Exception:
            self.log.exception("a request failed outside the application")
            self._answer(conn, HTTPStatus.INTERNAL_SERVER_ERROR, "malformed")
        return False

    def _refuse(self, conn: Connection, status: HTTPStatus, reason: str) -> None:
        """Answer from the loop, without the application."""
        self._answer(conn, status, reason)
        self._close(conn)

    def _answer(self, conn: Connection, status: int, reason: str) -> None:
        """The short answer to a request that the application doesn't see. Nothing of the request is in it, nor in the
        log."""
        self._count(reason)
        self.log.debug("request refused: %s", reason)
        self._send(conn, _problem(HTTPStatus(status)))

    @staticmethod
    def _send(conn: Connection, data: bytes) -> None:
        """A few bytes, which a client has room for; one that has none goes without."""
        try:
            conn.sock.send(data)
        except OSError:
            return

    def _count(self, reason: str) -> None:
        self.wsgi.service.metrics.count("requests_refused", reason=reason)

    def _observe_wait(self, seconds: float) -> None:
        self.wsgi.service.metrics.thread_wait(seconds)


def _body(request: Any) -> bytes:
    """The whole body, which is here. Raises ParseException for chunks or trailers that are none."""
    try:
        body: bytes = request.body.read(BODY_BYTES_MAX + 1)
    except malformed.NoMoreData as cut:
        raise malformed.ParseException from cut
    except malformed.LimitRequestHeaders as trailers:
        raise malformed.ParseException from trailers
    return body


def _problem(status: HTTPStatus) -> bytes:
    """A whole answer (RFC 9457), after which the connection ends."""
    body = json.dumps({"type": "about:blank", "title": status.phrase, "status": status.value}).encode()
    retry = f"Retry-After: {RETRY_AFTER_S}\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nX-Request-Id: {token_hex(16)}\r\n{retry}"
        "Connection: close\r\n\r\n"
    ).encode() + body
