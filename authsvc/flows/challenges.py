"""Challenges before the store has them: the code, its hash, and the mails that may carry it.

A code is six digits, so it is never kept in a form that Redis alone could search: the tag is argon2id over an HMAC
under a pepper that Redis never has, bound to a challenge that only the caller holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from authsvc.crypto import hashing, mint, sealing
from authsvc.errors import AuthsvcError, Fault, InvalidInput, Unavailable
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.prepared_challenges import PreparedChallenge, PreparedChallenges
from authsvc.model import Practice, RequestContext
from authsvc.ports import Entropy
from authsvc.store.codes import CodeStore
from authsvc.store.values import AccessLink, Charged, NewChallenge, NewCode
from authsvc.text import ACCESS_LINK_TOKEN, CHALLENGE

SALT_BYTES = 16
DRAWN_BYTES = 2 * mint.TOKEN_BYTES + SALT_BYTES + mint.SHORT_ID_BYTES + sealing.NONCE_BYTES  # of `_made`
CHALLENGE_ID_CHARS = 22  # 128 bits of the digest: a challenge has 256 random bits


def challenge_id(challenge: str) -> str:
    """Under what a challenge is kept: the beginning of its SHA-256."""
    return mint.digest(challenge)[:CHALLENGE_ID_CHARS]


def check_webhook(practice: Practice) -> None:
    """Raises InvalidInput, which says what is missing, where the practice has no webhook."""
    if practice.missing_for_webhook:
        raise InvalidInput(Fault("/delivery", f"this practice has no webhook: {practice.missing_for_webhook}"))


class Challenges:
    """Prepares codes and the mails that carry them."""

    def __init__(self, deps: Dependencies, store: CodeStore, prepared_per_practice: int) -> None:
        self._deps = deps
        self._store = store
        self._prepared = PreparedChallenges(deps.clock, prepared_per_practice)

    def outline(self, context: RequestContext, channel: str, locale: str = "") -> NewChallenge:
        """A challenge without its secrets: what can be refused is refused before anything is hashed or sealed."""
        networks = self._deps.rate_limits.networks(context)
        return NewChallenge(self.code_outline(), channel, locale, networks, pepper="", profile="", salt="", until_ms=0)

    def code_outline(self, challenge: str = "") -> NewCode:
        """The same of one code."""
        return NewCode(challenge_id(challenge) if challenge else "", "", 0, AccessLink("", "", "", 0, 0), "", "")

    def prepared(self, context: RequestContext, channel: str, locale: str = "") -> PreparedChallenge | None:
        """A challenge that was made beforehand, if there is one. Not for a call with an Idempotency-Key, whose answer
        would be sealed before it is checked."""
        if context.idempotency_key is not None:
            return None
        found = self._prepared.take(context.practice.id, self._keys())
        return found and self._for(context, found, channel, locale)

    def new(self, context: RequestContext, channel: str, locale: str = "") -> PreparedChallenge:
        """A fresh challenge with its first code. Raises Unavailable when the hashing queue is full: nothing has been
        charged by then."""
        return self._for(context, self._made(context), channel, locale)

    @contextmanager
    def started_with(self, context: RequestContext, prepared: PreparedChallenge) -> Iterator[None]:
        """Around the start that it is for. Refused, another start may have it; not after an answer that leaves open
        whether it was kept."""
        practice_id = context.practice.id
        try:
            yield
        except Unavailable:
            raise
        except AuthsvcError:
            self._prepared.keep(practice_id, prepared)
            raise
        if self._prepared.note_start(practice_id):
            with suppress(Unavailable):  # where the hashing queue is full, the next start makes its own
                self._prepared.keep(practice_id, self._made(context))

    def _keys(self) -> tuple[str, bytes]:
        return self._deps.data_keys.pepper_id, self._deps.data_keys.key("outbox")

    def _made(self, context: RequestContext) -> PreparedChallenge:
        drawn = mint.Drawn(self._deps.entropy, DRAWN_BYTES)
        challenge, salt = mint.token(drawn, CHALLENGE), drawn.token_bytes(SALT_BYTES)
        profile, keys = self._deps.settings.code_hash_profile, self._keys()
        code, new_code = self._code(context, challenge, salt, profile, keys[0], drawn)
        new = NewChallenge(new_code, "", "", (), pepper=keys[0], profile=profile, salt=mint.b64u(salt), until_ms=0)
        return PreparedChallenge(challenge, code, new, keys, self._deps.clock.now_ms())

    def _for(
        self, context: RequestContext, prepared: PreparedChallenge, channel: str, locale: str
    ) -> PreparedChallenge:
        """With what is this start's own: its lives begin now."""
        networks, now_ms = self._deps.rate_limits.networks(context), self._deps.clock.now_ms()
        new, challenge_until_ms = prepared.new, now_ms + self._deps.settings.challenge_life_s * 1000
        code = self._from_now(new.code, now_ms)
        new = dataclasses.replace(
            new, code=code, channel=channel, locale=locale, networks=networks, until_ms=challenge_until_ms
        )
        return dataclasses.replace(prepared, new=new)

    def _from_now(self, code: NewCode, now_ms: int) -> NewCode:
        settings = self._deps.settings
        link = dataclasses.replace(code.access_link, expires_ms=now_ms + settings.link_mode_link_life_s * 1000)
        return dataclasses.replace(code, until_ms=now_ms + settings.code_life_s * 1000, access_link=link)

    def another_code(
        self, context: RequestContext, challenge: str, *, salt: str, profile: str, pepper: str
    ) -> tuple[str, NewCode]:
        """One more code for a challenge. Its salt is the challenge's, so that a guess costs one hash, however many
        codes are live."""
        code, new = self._code(context, challenge, mint.unb64u(salt), profile, pepper, self._deps.entropy)
        return code, self._from_now(new, self._deps.clock.now_ms())

    def check(
        self, context: RequestContext, challenge: str, code: str, *, email_change: bool = False
    ) -> tuple[Charged, str]:
        """Reserve an attempt, then hash the typed code: what settling must know, and the hash.

        Raises ChallengeGone, RateLimited, Unavailable (a full hashing queue charges nothing).
        """
        buckets = self._deps.rate_limits.of_caller(context, "verify-network")
        with self._deps.hash_queue.place() as turn:
            charged = self._store.charge(context, challenge_id(challenge), buckets, email_change=email_change)
            pepper, salt = self._deps.data_keys.pepper(charged.pepper), mint.unb64u(charged.salt)
            with turn:
                return charged, hashing.code_tag(pepper, context.practice.id, challenge, code, salt, charged.profile)

    def _code(
        self, context: RequestContext, challenge: str, salt: bytes, profile: str, pepper: str, entropy: Entropy
    ) -> tuple[str, NewCode]:
        code = mint.code(entropy)
        key = self._deps.data_keys.pepper(pepper)
        with self._deps.hash_queue.place() as turn, turn:
            tag = hashing.code_tag(key, context.practice.id, challenge, code, salt, profile)
        token = mint.token(entropy, ACCESS_LINK_TOKEN)
        messages, attempts = self._deps.messages, self._deps.limits.attempts_per_challenge
        access_link = AccessLink(mint.link_id(token), mint.digest(token), messages.access_workflow, 0, attempts)
        message_id = mint.short_id(entropy)
        body = messages.seal(context.practice.id, message_id, entropy, code=code, token=token)
        return code, NewCode(challenge_id(challenge), tag, 0, access_link, message_id, body)
