"""The hosted pages, all of them, with what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authsvc.web.failures import Failures
from authsvc.web.pages.landing import LandingPage
from authsvc.web.pages.proving import ProvingPages
from authsvc.web.pages.session import SessionPages
from authsvc.web.pages.signin import SignInPage
from authsvc.web.pages.starts import Starts
from authsvc.web.pages.trouble import Trouble
from authsvc.web.pages.visits import Visits
from authsvc.web.paper import Page
from authsvc.web.peers import Peers

if TYPE_CHECKING:
    from authsvc.wiring import Service


def routes(service: Service, peers: Peers, failures: Failures, trouble: Trouble) -> dict[str, Page]:
    """path → page."""
    visits = Visits(service, peers, failures, trouble)
    starts = Starts(visits)
    return {
        **SignInPage(visits, starts).routes(),
        **ProvingPages(visits, starts).routes(),
        **LandingPage(visits, starts).routes(),
        **SessionPages(visits).routes(),
    }
