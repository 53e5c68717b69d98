"""The userinfo endpoint (OpenID Connect Core §5.3): who a bearer token is about, in three members."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from authsvc.web.context import current_service, request_info
from authsvc.web.oauth.presented_token import header_or_form

blueprint = Blueprint("userinfo", __name__, url_prefix="/oauth2")


@blueprint.route("/userinfo", methods=["GET", "POST"])
def userinfo() -> ResponseReturnValue:
    """Raises TokenMissing, TokenInvalid, TokenInsufficient, InvalidInput, TooLarge, Unavailable."""
    token, proof = header_or_form("/oauth2/userinfo")
    return dict(current_service().userinfo.of(token, request_info().request_id, proof))
