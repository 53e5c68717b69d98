"""The answers of the hosted pages: a page with forms, or a redirect.

What a form is answered with is shown after a 303 to the same address (a flash), like everything that comes after a
POST: else the back button would one day ask whether to send the form again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from flask import Response, request

from authsvc.model import Practice
from authsvc.web.browser.render import render_page, request_language
from authsvc.web.context import see_other
from authsvc.web.oauth import authorization_response
from authsvc.web.pages.page_request import PageRequest


def render_form(
    page: PageRequest,
    status: int,
    template: str,
    *,
    patient_locale: str = "",
    session_bound: bool = True,
    form_origins: Sequence[str] = (),
    retry_after_s: int = 0,
    **values: Any,
) -> Response:
    """A page with a form of ours that leads back to its own address; in answer to a form, a redirect to that page.

    `patient_locale` is the patient's language, where it is proven who it is; `session_bound` as in `page_view`.
    """
    fields = {
        "patient_locale": patient_locale,
        "session_bound": session_bound,
        "form_origins": list(form_origins),
        "retry_after_s": retry_after_s,
        **values,
    }
    if page.posted:
        path = request.script_root + quote(request.path)
        response = see_other(f"{path}?{page.query}" if page.query else path)
        page.cookies.set_browser(response, page.browser)
        flash = {"status": status, "template": template, "values": fields}
        if page.cookies.set_flash(response, page.browser, page.practice.id, request.path, flash):
            return response
    return _render(page, status, template, **fields)


def _render(
    page: PageRequest,
    status: int,
    template: str,
    *,
    patient_locale: str,
    session_bound: bool,
    form_origins: Sequence[str],
    retry_after_s: int,
    **values: Any,
) -> Response:
    response = render_page(
        template,
        status,
        page.practice,
        request_language(page.practice, patient_locale),
        form_origins=form_origins,
        # A query alone: the path, which may hold a link's token, isn't written into the page.
        action=f"?{page.query}",
        csrf=page.cookies.csrf_token(page.browser, page.practice.id, session_bound=session_bound),
        form_id=page.cookies.new_page_id(),
        **values,
    )
    page.cookies.set_browser(response, page.browser)
    if retry_after_s:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def show_flash(page: PageRequest) -> Response | None:
    """What the last form of this page was answered with, shown once; None if there is nothing to show."""
    if request.method != "GET":  # a look ahead (HEAD) leaves it to be shown
        return None
    flash = page.cookies.flash(page.browser, page.practice.id, request.path)
    if flash is None:
        return None
    response = _render(page, flash["status"], flash["template"], **flash["values"])
    page.cookies.delete_flash(response, page.practice.id)
    return response


def wait_text(practice: Practice, retry_after_s: int, patient_locale: str = "") -> str:
    """`5 minutes`, in the language of the page; empty for no time at all."""
    return request_language(practice, patient_locale).span(retry_after_s) if retry_after_s else ""


def form_origins(page: PageRequest) -> list[str]:
    """The origins that a form of the sign-in may lead to."""
    return authorization_response.form_origins(page.practice, page.authorization)
