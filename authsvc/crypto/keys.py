"""Signing keys: made, loaded, proven and shown to the world.

A key is parsed once and proven at load: it signs a sample that the *published* half must verify, so that a key whose
halves disagree never signs a patient's token. Its `kid` is the RFC 7638 thumbprint, which no other key can have.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)
from jwt import PyJWK
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError
from jwt.utils import der_to_raw_signature

from authsvc.crypto.mint import b64u

RSA_BITS: Final = 3072  # 128-bit strength (NIST SP 800-57 part 1, table 2); 2048 bits have 112
RSA_BITS_MAX: Final = 4096  # beyond it a token outgrows the headers that carry it
RSA_EXPONENT: Final = 65537
SELF_TEST: Final = b"authsvc: does the published key verify what the private one signs?"

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKeyObject: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class DeterministicES256(ECAlgorithm):
    """ES256 that needs no randomness to sign: the nonce comes from key and message (RFC 6979), because one repeated
    or biased nonce gives an ECDSA key away (RFC 8725 §3.2). Any ES256 verifier accepts the result."""

    def __init__(self) -> None:
        super().__init__(hashes.SHA256, ec.SECP256R1)
        self._scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

    def sign(self, msg: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        return der_to_raw_signature(key.sign(msg, self._scheme), key.curve)


ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "ES256": DeterministicES256(),
    "RS256": RSAAlgorithm(hashes.SHA256),
    "EdDSA": OKPAlgorithm(),
}
"""What a token may be signed with (RFC 7518 §3.1, RFC 8037 §3.1). A key has exactly one of them."""


@dataclass(frozen=True)
class SigningKey:
    """One key pair with everything that is ever asked of it, computed once. `repr` shows no private part."""

    kid: str
    alg: str
    private: PrivateKey = field(repr=False)
    public: PublicKeyObject = field(repr=False)
    jwk: Mapping[str, str] = field(repr=False)  # public members only, as in the JWKS
    pem: str = field(repr=False)  # SubjectPublicKeyInfo

    def sign(self, message: bytes) -> bytes:
        """The JWS signature (for ES256: 64 bytes, R then S; RFC 7518 §3.4)."""
        return ALGORITHMS[self.alg].sign(message, self.private)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature."""
        return ALGORITHMS[self.alg].verify(message, self.public, signature)

    def to_der(self) -> bytes:
        """The private key as unencrypted PKCS #8, to be sealed at once and never written down otherwise."""
        return self.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def generate(alg: str) -> SigningKey:
    """A new key. Its randomness is OpenSSL's own, the one exception to the Entropy rule: an RSA key can't be made from
    bytes that are handed in. Raises KeyError for an unknown algorithm."""
    return _proven(_GENERATORS[alg]())


_GENERATORS: Final = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(RSA_EXPONENT, RSA_BITS),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def from_pem(pem: str) -> SigningKey:
    """A key that somebody brings: an unencrypted private PEM of P-256, RSA (3072 to 4096 bits, exponent 65537) or
    Ed25519. Raises ValueError with a plain reason, never with a piece of the key."""
    try:
        private = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError("the key is encrypted: decrypt it first") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("not a private key in PEM form") from None
    return _proven(private)


def from_der(der: bytes) -> SigningKey:
    """A key as `to_der` gave it. Raises ValueError."""
    try:
        private = load_der_private_key(der, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise ValueError("not a private key in PKCS #8 form") from None
    return _proven(private)


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638: SHA-256 over the required members of the key type (RFC 8037 §2 for OKP), in lexical order."""
    required = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}[jwk["kty"]]
    canonical = json.dumps({name: jwk[name] for name in required}, separators=(",", ":"), sort_keys=True)
    return b64u(hashlib.sha256(canonical.encode()).digest())


def _proven(private: Any) -> SigningKey:
    alg, members = _describe(private)
    kid = thumbprint(members)
    public = private.public_key()
    key = SigningKey(
        kid=kid,
        alg=alg,
        private=private,
        public=public,
        jwk=members | {"kid": kid, "use": "sig", "alg": alg},
        pem=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii"),
    )
    self_test(key)
    return key


def self_test(key: SigningKey) -> None:
    """Sign with the private half, verify with what the JWKS will say. Raises ValueError when they disagree."""
    try:
        published = PyJWK(dict(key.jwk), key.alg).key
        proven = ALGORITHMS[key.alg].verify(SELF_TEST, published, key.sign(SELF_TEST))
    except (PyJWTError, ValueError):
        proven = False
    if not proven:
        raise ValueError("the key fails its self-test: what it signs doesn't verify with what it publishes")


def _describe(private: Any) -> tuple[str, dict[str, str]]:
    """The algorithm and the public JWK members, or ValueError for a key that this service doesn't sign with."""
    if isinstance(private, ec.EllipticCurvePrivateKey):
        if not isinstance(private.curve, ec.SECP256R1):
            raise ValueError(f"the curve is {private.curve.name}; only P-256 is supported")
        point = private.public_key().public_numbers()
        # Always 32 bytes, leading zeros included (RFC 7518 §6.2.1.2).
        return "ES256", {"kty": "EC", "crv": "P-256", "x": _fixed(point.x, 32), "y": _fixed(point.y, 32)}
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.public_key().public_numbers()
        if not RSA_BITS <= private.key_size <= RSA_BITS_MAX:
            raise ValueError(f"the RSA key has {private.key_size} bits; {RSA_BITS} to {RSA_BITS_MAX} are supported")
        if numbers.e != RSA_EXPONENT:
            raise ValueError(f"the RSA exponent is not {RSA_EXPONENT}")
        # As few bytes as it takes (RFC 7518 §6.3.1.1).
        return "RS256", {"kty": "RSA", "n": _minimal(numbers.n), "e": _minimal(numbers.e)}
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "EdDSA", {"kty": "OKP", "crv": "Ed25519", "x": b64u(private.public_key().public_bytes_raw())}
    raise ValueError("only P-256, RSA and Ed25519 keys are supported")


def _fixed(number: int, length_bytes: int) -> str:
    return b64u(number.to_bytes(length_bytes, "big"))


def _minimal(number: int) -> str:
    return _fixed(number, (number.bit_length() + 7) // 8)
