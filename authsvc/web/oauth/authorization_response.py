"""Where a sign-in leads: back to its client with a code or an error (RFC 6749 §4.1.2, RFC 9207), or to the portal.

Every redirect is 303, so that nothing that was posted is posted again elsewhere (RFC 9700 §4.12), and goes to an
address that an operator has registered.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, url_for

from authsvc.errors import AuthorizationError, SignInNeeded, UnregisteredClient
from authsvc.model import AuthorizationRequest, Practice, RequestContext
from authsvc.web.browser import error_pages
from authsvc.web.browser.cookies import BrowserCookies
from authsvc.web.context import current_service, see_other
from authsvc.web.errors import quotable


def finish(
    context: RequestContext, authorization: AuthorizationRequest | None, cookie: str, *, fresh: bool = False
) -> Response:
    """Onward with the browser's session: to the client that asks, else to the practice's portal, else to the page that
    shows the session. `fresh`: the patient proved it just now.

    Raises RateLimited, Unavailable; SignInNeeded where the session doesn't do and there still is something to ask.
    """
    practice = context.practice
    if authorization is None:
        return see_other(practice.portal_url or url_for("pages.session", practice=practice.id))
    try:
        code = current_service().authorization_codes.for_browser_session(context, authorization, cookie, fresh=fresh)
    except SignInNeeded as needed:
        if not fresh:
            raise
        why = "The patient signed in as somebody else" if needed.reason == "other_patient" else "Try again"
        return send_error(login_required(authorization, why))
    return send_code(context, authorization, code, fresh=fresh)


def send_code(
    context: RequestContext, authorization: AuthorizationRequest, code: str, *, fresh: bool = False
) -> Response:
    """To the client with its code, in the context of the code's issue: a 503 here leaves both to the browser's repeat.
    `iss` says who answers, so that a client of several can't be mixed up.

    Raises UnregisteredClient for a pushed request that has had its code.
    """
    if authorization.pushed:
        practice, client = authorization.practice, authorization.client
        browser = BrowserCookies(current_service()).browser(practice.id).id
        pushed = current_service().pushed_requests
        if not pushed.spend(context, client, authorization.pushed, browser, twice=fresh):
            raise UnregisteredClient("request_uri")
    return _to_client(authorization.redirect_uri, {"code": code, "state": authorization.state})


def send_error(error: AuthorizationError) -> Response:
    """To the client with what went wrong."""
    description = quotable(error.description)
    members = {"error": error.error, "error_description": description, "state": error.state}
    return _to_client(error.redirect_uri, members)


def login_required(authorization: AuthorizationRequest, description: str) -> AuthorizationError:
    """OpenID Connect Core §3.1.2.6."""
    return AuthorizationError(authorization.redirect_uri, authorization.state, "login_required", description)


def register_errors(blueprint: Blueprint) -> None:
    """Where a browser is led to, what goes wrong is sent to the client or shown on a page."""
    blueprint.register_error_handler(AuthorizationError, send_error)
    error_pages.register(blueprint)


def form_origins(practice: Practice, authorization: AuthorizationRequest | None) -> list[str]:
    """The origins to which a form of the sign-in may lead, for `form-action`: browsers hold it against the redirects
    that follow a form too.

    The portal of a practice comes back to ask for its code, and gets it at whichever address its client has.
    """
    if authorization:
        return [origin(authorization.redirect_uri)]
    if not practice.portal_url:
        return []
    clients = current_service().relying_parties.of_practice(practice.id)
    addresses = [practice.portal_url, *(address for client in clients for address in client.redirect_uris)]
    return list(dict.fromkeys(origin(address) for address in addresses))


def _to_client(redirect_uri: str, members: dict[str, str]) -> Response:
    sent = {name: value for name, value in members.items() if value}
    return see_other(with_query(redirect_uri, {**sent, "iss": current_service().settings.public_url}))


def with_query(address: str, members: dict[str, str]) -> str:
    """The address with these members added to its query."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode(members)}"


def origin(address: str) -> str:
    """Where the address is, for `form-action`; of an app its scheme."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
