"""A client that signs its calls, and what it may be made to sign."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.fakes import FakeClock


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """Made once: it takes its time."""
    return rsa.generate_private_key(65537, 2048)


class Signer:
    """One private key under a `kid`, and the assertions of the client `client`."""

    def __init__(self, client: str, clock: FakeClock, alg: str = "ES256", kid: str = "key-1") -> None:
        self.client, self.clock, self.alg, self.kid = client, clock, alg, kid
        self.key: Any = {
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "RS256": rsa_key,
            "PS256": rsa_key,
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[alg]()
        self._count = 0

    def private_pem(self) -> str:
        return str(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public key."""
        writer: Any = {"ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}.get(self.alg, RSAAlgorithm)
        said = {**writer.to_jwk(self.key.public_key(), as_dict=True), "kid": self.kid, **changes}
        return {name: value for name, value in said.items() if value is not None}

    def jwks(self, *others: Signer) -> str:
        return json.dumps({"keys": [self.jwk(), *(other.jwk() for other in others)]})

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good assertion says; each has a `jti` of its own."""
        self._count += 1
        now_s = self.clock.now_ms() // 1000
        said = {
            "iss": self.client,
            "sub": self.client,
            "aud": "http://127.0.0.1:8080",
            "exp": now_s + 60,
            "iat": now_s,
            "jti": f"{self.client}-{self._count}",
            **changes,
        }
        return {name: value for name, value in said.items() if value is not None}

    def sign(self, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """A signed assertion; a claim or header that is None is left out."""
        return jwt.encode(self.claims(**changes), self.key, self.alg, {"kid": self.kid, **(headers or {})})
