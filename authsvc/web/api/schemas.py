"""What each call takes. Built once, where the views are defined."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import validate

from authsvc import text as rules
from authsvc.errors import NotFound
from authsvc.text import PUBLIC_ID
from authsvc.web import fields
from authsvc.web.api.dependent_fields import Instant, Workflows
from authsvc.web.fields import Body, NoQuery

MAX_LIFE_S = 10 * 365 * 86_400  # what a workflow allows is far less; this keeps the arithmetic sane
MAX_USES = 1_000_000


class LinkToken(fields.Text):
    """What was the last path segment of a link, perhaps with a stray character that a mail program added."""

    def __init__(self) -> None:
        example = "al_1HmJ9mvPZo2TtM7SZt3Fkz4UcfEhOcL2hCjCg7DqV2E"
        super().__init__(
            required=True,
            validate=fields.Pattern(fields.SECRET, "must be the token of a link"),
            metadata={"example": example, "description": "The last path segment of the link's `url`."},
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        token = rules.link_token(value) if isinstance(value, str) else ""
        return super()._deserialize(token or value, attr, data, **kwargs)


class StartCode(Body):
    one_of = ("patient", "email")

    patient = fields.patient_id()
    email = fields.email()
    locale = fields.locale()
    delivery = fields.one_of(
        "email", "webhook", "caller", default="email",
        description="How the code travels. `webhook`: the practice's own provider carries it. "
        "`caller` needs `codes:reveal` and `patient`, and adds `code` to the answer.",
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
        "caller", "email", "webhook", default="caller",
        description="`caller`: you send the link. `email`: authsvc mails it to the address on file. `webhook`: the "
        "practice's own provider carries it.",
    )  # fmt: skip
    locale = fields.locale()


class ExchangeLink(Body):
    token = LinkToken()
    client_ip = fields.ClientIp()


class ResendLink(Body):
    token = LinkToken()


class StartEmailChange(Body):
    patient = fields.patient_id(required=True)
    email = fields.email(required=True, description="The new address.")
    session = fields.session(description="The session that shall stay: the one in which the patient does this.")
    locale = fields.locale()
    client_ip = fields.ClientIp()


class VerifyEmailChange(Body):
    challenge = fields.challenge(required=True)
    code = fields.Code()
    client_ip = fields.ClientIp()


class PutPatient(Body):
    email = fields.email(description="Where codes and links go. Without one no mail can be sent: no sign-in by email.")
    label = fields.Text(
        validate=validate.Length(0, 100, error="must have at most 100 characters"),
        load_default="",
        metadata={"description": "How the chooser of a shared mailbox names the patient.", "example": "Anna"},
    )
    locale = fields.locale()
    portal_access = fields.Flag(required=True, metadata={"description": "Whether the patient may sign in."})


class PutDependent(Body):
    until = Instant()
    workflows = Workflows()


class SwitchPatient(Body):
    patient = fields.patient_id(
        required=True, description="The person who typed the code, or one for whom that person may act."
    )
    client_ip = fields.ClientIp()


# --- query strings ------------------------------------------------------------------------------------------------


class OfPatient(NoQuery):
    patient = fields.patient_id(required=True)


class LinkFilter(NoQuery):
    """Exactly one of the two: a DELETE without a filter would end every link there is."""

    one_of = ("patient", "resource")

    patient = fields.patient_id()
    resource = fields.resource()


# --- in paths -----------------------------------------------------------------------------------------------------

_ID = re.compile(PUBLIC_ID)


def known_id(public_id: str) -> str:
    """The id; one that none of ours could be is simply not found. Raises NotFound."""
    if not _ID.fullmatch(public_id):
        raise NotFound
    return public_id
