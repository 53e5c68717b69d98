"""A whole installation on loopback: Redis behind a forwarder, a mail host, `authsvc serve` and `authsvc worker`.

It runs as in production (AUTHSVC_ENV is `production`: TLS to the mail host, a log-in there, a Redis user with the
rights of `authsvc redis-acl`). Two practices, `maple` and `birch`, have a client each; one is the other's neighbour.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.resilience.certificates import Authority
from tests.resilience.forwarder import Forwarder
from tests.resilience.http_caller import Client, Observations, call
from tests.resilience.patience import stretched
from tests.resilience.processes import ROOT, Program, authsvc, free_port, until
from tests.resilience.redis_servers import PASSWORD, USER, Cluster, RedisServer, Sentinels, acl_line
from tests.resilience.smtp_conversation import LOGIN, SECRET
from tests.resilience.smtp_host import SmtpHost

PRACTICES = ("maple", "birch")
PUBLIC_URL = "https://signin.maple.example"
PERMISSIONS = (
    "codes:issue",
    "codes:verify",
    "codes:reveal",
    "links:issue",
    "links:exchange",
    "links:revoke",
    "patients:read",
    "patients:write",
    "sessions:revoke",
    "tokens:introspect",
)


@dataclass(frozen=True)
class Template:
    """Redis's files with both practices in them, the master secret that opens them, and the clients."""

    files: Path
    secret: str
    clients: dict[str, Client]


_template: Template | None = None


