"""Signed client assertions (RFC 7523): the keys a client registers, and the proof it makes with them.

A client that signs has no secret that could leak here: its public keys are kept, each call carries a short-lived JWT.
What a key may do belongs to the key, what a JWT may say is a closed list, and nothing in it chooses anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from jwt.algorithms import Algorithm, RSAPSSAlgorithm
from jwt.exceptions import PyJWTError

from authsvc import verifier
from authsvc.crypto.keys import ALGORITHMS as SIGNING
from authsvc.errors import TokenInvalid

# --- the keys -----------------------------------------------------------------------------------------------------

ALGORITHMS: Final[Mapping[str, Algorithm]] = {**SIGNING, "PS256": RSAPSSAlgorithm(hashes.SHA256)}
"""What an assertion may be signed with. No `none`, and no HMAC: its key would have to be a secret of both sides."""

KINDS: Final[Mapping[tuple[str, str | None], tuple[str, ...]]] = {
    ("EC", "P-256"): ("ES256",),
    ("RSA", None): ("RS256", "PS256"),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""What a key may be (`kty`, `crv`), and what it may then sign with (RFC 8725 §3.1)."""

KEYS_MAX: Final = 5  # two during a rotation, and some room
KEY_SET_CHARS_MAX: Final = 16 * 1024
RSA_BITS: Final = range(2048, 8193)  # below: ASVS 11.2.3; above, one check costs milliseconds
RSA_EXPONENT_MIN: Final = 65537  # FIPS 186-5 §A.1.1
PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MEMBERS: Final = {"EC": ("kty", "crv", "x", "y"), "RSA": ("kty", "n", "e"), "OKP": ("kty", "crv", "x")}
_KID = re.compile(r"[!-~]{1,128}")


def read_keys(document: str) -> tuple[dict[str, str], ...]:
    """The public keys of a JWK set (RFC 7517 §5), each with the members that are needed and no other.

    Raises ValueError with a plain reason, never with a piece of a key.
    """
    if len(document) > KEY_SET_CHARS_MAX:
        raise ValueError(f"the key set has more than {KEY_SET_CHARS_MAX} characters")
    try:
        entries = verifier.json_object(document.encode()).get("keys")
    except ValueError:
        raise ValueError("the file is not a JWK set: one JSON object with `keys`") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("the file is not a JWK set: `keys` must be a list of keys")
    if not 1 <= len(entries) <= KEYS_MAX:
        raise ValueError(f"the key set holds {len(entries)} keys; 1 to {KEYS_MAX} are supported")
    if any(PRIVATE & entry.keys() for entry in entries):
        raise ValueError(
            "the key set holds a PRIVATE key. Nothing was kept; but a private key that travels is not private any"
            " more: make a new one, and bring its public half only"
        )
    keys = tuple(_public(entry, number) for number, entry in enumerate(entries, 1))
    if len({key["kid"] for key in keys}) < len(keys):
        raise ValueError("the key set holds one `kid` twice")
    return keys


def _public(entry: Mapping[str, Any], number: int) -> dict[str, str]:
    """One key as it is kept."""
    kid, alg = entry.get("kid"), entry.get("alg")
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise ValueError(f"key {number} needs a `kid` of 1 to 128 visible characters")
    # Compared as text, so that a list or a number in its place is just another kind that is unknown.
    kinds = {(kty, str(crv)): algs for (kty, crv), algs in KINDS.items()}
    algs = kinds.get((str(entry.get("kty")), str(entry.get("crv"))))
    if algs is None:
        raise ValueError(f"key {number} is none of EC P-256, RSA and OKP Ed25519")
    if entry.get("use", "sig") != "sig" or "verify" not in (entry.get("key_ops") or ["verify"]):
        raise ValueError(f"key {number} is not for signatures")
    if alg is not None and alg not in algs:
        raise ValueError(f"key {number} can't be used with the `alg` it names; its kind takes {' or '.join(algs)}")
    try:
        key = ALGORITHMS[algs[0]].from_jwk(dict(entry))
    except (ValueError, TypeError, PyJWTError):  # not base64url, a wrong length, not a point of the curve
        raise ValueError(f"key {number} is broken") from None
    if entry["kty"] == "RSA" and _is_weak(key):
        raise ValueError(f"key {number} is too weak or too long: RSA has 2048 bits or more, and an exponent of 65537")
    # Written anew from the parsed key, so that each has one spelling.
    public = ALGORITHMS[algs[0]].to_jwk(key, as_dict=True)
    return {name: public[name] for name in _MEMBERS[entry["kty"]]} | {"kid": kid} | ({"alg": alg} if alg else {})


def _is_weak(key: Any) -> bool:
    """Too short, too long, or with numbers that no generator of keys makes."""
    numbers = key.public_numbers()
    odd = numbers.n % 2 and numbers.e % 2
    return key.key_size not in RSA_BITS or numbers.e < RSA_EXPONENT_MIN or not odd or verifier.is_roca(numbers.n)


# --- the assertions -----------------------------------------------------------------------------------------------

