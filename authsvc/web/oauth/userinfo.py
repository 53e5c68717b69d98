"""The userinfo endpoint (OpenID Connect Core §5.3): who a bearer token is about, in three members."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from authsvc.web.context import current_service, request_info
from authsvc.web.oauth.presented_token import own_url, presented_token

blueprint = Blueprint("userinfo", __name__, url_prefix="/oauth2")


@blueprint.route("/userinfo", methods=["GET", "POST"])
def userinfo() -> ResponseReturnValue:
    """Raises TokenMissing, TokenInvalid, TokenInsufficient, Unavailable. The token comes in the header alone: one in a
    form or a query would end up in logs (RFC 9700 §4.3.2)."""
    token, proof = presented_token(request.environ, lambda: (request.method, own_url("/oauth2/userinfo")))
    return dict(current_service().userinfo.of(token, request_info().request_id, proof))
