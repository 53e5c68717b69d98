"""The browser's own sign-in at the hosted pages: opened by a code, looked at, kept alive by an act, ended.

It is a session like any other, but grants nothing by itself: clients get sessions of their own under it, with an
authorization code each (`grants.py`), and lose them with it. Its cookie is `<sid>.<secret>`; Redis keeps the secret's
SHA-256. Looking never extends it: a page that asks "still there?" keeps nobody signed in.
"""

from __future__ import annotations

import re
from contextlib import suppress

from authsvc.crypto import mint
from authsvc.errors import NotFound, PatientNotFound
from authsvc.flows.codes import Codes
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.sessions import Sessions
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import (
    BrowserSession,
    Choice,
    IdTokenHint,
    NewBrowserSession,
    RequestContext,
    Session,
    SessionInfo,
)
from authsvc.store.patients import PatientStore
from authsvc.store.sessions import SessionStore
from authsvc.store.values import NO_COOKIE, BrowserCookie

_COOKIE = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{22})")


class BrowserSessions:
    """The use cases of a browser that signs in at our pages. The client of every act is None."""

    def __init__(
        self,
        deps: Dependencies,
        store: SessionStore,
        patients: PatientStore,
        codes: Codes,
        sessions: Sessions,
        token_issuer: TokenIssuer,
    ) -> None:
        self._deps = deps
        self._store = store
        self._patients = patients
        self._codes = codes
        self._sessions = sessions
        self._token_issuer = token_issuer

    # --- sign in ----------------------------------------------------------------------------------------------------

    def verify(
        self, context: RequestContext, challenge: str, code: str, former: str = ""
    ) -> NewBrowserSession | Choice:
        """Sign in with a code. `former` is the cookie that the browser held: that session is replaced.

        Raises InvalidCode, ChallengeGone, RateLimited, Unavailable.
        """
        opened = self._codes.open_session(context, challenge, code, former=parse_cookie(former))
        return opened if isinstance(opened, Choice) else self._opened(context, challenge, opened)

    def choose(self, context: RequestContext, challenge: str, patient: str, former: str = "") -> NewBrowserSession:
        """Sign in as one of the proven mailbox's patients, or to act for a dependent of one of them.

        Raises InvalidInput, ChallengeGone, RateLimited.
        """
        session = self._codes.choose_session(context, challenge, patient, parse_cookie(former))
        return self._opened(context, challenge, session)

    def _opened(self, context: RequestContext, challenge: str, session: Session) -> NewBrowserSession:
        nonce = self._token_issuer.nonce(context.practice.id, challenge, session.id)
        return NewBrowserSession(f"{session.id}.{mint.b64u(nonce)}", session.id, session.patient)

    # --- signed in --------------------------------------------------------------------------------------------------

    def get(self, context: RequestContext, cookie: str) -> BrowserSession | None:
        """The session that this cookie names; None for an old, ended or foreign one. Changes nothing."""
        name = parse_cookie(cookie)
        found = self._store.of_browser(context, name) if name != NO_COOKIE else None
        if found is None:
            return None
        session, practice = found.session, context.practice.id
        idle_ms = self._deps.settings.session_idle_s * 1000
        return BrowserSession(
            sid=session.id,
            patient=session.patient,
            label=self._deps.personal_data.unseal(practice, "label", found.label, session.patient),
            locale=found.locale,
            hint=self._deps.personal_data.email_hint(practice, found.address, session.person),
            auth_time_ms=session.opened_ms,
            last_used_ms=session.used_ms,
            idle_ends_ms=min(session.used_ms + idle_ms, session.expires_ms),
            ends_ms=session.expires_ms,
            guardian=session.guardian,
        )

    def contact(self, context: RequestContext, patient: str) -> tuple[str, str] | None:
        """The masked address that a patient's code would go to (empty where a webhook carries it to somebody without
        one), and the patient's language; None where none could."""
        found = self._patients.contact(context, patient)
        if not found.address and (not found.patient or context.practice.delivery != "webhook"):
            return None
        return self._deps.personal_data.email_hint(context.practice.id, found.address, found.patient), found.locale

    def extend(self, context: RequestContext, cookie: str) -> bool:
        """The patient is still there: the idle time begins anew, the absolute end stays. False when it was too late.

        Raises RateLimited.
        """
        name = parse_cookie(cookie)
        if name == NO_COOKIE:
            return False
        return self._store.extend(context, name, self._deps.rate_limits.of_caller(context, "exchange-network"))

    def list(self, context: RequestContext, here: BrowserSession) -> list[SessionInfo]:
        """Where else this person is signed in, and here; newest first."""
        found = self._sessions.list(context, here.person)
        return [session for session in found if (session.guardian or session.patient) == here.person]

    # --- sign out ---------------------------------------------------------------------------------------------------

    def end_client_session(self, context: RequestContext, hint: IdTokenHint) -> None:
        """End the client session that an ID token names, and nothing else; the client is told like of any end."""
        with suppress(NotFound, PatientNotFound):
            self._sessions.end(context, hint.patient, hint.sid, client=hint.client)

    def end(self, context: RequestContext, whose: BrowserSession, sid: str) -> None:
        """End one of this person's sessions, from any of them. One that is over already is just that."""
        with suppress(NotFound, PatientNotFound):
            self._sessions.end(context, whose.person, sid)

    def end_others(self, context: RequestContext, here: BrowserSession) -> int:
        """End all of this person's sessions but this one; how many that were."""
        return self._sessions.end_all(context, here.person, keep=here.sid)

    def sign_out(self, context: RequestContext, cookie: str) -> bool:
        """End this browser's session, and with it what its clients have. False when there was none."""
        here = self.get(context, cookie)
        if here is None:
            return False
        self.end(context, here, here.sid)
        return True


def parse_cookie(cookie: str) -> BrowserCookie:
    """The sid and the secret's digest in a browser session's cookie; `NO_COOKIE` for anything that can't be one."""
    parts = _COOKIE.fullmatch(cookie)
    return BrowserCookie(parts[1], mint.digest(parts[2])) if parts else NO_COOKIE
