"""The token response (RFC 6749 §5.1), of the token endpoint and of the API."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from authsvc.model import TokenGrant
from authsvc.web.fields import seconds, string


def token_response(value: TokenGrant) -> dict[str, Any]:
    """Members that don't apply are absent, never null."""
    answer: dict[str, Any] = {
        "access_token": value.access_token,
        "token_type": value.token_type,
        "expires_in": value.expires_in_s,
        "scope": value.scope,
        "patient": value.patient,
        "practice": value.practice,
    }
    for name in ("session", "refresh_token", "id_token", "workflow", "resource"):
        member = getattr(value, name)
        if member is not None:
            answer[name] = member
    if value.authorization_details is not None:
        answer["authorization_details"] = list(value.authorization_details)
    return answer


class AuthorizationDetail(Schema):
    type = string()
    identifier = string()
    actions = fields.List(fields.String(), required=True)


class TokenAnswer(Schema):
    access_token = string("A signed JWT of type `at+jwt`.")
    token_type = string("`DPoP` where the call had a DPoP proof (RFC 9449).", enum=["Bearer", "DPoP"])
    expires_in = seconds("Seconds until the access token expires.")
    scope = string("What was granted, separated by spaces.")
    patient = string("The practice's own id of the patient.")
    practice = string()
    session = fields.String(metadata={"description": "After a code sign-in only."})
    refresh_token = fields.String(metadata={"description": "After a code sign-in only. Each use gives a new one."})
    id_token = fields.String(metadata={"description": "Where the scope `openid` was asked for (OpenID Connect)."})
    workflow = fields.String(metadata={"description": "For instant links only."})
    resource = fields.String(metadata={"description": "For instant links with a resource only."})
    authorization_details = fields.List(
        fields.Nested(AuthorizationDetail), metadata={"description": "RFC 9396, for instant links with a resource."}
    )


_TOKEN = {
    "access_token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln",
    "token_type": "Bearer",
    "expires_in": 600,
    "patient": "pat_1",
    "practice": "maple",
}
SESSION = {
    **_TOKEN,
    "scope": "invoices:view statements:generate contact:view contact:edit",
    "session": "Yq3hJ0m2SgKJvXhUlZ0c9g",
    "refresh_token": "art_bWFwbGU.Yq3hJ0m2SgKJvXhUlZ0c9g.1.nonce.mac",
}
INSTANT = {
    **_TOKEN,
    "scope": "invoice:view invoice:pay",
    "workflow": "pay-invoice",
    "resource": "invoice:inv_1",
    "authorization_details": [{"type": "invoice", "identifier": "inv_1", "actions": ["view", "pay"]}],
}
