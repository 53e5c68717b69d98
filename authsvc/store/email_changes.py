"""Changes of a patient's email address that wait for the code of the new mailbox."""

from __future__ import annotations

from collections.abc import Sequence

from authsvc.config.limits import Limits
from authsvc.model import Bucket, RequestContext
from authsvc.store.mailing import Mailing
from authsvc.store.patients import StoredPatient, stored_patient
from authsvc.store.script_args import challenge_args
from authsvc.store.scripts import ScriptRunner
from authsvc.store.values import Charged, Mail, NewChallenge, StoredAnswer


class EmailChangeStore:
    """Every method may raise RateLimited and Unavailable."""

    def __init__(self, runner: ScriptRunner, mailing: Mailing, limits: Limits) -> None:
        self._runner = runner
        self._mailing = mailing
        self._limits = limits

    def start(
        self,
        context: RequestContext,
        patient: StoredPatient,
        challenge: NewChallenge,
        buckets: Sequence[Bucket],
        kept: StoredAnswer,
        *,
        session: str,
        check_only: bool = False,
    ) -> str | None:
        """Keep a challenge and queue its mail to the new address; `patient` has its sealed form and its mailbox.

        `session` shall not end with the others. With `check_only` nothing is kept or counted unless it is
        refused. The answer that the Idempotency-Key had got before, if any. Raises
        PatientNotFound, IdempotencyConflict.
        """
        reply = self._mailing.run(
            self._runner,
            "email_change_start",
            context,
            kept,
            check_only=check_only,
            patient=patient.id,
            mailbox=patient.mailbox,
            address=patient.address,
            stays=session,
            misses_consecutive=self._limits.misses_consecutive,
            misses_per_day=self._limits.misses_per_day,
            limits=buckets,
            **challenge_args(context, challenge),
        )
        return reply.get("earlier_answer")

    def settle(
        self,
        context: RequestContext,
        challenge_id: str,
        charged: Charged,
        tag: str,
        old_notice: Mail,
        new_notice: Mail,
        notice_until_ms: int,
    ) -> StoredPatient:
        """Compare the typed code's hash, and change the address. Raises InvalidCode, ChallengeGone, InvalidInput (too
        many patients on the mailbox)."""
        *_, reply = self._runner.run_in_parts(
            "email_change_settle",
            context,
            durable=True,
            after="",
            challenge=challenge_id,
            client=context.client_id,
            tag=tag,
            link_mode=charged.link_mode,
            hour=charged.hour,
            attempts_left=charged.attempts_left,
            replay_ms=self._limits.replay_window_s * 1000,
            **self._mailing.notice_args(),
            old_notice_id=old_notice.id,
            old_notice_body=old_notice.body,
            new_notice_id=new_notice.id,
            new_notice_body=new_notice.body,
            notice_until=notice_until_ms,
            change_limits=self._limits.buckets("address-change"),
            notice_limits=self._limits.buckets("address-notices", shown=False),
        )
        self._mailing.wake(context.practice.id)
        return stored_patient(reply)
