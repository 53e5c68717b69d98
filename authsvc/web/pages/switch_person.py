"""Going on as somebody else without another mail, while the sign-in is young: "You / Leo".

Reached by a button of the session page, or because a client asks for it (`prompt=select_account`). Where there is
nobody to switch to, it is the sign-in page that asks who it is.
"""

from __future__ import annotations

import re

from flask import Response, current_app

from authsvc.errors import AuthsvcError, CodeNeeded, InvalidInput, NotFound, SignInNeeded
from authsvc.model import BrowserSession, Choice
from authsvc.web.context import current_service, see_other
from authsvc.web.fields import PATIENT
from authsvc.web.oauth import authorization_response
from authsvc.web.pages.choose_patient import rows_of
from authsvc.web.pages.page_request import PageRequest
from authsvc.web.pages.page_response import form_origins, render_form
from authsvc.web.pages.page_view import page_view
from authsvc.web.pages.sign_in import other_address_url

_PATIENT = re.compile(PATIENT, re.ASCII)


@page_view(takes_authorization=True)
def switch_person(page: PageRequest) -> Response:
    service = current_service()
    session = service.browser_sessions.get(page.context, page.browser.session)
    choice = service.person_switch.choices(page.context, page.browser.session)
    if session is None or not choice.dependents:
        return see_other(page.url("sign_in"))
    patient = page.field("patient")
    if patient == session.patient:
        return _go_on(page, page.browser.session)
    if _PATIENT.fullmatch(patient):
        try:
            return _switch(page, patient)
        except InvalidInput:
            pass  # somebody who isn't on the list: it is shown again
        except (CodeNeeded, NotFound):
            return see_other(page.url("sign_in"))
    return _render(page, session, choice)


def _switch(page: PageRequest, patient: str) -> Response:
    """Raises InvalidInput, CodeNeeded, NotFound, RateLimited."""
    session = current_service().person_switch.of_browser(page.context, page.browser.session, patient)
    try:
        response = _go_on(page, session.cookie)
    except AuthsvcError as error:
        response = current_app.make_response(current_app.handle_user_exception(error))
    page.cookies.set_session(response, page.practice.id, session.cookie)
    return response


def _go_on(page: PageRequest, cookie: str) -> Response:
    """Onward; to the sign-in page where the client wants a younger proof, or a certain patient."""
    try:
        return authorization_response.finish(page.context, page.authorization, cookie)
    except SignInNeeded:
        return see_other(page.url("sign_in"))


def _render(page: PageRequest, session: BrowserSession, choice: Choice) -> Response:
    return render_form(
        page,
        400 if page.posted else 200,
        "choose_patient.html",
        patient_locale=session.locale,
        form_origins=form_origins(page),
        current_patient=session.patient,
        other_address_url=other_address_url(page) if page.authorization else "",
        error="not_chosen" if page.posted else "",
        **rows_of(choice),
    )
