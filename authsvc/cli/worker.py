"""`authsvc worker`: sends the mail and seals the audit."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

import click

from authsvc.cli.base import Command, output_mode, print_result
from authsvc.config import environment
from authsvc.server import signals

if TYPE_CHECKING:
    from authsvc.wiring import Service

GRACE_S = 13.0  # a mail under way may take this long after SIGTERM; it is sent again if it can't be finished
LOOK_S = 0.5  # how late a signal may be noticed

log = logging.getLogger("authsvc.worker")


@click.command(cls=Command)
@click.option("--metrics", metavar="HOST:PORT", help="Show this worker's /metrics there; not for the public.")
def worker(metrics: str | None) -> None:
    """Send queued mail and seal the audit until SIGTERM. Any number may run."""
    signals.install()
    from authsvc import logs, wiring
    from authsvc.server import preflight, sockets

    settings, catalogue, limits = environment.load()
    service = wiring.bootstrap(settings, catalogue, limits)
    logs.configure(
        settings.log_level,
        audit_stream=sys.stderr if output_mode().json else sys.stdout,
        lost=lambda: service.metrics.count("logs_lost"),
    )
    if settings.production:
        preflight.refuse_unsafe_store(service)
    shown = _show_metrics(service, *sockets.split(metrics)) if metrics else None
    if output_mode().json:
        print_result({"metrics": shown, "pid": os.getpid()}, "")
        sys.stdout.flush()
    run(service)


def run(service: Service) -> None:
    """Work until SIGTERM or another signal that ends it (`signals`), then end within GRACE_S, cutting off what hangs.

    At a signal for "reload" there is nothing to reload, and mail must not stop for it.
    """
    from authsvc import worker

    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            worker.work(service, stop)
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which ends the process with it
            failed.append(error)
            stop.set()

    def end(number: int, _frame: FrameType | None) -> None:
        log.info("stopping", extra={"reason": signal.Signals(number).name})
        stop.set()

    def go_on(number: int, _frame: FrameType | None) -> None:
        log.info(
            "signal ignored: restart the worker to change its settings", extra={"reason": signal.Signals(number).name}
        )

    handlers = dict.fromkeys((signal.SIGTERM, signal.SIGINT, *signals.ENDING), end)
    handlers |= dict.fromkeys(signals.RELOAD, go_on)
    if signals.on_terminal():
        handlers[signal.SIGHUP] = end
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    thread = threading.Thread(target=work, name="authsvc-worker", daemon=True)
    thread.start()
    log.info("working")
    try:
        # In steps: a signal that the system gives to another thread doesn't wake this one, which has to handle it.
        while not stop.wait(LOOK_S):
            pass
        thread.join(GRACE_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if thread.is_alive():
        log.warning("cut off: what was under way is done again by the next worker")
    if failed:
        raise failed[0]


def _show_metrics(service: Service, host: str, port: int) -> str:
    """`/metrics` of this process alone, from a thread of its own."""
    from socketserver import TCPServer
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    from authsvc.server import sockets

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            """No access log."""

    class Server(WSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            """Without the look-up of our own name, which takes as long as the name server likes."""
            TCPServer.server_bind(self)
            self.server_name, self.server_port = host, self.server_address[1]
            self.setup_environ()

    def app(environ: dict[str, object], start_response: object) -> list[bytes]:
        found = environ.get("PATH_INFO") == "/metrics"
        body, content_type = service.metrics.render() if found else (b"not found\n", "text/plain")
        start_response("200 OK" if found else "404 Not Found", [("Content-Type", content_type)])  # type: ignore[operator]
        return [body]

    server = Server((host, port), Quiet)
    server.set_app(app)
    threading.Thread(target=server.serve_forever, name="authsvc-metrics", daemon=True).start()
    return sockets.host_port(host, server.server_port)
