"""Who may sign in: put, read, forget; and what happened to the mail."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from authsvc.model import RequestContext
from authsvc.web.api import responses, schemas
from authsvc.web.context import current_service
from authsvc.web.endpoint import Success, endpoint

blueprint = Blueprint("patients", __name__)


@blueprint.put("/patients/<id>")
@endpoint(
    "putPatient",
    "Put a patient on file, or change one",
    Success(200, "Changed. Members that are left out are reset.", responses.PatientAnswer, responses.PATIENT),
    Success(201, "New on file.", responses.PatientAnswer, responses.PATIENT),
    permission="patients:write",
    body=schemas.PutPatient(),
    problems=("storage-full",),
    example={"email": "anna@example.org", "label": "Anna", "portal_access": True},
    detail="Without `email` the patient is on file, and whatever asks for a mail is `no-address`. "
    "A different address ends what rests on the old one, and both addresses get a notice.",
)
def put_patient(context: RequestContext, data: dict[str, Any], id: str) -> ResponseReturnValue:
    patient, created = current_service().patients.put(
        context,
        id,
        email=data.get("email"),
        label=data["label"],
        locale=data.get("locale", ""),
        portal_access=data["portal_access"],
    )
    return responses.patient(patient), 201 if created else 200


@blueprint.get("/patients/<id>")
@endpoint(
    "getPatient",
    "Read a patient",
    Success(200, "What is on file.", responses.PatientAnswer, responses.PATIENT),
    permission="patients:read",
    problems=("patient-not-found",),
)
def get_patient(context: RequestContext, id: str) -> ResponseReturnValue:
    return responses.patient(current_service().patients.get(context, id))


@blueprint.delete("/patients/<id>")
@endpoint(
    "deletePatient",
    "Forget a patient",
    Success(204, "Forgotten; sessions and links are ended, earlier tokens inactive."),
    permission="patients:write",
    problems=("patient-not-found",),
)
def delete_patient(context: RequestContext, id: str) -> ResponseReturnValue:
    current_service().patients.delete(context, id)
    return "", 204


@blueprint.get("/patients/<id>/deliveries")
@endpoint(
    "listDeliveries",
    "What happened to the mail",
    Success(200, "The messages of the last seven days, newest first.", responses.DeliveriesAnswer),
    permission="patients:read",
    problems=("patient-not-found",),
)
def list_deliveries(context: RequestContext, id: str) -> ResponseReturnValue:
    return {"deliveries": [responses.delivery(one) for one in current_service().patients.deliveries(context, id)]}
