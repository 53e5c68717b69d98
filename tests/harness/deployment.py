"""authsvc as it is deployed: every part a process of its own, and nothing that stands in for another.

    store      a Redis server whose file is written at every command, so that a power cut loses nothing
    mail host  SMTP submission that demands STARTTLS and a log-in, under an authority of its own
    serve      `authsvc serve`, two workers
    worker     `authsvc worker`
    service    resource_server.py, which knows the issuer's address and nothing else

A practice and its client are made by the command line. Every part can be stopped, killed and started again.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

from authsvc.demo.embedded import StoreServer
from tests.conftest import any_server, server_binary
from tests.delivery.mail_hosts import PASSWORD, USER, Authority, MailHost, authenticator, serving
from tests.harness.cli import CommandResult, run_command
from tests.harness.processes import Answer, Process, answering, ask, children, free_port, reachable, until

EVERYTHING = (
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


class Deployment:
    """Use as a context manager: everything that was started is gone afterwards. `settings` by full AUTHSVC_ name."""

    def __init__(self, folder: Path, mail: MailHost | None = None, **settings: str) -> None:
        self.folder = folder
        self.port, self.admin_port, self.service_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        self.service_url = f"http://127.0.0.1:{self.service_port}"
        self.master = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        self.store = StoreServer(server_binary(any_server()), folder / "store", options=("--appendfsync", "always"))
        self.mail = mail or MailHost()
        self.commands: list[CommandResult] = []
        self._programs: list[Process] = []
        self._stack = ExitStack()
        self._settings = settings

    def __enter__(self) -> Deployment:
        with ExitStack() as stack:
            stack.callback(self.store.discard)
            authority = Authority(self.folder)
            stack.enter_context(
                serving(
                    self.mail,
                    tls_context=authority.context(),
                    require_starttls=True,
                    authenticator=authenticator,
                    auth_required=True,
                )
            )
            stack.callback(self._discard)
            self._stack = stack.pop_all()
        mail_url = f"smtp://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.mail.port}?ca={authority.ca}"
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")} | {
            "AUTHSVC_ENV": "development",
            "AUTHSVC_PUBLIC_URL": self.url,
            "AUTHSVC_BIND": f"127.0.0.1:{self.port}",
            "AUTHSVC_ADMIN_BIND": f"127.0.0.1:{self.admin_port}",
            "AUTHSVC_REDIS_URL": self.store.url,
            "AUTHSVC_SECRET_KEYS": self.master,
            "AUTHSVC_MAIL_URL": mail_url,
            "AUTHSVC_MAIL_FROM": "Maple Practice <no-reply@maple.example>",
            **self._settings,
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # --- the processes ------------------------------------------------------------------------------------------------

    def serve(self, *, ready: bool = True) -> Process:
        """`authsvc serve`, once it answers; `ready`: once it can act."""
        running = self._start("serve", "-m", "authsvc", "serve", "--workers", "2")
        until(lambda: reachable(f"{self.url}/livez") or not running.runs, why=running.output)
        assert running.runs, running.output()
        if ready:
            until(lambda: len(children(running.pid)) == 2, why=running.output)
            until(lambda: ask("GET", f"{self.url}/readyz").status == 200, why=running.output)
        return running

    def work(self) -> Process:
        """`authsvc worker`."""
        return self._start("worker", "-m", "authsvc", "worker")

    def open_service(self) -> Process:
        """The resource server, once it answers."""
        running = self._start("service", "-m", "tests.journeys.resource_server", self.url, str(self.service_port))
        until(lambda: reachable(self.service_url), why=running.output)
        return running

    def _start(self, name: str, *words: str) -> Process:
        environ = self.environ
        if name == "service":  # it gets nothing of the settings
            environ = {key: value for key, value in environ.items() if not key.startswith("AUTHSVC_")}
        program = Process(name, [sys.executable, *words], environ, self.folder)
        self._programs.append(program)
        return program

    def _discard(self) -> None:
        for program in self._programs:
            program.close_pipes()
        for program in self._programs:
            program.discard()

    def connection_to_each_worker(self, running: Process) -> dict[int, HTTPConnection]:
        """A connection that stays open to each worker process of `serve`, by its pid."""
        workers = children(running.pid)
        lines: dict[int, HTTPConnection] = {}

        def one_more() -> bool:
            line = HTTPConnection("127.0.0.1", self.port, timeout=30)
            ask("GET", f"{self.url}/livez", over=line)
            pid = answering(line, workers)
            if pid in lines:
                line.close()
            else:
                lines[pid] = line
                self._stack.callback(line.close)
            return lines.keys() == workers

        until(one_more)
        return lines

    # --- the command line ---------------------------------------------------------------------------------------------

    def cli(self, *words: str, code: int = 0) -> CommandResult:
        """One `authsvc` command with --json, in this process."""
        ran = run_command(self.environ, *words, "--json")
        self.commands.append(ran)
        assert ran.code == code, ran
        return ran

    def add_practice(self, practice: str = "maple") -> None:
        assert self.cli("practices", "add", practice, "--name", "Maple Practice").document["id"] == practice

    def add_client(self, name: str, *permissions: str, practice: str = "maple") -> Client:
        allowed = [word for permission in permissions or EVERYTHING for word in ("--allow", permission)]
        made = self.cli("clients", "add", name, "--practice", practice, *allowed).document
        return Client(self.url, practice, made["client_id"], made["client_secret"])

    def grant(self, patient: str, email: str, label: str = "") -> None:
        """Portal access, by the command line."""
        self.cli("patients", "grant", "maple", patient, "--email", email, "--label", label or patient)

    # --- mail ---------------------------------------------------------------------------------------------------------

    def mailed(self, email: str, number: int = 1) -> str:
        """The text of the mail with this number to this address, once it has come."""

        def come() -> list[bytes]:
            mine = [each.content for each in self.mail.envelopes if each.rcpt_tos == [email]]
            return [content for content in mine if isinstance(content, bytes)]

        until(lambda: len(come()) >= number, why=lambda: f"{len(come())} mails to {email}")
        part = message_from_bytes(come()[number - 1], policy=default).get_body(("plain",))
        assert part is not None
        return "\n".join(str(part.get_content()).splitlines())

    # --- what patients and gateways do --------------------------------------------------------------------------------

    def visit(self, method: str, page: str, token: str | None) -> Answer:
        """One request to the practice's service."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return ask(method, f"{self.service_url}{page}", headers)

    def forward_auth(self, token: str, **wanted: str) -> Answer:
        """What a gateway asks before it lets a request pass."""
        query = urlencode({"practice": "maple", **wanted})
        return ask("GET", f"{self.url}/v1/forward-auth?{query}", {"Authorization": f"Bearer {token}"})


