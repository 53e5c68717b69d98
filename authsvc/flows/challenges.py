"""Challenges before the store has them: the code, its hash, and the mails that may carry it.

A code is six digits, so it is never kept in a form that Redis alone could search: the tag is argon2id over an HMAC
under a pepper that Redis never has, bound to a challenge that only the caller holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from authsvc.crypto import hashing, mint
from authsvc.errors import Fault, InvalidInput
from authsvc.flows.dependencies import Dependencies
from authsvc.model import Practice, RequestContext
from authsvc.store.codes import CodeStore
from authsvc.store.values import AccessLink, Charged, NewChallenge, NewCode
from authsvc.text import ACCESS_LINK_TOKEN, CHALLENGE

SALT_BYTES = 16
CHALLENGE_ID_CHARS = 22  # 128 bits of the digest: a challenge has 256 random bits


@dataclass(frozen=True)
class PreparedChallenge:
    """A challenge for the store, and what the caller gets: the challenge and, where it may be shown, the code."""

    challenge: str
    code: str
    new: NewChallenge


def challenge_id(challenge: str) -> str:
    """Under what a challenge is kept: the beginning of its SHA-256."""
    return mint.digest(challenge)[:CHALLENGE_ID_CHARS]


def check_webhook(practice: Practice) -> None:
    """Raises InvalidInput, which says what is missing, where the practice has no webhook."""
    if practice.missing_for_webhook:
        raise InvalidInput(Fault("/delivery", f"this practice has no webhook: {practice.missing_for_webhook}"))


class Challenges:
    """Prepares codes and the mails that carry them."""

    def __init__(self, deps: Dependencies, store: CodeStore) -> None:
        self._deps = deps
        self._store = store

    def outline(self, context: RequestContext, channel: str, locale: str = "") -> NewChallenge:
        """A challenge without its secrets: what can be refused is refused before anything is hashed or sealed."""
        networks = self._deps.rate_limits.networks(context)
        return NewChallenge(self.code_outline(), channel, locale, networks, pepper="", profile="", salt="", until_ms=0)

    def code_outline(self, challenge: str = "") -> NewCode:
        """The same of one code."""
        return NewCode(challenge_id(challenge) if challenge else "", "", 0, AccessLink("", "", "", 0, 0), "", "")

    def new(self, context: RequestContext, channel: str, locale: str = "") -> PreparedChallenge:
        """A fresh challenge with its first code. Raises Unavailable when the hashing queue is full: nothing has been
        charged by then."""
        settings = self._deps.settings
        challenge = mint.token(self._deps.entropy, CHALLENGE)
        salt = self._deps.entropy.token_bytes(SALT_BYTES)
        profile, pepper = settings.code_hash_profile, self._deps.data_keys.pepper_id
        code, new_code = self._code(context, challenge, salt, profile, pepper)
        new = NewChallenge(
            code=new_code,
            channel=channel,
            locale=locale,
            networks=self._deps.rate_limits.networks(context),
            pepper=pepper,
            profile=profile,
            salt=mint.b64u(salt),
            until_ms=self._deps.clock.now_ms() + settings.challenge_life_s * 1000,
        )
        return PreparedChallenge(challenge, code, new)

    def another_code(
        self, context: RequestContext, challenge: str, *, salt: str, profile: str, pepper: str
    ) -> tuple[str, NewCode]:
        """One more code for a challenge. Its salt is the challenge's, so that a guess costs one hash, however many
        codes are live."""
        return self._code(context, challenge, mint.unb64u(salt), profile, pepper)

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
        self, context: RequestContext, challenge: str, salt: bytes, profile: str, pepper: str
    ) -> tuple[str, NewCode]:
        code = mint.code(self._deps.entropy)
        key = self._deps.data_keys.pepper(pepper)
        with self._deps.hash_queue.place() as turn, turn:
            tag = hashing.code_tag(key, context.practice.id, challenge, code, salt, profile)
        now_ms, settings = self._deps.clock.now_ms(), self._deps.settings
        until_ms = now_ms + settings.code_life_s * 1000
        token = mint.token(self._deps.entropy, ACCESS_LINK_TOKEN)
        access_link = AccessLink(
            id=mint.link_id(token),
            digest=mint.digest(token),
            workflow=self._deps.messages.access_workflow,
            expires_ms=now_ms + settings.link_mode_link_life_s * 1000,
            max_uses=self._deps.limits.attempts_per_challenge,
        )
        message_id = self._deps.messages.new_id()
        body = self._deps.messages.seal_code(context.practice.id, message_id, code, until_ms, token)
        return code, NewCode(challenge_id(challenge), tag, until_ms, access_link, message_id, body)
