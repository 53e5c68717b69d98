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
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from gunicorn.workers import gthread

from authsvc.server.client_connection import Connection

FIRST_BYTE_S: Final = 10.0  # how long a new connection may be silent
REQUEST_S: Final = 10.0  # how long all bytes of a request may take, from the first to the last
SEND_PAUSE_S: Final = 5  # how long a client may take no byte of its answer
LINGER_S: Final = 2.0  # how long a closing connection waits for the client to close as well (RFC 9112 §9.6)
STOPPING_LINGER_S: Final = 2.0  # what a stopping worker grants connections on which nothing is under way
NOTIFY_EVERY_S: Final = 1.0  # how often the parent hears that the loop goes on
CONNECTIONS: Final = 2_000  # of a worker
SPARE_FILES: Final = 64  # descriptors for all that isn't a client
SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
READ_BYTES: Final = 64 * 1024


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
        self._notify_at_s = 0.0

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
        now_s = time.monotonic()
        if now_s >= self._notify_at_s:
            self._notify_at_s = now_s + NOTIFY_EVERY_S
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
        client.setblocking(True)  # for the threads that answer; the loop asks not to wait at each call instead
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_PAUSE_S, 0))
        conn = Connection(client, peer, listener.getsockname())
        self.nr_conns += 1
        self.watch(conn, self._silent, FIRST_BYTE_S)

    def watch(self, conn: Connection, state: dict[Connection, None], for_s: float) -> None:
        conn.timeout = time.monotonic() + for_s
        if self._stopping_by and state is not self.reading:
            conn.timeout = min(conn.timeout, self._stopping_by)
        state[conn] = None
        conn.state = state
        if not conn.polled:
            conn.polled = True
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_readable, conn))

    def _unwatch(self, conn: Connection) -> None:
        """It stays with the poller: most send nothing until they have their answer, and the poller's two system calls
        a request are saved."""
        if conn.state is not None:
            del conn.state[conn]
            conn.state = None

    def _unpoll(self, conn: Connection) -> None:
        if conn.polled:
            conn.polled = False
            self.poller.unregister(conn.sock)

    def _on_readable(self, conn: Connection, sock: socket.socket) -> None:
        if not conn.polled:  # it gave way to a newcomer since the poller reported it
            return
        if conn.state is None:  # its next request came before the answer, or it has gone
            self._unpoll(conn)
        elif conn.state is self._closing:
            self._read_out(conn, sock)
        else:
            self._read(conn, conn.state, sock)

    def _read(self, conn: Connection, state: dict[Connection, None], sock: socket.socket) -> None:
        try:
            data = sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.ended = not data
        if conn.ended and not conn.buffer.data:
            self._drop(conn)
            return
        conn.buffer.feed(data)
        if conn.buffer.whole or conn.ended:
            self._unwatch(conn)
            self.enqueue_req(conn)
            return
        if state is not self.reading:
            self._unwatch(conn)
            self.watch(conn, self.reading, REQUEST_S)
        if conn.buffer.awaits_continue:
            conn.buffer.awaits_continue = False
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_out(self, conn: Connection, sock: socket.socket) -> None:
        """What a closing connection still sends is read and dropped, until it ends."""
        try:
            more = bool(sock.recv(READ_BYTES, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return
        except OSError:
            more = False
        if not more:
            self._drop(conn)

    def close(self, conn: Connection) -> None:
        """Say that nothing more will come, and wait a little for the client to close: closed at once, with bytes
        unread, the kernel would reset the connection and the client might lose its answer."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
        else:
            self.watch(conn, self._closing, LINGER_S)

    def _drop(self, conn: Connection) -> None:
        self._unwatch(conn)
        self._unpoll(conn)
        self.nr_conns -= 1
        conn.sock.close()

    def _next_deadline(self) -> float:
        states = (self._silent, self.reading, self.keepalived_conns, self._closing)
        now = time.monotonic()
        return max(0.0, min((next(iter(state)).timeout - now for state in states if state), default=1.0))

    def _close_expired(self, state: dict[Connection, None]) -> None:
        now = time.monotonic()
        while state and (conn := next(iter(state))).timeout <= now:
            if state is self.reading:
                self._unwatch(conn)
                self.refuse(conn, HTTPStatus.REQUEST_TIMEOUT, "too_slow")
            else:
                self._drop(conn)

    def _close_oldest(self) -> bool:
        """Let go of the connection that was silent for longest; False when each has a request under way."""
        for state in (self._closing, self._silent, self.reading, self.keepalived_conns):
            if state:
                conn = next(iter(state))
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
