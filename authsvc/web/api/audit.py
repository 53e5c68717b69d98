"""What happened, as the audit has it: the call, what it takes and what it answers."""

from __future__ import annotations

from typing import Any

import marshmallow
from flask import Blueprint
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError

from authsvc import text as rules
from authsvc.model import AuditFilter, RequestContext
from authsvc.web import fields
from authsvc.web.context import current_service
from authsvc.web.endpoint import Success, endpoint

blueprint = Blueprint("audit", __name__)

_ENTRY = {
    "n": 1204,
    "at": "2026-11-22T08:00:00Z",
    "event": "patient.address_changed",
    "actor": "client:portal",
    "by": "anna@front-desk",
    "request": "Yk3sQ2mXw9r5t0Zb7LhNcA",
    "practice": "maple",
    "patient": "pat_1",
}


def _matching(pattern: str, must: str, example: str, description: str, **more: Any) -> fields.Text:
    shown = {"example": example, "description": description}
    return fields.Text(validate=fields.Pattern(pattern, must), metadata=shown, **more)


class Instant(fields.Text):
    """An instant of RFC 3339, as milliseconds since the epoch."""

    def __init__(self, description: str) -> None:
        shown = {"description": f"RFC 3339. {description}", "example": "2026-11-22T08:00:00Z", "format": "date-time"}
        super().__init__(metadata=shown)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return rules.parse_rfc3339(super()._deserialize(value, attr, data, **kwargs))
        except ValueError as error:
            raise ValidationError(str(error)) from None


class AuditQuery(fields.NoQuery):
    patient = fields.patient_id()
    event = _matching(
        r"^[a-z_]{1,40}(\.[a-z_]{1,40})?$",
        "must be the name of an event",
        "code.verified",
        "Of the reference of events.",
    )
    actor = _matching(r"^[a-z]{1,20}(:[!-~]{1,64})?$", 'must look like "client:portal"', "client:portal", "Who called.")
    by = _matching(
        rf"^{rules.ACTING_USER}$",
        "must be 1 to 64 of A-Z a-z 0-9 . _ @ -",
        "anna@front-desk",
        "The person at the desk.",
    )
    guardian = _matching(
        rf"^{rules.PATIENT_ID}$",
        "must be a patient's id",
        "pat_ann",
        "The patient who acted for a dependent, or was named for one.",
    )
    since = Instant("From then on.")
    until = Instant("Before then.")
    limit = _matching(
        r"^([1-9][0-9]?|1[0-9]{2}|200)$", "must be from 1 to 200", "50", "How many at most.", load_default="50"
    )
    after = _matching(r"^[0-9]{1,15}$", "must be the `next` of an answer", "1204", "The `next` of the page before.")


class AuditRow(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.INCLUDE  # what else an entry says is by its event

    n = fields.count("Its number, from 1, without gaps.")
    at = fields.instant()
    event = fields.string("One of the names in the reference of events.")
    actor = fields.string("`client:…`, `cli:…` (an operator) or `page` (a hosted page).")
    by = marshmallow.fields.String(metadata={"description": "The person at the desk, in the client's own words."})
    practice = fields.string()
    request = marshmallow.fields.String(metadata={"description": "The `X-Request-Id` of the call."})
    patient = marshmallow.fields.String()
    guardian = marshmallow.fields.String(metadata={"description": "Who acted for the patient, where somebody did."})


class AuditAnswer(marshmallow.Schema):
    entries = marshmallow.fields.List(
        marshmallow.fields.Nested(AuditRow),
        required=True,
        metadata={"description": "Newest first. What else an entry says is by its event."},
    )
    next = marshmallow.fields.String(
        required=True, allow_none=True, metadata={"description": "Give it as `after`. Null: there is no more."}
    )
    trimmed_to = marshmallow.fields.Integer(
        metadata={"description": "Entries up to this number were exported and dropped: here nothing is found of them."}
    )


@blueprint.get("/audit")
@endpoint(
    "searchAudit",
    "What happened, newest first",
    Success(
        200,
        "The entries that match, and where the next page begins.",
        AuditAnswer,
        {"entries": [_ENTRY], "next": "1204"},
    ),
    permission="audit:read",
    query=AuditQuery(),
    detail="Every filter that is named must match. A page may have fewer entries than `limit` and still a `next`.",
)
def search_audit(context: RequestContext, query: dict[str, Any]) -> ResponseReturnValue:
    wanted = AuditFilter(
        patient=query.get("patient", ""),
        event=query.get("event", ""),
        actor=query.get("actor", ""),
        by=query.get("by", ""),
        guardian=query.get("guardian", ""),
        since_ms=query.get("since", 0),
        until_ms=query.get("until", 0),
        after=int(query.get("after", "0")),
    )
    page = current_service().audit_log.search_for_client(context, wanted, int(query["limit"]))
    answer = {"entries": [_row(entry) for entry in page.entries], "next": str(page.next) if page.next else None}
    return {**answer, "trimmed_to": page.trimmed_to} if page.trimmed_to else answer


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    return {"n": entry.pop("n"), "at": rules.rfc3339(entry.pop("at_ms")), **entry}