class Deployment:
    """`kind`: `single`, `sentinel` or `cluster`. Settings by their AUTHSVC_ name without the prefix, in lower case."""

    def __init__(self, kind: str = "single", limits: str = "", **settings: str) -> None:
        self.kind = kind
        self.folder = Path(tempfile.mkdtemp(prefix="authsvc-resilience-"))
        self.authority = Authority(self.folder)
        self.smtp = SmtpHost(self.authority.server_context())
        self.observed = Observations()
        self.port, self.admin_port = free_port(), free_port()
        self.url, self.admin_url = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.admin_port}"
        self.programs: list[Program] = []
        self.clients: dict[str, Client] = {}
        self.serving: Program | None = None
        self.working: Program | None = None
        self.forwarder: Forwarder | None = None
        self.servers: list[RedisServer] = []
        self.store: RedisServer | Sentinels | Cluster
        redis_url = self._make_store()
        mail = f"smtp://{LOGIN}:{SECRET}@127.0.0.1:{self.smtp.port}?ca={self.authority.ca}"
        self.secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        given = {
            "env": "production",
            "public_url": PUBLIC_URL,
            "bind": f"127.0.0.1:{self.port}",
            "admin_bind": f"127.0.0.1:{self.admin_port}",
            "redis_url": redis_url,
            "secret_keys": self.secret,
            "mail_url": mail,
            "mail_from": "Maple Practice <no-reply@maple.example>",
        }
        if kind == "sentinel":
            given["redis_replicas"] = "2"  # all of them, so that every fail-over keeps what was acknowledged
        if limits:
            (self.folder / "limits.toml").write_text(limits)
            given["limits_file"] = str(self.folder / "limits.toml")
        self.environ = environ(given | settings)

    def _make_store(self) -> str:
        if self.kind == "sentinel":
            self.store = Sentinels(self.folder)
            return self.store.url
        if self.kind == "cluster":
            self.store = Cluster(self.folder)
            return self.store.url
        self.store = self.add_server("redis")
        self.forwarder = Forwarder(self.store.port)
        return f"redis://{USER}:{PASSWORD}@127.0.0.1:{self.forwarder.port}/0"

    # --- parts --------------------------------------------------------------------------------------------------------

    @property
    def redis(self) -> RedisServer:
        assert isinstance(self.store, RedisServer)
        return self.store

    @property
    def sentinels(self) -> Sentinels:
        assert isinstance(self.store, Sentinels)
        return self.store

    @property
    def cluster(self) -> Cluster:
        assert isinstance(self.store, Cluster)
        return self.store

    @property
    def wire(self) -> Forwarder:
        assert self.forwarder is not None
        return self.forwarder

    @property
    def serve_program(self) -> Program:
        assert self.serving is not None
        return self.serving

    @property
    def worker_program(self) -> Program:
        assert self.working is not None
        return self.working

    def add_server(self, name: str, *options: str) -> RedisServer:
        server = RedisServer(self.folder, name, acl_line(), *options)
        self.servers.append(server)
        return server

    def start(self) -> Deployment:
        """Everything, until it is ready."""
        if self.kind == "single":
            self._start_redis_with_practices()
        else:
            self.store.start()
            self.enter()
        self.start_serve()
        self.start_worker()
        self.await_ready()
        return self

    def _start_redis_with_practices(self) -> None:
        """The first installation of a run enters its practices; later ones begin with a copy of those files."""
        global _template
        if _template is not None:
            shutil.copytree(_template.files, self.redis.folder / "appendonlydir")
            self.secret = self.environ["AUTHSVC_SECRET_KEYS"] = _template.secret
            for practice, client in _template.clients.items():
                self.clients[practice] = replace(client, urls=(self.url,), observed=self.observed)
        self.store.start()
        if _template is None:
            self.enter()
            files = Path(tempfile.mkdtemp(prefix="authsvc-resilience-")) / "files"
            shutil.copytree(self.redis.folder / "appendonlydir", files)
            atexit.register(shutil.rmtree, files.parent, ignore_errors=True)
            _template = Template(files, self.secret, dict(self.clients))

    def enter(self) -> None:
        """Both practices and their clients, by the command line."""
        self.cli("practices", "add", "maple", "--name", "Maple Practice", "--portal-url", "https://portal.example")
        self.cli("practices", "add", "birch", "--name", "Birch Practice")
        with ThreadPoolExecutor(2) as pool:
            for client in pool.map(lambda practice: self.add_client(f"{practice}-portal", practice), PRACTICES):
                self.clients[client.practice] = client

    def add_client(self, name: str, practice: str, *permissions: str, urls: tuple[str, ...] = ()) -> Client:
        allowed = [word for permission in permissions or PERMISSIONS for word in ("--allow", permission)]
        made = self.cli("clients", "add", name, "--practice", practice, *allowed)
        return Client(urls or (self.url,), practice, made["client_id"], made["client_secret"], self.observed)

    def start_serve(self, name: str = "serve", wrapper: tuple[str, ...] = (), **changes: Any) -> Program:
        """`environ` (added settings of the process), `stdout`, `stderr` as `Program` takes them."""
        extra: Mapping[str, str] = changes.pop("environ", {})
        program = Program(name, [*wrapper, *authsvc("serve")], self.folder, self.environ | extra, **changes)
        self.programs.append(program)
        if name == "serve":
            self.serving = program
        return program

    def start_worker(self, name: str = "worker", wrapper: tuple[str, ...] = (), **changes: Any) -> Program:
        extra: Mapping[str, str] = changes.pop("environ", {})
        program = Program(name, [*wrapper, *authsvc("worker")], self.folder, self.environ | extra, **changes)
        self.programs.append(program)
        if name == "worker":
            self.working = program
        return program

    def await_ready(self, within_s: float = 40.0, url: str = "") -> None:
        def ready() -> bool:
            assert url or self.serve_program.runs, f"serve ended: {self.serve_program.output()}"
            return call("GET", f"{url or self.url}/readyz").status == 200

        until(ready, within_s, "/readyz is 200", 0.1)

    def run_cli(self, *words: str, within_s: float = 40.0, **settings: str) -> subprocess.CompletedProcess[str]:
        added = {f"AUTHSVC_{name.upper()}": value for name, value in settings.items()}
        return subprocess.run(
            authsvc(*words),
            env=self.environ | added,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=stretched(within_s),
        )

    def cli(self, *words: str) -> Any:
        done = self.run_cli(*words, "--json")
        assert done.returncode == 0, (words, done.returncode, done.stdout[-400:], done.stderr[-400:])
        return json.loads(done.stdout)

    def logs(self) -> str:
        """All that serve and worker wrote."""
        files = sorted({program.log for program in self.programs})
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def discard(self) -> None:
        for program in reversed(self.programs):
            program.discard()
        if self.forwarder is not None:
            self.forwarder.discard()
        self.smtp.discard()
        with suppress(AttributeError):
            self.store.discard()
        for server in self.servers:
            server.discard()
        shutil.rmtree(self.folder, ignore_errors=True)


def environ(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without any setting of the service, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
    return kept | {f"AUTHSVC_{name.upper()}": value for name, value in settings.items()} | {"PYTHONUNBUFFERED": "1"}
