"""Tokens after the sign-in, in OAuth's own words: refresh (RFC 6749 §6), revoke (RFC 7009), introspect (RFC 7662).

Errors are RFC 6749 §5.2 objects here and problem documents everywhere else, never mixed. Unknown parameters are
ignored, empty ones count as absent, repeated ones are refused (§3.1, §3.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from marshmallow import INCLUDE, Schema, fields

from authsvc import errors
from authsvc.errors import AuthsvcError, Fault, InvalidInput
from authsvc.model import Client
from authsvc.web import answers, bodies, challenges, credentials
from authsvc.web.calls import SEEN, Environ, Headers, Operation, Reply, Success, json_reply
from authsvc.web.guards import allowed
from authsvc.web.peers import Peers
from authsvc.web.problems import KEY_RING_RETRY_S, limited_headers, retry

if TYPE_CHECKING:
    from authsvc.wiring import Service

GUARDED = "/oauth2"
INTROSPECT = "tokens:introspect"
REFRESH = "refresh_token"

_TOKEN = re.compile(r"[!-~]{1,8192}")
_SCOPE = re.compile(r"[!#-\[\]-~]+( [!#-\[\]-~]+)*")  # RFC 6749 §3.3
_NOT_QUOTABLE = re.compile(r'[^\x20-\x7e]|["\\]')


class TokenCall:
    """One judged call to an OAuth endpoint."""

    __slots__ = ("client", "form", "request_id", "service")

    def __init__(self, service: Service, client: Client, form: Mapping[str, str], request_id: str) -> None:
        self.service = service
        self.client = client
        self.form = form
        self.request_id = request_id

    def required(self, name: str) -> str:
        """A parameter that holds a token. Raises InvalidInput."""
        value = self.form.get(name, "")
        if not _TOKEN.fullmatch(value):
            raise InvalidInput(Fault(f"/{name}", f"{name} is {'not a token' if value else 'required'}"))
        return value


# --- the endpoints ------------------------------------------------------------------------------------------------


def token(call: TokenCall) -> Reply:
    grant_type = call.form.get("grant_type")
    if grant_type is None:
        raise InvalidInput(Fault("/grant_type", "grant_type is required"))
    if grant_type != REFRESH:
        return _error(400, "unsupported_grant_type", "Only refresh_token is supported")
    refresh_token = call.required("refresh_token")
    scope = call.form.get("scope")
    if scope is not None and not _SCOPE.fullmatch(scope):
        raise InvalidInput(Fault("/scope", "scope is a list of words with single spaces in between"))
    grant = call.service.sessions.refresh(call.client, refresh_token, scope, call.request_id)
    return json_reply(200, answers.granted(grant))


def revoke(call: TokenCall) -> Reply:
    """200 for unknown and foreign tokens too (RFC 7009 §2.2); the hint about the type is not needed."""
    call.service.sessions.revoke(call.client, call.required("token"), call.request_id)
    return Reply(200, [])


def introspect(call: TokenCall) -> Reply:
    return json_reply(200, call.service.sessions.introspect(call.client, call.required("token"), call.request_id))


# --- the gates ----------------------------------------------------------------------------------------------------


class Gates:
    """Judges calls to /oauth2: 401 → 404 → 403 → 405 → 413 → 400 → 429 and the act.

    Who says who they are in the form is read first (413, 400) and known then (401); nobody else is read unknown.
    """

    def __init__(self, service: Service, peers: Peers) -> None:
        self._service = service
        self._peers = peers

    def judge(self, here: Mapping[str, Operation], environ: Environ, _: Mapping[str, str]) -> Reply:
        """Raises what `TABLE` knows."""
        operation = here["POST"]
        client, form = credentials.caller(
            self._service, self._peers, environ, open_to_public=operation.permission is None
        )
        if operation.permission is not None and operation.permission not in client.permissions:
            raise errors.Forbidden(operation.permission)
        if environ["REQUEST_METHOD"] != "POST":
            raise errors.MethodNotAllowed(allowed(here))
        if form is None:
            form = credentials.beside_basic(bodies.parse_form(bodies.read(environ), environ), client)
        reply: Reply = operation.run(TokenCall(self._service, client, form, environ[SEEN].request_id))
        return reply


# --- errors -------------------------------------------------------------------------------------------------------

_Told = tuple[int, str, Callable[[Any], str], Callable[[Any], Headers]]


def _none(_: Any) -> Headers:
    return []


def _first(error: InvalidInput) -> str:
    return error.faults[0].detail if error.faults else "The request is not valid"


TABLE: Mapping[type[AuthsvcError], _Told] = {
    errors.Unauthenticated: (
        401, "invalid_client", lambda _: "Authenticate in the one way this client is registered for",
        lambda _: [("WWW-Authenticate", challenges.BASIC)],
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
    errors.InvalidGrant: (400, "invalid_grant", lambda _: "The refresh token is not valid", _none),
    errors.InvalidScope: (400, "invalid_scope", lambda _: "More was asked for than was granted", _none),
    errors.RateLimited: (
        429, "temporarily_unavailable", lambda error: f"Wait {error.retry_after_s} seconds", limited_headers,
    ),
    errors.Unavailable: (503, "temporarily_unavailable", lambda _: "Nothing was decided. Try again", retry),
    errors.KeyRingUnusable: (
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
    return _error(status, code, description(error), headers(error))


def internal() -> Reply:
    return _error(500, "server_error", "Please report the X-Request-Id")


def _error(status: int, code: str, description: str, headers: Headers | None = None) -> Reply:
    """`error_description` is printable ASCII without quotes and backslashes."""
    said = _NOT_QUOTABLE.sub("?", description)
    return json_reply(status, {"error": code, "error_description": said}, headers)


# --- the table ----------------------------------------------------------------------------------------------------


class IntrospectionAnswer(Schema):
    """RFC 7662 §2.2. An inactive token has `active` and nothing more."""

    class Meta:
        unknown = INCLUDE

    active = fields.Boolean(required=True)


_SESSION = {
    "access_token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln",
    "token_type": "Bearer",
    "expires_in": 600,
    "scope": "invoices:view",
    "patient": "pat_1",
    "practice": "maple",
    "session": "Yq3hJ0m2SgKJvXhUlZ0c9g",
    "refresh_token": "art_bWFwbGU.Yq3hJ0m2SgKJvXhUlZ0c9g.2.nonce.mac",
}

OPERATIONS = (
    Operation(
        "refreshToken", "POST", f"{GUARDED}/token", "Refresh a session's tokens", tag="tokens", run=token,
        form={
            "grant_type": "`refresh_token`.",
            "refresh_token": "The newest one. Within 30 s its immediate parent gets the same successor again; "
            "anything older ends the session.",
            "scope": "Less than was granted, if wanted.",
        },
        success=(Success(200, "New tokens; the old refresh token is spent.", answers.TokenAnswer, _SESSION),),
    ),
    Operation(
        "revokeToken", "POST", f"{GUARDED}/revoke", "Revoke a token", tag="tokens", run=revoke,
        form={"token": "A refresh token ends its session, an access token itself.", "token_type_hint": "Ignored."},
        success=(Success(200, "Whatever the token was, it is of no use any more."),),
    ),
    Operation(
        "introspectToken", "POST", f"{GUARDED}/introspect", "Ask whether a token stands", tag="tokens",
        run=introspect, permission=INTROSPECT,
        form={"token": "An access token of this client's practices and audience, or its own refresh token.",
              "token_type_hint": "Ignored."},
        success=(Success(200, "What the token says, or that it is inactive.", IntrospectionAnswer,
                         {"active": False}),),
    ),
)  # fmt: skip
