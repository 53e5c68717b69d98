"""Errors as problem documents (RFC 9457), and the texts of the pages behind every `type`.

Status and type hang on the error class. Any other exception is a fault of ours: 500, nothing revealed, the trace in the
log under the request's id.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from authsvc import errors
from authsvc.config.limits import fields as ratelimit_fields
from authsvc.errors import AuthsvcError
from authsvc.web import www_authenticate
from authsvc.web.middleware import Headers, Reply
from authsvc.web.responses import json_bytes

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """One problem type: the status of its error class, and the texts of the data file."""

    slug: str
    status: int
    title: str
    detail: str
    cause: str
    cure: str


def _load() -> Mapping[str, ProblemType]:
    text = (resources.files("authsvc.web") / "templates" / "problems.toml").read_text(encoding="utf-8")
    status = {error.slug: error.status for error in errors.ALL if error.slug != "internal"} | {"internal": 500}
    return {slug: ProblemType(slug, status[slug], **texts) for slug, texts in tomllib.loads(text).items()}


PROBLEM_TYPES = _load()


def members(error: Exception) -> Mapping[str, object]:
    """What the problem document says beyond RFC 9457's own members."""
    match error:
        case errors.InvalidInput():
            return {"errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]}
        case errors.InvalidCode():
            return {"attempts_left": error.attempts_left}
        case errors.LinkGone():
            return {"reason": error.reason}
        case errors.RateLimited():
            return {"violated-policies": list(error.violated)}
    return {}


def headers(error: Exception) -> Headers:
    """The headers that say what would help, for problem documents and OAuth errors alike."""
    match error:
        case errors.Unauthenticated():
            return [("WWW-Authenticate", www_authenticate.BASIC)]
        case errors.TokenMissing():
            return [("WWW-Authenticate", www_authenticate.BEARER)]
        case errors.DpopTokenInvalid():
            return [("WWW-Authenticate", www_authenticate.DPOP_INVALID)]
        case errors.TokenInvalid():
            return [("WWW-Authenticate", www_authenticate.BEARER_INVALID)]
        case errors.TokenInsufficient():
            return [("WWW-Authenticate", www_authenticate.bearer_insufficient(error))]
        case errors.MethodNotAllowed():
            return [("Allow", ", ".join(error.allowed))]
        case errors.RateLimited():
            # RFC 9110 §10.2.3, draft-ietf-httpapi-ratelimit-headers-11
            fields = ratelimit_fields(error.limits, error.retry_after_s)
            return [("Retry-After", str(error.retry_after_s)), *fields.items()]
        case errors.Unavailable() | errors.KeysetUnusable():
            return [("Retry-After", str(error.retry_after_s))]
    return []


def reply(error: Exception, public_url: str) -> Reply:
    """The problem document of `error`; of anything that isn't ours, the one that reveals nothing."""
    known = error if isinstance(error, AuthsvcError) and error.slug != "internal" else AuthsvcError()
    kind = PROBLEM_TYPES[known.slug]
    document = {
        "type": f"{public_url.rstrip('/')}/problems/{kind.slug}",
        "title": kind.title,
        "status": known.status,
        # Of the one 503 after which something was done, nobody is told that nothing was.
        "detail": known.oauth[2] if isinstance(known, errors.NotReplicated) else kind.detail.format_map(vars(known)),
        **members(known),
    }
    return Reply(known.status, [("Content-Type", PROBLEM_TYPE), *headers(known)], json_bytes(document))
