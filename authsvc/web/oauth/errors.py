"""Errors of the OAuth endpoints: RFC 6749 §5.2 objects there and problem documents everywhere else, never mixed.

Where the trouble is ours they use the two codes of §4.1.2.1: the registry has none for the token endpoint.
"""

from __future__ import annotations

import re

from authsvc import errors
from authsvc.web.endpoint import Headers, Reply, json_reply
from authsvc.web.problems import headers

_NOT_QUOTABLE = re.compile(r'[^\x20-\x7e]|["\\]')

ANSWERS = {error.oauth for error in errors.ALL}
"""Every status with its codes."""


def reply(error: Exception) -> Reply:
    known = error if isinstance(error, errors.AuthsvcError) else errors.AuthsvcError()
    status, code, description = known.oauth
    return error_reply(status, code, description.format_map(vars(known)), headers(known))


def error_reply(status: int, code: str, description: str, headers: Headers | None = None) -> Reply:
    """`error_description` is printable ASCII without quotes and backslashes."""
    return json_reply(status, {"error": code, "error_description": quotable(description)}, headers)


def quotable(description: str) -> str:
    """What `error_description` may hold (RFC 6749 §4.1.2.1, §5.2)."""
    return _NOT_QUOTABLE.sub("?", description)
