"""How a sign-in begins, and begins again without typing anything twice: by a typed address, for a patient who is known,
or by an emailed link. What was begun waits in the browser, sealed, for its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from authsvc.errors import AuthorizationError, IdempotencyConflict, NoPortalAccess, PatientNotFound
from authsvc.model import AuthorizationRequest, Started
from authsvc.web.browser.cookies import PAGE_ID
from authsvc.web.endpoint import Reply
from authsvc.web.pages.page_request import PageRequest, PageRequests


@dataclass(frozen=True)
class SignInStart:
    """`how`: `email`, `patient` or `link`; `subject` is the address, the patient's id or the link's token. `shown` is
    the address as its owner may see it here, `locale` the patient's own language, where a link or sign-in has proved
    who it is."""

    how: str
    subject: str
    shown: str = ""
    locale: str = ""

    @property
    def masked(self) -> bool:
        return self.how != "email"


@dataclass(frozen=True)
class PendingSignIn:
    """A sign-in that waits for its code on the page `page`; `resent`: the code was sent again."""

    page: str
    challenge: str
    start: SignInStart
    resent: bool = False


class SignInStarter:
    """Begins sign-ins, and keeps them with the browser."""

    def __init__(self, visits: PageRequests) -> None:
        self._visits = visits
        self._service = visits.service

    def begin(self, visit: PageRequest, start: SignInStart, instead_of: str = "") -> Reply:
        """Send a code, and go to the page where it is typed. `instead_of`: the page of one that is over.

        Raises InvalidInput, RateLimited; LinkUnknown and LinkGone; Declined where the patient can't be sent a code.
        """
        try:
            started = self._started(visit, start)
        except (PatientNotFound, NoPortalAccess):
            if visit.asked is None:
                return self._visits.go(self._visits.path(visit, "contact"))
            raise unmet(visit.asked, "The patient can't be sent a code") from None
        if started.email_hint:
            start = SignInStart(start.how, start.subject, started.email_hint, start.locale)
        page = self._visits.browsers.new_page()
        cookies = self.keep(visit, PendingSignIn(page, started.challenge, start))
        if instead_of:
            cookies.append(self._visits.browsers.forget_pending(visit.practice.id, instead_of))
        return self._visits.go(self._visits.path(visit, f"code/{page}", visit.query), cookies)

    def _started(self, visit: PageRequest, start: SignInStart) -> Started:
        """A double click sends the same form twice: one mail, and the same sign-in for both."""
        once_only(visit, start.how, start.subject, visit.chosen_locale or "")
        try:
            return self._sent(visit, start)
        except IdempotencyConflict:
            visit.act.idempotency_key = None  # typed anew on a page that came from the browser's own memory
            return self._sent(visit, start)

    def _sent(self, visit: PageRequest, start: SignInStart) -> Started:
        if start.how == "link":
            started = self._service.links.exchange(visit.act, start.subject)
            if not isinstance(started, Started):
                raise TypeError("an instant link doesn't begin a sign-in")
            return started
        return self._service.codes.start(visit.act, **{start.how: start.subject}, locale=visit.chosen_locale)

    # --- with the browser -------------------------------------------------------------------------------------------

    def keep(self, visit: PageRequest, waiting: PendingSignIn) -> list[str]:
        """The cookies that keep it."""
        start = waiting.start
        fields: dict[str, Any] = {"h": waiting.challenge, "how": start.how, "s": start.subject, "r": waiting.resent}
        if start.masked:
            fields |= {"shown": start.shown, "loc": start.locale}
        return self._visits.browsers.keep_pending(visit.browser, visit.practice.id, waiting.page, fields)

    def kept(self, visit: PageRequest, page: str) -> PendingSignIn | None:
        """What waits for a code on this page of this browser."""
        fields = self._visits.browsers.pending(visit.browser, visit.practice.id, page)
        if fields is None:
            return None
        subject = fields["s"]
        start = SignInStart(fields["how"], subject, fields.get("shown", subject), fields.get("loc", ""))
        return PendingSignIn(page, fields["h"], start, fields["r"])


def once_only(visit: PageRequest, *said: str) -> None:
    """Let this act happen once for the form that was shown, however often it is sent. `said` is what it says."""
    once = visit.form.get("once", "")
    if PAGE_ID.fullmatch(once):
        visit.act.idempotency_key = f"{visit.browser.id}.{once}"
        visit.act.fingerprint = sha256("\n".join(said).encode()).digest()


def unmet(asked: AuthorizationRequest, description: str) -> AuthorizationError:
    """The patient didn't sign in. A client that asked for a certain way of it hears that (RFC 9470 §5)."""
    certain = asked.acr or asked.max_age_s is not None
    error = "unmet_authentication_requirements" if certain else "access_denied"
    return AuthorizationError(asked.redirect_uri, asked.state, error, description)
