"""RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0): a client sends the browser here to sign out.

With an ID token that names the very patient who is signed in here, that is done at once: the token is what a forged
request can't have. Without one the patient is asked (§2), by a form of ours. Whoever has signed out goes back only to
an address that the client has registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from flask import Response

from authsvc.errors import MethodNotAllowed, UnregisteredClient
from authsvc.model import Client, IdTokenHint, Practice, RequestContext
from authsvc.web.browser import error_pages
from authsvc.web.browser.cookies import Browser, BrowserCookies
from authsvc.web.browser.render import render_page, request_language
from authsvc.web.client_authentication import CLIENT_ID
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.context import see_other
from authsvc.web.endpoint import REQUEST_INFO, Environ, Headers
from authsvc.web.oauth import authorization_request
from authsvc.web.oauth.authorization_response import origin, with_query

if TYPE_CHECKING:
    from authsvc.wiring import Service

PATH = "/oauth2/logout"
METHODS = ("GET", "POST")
CARRIED = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales")

SIGNED_OUT: Headers = [("Clear-Site-Data", '"cache"')]
"""What the browser kept of our pages goes. Not "cookies": that would reach every site of the practice's domain."""


@dataclass(frozen=True)
class _Leaving:
    """A checked request. `hinted` is whom the ID token names; `onward` where the client wants the browser back."""

    client: Client
    practice: Practice
    hinted: IdTokenHint | None
    onward: str
    fields: dict[str, str]


class Logout:
    """The end-session endpoint."""

    def __init__(self, service: Service, peers: ClientIpResolver) -> None:
        self._service = service
        self._peers = peers
        self._browsers = BrowserCookies(service)
        self._base = urlsplit(service.settings.public_url).path.rstrip("/")

    def answer(self, environ: Environ, _: Mapping[str, str]) -> Response:
        """Raises MethodNotAllowed; everything else is a page or a redirect."""
        if environ["REQUEST_METHOD"] not in METHODS:
            raise MethodNotAllowed(METHODS)
        try:
            form = _form(environ)
            return self._decide(environ, self._leaving(form), form)
        except Exception as error:  # noqa: BLE001 - told on a page where it can be, else raised again
            return error_pages.reply(error)

    def _decide(self, environ: Environ, leaving: _Leaving, form: Mapping[str, str]) -> Response:
        practice = leaving.practice
        environ[REQUEST_INFO].practice, environ[REQUEST_INFO].client = practice.id, leaving.client.id
        browser = self._browsers.browser(practice.id)
        act = self._act(environ, practice)
        here = self._service.browser_sessions.look(act, browser.session)
        if environ["REQUEST_METHOD"] == "POST" and not self._browsers.is_own_form(practice.id, form):
            # From another site it comes without our cookies (SameSite=Lax): as a GET they are there.
            return see_other(f"{self._base}{PATH}?{urlencode(leaving.fields)}")
        known = here is None or (leaving.hinted is not None and leaving.hinted.patient == here.patient)
        if not known and environ["REQUEST_METHOD"] != "POST":
            return self._ask(browser, leaving)
        if leaving.hinted and leaving.hinted.sid:
            # The browser may have lost its cookie, or be signed in anew: what the client has rests on an older sign-in.
            self._service.browser_sessions.end(act, leaving.hinted, leaving.hinted.sid)
            act = self._act(environ, practice)  # an act ends one thing: the same id again would only be told so
        return self._gone(leaving) if here is None else self._sign_out(act, browser, leaving)

    def _act(self, environ: Environ, practice: Practice) -> RequestContext:
        return self._service.act(
            practice, client_ip=self._peers.of(environ), request_id=environ[REQUEST_INFO].request_id
        )

    def _sign_out(self, act: RequestContext, browser: Browser, leaving: _Leaving) -> Response:
        self._service.browser_sessions.sign_out(act, browser.session)
        response = self._gone(leaving)
        self._browsers.delete_session(response, leaving.practice.id)
        response.headers.extend(SIGNED_OUT)
        return response

    def _gone(self, leaving: _Leaving) -> Response:
        where = leaving.onward or f"{self._base}/p/{leaving.practice.id}/signed-out"
        return see_other(where)

    def _ask(self, browser: Browser, leaving: _Leaving) -> Response:
        response = render_page(
            "sign_out.html",
            200,
            leaving.practice,
            request_language(leaving.practice),
            form_origins=[origin(leaving.onward)] if leaving.onward else [],
            action=f"{self._base}{PATH}",
            fields=leaving.fields,
            csrf=self._browsers.csrf_token(browser, leaving.practice.id, session_bound=True),
            cancel_url=f"{self._base}/p/{leaving.practice.id}/session",
        )
        self._browsers.set_browser(response, browser)
        return response

    def _leaving(self, form: Mapping[str, str]) -> _Leaving:
        """Raises UnregisteredClient for whatever doesn't fit together: then there is nowhere to send the browser.

        An ID token that we can't check proves nothing, and so the patient is asked: a sign-in may be older than the
        keys that are left after a rotation, and nobody shall be unable to sign out for that.
        """
        token, client_id = form.get("id_token_hint", ""), form.get("client_id", "")
        hinted = self._service.authorization_codes.hinted(token) if token else None
        client_id = client_id or (hinted.client if hinted else self._service.authorization_codes.unproven(token))
        client = self._service.clients.get(client_id) if CLIENT_ID.fullmatch(client_id) else None
        if client is None or not client.redirect_uris or (hinted and hinted.client != client.id):
            raise UnregisteredClient("client_id")
        practice = self._service.practices.get(client.practices[0])
        if practice is None or (hinted and hinted.practice != practice.id):
            raise UnregisteredClient("client_id")
        onward = form.get("post_logout_redirect_uri", "")
        if onward and onward not in client.post_logout_uris:
            raise UnregisteredClient("post_logout_redirect_uri")
        if onward and form.get("state"):
            onward = with_query(onward, {"state": form["state"]})
        fields = {name: form[name] for name in CARRIED if form.get(name)}
        return _Leaving(client, practice, hinted, onward, fields)


def _form(environ: Environ) -> dict[str, str]:
    """The parameters, each at most once. Raises UnregisteredClient for what can't be read."""
    pairs = authorization_request.pairs(environ)
    form = dict(pairs)
    if len(form) != len(pairs):
        raise UnregisteredClient("repeated parameter")
    return form
