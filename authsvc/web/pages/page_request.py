"""One request to a hosted page, read once: at which practice, what a client asks, which browser, in which language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import request, url_for

from authsvc.errors import InvalidInput, UnregisteredClient
from authsvc.model import AuthorizationRequest, Practice, RequestContext
from authsvc.web import parsing
from authsvc.web.browser.cookies import Browser, BrowserCookies
from authsvc.web.browser.render import request_language
from authsvc.web.context import current_service, request_context, request_info
from authsvc.web.oauth import authorization_request


@dataclass(frozen=True)
class PageRequest:
    """`query` is what every address on the way in carries along: the client's request (`authorization`), or at least
    the language that was asked for. `form` is what a POST of ours sent."""

    practice: Practice
    browser: Browser
    cookies: BrowserCookies
    context: RequestContext
    query: str = ""
    authorization: AuthorizationRequest | None = None
    form: Mapping[str, str] | None = None

    @property
    def posted(self) -> bool:
        return self.form is not None

    def field(self, name: str) -> str:
        """What was sent for this field of the form; empty if nothing was."""
        return self.form.get(name, "") if self.form else ""

    @property
    def mail_locale(self) -> str | None:
        """The language that was asked for by name, for the mails too: the same for whoever is meant."""
        asked = dict(parsing.parse_pairs(self.query)).get("ui_locales")
        return request_language(self.practice).tag if asked else None

    def url(self, view: str, query: str | None = None, **values: Any) -> str:
        """The address of another page of this practice, by its view; with what is carried along unless `query` is
        given. Nothing of it comes from the Host header."""
        query = self.query if query is None else query
        path = url_for(f"pages.{view}", practice=self.practice.id, **values)
        return f"{path}?{query}" if query else path


def read(practice: Practice, *, takes_authorization: bool) -> PageRequest:
    """The request as a page of this practice sees it; `takes_authorization`: its address may carry a client's
    authorization request. Raises AuthorizationError, UnregisteredClient, TooLarge."""
    authorization, query = _authorization(practice) if takes_authorization else (None, _language_query())
    cookies = BrowserCookies(current_service())
    return PageRequest(
        practice=practice,
        browser=cookies.browser(practice.id),
        cookies=cookies,
        context=request_context(practice),
        query=query,
        authorization=authorization,
        form=_form() if request.method == "POST" else None,
    )


def _authorization(practice: Practice) -> tuple[AuthorizationRequest | None, str]:
    """The client's request in this address, checked anew, and the query string to go on with."""
    try:
        pairs = parsing.parse_pairs(request.environ.get("QUERY_STRING", ""))
    except ValueError:
        raise UnregisteredClient("encoding") from None
    if not any(name == "client_id" for name, _ in pairs):
        return None, _language_query()
    authorization = authorization_request.parse(current_service(), pairs, on_page=True)
    if authorization.practice.id != practice.id:
        raise UnregisteredClient("client_id")
    request_info().client = authorization.client.id
    return authorization, authorization.query


def _language_query() -> str:
    """The language that was asked for, as a query string; nothing else. Mail programs and trackers add to the addresses
    of links what they like: none of it may break one."""
    ui_locales = request.args.get("ui_locales", "")
    return urlencode({"ui_locales": ui_locales}) if authorization_request.LOCALES.fullmatch(ui_locales) else ""


def _form() -> Mapping[str, str]:
    """What was sent; something that no page of ours sends is as good as nothing. Raises TooLarge."""
    environ: Mapping[str, Any] = request.environ
    try:
        return parsing.parse_form(parsing.read(environ), environ)
    except InvalidInput:
        return {}
