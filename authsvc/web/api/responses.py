"""What calls answer: values of the use cases as JSON members, and the schemas that describe them.

The values are built by hand (a dump through marshmallow costs more than the rest of a reply); the contract tests
compare what is really sent with the schemas.
"""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from authsvc.model import Choice, DeliveryInfo, Dependent, IssuedLink, LinkInfo, Patient, SessionInfo, Started
from authsvc.text import rfc3339
from authsvc.web.fields import count, instant, seconds, string


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


def issued(value: IssuedLink) -> dict[str, Any]:
    return {"id": value.id, "url": value.url, "expires_at": rfc3339(value.expires_at_ms), "max_uses": value.max_uses}


def link(value: LinkInfo) -> dict[str, Any]:
    return {
        "id": value.id,
        "patient": value.patient,
        "workflow": value.workflow,
        "resource": value.resource,
        "state": value.state,
        "created_at": rfc3339(value.created_at_ms),
        "expires_at": rfc3339(value.expires_at_ms),
        "uses": value.uses,
        "max_uses": value.max_uses,
    }


def patient(value: Patient) -> dict[str, Any]:
    address = {"email": value.email} if value.email else {}
    return {
        "id": value.id,
        **address,
        "label": value.label,
        "locale": value.locale,
        "portal_access": value.portal_access,
    }


def dependent(value: Dependent) -> dict[str, Any]:
    return {
        "guardian": value.guardian,
        "dependent": value.dependent,
        "until": None if value.until_ms is None else rfc3339(value.until_ms),
        "workflows": None if value.workflows is None else list(value.workflows),
    }


def choice(value: Choice) -> dict[str, Any]:
    choose: list[dict[str, Any]] = [{"patient": patient, "label": label} for patient, label in value.patients]
    choose += [{"patient": patient, "label": label, "acting": True} for patient, label in value.dependents]
    return {"choose": choose, "challenge": value.challenge}


def session(value: SessionInfo) -> dict[str, Any]:
    answer = {
        "id": value.id,
        "patient": value.patient,
        "client": value.client,
        "created_at": rfc3339(value.created_at_ms),
        "last_used_at": rfc3339(value.last_used_at_ms),
        "expires_at": rfc3339(value.expires_at_ms),
    }
    return {**answer, "guardian": value.guardian} if value.guardian else answer


def delivery(value: DeliveryInfo) -> dict[str, Any]:
    return {
        "id": value.id,
        "kind": value.kind,
        "channel": value.channel,
        "state": value.state,
        "queued_at": rfc3339(value.queued_at_ms),
        "updated_at": rfc3339(value.updated_at_ms),
        "attempts": value.attempts,
        "detail": value.detail,
    }


# --- descriptions -------------------------------------------------------------------------------------------------


class StartedAnswer(Schema):
    challenge = string("The handle of this sign-in: keep it with whoever will type the code.")
    expires_in = seconds("Seconds until the code expires.")
    resend_in = seconds("Seconds until another code may be asked for.")
    code = fields.String(metadata={"description": "For delivery `caller` only.", "pattern": "^[0-9]{6}$"})
    email_hint = fields.String(metadata={"description": "For access links only: where the code went, masked."})


class Choosable(Schema):
    patient = string()
    label = string("How the practice names this patient to the people who share the mailbox.")
    acting = fields.Boolean(
        metadata={"description": "A dependent, for whom whoever typed the code would act.", "const": True}
    )


class ChoiceAnswer(Schema):
    choose = fields.List(fields.Nested(Choosable), required=True)
    challenge = string("Answer with this handle and one of the patients within five minutes.")


class IssuedLinkAnswer(Schema):
    id = string("Public; lists and revocations name the link by it.")
    url = string("Shown this once. Its last path segment is the token.")
    expires_at = instant()
    max_uses = count("Null: as often as wanted.", allow_none=True)


class LinkRow(Schema):
    id = string()
    patient = string()
    workflow = string()
    resource = fields.String(required=True, allow_none=True)
    state = string(enum=["live", "expired", "used_up", "revoked", "address_changed"])
    created_at = instant()
    expires_at = instant()
    uses = count()
    max_uses = count(allow_none=True)


class LinksAnswer(Schema):
    links = fields.List(fields.Nested(LinkRow), required=True)


class RevokedAnswer(Schema):
    revoked = count("How many links were live and are not any more.")


class PatientAnswer(Schema):
    id = string()
    email = fields.String(metadata={"description": "Left out for a patient without an address."})
    label = string()
    locale = string("Empty: the practice's.")
    portal_access = fields.Boolean(required=True)


class DependentAnswer(Schema):
    guardian = string("Who acts.")
    dependent = string("Whose data it is about.")
    until = fields.String(
        required=True, allow_none=True, metadata={"description": "Null: without end.", "format": "date-time"}
    )
    workflows = fields.List(
        fields.String(), required=True, allow_none=True, metadata={"description": "Null: all that need a code."}
    )


class DependentsAnswer(Schema):
    dependents = fields.List(fields.Nested(DependentAnswer), required=True)


class SessionRow(Schema):
    id = string()
    patient = string()
    guardian = fields.String(metadata={"description": "Who acts for the patient; absent where nobody does."})
    client = string("Which client signed the patient in.")
    created_at = instant()
    last_used_at = instant()
    expires_at = instant()


class SessionsAnswer(Schema):
    sessions = fields.List(fields.Nested(SessionRow), required=True)


class DeliveryRow(Schema):
    id = string()
    kind = string(enum=["code", "access-link", "link", "address-changed", "new-link", "email-change"])
    channel = string(enum=["email", "webhook"])
    state = string(enum=["queued", "sent", "deferred", "refused", "too_late"])
    queued_at = instant()
    updated_at = instant()
    attempts = count()
    detail = fields.String(required=True, metadata={"description": "What the mail host said, without any address."})


class DeliveriesAnswer(Schema):
    deliveries = fields.List(fields.Nested(DeliveryRow), required=True)


# --- examples -----------------------------------------------------------------------------------------------------

STARTED = {"challenge": "ach_0OXdhY0tnl0rCxzp4Lx2NjS1Sx1oTq4WyKb0bD6SBJQ", "expires_in": 600, "resend_in": 30}
PATIENT = {"id": "pat_1", "email": "anna@example.org", "label": "Anna", "locale": "es", "portal_access": True}
CHALLENGE_LINKS = {
    "resend": ("resendCode", "challenge", "challenge"),
    "verify": ("verifyCode", "challenge", "challenge"),
}
