"""The one table from errors to answers (RFC 9457), and the pages behind every `type`.

A test keeps the table equal to the error classes. What isn't in it is a fault of ours: 500, nothing revealed, the
trace in the log under the request's id.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from authsvc import errors
from authsvc.config.limits import fields as ratelimit_fields
from authsvc.errors import AuthsvcError
from authsvc.web import www_authenticate
from authsvc.web.endpoint import Headers, Reply, json_bytes

PROBLEM_TYPE = "application/problem+json"
KEY_RING_RETRY_S = 5  # how long another instance, or an operator, may need to bring the keys back


@dataclass(frozen=True)
class ProblemType:
    """One problem type, as the data file tells it."""

    slug: str
    status: int
    title: str
    detail: str
    cause: str
    cure: str


def _load() -> Mapping[str, ProblemType]:
    text = (resources.files("authsvc.web") / "templates" / "problems.toml").read_text(encoding="utf-8")
    return {slug: ProblemType(slug, **told) for slug, told in tomllib.loads(text).items()}


PROBLEM_TYPES = _load()


@dataclass(frozen=True)
class Rule:
    """How one error class is answered. `members` and `headers` take what the error carries."""

    slug: str
    members: Callable[[Any], Mapping[str, object]] = lambda _: {}
    headers: Callable[[Any], Headers] = lambda _: []
    status: Callable[[Any], int | None] = lambda _: None


def _faults(error: errors.InvalidInput) -> Mapping[str, object]:
    return {"errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]}


def limited_headers(error: errors.RateLimited) -> Headers:
    """Retry-After (RFC 9110 §10.2.3) and the RateLimit fields (draft-ietf-httpapi-ratelimit-headers-11)."""
    return [("Retry-After", str(error.retry_after_s)), *ratelimit_fields(error.limits, error.retry_after_s).items()]


def retry(error: errors.Unavailable) -> Headers:
    return [("Retry-After", str(error.retry_after_s))]


def _insufficient_status(error: errors.TokenInsufficient) -> int | None:
    """RFC 9470 §3: a way of signing in that wasn't enough is a 401, since signing in again helps."""
    return 401 if error.missing == "acr" else None


TABLE: Mapping[type[AuthsvcError], Rule] = {
    errors.Unauthenticated: Rule("unauthenticated", headers=lambda _: [("WWW-Authenticate", www_authenticate.BASIC)]),
    errors.NotFound: Rule("not-found"),
    errors.Forbidden: Rule("forbidden"),
    errors.MethodNotAllowed: Rule("method-not-allowed", headers=lambda error: [("Allow", ", ".join(error.allowed))]),
    errors.TooLarge: Rule("too-large"),
    errors.UnsupportedMediaType: Rule("unsupported-media-type"),
    errors.InvalidInput: Rule("invalid-request", members=_faults),
    errors.IdempotencyConflict: Rule("idempotency-conflict"),
    errors.PatientNotFound: Rule("patient-not-found"),
    errors.NoPortalAccess: Rule("no-portal-access"),
    errors.InvalidCode: Rule("invalid-code", members=lambda error: {"attempts_left": error.attempts_left}),
    errors.ChallengeGone: Rule("challenge-gone"),
    errors.LinkUnknown: Rule("link-unknown"),
    errors.LinkGone: Rule("link-gone", members=lambda error: {"reason": error.reason}),
    errors.TokenMissing: Rule("missing-token", headers=lambda _: [("WWW-Authenticate", www_authenticate.BEARER)]),
    errors.TokenInvalid: Rule(
        "invalid-token", headers=lambda _: [("WWW-Authenticate", www_authenticate.BEARER_INVALID)]
    ),
    errors.TokenInsufficient: Rule(
        "insufficient-token",
        headers=lambda error: [("WWW-Authenticate", www_authenticate.bearer_insufficient(error))],
        status=_insufficient_status,
    ),
    errors.RateLimited: Rule(
        "rate-limited", members=lambda error: {"violated-policies": list(error.violated)}, headers=limited_headers
    ),
    errors.Unavailable: Rule("unavailable", headers=retry),
    errors.KeysetUnusable: Rule("unavailable", headers=lambda _: [("Retry-After", str(KEY_RING_RETRY_S))]),
}

ELSEWHERE = frozenset(
    {
        errors.InvalidGrant,  # /oauth2 only: see oauth_errors.TABLE
        errors.UnauthorizedClient,
        errors.InvalidScope,
        errors.SignInNeeded,  # leads to the sign-in page
        errors.DeliveryDeferred,  # the worker's
        errors.DeliveryRefused,
        errors.SettingsInvalid,  # the operators'
        errors.AlreadyExists,
        errors.UnknownName,
        errors.UnsafeStep,
    }
)
"""Error classes that never reach this table; if one did, it would be a 500."""


class Problems:
    """Turns errors into answers. `base` is where the pages are: `<public_url>/problems/`."""

    def __init__(self, public_url: str) -> None:
        self.base = f"{public_url.rstrip('/')}/problems/"

    def reply(self, error: Exception) -> Reply:
        """The answer to `error`; to anything that isn't in the table, the one that reveals nothing."""
        rule = TABLE.get(type(error))  # type: ignore[arg-type]  # any other class simply isn't found
        if rule is None:
            return self.internal()
        kind = PROBLEM_TYPES[rule.slug]
        status = rule.status(error) or kind.status
        detail = kind.detail.format_map(vars(error))
        return self._reply(kind, status, detail, rule.members(error), rule.headers(error))

    def internal(self) -> Reply:
        kind = PROBLEM_TYPES["internal"]
        return self._reply(kind, kind.status, kind.detail, {}, [])

    def _reply(
        self, kind: ProblemType, status: int, detail: str, members: Mapping[str, object], headers: Headers
    ) -> Reply:
        document = {"type": self.base + kind.slug, "title": kind.title, "status": status, "detail": detail, **members}
        return Reply(status, [("Content-Type", PROBLEM_TYPE), *headers], json_bytes(document))
