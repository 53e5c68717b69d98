"""The pages of somebody who is signed in: where, for how long, and out; and the short answers behind a redirect.

Looking keeps nobody signed in. The script of the session page asks `state`, which extends nothing either; only the
button does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from authsvc.i18n import LANGUAGES, Language
from authsvc.model import BrowserSession, SessionInfo
from authsvc.web.browser.render import language_of
from authsvc.web.browser.static_pages import Page
from authsvc.web.endpoint import Reply, json_reply
from authsvc.web.oauth.logout import SIGNED_OUT
from authsvc.web.pages.page_request import READS, Handler, PageRequest, PageRequests

SESSION = "/p/{practice}/session"
STATE = "/p/{practice}/session/state"
SIGN_OUT = "/p/{practice}/sign-out"
SAID = {
    "/p/{practice}/sent": "sent",
    "/p/{practice}/contact": "contact",
    "/p/{practice}/signed-out": "signed_out",
}
"""path → what the page says. They stand behind a 303, so that their addresses tell nothing."""

_SID = re.compile(r"[A-Za-z0-9_-]{22}")


class SessionPages:
    """The browser's sign-in, to be seen, kept and ended."""

    def __init__(self, visits: PageRequests) -> None:
        self._visits = visits
        self._signins = visits.service.browser_sessions
        self._clock = visits.service.clock
        self._idle_s = visits.service.settings.session_idle_s

    def routes(self) -> dict[str, Page]:
        """path → page."""
        page = self._visits.page
        return {
            SESSION: page(self.session),
            STATE: page(self.state, methods=READS, told=False),
            SIGN_OUT: page(self.sign_out),
            **{path: page(self._said(kind), methods=READS) for path, kind in SAID.items()},
        }

    # --- there ------------------------------------------------------------------------------------------------------

    def session(self, visit: PageRequest, _: Mapping[str, str]) -> Reply:
        here = self._signins.look(visit.act, visit.browser.sign_in)
        if here is None:
            return self._visits.go(self._visits.path(visit, "sign-in", visit.query))
        if not visit.posted:
            return self._shown(visit, here)
        match visit.form.get("act"):
            case "extend":
                self._signins.extend(visit.act, visit.browser.sign_in)
            case "end" if _SID.fullmatch(visit.form.get("sid", "")):
                self._signins.end(visit.act, here, visit.form["sid"])
            case "end-others":
                self._signins.end_others(visit.act, here)
        return self._visits.go(self._visits.path(visit, "session", visit.query))

    def state(self, visit: PageRequest, _: Mapping[str, str]) -> Reply:
        """How long the sign-in lasts, for the warning. Raises Unavailable, which isn't "signed out"."""
        here = self._signins.look(visit.act, visit.browser.sign_in)
        if here is None:
            return json_reply(200, {"signed_in": False})
        now_ms = self._clock.now_ms()
        left = {"idle_in": (here.idle_ends_ms - now_ms) // 1000, "ends_in": (here.ends_ms - now_ms) // 1000}
        return json_reply(200, {"signed_in": True, **left})

    def _shown(self, visit: PageRequest, here: BrowserSession) -> Reply:
        speak = LANGUAGES[language_of(visit.environ, visit.practice, here.locale)]
        sign_ins = [one for one in self._signins.list(visit.act, here) if not one.client]
        return self._visits.show(
            visit,
            200,
            "session.html",
            own=here.locale,
            script=True,
            me=here,
            sign_ins=[_told(one, here, speak, visit.practice.time_zone) for one in sign_ins],
            idle_minutes=self._idle_s // 60,
        )

    # --- out --------------------------------------------------------------------------------------------------------

    def sign_out(self, visit: PageRequest, _: Mapping[str, str]) -> Reply:
        """Asks first: another website may have led here. Who isn't signed in has nothing to be asked."""
        signed_out = self._visits.path(visit, "signed-out", visit.query)
        if not visit.browser.sign_in:
            # Not even the cookie is touched: a form on another site comes without it (SameSite=Lax).
            return self._visits.go(signed_out)
        if visit.posted:
            self._signins.sign_out(visit.act, visit.browser.sign_in)
            reply = self._visits.go(signed_out, [self._visits.browsers.forget_sign_in(visit.practice.id)])
            reply.headers.extend(SIGNED_OUT)
            return reply
        here = self._signins.look(visit.act, visit.browser.sign_in)
        if here is None:
            return self._visits.go(signed_out)
        back = self._visits.path(visit, "session", visit.query)
        return self._visits.show(visit, 200, "sign_out.html", own=here.locale, cancel=back)

    # --- said -------------------------------------------------------------------------------------------------------

    def _said(self, kind: str) -> Handler:
        def page(visit: PageRequest, _: Mapping[str, str]) -> Reply:
            again: dict[str, Any] = {}
            if kind == "signed_out":
                again = {"onward": self._visits.path(visit, "sign-in", visit.query)}
            return self._visits.say(visit, 200, kind, **again)

        return page


def _told(one: SessionInfo, here: BrowserSession, speak: Language, time_zone: str) -> dict[str, Any]:
    """One sign-in as the list shows it."""
    return {
        "id": one.id,
        "here": one.id == here.sid,
        "since": speak.moment(one.created_at_ms, time_zone),
        "last_used": speak.moment(one.last_used_at_ms, time_zone),
    }