@dataclass(frozen=True)
class Client:
    """A practice service that calls the API with its secret."""

    url: str
    practice: str
    id: str
    secret: str

    @property
    def authorization(self) -> str:
        return "Basic " + base64.b64encode(f"{self.id}:{self.secret}".encode()).decode()

    def call(self, method: str, path: str, *, over: HTTPConnection | None = None, **members: Any) -> Answer:
        """One call about the practice; `members` become the JSON body."""
        body = json.dumps(members).encode() if members else None
        headers = {"Authorization": self.authorization}
        if body:
            headers["Content-Type"] = "application/json"
        return ask(method, f"{self.url}/v1/practices/{self.practice}/{path}", headers, body, over=over)

    def post(self, path: str, *, over: HTTPConnection | None = None, **members: Any) -> Answer:
        return self.call("POST", path, over=over, **members)

    def oauth(self, path: str, **fields: str) -> Answer:
        """One call to /oauth2."""
        headers = {"Authorization": self.authorization, "Content-Type": "application/x-www-form-urlencoded"}
        return ask("POST", f"{self.url}/oauth2/{path}", headers, urlencode(fields).encode())

    # --- steps that many tests take -----------------------------------------------------------------------------------

    def register(self, patient: str, email: str, *, portal_access: bool = True, label: str = "") -> None:
        members: Mapping[str, Any] = {"email": email, "portal_access": portal_access, "label": label or patient}
        answer = self.call("PUT", f"patients/{patient}", **members)
        assert answer.status in (200, 201), answer

    def post_with_retry(self, path: str, **members: Any) -> Answer:
        """As `post`, and again while the answer is 503: nothing was decided by then, so a service tries again."""
        return until(lambda: answer if (answer := self.post(path, **members)).status != 503 else None)

    def link(self, workflow: str, patient: str, **members: Any) -> str:
        """The token of a new link."""
        answer = self.post("links", workflow=workflow, patient=patient, **members)
        assert answer.status == 201, answer
        return token_of(answer.json["url"])

    def exchange_link(self, token: str) -> dict[str, Any]:
        answer = self.post("links/exchange", token=token)
        assert answer.status == 200, answer
        return dict(answer.json)

    def signed_in(self, patient: str) -> dict[str, Any]:
        """Tokens for a patient on file, the code told to the caller: for tests that are about what comes after."""
        started = self.post("codes", patient=patient, delivery="caller")
        assert started.status == 202, started
        answer = self.post("codes/verify", challenge=started.json["challenge"], code=started.json["code"])
        assert answer.status == 200, answer
        return dict(answer.json)

    def refreshed(self, refresh_token: str) -> Answer:
        return self.oauth("token", grant_type="refresh_token", refresh_token=refresh_token)


def token_of(url: str) -> str:
    """The last segment of a link's path is its token."""
    return url.rpartition("/")[2]


def find_code(mail: str) -> str:
    found = re.search(r"^\d{6}$", mail, re.MULTILINE)
    assert found, mail
    return found.group()


def find_link(mail: str) -> str:
    found = re.search(r"^http://\S+/l/\S+$", mail, re.MULTILINE)
    assert found, mail
    return found.group()


def wrong(code: str) -> str:
    """Another code than this one."""
    return f"{(int(code) + 1) % 10**6:06d}"
