"""The hosted pages, all of them, with what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authsvc.web.browser.error_pages import ErrorPages
from authsvc.web.browser.static_pages import Page
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.errors import ErrorHandler
from authsvc.web.pages.enter_code import EnterCodePages
from authsvc.web.pages.open_link import OpenLinkPage
from authsvc.web.pages.page_request import PageRequests
from authsvc.web.pages.pending_sign_in import SignInStarter
from authsvc.web.pages.session import SessionPages
from authsvc.web.pages.sign_in import SignInPage

if TYPE_CHECKING:
    from authsvc.wiring import Service


def routes(service: Service, peers: ClientIpResolver, failures: ErrorHandler, trouble: ErrorPages) -> dict[str, Page]:
    """path → page."""
    visits = PageRequests(service, peers, failures, trouble)
    starts = SignInStarter(visits)
    return {
        **SignInPage(visits, starts).routes(),
        **EnterCodePages(visits, starts).routes(),
        **OpenLinkPage(visits, starts).routes(),
        **SessionPages(visits).routes(),
    }
