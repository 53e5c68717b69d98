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
from authsvc.flows.acts import Acts
from authsvc.flows.codes import Codes
from authsvc.flows.sessions import Sessions
from authsvc.flows.tokens import Issuing
from authsvc.model import Act, Choice, Entered, Hinted, SessionInfo, SignIn

_COOKIE = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{22})")


class SignIns:
    """The use cases of a browser that signs in at our pages. The client of every act is None."""

    def __init__(self, acts: Acts, codes: Codes, sessions: Sessions, issuing: Issuing) -> None:
        self._acts = acts
        self._codes = codes
        self._sessions = sessions
        self._issuing = issuing

    # --- in ---------------------------------------------------------------------------------------------------------

    def verify(self, act: Act, challenge: str, code: str, before: str = "") -> Entered | Choice:
        """Sign in with a code. `before` is the cookie that the browser held: that sign-in is succeeded.

        Raises InvalidCode, ChallengeGone, RateLimited, Unavailable.
        """
        proven = self._codes.prove(act, challenge, code, before=named(before) or None)
        return proven if isinstance(proven, Choice) else self._entered(act, challenge, proven)

    def choose(self, act: Act, challenge: str, patient: str, before: str = "") -> Entered:
        """Say who of the proven mailbox's patients it is. Raises InvalidInput, ChallengeGone, RateLimited."""
        return self._entered(
            act, challenge, self._codes.chosen(act, challenge, patient, before=named(before) or None)
        )

    def _entered(self, act: Act, challenge: str, session: dict[str, str]) -> Entered:
        nonce = self._issuing.nonce(act.practice.id, challenge, session["id"])
        return Entered(f"{session['id']}.{mint.b64u(nonce)}", session["id"], session["p"])

    # --- there ------------------------------------------------------------------------------------------------------

    def look(self, act: Act, cookie: str) -> SignIn | None:
        """Who is signed in with this cookie; None for an old, ended or foreign one. Changes nothing."""
        held, idle_ms = named(cookie), self._idle_ms
        reply = self._acts.run(act, "signin_look", {}, idle_ms=idle_ms, **held) if held else {}
        if "session" not in reply:
            return None
        session, practice = reply["session"], act.practice.id
        patient, last_ms, ends_ms = session["p"], int(session["l"]), int(session["e"])
        return SignIn(
            sid=session["id"],
            patient=patient,
            label=self._acts.unseal(practice, "label", reply["label"], patient),
            locale=reply["locale"],
            hint=self._acts.email_hint(practice, reply["to"], patient),
            auth_time_ms=int(session["o"]),
            last_used_ms=last_ms,
            idle_ends_ms=min(last_ms + idle_ms, ends_ms),
            ends_ms=ends_ms,
        )

    def reach(self, act: Act, patient: str) -> tuple[str, str] | None:
        """The masked address that a patient's code would go to, and the patient's language; None where none could."""
        found = self._acts.run(act, "patient_reach", {}, patient=patient)
        if "to" not in found:
            return None
        return self._acts.email_hint(act.practice.id, found["to"], found["patient"]), found["locale"]

    def extend(self, act: Act, cookie: str) -> bool:
        """The patient is still there: the idle time begins anew, the absolute end stays. False when it was too late.

        Raises RateLimited.
        """
        held = named(cookie)
        if not held:
            return False
        limits = self._acts.callers(act, "exchange-network")
        extended = {"extended": Event.SESSION_EXTENDED}
        reply = self._acts.run(act, "signin_extend", extended, limits=limits, idle_ms=self._idle_ms, **held)
        return bool(reply["done"])

    def list(self, act: Act, here: SignIn) -> list[SessionInfo]:
        """Where else this patient is signed in, and here; newest first."""
        return self._sessions.list(act, here.patient)

    # --- out --------------------------------------------------------------------------------------------------------

    def end(self, act: Act, whose: SignIn | Hinted, sid: str) -> None:
        """End one of this patient's sign-ins, from any of them, or by a client's session under it. One that is over
        already is just that."""
        try:
            self._sessions.end(act, whose.patient, sid)
        except (NotFound, PatientNotFound):
            return

    def end_others(self, act: Act, here: SignIn) -> int:
        """End all of this patient's sign-ins but this one; how many that were."""
        return self._sessions.end_all(act, here.patient, keep=here.sid)

    def sign_out(self, act: Act, cookie: str) -> bool:
        """End this browser's sign-in, and with it what its clients have. False when there was none."""
        here = self.look(act, cookie)
        if here is None:
            return False
        self.end(act, here, here.sid)
        return True

    @property
    def _idle_ms(self) -> int:
        return self._acts.settings.session_idle_s * 1000


def named(cookie: str) -> dict[str, Any]:
    """The sid and the secret's digest in a sign-in's cookie; empty for anything that can't be one."""
    parts = _COOKIE.fullmatch(cookie)
    return {"sid": parts[1], "secret": mint.digest(parts[2])} if parts else {}
