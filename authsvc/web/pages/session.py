"""The pages of somebody who is signed in: where, for how long, and out; and the short answers behind a redirect.

To load a page keeps nobody signed in. The script of the session page asks `session_state`, which extends nothing
either; only the button does.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, current_app

from authsvc.i18n import Language
from authsvc.model import BrowserSession, SessionInfo
from authsvc.web.browser.render import render_message, request_language
from authsvc.web.context import current_service, see_other
from authsvc.web.oauth.logout import SIGNED_OUT
from authsvc.web.pages.page_request import PageRequest
from authsvc.web.pages.page_response import render_form
from authsvc.web.pages.page_view import page_view

session_api = Blueprint("session_api", __name__)
"""What the script of the session page asks. Its errors are problem documents, not pages."""

_SID = re.compile(r"[A-Za-z0-9_-]{22}")


@page_view()
def session(page: PageRequest) -> Response:
    sessions = current_service().browser_sessions
    current = sessions.get(page.context, page.browser.session)
    if current is None:
        return see_other(page.url("sign_in"))
    if not page.posted:
        return _render(page, current)
    match page.field("act"):
        case "extend":
            sessions.extend(page.context, page.browser.session)
        case "end" if _SID.fullmatch(page.field("sid")):
            sessions.end(page.context, current, page.field("sid"))
        case "end-others":
            sessions.end_others(page.context, current)
    return see_other(page.url("session"))


def _render(page: PageRequest, current: BrowserSession) -> Response:
    service = current_service()
    language = request_language(page.practice, current.locale)
    infos = [info for info in service.browser_sessions.list(page.context, current) if not info.client]
    return render_form(
        page,
        200,
        "session.html",
        patient_locale=current.locale,
        script=True,
        current=current,
        can_switch=bool(service.person_switch.choices(page.context, page.browser.session).dependents),
        sessions=[_row(info, current, language, page.practice.time_zone) for info in infos],
        idle_minutes=service.settings.session_idle_s // 60,
    )


def _row(info: SessionInfo, current: BrowserSession, language: Language, time_zone: str) -> dict[str, Any]:
    """One session as the list shows it."""
    return {
        "id": info.id,
        "is_current": info.id == current.sid,
        "since": language.moment(info.created_at_ms, time_zone),
        "last_used": language.moment(info.last_used_at_ms, time_zone),
    }


@session_api.get("/p/<practice>/session/state")
@page_view()
def session_state(page: PageRequest) -> Response:
    """How long the session lasts, for the warning. Raises Unavailable, which isn't "signed out"."""
    service = current_service()
    current = service.browser_sessions.get(page.context, page.browser.session)
    if current is None:
        return current_app.make_response({"signed_in": False})
    now_ms = service.clock.now_ms()
    left = {"idle_in": (current.idle_ends_ms - now_ms) // 1000, "ends_in": (current.ends_ms - now_ms) // 1000}
    return current_app.make_response({"signed_in": True, **left})


@page_view()
def sign_out(page: PageRequest) -> Response:
    """Asks first: another website may have led here. Who isn't signed in has nothing to be asked."""
    sessions = current_service().browser_sessions
    signed_out_url = page.url("signed_out")
    if not page.browser.session:
        # Not even the cookie is touched: a form on another site comes without it (SameSite=Lax).
        return see_other(signed_out_url)
    if page.posted:
        sessions.sign_out(page.context, page.browser.session)
        response = see_other(signed_out_url)
        page.cookies.delete_session(response, page.practice.id)
        response.headers.extend(SIGNED_OUT)
        return response
    current = sessions.get(page.context, page.browser.session)
    if current is None:
        return see_other(signed_out_url)
    return render_form(page, 200, "sign_out.html", patient_locale=current.locale, cancel_url=page.url("session"))


# --- behind a redirect, so that their addresses tell nothing ------------------------------------------------------


@page_view()
def sent(page: PageRequest) -> Response:
    return render_message("sent", 200, page.practice)


@page_view()
def contact(page: PageRequest) -> Response:
    return render_message("contact", 200, page.practice)


@page_view()
def signed_out(page: PageRequest) -> Response:
    return render_message("signed_out", 200, page.practice, next_url=page.url("sign_in"))
