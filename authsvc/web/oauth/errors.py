"""Errors of the OAuth endpoints: RFC 6749 §5.2 objects there and problem documents everywhere else, never mixed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from authsvc import errors
from authsvc.errors import AuthsvcError, InvalidInput
from authsvc.web import www_authenticate
from authsvc.web.endpoint import Headers, Reply, json_reply
from authsvc.web.problems import KEY_RING_RETRY_S, limited_headers, retry

_NOT_QUOTABLE = re.compile(r'[^\x20-\x7e]|["\\]')

_Told = tuple[int, str, Callable[[Any], str], Callable[[Any], Headers]]


def _none(_: Any) -> Headers:
    return []


def _first(error: InvalidInput) -> str:
    return error.faults[0].detail if error.faults else "The request is not valid"


TABLE: Mapping[type[AuthsvcError], _Told] = {
    errors.Unauthenticated: (
        401, "invalid_client", lambda _: "Authenticate in the one way this client is registered for",
        lambda _: [("WWW-Authenticate", www_authenticate.BASIC)],
    ),
    errors.NotFound: (404, "invalid_request", lambda _: "There is no such endpoint", _none),
    errors.Forbidden: (
        403, "unauthorized_client", lambda error: f"This client lacks the permission {error.permission}", _none,
    ),
    errors.MethodNotAllowed: (
        405, "invalid_request", lambda _: "Use POST", lambda error: [("Allow", ", ".join(error.allowed))],
    ),
    errors.TooLarge: (413, "invalid_request", lambda error: f"At most {error.limit_bytes} bytes", _none),
    errors.InvalidInput: (400, "invalid_request", _first, _none),
    errors.InvalidGrant: (400, "invalid_grant", lambda _: "The token or code is not valid for this client", _none),
    errors.LinkGone: (400, "invalid_grant", lambda _: "The link is no longer good", _none),
    errors.UnauthorizedClient: (
        400, "unauthorized_client", lambda _: "This client is not registered for that grant", _none,
    ),
    errors.InvalidScope: (400, "invalid_scope", lambda _: "More was asked for than was granted", _none),
    errors.TokenMissing: (
        401, "invalid_request", lambda _: "Send an access token",
        lambda _: [("WWW-Authenticate", www_authenticate.BEARER)],
    ),
    errors.TokenInvalid: (
        401, "invalid_token", lambda _: "The access token is not valid",
        lambda _: [("WWW-Authenticate", www_authenticate.BEARER_INVALID)],
    ),
    errors.TokenInsufficient: (
        403, "insufficient_scope", lambda error: f"Needs the scope {error.wanted}",
        lambda error: [("WWW-Authenticate", www_authenticate.bearer_insufficient(error))],
    ),
    errors.RateLimited: (
        429, "temporarily_unavailable", lambda error: f"Wait {error.retry_after_s} seconds", limited_headers,
    ),
    errors.Unavailable: (503, "temporarily_unavailable", lambda _: "Nothing was decided. Try again", retry),
    errors.KeysetUnusable: (
        503, "temporarily_unavailable", lambda _: "Nothing was decided. Try again",
        lambda _: [("Retry-After", str(KEY_RING_RETRY_S))],
    ),
}  # fmt: skip
"""RFC 6749 §5.2, with the two codes of §4.1.2.1 where the trouble is ours: its registry has none for this endpoint."""

OTHER_CODES = ("unsupported_grant_type", "server_error")
"""Codes that no error class means."""


def reply(error: Exception) -> Reply:
    told = TABLE.get(type(error))  # type: ignore[arg-type]  # any other class simply isn't found
    if told is None:
        return internal()
    status, code, description, headers = told
    return error_reply(status, code, description(error), headers(error))


def internal() -> Reply:
    return error_reply(500, "server_error", "Please report the X-Request-Id")


def error_reply(status: int, code: str, description: str, headers: Headers | None = None) -> Reply:
    """`error_description` is printable ASCII without quotes and backslashes."""
    return json_reply(status, {"error": code, "error_description": quotable(description)}, headers)


def quotable(description: str) -> str:
    """What `error_description` may hold (RFC 6749 §4.1.2.1, §5.2)."""
    return _NOT_QUOTABLE.sub("?", description)
