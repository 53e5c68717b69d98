"""What calls answer: values of the use cases as JSON members, and the schemas that describe them.

The values are built by hand (a dump through marshmallow costs more than the rest of a reply); the contract tests
compare what is really sent with the schemas.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields

from authsvc.model import DeliveryInfo, IssuedLink, LinkInfo, Patient, SessionInfo, Started, TokenGrant


def at(ms: int) -> str:
    """An instant as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def started(value: Started) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "challenge": value.challenge,
        "expires_in": value.expires_in_s,
        "resend_in": value.resend_in_s,
    }
    if value.code is not None:
        answer["code"] = value.code
    if value.email_hint is not None:
        answer["email_hint"] = value.email_hint
    return answer


def granted(value: TokenGrant) -> dict[str, Any]:
    """The token response (RFC 6749 §5.1). Members that don't apply are absent, never null."""
    answer: dict[str, Any] = {
        "access_token": value.access_token,
        "token_type": "Bearer",
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


def issued(value: IssuedLink) -> dict[str, Any]:
    return {"id": value.id, "url": value.url, "expires_at": at(value.expires_at_ms), "max_uses": value.max_uses}


def link(value: LinkInfo) -> dict[str, Any]:
    return {
        "id": value.id,
        "patient": value.patient,
        "workflow": value.workflow,
        "resource": value.resource,
        "state": value.state,
        "created_at": at(value.created_at_ms),
        "expires_at": at(value.expires_at_ms),
        "uses": value.uses,
        "max_uses": value.max_uses,
    }


def patient(value: Patient) -> dict[str, Any]:
    return {
        "id": value.id,
        "email": value.email,
        "label": value.label,
        "locale": value.locale,
        "portal_access": value.portal_access,
    }


def session(value: SessionInfo) -> dict[str, Any]:
    return {
        "id": value.id,
        "patient": value.patient,
        "client": value.client,
        "created_at": at(value.created_at_ms),
        "last_used_at": at(value.last_used_at_ms),
        "expires_at": at(value.expires_at_ms),
    }


def delivery(value: DeliveryInfo) -> dict[str, Any]:
    return {
        "id": value.id,
        "kind": value.kind,
        "channel": value.channel,
        "state": value.state,
        "queued_at": at(value.queued_at_ms),
        "updated_at": at(value.updated_at_ms),
        "attempts": value.attempts,
        "detail": value.detail,
    }


# --- descriptions -------------------------------------------------------------------------------------------------


def _string(description: str = "", **more: Any) -> fields.String:
    return fields.String(required=True, metadata={"description": description, **more} if description else more)


def _instant(description: str = "") -> fields.String:
    return _string(description, format="date-time")


def _seconds(description: str) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "minimum": 0})


def _count(description: str = "", **more: Any) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "minimum": 0}, **more)


class StartedAnswer(Schema):
    challenge = _string("The handle of this sign-in: keep it with whoever will type the code.")
    expires_in = _seconds("Seconds until the code expires.")
    resend_in = _seconds("Seconds until another code may be asked for.")
    code = fields.String(metadata={"description": "For delivery `caller` only.", "pattern": "^[0-9]{6}$"})
    email_hint = fields.String(metadata={"description": "For access links only: where the code went, masked."})


class AuthorizationDetail(Schema):
    type = _string()
    identifier = _string()
    actions = fields.List(fields.String(), required=True)


class TokenAnswer(Schema):
    access_token = _string("A signed JWT of type `at+jwt`.")
    token_type = _string(enum=["Bearer"])
    expires_in = _seconds("Seconds until the access token expires.")
    scope = _string("What was granted, separated by spaces.")
    patient = _string("The practice's own id of the patient.")
    practice = _string()
    session = fields.String(metadata={"description": "After a code sign-in only."})
    refresh_token = fields.String(metadata={"description": "After a code sign-in only. Each use gives a new one."})
    id_token = fields.String(metadata={"description": "Where the scope `openid` was asked for (OpenID Connect)."})
    workflow = fields.String(metadata={"description": "For instant links only."})
    resource = fields.String(metadata={"description": "For instant links with a resource only."})
    authorization_details = fields.List(
        fields.Nested(AuthorizationDetail), metadata={"description": "RFC 9396, for instant links with a resource."}
    )


class Choosable(Schema):
    patient = _string()
    label = _string("How the practice names this patient to the people who share the mailbox.")


class ChoiceAnswer(Schema):
    choose = fields.List(fields.Nested(Choosable), required=True)
    challenge = _string("Answer with this handle and one of the patients within five minutes.")


class IssuedLinkAnswer(Schema):
    id = _string("Public; lists and revocations name the link by it.")
    url = _string("Shown this once. Its last path segment is the token.")
    expires_at = _instant()
    max_uses = _count("Null: as often as wanted.", allow_none=True)


class LinkRow(Schema):
    id = _string()
    patient = _string()
    workflow = _string()
    resource = fields.String(required=True, allow_none=True)
    state = _string(enum=["live", "expired", "used_up", "revoked", "address_changed"])
    created_at = _instant()
    expires_at = _instant()
    uses = _count()
    max_uses = _count(allow_none=True)


class LinksAnswer(Schema):
    links = fields.List(fields.Nested(LinkRow), required=True)


class RevokedAnswer(Schema):
    revoked = _count("How many links were live and are not any more.")


class PatientAnswer(Schema):
    id = _string()
    email = _string()
    label = _string()
    locale = _string("Empty: the practice's.")
    portal_access = fields.Boolean(required=True)


class SessionRow(Schema):
    id = _string()
    patient = _string()
    client = _string("Which client signed the patient in.")
    created_at = _instant()
    last_used_at = _instant()
    expires_at = _instant()


class SessionsAnswer(Schema):
    sessions = fields.List(fields.Nested(SessionRow), required=True)


class DeliveryRow(Schema):
    id = _string()
    kind = _string(enum=["code", "access-link", "link", "address-changed", "new-link"])
    channel = _string(enum=["email", "webhook"])
    state = _string(enum=["queued", "sent", "deferred", "refused", "too_late"])
    queued_at = _instant()
    updated_at = _instant()
    attempts = _count()
    detail = fields.String(required=True, metadata={"description": "What the mail host said, without any address."})


class DeliveriesAnswer(Schema):
    deliveries = fields.List(fields.Nested(DeliveryRow), required=True)
