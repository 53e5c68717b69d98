"""One practice, wired by the same function as the service, on whatever store the test runs against."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from authsvc import wiring
from authsvc.config import environment, limits
from authsvc.metrics import Metrics
from authsvc.model import PERMISSIONS, Client, Practice, RequestContext, Started, TokenGrant
from authsvc.store.connection import Connection
from tests import outboxes
from tests.audit_logs import tail
from tests.fakes import FakeClock, SeededEntropy

ENVIRON = {
    "AUTHSVC_ENV": "development",
    "AUTHSVC_PUBLIC_URL": "http://127.0.0.1:8080",
    "AUTHSVC_REDIS_URL": "redis://127.0.0.1:6379/0",
    "AUTHSVC_SECRET_KEYS": base64.urlsafe_b64encode(bytes(range(1, 33))).decode(),
    "AUTHSVC_MAIL_URL": "console:",
    "AUTHSVC_MAIL_FROM": "Maple Clinic <no-reply@maple.example>",
}


class Harness:
    """A running service with one practice, `maple`, and what tests do with it again and again."""

    def __init__(
        self, store: Connection, client: redis.Redis, clock: FakeClock, entropy: SeededEntropy, **changes: Any
    ) -> None:
        settings, catalogue, limits = environment.load(ENVIRON)
        prepared = changes.pop("prepared_challenges", 0)
        changed = {name: value for name, value in changes.items() if hasattr(settings, name)}
        settings = dataclasses.replace(settings, code_hash_queue=1000, **changed)
        limits = dataclasses.replace(limits, **{name: value for name, value in changes.items() if name not in changed})
        self.service = wiring.Service(
            settings,
            catalogue,
            limits,
            store=store,
            clock=clock,
            entropy=entropy,
            metrics=Metrics(),
            prepared_challenges=prepared,
        )
        self.clock, self.entropy = clock, entropy
        self.redis: Any = client
        self.codes, self.links, self.sessions = self.service.codes, self.service.links, self.service.sessions
        self.patients = self.service.patients
        self.service.signing_keys.ensure()
        self.practice: Practice = self.service.practices.add("maple", name="Maple Clinic", actor="cli:test")
        self.client, self.secret = self.new_client("portal")

    def new_client(self, name: str, **changes: Any) -> tuple[Client, str]:
        given = {"practices": ("maple",), "permissions": PERMISSIONS, "audience": None, **changes}
        return self.service.clients.add(name, actor="cli:test", **given)

    def act(self, client: Client | None = None, **more: Any) -> RequestContext:
        return self.service.act(self.practice, client or self.client, **more)

    def patient(
        self, name: str = "p1", email: str = "ann@example.org", *, access: bool = True, label: str = ""
    ) -> None:
        self.patients.put(self.act(), name, email=email, label=label or name, locale="", portal_access=access)

    def start(self, code: str = "314159", **how: Any) -> Started:
        """Start a challenge whose code is known to the test."""
        self.entropy.next_below(int(code))
        act = how.pop("act", None) or self.act()
        return self.codes.start(act, **(how or {"email": "ann@example.org"}))

    def sign_in(self, code: str = "314159", **how: Any) -> TokenGrant:
        started = self.start(code, **how)
        grant = self.codes.verify(self.act(), started.challenge, code)
        assert isinstance(grant, TokenGrant)
        return grant

    def link(self, act: RequestContext | None = None, **how: Any) -> str:
        """Issue a link and give its token."""
        given = {"patient": "p1", "workflow": "pay-invoice", "resource": "invoice:inv_1", **how}
        return self.links.issue(act or self.act(), **given).url.rsplit("/", 1)[1]

    def access_link(self, **how: Any) -> str:
        return self.link(workflow="portal", resource=None, **how)

    def introspected(self, token: str) -> dict[str, Any]:
        return self.sessions.introspect(self.client, token, "")

    def outbox(self) -> list[dict[str, str]]:
        """What is queued for the worker, oldest first, still sealed."""
        return outboxes.queued(self.redis)

    def mailed(self, at: int = -1) -> dict[str, Any]:
        """One queued mail, opened as the worker would."""
        queued = self.outbox()[at]
        recipient = outboxes.recipient(self.redis, queued)
        message = self.service.deps.messages.open(self.practice, outboxes.entry(queued), recipient)
        return {
            "kind": message.kind,
            "to": message.to,
            "code": message.code,
            "url": message.url,
            "locale": message.locale,
        }

    def audit_entries(self) -> list[dict[str, Any]]:
        return tail(self.service.audit_log, "maple", 1000)

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.audit_entries()]


@pytest.fixture
def real_redis_client(store_url: str) -> Iterator[redis.Redis]:
    """In the place of `redis_client`, where an imitation won't do."""
    client = redis.Redis.from_url(store_url, decode_responses=True, retry=Retry(NoBackoff(), 0))
    yield client
    client.close()


@pytest.fixture
def build(
    store: Connection, redis_client: redis.Redis, clock: FakeClock, entropy: SeededEntropy
) -> Callable[..., Harness]:
    """A harness with other settings or limits."""
    return lambda **changes: Harness(store, redis_client, clock, entropy, **changes)


@pytest.fixture
def harness(build: Callable[..., Harness]) -> Harness:
    return build()


@pytest.fixture
def wide(build: Callable[..., Harness]) -> Harness:
    """A harness whose client and network limits don't get in the way of a test about something else."""
    policies = dict(limits.load(None).policies)
    by_day = ("issue-address-day", "issue-patient-day")
    for name in ("client-calls", "issue-network", "verify-network", "issue-address", "issue-patient", *by_day):
        policies[name] = dataclasses.replace(policies[name], quota=100_000)
    return build(policies=policies)
