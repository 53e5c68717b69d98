"""A patient changes the email address: the new mailbox is proved by a code before anything moves."""

from __future__ import annotations

import dataclasses
from functools import partial

from authsvc.flows.challenges import Challenges, challenge_id
from authsvc.flows.dependencies import Dependencies
from authsvc.model import Patient, RequestContext, Started
from authsvc.store.email_changes import EmailChangeStore
from authsvc.store.patients import PatientStore


class EmailChanges:
    """The use cases of a change; another code is sent by `Codes.resend`."""

    def __init__(
        self, deps: Dependencies, store: EmailChangeStore, patients: PatientStore, challenges: Challenges
    ) -> None:
        self._deps = deps
        self._store = store
        self._patients = patients
        self._challenges = challenges

    def start(
        self,
        context: RequestContext,
        *,
        patient: str,
        email: str,
        session: str | None = None,
        locale: str | None = None,
    ) -> Started:
        """Send a code to the new mailbox; `session` shall not end when the address changes.

        The answer and the work are the same whoever has that address already. Raises InvalidInput, PatientNotFound,
        RateLimited (also for a mailbox that gets no codes), IdempotencyConflict.
        """
        data, limits, practice = self._deps.personal_data, self._deps.rate_limits, context.practice.id
        mailbox = data.mailbox(context, email)
        known, _ = self._patients.get(context, patient, limits.of_caller(context))
        changed = dataclasses.replace(known, mailbox=mailbox, address="")
        buckets = limits.of_networks("issue-network", limits.networks(context))
        # A budget of its own: nobody's requests for a change may cost the owner of that mailbox a sign-in.
        buckets += self._deps.limits.of_address(f"{mailbox}.change")
        buckets += self._deps.limits.buckets("issue-patient", "issue-patient-day", of=known.id)
        start = partial(self._store.start, context, session=session or "")
        outline, answers = self._challenges.outline(context, "email", locale or ""), self._deps.answers
        earlier = start(changed, outline, buckets, answers.name(context), check_only=True)
        if earlier is not None:
            return Started(**answers.open(context, earlier))
        changed = dataclasses.replace(changed, address=data.seal(practice, "address", email.strip(), known.id))
        prepared = self._challenges.new(context, "email", locale or "")
        settings = self._deps.settings
        answer = Started(prepared.challenge, settings.code_life_s, settings.resend_after_s)
        earlier = start(changed, prepared.new, buckets, answers.keep(context, vars(answer)))
        return answer if earlier is None else Started(**answers.open(context, earlier))

    def verify(self, context: RequestContext, challenge: str, code: str) -> Patient:
        """Change the address with the code (six ASCII digits) of the new mailbox.

        What rests on the old one ends, but for the session that was named, and both mailboxes get a notice.

        Raises InvalidCode, ChallengeGone, RateLimited, InvalidInput (too many patients on the mailbox), Unavailable.
        """
        charged, tag = self._challenges.check(context, challenge, code, email_change=True)
        messages, practice = self._deps.messages, context.practice.id
        stored = self._store.settle(
            context,
            challenge_id(challenge),
            charged,
            tag,
            messages.address_notice(practice),
            messages.address_notice(practice),
            messages.notice_until_ms(self._deps.clock.now_ms()),
        )
        return self._deps.personal_data.patient(practice, stored)
