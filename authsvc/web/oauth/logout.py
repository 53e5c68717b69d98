"""RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0): a client sends the browser here to sign out.

With an ID token that names the very patient who is signed in here, that is done at once: the token is what a forged
request can't have. Without one the patient is asked (§2), by a form of ours. Whoever has signed out goes back only to
an address that the client has registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Response, request, url_for

from authsvc.errors import UnregisteredClient
from authsvc.model import Client, IdTokenHint, Practice
from authsvc.web.browser import popups
from authsvc.web.browser.cookies import Browser, BrowserCookies
from authsvc.web.browser.render import render_message, render_page, request_language
from authsvc.web.client_authentication import CLIENT_ID
from authsvc.web.context import current_service, request_context, request_info, see_other
from authsvc.web.middleware import Headers
from authsvc.web.oauth import authorization_response, sent_parameters
from authsvc.web.oauth.authorization_response import origin, with_query

CARRIED = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales")

SIGNED_OUT: Headers = [("Clear-Site-Data", '"cache"')]
"""What the browser cached of our pages goes. Not "cookies": that would reach every site of the practice's domain."""

blueprint = Blueprint("logout", __name__, url_prefix="/oauth2")
authorization_response.register_errors(blueprint)
popups.allow(blueprint)


@dataclass(frozen=True)
class LogoutRequest:
    """A checked request. `hint` is whom the ID token names; `redirect_uri` where the client wants the browser back."""

    client: Client
    practice: Practice
    hint: IdTokenHint | None
    redirect_uri: str
    parameters: dict[str, str]


@blueprint.route("/logout", methods=["GET", "POST"])
def logout() -> Response:
    """What goes wrong is a page."""
    form = _parameters()
    if not form.get("id_token_hint") and not form.get("client_id"):
        return _without_client()
    request_ = _check(form)
    practice, info = request_.practice, request_info()
    info.practice, info.client = practice.id, request_.client.id
    cookies, sessions = BrowserCookies(current_service()), current_service().browser_sessions
    browser, context = cookies.browser(practice.id), request_context(practice)
    session = sessions.get(context, browser.session)
    if request.method == "POST" and not cookies.is_own_form(practice.id, form):
        # From another site it comes without our cookies (SameSite=Lax): as a GET they are there.
        return see_other(f"{url_for('logout.logout')}?{urlencode(request_.parameters)}")
    proven = session is None or (request_.hint is not None and request_.hint.patient == session.patient)
    if not proven and request.method != "POST":
        return _ask(cookies, browser, request_)
    response = see_other(request_.redirect_uri or url_for("pages.signed_out", practice=practice.id))
    if session is not None:
        sessions.sign_out(context, browser.session)
        cookies.delete_session(response, practice.id)
        response.headers.extend(SIGNED_OUT)
    if request_.hint and request_.hint.sid:
        # The browser has lost its cookie, or is signed in anew: what the client has rests on another sign-in. That one
        # stays, for the ID token proves the client's session and not whose browser this is.
        sessions.end_client_session(request_context(practice), request_.hint)  # one context ends one thing
    return response


def _ask(cookies: BrowserCookies, browser: Browser, request_: LogoutRequest) -> Response:
    practice = request_.practice
    response = render_page(
        "sign_out.html",
        200,
        practice,
        request_language(practice),
        form_origins=[origin(request_.redirect_uri)] if request_.redirect_uri else [],
        action=url_for("logout.logout"),
        fields=request_.parameters,
        csrf=cookies.csrf_token(browser, practice.id, session_bound=True),
        cancel_url=url_for("pages.session", practice=practice.id),
    )
    cookies.set_browser(response, browser)
    return response


def _without_client() -> Response:
    """Nothing says who asks, so nothing is redirected: the patient is asked where this browser is signed in (§2)."""
    if request.method == "POST":
        return see_other(url_for("logout.logout"))  # as below: only then the cookies come along
    cookies, service = BrowserCookies(current_service()), current_service()
    for practice_id in cookies.practices():
        practice = service.practices.get(practice_id)
        if practice and service.browser_sessions.get(request_context(practice), cookies.browser(practice_id).session):
            return see_other(url_for("pages.sign_out", practice=practice_id))
    return render_message("signed_out", 200, None)


def _check(form: Mapping[str, str]) -> LogoutRequest:
    """Raises UnregisteredClient for whatever doesn't fit together: then there is nowhere to send the browser.

    An ID token that we can't check proves nothing, and so the patient is request_: a sign-in may be older than the keys
    that are left after a rotation, and nobody shall be unable to sign out for that.
    """
    service = current_service()
    token, client_id = form.get("id_token_hint", ""), form.get("client_id", "")
    hint = service.authorization_codes.read_id_token_hint(token) if token else None
    named = hint.client if hint else service.authorization_codes.unverified_audience(token)
    client_id = client_id or named
    client = service.clients.get(client_id) if CLIENT_ID.fullmatch(client_id) else None
    if client is None or not client.redirect_uris or named not in ("", client.id):
        raise UnregisteredClient("client_id")
    practice = service.practices.get(client.practices[0])
    if practice is None or (hint and hint.practice != practice.id):
        raise UnregisteredClient("client_id")
    redirect_uri = form.get("post_logout_redirect_uri", "")
    if redirect_uri not in client.post_logout_uris:
        redirect_uri = ""  # §3: no redirect; but who wants to sign out shall
    if redirect_uri and form.get("state"):
        redirect_uri = with_query(redirect_uri, {"state": form["state"]})
    parameters = {name: form[name] for name in CARRIED if form.get(name)}
    return LogoutRequest(client, practice, hint, redirect_uri, parameters)


def _parameters() -> dict[str, str]:
    """What was sent, each at most once. Raises UnregisteredClient for what can't be read."""
    pairs = sent_parameters.parameters()
    form = dict(pairs)
    if len(form) != len(pairs):
        raise UnregisteredClient("repeated parameter")
    return form
