"""Our own look at a bearer token: what introspection, revocation and forward-auth have in common.

Form and signature are judged by the same code that other services use (`verifier.check`); here the keys come from the
ring in memory, and what a token rests on (session, link, itself) is asked of the store every time. Signature results
are remembered, so that the same token costs the arithmetic once.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from authsvc import verifier
from authsvc.errors import TokenInvalid
from authsvc.flows.acts import Acts
from authsvc.flows.keys import Keys
from authsvc.model import Practice
from authsvc.store.connection import practice_prefix

REMEMBERED = 4096  # tokens; about 2 kB each at the very worst
SKEW_S = 30  # between our own instances


class Bearers:
    """Checks tokens that this service issued."""

    def __init__(self, acts: Acts, keys: Keys) -> None:
        self._acts = acts
        self._keys = keys
        self._lock = threading.Lock()
        self._checked: OrderedDict[bytes, dict[str, Any]] = OrderedDict()
        self._parsed: tuple[str, Mapping[str, verifier.Key]] = ("", {})

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token of ours whose time hasn't passed. Raises TokenInvalid, KeyRingUnusable."""
        raw, etag = self._keys.jwks()
        claims = self._signed(token, raw, etag)
        now_s = self._acts.clock.now_ms() / 1000
        if claims["iss"] != self._acts.settings.public_url:
            raise TokenInvalid("issuer")
        if claims["sub"] != f"{claims['practice']}:{claims['patient']}":
            raise TokenInvalid("subject")
        if claims["exp"] <= now_s:
            raise TokenInvalid("expired")
        if claims["iat"] > now_s + SKEW_S:
            raise TokenInvalid("from_the_future")
        return claims

    def stands(self, claims: Mapping[str, Any], practice: Practice) -> bool:
        """Whether the session or link it came from still stands, and the token itself. Raises Unavailable."""
        rests_on = {"sid": claims["sid"]} if "sid" in claims else {"link": claims["link"]}
        reply = self._acts.store.run(
            "token_state",
            practice_prefix(practice.id),
            {
                "now": self._acts.clock.now_ms(),
                "jti": claims["jti"],
                "idle_ms": self._acts.settings.session_idle_s * 1000,
                **rests_on,
            },
        )
        return bool(reply["live"])

    def _signed(self, token: str, raw: bytes, etag: str) -> dict[str, Any]:
        """A new key set forgets every result: a revoked key's tokens are refused from then on."""
        with self._lock:
            if self._parsed[0] != etag:
                self._parsed = (etag, verifier.parse_jwks(raw))
                self._checked.clear()
            keys = self._parsed[1]
            digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
            known = self._checked.get(digest)
            if known is not None:
                self._checked.move_to_end(digest)
                return known

        def find(kid: str) -> verifier.Key:
            if kid not in keys:
                raise TokenInvalid("unknown_kid")
            return keys[kid]

        try:
            claims = verifier.check(token, find)
        except verifier.InvalidToken as refusal:
            raise TokenInvalid(refusal.reason) from None
        if ("sid" in claims) == ("link" in claims):
            raise TokenInvalid("rests_on_nothing")
        with self._lock:
            if self._parsed[0] == etag:
                self._checked[digest] = claims
                if len(self._checked) > REMEMBERED:
                    self._checked.popitem(last=False)
        return claims
