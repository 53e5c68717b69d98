"""The code's page, and "Who is signing in?": a proven mailbox becomes a sign-in, and leads on to where it is wanted.

A code counts only in the browser that asked for it: the challenge's handle is in that browser's sealed cookie and
nowhere else, so a code that somebody talks a patient out of is worth nothing (login CSRF, RFC 6819 §4.4.1.8).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parseaddr

from marshmallow import ValidationError

from authsvc.errors import (
    AuthsvcError,
    ChallengeGone,
    InvalidCode,
    InvalidInput,
    LinkGone,
    LinkUnknown,
    NotFound,
    RateLimited,
)
from authsvc.model import BrowserSession, Choice, NewBrowserSession
from authsvc.web.browser.cookies import PAGE_ID
from authsvc.web.browser.static_pages import Page
from authsvc.web.endpoint import Reply
from authsvc.web.fields import PATIENT, Code
from authsvc.web.pages.page_request import PageRequest, PageRequests
from authsvc.web.pages.pending_sign_in import PendingSignIn, SignInStarter, unmet
from authsvc.web.pages.sign_in import other

CODE = "/p/{practice}/code/{page}"
WHO = "/p/{practice}/who/{page}"

_PATIENT = re.compile(PATIENT, re.ASCII)
_DIGITS = Code()


class EnterCodePages:
    """From a code to a sign-in."""

    def __init__(self, visits: PageRequests, starts: SignInStarter) -> None:
        self._visits = visits
        self._starts = starts
        self._service = visits.service
        self._sender = parseaddr(visits.service.settings.mail_from)[1]

    def routes(self) -> dict[str, Page]:
        """path → page."""
        return {
            CODE: self._visits.page(self.code, asks=True, anyone=True),
            WHO: self._visits.page(self.who, asks=True, anyone=True),
        }

    # --- the code ---------------------------------------------------------------------------------------------------

    def code(self, visit: PageRequest, path: Mapping[str, str]) -> Reply:
        """Raises NotFound for what no page of ours is called."""
        waiting = self._waiting(visit, path["page"])
        if waiting is None:
            return self._over(visit)
        match visit.form.get("act"):
            case "cancel" if visit.asked:
                reply = self._visits.finish.declined(unmet(visit.asked, "The patient went back"))
                return self._with(reply, [self._visits.browsers.forget_pending(visit.practice.id, waiting.page)])
            case "again":
                return self._again(visit, waiting)
            case "resend":
                return self._resend(visit, waiting)
        return self._verify(visit, waiting) if visit.posted else self._asking(visit, 200, waiting)

    def _verify(self, visit: PageRequest, waiting: PendingSignIn) -> Reply:
        try:
            code = _DIGITS.deserialize(visit.form.get("code", ""))
        except ValidationError:
            return self._asking(visit, 400, waiting, wrong="malformed")
        try:
            proven = self._service.browser_sessions.verify(visit.act, waiting.challenge, code, visit.browser.sign_in)
        except InvalidCode as wrong:
            self._visits.failures.told(wrong, visit.environ)
            if wrong.attempts_left == 0:
                return self._gone(visit, waiting)
            return self._asking(visit, 400, waiting, wrong="invalid", attempts_left=wrong.attempts_left)
        except ChallengeGone as gone:
            self._visits.failures.told(gone, visit.environ)
            return self._gone(visit, waiting)
        except RateLimited as limited:
            return self._limited(visit, waiting, limited)
        if isinstance(proven, Choice):
            return self._visits.go(self._visits.path(visit, f"who/{waiting.page}", visit.query))
        return self._entered(visit, waiting, proven)

    def _resend(self, visit: PageRequest, waiting: PendingSignIn) -> Reply:
        try:
            self._service.codes.resend(visit.act, waiting.challenge)
        except ChallengeGone as gone:
            self._visits.failures.told(gone, visit.environ)
            return self._gone(visit, waiting)
        except RateLimited as limited:
            soon = limited.violated == ("resend",) and limited.retry_after_s <= self._service.settings.resend_after_s
            return self._limited(visit, waiting, limited, early=soon)
        resent = PendingSignIn(waiting.page, waiting.challenge, waiting.start, resent=True)
        here = self._visits.path(visit, f"code/{waiting.page}", visit.query)
        return self._visits.go(here, self._starts.keep(visit, resent))

    def _limited(
        self, visit: PageRequest, waiting: PendingSignIn, limited: RateLimited, *, early: bool = False
    ) -> Reply:
        self._visits.failures.told(limited, visit.environ)
        retry_s = limited.retry_after_s
        if early:
            return self._asking(visit, 429, waiting, retry_s=retry_s, notice="early")
        return self._asking(visit, 429, waiting, retry_s=retry_s, wrong="limited")

    def _asking(
        self,
        visit: PageRequest,
        status: int,
        waiting: PendingSignIn,
        *,
        wrong: str = "",
        notice: str = "",
        attempts_left: int = 0,
        retry_s: int = 0,
    ) -> Reply:
        start = waiting.start
        return self._visits.show(
            visit,
            status,
            "code.html",
            own=start.locale,
            anyone=True,
            targets=self._visits.finish.targets(visit.practice, visit.asked),
            retry_s=retry_s,
            shown=start.shown,
            masked=start.masked,
            minutes=self._service.settings.code_life_s // 60,
            wrong=wrong,
            attempts_left=attempts_left,
            wait=self._visits.span(visit, retry_s, start.locale) if retry_s else "",
            notice=notice or ("resent" if waiting.resent and not visit.posted else ""),
            sender=self._sender,
            other=other(self._visits, visit),
            cancel=bool(visit.asked),
        )

    # --- who is it? -------------------------------------------------------------------------------------------------

    def who(self, visit: PageRequest, path: Mapping[str, str]) -> Reply:
        """Raises NotFound for what no page of ours is called."""
        waiting = self._waiting(visit, path["page"])
        if waiting is None:
            return self._over(visit)
        if visit.form.get("act") == "again":
            return self._again(visit, waiting)
        try:
            patient = visit.form.get("patient", "")
            if visit.posted and _PATIENT.fullmatch(patient):
                try:
                    return self._entered(visit, waiting, self._chosen(visit, waiting, patient))
                except InvalidInput:
                    pass  # somebody who isn't on the list: it is shown again
            choice = self._service.codes.choices(visit.act, waiting.challenge)
            if not choice.patients:  # nobody of them may sign in any more
                return self._gone(visit, waiting)
        except ChallengeGone as gone:
            if gone.reason == "unproven":
                return self._visits.go(self._visits.path(visit, f"code/{waiting.page}", visit.query))
            self._visits.failures.told(gone, visit.environ)
            return self._gone(visit, waiting)
        return self._visits.show(
            visit,
            400 if visit.posted else 200,
            "who.html",
            own=waiting.start.locale,
            anyone=True,
            targets=self._visits.finish.targets(visit.practice, visit.asked),
            patients=choice.patients,
            wrong=visit.posted,
        )

    def _chosen(self, visit: PageRequest, waiting: PendingSignIn, patient: str) -> NewBrowserSession:
        return self._service.browser_sessions.choose(visit.act, waiting.challenge, patient, visit.browser.sign_in)

    # --- onward -----------------------------------------------------------------------------------------------------

    def _entered(self, visit: PageRequest, waiting: PendingSignIn, entered: NewBrowserSession) -> Reply:
        """Signed in: whatever comes next, the browser hears of it."""
        try:
            reply = self._visits.finish.after(visit.act, visit.asked, entered.cookie, fresh=True)
        except AuthsvcError as error:
            reply = self._visits.trouble.reply(error, visit.environ, visit.practice)
        browsers, practice_id = self._visits.browsers, visit.practice.id
        return self._with(
            reply,
            [browsers.keep_sign_in(practice_id, entered.cookie), browsers.forget_pending(practice_id, waiting.page)],
        )

    def _over(self, visit: PageRequest) -> Reply:
        """Nothing waits here any more, or never did in this browser. A second click on what has just succeeded goes
        where the first one went."""
        here = self._service.browser_sessions.look(visit.act, visit.browser.sign_in)
        if here and visit.asked and visit.posted and self._just_now(here):
            # What the client wants to be new is: to ask it anew would be to ask for another code.
            return self._visits.finish.after(visit.act, visit.asked, visit.browser.sign_in, fresh=True)
        if here:
            onward = self._visits.authorize(visit) if visit.asked else self._visits.path(visit, "session")
            return self._visits.go(onward)
        again = self._visits.path(visit, "sign-in", visit.query)
        return self._visits.say(visit, 410, "gone", onward=again)

    def _just_now(self, here: BrowserSession) -> bool:
        age_ms = self._service.clock.now_ms() - here.auth_time_ms
        return age_ms <= self._service.limits.replay_window_s * 1000

    def _again(self, visit: PageRequest, waiting: PendingSignIn) -> Reply:
        try:
            return self._starts.begin(visit, waiting.start, instead_of=waiting.page)
        except (LinkUnknown, LinkGone) as dead:
            self._visits.failures.told(dead, visit.environ)
            again = self._visits.path(visit, "sign-in", visit.query)
            return self._visits.say(visit, 410, "gone", onward=again)

    def _gone(self, visit: PageRequest, waiting: PendingSignIn) -> Reply:
        """One button starts again, with the address that is known already."""
        return self._visits.show(
            visit,
            410,
            "message.html",
            own=waiting.start.locale,
            anyone=True,
            targets=self._visits.finish.targets(visit.practice, visit.asked),
            kind="gone",
        )

    def _waiting(self, visit: PageRequest, page: str) -> PendingSignIn | None:
        if not PAGE_ID.fullmatch(page):
            raise NotFound
        return self._starts.kept(visit, page)

    @staticmethod
    def _with(reply: Reply, cookies: list[str]) -> Reply:
        reply.headers.extend(("Set-Cookie", cookie) for cookie in cookies)
        return reply
