"""The revocation feed of a practice: public, cacheable for as long as it stays the same, signed by the current key.

It names sessions, links, tokens and keys by ids that mean nothing to anybody who doesn't hold the token itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from authsvc.errors import InvalidInput, NotFound
from authsvc.flows.revocations import STEP_S
from authsvc.web import parsing
from authsvc.web.api import schemas
from authsvc.web.endpoint import REQUEST_INFO, Environ, Headers, Operation, Reply, Success
from authsvc.web.fields import PRACTICE
from authsvc.web.oauth.discovery import OPEN, conditional, readable

if TYPE_CHECKING:
    from authsvc.wiring import Service

PATH = "/revocations/{practice}"
_PRACTICE = re.compile(PRACTICE, re.ASCII)


class Revocations:
    """Answers those who verify offline."""

    def __init__(self, service: Service) -> None:
        self._service = service
        age = f"public, max-age={STEP_S}"
        self._headers: Headers = [("Content-Type", "application/jwt"), ("Cache-Control", age), *OPEN]

    def feed(self, environ: Environ, path: Mapping[str, str]) -> Reply:
        """Raises NotFound, InvalidInput, Unavailable, KeysetUnusable."""
        name = path["practice"]
        if not _PRACTICE.fullmatch(name) or self._service.practices.get(name) is None:
            raise NotFound
        environ[REQUEST_INFO].practice = name
        readable(environ)
        sent, repeated = parsing.parse_query(environ.get("QUERY_STRING", ""))
        query, wrong = schemas.load(_SINCE, sent)
        if repeated or wrong:
            raise InvalidInput(*repeated, *wrong)
        feed = self._service.revocations.feed(name, int(query.get("since", "0")))
        return conditional(environ, feed.token.encode("ascii"), f'"{feed.etag}"', self._headers)


_SINCE = schemas.Since()

OPERATIONS = (
    Operation(
        "getRevocations", "GET", PATH, "What was revoked of late, for offline verifiers", tag="gateways",
        security=None, run=Revocations.feed, query=_SINCE,
        success=(Success(200, "A JWT (typ `revocations+jwt`, aud `revocations`) with the revoked sessions, links, "
                              "tokens and keys, and a cursor."),
                 Success(304, "Unchanged.")),
        problems=("not-found", "invalid-request", "unavailable"),
    ),
)  # fmt: skip
