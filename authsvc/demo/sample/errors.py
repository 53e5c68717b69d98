"""Every "no" in words that help: from what authsvc or the verifier message_ to a sentence, and a page to show it on.

A page of this kind says what happened, that nothing was lost, and what to do now: one link, or the telephone. After a
form it waits in the current_session and is opened by GET at `/message`, so that the Back button can come to it again.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask, make_response, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from authsvc.demo.sample.api import Refused, Unavailable
from authsvc.demo.sample.clinic import PAGES
from authsvc.demo.sample.languages import N_, gettext
from authsvc.demo.sample.oidc import SignInRefused
from authsvc.demo.sample.sessions import Message, current_session
from authsvc.demo.sample.tokens import LinkExpired, SignInRequired
from authsvc.verifier import AccessRefused, NoCredentials

SIGN_IN = N_("Sign in")
WITH_A_CODE = N_("Go on with a code")

SIGN_IN_REFUSED = {
    "access_denied": (
        N_("You are not signed in"),
        N_("You went back before the end. Nothing is lost."),
        SIGN_IN,
    ),
    "unmet_authentication_requirements": (
        N_("This page needs a code"),
        N_("Your link opens one thing only. To see this page too, type a code from an email. You need no password."),
        WITH_A_CODE,
    ),
    "login_required": (
        N_("Let us try that again"),
        N_("Did you press a link in an email? Please press it once more. Or sign in here."),
        SIGN_IN,
    ),
    "invalid_grant": (
        N_("Let us try that again"),
        N_("That took a little too long. Nothing is lost."),
        SIGN_IN,
    ),
}
"""OAuth error (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6) → title, text, the words on the link."""

NO_HEADERS: Mapping[str, str] = {}
NO_TOKEN = {"WWW-Authenticate": NoCredentials("no_token_in_this_session").www_authenticate}
"""A 401 always says what it takes (RFC 9110 §15.5.2); browsers pass over it, programs don't."""

OUR_MISTAKE = (
    N_("That did not work"),
    N_("The mistake is ours. Please try again later, or call us."),
)


def init_app(app: Flask) -> None:
    app.register_error_handler(Refused, api_refused)
    app.register_error_handler(SignInRefused, sign_in_refused)
    app.register_error_handler(Unavailable, unavailable)
    app.register_error_handler(SignInRequired, sign_in_required)
    app.register_error_handler(LinkExpired, link_expired)
    app.register_error_handler(AccessRefused, access_refused)
    app.register_error_handler(HTTPException, http_error)
    app.add_url_rule("/message", view_func=last_message)


def waiting_time(seconds: int | None) -> str:
    seconds = seconds or 60
    if seconds < 90:
        return gettext("in %(count)s seconds") % {"count": seconds}
    return gettext("in %(count)s minutes") % {"count": -(-seconds // 60)}


def api_refused(error: Refused) -> Response:
    """The API refused. Apart from a limit it is we who did something wrong: a wrong secret, a missing permission."""
    if error.kind != "rate-limited":
        return page(*OUR_MISTAKE, 500)
    text = gettext("There were too many tries just now. Please try again %(when)s. Nothing is lost.") % {
        "when": waiting_time(error.retry_after_s)
    }
    return page(N_("Please wait a little"), text, 429, None, _retry_after(error.retry_after_s))


def sign_in_refused(error: SignInRefused) -> Response:
    """A sign-in that came to nothing."""
    if error.code not in SIGN_IN_REFUSED:
        return page(*OUR_MISTAKE, 500)
    title, text, words = SIGN_IN_REFUSED[error.code]
    return page(title, text, 403, sign_in_link(error.next_page, words))


def unavailable(error: Unavailable) -> Response:
    text = N_("We could not reach our sign-in service. Nothing is lost. Please try again in a moment.")
    return page(N_("One moment, please"), text, 503, None, _retry_after(error.retry_after_s))


def sign_in_required(_: SignInRequired) -> Response:
    return show(Message("sign_in_first.html", {"page": requested_page()}, 401, NO_TOKEN))


def link_expired(_: LinkExpired) -> Response:
    text = N_(
        "To keep your data safe we close this page after ten minutes. Press the link in our email to open it again."
    )
    return page(N_("This page has closed"), text, 401, None, NO_TOKEN)


def access_refused(refusal: AccessRefused) -> Response:
    """The verifier's answer, as it stands (RFC 6750, RFC 9470), on a page that leads on."""
    challenge = {"WWW-Authenticate": refusal.www_authenticate}
    if refusal.status == 401:
        return show(Message("step_up.html", {"page": requested_page()}, 401, challenge))
    if refusal.reason == "acting":
        text = N_("You are acting for somebody else now. This one can only be done for yourself.")
        return page(N_("Only for yourself"), text, 403, ("/switch", N_("Switch person")), challenge)
    text = N_("Your link opens one thing only, and this is another one. With a code you see all that is yours.")
    return page(N_("This is not open here"), text, 403, sign_in_link(words=WITH_A_CODE), challenge)


def http_error(error: HTTPException) -> Response:
    """A request that none of our pages makes. It is answered on the spot: a forged form must leave nothing behind."""
    title, text = OUR_MISTAKE
    if error.code == 400:
        title, text = (
            N_("Please try once more"),
            N_("This page was open for too long. Go back, reload it and press again."),
        )
    elif error.code in (404, 405):
        title, text = N_("There is nothing here"), N_("The address may have a mistake in it.")
    return _rendered(_message(title, text, error.code or 500))


def page(
    title: str, text: str, status: int, link: tuple[str, str] | None = None, headers: Mapping[str, str] = NO_HEADERS
) -> Response:
    """The page for this answer; `link` to go on by is (address, words)."""
    return show(_message(title, text, status, link, headers))


def sign_in_link(next_page: str = "", words: str = SIGN_IN) -> tuple[str, str]:
    return f"/sign-in?to={next_page or 'home'}", words


def show(message: Message) -> Response:
    """Show it; after a form, by a 303 to where it can be opened again."""
    if request.method != "POST":
        return _rendered(message)
    current_session().message = message
    return redirect("/message", 303)


def last_message() -> Response:
    """The last answer to a form, as often as it is asked for. Its status is that of what happened."""
    message = current_session().message
    return _rendered(message) if message else redirect(PAGES["home"], 303)


def _message(
    title: str, text: str, status: int, link: tuple[str, str] | None = None, headers: Mapping[str, str] = NO_HEADERS
) -> Message:
    address, words = link or ("", "")
    values = {"title": gettext(title), "text": gettext(text), "link": link and (address, gettext(words))}
    return Message("message.html", values, status, headers)


def _rendered(message: Message) -> Response:
    return make_response(render_template(message.template, **message.values), message.status, message.headers)


def _retry_after(seconds: int | None) -> dict[str, str]:
    return {"Retry-After": str(seconds)} if seconds else {}


def requested_page() -> str:
    """The portal page that was asked for, by its name."""
    return next((name for name, path in PAGES.items() if path == request.path), "home")
