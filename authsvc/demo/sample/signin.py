"""Sign-in and sign-out: to authsvc's pages, back with tokens, and out everywhere.

/sign-in begins a sign-in from our own pages, /open one that authsvc initiates after a link (OpenID Connect Core §4);
/signed-in is the redirect URI of both. /sign-out signs out. At /backchannel-logout authsvc reports, without a browser,
that a session has ended.
"""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from authsvc.demo.sample import tokens
from authsvc.demo.sample.api import Refused, Unavailable
from authsvc.demo.sample.clinic import FRESH_S, PAGES, clinic
from authsvc.demo.sample.errors import page, sign_in_link
from authsvc.demo.sample.languages import N_
from authsvc.demo.sample.oidc import POST_LOGOUT_PATH, REDIRECT_PATH, InvalidLogoutToken, UnknownState
from authsvc.demo.sample.sessions import current_session

signin = Blueprint("signin", __name__)

LINKED = {"invoice": "/invoice/", "agreement": "/agreement/"}  # where a link for such a resource leads
PAYMENT_INFO = "update-payment-info"  # the workflow without a resource

MORE_THAN_A_LINK = {"acr_values": "extra"}  # RFC 9470 §4: a typed code, not only a pressed link


@signin.get("/sign-in")
def sign_in() -> Response:
    """Straight on to authsvc, which asks for a code, or knows this browser and sends it back at once."""
    next_page = _known_page(request.args.get("to"))
    if next_page in FRESH_S:
        return clinic().oidc.start(next_page, max_age=str(FRESH_S[next_page]), **MORE_THAN_A_LINK)
    if tokens.portal_grant():
        return redirect(PAGES[next_page], 303)
    return clinic().oidc.start(next_page, **(MORE_THAN_A_LINK if tokens.newest_link_grant() else {}))


@signin.get("/switch")
def switch() -> Response:
    """ "You / Leo": authsvc asks for whom the person goes on, without another mail."""
    return clinic().oidc.start("home", prompt="select_account")


@signin.get("/open")
def initiate_login() -> Response:
    """A link was pressed. `login_hint` fetches what it opens, in the browser that pressed and in no other."""
    if request.args.get("iss") != clinic().settings.authsvc_url:
        abort(404)  # nobody else may start a sign-in here
    hint = request.args.get("login_hint", "")
    next_page = _page_at(request.args.get("target_link_uri", ""))
    return clinic().oidc.start(next_page, **({"login_hint": hint} if hint else {}))


@signin.get(REDIRECT_PATH)
def signed_in() -> Response:
    try:
        token, next_page = clinic().oidc.finish()
    except UnknownState:
        if tokens.portal_grant():  # the page was loaded again
            return redirect(PAGES["home"], 303)
        text = N_("This sign-in was started elsewhere, or is finished already. Nothing is lost.")
        return page(N_("Please sign in once more"), text, 400, sign_in_link())
    grant = tokens.grant_from(token)
    clinic().sessions.renew()
    current = current_session()
    current.link_grants = {key: held for key, held in current.link_grants.items() if held.patient == grant.patient}
    if "workflow" not in token:
        current.portal_grant = grant
        return redirect(PAGES[next_page], 303)
    thing = str(token.get("resource") or token["workflow"])
    current.link_grants[thing] = grant
    if thing == PAYMENT_INFO:
        return redirect("/payment-info", 303)
    kind, _, number = thing.partition(":")
    return redirect((LINKED.get(kind) or abort(404)) + quote(number, safe=""), 303)


@signin.post("/sign-out")
def sign_out() -> Response:
    """Here first, whatever authsvc says; then our session there; then, with the browser, everywhere."""
    held = current_session().portal_grant
    clinic().sessions.clear()
    if held is None:
        return redirect(POST_LOGOUT_PATH, 303)
    try:
        clinic().authsvc.revoke_token(held.refresh_token)
        return redirect(clinic().oidc.logout_url(held.id_token), 303)
    except (Unavailable, Refused):
        return redirect(f"{POST_LOGOUT_PATH}?only=here", 303)


@signin.get(POST_LOGOUT_PATH)
def signed_out() -> str:
    return render_template("signed_out.html", only_here="only" in request.args)


@signin.post("/backchannel-logout")
def backchannel_logout() -> tuple[dict[str, str], int]:
    """From authsvc's worker: the token is all that proves it, so there is no CSRF token."""
    try:
        sid = clinic().oidc.verify_logout_token(request.form.get("logout_token", ""))
    except InvalidLogoutToken:
        return {"error": "invalid_request"}, 400
    clinic().sessions.end(sid)
    return {}, 200


def _known_page(name: str | None) -> str:
    return name if name in PAGES else "home"


def _page_at(address: str) -> str:
    """Which of our pages this is. Nobody outside chooses an address for us: at most one of those in the table."""
    return next((name for name, path in PAGES.items() if address == clinic().settings.url + path), "home")
