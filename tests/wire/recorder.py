"""Sends requests and runs commands, and keeps what came back in its normalized form.

A recording is a flat object: the name of an exchange → what was sent and what came. Names begin with the deployment and
the case, so that a difference is found by its name.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import pwd
import re
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

from tests.wire.normalize import PEM, Normalizer
from tests.wire.processes import Call, Deployment, Ran, until

SHORT_TEXT = 4000
BEGAN = time.monotonic()


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True)
class ClientSecret:
    """A client that was registered by the command line."""

    id: str
    secret: str = ""

    @property
    def basic(self) -> dict[str, str]:
        return basic(self.id, self.secret)


def basic(name: str, secret: str) -> dict[str, str]:
    pair = f"{quote_plus(name)}:{quote_plus(secret)}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclass
class Recorder:
    """Records one deployment. `name` stands before every case."""

    name: str
    deployment: Deployment
    entries: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        folder = str(self.deployment.folder)
        user = pwd.getpwuid(os.getuid()).pw_name
        self.values = Normalizer({folder: "<folder>", f"cli:{user}": "cli:<user>"}, self._published)
        self._case = "begin"
        self._count = 0
        self._jwks: list[dict[str, Any]] = []
        self._quiet = False
        self._read: set[str] = set()
        self._parsed: dict[str, Any] = {}

    # --- cases --------------------------------------------------------------------------------------------------------

    def case(self, name: str, run: Callable[[], None]) -> None:
        """One case; should it fail, that is recorded, and the next one goes on."""
        self._case, self._count = name, 0
        self.values.begin()
        began = time.monotonic()
        try:
            run()
        except Exception as error:  # noqa: BLE001 - a case that can't go on is a difference, not the end of the run
            told = traceback.format_exception(error)
            self.failed.append(f"{self.name}/{name}: {told[-1].strip()}")
            self._keep("did not reach its end", {"error": type(error).__name__})
            print("".join(told), file=sys.stderr)
        finally:
            since = time.monotonic()
            print(f"{since - BEGAN:6.1f} s  {self.name}/{name} took {since - began:.1f} s", file=sys.stderr)

    def _keep(self, label: str, entry: Mapping[str, Any]) -> None:
        self._count += 1
        whole = dict(entry)
        told = {name: content for name, content in self.values.tokens.items() if content is not None}
        if told:
            whole["tokens"] = told
            self.values.tokens = dict.fromkeys(self.values.tokens)
        self.entries[f"{self.name}/{self._case}/{self._count:03d} {label}"] = whole

    def note(self, label: str, content: Any) -> None:
        """Something else that was observed."""
        self._keep(label, {"observed": self.values.document(content)})

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Requests in here are sent and not recorded."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    # --- requests -----------------------------------------------------------------------------------------------------

    def ask(
        self,
        label: str,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        told: Any = None,
        port: int | None = None,
        host: str | None = None,
    ) -> Answer:
        """One request over a connection of its own, and its answer. `told` is the body as the recording shows it."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        answer = self._sent(method, target, pairs, body, port, host)
        if not self._quiet:
            shown = {
                "request": f"{method} {self.values.text(target)}",
                "sent headers": [f"{name}: {self._said(name, value)}" for name, value in pairs],
            }
            if body is not None:
                shown["sent"] = self._told(body) if told is None else self.values.document(told)
            self._keep(label, {**shown, **self._came(method, answer)})
        return answer

    def _sent(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        port: int | None,
        host: str | None,
    ) -> Answer:
        line = http.client.HTTPConnection("127.0.0.1", port or self.deployment.port, timeout=60)
        try:
            line.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            line.putheader("Host", host or urlsplit(self.deployment.public_url).netloc)
            names = {name.lower() for name, _ in headers}
            for name, value in headers:
                line.putheader(name, value.encode("utf-8"))
            if body is not None and not names & {"content-length", "transfer-encoding"}:
                line.putheader("Content-Length", str(len(body)))
            line.endheaders(body)
            came = line.getresponse()
            return Answer(came.status, came.getheaders(), came.read())
        finally:
            line.close()

    def raw(self, label: str, content: bytes, port: int | None = None) -> Answer | None:
        """Bytes that no library would send; None where the server closes without a word."""
        with socket.create_connection(("127.0.0.1", port or self.deployment.port), timeout=60) as line:
            line.sendall(content)
            line.shutdown(socket.SHUT_WR)
            came = b""
            while part := line.recv(65536):
                came += part
        head, _, body = came.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        shown = {"raw request": self.values.text(content[:200].decode("latin-1"))}
        if not came:
            self._keep(label, {**shown, "answer": "closed"})
            return None
        pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        status = re.match(r"HTTP/1\.[01] ([0-9]{3})", first)
        answer = Answer(int(status[1]) if status else 0, pairs, body)
        self._keep(label, {**shown, "line": first, **self._came("GET", answer)})
        return answer

    def _said(self, name: str, value: str) -> str:
        """A header that was sent."""
        if name.lower() == "cookie":
            pairs = (pair.partition("=") for pair in value.split("; "))
            told = (f"{self.values.cookie_name(key)}={self.values.cookie_value(held)}" for key, _, held in pairs)
            return "; ".join(told)
        if value.startswith("Basic "):
            return "Basic <credentials>" if len(value) < 1000 else "Basic <overlong>"
        shown = value if len(value) < 2000 else f"{value[:40]}<and {len(value) - 40} more>"
        return self.values.text(shown)

    def _told(self, body: bytes) -> Any:
        """A body that was sent."""
        if len(body) > SHORT_TEXT:
            return f"<{len(body)} bytes>"
        try:
            return self.values.document(json.loads(body))
        except ValueError:
            return self.values.text(body.decode("utf-8", "backslashreplace"))

    def _came(self, method: str, answer: Answer) -> dict[str, Any]:
        length = None if method == "HEAD" and not answer.body else len(answer.body)
        headers = [f"{name}: {self.values.header(name, value, length)}" for name, value in answer.headers]
        if length is None:
            headers = [re.sub(r"^(Content-Length): [0-9]+$", r"\1: <of a body>", each) for each in headers]
        return {
            "status": answer.status,
            "headers": sorted(headers, key=lambda each: each.partition(":")[0].lower()),
            "body": self.body(answer),
        }

    def body(self, answer: Answer) -> Any:
        kind = answer.header("Content-Type").partition(";")[0]
        if not answer.body:
            return ""
        if kind.endswith("json"):
            try:
                return self.values.document(answer.json)
            except ValueError:
                return {"not JSON": self.values.text(answer.text)}
        if kind == "text/html":
            return self.values.html(answer.text)
        readable = kind.startswith(("text/", "application/")) or kind == ""
        if readable and len(answer.body) <= SHORT_TEXT:
            return self.values.text(answer.text).splitlines()
        return f"<{len(answer.body)} bytes, SHA-256 {hashlib.sha256(answer.body).hexdigest()[:32]}>"

    # --- calls of the API -----------------------------------------------------------------------------------------

    def call(
        self,
        label: str,
        client: ClientSecret,
        method: str,
        path: str,
        members: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A call below /v1/practices; `members` become its JSON body."""
        sent = {**client.basic, **(headers or {})}
        body = None
        if members is not None:
            body = json.dumps(members).encode()
            sent.setdefault("Content-Type", "application/json")
        return self.ask(label, method, f"/v1/practices/{path}", headers=sent, body=body)

    def form(
        self,
        label: str,
        path: str,
        fields: Mapping[str, str] | Sequence[tuple[str, str]],
        client: ClientSecret | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A form sent to /oauth2."""
        pairs = list(fields.items()) if isinstance(fields, Mapping) else list(fields)
        sent = {"Content-Type": "application/x-www-form-urlencoded"} | (client.basic if client else {})
        told = [f"{name}={self._told(value.encode())}" for name, value in pairs]
        return self.ask(
            label, "POST", path, headers=sent | (dict(headers or {})), body=urlencode(pairs).encode(), told=told
        )

    def _published(self) -> list[dict[str, Any]]:
        return self._jwks

    def learn_keys(self) -> None:
        """Read the published keys, so that signatures can be checked and their ids have the same number everywhere."""
        with self.quietly():
            found = self.ask("", "GET", urlsplit(self.deployment.public_url).path + "/.well-known/jwks.json").json[
                "keys"
            ]
        known = {key["kid"] for key in self._jwks}
        self._jwks += [key for key in found if key["kid"] not in known]

    # --- commands -------------------------------------------------------------------------------------------------

    def command(
        self,
        label: str,
        *words: str,
        stdin: str | None = None,
        environ: Mapping[str, str | None] | None = None,
        kept: bool = True,
    ) -> Ran:
        """One command, recorded."""
        ran = self.deployment.run(*words, stdin=stdin, environ=environ)
        if kept:
            shown = " ".join(self.values.text(word) if word else "''" for word in words)
            entry: dict[str, Any] = {"command": f"authsvc {shown}", "exit": ran.code}
            entry["stdout"] = self._output(ran.out, "--json" in words and "--help" not in words)
            entry["stderr"] = self._output(ran.err, False)
            self._keep(label or shown, entry)
        return ran

    def _output(self, text: str, as_json: bool) -> Any:
        if as_json:
            try:
                return self.values.document(json.loads(text))
            except ValueError:
                return {"not one JSON document": self.values.text(text).splitlines()}
        return [self._line(line) for line in PEM.sub(self.values.pem, text).splitlines()]

    def _line(self, line: str) -> Any:
        if line.startswith("{") and line.endswith("}"):
            try:
                return self.values.document(json.loads(line))
            except ValueError:
                pass
        # Columns are as wide as the values of this run.
        return re.sub(r"(?<=\S) {2,}", "  ", self.values.text(line))

    def client(self, name: str, *words: str) -> ClientSecret:
        """Register a client."""
        ran = self.command(f"add the client {name}", "clients", "add", name, *words, "--json")
        return ClientSecret(name, ran.document.get("client_secret", ""))

    # --- mail -----------------------------------------------------------------------------------------------------

    def mail(self, address: str, what: str = "") -> Any:
        """The next unread mail to this address, once it has come."""

        def look() -> Any:
            for name, found in self._mails().items():
                if name not in self._read and found["To"].lower() == address.lower():
                    self._read.add(name)
                    return found
            return None

        return until(look, f"a mail to {address} {what}")

    def _mails(self) -> dict[str, Any]:
        """Every mail by the name of its file, the oldest first; each is parsed once."""
        for path in self.deployment.mails.glob("*.eml"):
            if path.name not in self._parsed:
                self._parsed[path.name] = message_from_bytes(path.read_bytes(), policy=default)
        return dict(sorted(self._parsed.items()))

    def delivered(self, client: ClientSecret, patient: str) -> None:
        """Wait until the service has noted what happened to every mail of a patient."""

        def done() -> bool:
            with self.quietly():
                found = self.call("", client, "GET", f"{patient}/deliveries").json["deliveries"]
            return all(each["state"] != "queued" for each in found)

        until(done, f"the mails of {patient}")

    def no_mail(self, address: str) -> None:
        """Record how many unread mails there are, after others have come."""
        found = [name for name, mail in self._mails().items() if name not in self._read and mail["To"] == address]
        self.note(f"unread mails to {address}", len(found))

    def record_mails(self, label: str = "every mail") -> None:
        """Every mail of this deployment: by address and content, whatever their order was."""
        mails = []
        for path in self.deployment.mails.glob("*.eml"):
            self.values.begin()
            mails.append(self._mail(path))
        mails.sort(key=lambda mail: json.dumps(mail, sort_keys=True))
        for mail in mails:
            self._keep(f"{label}: {mail['headers'].get('To')}, {mail['headers'].get('Subject')}", mail)

    def _mail(self, path: Path) -> dict[str, Any]:
        found = message_from_bytes(path.read_bytes(), policy=default)
        shape = re.fullmatch(r"[0-9]{13}-([A-Za-z0-9_-]{22})\.eml", path.name)
        if shape:
            self.values.seen("message 22", shape[1])
        headers = {}
        for name, value in found.items():
            headers[name] = self.values.text(re.sub(r"=_[^\"]*", "=_<boundary>", str(value)))
        parts = []
        for part in found.walk():
            if part.is_multipart():
                parts.append({"type": part.get_content_type()})
                continue
            about = {name: self.values.text(str(value)) for name, value in part.items()} if part is not found else {}
            content = re.sub(
                r"(?<=\n)[0-9]{6}(?=\n)|(?<=>)[0-9]{6}(?=<)", "<code>", part.get_content().replace("\r\n", "\n")
            )
            if part.get_content_type() == "text/html":
                parts.append({"headers": about, "html": self.values.html(content)})
            else:
                paragraphs = [" ".join(each.split()) for each in content.split("\n\n")]
                parts.append({"headers": about, "text": [self.values.text(each) for each in paragraphs]})
        return {"file": "<queued ms>-<message>.eml" if shape else path.name, "headers": headers, "parts": parts}

    def pushed(self, label: str, call: Call) -> None:
        """A request that the service sent to a client."""
        fields = [f"{name}={self.values.text(value)}" for name, value in parse_qsl(call.body.decode())]
        headers = [f"{name}: {self.values.header(name, value, len(call.body))}" for name, value in call.headers]
        self._keep(label, {"request": f"{call.method} {call.path}", "headers": headers, "body": fields})

    # --- what is left at the end ------------------------------------------------------------------------------------

    def metrics(self, label: str, port: int) -> None:
        """Names, labels and types of all series; figures only of those that polling doesn't change."""
        with self.quietly():
            answer = self.ask("", "GET", "/metrics", port=port)
        lines = []
        for line in answer.text.splitlines():
            counted = re.match(
                r"authsvc_(?:events|.*_refused|links_opened|limiter_refusals|mails|logouts)_total\b", line
            )
            if line.startswith("#") or counted:
                lines.append(line)
            elif line.startswith("authsvc_"):
                lines.append(line.rpartition(" ")[0] + " <number>")
            else:
                lines.append(re.sub(r"\S+$", "<number>", line))
        self._keep(label, {"content type": answer.header("Content-Type"), "series": sorted(set(lines))})

    def audit_entries(self, name: str) -> None:
        """A whole audit trail, in order."""
        ran = self.deployment.run("audit", "export", name)
        found = [json.loads(line) for line in ran.out.splitlines()]
        gapless = [entry.pop("n") for entry in found] == list(range(1, len(found) + 1))
        entries = []
        for entry in found:
            self.values.begin()  # one entry more doesn't change what all later ones look like
            entries.append(self.values.document(entry))
        shown = {"exit": ran.code, "numbered without gaps": gapless, "entries": entries, "stderr": ran.err}
        self._keep(f"trail {name}", shown)

    def logs(self, name: str) -> None:
        """Each kind of log line once: what it says without what differs from request to request."""
        program = self.deployment.programs[name]
        for stream in ("stdout", "stderr"):
            kinds = set()
            for line in program.lines(stream):
                if line.startswith('{"at"'):
                    self.values.begin()
                    told = self.values.document(json.loads(line))
                    kinds.add(json.dumps(told, sort_keys=True, ensure_ascii=False))
            self._keep(f"{stream} of {name}", {"kinds of lines": sorted(kinds)})

    def stop(self, name: str) -> None:
        """End a process by SIGTERM; its exit code, and what it wrote when it had started."""
        program = self.deployment.programs[name]
        started = program.out.read_text()
        code = program.stop()
        document, _ = json.JSONDecoder().raw_decode(started) if started.startswith("{") else (None, 0)
        self._keep(f"{name} ends", {"exit": code, "started": self.values.document(document)})
