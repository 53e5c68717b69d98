"""`authsvc demo`: one command from nothing to a browser page.

It starts a store, makes throw-away secrets, registers the practice, starts the service (`serve` and `worker`, as in
production) and serves the sample practice with the inbox from this process. Ctrl-C, SIGTERM or a closed terminal ends
it all; if this process is killed outright, the supervisors end the rest.
"""

from __future__ import annotations

import base64
import http.client
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from authsvc import wiring
from authsvc.config import environment
from authsvc.config.load import load
from authsvc.demo import provision
from authsvc.demo.embedded import EmbeddedStore, StoreDidNotStart
from authsvc.demo.processes import Child, DemoFailed, PortTaken, end_all
from authsvc.demo.sample import api, records
from authsvc.demo.sample.billing import mail_due_invoices
from authsvc.demo.sample.clinic import Settings
from authsvc.demo.tour import demo_site
from authsvc.errors import AuthsvcError
from authsvc.server import signals
from authsvc.store.connection import Connection, site_prefix
from authsvc.store.inbox import Inbox
from authsvc.store.redis_client import connect

HOST = "127.0.0.1"
PORT = 8080  # of the page to open; the service takes the next free ones
LAST_PORT = 65_535
READY_TIMEOUT_S = 60.0
STARTS = 3  # should a port be taken just before the service binds it; the last try takes any
POLL_INTERVAL_S = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *signals.ENDING)


def run(port: int | None = None) -> int:
    """Run the demo until a signal comes; the exit code. A port that is taken is replaced by a free one."""
    click.echo("Starting …")
    with _signals_as_interrupt():
        try:
            for _ in range(STARTS - 1):
                with suppress(PortTaken), ExitStack() as stack:
                    _serve(stack, PORT if port is None else port)
            with ExitStack() as stack:
                _serve(stack, 0)
        except KeyboardInterrupt:
            click.echo("\nThe demo has ended.")
        except (DemoFailed, AuthsvcError, StoreDidNotStart) as error:
            click.echo(f"authsvc demo: {error}", err=True)
            return 1
    return 0


def _serve(stack: ExitStack, port: int) -> NoReturn:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="authsvc-demo-")))  # 0700
    store = stack.enter_context(EmbeddedStore(os.environ, folder / "store"))
    site_socket = stack.enter_context(_listen(port))
    service_port, admin_port = _free_ports(port and port + 1, port and port + 2)
    site_url = f"http://{HOST}:{site_socket.getsockname()[1]}"
    service_url = f"http://{HOST}:{service_port}"
    environ = _environment(store.url, service_url, service_port, admin_port)
    store_client = Connection(connect(load(_authsvc_variables(environ))))
    environ["AUTHSVC_SECRET_KEYS"] = _secret_keys(store_client, environ["AUTHSVC_SECRET_KEYS"])

    program = [sys.executable, "-m", "authsvc"]
    children = [
        Child("serve", [*program, "serve", "--workers", str(store.processes or 2)], environ, folder),
        Child("worker", [*program, "worker"], environ, folder),
    ]
    stack.callback(end_all, children)
    service = wiring.bootstrap(*environment.load(_authsvc_variables(environ)))
    settings = provision.practice_and_client(service, service_url, site_url)
    by_hand = provision.by_hand(service, settings.practice)
    _wait_until_ready(service_port, children)
    maple = records.maple_clinic()
    _put_patients(settings, maple, children[0])
    site = demo_site(settings, maple, Inbox(store_client).mails)
    _serve_site(stack, site_socket, site)

    _write_env(folder / "env", environ, service_url, by_hand)
    click.echo(_welcome(store, site_url, service_url, admin_port, folder))
    while True:
        for child in children:
            child.check()
        mail_due_invoices(site.extensions["clinic"])
        time.sleep(POLL_INTERVAL_S)


def _authsvc_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """authsvc's own among these."""
    return {name: value for name, value in environ.items() if name.startswith("AUTHSVC_")}