MAX_BYTES: Final = 8 * 1024
LEEWAY_MS: Final = 30_000  # how far the client's clock and ours may differ
AHEAD_MS: Final = 300_000  # a longer life is no use to one call, but a long memory of `jti` for us
AHEAD_LIBRARIES_MS: Final = 3_600_000  # what some libraries write, and can't be told otherwise
TYPES: Final = ("jwt", "client-authentication+jwt")  # or none: RFC 7523 names no type
_CLIENT = re.compile(r"[!-~]{1,64}")
_JTI = re.compile(r"[ -~]{1,128}")


@dataclass(frozen=True)
class Assertion:
    """An assertion that was read, and nothing of it believed. `client` is who it says it is from."""

    client: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


@dataclass(frozen=True)
class Proven:
    """An assertion that holds, if `jti` was not used before. From `gone_ms` on it would be refused anyway."""

    jti: str
    gone_ms: int


def read(token: str) -> Assertion:
    """What an assertion says. Raises TokenInvalid."""
    try:
        header, payload, signed, signature = verifier.split(token, MAX_BYTES)
        claims = verifier.json_object(payload)
    except verifier.InvalidToken as refusal:
        raise TokenInvalid(refusal.reason) from None
    except ValueError:
        raise TokenInvalid("encoding") from None
    client = claims.get("sub")
    if not isinstance(client, str) or not _CLIENT.fullmatch(client) or claims.get("iss") != client:
        raise TokenInvalid("client")
    return Assertion(client, header, claims, signed, signature)


def prove(
    assertion: Assertion,
    keys: Iterable[Mapping[str, str]],
    issuer: str,
    now_ms: int,
    *,
    token_endpoint: str = "",
) -> Proven:
    """Whether one of the client's `keys` made it, for us (`issuer`) and for now. Raises TokenInvalid.

    `token_endpoint`: its address, for a client registered to write that as the audience, and to live up to an hour.
    """
    _check_signature(assertion, tuple(keys))
    claims = assertion.claims
    # Our issuer identifier and nothing else: not the endpoint's address, which RFC 7523 §3 allows, and not one name of
    # several. A client that also talks to a malicious server lets that server's metadata choose what it writes here:
    # an assertion that would do for two servers, or for an address that anybody's metadata can name, is one that the
    # other server can present to us. A client that talks to nobody else may be registered for less (RFC 7523 §3).
    named = claims.get("aud")
    audiences = named if isinstance(named, list) else [named]
    ours = [issuer, token_endpoint] if token_endpoint else [issuer]
    if not audiences or len(audiences) > len(ours) or any(each not in ours for each in audiences):
        raise TokenInvalid("audience")
    expires_ms = _instant_ms(claims, "exp")
    if expires_ms + LEEWAY_MS <= now_ms:
        raise TokenInvalid("expired")
    ahead_ms = AHEAD_LIBRARIES_MS if token_endpoint else AHEAD_MS
    if expires_ms > now_ms + ahead_ms + LEEWAY_MS:
        raise TokenInvalid("far_ahead")
    for name in ("iat", "nbf"):
        if name in claims and _instant_ms(claims, name) > now_ms + LEEWAY_MS:
            raise TokenInvalid("from_the_future")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not _JTI.fullmatch(jti):
        raise TokenInvalid("claims")
    return Proven(jti, expires_ms + LEEWAY_MS)


def _check_signature(assertion: Assertion, keys: tuple[Mapping[str, str], ...]) -> None:
    """The header is a closed list: what else stands in headers brings a key along (jwk, jku, x5c, x5u) or changes how
    to read the rest (crit, b64, zip). Raises TokenInvalid."""
    header = assertion.header
    if not {"alg"} <= header.keys() <= {"alg", "kid", "typ"}:
        raise TokenInvalid("header")
    if not all(isinstance(value, str) for value in header.values()):
        raise TokenInvalid("header")
    if header.get("typ", "jwt").lower() not in TYPES:
        raise TokenInvalid("typ")  # another kind of JWT, signed with the same key for another purpose
    if header["alg"] not in ALGORITHMS:
        raise TokenInvalid("algorithm")
    meant = [key for key in keys if key["kid"] == header["kid"]] if "kid" in header else list(keys)
    if len(meant) != 1:
        raise TokenInvalid("unknown_kid")
    (jwk,) = meant
    allowed = (jwk["alg"],) if "alg" in jwk else KINDS[jwk["kty"], jwk.get("crv")]
    if header["alg"] not in allowed:
        raise TokenInvalid("algorithm_of_another_key")
    algorithm = ALGORITHMS[header["alg"]]
    if not algorithm.verify(assertion.signed, algorithm.from_jwk(dict(jwk)), assertion.signature):
        raise TokenInvalid("signature")


def _instant_ms(claims: Mapping[str, Any], name: str) -> int:
    """A NumericDate (RFC 7519 §2), which may have a fraction. Raises TokenInvalid."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise TokenInvalid("claims")
    return int(value * 1000)
