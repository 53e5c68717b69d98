"""The connections of a worker: one loop accepts, reads and closes all of them, and waits for none.

A connection is in one of four states, each a dict in the order of its deadlines: `_silent` (nothing came yet),
`reading` (a part of a request is here), `keepalived_conns` (between two requests) and `_closing`. While a thread
answers its request it is in none of them. When connections or file descriptors run out, the one that has been silent
for longest gives way to the newcomer.
"""

from __future__ import annotations

import errno
import resource
import selectors
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from gunicorn.workers import gthread

from authsvc.server.framing import RequestBuffer

FIRST_BYTE_S: Final = 10.0  # how long a new connection may be silent
REQUEST_S: Final = 10.0  # how long all bytes of a request may take, from the first to the last
SEND_PAUSE_S: Final = 5  # how long a client may take no byte of its answer
LINGER_S: Final = 2.0  # how long a closing connection waits for the client to close as well (RFC 9112 §9.6)
STOPPING_LINGER_S: Final = 2.0  # what a stopping worker grants connections on which nothing is under way
CONNECTIONS: Final = 2_000  # of a worker
SPARE_FILES: Final = 64  # descriptors for all that isn't a client
SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
READ_BYTES: Final = 64 * 1024


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

    @property
    def was_reset(self) -> bool:
        """Whether nobody is left who could be answered: a thousand such requests shall not keep the others waiting. One
        who only sends nothing more (FIN) may wait for the answer."""
        try:
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False


class ConnectionLoop(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gthread with a reading of its own. What a whole request and a late one mean is for the subclass to say:
    `enqueue_req(conn)`, `refuse(conn, status, reason)`, `count(reason)`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._silent: dict[Connection, None] = {}
        self.reading: dict[Connection, None] = {}
        self._closing: dict[Connection, None] = {}
        self.keepalived_conns: dict[Connection, None] = {}
        self._stopping_by = 0.0

    def init_process(self) -> None:
        files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = CONNECTIONS + SPARE_FILES
        if files < wanted:
            files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        self.worker_connections = self.max_keepalived = min(CONNECTIONS, max(files - SPARE_FILES, 1))
        super().init_process()

    def run(self) -> None:
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        self.set_accept_enabled(True)
        while self.alive and self.is_parent_alive():
            self._turn()
        self._stop_accepting()
        leave_by = time.monotonic() + self.cfg.graceful_timeout
        while self.nr_conns > 0 and time.monotonic() < leave_by:
            self._turn()
        self.shutdown_threads()
        self.poller.close()
        self.method_queue.close()

    def _turn(self) -> None:
        self.notify()
        self.wait_for_and_dispatch_events(timeout=min(1.0, self._next_deadline()))
        for state in (self._silent, self.reading, self.keepalived_conns, self._closing):
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
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_PAUSE_S, 0))
        conn = Connection(client, peer, listener.getsockname())
        self.nr_conns += 1
        self.watch(conn, self._silent, FIRST_BYTE_S, self.on_readable)

    def watch(self, conn: Connection, state: dict[Connection, None], for_s: float, react: Callable[..., None]) -> None:
        conn.timeout = time.monotonic() + for_s
        if self._stopping_by and state is not self.reading:
            conn.timeout = min(conn.timeout, self._stopping_by)
        state[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(react, conn, state))

    def _unwatch(self, conn: Connection, state: dict[Connection, None]) -> None:
        del state[conn]
        self.poller.unregister(conn.sock)

    def on_readable(self, conn: Connection, state: dict[Connection, None], sock: socket.socket) -> None:
        if conn not in state:  # it gave way to a newcomer since the poller reported it
            return
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
        if state is not self.reading:
            self._unwatch(conn, state)
            self.watch(conn, self.reading, REQUEST_S, self.on_readable)
        if conn.buffer.awaits_continue:
            conn.buffer.awaits_continue = False
            send(conn, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _on_closing_readable(self, conn: Connection, state: dict[Connection, None], sock: socket.socket) -> None:
        if conn not in state:
            return
        try:
            more = bool(sock.recv(READ_BYTES))
        except BlockingIOError:
            return
        except OSError:
            more = False
        if not more:
            self._unwatch(conn, state)
            self._drop(conn)

    def close(self, conn: Connection) -> None:
        """Say that nothing more will come, and wait a little for the client to close: closed at once, with bytes
        unread, the kernel would reset the connection and the client might lose its answer."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
        else:
            self.watch(conn, self._closing, LINGER_S, self._on_closing_readable)

    def _drop(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.sock.close()

    def _next_deadline(self) -> float:
        states = (self._silent, self.reading, self.keepalived_conns, self._closing)
        now = time.monotonic()
        return max(0.0, min((next(iter(state)).timeout - now for state in states if state), default=1.0))

    def _close_expired(self, state: dict[Connection, None]) -> None:
        now = time.monotonic()
        while state and (conn := next(iter(state))).timeout <= now:
            self._unwatch(conn, state)
            if state is self.reading:
                self.refuse(conn, HTTPStatus.REQUEST_TIMEOUT, "too_slow")
            else:
                self._drop(conn)

    def _close_oldest(self) -> bool:
        """Let go of the connection that was silent for longest; False when each has a request under way."""
        for state in (self._closing, self._silent, self.reading, self.keepalived_conns):
            if state:
                conn = next(iter(state))
                self._unwatch(conn, state)
                self._drop(conn)
                self.count("too_many_connections")
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


def send(conn: Connection, data: bytes) -> None:
    """A few bytes, which a client has room for; one that has none goes without."""
    try:
        conn.sock.send(data)
    except OSError:
        return
