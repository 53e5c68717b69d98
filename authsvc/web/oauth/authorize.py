"""The authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2): where a client sends a patient's browser.

A sign-in that does for what is asked gets its code at once; a link that the browser has opened gets its own. Whatever
needs the patient goes on to the sign-in page, with the request in its address. Nothing is asked here, so nothing can be
framed or forged here; and nothing but a code, worth nothing without its verifier, is given.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from flask import Blueprint, Response, request, url_for

from authsvc.errors import AuthorizationError, KeysetUnusable, LinkGone, RateLimited, SignInNeeded, Unavailable
from authsvc.model import AuthorizationRequest, RequestContext
from authsvc.web.browser import popups
from authsvc.web.browser.cookies import Browser, BrowserCookies
from authsvc.web.context import count_error, current_service, request_context, request_info, see_other
from authsvc.web.oauth import authorization_request, authorization_response, sent_parameters
from authsvc.web.oauth.authorization_response import login_required

FRESH = frozenset({"login", "consent"})
AGAIN = FRESH | {"select_account"}
"""Prompts that want the patient to act, whoever is signed in. The practice decides what its client may do, so there is
no consent to ask for; a code typed anew is the nearest to it."""

blueprint = Blueprint("authorize", __name__, url_prefix="/oauth2")
authorization_response.register_errors(blueprint)
popups.allow(blueprint)


@blueprint.route("/authorize", methods=["GET", "POST"])
def authorize() -> Response:
    """What goes wrong is a page or a redirect."""
    pairs = sent_parameters.parameters()
    if request.method == "POST" and authorization_request.is_pushed(pairs):
        sent = dict(pairs)  # the browser that brings it owns it, and shows only as a GET which one it is: see below
        reference = {"client_id": sent.get("client_id", ""), "request_uri": sent["request_uri"]}
        return see_other(f"{url_for('authorize.authorize')}?{urlencode(reference)}")
    authorization = authorization_request.parse(current_service(), pairs)
    info = request_info()
    info.practice, info.client = authorization.practice.id, authorization.client.id
    if request.method == "POST":
        # From another site it comes without our cookies (SameSite=Lax): as a GET they are there.
        return see_other(f"{url_for('authorize.authorize')}?{authorization.query}")
    try:
        return _decide(authorization)
    except (RateLimited, Unavailable, KeysetUnusable) as error:
        # The client is known and waits for an answer (RFC 6749 §4.1.2.1).
        count_error(error)
        description = f"Try again in {error.retry_after_s} seconds"
        raise AuthorizationError(
            authorization.redirect_uri, authorization.state, "temporarily_unavailable", description
        ) from None


def _decide(authorization: AuthorizationRequest) -> Response:
    codes = current_service().authorization_codes
    browser = BrowserCookies(current_service()).browser(authorization.practice.id)
    context = request_context(authorization.practice)
    # A maximum age of nothing is prompt=login in other words, whatever the clocks of our instances say.
    again = bool(authorization.prompt & AGAIN) or authorization.max_age_s == 0
    if authorization.login_hint and authorization.acr != "extra" and not again:
        try:
            code = codes.for_pending_link(context, authorization, browser.id)
            return authorization_response.send_code(context, authorization, code)
        except (SignInNeeded, LinkGone) as error:
            if error.reason != "max_age":
                description = "The link was used up on the way: it has to be opened again"
                raise login_required(authorization, description) from None
            again = True
    if not again:
        try:
            of_whom = _for_patient_of_link(context, authorization, browser)
            return authorization_response.finish(context, of_whom, browser.session)
        except SignInNeeded:
            pass
    if _may_switch(context, authorization, browser):
        return see_other(f"{url_for('pages.switch_person', practice=authorization.practice.id)}?{authorization.query}")
    if "none" in authorization.prompt:
        raise login_required(authorization, "Somebody has to sign in")
    response = see_other(f"{url_for('pages.sign_in', practice=authorization.practice.id)}?{authorization.query}")
    if authorization.pushed:
        BrowserCookies(current_service()).set_browser(response, browser)
    return response


def _may_switch(context: RequestContext, authorization: AuthorizationRequest, browser: Browser) -> bool:
    """Who has dependents chooses among them without another mail; a code that is wanted anew is another matter."""
    if "select_account" not in authorization.prompt or authorization.prompt & FRESH or authorization.max_age_s == 0:
        return False
    return bool(current_service().person_switch.choices(context, browser.session).dependents)


def _for_patient_of_link(
    context: RequestContext, authorization: AuthorizationRequest, browser: Browser
) -> AuthorizationRequest:
    """A link that was opened but isn't enough is for its own patient, not for who happens to be signed in here."""
    link = current_service().authorization_codes.pending_link(context, authorization.login_hint, browser.id)
    if link is None or link.target != authorization.client.id or authorization.expected_patient:
        return authorization
    return replace(authorization, expected_patient=link.patient)
