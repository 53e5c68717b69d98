"""In and out: to authsvc's pages, back with tokens, and out everywhere.

/sign-in leads in from our own pages, /open when a link of ours was pressed (OpenID Connect Core §4), and /signed-in is
where both come back. /sign-out leads out; and at /backchannel-logout authsvc itself tells us, without a browser, that a
session is over.
"""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from authsvc.demo.sample import tokens
from authsvc.demo.sample.api import Away, Refusal
from authsvc.demo.sample.clinic import PAGES, clinic
from authsvc.demo.sample.errors import page, sign_in_link
from authsvc.demo.sample.oidc import BACK, BYE, NotALogout, Stray
from authsvc.demo.sample.sessions import visit

signin = Blueprint("signin", __name__)

LINKED = {"invoice": "/invoice/", "agreement": "/agreement/"}  # where a link for such a resource leads
PAYMENT_INFO = "update-payment-info"  # the workflow without a resource

MORE_THAN_A_LINK = {"acr_values": "extra"}  # RFC 9470 §4: a typed code, not only a pressed link


@signin.get("/sign-in")
def sign_in() -> Response:
    """Straight on to authsvc, which asks for a code, or knows this browser and sends it back at once."""
    wanted = _known(request.args.get("to"))
    if tokens.portal_grant():
        return redirect(PAGES[wanted], 303)
    return clinic().oidc.start(wanted, **(MORE_THAN_A_LINK if tokens.newest_link_grant() else {}))


@signin.get("/open")
def opened() -> Response:
    """A link was pressed. `login_hint` fetches what it opens, in the browser that pressed and in no other."""
    if request.args.get("iss") != clinic().settings.authsvc_url:
        abort(404)  # nobody else may start a sign-in here
    hint = request.args.get("login_hint", "")
    wanted = _at(request.args.get("target_link_uri", ""))
    return clinic().oidc.start(wanted, **({"login_hint": hint} if hint else {}))


@signin.get(BACK)
def signed_in() -> Response:
    try:
        token, wanted = clinic().oidc.finish()
    except Stray:
        if tokens.portal_grant():  # the page was loaded again
            return redirect(PAGES["home"], 303)
        text = "This sign-in was started elsewhere, or is finished already. Nothing is lost."
        return page("Please sign in once more", text, 400, sign_in_link())
    grant = tokens.granted(token)
    clinic().visits.renew()
    visit().instant = {thing: held for thing, held in visit().instant.items() if held.patient == grant.patient}
    if "workflow" not in token:
        visit().portal = grant
        return redirect(PAGES[wanted], 303)
    thing = str(token.get("resource") or token["workflow"])
    visit().instant[thing] = grant
    if thing == PAYMENT_INFO:
        return redirect("/payment-info", 303)
    kind, _, number = thing.partition(":")
    return redirect((LINKED.get(kind) or abort(404)) + quote(number, safe=""), 303)


@signin.post("/sign-out")
def sign_out() -> Response:
    """Here first, whatever authsvc says; then our session there; then, with the browser, everywhere."""
    held = visit().portal
    clinic().visits.forget()
    if held is None:
        return redirect(BYE, 303)
    try:
        clinic().authsvc.sign_out(held.refresh_token)
        return redirect(clinic().oidc.farewell(held.id_token), 303)
    except (Away, Refusal):
        return redirect(f"{BYE}?only=here", 303)


@signin.get(BYE)
def signed_out() -> str:
    return render_template("signed_out.html", only_here="only" in request.args)


@signin.post("/backchannel-logout")
def ended() -> tuple[dict[str, str], int]:
    """From authsvc's worker: the token is all that proves it, so there is no CSRF token (visits.py lets it through)."""
    try:
        sid = clinic().oidc.ended(request.form.get("logout_token", ""))
    except NotALogout:
        return {"error": "invalid_request"}, 400
    clinic().visits.end(sid)
    return {}, 200


def _known(name: str | None) -> str:
    return name if name in PAGES else "home"


def _at(address: str) -> str:
    """Which of our pages this is. Nobody outside chooses an address for us: at most one of those in the table."""
    return next((name for name, path in PAGES.items() if address == clinic().settings.url + path), "home")
