"""A client's DPoP key, and the proofs that it makes (RFC 9449)."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from typing import Any

from authsvc.crypto import keys
from tests.fakes import FakeClock

_NUMBERS = itertools.count()


class ProofKey:
    """One key. `proof` is a good one, made now; members of header and claims can be changed, None takes one out."""

    def __init__(self, clock: FakeClock, alg: str = "ES256") -> None:
        self.clock, self.alg = clock, alg
        self.key = keys.generate(alg)
        self.jwk = {name: self.key.jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in self.key.jwk}

    @property
    def jkt(self) -> str:
        """RFC 7638, written anew."""
        text = json.dumps(self.jwk, sort_keys=True, separators=(",", ":"))
        return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()

    def proof(self, method: str, url: str, token: str = "", header: dict[str, Any] | None = None, **claims: Any) -> str:
        said = {
            "jti": f"proof-{next(_NUMBERS)}",
            "htm": method,
            "htu": url,
            "iat": self.clock.now_ms() // 1000,
            "ath": base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
            if token
            else None,
            **claims,
        }
        head = {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk, **(header or {})}
        parts = [
            base64.urlsafe_b64encode(
                json.dumps({name: value for name, value in part.items() if value is not None}).encode()
            )
            .rstrip(b"=")
            .decode()
            for part in (head, said)
        ]
        signature = self.key.sign(".".join(parts).encode())
        return ".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])
