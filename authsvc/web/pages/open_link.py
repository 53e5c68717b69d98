"""The page that an emailed link opens.

Mail scanners open every link first, some of them with JavaScript. So GET and HEAD change nothing, ever; a person
presses one button. The address of a link's page holds the token: such a page loads nothing from elsewhere, leads
nowhere but to help, is never cached, and its POST redirects (303) to an address without the token.

An access link leads to a code. An instant link waits for the client whose page finishes it: the browser goes there with
a hint (OpenID Connect Core §4), and the client comes back for a code of its own. Where no client has such a page, the
link isn't spent, and the page says whom to call.
"""

from __future__ import annotations

from flask import Response

from authsvc.errors import LinkGone, LinkUnknown
from authsvc.model import Client, LinkView
from authsvc.text import link_token
from authsvc.web.context import current_service, see_other
from authsvc.web.oauth.authorization_response import origin, with_query
from authsvc.web.pages.page_request import PageRequest
from authsvc.web.pages.page_response import render_form
from authsvc.web.pages.page_view import page_view
from authsvc.web.pages.pending_sign_in import SignInStart, begin, set_idempotency_key

RESENDABLE = ("expired", "used_up")


@page_view(session_bound=False)
def open_link(page: PageRequest, token: str) -> Response:
    """`token` may have more around it: mail programs take the full stop or bracket beside a link for a part of it."""
    service, token = current_service(), link_token(token)
    try:
        if not token:
            raise LinkUnknown
        if page.field("act") == "resend":
            service.links.resend(page.context, token)
            return see_other(page.url("sent"))
        if page.posted:
            return _redeem(page, token)
        return _render(page, service.links.describe(page.context, token))
    except LinkUnknown:
        service.metrics.count("links_opened", state="unknown")
        return _render_dead(page, 404, "unknown")
    except LinkGone as error:
        service.metrics.count("links_opened", state="gone")
        return _render_dead(page, 410, error.reason)


def _render(page: PageRequest, link: LinkView) -> Response:
    current_service().metrics.count("links_opened", state="live")
    client = None if link.access else _client(page, link)
    return render_form(
        page,
        200,
        "open_link.html",
        patient_locale=link.locale,
        session_bound=False,
        form_origins=_form_origins(page, client) if client else (),
        workflow=link.workflow,
        needs_code=link.access,
        email_hint=link.email_hint,
    )


def _render_dead(page: PageRequest, status: int, reason: str) -> Response:
    resendable = reason in RESENDABLE
    return render_form(page, status, "dead_link.html", session_bound=False, reason=reason, resendable=resendable)


def _redeem(page: PageRequest, token: str) -> Response:
    service = current_service()
    set_idempotency_key(page, "press", token)
    try:
        link = service.links.describe(page.context, token)
    except LinkGone as error:
        if error.reason != "used_up":
            raise
        # The other half of a double click may have used it up just now: then it goes where that one went.
        return _to_client(page, *service.authorization_codes.redeem_link(page.context, token, page.browser.id, ""))
    if link.access:
        return begin(page, SignInStart("link", token, link.email_hint, link.locale))
    client = _client(page, link)
    if client is None:
        return see_other(page.url("contact"))
    return _to_client(page, *service.authorization_codes.redeem_link(page.context, token, page.browser.id, client.id))


def _to_client(page: PageRequest, login_hint: str, client_id: str) -> Response:
    """To the client's page, which begins its sign-in with the hint."""
    client = current_service().clients.get(client_id)
    if client is None:
        return see_other(page.url("contact"))
    parameters = {
        "iss": current_service().settings.public_url,
        "login_hint": login_hint,
        "target_link_uri": _target_link_uri(page, client),
    }
    return see_other(with_query(client.initiate_login_uri, parameters))


def _client(page: PageRequest, link: LinkView) -> Client | None:
    """The client whose page finishes the link."""
    return current_service().relying_parties.of(page.practice.id, link.client)


def _target_link_uri(page: PageRequest, client: Client) -> str:
    """Where the client shall go once it knows who it is: the practice's portal, if that is the client's own site. Some
    clients want this parameter (mod_auth_openidc does), and none should be led away from its site."""
    home = origin(client.initiate_login_uri)
    portal = page.practice.portal_url
    return portal if portal and origin(portal) == home else f"{home}/"


def _form_origins(page: PageRequest, client: Client) -> list[str]:
    """Every origin that the browser comes by after the button: to the client, here again, and back to the client."""
    addresses = [client.initiate_login_uri, *client.redirect_uris, page.practice.portal_url]
    return list(dict.fromkeys(origin(address) for address in addresses if address))
