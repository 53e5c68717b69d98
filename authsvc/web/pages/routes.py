"""The hosted pages: which view is at which address."""

from __future__ import annotations

from flask import Blueprint

from authsvc.web.oauth import authorization_response
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

authorization_response.register_errors(blueprint)
