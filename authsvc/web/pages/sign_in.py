"""The sign-in page: one field for the address, or, where it is known who is meant, one button.

What it answers to a typed address says nothing about whether anybody has it. Nothing is kept here for a visitor: the
client's request stays in the address, the sign-in that waits for its code in the browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from authsvc.errors import InvalidInput, RateLimited
from authsvc.model import AuthorizationRequest
from authsvc.web import parsing
from authsvc.web.browser.static_pages import Page
from authsvc.web.endpoint import Reply
from authsvc.web.pages.page_request import PageRequest, PageRequests
from authsvc.web.pages.pending_sign_in import SignInStart, SignInStarter, unmet

SIGN_IN = "/p/{practice}/sign-in"
SHOWN_CHARS = 254  # of what was typed: no address is longer

AFRESH = frozenset({"login", "consent"})
"""Prompts that whoever is signed in answers with a code. `select_account` asks who it is instead."""


class SignInPage:
    """Where a sign-in begins."""

    def __init__(self, visits: PageRequests, starts: SignInStarter) -> None:
        self._visits = visits
        self._starts = starts
        self._service = visits.service

    def routes(self) -> dict[str, Page]:
        """path → page."""
        return {SIGN_IN: self._visits.page(self.page, asks=True, anyone=True)}

    def page(self, visit: PageRequest, _: Mapping[str, str]) -> Reply:
        if visit.asked is None and self._service.browser_sessions.look(visit.act, visit.browser.sign_in):
            return self._visits.go(self._visits.path(visit, "session"))
        if visit.form.get("act") == "cancel" and visit.asked:
            raise unmet(visit.asked, "The patient went back")
        known = self._known(visit, visit.asked) if visit.asked else None
        if not visit.posted:
            return self._shown(visit, 200, known)
        typed = visit.form.get("email", "").strip(" \t\r\n")
        start = known if known and not typed else SignInStart("email", typed)
        try:
            return self._starts.begin(visit, start)
        except InvalidInput:
            return self._shown(visit, 400, known, typed, wrong="email")
        except RateLimited as limited:
            self._visits.failures.told(limited, visit.environ)
            return self._shown(visit, 429, known, typed, wrong="busy", retry_s=limited.retry_after_s)

    def _known(self, visit: PageRequest, asked: AuthorizationRequest) -> SignInStart | None:
        """Whom a code can be sent to without asking for an address: who has pressed a link that isn't enough for what
        the client wants (else it would have its code already), who is signed in and has to prove it again, or whom an
        ID token of the client's names."""
        if "select_account" in asked.prompt:
            return None
        found = []
        if asked.login_hint:
            landing = self._service.authorization_codes.landing(visit.act, asked.login_hint, visit.browser.id)
            if landing and landing.email_hint and landing.target == asked.client.id:
                found.append(SignInStart("patient", landing.patient, landing.email_hint, landing.locale))
        if asked.max_age_s is not None or asked.prompt & AFRESH:
            here = self._service.browser_sessions.look(visit.act, visit.browser.sign_in)
            if here:
                found.append(SignInStart("patient", here.patient, here.hint, here.locale))
        if asked.hinted:
            reached = self._service.browser_sessions.reach(visit.act, asked.hinted)
            if reached:
                found.append(SignInStart("patient", asked.hinted, *reached))
        return next((start for start in found if asked.hinted in ("", start.subject)), None)

    def _shown(
        self,
        visit: PageRequest,
        status: int,
        known: SignInStart | None,
        typed: str = "",
        *,
        wrong: str = "",
        retry_s: int = 0,
    ) -> Reply:
        own = known.locale if known else ""
        return self._visits.show(
            visit,
            status,
            "sign_in.html",
            own=own,
            anyone=True,
            targets=self._visits.finish.targets(visit.practice, visit.asked),
            retry_s=retry_s,
            email=typed[:SHOWN_CHARS],
            wrong=wrong,
            wait=self._visits.span(visit, retry_s, own) if retry_s else "",
            known=known.shown if known else "",
            other=other(self._visits, visit) if known else "",
            cancel=bool(visit.asked),
        )


def other(visits: PageRequests, visit: PageRequest) -> str:
    """The sign-in page with its field, for somebody else's address; empty where the client wants a certain patient."""
    if visit.asked is None:
        return visits.path(visit, "sign-in", visit.query)
    if visit.asked.hinted:
        return ""
    kept = [pair for pair in parsing.parse_pairs(visit.query) if pair[0] not in ("login_hint", "prompt")]
    return visits.path(visit, "sign-in", urlencode([*kept, ("prompt", "select_account")]))
