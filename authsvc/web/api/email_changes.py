"""A patient changes the email address: a code to the new mailbox, and then it moves."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from authsvc.model import RequestContext
from authsvc.web.api import responses, schemas
from authsvc.web.context import current_service
from authsvc.web.endpoint import Success, endpoint

blueprint = Blueprint("email_changes", __name__)


@blueprint.post("/email-changes")
@endpoint(
    "startEmailChange",
    "Send a code to a patient's new address",
    Success(
        202,
        "A code is on its way to the new mailbox. Nothing has changed yet.",
        responses.StartedAnswer,
        responses.STARTED,
        {
            "resend": ("resendCode", "challenge", "challenge"),
            "verify": ("verifyEmailChange", "challenge", "challenge"),
        },
    ),
    tag="patients",
    permission="patients:write",
    body=schemas.StartEmailChange(),
    idempotent=True,
    example={"patient": "pat_1", "email": "anna.new@example.org", "session": "Yk3sQ2mXw9r5t0Zb7LhNcA"},
    problems=("patient-not-found", "idempotency-conflict"),
    detail="Ask for a fresh sign-in first (`max_age`). The answer is the same whoever has that address.",
)
def start_email_change(context: RequestContext, data: dict[str, Any]) -> ResponseReturnValue:
    started = current_service().email_changes.start(
        context,
        patient=data["patient"],
        email=data["email"],
        session=data.get("session"),
        locale=data.get("locale"),
    )
    return responses.started(started), 202


@blueprint.post("/email-changes/verify")
@endpoint(
    "verifyEmailChange",
    "Change the address with the code of the new mailbox",
    Success(200, "The address is changed.", responses.PatientAnswer, responses.PATIENT),
    tag="patients",
    permission="patients:write",
    body=schemas.VerifyEmailChange(),
    example={"challenge": responses.STARTED["challenge"], "code": "123456"},
    problems=("invalid-code", "challenge-gone"),
    detail="As after `PUT` with another address, but the session that was named stays. Both addresses get a notice.",
)
def verify_email_change(context: RequestContext, data: dict[str, Any]) -> ResponseReturnValue:
    return responses.patient(current_service().email_changes.verify(context, data["challenge"], data["code"]))
