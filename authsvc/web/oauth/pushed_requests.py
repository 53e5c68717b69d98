"""Pushed authorization requests (RFC 9126): a client sends its request itself, and the browser a reference to it."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint
from flask.typing import ResponseReturnValue
from marshmallow import Schema

from authsvc.errors import Fault, InvalidDpopProof, InvalidInput, UnauthorizedClient
from authsvc.flows.pushed_requests import LIFE_S, URN
from authsvc.model import Client, PresentedProof, RequestContext
from authsvc.web.context import current_service, load_practice, request_info
from authsvc.web.endpoint import Success, endpoint
from authsvc.web.fields import seconds, string
from authsvc.web.oauth import authorization_request
from authsvc.web.oauth.presented_token import own_proof

blueprint = Blueprint("pushed_requests", __name__, url_prefix="/oauth2")


class PushedAnswer(Schema):
    request_uri = string("What the browser brings to `/oauth2/authorize`, with `client_id`: once.")
    expires_in = seconds("Seconds until it is of no use.")


@blueprint.post("/par")
@endpoint(
    "pushAuthorizationRequest",
    "Push an authorization request",
    Success(201, "A reference to the request.", PushedAnswer, {"request_uri": f"{URN}Qk…", "expires_in": LIFE_S}),
    tag="tokens",
    form={
        "response_type": "`code`.",
        "redirect_uri": "As registered.",
        "scope": "`openid`, and what else is asked for.",
        "code_challenge": "PKCE's (RFC 7636), with `code_challenge_method` `S256`.",
        "state": "And all else that `/oauth2/authorize` takes, but no `request_uri`.",
    },
)
def push(client: Client, form: Mapping[str, str]) -> ResponseReturnValue:
    """The request is checked as the authorization endpoint would (§2.1), so that whoever pushes hears what is wrong."""
    if not client.redirect_uris:
        raise UnauthorizedClient
    if "request_uri" in form:
        raise InvalidInput(Fault("/request_uri", "request_uri can't be pushed"))
    pairs = {**form, "client_id": client.id}
    proof = own_proof("/oauth2/par")
    if proof is not None:
        pairs["dpop_jkt"] = _proven_key(client, proof, form)
    authorization = authorization_request.parse(current_service(), pairs.items(), pushing=True)
    pushed = current_service().pushed_requests
    reference = pushed.push(client, authorization.practice, authorization.query, request_info().request_id)
    return {"request_uri": reference, "expires_in": LIFE_S}, 201


def _proven_key(client: Client, proof: PresentedProof, form: Mapping[str, str]) -> str:
    """The key that the code will be bound to (RFC 9449 §10.1). Raises InvalidDpopProof."""
    practice = load_practice(client.practices[0])
    context = RequestContext.of_client(current_service().deps.new_id(), client, practice, request_info().request_id)
    jkt = current_service().dpop.thumbprint(context, client, proof)
    if form.get("dpop_jkt", jkt) != jkt:
        raise InvalidDpopProof("key")
    return jkt
