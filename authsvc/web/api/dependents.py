"""Who may act for whom: put, list, remove. authsvc keeps what the practice says."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from authsvc.model import RequestContext
from authsvc.web.api import responses, schemas
from authsvc.web.context import current_service
from authsvc.web.endpoint import Success, endpoint

blueprint = Blueprint("dependents", __name__, url_prefix="/patients/<guardian>/dependents")

_DEPENDENT = {
    "guardian": "pat_1",
    "dependent": "pat_2",
    "until": "2031-05-01T00:00:00Z",
    "workflows": ["view-invoices", "edit-contact"],
}


@blueprint.put("/<dependent>")
@endpoint(
    "putDependent",
    "Let a patient act for another one",
    Success(200, "Changed. Members that are left out are reset.", responses.DependentAnswer, _DEPENDENT),
    Success(201, "The guardian may choose the dependent after a code.", responses.DependentAnswer, _DEPENDENT),
    permission="patients:write",
    body=schemas.PutDependent(),
    example={"until": "2031-05-01T00:00:00Z", "workflows": ["view-invoices", "edit-contact"]},
    problems=("patient-not-found", "dependent-chain", "storage-full"),
    detail="Both are on file. Another `until` or other `workflows` end the sessions that rest on the present ones.",
)
def put_dependent(context: RequestContext, data: dict[str, Any], guardian: str, dependent: str) -> ResponseReturnValue:
    put, created = current_service().dependents.put(
        context, guardian, dependent, until_ms=data["until"], workflows=data["workflows"]
    )
    return responses.dependent(put), 201 if created else 200


@blueprint.get("")
@endpoint(
    "listDependents",
    "For whom a patient may act",
    Success(200, "Those for whom it may act now.", responses.DependentsAnswer, {"dependents": [_DEPENDENT]}),
    permission="patients:read",
    problems=("patient-not-found",),
)
def list_dependents(context: RequestContext, guardian: str) -> ResponseReturnValue:
    return {"dependents": [responses.dependent(one) for one in current_service().dependents.list(context, guardian)]}


@blueprint.delete("/<dependent>")
@endpoint(
    "removeDependent",
    "Let a patient act for another one no more",
    Success(204, "The sessions in which it did are over."),
    permission="patients:write",
    problems=("patient-not-found",),
)
def remove_dependent(context: RequestContext, guardian: str, dependent: str) -> ResponseReturnValue:
    current_service().dependents.remove(context, guardian, dependent)
    return "", 204
