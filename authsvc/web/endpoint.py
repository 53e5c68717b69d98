"""The words of the HTTP edge: an operation, a judged call, and the reply to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from marshmallow import Schema

from authsvc.model import Client, Practice, RequestContext

if TYPE_CHECKING:
    from authsvc.wiring import Service

Headers = list[tuple[str, str]]
Environ = Mapping[str, Any]
"""A WSGI environment (PEP 3333)."""

REQUEST_INFO = "authsvc.seen"
"""Where `RequestInfo` travels in the WSGI environment."""


class Reply(NamedTuple):
    """An answer before any framework: status, headers, body."""

    status: int
    headers: Headers
    body: bytes = b""


class RequestInfo:
    """What is known of a request by now, for the log line and the metrics: never a path, never a secret."""

    __slots__ = ("client", "practice", "request_id", "route")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.route = "unknown"
        self.client = ""
        self.practice = ""


@dataclass(frozen=True)
class Call:
    """A call that passed every check and may act. `data` holds body, query and path members, all of clean types."""

    service: Service
    client: Client
    practice: Practice
    act: RequestContext
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Success:
    """One documented good answer. `links` are OpenAPI links: name → (operation id, its member, ours)."""

    status: int
    told: str
    schema: type[Schema] | None = None
    example: Any = None
    links: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One row of the table: route, guard and description in one.

    `path` is written as in OpenAPI; `security` is who calls: `client` (Basic), `patient` (a bearer token) or nobody.
    `problems` are the slugs beyond those that every call of its kind may answer.
    """

    id: str
    method: str
    path: str
    told: str
    success: tuple[Success, ...]
    run: Callable[..., Any]
    permission: str | None = None
    security: str | None = "client"
    body: Schema | None = None
    form: Mapping[str, str] | None = None
    query: Schema | None = None
    example: Any = None
    idempotent: bool = False
    problems: tuple[str, ...] = ()
    detail: str = ""
    tag: str = ""


def json_bytes(payload: Any) -> bytes:
    """Compact ASCII JSON: nothing in it can break a log line or a terminal."""
    return json.dumps(payload, separators=(",", ":"), allow_nan=False).encode("ascii")


def json_reply(status: int, payload: Any, headers: Headers | None = None) -> Reply:
    return Reply(status, [("Content-Type", "application/json"), *(headers or ())], json_bytes(payload))
