"""Emailed links: issue, list, exchange, send again, revoke."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from werkzeug.routing import UnicodeConverter, ValidationError

from authsvc.model import RequestContext, Started
from authsvc.web.api import responses, schemas
from authsvc.web.api.schemas import known_id
from authsvc.web.context import current_service
from authsvc.web.endpoint import Success, endpoint
from authsvc.web.oauth.token_response import INSTANT, TokenAnswer, token_response

blueprint = Blueprint("links", __name__)


class LinkIdConverter(UnicodeConverter):
    """The last part of `/links/<id>`: what is a call of its own is no id, whatever the method."""

    def to_python(self, value: str) -> str:
        if value in ("exchange", "resend"):
            raise ValidationError
        return value


@blueprint.record
def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["link_id"] = LinkIdConverter


@blueprint.post("/links")
@endpoint(
    "issueLink",
    "Issue a link of a workflow",
    Success(
        201,
        "The link. Its `url` is shown this once.",
        responses.IssuedLinkAnswer,
        {
            "id": "mV1sGqB8iJz0aXyQ",
            "max_uses": None,
            "expires_at": "2026-12-22T08:00:00Z",
            "url": "https://auth.example.org/p/maple/l/al_1HmJ9mvPZo2TtM7SZt3Fkz4UcfEhOcL2hCjCg7DqV2E",
        },
        {"revoke": ("revokeLink", "link_id", "id")},
    ),
    permission="links:issue",
    body=schemas.IssueLink(),
    idempotent=True,
    example={"patient": "pat_1", "workflow": "pay-invoice", "resource": "invoice:inv_1"},
    problems=("patient-not-found", "no-portal-access", "no-address", "storage-full", "idempotency-conflict"),
)
def issue_link(context: RequestContext, data: dict[str, Any]) -> ResponseReturnValue:
    issued = current_service().links.issue(
        context,
        patient=data["patient"],
        workflow=data["workflow"],
        resource=data.get("resource"),
        expires_in=data.get("expires_in"),
        max_uses=data.get("max_uses"),
        delivery=data["delivery"],
        locale=data.get("locale"),
    )
    return responses.issued(issued), 201


@blueprint.get("/links")
@endpoint(
    "listLinks",
    "List a patient's links",
    Success(200, "Newest first; never a token.", responses.LinksAnswer),
    permission="links:revoke",
    query=schemas.OfPatient(),
)
def list_links(context: RequestContext, query: dict[str, Any]) -> ResponseReturnValue:
    return {"links": [responses.link(one) for one in current_service().links.list(context, query["patient"])]}


@blueprint.delete("/links")
@endpoint(
    "revokeLinks",
    "End every link of a patient or for a resource",
    Success(200, "How many links were ended.", responses.RevokedAnswer, {"revoked": 2}),
    permission="links:revoke",
    query=schemas.LinkFilter(),
    detail="For instance because the invoice was paid. Tokens from those links become inactive.",
)
def revoke_links(context: RequestContext, query: dict[str, Any]) -> ResponseReturnValue:
    revoked = current_service().links.revoke_where(
        context, patient=query.get("patient"), resource=query.get("resource")
    )
    return {"revoked": revoked}


@blueprint.post("/links/exchange")
@endpoint(
    "exchangeLink",
    "Exchange a link's token",
    Success(200, "Instant link: an access token for its one resource.", TokenAnswer, INSTANT),
    Success(
        202,
        "Access link: a code went to the address on file.",
        responses.StartedAnswer,
        {**responses.STARTED, "email_hint": "a•••@e•••.com"},
        responses.CHALLENGE_LINKS,
    ),
    permission="links:exchange",
    body=schemas.ExchangeLink(),
    problems=("link-unknown", "link-gone", "no-address"),
    detail="Call this when the patient presses a button, never on GET: mail scanners open every link first.",
)
def exchange_link(context: RequestContext, data: dict[str, Any]) -> ResponseReturnValue:
    exchanged = current_service().links.exchange(context, data["token"])
    if isinstance(exchanged, Started):
        return responses.started(exchanged), 202
    return token_response(exchanged)


@blueprint.post("/links/resend")
@endpoint(
    "resendLink",
    "Send a new link in place of a dead one",
    Success(202, "Always the same answer, whether or not something was sent.", None, {}),
    permission="links:exchange",
    body=schemas.ResendLink(),
)
def resend_link(context: RequestContext, data: dict[str, Any]) -> ResponseReturnValue:
    current_service().links.resend(context, data["token"])
    return {}, 202


@blueprint.delete("/links/<link_id:link_id>")
@endpoint("revokeLink", "End one link", Success(204, "The link is dead."), permission="links:revoke")
def revoke_link(context: RequestContext, link_id: str) -> ResponseReturnValue:
    current_service().links.revoke(context, known_id(link_id))
    return "", 204
