"""Who is signed in, and signing out."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from authsvc.model import RequestContext
from authsvc.web.api import responses, schemas
from authsvc.web.api.schemas import known_id
from authsvc.web.context import current_service
from authsvc.web.endpoint import Success, endpoint
from authsvc.web.oauth.token_response import SESSION, TokenAnswer, token_response

blueprint = Blueprint("sessions", __name__, url_prefix="/patients/<id>/sessions")


@blueprint.get("")
@endpoint(
    "listSessions",
    "Who is signed in",
    Success(200, "The live sessions.", responses.SessionsAnswer),
    permission="sessions:revoke",
    problems=("patient-not-found",),
)
def list_sessions(context: RequestContext, id: str) -> ResponseReturnValue:
    return {"sessions": [responses.session(one) for one in current_service().sessions.list(context, id)]}


@blueprint.delete("")
@endpoint(
    "endSessions",
    "Sign a patient out everywhere",
    Success(204, "No session is left."),
    permission="sessions:revoke",
    problems=("patient-not-found",),
)
def end_sessions(context: RequestContext, id: str) -> ResponseReturnValue:
    current_service().sessions.end_all(context, id)
    return "", 204


@blueprint.delete("/<sid>")
@endpoint(
    "endSession",
    "End one session",
    Success(204, "The session is over."),
    permission="sessions:revoke",
    problems=("patient-not-found",),
)
def end_session(context: RequestContext, id: str, sid: str) -> ResponseReturnValue:
    current_service().sessions.end(context, id, known_id(sid))
    return "", 204


@blueprint.post("/<sid>/switch")
@endpoint(
    "switchPatient",
    "Go on as somebody else without another mail",
    Success(200, "The tokens of a new session. The old one is over.", TokenAnswer, SESSION),
    permission="codes:verify",
    body=schemas.SwitchPatient(),
    problems=("code-needed",),
    detail="Of a session of the calling client: to the person who typed the code, or to one of its dependents.",
)
def switch_patient(context: RequestContext, data: dict[str, Any], id: str, sid: str) -> ResponseReturnValue:
    return token_response(current_service().person_switch.of_client(context, id, known_id(sid), data["patient"]))
