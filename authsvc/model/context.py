"""Who calls, and how often it still may."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from authsvc.model.practices import Client, Practice


@dataclass(frozen=True)
class LimitState:
    """One limiter as the caller may see it: `quota` acts per `window_s`, `remaining` now, full again in `reset_s`."""

    policy: str
    quota: int
    window_s: int
    remaining: int
    reset_s: int


@dataclass
class RequestContext:
    """Who calls, in which practice, and how: the argument that every use case takes first.

    `id` is 128 random bits (base64url) that name the call. `actor` is what the audit says: `client:billing`,
    `cli:anna`, `by` the person at the desk as the client names it, or empty. `client_ip` is the patient's address as
    the caller names it, never the calling service's own.
    `fingerprint` is a digest of the request's body, compared when an Idempotency-Key comes again. `limits` collects
    what the answer's RateLimit fields shall say, `scripts` counts the scripts that were run, `used_up` has the
    marks of those that have used a credential up: a 503 leaves it to the caller's repeat.
    """

    id: str
    actor: str
    practice: Practice
    client: Client | None = None
    client_ip: str | None = None
    request_id: str = ""
    reason: str = ""
    by: str = ""
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    limits: list[LimitState] = field(default_factory=list)
    scripts: int = 0
    used_up: set[str] = field(default_factory=set)

    @classmethod
    def of_client(cls, call_id: str, client: Client, practice: Practice, request_id: str) -> RequestContext:
        """A client's call at /oauth2, where the token or code that it brings names the practice."""
        return cls(call_id, f"client:{client.id}", practice, client, request_id=request_id)

    @property
    def audit_call(self) -> str:
        """What an audit entry names the call by: the request's id, or `-` and the id of an operator's call."""
        return self.request_id or f"-{self.id}"

    @property
    def audit_details(self) -> dict[str, str]:
        """What an audit entry says of the call besides."""
        return {"by": self.by} if self.by else {}

    @property
    def client_id(self) -> str:
        """Empty at the hosted pages and on the command line."""
        return self.client.id if self.client else ""

    def next_script_id(self) -> str:
        """An id for one run of a script, kept while the run is repeated after a lost answer."""
        self.scripts += 1
        return f"{self.id[:16]}.{self.scripts}"


class Bucket(NamedTuple):
    """One bucket of a limit: `quota` calls in `window_s`; `shown` in the RateLimit fields of the answer."""

    policy: str
    id: str
    quota: int
    window_s: int
    shown: bool = True
