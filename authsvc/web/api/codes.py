"""Sign-in by a code: start, send again, verify, choose. Each view calls one use case with clean data."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from authsvc.model import RequestContext, TokenGrant
from authsvc.web.api import responses, schemas
from authsvc.web.context import current_service
from authsvc.web.endpoint import Success, endpoint
from authsvc.web.oauth.token_response import SESSION, TokenAnswer, token_response

blueprint = Blueprint("codes", __name__)


@blueprint.post("/codes")
@endpoint(
    "startCode",
    "Start a sign-in and send a code",
    Success(
        202,
        "A code is on its way, if there is somebody to send it to.",
        responses.StartedAnswer,
        responses.STARTED,
        responses.CHALLENGE_LINKS,
    ),
    permission="codes:issue",
    body=schemas.StartCode(),
    idempotent=True,
    example={"email": "anna@example.org", "client_ip": "203.0.113.7"},
    problems=("patient-not-found", "no-portal-access", "no-address", "idempotency-conflict"),
    detail="By `email` the answer is the same for every address, known or not. By `patient` the caller is told.",
)
def start_code(context: RequestContext, data: dict[str, Any]) -> ResponseReturnValue:
    started = current_service().codes.start(
        context,
        email=data.get("email"),
        patient=data.get("patient"),
        locale=data.get("locale"),
        delivery=data["delivery"],
    )
    return responses.started(started), 202


@blueprint.post("/codes/resend")
@endpoint(
    "resendCode",
    "Send another code for the same sign-in",
    Success(
        202,
        "Another code is on its way. The last three stay valid.",
        responses.StartedAnswer,
        responses.STARTED,
        responses.CHALLENGE_LINKS,
    ),
    permission="codes:issue",
    body=schemas.ResendCode(),
    idempotent=True,
    problems=("challenge-gone", "idempotency-conflict"),
)
def resend_code(context: RequestContext, data: dict[str, Any]) -> ResponseReturnValue:
    return responses.started(current_service().codes.resend(context, data["challenge"])), 202


@blueprint.post("/codes/verify")
@endpoint(
    "verifyCode",
    "Open a session with a code",
    Success(200, "The tokens of a new session.", TokenAnswer, SESSION),
    Success(
        200,
        "Several patients share the mailbox, or one of them may act for others: let the patient choose.",
        responses.ChoiceAnswer,
        {
            "choose": [
                {"patient": "pat_1", "label": "Anna"},
                {"patient": "pat_2", "label": "Ben"},
                {"patient": "pat_3", "label": "Leo", "acting": True},
            ],
            "challenge": responses.STARTED["challenge"],
        },
        {"choose": ("choosePatient", "challenge", "challenge")},
    ),
    permission="codes:verify",
    body=schemas.VerifyCode(),
    problems=("invalid-code", "challenge-gone"),
)
def verify_code(context: RequestContext, data: dict[str, Any]) -> ResponseReturnValue:
    verified = current_service().codes.verify(context, data["challenge"], data["code"], data.get("patient"))
    if isinstance(verified, TokenGrant):
        return token_response(verified)
    return responses.choice(verified)


@blueprint.post("/codes/choose")
@endpoint(
    "choosePatient",
    "Say which of the mailbox's patients it is, or for whom one of them acts",
    Success(200, "The tokens of a new session.", TokenAnswer, SESSION),
    permission="codes:verify",
    body=schemas.ChoosePatient(),
    problems=("challenge-gone",),
)
def choose_patient(context: RequestContext, data: dict[str, Any]) -> ResponseReturnValue:
    return token_response(current_service().codes.choose(context, data["challenge"], data["patient"]))
