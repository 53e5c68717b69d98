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
from authsvc.config.workflows import Catalogue
from authsvc.crypto import mint
from authsvc.crypto.hashing import HashQueue, code_tag
from authsvc.errors import Fault, Forbidden, InvalidInput
from authsvc.flows.challenges import Challenges
from authsvc.flows.script_runner import ScriptRunner
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import Choice, RequestContext, Started, TokenGrant

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
        runner: ScriptRunner,
        challenges: Challenges,
        token_issuer: TokenIssuer,
        catalogue: Catalogue,
        queue: HashQueue,
    ) -> None:
        self._runner = runner
        self._challenges = challenges
        self._token_issuer = token_issuer
        self._scope = " ".join(catalogue.code_scopes)
        self._queue = queue

    def start(
        self,
        context: RequestContext,
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
        self._check_delivery(context, delivery, patient)
        typed = email is not None
        subject = {"idx": self._runner.mailbox(context, email)} if email is not None else {"patient": patient}
        made = self._challenges.new(
            context,
            channel=delivery,
            locale=locale or "",
            filler=self._runner.seal(context, "address", email or "nobody@nowhere.invalid"),
        )
        limits = self._runner.callers(context, "issue-network")
        if typed:
            limits.append(self._runner.bucket("issue-address", str(subject["idx"]), shown=False))
        else:
            limits.append(self._runner.bucket("issue-patient", str(patient)))
        answer = self._started(made.handle, made.code if delivery == "caller" else None)
        reply = self._runner.run(
            context,
            "challenge_start",
            {"started": Event.CODE_STARTED},
            mails=True,
            typed=typed,
            limits=limits,
            idem=self._runner.idempotent(context, vars(answer)),
            **subject,
            **made.args,
        )
        before = self._runner.answered_before(context, reply)
        return answer if before is None else Started(**before)

    def resend(self, context: RequestContext, challenge: str) -> Started:
        """Send another code for the same challenge. Raises ChallengeGone, RateLimited, IdempotencyConflict."""
        made = self._challenges.another(context, challenge)
        settings, limits = self._runner.settings, self._runner.limits
        # What is kept for a repeat is what the caller was told: a code only where it travels by the caller.
        told = made.code if made.args["channel"] == "caller" else None
        reply = self._runner.run(
            context,
            "challenge_resend",
            {"resent": Event.CODE_RESENT},
            mails=True,
            limits=self._runner.callers(context, "issue-network"),
            address=self._runner.rate("issue-address"),
            by_patient=self._runner.rate("issue-patient"),
            attempts=limits.attempts_per_challenge,
            again_ms=settings.resend_after_s * 1000,
            most=limits.resends_per_challenge,
            life_s=settings.challenge_life_s,
            idem=self._runner.idempotent(context, vars(self._started(challenge, told))),
            **made.args,
        )
        before = self._runner.answered_before(context, reply)
        if before is not None:
            return Started(**before)
        # From the instants of the act alone: another look at the clock would tell addresses apart by a millisecond.
        cut_ms = made.args["code_until"] - int(reply["until_ms"])
        return Started(challenge, settings.code_life_s - -(-cut_ms // 1000), settings.resend_after_s, told)

    def verify(
        self, context: RequestContext, challenge: str, code: str, patient: str | None = None
    ) -> TokenGrant | Choice:
        """Open the session of a challenge with its code (six ASCII digits), or the chooser of a shared mailbox.

        Raises InvalidCode, ChallengeGone, RateLimited, Unavailable (a full hashing queue charges nothing).
        """
        proven = self.prove(context, challenge, code, patient)
        return proven if isinstance(proven, Choice) else self._grant(context, challenge, proven)

    def prove(
        self,
        context: RequestContext,
        challenge: str,
        code: str,
        patient: str | None = None,
        before: Mapping[str, str] | None = None,
    ) -> dict[str, str] | Choice:
        """The same up to the session's record. `before` is the sign-in that the patient's browser had at our pages."""
        limits, settings = self._runner.limits, self._runner.settings
        handle = mint.digest(challenge)
        named: dict[str, Any] = {"handle": handle, "client": context.client.id if context.client else ""}
        with self._queue.place() as turn:
            charged = self._runner.run(
                context,
                "code_charge",
                {"gone": Event.CHALLENGE_GONE, "link_ended": Event.LINK_ENDED},
                limits=self._runner.callers(context, "verify-network"),
                network=self._runner.rate("verify-network"),
                said=context.client_ip is not None,
                attempts=limits.attempts_per_challenge,
                budget={"consecutive": limits.misses_consecutive, "day": limits.misses_per_day},
                link_misses=limits.misses_per_link,
                replay_ms=limits.replay_window_s * 1000,
                replays=limits.replays,
                **named,
            )
            pepper = self._runner.data_keys.pepper(charged["q"])
            with turn:
                tag = code_tag(pepper, context.practice.id, challenge, code, mint.unb64u(charged["z"]), charged["f"])
        reply = self._runner.run(
            context,
            "code_settle",
            SETTLED if before is None else {**SETTLED, **ENDED},
            durable=True,
            tag=tag,
            hour=charged["hour"],
            left=charged["left"],
            locked=charged["locked"],
            patient=patient or "",
            session=self._new_session(context, challenge),
            choose_ms=settings.choose_life_s * 1000,
            replay_ms=limits.replay_window_s * 1000,
            before=before,
            **named,
        )
        if "choose" in reply:
            return self._choice(context, challenge, reply)
        return dict(reply["session"])

    def choices(self, context: RequestContext, challenge: str) -> Choice:
        """Who there is to choose from, once the mailbox is proven. Changes nothing. Raises ChallengeGone."""
        reply = self._runner.run(context, "challenge_choices", {}, **self._chooser(context, challenge))
        return self._choice(context, challenge, reply)

    def choose(self, context: RequestContext, challenge: str, patient: str) -> TokenGrant:
        """Say who of the proven mailbox's patients it is; once. Raises InvalidInput, ChallengeGone, RateLimited."""
        return self._grant(context, challenge, self.chosen(context, challenge, patient))

    def chosen(
        self, context: RequestContext, challenge: str, patient: str, before: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The same up to the session's record; `before` as in `prove`."""
        outcomes = {"verified": Event.CODE_VERIFIED, "gone": Event.CHALLENGE_GONE}
        reply = self._runner.run(
            context,
            "choose",
            outcomes if before is None else {**outcomes, **ENDED},
            durable=True,
            limits=self._runner.callers(context, "verify-network"),
            patient=patient,
            session=self._new_session(context, challenge),
            before=before,
            replay_ms=self._runner.limits.replay_window_s * 1000,
            replays=self._runner.limits.replays,
            **self._chooser(context, challenge),
        )
        return dict(reply["session"])

    def _chooser(self, context: RequestContext, challenge: str) -> dict[str, Any]:
        return {
            "handle": mint.digest(challenge),
            "client": context.client.id if context.client else "",
            "choose_ms": self._runner.settings.choose_life_s * 1000,
        }

    def _choice(self, context: RequestContext, challenge: str, reply: Mapping[str, Any]) -> Choice:
        return Choice(challenge, tuple((p, self._label(context, p, label)) for p, label in reply.get("choose", ())))

    def _check_delivery(self, context: RequestContext, delivery: str, patient: str | None) -> None:
        if delivery == "caller":
            if context.client is None or "codes:reveal" not in context.client.permissions:
                raise Forbidden("codes:reveal")
            if patient is None:
                raise InvalidInput(Fault("/delivery", "a code is told to the caller only when it names the patient"))
        if delivery == "webhook":
            raise InvalidInput(Fault("/delivery", "this practice has no webhook"))

    def _started(self, handle: str, code: str | None) -> Started:
        settings = self._runner.settings
        return Started(handle, settings.code_life_s, settings.resend_after_s, code)

    def _new_session(self, context: RequestContext, challenge: str) -> dict[str, Any]:
        """A session that is ready to be opened, should this be the submit that wins."""
        sid = mint.short_id(self._runner.entropy)
        nonce = self._token_issuer.nonce(context.practice.id, challenge, sid)
        return {
            "id": sid,
            "nonce": mint.digest(mint.b64u(nonce)),
            "aud": context.client.audience if context.client else "",
            "scope": self._scope if context.client else "",  # a sign-in at our pages grants nothing by itself
            "end": self._runner.clock.now_ms() + self._runner.settings.session_absolute_s * 1000,
        }

    def _grant(self, context: RequestContext, challenge: str, session: dict[str, str]) -> TokenGrant:
        nonce = self._token_issuer.nonce(context.practice.id, challenge, session["id"])
        return self._token_issuer.for_session(context.practice.id, session, nonce)

    def _label(self, context: RequestContext, patient_id: str, sealed: str) -> str:
        return self._runner.unseal(context.practice.id, "label", sealed, patient_id)
