"""The hosted pages: which view is at which address, and what somebody finds who typed another one."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import quote

from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from werkzeug.routing import PathConverter

from authsvc.errors import AuthsvcError, NotFound
from authsvc.web.browser import error_pages, popups
from authsvc.web.context import error_response, load_practice, see_other
from authsvc.web.oauth import authorization_response
from authsvc.web.pages.choose_patient import choose_patient
from authsvc.web.pages.enter_code import enter_code
from authsvc.web.pages.open_link import open_link
from authsvc.web.pages.page_request import PageRequest
from authsvc.web.pages.page_view import page_view
from authsvc.web.pages.session import contact, sent, session, sign_out, signed_out
from authsvc.web.pages.sign_in import sign_in
from authsvc.web.pages.switch_person import switch_person

blueprint = Blueprint("pages", __name__, url_prefix="/p/<practice>")

_PAGES = re.compile(r"/p(?:/(?P<practice>[^/]*).*)?", re.IGNORECASE | re.DOTALL)
_OF_PROGRAMS = re.compile(r"/(?:v1|oauth2|keys|\.well-known)(?:/.*)?", re.DOTALL)
_STRAY = re.compile(r"[^\w\ufffd-]+$")
"""What no page's path ends in, but a sentence with the path in it may."""


class AnyText(PathConverter):
    """The rest of the path, whatever is in it: `path` takes no line breaks, and mail programs add even those."""

    regex = r"(?s:.+)"
    part_isolating = False  # it may hold slashes


@blueprint.record_once
def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["any_text"] = AnyText


@page_view()
def home(page: PageRequest) -> Response:
    return see_other(page.url("sign_in"))


for path, view in (
    ("/sign-in", sign_in),
    ("/code/<page_id>", enter_code),
    ("/who/<page_id>", choose_patient),
    ("/l/<any_text:token>", open_link),
    ("/session", session),
    ("/switch", switch_person),
    ("/sign-out", sign_out),
):
    blueprint.add_url_rule(path, view_func=view, methods=["GET", "POST"])
for path, view in (("", home), ("/sent", sent), ("/contact", contact), ("/signed-out", signed_out)):
    blueprint.add_url_rule(path, view_func=view, methods=["GET"])

authorization_response.register_errors(blueprint)
# All but a link and the session's own page: nobody comes there from a portal that waits.
popups.allow(blueprint, home, sign_in, enter_code, choose_patient, switch_person, sign_out, signed_out, sent, contact)


@blueprint.before_request
def without_slash() -> Response | None:
    """`/session/` is `/session`, for good; and `/p/maple.` is `/p/maple`."""
    return _moved(_STRAY.sub("", request.path) if request.endpoint == "pages.home" else request.path.rstrip("/"))


def _moved(path: str) -> Response | None:
    """A permanent redirect (308), unless this is the path that was asked for. Nothing of it comes from the Host
    header."""
    if path == request.path:
        return None
    query = request.query_string.decode("latin-1")
    location = request.script_root + quote(path) + (f"?{query}" if query else "")
    return current_app.response_class(status=308, headers={"Location": location})


def _tidied(path: str) -> str:
    """In the case of our paths, where what a link's or page's own id is keeps its own, and without stray signs."""
    return "/".join(part.lower() if number < 4 else part for number, part in enumerate(_STRAY.sub("", path).split("/")))


@blueprint.app_errorhandler(NotFound)
def not_found(error: NotFound) -> Response:
    """Somebody who typed a path gets it as it should be, or a page that says whom to ask; a program, and whoever is
    where only programs go, a problem document."""
    if _OF_PROGRAMS.fullmatch(request.path):
        return error_response(error)
    typed = _PAGES.fullmatch(request.path)
    if typed and (response := _moved(_tidied(request.path))):
        return response
    if not error_pages.accepts_page():
        return error_response(error)
    if typed:
        with suppress(AuthsvcError):  # without the practice, the page says less
            load_practice((typed["practice"] or "").lower())
    return error_pages.not_found(error)
