"""`authsvc serve`: the HTTP service."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from authsvc.cli.base import Command, output_mode, print_result
from authsvc.config import environment
from authsvc.server import signals

if TYPE_CHECKING:
    import socket

    from authsvc.config.settings import Settings

log = logging.getLogger("authsvc.serve")


@click.command(cls=Command)
@click.option("--bind", metavar="HOST:PORT", help="Where to listen, or unix:/path, instead of AUTHSVC_BIND.")
@click.option("--workers", type=click.IntRange(1, 64), metavar="N", help="Processes, instead of AUTHSVC_WORKERS.")
def serve(bind: str | None, workers: int | None) -> None:
    """Serve HTTP until SIGTERM. Logs go to stderr, the audit to stdout. Sockets that systemd opens are taken over."""
    signals.install()
    from authsvc import logs, wiring
    from authsvc.server import gunicorn as server
    from authsvc.server import metrics_dir, preflight, sockets

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until gunicorn listens to it: leave, and clear away
    settings, catalogue, limits = environment.load(_environ(bind, workers))
    if settings.production:
        preflight.refuse_unsafe_store(wiring.bootstrap(settings, catalogue, limits))
    with metrics_dir.metrics_folder():
        service = wiring.bootstrap(settings, catalogue, limits, prepared_challenges=settings.threads)
        logs.configure(
            settings.log_level,
            audit_stream=sys.stderr if output_mode().json else sys.stdout,
            lost=lambda: service.metrics.count("logs_lost"),
        )
        try:
            public = sockets.Public("systemd") if server.inherited() else sockets.reserve(settings.bind)
            admin = _admin(settings)
        except sockets.AddressTaken as taken:
            raise click.ClickException(f"{taken}.") from None
        from authsvc.wsgi import App

        admin_address = None if admin is None else admin.getsockname()[:2]
        where = {"address": public.address, "admin_address": admin_address and sockets.host_port(*admin_address)}
        bind = settings.bind if public.placeholder is None else public.address
        server.run(
            App(service, admin_address),
            {"bind": [bind], "workers": settings.workers, "threads": settings.threads},
            admin,
            lambda: _ready(where, settings.workers),
        )


def _environ(bind: str | None, workers: int | None) -> dict[str, str]:
    """The environment with the options of the command line on top, so that it is checked together with the rest."""
    environ = dict(os.environ)
    for name, value in (("AUTHSVC_BIND", bind), ("AUTHSVC_WORKERS", workers)):
        if value is not None:
            environ.pop(f"{name}_FILE", None)
            environ[name] = str(value)
    return environ


def _admin(settings: Settings) -> socket.socket | None:
    """The admin listener. If nobody chose its address and somebody else has it (a second service on this machine),
    this one goes without: a default must not keep a service from starting. An address that was chosen must work."""
    from authsvc.config.settings import Settings
    from authsvc.server import sockets

    try:
        return sockets.listen(settings.admin_bind)
    except sockets.AddressTaken as taken:
        if settings.admin_bind != Settings.admin_bind:
            raise
        log.warning("no admin address: %s", taken, extra={"setting": "AUTHSVC_ADMIN_BIND"})
        return None


def _ready(where: dict[str, str | None], workers: int) -> None:
    log.info("serving", extra={"address": where["address"], "listener": where["admin_address"], "workers": workers})
    if output_mode().json:
        print_result({**where, "workers": workers, "pid": os.getpid()}, "")
        sys.stdout.flush()
