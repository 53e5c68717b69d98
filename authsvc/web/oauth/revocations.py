"""The revocation feed of a practice: public, cacheable for as long as it stays the same, signed by the current key.

It names sessions, links, tokens and keys by ids that mean nothing to anybody who doesn't hold the token itself.
"""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from authsvc.flows.revocations import STEP_S
from authsvc.model import RequestContext
from authsvc.web.context import current_service
from authsvc.web.endpoint import Success, endpoint
from authsvc.web.fields import NoQuery, cursor
from authsvc.web.middleware import Headers
from authsvc.web.oauth.discovery import OPEN
from authsvc.web.responses import conditional, to_response

blueprint = Blueprint("revocations", __name__)

_HEADERS: Headers = [
    ("Content-Type", "application/jwt"),
    ("Cache-Control", f"public, max-age={STEP_S}"),
    *OPEN,
]


class Since(NoQuery):
    since = cursor()


@blueprint.get("/revocations/<practice>")
@endpoint(
    "getRevocations",
    "What was revoked of late, for offline verifiers",
    Success(
        200,
        "A JWT (typ `revocations+jwt`, aud `revocations`) with the revoked sessions, links, tokens and keys, and a "
        "cursor.",
    ),
    Success(304, "Unchanged."),
    tag="gateways",
    security=None,
    query=Since(),
    problems=("not-found", "invalid-request", "unavailable"),
)
def revocations(context: RequestContext, query: dict[str, str]) -> ResponseReturnValue:
    """Raises Unavailable, KeysetUnusable."""
    feed = current_service().revocations.feed(context.practice.id, int(query.get("since", "0")))
    return to_response(conditional(request.environ, feed.token.encode("ascii"), f'"{feed.etag}"', _HEADERS))
