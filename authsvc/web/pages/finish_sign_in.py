"""How a pending sign-in ends: with a session, by the patient's wish, or too late. Shared by the pages of code and
patient."""

from __future__ import annotations

from flask import Response, current_app, url_for

from authsvc.errors import AuthsvcError, LinkGone, LinkUnknown, NotFound
from authsvc.model import AuthorizationRequest, BrowserSession, NewBrowserSession
from authsvc.web.browser.cookies import PAGE_ID
from authsvc.web.browser.render import render_message
from authsvc.web.context import count_error, current_service, see_other
from authsvc.web.oauth import authorization_response
from authsvc.web.pages import pending_sign_in
from authsvc.web.pages.page_request import PageRequest
from authsvc.web.pages.page_response import form_origins, render_form
from authsvc.web.pages.pending_sign_in import PendingSignIn


def load_pending(page: PageRequest, page_id: str) -> PendingSignIn | None:
    """What waits for its code on this page. Raises NotFound for an id that no page of ours has."""
    if not PAGE_ID.fullmatch(page_id):
        raise NotFound
    return pending_sign_in.load(page, page_id)


def signed_in(page: PageRequest, pending: PendingSignIn, session: NewBrowserSession) -> Response:
    """Signed in: whatever comes next, the browser gets its session."""
    try:
        response = _go_on(page, session.cookie)
    except AuthsvcError as error:
        response = current_app.make_response(current_app.handle_user_exception(error))
    page.cookies.set_session(response, page.practice.id, session.cookie)
    page.cookies.delete_pending(response, page.practice.id, pending.page_id)
    return response


def cancel(page: PageRequest, pending: PendingSignIn, authorization: AuthorizationRequest) -> Response:
    failed = pending_sign_in.sign_in_failed(authorization, "The patient went back")
    response = authorization_response.send_error(failed)
    page.cookies.delete_pending(response, page.practice.id, pending.page_id)
    return response


def restart(page: PageRequest, pending: PendingSignIn) -> Response:
    """The same sign-in once more, with the address that is known already."""
    try:
        return pending_sign_in.begin(page, pending.start, replaced_page_id=pending.page_id)
    except (LinkUnknown, LinkGone) as error:
        count_error(error)
        return _start_again(page)


def render_ended(page: PageRequest, pending: PendingSignIn) -> Response:
    """A page whose button starts again."""
    return render_form(
        page,
        410,
        "message.html",
        patient_locale=pending.start.locale,
        session_bound=False,
        form_origins=form_origins(page),
        kind="gone",
    )


def not_pending(page: PageRequest) -> Response:
    """Nothing waits here any more, or never did in this browser. A second click on what has just succeeded goes where
    the first one went."""
    session = current_service().browser_sessions.get(page.context, page.browser.session)
    if session is None:
        return _start_again(page)
    if page.authorization is None:
        return see_other(page.url("session", query=""))
    if page.posted and _is_new(session):
        # What the client wants to be new is: to decide its request again would be to ask for another code.
        return _go_on(page, page.browser.session)
    return see_other(f"{url_for('authorize.authorize')}?{page.query}")


def _go_on(page: PageRequest, cookie: str) -> Response:
    return authorization_response.finish(page.context, page.authorization, cookie, fresh=True)


def _start_again(page: PageRequest) -> Response:
    return render_message("gone", 410, page.practice, next_url=page.url("sign_in"))


def _is_new(session: BrowserSession) -> bool:
    service = current_service()
    return service.clock.now_ms() - session.auth_time_ms <= service.limits.replay_window_s * 1000
