"""Every "no" in words that help: from what authsvc or the verifier said to a sentence, and a page to show it on.

A page of this kind says what happened, that nothing was lost, and what to do now: one link, or the telephone. After a
form it waits in the visit and is opened by GET at `/message`, so that the Back button can come to it again.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask, make_response, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from authsvc.demo.sample.api import Away, Refusal
from authsvc.demo.sample.clinic import PAGES
from authsvc.demo.sample.oidc import Declined
from authsvc.demo.sample.sessions import Said, visit
from authsvc.demo.sample.tokens import LinkClosed, SignInNeeded
from authsvc.verifier import AccessRefused, NoCredentials

SIGN_IN = "Sign in"
WITH_A_CODE = "Go on with a code"

DECLINED = {
    "access_denied": ("You are not signed in", "You went back before the end. Nothing is lost.", SIGN_IN),
    "unmet_authentication_requirements": (
        "This page needs a code",
        "Your link opens one thing only. To see this page too, type a code from an email. You need no password.",
        WITH_A_CODE,
    ),
    "login_required": (
        "Let us try that again",
        "Did you press a link in an email? Please press it once more. Or sign in here.",
        SIGN_IN,
    ),
    "invalid_grant": ("Let us try that again", "That took a little too long. Nothing is lost.", SIGN_IN),
}
"""What authsvc may answer to a sign-in (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6), and the words on the link."""

NONE: Mapping[str, str] = {}
NO_TOKEN = {"WWW-Authenticate": NoCredentials("no_token_in_this_visit").www_authenticate}
"""A 401 always says what it takes (RFC 9110 §15.5.2); browsers pass over it, programs don't."""

OURS = ("That did not work", "The mistake is ours. Please try again later, or call us.")


def attach(app: Flask) -> None:
    app.register_error_handler(Refusal, refused)
    app.register_error_handler(Declined, declined)
    app.register_error_handler(Away, away)
    app.register_error_handler(SignInNeeded, sign_in_needed)
    app.register_error_handler(LinkClosed, link_closed)
    app.register_error_handler(AccessRefused, access_refused)
    app.register_error_handler(HTTPException, plain)
    app.add_url_rule("/message", view_func=message)


def wait_words(seconds: int | None) -> str:
    seconds = seconds or 60
    if seconds < 90:
        return f"in {seconds} seconds"
    return f"in {-(-seconds // 60)} minutes"


def refused(refusal: Refusal) -> Response:
    """The API's no. Apart from a limit it is we who did something wrong: a wrong secret, a missing permission."""
    if refusal.kind != "rate-limited":
        return page(*OURS, 500)
    text = f"There were too many tries just now. Please try again {wait_words(refusal.retry_after_s)}. Nothing is lost."
    return page("Please wait a little", text, 429, None, _retry_after(refusal.retry_after_s))


def declined(no: Declined) -> Response:
    """A sign-in that came to nothing."""
    if no.error not in DECLINED:
        return page(*OURS, 500)
    title, text, words = DECLINED[no.error]
    return page(title, text, 403, sign_in_link(no.wanted, words))


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
    return page("This is not open here", text, 403, sign_in_link(words=WITH_A_CODE), challenge)


def plain(error: HTTPException) -> Response:
    """A request that none of our pages makes. It is answered on the spot: a forged form must leave nothing behind."""
    title, text = OURS
    if error.code == 400:
        title, text = "Please try once more", "This page was open for too long. Go back, reload it and press again."
    elif error.code in (404, 405):
        title, text = "There is nothing here", "The address may have a mistake in it."
    return _rendered(_message(title, text, error.code or 500))


def page(
    title: str, text: str, status: int, onward: tuple[str, str] | None = None, headers: Mapping[str, str] = NONE
) -> Response:
    """The page for this answer; `onward` is (where its link leads, the words on it)."""
    return say(_message(title, text, status, onward, headers))


def sign_in_link(wanted: str = "", words: str = SIGN_IN) -> tuple[str, str]:
    return f"/sign-in?to={wanted or 'home'}", words


def say(said: Said) -> Response:
    """Show it; after a form, by a 303 to where it can be opened again."""
    if request.method != "POST":
        return _rendered(said)
    visit().said = said
    return redirect("/message", 303)


def message() -> Response:
    """The last answer to a form, as often as it is asked for. Its status is that of what happened."""
    said = visit().said
    return _rendered(said) if said else redirect(PAGES["home"], 303)


def _message(
    title: str, text: str, status: int, onward: tuple[str, str] | None = None, headers: Mapping[str, str] = NONE
) -> Said:
    return Said("message.html", {"title": title, "text": text, "onward": onward}, status, headers)


def _rendered(said: Said) -> Response:
    return make_response(render_template(said.template, **said.values), said.status, said.headers)


def _retry_after(seconds: int | None) -> dict[str, str]:
    return {"Retry-After": str(seconds)} if seconds else {}


def wanted_page() -> str:
    """The portal page that was asked for, by its name."""
    return next((name for name, path in PAGES.items() if path == request.path), "home")
