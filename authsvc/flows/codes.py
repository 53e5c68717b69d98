"""Signing in with a code: start, send again, verify, choose."""

from __future__ import annotations

import dataclasses
from functools import partial

from authsvc.errors import Fault, Forbidden, InvalidInput
from authsvc.flows.challenges import Challenges, challenge_id, check_webhook
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.session_scopes import SessionScopes
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import Choice, Choices, RequestContext, Session, Started, TokenGrant
from authsvc.store.codes import CodeStore
from authsvc.store.values import NO_COOKIE, BrowserCookie, NewSession


class Codes:
    """The use cases of codes."""

    def __init__(
        self,
        deps: Dependencies,
        store: CodeStore,
        challenges: Challenges,
        token_issuer: TokenIssuer,
        scopes: SessionScopes,
    ) -> None:
        self._deps = deps
        self._store = store
        self._challenges = challenges
        self._token_issuer = token_issuer
        self._scopes = scopes

    def start(
        self,
        context: RequestContext,
        *,
        email: str | None = None,
        patient: str | None = None,
        locale: str | None = None,
        delivery: str = "email",
    ) -> Started:
        """Start a sign-in and send a code: to a typed address, or to a patient whom the caller names.

        By address the answer and the work are the same whoever has it. Raises InvalidInput, Forbidden (a code is shown
        to a caller with `codes:reveal` only), RateLimited, IdempotencyConflict; by patient also PatientNotFound and
        NoPortalAccess.
        """
        self._check_delivery(context, delivery, patient)
        mailbox = self._deps.personal_data.mailbox(context, email) if email is not None else ""
        buckets = self._deps.rate_limits.of_caller(context, "issue-network")
        if mailbox:
            buckets += self._deps.limits.of_address(mailbox)
        start = partial(self._store.start, context, mailbox=mailbox, patient=patient or "")
        answers, prepared = self._deps.answers, self._challenges.prepared(context, delivery, locale or "")
        if prepared is None:
            outline = self._challenges.outline(context, delivery, locale or "")
            earlier = start(outline, buckets, answers.name(context), check_only=True)
            if earlier is not None:
                return Started(**answers.open(context, earlier))
            prepared = self._challenges.new(context, delivery, locale or "")
        answer = self._started(prepared.challenge, prepared.code if delivery == "caller" else None)
        with self._challenges.started_with(context, prepared):
            earlier = start(prepared.new, buckets, answers.keep(context, vars(answer)))
        return answer if earlier is None else Started(**answers.open(context, earlier))

    def resend(self, context: RequestContext, challenge: str) -> Started:
        """Send another code for the same challenge. Raises ChallengeGone, RateLimited, IdempotencyConflict."""
        buckets = self._deps.rate_limits.of_caller(context, "issue-network")
        resend, outline = partial(self._store.resend, context), self._challenges.code_outline(challenge)
        found = resend(outline, buckets, self._deps.answers.name(context), check_only=True)
        if "earlier_answer" in found:
            return Started(**self._deps.answers.open(context, found["earlier_answer"]))
        how = {name: found[name] for name in ("salt", "profile", "pepper")}
        code, new = self._challenges.another_code(context, challenge, **how)
        # What is kept for a repeat is what the caller gets: a code only where it travels by the caller.
        answer = self._started(challenge, code if found["channel"] == "caller" else None)
        sent = resend(new, buckets, self._deps.answers.keep(context, vars(answer)))
        if "earlier_answer" in sent:
            return Started(**self._deps.answers.open(context, sent["earlier_answer"]))
        # From the instants of the call alone: another look at the clock would tell addresses apart by a millisecond.
        cut_ms = new.until_ms - int(sent["until"])
        return dataclasses.replace(answer, expires_in_s=self._deps.settings.code_life_s - -(-cut_ms // 1000))

    def verify(
        self, context: RequestContext, challenge: str, code: str, patient: str | None = None
    ) -> TokenGrant | Choice:
        """Open the session of a challenge with its code (six ASCII digits), or list the patients of a shared mailbox.

        Raises InvalidCode, ChallengeGone, RateLimited, Unavailable (a full hashing queue charges nothing).
        """
        self._token_issuer.check_signer()
        opened = self.open_session(context, challenge, code, patient)
        return opened if isinstance(opened, Choice) else self._issue_tokens(context, challenge, opened)

    def open_session(
        self,
        context: RequestContext,
        challenge: str,
        code: str,
        patient: str | None = None,
        former: BrowserCookie = NO_COOKIE,
    ) -> Session | Choice:
        """The same up to the session's record. `former` is the session that the browser had at the hosted pages."""
        charged, tag = self._challenges.check(context, challenge, code)
        session = self._new_session(context, challenge)
        opened = self._store.settle(context, challenge_id(challenge), charged, tag, patient or "", session, former)
        return opened if isinstance(opened, Session) else self._choice(context, challenge, opened)

    def choices(self, context: RequestContext, challenge: str) -> Choice:
        """The patients to choose from, once the mailbox is proven. Changes nothing. Raises ChallengeGone."""
        return self._choice(context, challenge, self._store.choices(context, challenge_id(challenge)))

    def choose(self, context: RequestContext, challenge: str, patient: str) -> TokenGrant:
        """Open the session of one of the proven mailbox's patients, or of a dependent of one of them; once.

        Raises InvalidInput, ChallengeGone, RateLimited.
        """
        self._token_issuer.check_signer()
        return self._issue_tokens(context, challenge, self.choose_session(context, challenge, patient))

    def choose_session(
        self, context: RequestContext, challenge: str, patient: str, former: BrowserCookie = NO_COOKIE
    ) -> Session:
        """The same up to the session's record; `former` as in `open_session`."""
        buckets = self._deps.rate_limits.of_caller(context, "verify-network")
        session = self._new_session(context, challenge)
        return self._store.choose(context, challenge_id(challenge), patient, buckets, session, former)

    def _choice(self, context: RequestContext, challenge: str, found: Choices) -> Choice:
        return self._deps.personal_data.choice(context.practice.id, challenge, found)

    def _check_delivery(self, context: RequestContext, delivery: str, patient: str | None) -> None:
        if delivery == "caller":
            if context.client is None or "codes:reveal" not in context.client.permissions:
                raise Forbidden("codes:reveal")
            if patient is None:
                raise InvalidInput(Fault("/delivery", "a code is told to the caller only when it names the patient"))
        if delivery == "webhook":
            check_webhook(context.practice)

    def _started(self, challenge: str, code: str | None) -> Started:
        return Started(challenge, self._deps.settings.code_life_s, self._deps.settings.resend_after_s, code)

    def _new_session(self, context: RequestContext, challenge: str) -> NewSession:
        """A session that is ready to be opened, should this be the submit that wins."""
        sid = self._deps.new_id()
        nonce = self._token_issuer.nonce(context.practice.id, challenge, sid)
        expires_ms = self._deps.clock.now_ms() + self._deps.settings.session_absolute_s * 1000
        return self._scopes.new_session(context.client, sid, nonce, expires_ms)

    def _issue_tokens(self, context: RequestContext, challenge: str, session: Session) -> TokenGrant:
        nonce = self._token_issuer.nonce(context.practice.id, challenge, session.id)
        return self._token_issuer.for_session(context.practice.id, session, nonce)
