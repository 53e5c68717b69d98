"""TLS in front of authsvc, as docs/howto/run-in-production.md asks for it: Debian's nginx, on loopback, under an
authority of its own.

    with TlsProxy(folder, deployment.port, names=("auth.localhost",)) as front:
        front.url    https://auth.localhost:PORT
        front.ca     the authority, for whoever connects

`localhost` and 127.0.0.1 are always in the certificate. Names below `.localhost` mean this machine to Chromium;
programs that ask the system's resolver should keep to `localhost`. Whatever Host a request names, it reaches authsvc
unless `beside` leads that name to another port; `portals` are addresses of their own, on this machine by its one name
that every program knows. nginx says anew where a request came from, so whoever
wants to be another patient's network connects from another address of 127.0.0.0/8 (trust 127.0.0.1 alone: `TRUSTED`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.delivery.mail_hosts import Authority
from tests.harness.chromium import TLS_KEY
from tests.harness.machine import SEARCH_PATH, require
from tests.harness.processes import Process, free_port, reachable, until

TRUSTED = {"AUTHSVC_TRUSTED_PROXIES": "127.0.0.1/32"}
"""The setting that goes with it."""

MAIN = """\
{user}daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{}}

http {{
    access_log off;
    {temporary}
    ssl_certificate {chain};
    ssl_certificate_key {chain};
    ssl_protocols TLSv1.2 TLSv1.3;

    proxy_http_version 1.1;
    proxy_redirect off;
    proxy_buffer_size 16k;
    proxy_buffers 8 16k;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
{servers}}}
"""
SERVER = """
    server {{
        listen 127.0.0.1:{port} ssl http2{default};
        server_name {names};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
        }}
    }}
"""


class TlsProxy:
    """A running nginx; use as a context manager, or `stop` it. `beside`: other names, and the ports they lead to;
    `portals`: other ports that speak TLS here, and the ports they lead to."""

    def __init__(
        self,
        folder: Path,
        upstream_port: int,
        names: tuple[str, ...] = ("localhost",),
        *,
        port: int | None = None,
        beside: Mapping[str, int] | None = None,
        portals: Mapping[int, int] | None = None,
    ) -> None:
        nginx = require("nginx")
        beside, portals = beside or {}, portals or {}
        self.port = port or free_port()
        self.url = self.url_of(names[0])
        room = folder / f"front-{self.port}"
        room.mkdir(parents=True)
        self.authority = Authority(room, *dict.fromkeys(("localhost", "127.0.0.1", *names, *beside)), key=TLS_KEY)
        self.ca = self.authority.ca
        config = room / "nginx.conf"
        config.write_text(
            MAIN.format(
                folder=room,
                user="user root;\n" if os.geteuid() == 0 else "",
                temporary=" ".join(
                    f"{kind}_temp_path {room}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
                ),
                chain=self.authority.chain,
                servers=self._server(" ".join(names), upstream_port, " default_server")
                + "".join(self._server(name, other) for name, other in beside.items())
                + "".join(self._server("localhost", other, port=own) for own, other in portals.items()),
            ),
            encoding="utf-8",
        )
        command = [nginx, "-p", str(room), "-e", "stderr", "-c", str(config)]
        self.program = Process("nginx", command, {**os.environ, "PATH": SEARCH_PATH}, room)
        # Whoever speaks without TLS is told so: that is how it is known to listen.
        plain = f"http://127.0.0.1:{self.port}/"
        try:
            until(lambda: reachable(plain) or not self.program.runs, why=self.program.output)
            assert self.program.runs, self.program.output()
        except BaseException:
            self.stop()
            raise

    def url_of(self, name: str) -> str:
        """Where it answers under this name."""
        return f"https://{name}:{self.port}"

    def stop(self) -> None:
        self.program.discard()

    def __enter__(self) -> TlsProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _server(self, names: str, upstream: int, default: str = "", port: int = 0) -> str:
        return SERVER.format(port=port or self.port, names=names, upstream=upstream, default=default)
