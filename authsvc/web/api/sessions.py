"""Who is signed in, and signing out."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from authsvc.model import RequestContext
from authsvc.web.api import responses
from authsvc.web.api.schemas import known_id
from authsvc.web.context import current_service
from authsvc.web.endpoint import Success, endpoint

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
