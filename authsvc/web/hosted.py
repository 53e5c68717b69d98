"""The hosted pages, all of them, with what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authsvc.web.failures import Failures
from authsvc.web.landing import LandingPage
from authsvc.web.paper import Page
from authsvc.web.peers import Peers
from authsvc.web.proving import ProvingPages
from authsvc.web.session import SessionPages
from authsvc.web.signin import SignInPage
from authsvc.web.starts import Starts
from authsvc.web.trouble import Trouble
from authsvc.web.visits import Visits

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
