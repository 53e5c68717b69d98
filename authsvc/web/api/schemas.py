"""What each call takes. Built once, when the table of operations is; loading one costs about 10 µs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validate

from authsvc.errors import Fault
from authsvc.web import fields
from authsvc.web.parsing import MAX_FAULTS, pointer

MAX_LIFE_S = 10 * 365 * 86_400  # what a workflow allows is far less; this keeps the arithmetic sane
MAX_USES = 1_000_000


class Body(Schema):
    """A JSON object with no other members than these; of those in `one_of` exactly one."""

    one_of: tuple[str, ...] = ()

    error_messages = fields.words(unknown="is not a member of this call")


class StartCode(Body):
    one_of = ("patient", "email")

    patient = fields.patient_id()
    email = fields.email()
    locale = fields.locale()
    delivery = fields.one_of(
        "email", "webhook", "caller", default="email",
        description="How the code travels. `caller` needs `codes:reveal` and `patient`, and adds `code` to the answer.",
    )  # fmt: skip
    client_ip = fields.ClientIp()


class ResendCode(Body):
    challenge = fields.challenge(required=True)
    client_ip = fields.ClientIp()


class VerifyCode(Body):
    challenge = fields.challenge(required=True)
    code = fields.Code()
    patient = fields.patient_id(description="Who it is, where several patients share the mailbox.")
    client_ip = fields.ClientIp()


class ChoosePatient(Body):
    challenge = fields.challenge(required=True)
    patient = fields.patient_id(required=True)
    client_ip = fields.ClientIp()


class IssueLink(Body):
    patient = fields.patient_id(required=True)
    workflow = fields.workflow(required=True)
    resource = fields.resource()
    expires_in = fields.whole(MAX_LIFE_S, "Seconds; the workflow's own life is default and ceiling.", 86_400)
    max_uses = fields.whole(MAX_USES, "How often the link may be exchanged; without it as often as wanted.", 3)
    delivery = fields.one_of(
        "caller", "email", default="caller",
        description="`caller`: you send the link. `email`: authsvc mails it to the address on file.",
    )  # fmt: skip
    locale = fields.locale()


class ExchangeLink(Body):
    token = fields.link_token(required=True)
    client_ip = fields.ClientIp()


class ResendLink(Body):
    token = fields.link_token(required=True)


class PutPatient(Body):
    email = fields.email(required=True)
    label = fields.Text(
        validate=validate.Length(0, 100, error="must have at most 100 characters"),
        load_default="",
        metadata={"description": "How the chooser of a shared mailbox names the patient.", "example": "Anna"},
    )
    locale = fields.locale()
    portal_access = fields.Flag(required=True, metadata={"description": "Whether the patient may sign in."})


# --- query strings ------------------------------------------------------------------------------------------------


class NoQuery(Body):
    """Calls without filters take no query parameters: a misspelt filter must not pass silently."""

    error_messages = fields.words(unknown="is not a parameter of this call")


class OfPatient(NoQuery):
    patient = fields.patient_id(required=True)


class Since(NoQuery):
    since = fields.cursor()


class LinkFilter(NoQuery):
    """Exactly one of the two: a DELETE without a filter would end every link there is."""

    one_of = ("patient", "resource")

    patient = fields.patient_id()
    resource = fields.resource()


NO_QUERY = NoQuery()


def load(schema: Schema, sent: Mapping[str, Any], at: str = "") -> tuple[dict[str, Any], list[Fault]]:
    """What `schema` understands of `sent`, and every fault, each with its pointer below `at`."""
    faults = _choice(getattr(schema, "one_of", ()), sent, at)
    try:
        return schema.load(sent), faults
    except ValidationError as error:
        for name, found in error.messages_dict.items():
            where = at if name == "_schema" else pointer(at, name)
            faults += [Fault(where, said) for said in fields.messages(found)]
        return {}, faults[:MAX_FAULTS]


def _choice(names: tuple[str, ...], sent: Mapping[str, Any], at: str) -> list[Fault]:
    """Judged by what was sent, not by what was understood: a malformed `patient` is still one of the two."""
    chosen = [name for name in names if name in sent]
    if not names or len(chosen) == 1:
        return []
    said = f"exactly one of {' and '.join(names)} is required"
    return [Fault(pointer(at, name), said) for name in chosen or names]
