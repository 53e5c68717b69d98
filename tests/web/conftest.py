"""The public and the admin application around a service on fakeredis, wired as it ships.

What the store does is tested against every backend elsewhere; here it only has to be there.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from authsvc.store.connection import Connection
from authsvc.web.api import openapi
from authsvc.web.app import create_admin_app, create_app
from tests.fakes import FakeClock, SeededEntropy
from tests.flows.conftest import Harness

API = [operation for operation in openapi.OPERATIONS if operation.path.startswith("/v1/practices")]
OAUTH = [operation for operation in openapi.OPERATIONS if operation.path.startswith("/oauth2")]


class Web:
    """One service with the practice `maple`, a second practice `oak`, and ways to call it."""

    def __init__(self, **changes: Any) -> None:
        self.server = fakeredis.FakeServer(version=(7, 0))
        redis = fakeredis.FakeRedis(server=self.server, version=(7, 0), decode_responses=True)
        self.clock, self.entropy = FakeClock(), SeededEntropy()
        store = Connection(redis, deadline_s=0.2, waiting_limit=64)
        self.harness = Harness(store, redis, self.clock, self.entropy, **changes)
        self.service = self.harness.service
        self.service.practices.add("oak", name="Oak Practice", actor="cli:test")
        self.redis = redis
        self.public: FlaskClient = create_app(self.service).test_client()
        self.admin: FlaskClient = create_admin_app(self.service).test_client()
        self._secrets = {"portal": self.harness.secret}
        self.auth = self.client("portal")

    def client(self, name: str, *permissions: str, practices: tuple[str, ...] = ("maple",)) -> dict[str, str]:
        """The Authorization header of a client, registered when it is first asked for."""
        if name not in self._secrets:
            _, self._secrets[name] = self.harness.new_client(
                name, permissions=frozenset(permissions), practices=practices
            )
        return basic(name, self._secrets[name])

    def call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **body: Any) -> TestResponse:
        """A call about the practice, or to any path that begins with a slash, by the client that may do all."""
        where = path if path.startswith("/") else f"/v1/practices/maple/{path}"
        return self.public.open(where, method=method, headers={**self.auth, **(headers or {})}, **body)

    def bare(self, method: str, path: str, **more: Any) -> TestResponse:
        """A call without credentials."""
        return self.public.open(path, method=method, **more)

    def start(self, code: str = "314159", **body: Any) -> str:
        """The handle of a sign-in whose code is known."""
        self.entropy.next_below(int(code))
        answer = self.call("POST", "codes", json=body or {"email": "ann@example.org"})
        assert answer.status_code == 202, answer.json
        return str(answer.json["challenge"])

    def sign_in(self) -> dict[str, Any]:
        answer = self.call("POST", "codes/verify", json={"challenge": self.start(), "code": "314159"})
        assert answer.status_code == 200, answer.json
        return dict(answer.json)

    def link(self, **body: Any) -> str:
        """The token of a new link."""
        given = {"patient": "p1", "workflow": "pay-invoice", "resource": "invoice:inv_1", **body}
        answer = self.call("POST", "links", json={name: value for name, value in given.items() if value is not None})
        assert answer.status_code == 201, answer.json
        return str(answer.json["url"].rsplit("/", 1)[1])

    def instant(self) -> str:
        """An access token from an instant link."""
        return str(self.call("POST", "links/exchange", json={"token": self.link()}).json["access_token"])

    def stop_the_store(self) -> None:
        self.server.connected = False


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def pointers(answer: TestResponse) -> list[str]:
    """Where an invalid-request says that something is wrong."""
    assert answer.status_code == 400, answer.get_data(as_text=True)
    assert answer.json["type"].endswith("/problems/invalid-request"), answer.json
    return [fault["pointer"] for fault in answer.json["errors"]]


def slug(answer: TestResponse) -> str:
    """The last part of a problem's type, after checking that it is a problem document."""
    assert answer.content_type == "application/problem+json", answer.content_type
    assert answer.json["status"] == answer.status_code
    return str(answer.json["type"].rsplit("/", 1)[1])


@pytest.fixture
def build() -> Callable[..., Web]:
    """A service with other settings or limits."""
    return Web


@pytest.fixture
def web(build: Callable[..., Web]) -> Web:
    """The service, with the patient p1 on file."""
    made = build()
    made.harness.patient("p1", "ann@example.org", label="Ann")
    return made


@pytest.fixture(scope="session")
def one_service() -> Web:
    made = Web()
    made.harness.patient("p1", "ann@example.org", label="Ann")
    return made


@pytest.fixture
def shared(one_service: Web) -> Web:
    """The same, made once, for many tests that leave nothing behind: half an hour later every limit is full again."""
    one_service.clock.advance_s(1800)
    return one_service
