"""Tokens in OAuth's own words: for a code (RFC 6749 §4.1.3, RFC 7636), refreshed (§6), revoked (RFC 7009), introspected
(RFC 7662).

Unknown parameters are ignored, empty ones count as absent, repeated ones are refused (§3.1, §3.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from flask import Blueprint
from flask.typing import ResponseReturnValue
from marshmallow import INCLUDE, Schema, fields

from authsvc.errors import Fault, InvalidInput, UnauthorizedClient, UnsupportedGrantType
from authsvc.model import Client, TokenGrant, claim_scopes
from authsvc.web.context import current_service, request_info
from authsvc.web.endpoint import Success, endpoint
from authsvc.web.oauth.authorization_request import OF_OPENID
from authsvc.web.oauth.presented_token import own_proof
from authsvc.web.oauth.token_response import SESSION, TokenAnswer, token_response

_TOKEN = re.compile(r"[!-~]{1,8192}")
_SCOPE = re.compile(r"[!#-\[\]-~]+( [!#-\[\]-~]+)*")  # RFC 6749 §3.3
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1

GRANTS = {
    "authorization_code": ("code", "redirect_uri", "code_verifier"),
    "refresh_token": ("refresh_token",),
}
"""What a client may bring to the token endpoint: grant type → what it comes with."""

blueprint = Blueprint("tokens", __name__, url_prefix="/oauth2")


class IntrospectionAnswer(Schema):
    """RFC 7662 §2.2. An inactive token has `active` and nothing more."""

    class Meta:
        unknown = INCLUDE

    active = fields.Boolean(required=True)


@blueprint.post("/token")
@endpoint(
    "refreshToken",
    "Redeem a code, or refresh a session's tokens",
    Success(200, "New tokens; the code or old refresh token is spent.", TokenAnswer, SESSION),
    form={
        "grant_type": "`authorization_code` or `refresh_token`.",
        "code": "The authorization code, within a minute, once.",
        "redirect_uri": "The address that the code came to.",
        "code_verifier": "PKCE's (RFC 7636); none where the code was asked for without a challenge.",
        "refresh_token": "The newest one. Within 30 s its immediate parent gets the same successor again; "
        "anything older ends the session.",
        "scope": "Less than was granted, if wanted.",
    },
)
def token(client: Client, form: Mapping[str, str]) -> ResponseReturnValue:
    match form.get("grant_type"):
        case None:
            raise InvalidInput(Fault("/grant_type", "grant_type is required"))
        case "authorization_code":
            return token_response(_redeem_code(client, form))
        case "refresh_token":
            return token_response(_refresh(client, form))
    raise UnsupportedGrantType


def _redeem_code(client: Client, form: Mapping[str, str]) -> TokenGrant:
    """RFC 6749 §4.1.3. The address is compared though PKCE binds the code already: standard clients send both."""
    if not client.redirect_uris:
        raise UnauthorizedClient
    code, redirect_uri = (_required(form, name) for name in ("code", "redirect_uri"))
    verifier = form.get("code_verifier", "") if client.pkce == "optional" else _required(form, "code_verifier")
    if verifier and not _VERIFIER.fullmatch(verifier):
        raise InvalidInput(Fault("/code_verifier", "code_verifier is 43 to 128 of A-Z a-z 0-9 . _ ~ -"))
    return current_service().authorization_codes.redeem(
        client, code, redirect_uri, verifier, request_info().request_id, own_proof("/oauth2/token")
    )


def _refresh(client: Client, form: Mapping[str, str]) -> TokenGrant:
    refresh_token = _required(form, "refresh_token")
    scope = form.get("scope")
    if scope is not None and not _SCOPE.fullmatch(scope):
        raise InvalidInput(Fault("/scope", "scope is a list of words with single spaces in between"))
    if scope is not None:
        practice = current_service().practices.get(client.practices[0])
        ignored = OF_OPENID - claim_scopes(practice, client).keys() if practice else OF_OPENID
        scope = " ".join(name for name in scope.split() if name not in ignored)
    return current_service().sessions.refresh(
        client, refresh_token, scope, request_info().request_id, own_proof("/oauth2/token")
    )


def _required(form: Mapping[str, str], name: str) -> str:
    """A parameter that holds a token. Raises InvalidInput."""
    value = form.get(name, "")
    if not _TOKEN.fullmatch(value):
        raise InvalidInput(Fault(f"/{name}", f"{name} is {'not a token' if value else 'required'}"))
    return value


@blueprint.post("/revoke")
@endpoint(
    "revokeToken",
    "Revoke a token",
    Success(200, "Whatever the token was, it is of no use any more."),
    form={"token": "A refresh token ends its session, an access token itself.", "token_type_hint": "Ignored."},
)
def revoke(client: Client, form: Mapping[str, str]) -> ResponseReturnValue:
    """200 for unknown and foreign tokens too (RFC 7009 §2.2); the hint about the type is not needed."""
    current_service().sessions.revoke(client, _required(form, "token"), request_info().request_id)
    return ""


@blueprint.post("/introspect")
@endpoint(
    "introspectToken",
    "Ask whether a token stands",
    Success(200, "What the token says, or that it is inactive.", IntrospectionAnswer, {"active": False}),
    permission="tokens:introspect",
    form={
        "token": "An access token of this client's practices and audience, or its own refresh token.",
        "token_type_hint": "Ignored.",
    },
)
def introspect(client: Client, form: Mapping[str, str]) -> ResponseReturnValue:
    return current_service().sessions.introspect(client, _required(form, "token"), request_info().request_id)
