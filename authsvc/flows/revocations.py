"""The revocation feed: what offline verifiers need to know within seconds, signed and cacheable.

Access tokens live ten minutes, so a revoked session, link or token is in the feed for little longer than that: the
list stays short by itself. It is a JWT of a kind of its own (`typ: revocations+jwt`, `aud: revocations`), so that it
passes for nothing else, and it is the same bytes for five seconds, on every instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authsvc.crypto import mint, tokens
from authsvc.flows.cache import Cache
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.practices import Practices
from authsvc.flows.signing_keys import SigningKeys
from authsvc.model import RequestContext
from authsvc.store.sessions import REVOKED, Revocation, SessionStore

TYPE = "revocations+jwt"
AUDIENCE = "revocations"
STEP_S = 5  # a feed is issued for this long; the delay of a verifier is at most this, its own interval and the network
LIFE_S = 60  # a feed older than this says nothing any more
FRESH_S = 0.5  # one look at the store serves all who ask within this time

LISTED = 25_000  # the newest revocations; a verifier reads no more of them


@dataclass(frozen=True)
class Feed:
    """One signed feed and its entity tag."""

    token: str
    etag: str


class Revocations:
    """Builds the feed of a practice."""

    def __init__(self, deps: Dependencies, store: SessionStore, keys: SigningKeys, practices: Practices) -> None:
        self._deps = deps
        self._store = store
        self._keys = keys
        self._practices = practices
        self._recent: Cache[list[Revocation]] = Cache(self._read, fresh_s=FRESH_S)

    def feed(self, practice_id: str, since_ms: int = 0) -> Feed:
        """What was revoked after the cursor `since_ms` (0: everything that still matters).

        Raises Unavailable, KeysetUnusable.
        """
        now_s = self._deps.clock.now_ms() // 1000
        found = self._recent.get(practice_id) or []
        issued_s = now_s - now_s % STEP_S
        claims: dict[str, Any] = {
            "iss": self._deps.settings.public_url,
            "aud": AUDIENCE,
            "practice": practice_id,
            "iat": issued_s,
            "exp": issued_s + LIFE_S,
            "cursor": max((revocation.at_ms for revocation in found), default=since_ms),
            "keys": list(self._keys.revoked()),
            **{kind: [] for kind in REVOKED.values()},
        }
        for revocation in found:
            if revocation.at_ms > since_ms:
                claims[revocation.kind].append(revocation.id)
        token = tokens.sign(self._keys.signer(), claims, TYPE)
        return Feed(token, mint.digest(token.rpartition(".")[0]))

    def _read(self, practice_id: str) -> list[Revocation]:
        practice = self._practices.get(practice_id)
        return self._store.revocations(RequestContext("", "verifier", practice), LISTED) if practice else []