def _environment(store_url: str, service_url: str, service_port: int, admin_port: int) -> dict[str, str]:
    """The service's settings, and of ours only what isn't authsvc's: a stray AUTHSVC_ variable would be refused."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
    return environ | {
        "AUTHSVC_ENV": "development",
        "AUTHSVC_PUBLIC_URL": service_url,
        "AUTHSVC_BIND": f"{HOST}:{service_port}",
        "AUTHSVC_ADMIN_BIND": f"{HOST}:{admin_port}",
        "AUTHSVC_REDIS_URL": store_url,
        "AUTHSVC_SECRET_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="),
        "AUTHSVC_MAIL_URL": "inbox:",
        "AUTHSVC_MAIL_FROM": "Maple Clinic <no-reply@maple.example>",
        "AUTHSVC_LOG_LEVEL": "info",
    }


def _secret_keys(store_client: Connection, fresh: str) -> str:
    """The demo's master secret lies in its store, so that a store that outlives one demo serves the next. A secret
    beside what it protects protects nothing: right for a demo, wrong anywhere else."""
    name = site_prefix("demo") + "secret_keys"
    store_client.call(lambda client: client.set(name, fresh, nx=True))
    return str(store_client.call(lambda client: client.get(name)))


def _serve_site(stack: ExitStack, listening: socket.socket, site: Flask) -> None:
    """The sample practice and the inbox, on threads of this process."""
    server = make_server(HOST, 0, site, threaded=True, request_handler=_Quiet, fd=listening.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.shutdown)


def _put_patients(settings: Settings, maple: records.Records, serve: Child) -> None:
    """The first calls that the service answers."""
    try:
        provision.patients(settings, maple)
    except api.Refused as error:
        if error.status == 401:  # it doesn't know the client that was just made
            raise PortTaken("another demo, started in the same moment, listens on the service's port too") from None
        raise DemoFailed(f"the service answered {error} to its first call. {serve.log_tail()}") from None
    except api.Unavailable as error:
        raise DemoFailed(f"the service answered {error} to its first call. {serve.log_tail()}") from None


class _Quiet(WSGIRequestHandler):
    """No line on the terminal for each page."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


def _wait_until_ready(port: int, children: list[Child]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        for child in children:
            child.check()
        connection = http.client.HTTPConnection(HOST, port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise DemoFailed(f"the service wasn't ready within {READY_TIMEOUT_S:.0f} seconds")
        time.sleep(0.1)


def _listen(port: int) -> socket.socket:
    """A listening socket on this port, or on a free one if it is taken."""
    for wanted in (port, 0):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, wanted))
            listening.listen()
        except OSError:
            listening.close()
        else:
            return listening
    raise DemoFailed(f"there is no free port on {HOST}")


def _free_ports(*wanted: int) -> list[int]:
    """Ports near the wished ones, for others to bind; all held at once, so that no two are the same."""
    with ExitStack() as stack:
        held = [stack.enter_context(_listen(port if port <= LAST_PORT else 0)) for port in wanted]
        return [probe.getsockname()[1] for probe in held]


def _write_env(path: Path, environ: Mapping[str, str], service_url: str, credentials: str) -> None:
    """For a second terminal: the service's settings for the command line, a client's credentials for curl."""
    lines = [f"export {name}='{value}'" for name, value in _authsvc_variables(environ).items()]
    lines += [f"export URL='{service_url}'", f"export CLIENT='{credentials}'"]
    path.touch(mode=0o600)
    path.write_text("\n".join([*lines, ""]))


def _welcome(store: EmbeddedStore, site_url: str, service_url: str, admin_port: int, folder: Path) -> str:
    lines = [
        *([store.warning, ""] if store.warning else []),
        "",
        f"  Open this page:  {site_url}/",
        "",
        f"  the inbox        {site_url}/inbox",
        f"  the service      {service_url}   (its API: http://{HOST}:{admin_port}/docs)",
        f"  for curl, CLI    . {folder}/env",
        f"  the logs         {folder}/*.log   (store: {store.kind})",
        "",
        "  Ctrl-C ends it all.",
    ]
    return "\n".join(lines)


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """The first signal interrupts whatever runs; while all is taken down, further ones are let be."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    # Any of the others would end this process without its children being told.
    ignored = (signal.SIGUSR1, signal.SIGUSR2, *signals.MISTAKEN)
    before |= {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
