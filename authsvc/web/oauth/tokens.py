"""Tokens in OAuth's own words: for a code (RFC 6749 §4.1.3, RFC 7636), refreshed (§6), revoked (RFC 7009), introspected
(RFC 7662); and who they are about (OpenID Connect Core §5.3).

Unknown parameters are ignored, empty ones count as absent, repeated ones are refused (§3.1, §3.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from marshmallow import INCLUDE, Schema, fields

from authsvc import errors
from authsvc.errors import Fault, InvalidInput
from authsvc.model import Client, TokenGrant
from authsvc.web import client_authentication, parsing
from authsvc.web.api import responses
from authsvc.web.api.guards import allowed
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.endpoint import REQUEST_INFO, Environ, Operation, Reply, Success, json_reply
from authsvc.web.oauth.authorization_request import OF_OPENID
from authsvc.web.oauth.errors import error_reply

if TYPE_CHECKING:
    from authsvc.wiring import Service

GUARDED = "/oauth2"
INTROSPECT = "tokens:introspect"
REFRESH = "refresh_token"
CODE = "authorization_code"

_TOKEN = re.compile(r"[!-~]{1,8192}")
_SCOPE = re.compile(r"[!#-\[\]-~]+( [!#-\[\]-~]+)*")  # RFC 6749 §3.3
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1


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
    grant = GRANTS.get(grant_type)
    if grant is None:
        return error_reply(400, "unsupported_grant_type", f"Supported are {' and '.join(GRANTS)}")
    return json_reply(200, responses.granted(grant(call)))


def _redeemed(call: TokenCall) -> TokenGrant:
    """RFC 6749 §4.1.3. The address is compared though PKCE binds the code already: standard clients send both."""
    if not call.client.redirect_uris:
        raise errors.UnauthorizedClient
    code, redirect_uri, verifier = (call.required(name) for name in ("code", "redirect_uri", "code_verifier"))
    if not _VERIFIER.fullmatch(verifier):
        raise InvalidInput(Fault("/code_verifier", "code_verifier is 43 to 128 of A-Z a-z 0-9 . _ ~ -"))
    return call.service.authorization_codes.redeem(call.client, code, redirect_uri, verifier, call.request_id)


def _refreshed(call: TokenCall) -> TokenGrant:
    refresh_token = call.required("refresh_token")
    scope = call.form.get("scope")
    if scope is not None and not _SCOPE.fullmatch(scope):
        raise InvalidInput(Fault("/scope", "scope is a list of words with single spaces in between"))
    if scope is not None:
        # Some clients (mod_auth_openidc) ask again for all that they asked for at first, these included.
        scope = " ".join(name for name in scope.split() if name not in OF_OPENID)
    return call.service.sessions.refresh(call.client, refresh_token, scope, call.request_id)


GRANTS: Mapping[str, Callable[[TokenCall], TokenGrant]] = {CODE: _redeemed, REFRESH: _refreshed}
"""What a client may bring to the token endpoint."""


def revoke(call: TokenCall) -> Reply:
    """200 for unknown and foreign tokens too (RFC 7009 §2.2); the hint about the type is not needed."""
    call.service.sessions.revoke(call.client, call.required("token"), call.request_id)
    return Reply(200, [])


def introspect(call: TokenCall) -> Reply:
    return json_reply(200, call.service.sessions.introspect(call.client, call.required("token"), call.request_id))


# --- the gates ----------------------------------------------------------------------------------------------------


class OAuthGuards:
    """Judges calls to /oauth2: 401 → 404 → 403 → 405 → 413 → 400 → 429 and the act.

    Who says who they are in the form is read first (413, 400) and known then (401); nobody else is read unknown.
    """

    def __init__(self, service: Service, peers: ClientIpResolver) -> None:
        self._service = service
        self._peers = peers

    def judge(self, here: Mapping[str, Operation], environ: Environ, _: Mapping[str, str]) -> Reply:
        """Raises what `TABLE` knows."""
        operation = here["POST"]
        client, form = client_authentication.caller(
            self._service, self._peers, environ, open_to_public=operation.permission is None
        )
        if operation.permission is not None and operation.permission not in client.permissions:
            raise errors.Forbidden(operation.permission)
        if environ["REQUEST_METHOD"] != "POST":
            raise errors.MethodNotAllowed(allowed(here))
        if form is None:
            form = client_authentication.beside_basic(parsing.parse_form(parsing.read(environ), environ), client)
        reply: Reply = operation.run(TokenCall(self._service, client, form, environ[REQUEST_INFO].request_id))
        return reply


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
        "refreshToken", "POST", f"{GUARDED}/token", "Redeem a code, or refresh a session's tokens", tag="tokens",
        run=token,
        form={
            "grant_type": "`authorization_code` or `refresh_token`.",
            "code": "The authorization code, within a minute, once.",
            "redirect_uri": "The address that the code came to.",
            "code_verifier": "PKCE's (RFC 7636).",
            "refresh_token": "The newest one. Within 30 s its immediate parent gets the same successor again; "
            "anything older ends the session.",
            "scope": "Less than was granted, if wanted.",
        },
        success=(Success(200, "New tokens; the code or old refresh token is spent.", responses.TokenAnswer, _SESSION),),
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
