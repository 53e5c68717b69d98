"""Every "no" in words that help: one table from authsvc's problem to a sentence, one page to show it on.

A page of this kind says what happened, that nothing was lost, and what to do now: one button, or the telephone. After a
form it waits in the visit and is opened by GET at `/message`, so that the Back button can come to it again.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask, make_response, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from authsvc.demo.sample.api import Away, Refusal
from authsvc.demo.sample.tokens import LinkClosed, SignInNeeded
from authsvc.demo.sample.visits import Said, visit
from authsvc.verifier import AccessRefused, NoCredentials

GONE = {
    "expired": "This link has reached its end date.",
    "used_up": "This link has been used as often as it can be.",
    "revoked": "This link is no longer needed. Perhaps the invoice has been paid already.",
    "address_changed": "This link was sent to an earlier email address.",
}

WORDS = {
    "link-unknown": ("We do not know this link", "Perhaps a part of it got lost. Try to open it from the email again."),
    "challenge-gone": ("Let us send you a new code", "The code you had can no longer be used."),
    "invalid-code": ("Let us send you a new code", "That was the last try for this code."),
    "rate-limited": ("Please wait a little", "We had too many tries just now."),
    "patient-not-found": ("Please call us", "The online portal is not open for you yet."),
    "no-portal-access": ("Please call us", "The online portal is not open for you yet."),
}

NONE: Mapping[str, str] = {}
NO_TOKEN = {"WWW-Authenticate": NoCredentials("no_token_in_this_visit").www_authenticate}
"""A 401 always says what it takes (RFC 9110 §15.5.2); browsers pass over it, programs don't."""

OURS = ("That did not work", "The mistake is ours. Please try again later, or call us.")


def attach(app: Flask) -> None:
    app.register_error_handler(Refusal, refused)
    app.register_error_handler(Away, away)
    app.register_error_handler(SignInNeeded, sign_in_needed)
    app.register_error_handler(LinkClosed, link_closed)
    app.register_error_handler(AccessRefused, access_refused)
    app.register_error_handler(HTTPException, plain)
    app.add_url_rule("/message", view_func=message)


def in_words(refusal: Refusal) -> str:
    """One sentence beside the field for the code."""
    if refusal.kind == "invalid-code":
        left = refusal.body.get("attempts_left")
        tries = "try" if left == 1 else "tries"
        return f"That is not the code we sent. Please look again. You have {left} {tries} left."
    if refusal.kind == "rate-limited":
        return f"There were too many tries. Please try again {wait_words(refusal.retry_after_s)}."
    return "A code has six digits, like 123456. Please look at the email again."


def wait_words(seconds: int | None) -> str:
    seconds = seconds or 60
    if seconds < 90:
        return f"in {seconds} seconds"
    return f"in {-(-seconds // 60)} minutes"


def refused(refusal: Refusal) -> Response:
    if refusal.kind in ("unauthenticated", "forbidden", "not-found", "invalid_client"):
        return page(*OURS, 500)  # it is we who aren't let in: a wrong secret, a missing permission
    cut_off = refusal.kind == "invalid-request" and request.endpoint == "links.press"  # not even a token's length
    title, text = WORDS.get("link-unknown" if cut_off else refusal.kind, ("That did not work", "Please try again."))
    button = None
    if refusal.kind == "link-gone":
        reason = str(refusal.body.get("reason"))
        title, text = "This link no longer works", GONE.get(reason, "")
        if reason in ("expired", "used_up") and request.endpoint == "links.press":
            button = (request.path + "/again", "Email me a new link")
    elif refusal.kind in ("challenge-gone", "invalid-code"):
        button = ("/sign-in/again", "Email me a new code")
    elif refusal.kind == "rate-limited":
        text += f" Please try again {wait_words(refusal.retry_after_s)}. Nothing is lost."
    return page(title, text, refusal.status, button, _retry_after(refusal.retry_after_s))


def away(error: Away) -> Response:
    text = "We could not reach our sign-in service. Nothing is lost. Please try again in a moment."
    return page("One moment, please", text, 503, None, _retry_after(error.retry_after_s))


def sign_in_needed(_: SignInNeeded) -> Response:
    return say(Said("sign_in_first.html", {"page": wanted_page()}, 401, NO_TOKEN))


def link_closed(_: LinkClosed) -> Response:
    text = "To keep your data safe we close this page after ten minutes. Press the link in our email to open it again."
    return page("This page has closed", text, 401, None, NO_TOKEN)


def access_refused(refusal: AccessRefused) -> Response:
    """The verifier's answer, as it stands (RFC 6750, RFC 9470), on a page that leads on."""
    challenge = {"WWW-Authenticate": refusal.www_authenticate}
    if refusal.status == 401:
        return say(Said("step_up.html", {"page": wanted_page()}, 401, challenge))
    text = "Your link opens one thing only, and this is another one. With a code you see all that is yours."
    return page("This is not open here", text, 403, ("/sign-in/step-up", "Email me a code"), challenge)


def plain(error: HTTPException) -> Response:
    """A request that none of our pages makes. It is answered on the spot: a forged form must leave nothing behind."""
    title, text = OURS
    if error.code == 400:
        title, text = "Please try once more", "This page was open for too long. Go back, reload it and press again."
    elif error.code in (404, 405):
        title, text = "There is nothing here", "The address may have a mistake in it."
    return _rendered(_message(title, text, error.code or 500))


def page(
    title: str, text: str, status: int, button: tuple[str, str] | None = None, headers: Mapping[str, str] = NONE
) -> Response:
    """The page for this answer; `button` is (where it leads by POST, its words)."""
    return say(_message(title, text, status, button, headers))


def say(said: Said) -> Response:
    """Show it; after a form, by a 303 to where it can be opened again."""
    if request.method != "POST":
        return _rendered(said)
    visit().said = said
    return redirect("/message", 303)


def message() -> Response:
    """The last answer to a form, as often as it is asked for. Its status is that of what happened."""
    said = visit().said
    return _rendered(said) if said else redirect("/sign-in", 303)


def _message(
    title: str, text: str, status: int, button: tuple[str, str] | None = None, headers: Mapping[str, str] = NONE
) -> Said:
    return Said("message.html", {"title": title, "text": text, "button": button}, status, headers)


def _rendered(said: Said) -> Response:
    return make_response(render_template(said.template, **said.values), said.status, said.headers)


def _retry_after(seconds: int | None) -> dict[str, str]:
    return {"Retry-After": str(seconds)} if seconds else {}


def wanted_page() -> str:
    """The portal page that was asked for, by its name in the table of `signin.PAGES`."""
    return request.path.rpartition("/")[2] if request.path.startswith("/portal/") else "home"
