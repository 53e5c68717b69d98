"""The browser's own sign-in at the hosted pages: opened by a code, looked at, kept alive by an act, ended.

It is a session like any other, but grants nothing by itself: clients get sessions of their own under it, with an
authorization code each (`grants.py`), and lose them with it. Its cookie is `<sid>.<secret>`; Redis keeps the secret's
SHA-256. Looking never extends it: a page that asks "still there?" keeps nobody signed in.
"""

from __future__ import annotations

import re
from typing import Any

from authsvc.audit import Event
from authsvc.crypto import mint
from authsvc.errors import NotFound, PatientNotFound
from authsvc.flows.codes import Codes
from authsvc.flows.script_runner import ScriptRunner
from authsvc.flows.sessions import Sessions
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import BrowserSession, Choice, IdTokenHint, NewBrowserSession, RequestContext, SessionInfo

_COOKIE = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{22})")


class BrowserSessions:
    """The use cases of a browser that signs in at our pages. The client of every act is None."""

    def __init__(self, runner: ScriptRunner, codes: Codes, sessions: Sessions, token_issuer: TokenIssuer) -> None:
        self._runner = runner
        self._codes = codes
        self._sessions = sessions
        self._token_issuer = token_issuer

    # --- in ---------------------------------------------------------------------------------------------------------

    def verify(
        self, context: RequestContext, challenge: str, code: str, before: str = ""
    ) -> NewBrowserSession | Choice:
        """Sign in with a code. `before` is the cookie that the browser held: that sign-in is succeeded.

        Raises InvalidCode, ChallengeGone, RateLimited, Unavailable.
        """
        proven = self._codes.prove(context, challenge, code, before=named(before) or None)
        return proven if isinstance(proven, Choice) else self._entered(context, challenge, proven)

    def choose(self, context: RequestContext, challenge: str, patient: str, before: str = "") -> NewBrowserSession:
        """Say who of the proven mailbox's patients it is. Raises InvalidInput, ChallengeGone, RateLimited."""
        return self._entered(
            context, challenge, self._codes.chosen(context, challenge, patient, before=named(before) or None)
        )

    def _entered(self, context: RequestContext, challenge: str, session: dict[str, str]) -> NewBrowserSession:
        nonce = self._token_issuer.nonce(context.practice.id, challenge, session["id"])
        return NewBrowserSession(f"{session['id']}.{mint.b64u(nonce)}", session["id"], session["p"])

    # --- there ------------------------------------------------------------------------------------------------------

    def look(self, context: RequestContext, cookie: str) -> BrowserSession | None:
        """Who is signed in with this cookie; None for an old, ended or foreign one. Changes nothing."""
        held, idle_ms = named(cookie), self._idle_ms
        reply = self._runner.run(context, "signin_look", {}, idle_ms=idle_ms, **held) if held else {}
        if "session" not in reply:
            return None
        session, practice = reply["session"], context.practice.id
        patient, last_ms, ends_ms = session["p"], int(session["l"]), int(session["e"])
        return BrowserSession(
            sid=session["id"],
            patient=patient,
            label=self._runner.unseal(practice, "label", reply["label"], patient),
            locale=reply["locale"],
            hint=self._runner.email_hint(practice, reply["to"], patient),
            auth_time_ms=int(session["o"]),
            last_used_ms=last_ms,
            idle_ends_ms=min(last_ms + idle_ms, ends_ms),
            ends_ms=ends_ms,
        )

    def reach(self, context: RequestContext, patient: str) -> tuple[str, str] | None:
        """The masked address that a patient's code would go to, and the patient's language; None where none could."""
        found = self._runner.run(context, "patient_reach", {}, patient=patient)
        if "to" not in found:
            return None
        return self._runner.email_hint(context.practice.id, found["to"], found["patient"]), found["locale"]

    def extend(self, context: RequestContext, cookie: str) -> bool:
        """The patient is still there: the idle time begins anew, the absolute end stays. False when it was too late.

        Raises RateLimited.
        """
        held = named(cookie)
        if not held:
            return False
        limits = self._runner.callers(context, "exchange-network")
        extended = {"extended": Event.SESSION_EXTENDED}
        reply = self._runner.run(context, "signin_extend", extended, limits=limits, idle_ms=self._idle_ms, **held)
        return bool(reply["done"])

    def list(self, context: RequestContext, here: BrowserSession) -> list[SessionInfo]:
        """Where else this patient is signed in, and here; newest first."""
        return self._sessions.list(context, here.patient)

    # --- out --------------------------------------------------------------------------------------------------------

    def end(self, context: RequestContext, whose: BrowserSession | IdTokenHint, sid: str) -> None:
        """End one of this patient's sign-ins, from any of them, or by a client's session under it. One that is over
        already is just that."""
        try:
            self._sessions.end(context, whose.patient, sid)
        except (NotFound, PatientNotFound):
            return

    def end_others(self, context: RequestContext, here: BrowserSession) -> int:
        """End all of this patient's sign-ins but this one; how many that were."""
        return self._sessions.end_all(context, here.patient, keep=here.sid)

    def sign_out(self, context: RequestContext, cookie: str) -> bool:
        """End this browser's sign-in, and with it what its clients have. False when there was none."""
        here = self.look(context, cookie)
        if here is None:
            return False
        self.end(context, here, here.sid)
        return True

    @property
    def _idle_ms(self) -> int:
        return self._runner.settings.session_idle_s * 1000


def named(cookie: str) -> dict[str, Any]:
    """The sid and the secret's digest in a sign-in's cookie; empty for anything that can't be one."""
    parts = _COOKIE.fullmatch(cookie)
    return {"sid": parts[1], "secret": mint.digest(parts[2])} if parts else {}
