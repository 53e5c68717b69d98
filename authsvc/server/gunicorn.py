"""gunicorn, run in this process: how requests come in, how workers start, and how they stop.

Threads (gthread), since keep-alive matters and the work is short; the code is loaded once and then forked (memory is
shared, the start is quick); what needs a thread of its own starts in each worker after the fork.

Three things are ours. A new connection waits in the poller until it says something, and must then go on speaking: a
silent client costs no thread. On SIGTERM a worker takes what has already been accepted for it by the kernel, then
closes its listeners at once, so that a new connection is refused (and goes elsewhere) instead of being kept waiting.
And gunicorn's own lines pass through our log's gates; its access log, which would hold link tokens, is off.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn import glogging
from gunicorn.app.base import BaseApplication
from gunicorn.workers import gthread

from authsvc.server.metrics_dir import shared_memory

GRACEFUL_S = 10  # requests under way may take this long after SIGTERM; the whole stop stays under 15 s
KEEPALIVE_S = 75  # longer than the 60 s that proxies keep idle upstream connections, so that they close first
FIRST_BYTE_S = 10  # how long a new connection may be silent
SILENCE_S = 5  # how long a client may pause within a request

log = logging.getLogger("authsvc.serve")

SETTINGS: dict[str, Any] = {
    "worker_class": "authsvc.server.gunicorn.Worker",
    "logger_class": "authsvc.server.gunicorn.Log",
    "reuse_port": True,
    "preload_app": True,
    "keepalive": KEEPALIVE_S,
    "graceful_timeout": GRACEFUL_S,
    "timeout": 30,  # a worker whose main thread doesn't report for this long is replaced
    "limit_request_line": 4_094,
    "limit_request_fields": 64,
    "limit_request_field_size": 16_380,  # an overlong token shall meet a 401: gateways take a 431 for a fault of ours
    "forwarded_allow_ips": "",  # schemes and paths are never taken from headers: public_url says where we are
    "forwarder_headers": "",
    "secure_scheme_headers": {},
    "control_socket_disable": True,
    "proc_name": "authsvc",
}
"""What `config/gunicorn.conf.py` says as well, for those who run gunicorn themselves."""


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A gthread worker that no silent client can hold, and that leaves at once when told."""

    def accept(self, listener: Any) -> None:
        try:
            client, peer = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # a sibling was faster, or the client changed its mind
        pause = struct.pack("ll", SILENCE_S, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pause)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, pause)
        conn = gthread.TConn(self.cfg, client, peer, listener.getsockname())
        conn.timeout = time.monotonic() + FIRST_BYTE_S
        self.nr_conns += 1
        self.pending_conns.append(conn)
        self.poller.register(client, gthread.selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            before = -1
            while before != self.nr_conns:  # what the kernel accepted already would be reset by closing
                before = self.nr_conns
                self.accept(listener)
            listener.close()
        leave_by = time.monotonic() + gthread.STOP_KEEPALIVE_LINGER
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, leave_by)


class Log(glogging.Logger):  # type: ignore[misc]
    """gunicorn's messages as lines of our own log."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        debugging = logging.getLogger().isEnabledFor(logging.DEBUG)
        self.error_log.setLevel(logging.DEBUG if debugging else logging.WARNING)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if isinstance(sys.exception(), TimeoutError | BlockingIOError):
            self.debug("a client was silent for too long")  # SILENCE_S has passed: nothing to look into
        else:
            super().exception(msg, *args, **kwargs)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with these settings around an application that is already built."""

    def __init__(self, application: Any, settings: dict[str, Any], admin: socket.socket | None) -> None:
        self._application = application
        self._settings = settings
        self._admin = admin
        super().__init__()

    def load_config(self) -> None:
        hooks = {"post_fork": self._forked, "post_worker_init": started, "worker_exit": stopped, "child_exit": gone}
        for name, value in {**SETTINGS, **self._settings, **hooks}.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._application

    def _forked(self, _arbiter: Any, worker: Any) -> None:
        if self._admin is not None:
            worker.sockets.append(self._admin)


def started(worker: Any) -> None:
    """In a worker that is about to serve: the threads of the service."""
    worker.wsgi.service.start()
    log.info("worker serving")


def stopped(_arbiter: Any, worker: Any) -> None:
    """In a worker that ends; also called in the parent for one that is gone already."""
    if worker.pid == os.getpid() and worker.booted:
        worker.wsgi.service.stop()
        log.info("worker stopped")


def gone(_arbiter: Any, worker: Any) -> None:
    """In the parent: a dead worker's gauges are no figures any more."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def run(application: Any, settings: dict[str, Any], admin: socket.socket | None, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; leaves through SystemExit, as gunicorn does."""
    server = Server(application, {"worker_tmp_dir": shared_memory(), **settings}, admin)
    server.cfg.set("when_ready", lambda _arbiter: ready())
    server.run()
