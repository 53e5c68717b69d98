"""Signing in with a code: start, send again, verify, choose.

start   → a challenge; its handle goes to whoever asked, the code goes to the mailbox
resend  → another code for the same challenge; the attempts stay as they are
verify  → charge an attempt → hash → settle: exactly one session, however many submits race
choose  → who of the mailbox's patients it is, once the mailbox is proven

By address the answer is the same for everybody: unknown, without access, or with too many misses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.audit import Event
from authsvc.crypto import mint
from authsvc.crypto.hashing import HashQueue, code_tag
from authsvc.errors import Fault, Forbidden, InvalidInput
from authsvc.flows.acts import Acts
from authsvc.flows.challenges import Challenges
from authsvc.flows.tokens import Issuing
from authsvc.model import Act, Choice, Started, TokenGrant
from authsvc.workflows import Catalogue

SETTLED = {
    "verified": Event.CODE_VERIFIED,
    "choose": Event.CODE_CHOOSE,
    "missed": Event.CODE_MISSED,
    "gone": Event.CHALLENGE_GONE,
}
ENDED = {"session_ended": Event.SESSION_ENDED}


class Codes:
    """The use cases of a code sign-in."""

    def __init__(
        self,
        acts: Acts,
        challenges: Challenges,
        issuing: Issuing,
        catalogue: Catalogue,
        queue: HashQueue,
    ) -> None:
        self._acts = acts
        self._challenges = challenges
        self._issuing = issuing
        self._scope = " ".join(catalogue.code_scopes)
        self._queue = queue

    def start(
        self,
        act: Act,
        *,
        email: str | None = None,
        patient: str | None = None,
        locale: str | None = None,
        delivery: str = "email",
    ) -> Started:
        """Start a challenge by typed address or by patient.

        Raises InvalidInput, Forbidden (a code may be told to a caller with `codes:reveal` only), RateLimited,
        IdempotencyConflict; by patient also PatientNotFound and NoPortalAccess.
        """
        self._check_delivery(act, delivery, patient)
        typed = email is not None
        subject = {"idx": self._acts.mailbox(act, email)} if email is not None else {"patient": patient}
        made = self._challenges.new(
            act,
            channel=delivery,
            locale=locale or "",
            filler=self._acts.seal(act, "address", email or "nobody@nowhere.invalid"),
        )
        limits = self._acts.callers(act, "issue-network")
        if typed:
            limits.append(self._acts.bucket("issue-address", str(subject["idx"]), shown=False))
        else:
            limits.append(self._acts.bucket("issue-patient", str(patient)))
        answer = self._started(made.handle, made.code if delivery == "caller" else None)
        reply = self._acts.run(
            act,
            "challenge_start",
            {"started": Event.CODE_STARTED},
            mails=True,
            typed=typed,
            limits=limits,
            idem=self._acts.idempotent(act, vars(answer)),
            **subject,
            **made.args,
        )
        before = self._acts.answered_before(act, reply)
        return answer if before is None else Started(**before)

    def resend(self, act: Act, challenge: str) -> Started:
        """Send another code for the same challenge. Raises ChallengeGone, RateLimited, IdempotencyConflict."""
        made = self._challenges.another(act, challenge)
        settings, limits = self._acts.settings, self._acts.limits
        # What is kept for a repeat is what the caller was told: a code only where it travels by the caller.
        told = made.code if made.args["channel"] == "caller" else None
        reply = self._acts.run(
            act,
            "challenge_resend",
            {"resent": Event.CODE_RESENT},
            mails=True,
            limits=self._acts.callers(act, "issue-network"),
            address=self._acts.rate("issue-address"),
            by_patient=self._acts.rate("issue-patient"),
            attempts=limits.attempts_per_challenge,
            again_ms=settings.resend_after_s * 1000,
            most=limits.resends_per_challenge,
            life_s=settings.challenge_life_s,
            idem=self._acts.idempotent(act, vars(self._started(challenge, told))),
            **made.args,
        )
        before = self._acts.answered_before(act, reply)
        if before is not None:
            return Started(**before)
        # From the instants of the act alone: another look at the clock would tell addresses apart by a millisecond.
        cut_ms = made.args["code_until"] - int(reply["until_ms"])
        return Started(challenge, settings.code_life_s - -(-cut_ms // 1000), settings.resend_after_s, told)

    def verify(self, act: Act, challenge: str, code: str, patient: str | None = None) -> TokenGrant | Choice:
        """Open the session of a challenge with its code (six ASCII digits), or the chooser of a shared mailbox.

        Raises InvalidCode, ChallengeGone, RateLimited, Unavailable (a full hashing queue charges nothing).
        """
        proven = self.prove(act, challenge, code, patient)
        return proven if isinstance(proven, Choice) else self._grant(act, challenge, proven)

    def prove(
        self,
        act: Act,
        challenge: str,
        code: str,
        patient: str | None = None,
        before: Mapping[str, str] | None = None,
    ) -> dict[str, str] | Choice:
        """The same up to the session's record. `before` is the sign-in that the patient's browser had at our pages."""
        limits, settings = self._acts.limits, self._acts.settings
        handle = mint.digest(challenge)
        named: dict[str, Any] = {"handle": handle, "client": act.client.id if act.client else ""}
        with self._queue.place() as turn:
            charged = self._acts.run(
                act,
                "code_charge",
                {"gone": Event.CHALLENGE_GONE, "link_ended": Event.LINK_ENDED},
                limits=self._acts.callers(act, "verify-network"),
                network=self._acts.rate("verify-network"),
                said=act.client_ip is not None,
                attempts=limits.attempts_per_challenge,
                budget={"consecutive": limits.misses_consecutive, "day": limits.misses_per_day},
                link_misses=limits.misses_per_link,
                replay_ms=limits.replay_window_s * 1000,
                replays=limits.replays,
                **named,
            )
            pepper = self._acts.vault.pepper(charged["q"])
            with turn:
                tag = code_tag(pepper, act.practice.id, challenge, code, mint.unb64u(charged["z"]), charged["f"])
        reply = self._acts.run(
            act,
            "code_settle",
            SETTLED if before is None else {**SETTLED, **ENDED},
            durable=True,
            tag=tag,
            hour=charged["hour"],
            left=charged["left"],
            locked=charged["locked"],
            patient=patient or "",
            session=self._new_session(act, challenge),
            choose_ms=settings.choose_life_s * 1000,
            replay_ms=limits.replay_window_s * 1000,
            before=before,
            **named,
        )
        if "choose" in reply:
            return self._choice(act, challenge, reply)
        return dict(reply["session"])

    def choices(self, act: Act, challenge: str) -> Choice:
        """Who there is to choose from, once the mailbox is proven. Changes nothing. Raises ChallengeGone."""
        reply = self._acts.run(act, "challenge_choices", {}, **self._chooser(act, challenge))
        return self._choice(act, challenge, reply)

    def choose(self, act: Act, challenge: str, patient: str) -> TokenGrant:
        """Say who of the proven mailbox's patients it is; once. Raises InvalidInput, ChallengeGone, RateLimited."""
        return self._grant(act, challenge, self.chosen(act, challenge, patient))

    def chosen(
        self, act: Act, challenge: str, patient: str, before: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The same up to the session's record; `before` as in `prove`."""
        outcomes = {"verified": Event.CODE_VERIFIED, "gone": Event.CHALLENGE_GONE}
        reply = self._acts.run(
            act,
            "choose",
            outcomes if before is None else {**outcomes, **ENDED},
            durable=True,
            limits=self._acts.callers(act, "verify-network"),
            patient=patient,
            session=self._new_session(act, challenge),
            before=before,
            replay_ms=self._acts.limits.replay_window_s * 1000,
            replays=self._acts.limits.replays,
            **self._chooser(act, challenge),
        )
        return dict(reply["session"])

    def _chooser(self, act: Act, challenge: str) -> dict[str, Any]:
        return {
            "handle": mint.digest(challenge),
            "client": act.client.id if act.client else "",
            "choose_ms": self._acts.settings.choose_life_s * 1000,
        }

    def _choice(self, act: Act, challenge: str, reply: Mapping[str, Any]) -> Choice:
        return Choice(challenge, tuple((p, self._label(act, p, label)) for p, label in reply.get("choose", ())))

    def _check_delivery(self, act: Act, delivery: str, patient: str | None) -> None:
        if delivery == "caller":
            if act.client is None or "codes:reveal" not in act.client.permissions:
                raise Forbidden("codes:reveal")
            if patient is None:
                raise InvalidInput(Fault("/delivery", "a code is told to the caller only when it names the patient"))
        if delivery == "webhook":
            raise InvalidInput(Fault("/delivery", "this practice has no webhook"))

    def _started(self, handle: str, code: str | None) -> Started:
        settings = self._acts.settings
        return Started(handle, settings.code_life_s, settings.resend_after_s, code)

    def _new_session(self, act: Act, challenge: str) -> dict[str, Any]:
        """A session that is ready to be opened, should this be the submit that wins."""
        sid = mint.short_id(self._acts.entropy)
        nonce = self._issuing.nonce(act.practice.id, challenge, sid)
        return {
            "id": sid,
            "nonce": mint.digest(mint.b64u(nonce)),
            "aud": act.client.audience if act.client else "",
            "scope": self._scope if act.client else "",  # a sign-in at our pages grants nothing by itself
            "end": self._acts.clock.now_ms() + self._acts.settings.session_absolute_s * 1000,
        }

    def _grant(self, act: Act, challenge: str, session: dict[str, str]) -> TokenGrant:
        nonce = self._issuing.nonce(act.practice.id, challenge, session["id"])
        return self._issuing.for_session(act.practice.id, session, nonce)

    def _label(self, act: Act, patient_id: str, sealed: str) -> str:
        return self._acts.unseal(act.practice.id, "label", sealed, patient_id)
