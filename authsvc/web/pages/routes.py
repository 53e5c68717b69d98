"""The hosted pages: which view is at which address."""

from __future__ import annotations

from flask import Blueprint, Response

from authsvc.errors import AuthorizationError
from authsvc.web.browser import error_pages
from authsvc.web.context import current_service, to_response
from authsvc.web.oauth.authorization_response import Finish
from authsvc.web.pages.choose_patient import choose_patient
from authsvc.web.pages.enter_code import enter_code
from authsvc.web.pages.open_link import open_link
from authsvc.web.pages.session import contact, sent, session, sign_out, signed_out
from authsvc.web.pages.sign_in import sign_in

blueprint = Blueprint("pages", __name__, url_prefix="/p/<practice>")

for path, view in (
    ("/sign-in", sign_in),
    ("/code/<page_id>", enter_code),
    ("/who/<page_id>", choose_patient),
    ("/l/<token>", open_link),
    ("/session", session),
    ("/sign-out", sign_out),
):
    blueprint.add_url_rule(path, view_func=view, methods=["GET", "POST"])
for path, view in (("/sent", sent), ("/contact", contact), ("/signed-out", signed_out)):
    blueprint.add_url_rule(path, view_func=view, methods=["GET"])

error_pages.register(blueprint)


@blueprint.errorhandler(AuthorizationError)
def _to_client(error: AuthorizationError) -> Response:
    """The client hears what came of its request, at its own address."""
    return to_response(Finish(current_service()).declined(error))
