"""gunicorn, run in this process: how requests come in, how workers start, and how they stop.

Threads (gthread), since keep-alive matters and the work is short; the code is loaded once and then forked (memory is
shared, the start is quick); what needs a thread of its own starts in each worker after the fork.

How connections are read is ours (`http_worker`). gunicorn's own lines pass through our log's gates; its access log,
which would hold link tokens, is off.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from gunicorn import glogging
from gunicorn.app.base import BaseApplication

from authsvc.server import signals
from authsvc.server.metrics_dir import shared_memory

GRACEFUL_S = 10  # requests under way may take this long after SIGTERM; the whole stop stays under 15 s
KEEPALIVE_S = 75  # longer than the 60 s that proxies keep idle upstream connections, so that they close first

log = logging.getLogger("authsvc.serve")

SETTINGS: dict[str, Any] = {
    "worker_class": "authsvc.server.http_worker.Worker",
    "logger_class": "authsvc.server.gunicorn.Log",
    "reuse_port": True,
    "preload_app": True,
    "keepalive": KEEPALIVE_S,
    "graceful_timeout": GRACEFUL_S,
    "timeout": 30,  # a worker whose main thread doesn't report for this long is replaced
    "limit_request_line": 8_190,  # a sign-in with the longest state and nonce stands in one
    "limit_request_fields": 64,
    "limit_request_field_size": 16_380,  # an overlong token shall meet a 401: gateways take a 431 for a fault of ours
    "forwarded_allow_ips": "",  # schemes and paths are never taken from headers: public_url says where we are
    "forwarder_headers": "",
    "secure_scheme_headers": {},
    "control_socket_disable": True,
    "proc_name": "authsvc",
}
"""What `config/gunicorn.conf.py` says as well, for those who run gunicorn themselves."""


class Log(glogging.Logger):  # type: ignore[misc]
    """gunicorn's messages as lines of our own log."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        debugging = logging.getLogger().isEnabledFor(logging.DEBUG)
        self.error_log.setLevel(logging.DEBUG if debugging else logging.WARNING)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with these settings around an application that is already built."""

    def __init__(self, application: Any, settings: dict[str, Any], admin: socket.socket | None) -> None:
        self._application = application
        self._settings = settings
        self._admin = admin
        super().__init__()

    def load_config(self) -> None:
        hooks = {
            "on_starting": starting,
            "on_reload": starting,
            "post_fork": self._forked,
            "post_worker_init": started,
            "worker_exit": stopped,
            "child_exit": gone,
        }
        for name, value in {**SETTINGS, **self._settings, **hooks}.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._application

    def _forked(self, _arbiter: Any, worker: Any) -> None:
        if self._admin is not None:
            worker.sockets.append(self._admin)


def starting(arbiter: Any) -> None:
    """In the parent, before it listens, and when it has read its settings anew (SIGHUP): a unix socket, and one that
    systemd has opened, is one for all workers (Linux refuses SO_REUSEPORT on a unix socket, and gunicorn would not look
    at systemd's)."""
    if arbiter.systemd or inherited() or any(isinstance(address, str) for address in arbiter.cfg.address):
        arbiter.cfg.set("reuse_port", False)


def inherited() -> bool:
    """Whether systemd hands this process its sockets (sd_listen_fds(3))."""
    return os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS", "").strip("0").isdecimal()


def started(worker: Any) -> None:
    """In a worker that is about to serve: the threads of the service."""
    signals.in_http_worker()
    worker.wsgi.service.start()
    log.info("worker serving")


def stopped(_arbiter: Any, worker: Any) -> None:
    """In a worker that ends; also called in the parent for one that is gone already."""
    if worker.pid == os.getpid() and worker.booted:
        worker.wsgi.service.stop()
        log.info("worker stopped")


def gone(_arbiter: Any, worker: Any) -> None:
    """In the parent: a dead worker's gauges don't count any more."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def run(application: Any, settings: dict[str, Any], admin: socket.socket | None, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; leaves through SystemExit, as gunicorn does."""
    server = Server(application, {"worker_tmp_dir": shared_memory(), **settings}, admin)

    def listening(_arbiter: Any) -> None:
        signals.after_gunicorn()
        ready()

    server.cfg.set("when_ready", listening)
    server.run()
