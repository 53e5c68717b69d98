"""The authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2): where a client sends a patient's browser.

A sign-in that does for what is asked gets its code at once; a link that the browser has pressed gets its own. Whatever
needs the patient goes on to the sign-in page, with the request in its address. Nothing is asked here, so nothing can be
framed or forged here; and nothing but a code, worth nothing without its verifier, is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Response

from authsvc.errors import AuthorizationError, LinkGone, MethodNotAllowed, SignInNeeded
from authsvc.model import AuthorizationRequest, RequestContext
from authsvc.web.browser import error_pages
from authsvc.web.browser.cookies import Browser, BrowserCookies
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.endpoint import REQUEST_INFO, Environ, Reply
from authsvc.web.oauth import authorization_request
from authsvc.web.oauth.authorization_response import Finish

if TYPE_CHECKING:
    from authsvc.wiring import Service

PATH = "/oauth2/authorize"
METHODS = ("GET", "POST")  # no HEAD: it would mint a code that nobody reads

AGAIN = frozenset({"login", "consent", "select_account"})
"""Prompts that want the patient to act, whoever is signed in. The practice decides what its client may do, so there is
no consent to ask for; a code typed anew is the nearest to it."""


class Authorize:
    """The endpoint. It has no page of its own but for errors."""

    def __init__(self, service: Service, peers: ClientIpResolver) -> None:
        self._service = service
        self._peers = peers
        self._finish = Finish(service)
        self._browsers = BrowserCookies(service)
        self._base = urlsplit(service.settings.public_url).path.rstrip("/")

    def answer(self, environ: Environ, _: Mapping[str, str]) -> Reply | Response:
        """Raises MethodNotAllowed; everything else is a page or a redirect."""
        method = environ["REQUEST_METHOD"]
        if method not in METHODS:
            raise MethodNotAllowed(METHODS)
        try:
            asked = authorization_request.parse(self._service, authorization_request.pairs(environ))
            environ[REQUEST_INFO].practice, environ[REQUEST_INFO].client = asked.practice.id, asked.client.id
            if method == "POST":
                # From another site it comes without our cookies (SameSite=Lax): as a GET they are there.
                return Reply(303, [("Location", f"{self._base}{PATH}?{asked.query}")])
            return self._decide(environ, asked)
        except AuthorizationError as declined:
            return self._finish.declined(declined)
        except Exception as error:  # noqa: BLE001 - told on a page where it can be, else raised again
            return error_pages.reply(error)

    def _decide(self, environ: Environ, asked: AuthorizationRequest) -> Reply:
        browser = self._browsers.browser(asked.practice.id)
        act = self._service.act(
            asked.practice, client_ip=self._peers.of(environ), request_id=environ[REQUEST_INFO].request_id
        )
        # A maximum age of nothing is prompt=login in other words, whatever the clocks of our instances say.
        again = bool(asked.prompt & AGAIN) or asked.max_age_s == 0
        if asked.login_hint and asked.acr != "extra" and not again:
            try:
                return self._finish.granted(
                    asked, self._service.authorization_codes.for_landing(act, asked, browser.id)
                )
            except (SignInNeeded, LinkGone) as error:
                if error.reason != "max_age":
                    raise _declined(asked, "The link was used up on the way: it has to be opened again") from None
                again = True
        if not again:
            try:
                return self._finish.after(act, self._meant(act, asked, browser), browser.session)
            except SignInNeeded:
                pass
        if "none" in asked.prompt:
            raise _declined(asked, "Somebody has to sign in")
        return self._finish.to_sign_in(asked)

    def _meant(self, act: RequestContext, asked: AuthorizationRequest, browser: Browser) -> AuthorizationRequest:
        """A pressed link that isn't enough is for its own patient, not for who happens to be signed in here."""
        landing = self._service.authorization_codes.landing(act, asked.login_hint, browser.id)
        if landing is None or landing.target != asked.client.id or asked.hinted:
            return asked
        return replace(asked, hinted=landing.patient)


def _declined(asked: AuthorizationRequest, description: str) -> AuthorizationError:
    return AuthorizationError(asked.redirect_uri, asked.state, "login_required", description)
