"""Our own look at a bearer token: what introspection, revocation and forward-auth have in common.

The token is read by the same code that other services use; here the keys come from the keyset in memory, and what a
token rests on (session, link, itself) is asked of the store every time. Results are remembered as long as the key set
stays the same, so that the same token costs its arithmetic once.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from authsvc.crypto.tokens import AccessTokens
from authsvc.errors import TokenInvalid
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.signing_keys import SigningKeys
from authsvc.model import Practice, RequestContext
from authsvc.store.sessions import SessionStore
from authsvc.verifier import Claims

REMEMBERED = 4096  # tokens; about 2 kB each at the very worst


class TokenIntrospection:
    """Checks tokens that this service issued."""

    def __init__(self, deps: Dependencies, store: SessionStore, keys: SigningKeys) -> None:
        self._deps = deps
        self._store = store
        self._keys = keys
        self._access = AccessTokens()
        self._lock = threading.Lock()
        self._etag = ""
        self._checked: OrderedDict[bytes, Claims] = OrderedDict()

    def claims(self, token: str) -> Claims:
        """The claims of a token of ours whose time hasn't passed. Raises TokenInvalid, KeysetUnusable."""
        now_ms = self._deps.clock.now_ms()
        _, etag = self._keys.jwks()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = self._remembered(digest, etag)
        if claims is None:
            keys, issuer = self._keys.verification_keys(), self._deps.settings.public_url
            claims = self._access.verify(token, keys, issuer, now_ms)
            with self._lock:
                if self._etag == etag:
                    self._checked[digest] = claims
                    if len(self._checked) > REMEMBERED:
                        self._checked.popitem(last=False)
        # No leeway here: it is this service's own clock that set the time.
        if claims["exp"] * 1000 <= now_ms:
            raise TokenInvalid("expired")
        return claims

    def is_active(self, claims: Mapping[str, Any], practice: Practice) -> bool:
        """Whether the session or link it came from is active, and the token itself. Raises Unavailable."""
        basis = session_or_link(claims)
        if not basis:
            return False  # nothing that could be taken back: not one of ours, however well signed
        context = RequestContext("", "gateway", practice)
        return self._store.token_state(context, claims["jti"], (), **basis).active

    def _remembered(self, digest: bytes, etag: str) -> Claims | None:
        """A new key set forgets every result: a revoked key's tokens are refused from then on."""
        with self._lock:
            if self._etag != etag:
                self._etag = etag
                self._checked.clear()
            claims = self._checked.get(digest)
            if claims is not None:
                self._checked.move_to_end(digest)
            return claims


def session_or_link(claims: Mapping[str, Any]) -> dict[str, str]:
    """The session or the link that a token came from, by its claim; empty for one that rests on neither."""
    return {name: claims[name] for name in ("sid", "link") if name in claims}
