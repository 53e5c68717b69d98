"""Where an emailed link lands.

Mail scanners open every link first, some of them with JavaScript. So GET and HEAD change nothing, ever; a person
presses one button. The address of a link's page holds the token: such a page loads nothing from elsewhere, leads
nowhere but to help, is never kept, and its POST redirects (303) to an address without the token.

An access link leads to a code. An instant link waits for the client whose page finishes it: the browser goes there with
a hint (OpenID Connect Core §4), and the client comes back for a code of its own. Where no client has such a page, the
link isn't spent, and the page says whom to call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from authsvc.errors import LinkGone, LinkUnknown
from authsvc.model import Client, LinkView
from authsvc.web.browser.static_pages import Page
from authsvc.web.endpoint import Reply
from authsvc.web.fields import SECRET
from authsvc.web.oauth.authorization_response import origin, with_query
from authsvc.web.pages.page_request import PageRequest, PageRequests
from authsvc.web.pages.pending_sign_in import SignInStart, SignInStarter, once_only

LINK = "/p/{practice}/l/{token}"
RESENDABLE = ("expired", "used_up")

_TOKEN = re.compile(SECRET)


class OpenLinkPage:
    """The page of a link."""

    def __init__(self, visits: PageRequests, starts: SignInStarter) -> None:
        self._visits = visits
        self._starts = starts
        self._service = visits.service

    def routes(self) -> dict[str, Page]:
        """path → page."""
        return {LINK: self._visits.page(self.link, anyone=True)}

    def link(self, visit: PageRequest, path: Mapping[str, str]) -> Reply:
        token = path["token"]
        try:
            if not _TOKEN.fullmatch(token):
                raise LinkUnknown
            if visit.form.get("act") == "resend":
                self._service.links.resend(visit.act, token)
                return self._visits.go(self._visits.path(visit, "sent", visit.query))
            if visit.posted:
                return self._pressed(visit, token)
            return self._shown(visit, self._service.links.peek(visit.act, token))
        except LinkUnknown:
            self._service.metrics.count("links_opened", state="unknown")
            return self._dead(visit, 404, "unknown")
        except LinkGone as gone:
            self._service.metrics.count("links_opened", state="gone")
            return self._dead(visit, 410, gone.reason)

    # --- looking ----------------------------------------------------------------------------------------------------

    def _shown(self, visit: PageRequest, seen: LinkView) -> Reply:
        self._service.metrics.count("links_opened", state="live")
        target = None if seen.access else self._target(visit, seen)
        return self._visits.show(
            visit,
            200,
            "link.html",
            own=seen.locale,
            anyone=True,
            targets=_origins(visit, target) if target else (),
            workflow=seen.workflow,
            access=seen.access,
            hint=seen.email_hint,
        )

    def _dead(self, visit: PageRequest, status: int, reason: str) -> Reply:
        return self._visits.show(
            visit, status, "dead_link.html", anyone=True, reason=reason, resendable=reason in RESENDABLE
        )

    # --- pressing ---------------------------------------------------------------------------------------------------

    def _pressed(self, visit: PageRequest, token: str) -> Reply:
        once_only(visit, "press", token)
        try:
            seen = self._service.links.peek(visit.act, token)
        except LinkGone as gone:
            if gone.reason != "used_up":
                raise
            # The other half of a double click may have used it up just now: then it goes where that one went.
            return self._onward(visit, *self._service.authorization_codes.press(visit.act, token, visit.browser.id, ""))
        if seen.access:
            return self._starts.begin(visit, SignInStart("link", token, seen.email_hint, seen.locale))
        target = self._target(visit, seen)
        if target is None:
            return self._visits.go(self._visits.path(visit, "contact", visit.query))
        return self._onward(
            visit, *self._service.authorization_codes.press(visit.act, token, visit.browser.id, target.id)
        )

    def _onward(self, visit: PageRequest, hint: str, target_id: str) -> Reply:
        """To the client's page, which begins its sign-in with the hint."""
        target = self._service.clients.get(target_id)
        if target is None:
            return self._visits.go(self._visits.path(visit, "contact", visit.query))
        said = {
            "iss": self._service.settings.public_url,
            "login_hint": hint,
            "target_link_uri": _home(visit, target),
        }
        return self._visits.go(with_query(target.initiate_login_uri, said))

    def _target(self, visit: PageRequest, seen: LinkView) -> Client | None:
        return self._service.relying_parties.of(visit.practice.id, seen.client)


def _home(visit: PageRequest, target: Client) -> str:
    """Where the client shall go once it knows who it is: the practice's portal, if that is the client's own site. Some
    clients want this parameter (mod_auth_openidc does), and none should be led away from its site."""
    home = origin(target.initiate_login_uri)
    portal = visit.practice.portal_url
    return portal if portal and origin(portal) == home else f"{home}/"


def _origins(visit: PageRequest, target: Client) -> list[str]:
    """Every origin that the browser comes by after the press: to the client, here again, and back to the client."""
    addresses = [target.initiate_login_uri, *target.redirect_uris, visit.practice.portal_url]
    return list(dict.fromkeys(origin(address) for address in addresses if address))
