"""Challenges and their codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from authsvc.config.limits import WIDE_NETWORK, Limits
from authsvc.config.settings import Settings
from authsvc.model import Bucket, Choices, RequestContext, Session
from authsvc.store import records
from authsvc.store.mailing import Mailing
from authsvc.store.script_args import challenge_args, choices_of, code_args, session_args
from authsvc.store.scripts import Reply, ScriptRunner
from authsvc.store.values import BrowserCookie, Charged, NewChallenge, NewCode, NewSession, StoredAnswer


class CodeStore:
    """Every method may raise RateLimited and Unavailable."""

    def __init__(self, runner: ScriptRunner, mailing: Mailing, settings: Settings, limits: Limits) -> None:
        self._runner = runner
        self._mailing = mailing
        self._settings = settings
        self._limits = limits
        self._misses: dict[str, Any] = {
            "misses_consecutive": limits.misses_consecutive,
            "misses_per_day": limits.misses_per_day,
            "misses_by_links_per_day": limits.misses_by_links_per_day,
        }
        self._choose_ms = settings.choose_life_s * 1000
        self._replay_ms = limits.replay_window_s * 1000

    def start(
        self,
        context: RequestContext,
        challenge: NewChallenge,
        buckets: Sequence[Bucket],
        stored_answer: StoredAnswer,
        *,
        mailbox: str = "",
        patient: str = "",
        check_only: bool = False,
    ) -> str | None:
        """Keep a challenge and queue its mail: for a typed address, whose keyed hash `mailbox` is, or for a patient.

        With `check_only` nothing is kept or counted unless it is refused.

        The answer that the Idempotency-Key had got before, if any. Raises PatientNotFound, NoPortalAccess,
        IdempotencyConflict.
        """
        args = {
            "typed": bool(mailbox),
            "mailbox": mailbox,
            "patient": patient,
            "patient_limits": self._limits.of_patient() if patient else (),
            **challenge_args(context, challenge),
            **self._misses,
        }
        args |= {"limits": buckets, "check_only": check_only}
        reply = self._mailing.run(self._runner, "challenge_start", context, stored_answer, **args)
        return reply.get("earlier_answer")

    def resend(
        self,
        context: RequestContext,
        code: NewCode,
        buckets: Sequence[Bucket],
        stored_answer: StoredAnswer,
        *,
        check_only: bool = False,
    ) -> Reply:
        """Send another code: `until` when it is good. With `check_only` nothing is kept or counted unless refused:
        `salt`, `profile` and `pepper` of the challenge's codes and the `channel` of its mails. Either may be the
        `earlier_answer` of the Idempotency-Key instead.

        Raises ChallengeGone, IdempotencyConflict.
        """
        return self._mailing.run(
            self._runner,
            "challenge_resend",
            context,
            stored_answer,
            check_only=check_only,
            limits=buckets,
            client=context.client_id,
            channel="",  # those of the challenge
            locale="",
            attempts_max=self._limits.attempts_per_challenge,
            resend_after_ms=self._settings.resend_after_s * 1000,
            resends_max=self._limits.resends_per_challenge,
            challenge_life_s=self._settings.challenge_life_s,
            address_limits=self._limits.of_address(),
            patient_limits=self._limits.of_patient(),
            **code_args(code),
            **self._misses,
        )

    def charge(
        self, context: RequestContext, challenge_id: str, buckets: Sequence[Bucket], *, email_change: bool = False
    ) -> Charged:
        """Charge the limits and reserve an attempt, before anything secret is compared. Raises ChallengeGone."""
        (network,) = self._limits.buckets("verify-network")
        reply = self._runner.run(
            "code_charge",
            context,
            challenge=challenge_id,
            client=context.client_id,
            email_change=email_change,
            network_known=context.client_ip is not None,
            attempts_max=self._limits.attempts_per_challenge,
            misses_per_link=self._limits.misses_per_link,
            replay_ms=self._replay_ms,
            replays_max=self._limits.replays,
            limits=buckets,
            network_limits=() if context.client_ip else [network, network._replace(quota=network.quota * WIDE_NETWORK)],
            **self._misses,
        )
        return Charged(
            salt=reply["salt"],
            profile=reply["profile"],
            pepper=reply["pepper"],
            attempts_left=int(reply["attempts_left"]),
            link_mode="link_mode" in reply,
            hour=reply["hour"],
        )

    def settle(
        self,
        context: RequestContext,
        challenge_id: str,
        charged: Charged,
        tag: str,
        patient: str,
        session: NewSession,
        former: BrowserCookie,
    ) -> Session | Choices:
        """Compare the typed code's hash, and open the session or list the patients to choose from.

        Raises InvalidCode, ChallengeGone.
        """
        # Nobody acts for anybody at this step unless the caller named whom for: the scopes would travel for nothing.
        acting_scopes = session.acting_scopes if patient else ()
        reply = self._runner.run(
            "code_settle",
            context,
            durable=True,
            challenge=challenge_id,
            client=context.client_id,
            tag=tag,
            link_mode=charged.link_mode,
            hour=charged.hour,
            attempts_left=charged.attempts_left,
            patient=patient,
            choose_ms=self._choose_ms,
            replay_ms=self._replay_ms,
            delivery_ms=self._mailing.delivery_ms,
            acting_scopes=acting_scopes,
            **session_args(session, former),
        )
        return choices_of(reply) if "choose" in reply else records.session(reply["session"])

    def choices(self, context: RequestContext, challenge_id: str) -> Choices:
        """The patients to choose from, once the mailbox is proven. Changes nothing. Raises ChallengeGone."""
        reply = self._runner.run(
            "challenge_choices",
            context,
            challenge=challenge_id,
            client=context.client_id,
            choose_ms=self._choose_ms,
        )
        return choices_of(reply)

    def choose(
        self,
        context: RequestContext,
        challenge_id: str,
        patient: str,
        buckets: Sequence[Bucket],
        session: NewSession,
        former: BrowserCookie,
    ) -> Session:
        """Open the session of the chosen patient. Raises ChallengeGone, InvalidInput."""
        reply = self._runner.run(
            "challenge_choose",
            context,
            durable=True,
            challenge=challenge_id,
            client=context.client_id,
            patient=patient,
            choose_ms=self._choose_ms,
            replay_ms=self._replay_ms,
            replays_max=self._limits.replays,
            delivery_ms=self._mailing.delivery_ms,
            limits=buckets,
            acting_scopes=session.acting_scopes,
            **session_args(session, former),
        )
        return records.session(reply["session"])
