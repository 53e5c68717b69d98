"""The acts that are measured, as HTTP requests made beforehand.

The answers of one act are what the next one needs: a start gives a challenge and a code, a verified code gives an
access token and a refresh token, a link gives the token to exchange.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

PERMISSIONS = (
    *("codes:issue", "codes:verify", "codes:reveal", "links:issue", "links:exchange"),
    *("patients:read", "patients:write", "tokens:introspect"),
)


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def request(method: str, path: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def json_post(path: str, document: Any, authorization: str | None = None, method: str = "POST") -> bytes:
    headers = [("Content-Type", "application/json")]
    if authorization:
        headers.append(("Authorization", authorization))
    return request(method, path, headers, json.dumps(document).encode())


def network(number: int) -> str:
    """Another patient's address each time; every second one is IPv6."""
    if number % 2:
        return f"2001:db8:{number >> 8 & 0xFFFF:x}:{number & 0xFF:x}::1"
    return f"10.{number >> 16 & 0xFF}.{number >> 8 & 0xFF}.{number & 0xFF}"


@dataclass(frozen=True)
class Caller:
    """A client of the service at one practice; makes the requests of each act."""

    practice: str
    authorization: str

    def _call(self, path: str, document: Any, method: str = "POST") -> bytes:
        return json_post(f"/v1/practices/{self.practice}/{path}", document, self.authorization, method)

    def _form(self, path: str, **fields: str) -> bytes:
        headers = (("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", self.authorization))
        return request("POST", path, headers, urlencode(fields).encode())

    def put_patients(self, patients: Iterable[str]) -> list[bytes]:
        document = {"label": "Ada Brown", "portal_access": True}
        return [
            self._call(f"patients/{name}", {"email": f"{name}@patients.example", **document}, "PUT")
            for name in patients
        ]

    def start(self, patients: Sequence[str], count: int, **more: str) -> list[bytes]:
        """Sign-ins started; the code is mailed, or with `delivery="caller"` given in the answer."""
        return [
            self._call("codes", {"patient": patients[number % len(patients)], "client_ip": network(number), **more})
            for number in range(count)
        ]

    def verify(self, started: Iterable[bytes]) -> list[bytes]:
        answers = [json.loads(body) for body in started]
        return [
            self._call(
                "codes/verify",
                {"challenge": answer["challenge"], "code": answer["code"], "client_ip": network(number)},
            )
            for number, answer in enumerate(answers)
        ]

    def refresh(self, granted: Iterable[bytes]) -> list[bytes]:
        return [
            self._form("/oauth2/token", grant_type="refresh_token", refresh_token=json.loads(body)["refresh_token"])
            for body in granted
        ]

    def introspect(self, granted: Iterable[bytes]) -> list[bytes]:
        return [self._form("/oauth2/introspect", token=json.loads(body)["access_token"]) for body in granted]

    def forward_auth(self, granted: Iterable[bytes]) -> list[bytes]:
        path = f"/v1/forward-auth?practice={quote(self.practice)}&scope=invoices:view&acr=extra"
        tokens = (json.loads(body)["access_token"] for body in granted)
        return [request("GET", path, [("Authorization", f"Bearer {token}")]) for token in tokens]

    def issue_links(self, patients: Sequence[str], count: int, **more: str) -> list[bytes]:
        return [
            self._call(
                "links",
                {
                    "patient": patients[number % len(patients)],
                    "workflow": "pay-invoice",
                    "resource": f"invoice:inv_{number}",
                    **more,
                },
            )
            for number in range(count)
        ]

    def exchange(self, issued: Iterable[bytes]) -> list[bytes]:
        tokens = [urlsplit(json.loads(body)["url"]).path.rpartition("/")[2] for body in issued]
        return [
            self._call("links/exchange", {"token": token, "client_ip": network(number)})
            for number, token in enumerate(tokens)
        ]


def keys() -> list[bytes]:
    return [request("GET", "/.well-known/jwks.json")]


def livez() -> list[bytes]:
    return [request("GET", "/livez")]


def bare_wsgi() -> list[bytes]:
    return [request("GET", "/")]


def bare_flask() -> list[bytes]:
    return [json_post("/json", {"patient": "p000001", "client_ip": "203.0.113.7"})]
