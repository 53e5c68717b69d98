"""What runs beside authsvc: openid-client in a process of its own, and the pages of the portal that it stands for."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.delivery.mail_hosts import Authority
from tests.gateways.environment import serving
from tests.harness.machine import require


class Refused(AssertionError):
    """openid-client, or authsvc as openid-client tells it, said no."""

    def __init__(self, code: str, error: str, said: str) -> None:
        super().__init__(f"{code} {error}: {said}")
        self.code, self.error = code, error


class RelyingParty:
    """openid-client with one registration. Each method is one of its acts; raises Refused."""

    def __init__(self, installed: Path, ca: Path, **registration: Any) -> None:
        self.id: str = registration["client_id"]
        self.secret: str = registration.get("secret") or ""
        self._node = subprocess.Popen(
            [require("node"), "openid-client.mjs"],
            cwd=installed,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(ca)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.metadata: dict[str, Any] = self._asked(registration)

    def stop(self) -> None:
        """It ends with its input."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.close()
        self._node.stdout.close()
        self._node.wait(15)

    def begin(self, **parameters: str) -> str:
        """Where it sends the browser."""
        return str(self._act("begin", parameters=parameters)["url"])

    def finish(self, answer: str) -> dict[str, Any]:
        """The tokens for what the browser brought back, and the id token's `claims`."""
        return self._act("finish", url=answer, state=parameter(answer, "state"))

    def refresh(self, token: str) -> dict[str, Any]:
        return self._act("refresh", token=token)

    def userinfo(self, tokens: Mapping[str, Any]) -> dict[str, Any]:
        return self._act("userinfo", token=tokens["access_token"], subject=tokens["claims"]["sub"])

    def introspect(self, token: str) -> dict[str, Any]:
        return self._act("introspect", token=token)

    def revoke(self, token: str) -> None:
        self._act("revoke", token=token)

    def end(self, **parameters: str) -> str:
        """Where it sends the browser to be signed out."""
        return str(self._act("end", parameters=parameters)["url"])

    def logged_out(self, token: str) -> dict[str, Any]:
        """The claims of a logout token that is good for this client."""
        return dict(self._act("logged_out", token=token)["claims"])

    def _act(self, name: str, **members: Any) -> dict[str, Any]:
        told = self._asked({"do": name, **members})
        if "refused" in told:
            raise Refused(**told["refused"])
        return told

    def _asked(self, line: Mapping[str, Any]) -> dict[str, Any]:
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps(line) + "\n")
        self._node.stdin.flush()
        answer = self._node.stdout.readline()
        assert answer, f"openid-client ended with {self._node.wait(15)}"
        return dict(json.loads(answer))


class Portal:
    """The addresses of a portal: whatever is asked there is a page, and what is posted to `/hear` is kept."""

    def __init__(self, port: int, heard: list[dict[str, str]]) -> None:
        self.heard = heard
        self.url = f"https://localhost:{port}"
        self.callback, self.signed_out, self.hear = f"{self.url}/callback", f"{self.url}/bye", f"{self.url}/hear"

    def heard_of(self, client: str) -> list[str]:
        """The logout tokens that came to this client's address."""
        return [each["logout_token"] for each in self.heard if each["path"] == f"/hear/{client}"]


@contextmanager
def portal(authority: Authority) -> Iterator[Portal]:
    heard: list[dict[str, str]] = []

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answered(b"<title>Portal</title><p>The portal.</p>")

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
            heard.append({"path": self.path, **{name: values[0] for name, values in form.items()}})
            self._answered(b"")

        def _answered(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Nothing."""

    with serving(Pages, authority.context()) as port:
        yield Portal(port, heard)


def parameter(url: str, name: str) -> str:
    """One parameter of an address; empty when it isn't there."""
    return parse_qs(urlsplit(url).query).get(name, [""])[0]
