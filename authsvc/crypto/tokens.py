"""Access tokens (RFC 9068) and refresh tokens: made and taken back in one file.

An access token is a JWS in compact form whose header is exactly `alg`, `typ` and `kid`. A refresh token is a MACed
statement (practice, session, generation, session nonce) that only its own client can use: the same successor can be
made again without being kept, and junk is refused before Redis is asked.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from authsvc import verifier
from authsvc.crypto.keys import SigningKey
from authsvc.crypto.mint import b64u, unb64u
from authsvc.crypto.sealing import raw_mac
from authsvc.errors import TokenInvalid
from authsvc.text import REFRESH_TOKEN

TOKEN_TYPE: Final = "at+jwt"

# --- access tokens ------------------------------------------------------------------------------------------------


def authorization_details(resource: str, scopes: Sequence[str]) -> list[dict[str, object]]:
    """RFC 9396 §2 for a link's one resource: `invoice:inv_1` and `invoice:view invoice:pay` say that exactly this
    invoice may be viewed and paid. Scopes of another type than the resource add nothing."""
    kind, _, identifier = resource.partition(":")
    actions = [action for scope in scopes for prefix, _, action in (scope.partition(":"),) if prefix == kind]
    return [{"type": kind, "identifier": identifier, "actions": actions}]


def access_claims(
    *,
    issuer: str,
    audience: str,
    client: str,
    practice: str,
    patient: str,
    scopes: Sequence[str],
    acr: str,
    amr: Sequence[str],
    auth_time_ms: int,
    now_ms: int,
    expires_ms: int,
    jti: str,
    sid: str | None = None,
    link: str | None = None,
    resource: str | None = None,
    jkt: str = "",
    guardian: str = "",
) -> dict[str, Any]:
    """The claims of DESIGN §5: of a code sign-in with `sid`, or of a link with `link` and perhaps its `resource`.
    `guardian` is the patient who acts for `patient` (`act`, RFC 8693 §4.1).

    Instants are milliseconds in, whole seconds out (rounded down, so that nothing outlives what it was given).
    """
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": f"{practice}:{patient}",
        "aud": audience,
        "client_id": client,
        "practice": practice,
        "patient": patient,
        "scope": " ".join(scopes),
        "acr": acr,
        "amr": list(amr),
        "auth_time": auth_time_ms // 1000,
        "iat": now_ms // 1000,
        "exp": expires_ms // 1000,
        "jti": jti,
    }
    if guardian:
        claims["act"] = {"sub": f"{practice}:{guardian}"}
    if sid is not None:
        claims["sid"] = sid
    if link is not None:
        claims["link"] = link
    if resource is not None:
        claims["resource"] = resource
        claims["authorization_details"] = authorization_details(resource, scopes)
    if jkt:
        claims["cnf"] = {"jkt": jkt}  # RFC 9449 §6.1
    return claims


@lru_cache(maxsize=64)
def _header(alg: str, kid: str, typ: str) -> str:
    return b64u(_compact({"alg": alg, "typ": typ, "kid": kid}))


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sign(key: SigningKey, claims: Mapping[str, Any], typ: str) -> str:
    """A JWS in compact form whose header is exactly `alg`, `typ` and `kid`. The same key and claims give the same
    token, byte for byte."""
    signing_input = f"{_header(key.alg, key.kid, typ)}.{b64u(_compact(claims))}"
    return f"{signing_input}.{b64u(key.sign(signing_input.encode('ascii')))}"


class AccessTokens:
    """Issues what `authsvc/verifier.py` verifies."""

    def issue(self, key: SigningKey, claims: Mapping[str, Any]) -> str:
        """The signed token."""
        return sign(key, claims, TOKEN_TYPE)

    def verify(self, token: str, keys: Mapping[str, SigningKey], issuer: str, now_ms: int) -> verifier.Claims:
        """The claims of a token that one of `keys` signed and that is good now, for whichever audience and practice it
        was made: those are the asking endpoint's to compare. Raises TokenInvalid.

        Uses the verifier's own check, so that no endpoint of ours takes what services refuse.
        """

        def find(kid: str) -> tuple[str, Callable[[bytes, bytes], bool]]:
            key = keys.get(kid)
            if key is None:
                raise verifier.InvalidToken("unknown_kid")
            return key.alg, key.verifies

        try:
            return verifier.check(token, find, issuer, now_ms / 1000)
        except verifier.InvalidToken as refusal:
            raise TokenInvalid(refusal.reason) from None


# --- refresh tokens -----------------------------------------------------------------------------------------------

NONCE_BYTES: Final = 16
GENERATION_BYTES: Final = 4
MAC_BYTES: Final = 32
# Practice ids have at most 41 characters and session ids 22: nothing honest comes near.
REFRESH_CHARS_MAX: Final = 256


@dataclass(frozen=True)
class Refresh:
    """What a refresh token says. Redis keeps the SHA-256 of `nonce`, so that reading Redis makes no token."""

    practice: str
    sid: str
    generation: int
    nonce: bytes = field(repr=False)


def build_refresh(key: bytes, *, practice: str, sid: str, generation: int, nonce: bytes, client: str) -> str:
    """`art_` and base64url of: nonce (16 bytes), generation (4), length of the practice's id (1), the id, the session's
    id, and a 256-bit MAC over all of it and the client's id, which the token itself doesn't tell."""
    practice_bytes = practice.encode("ascii")
    body = (
        nonce
        + generation.to_bytes(GENERATION_BYTES, "big")
        + len(practice_bytes).to_bytes(1, "big")
        + practice_bytes
        + sid.encode("ascii")
    )
    return REFRESH_TOKEN + b64u(body + _refresh_mac(key, client, body))


def parse_refresh(key: bytes, token: str, client: str) -> Refresh:
    """What a refresh token of this client says. Raises ValueError for junk, a forged one, and another client's."""
    if not token.startswith(REFRESH_TOKEN) or len(token) > REFRESH_CHARS_MAX:
        raise ValueError("not a refresh token")
    data = unb64u(token[len(REFRESH_TOKEN) :])
    body, tag = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if not hmac.compare_digest(_refresh_mac(key, client, body), tag):
        raise ValueError("not a refresh token of this client")
    # From here on the bytes are our own: nobody else can make the MAC.
    names = body[NONCE_BYTES + GENERATION_BYTES :]
    split = 1 + names[0]
    return Refresh(
        practice=names[1:split].decode("ascii"),
        sid=names[split:].decode("ascii"),
        generation=int.from_bytes(body[NONCE_BYTES : NONCE_BYTES + GENERATION_BYTES], "big"),
        nonce=body[:NONCE_BYTES],
    )


def session_nonce(key: bytes, practice: str, handle: str, sid: str) -> bytes:
    """The 128-bit nonce of a session. Computed from the challenge handle, which only the caller holds, so that a
    repeated submit of the winning code gets the same tokens although Redis keeps the nonce's digest only."""
    return raw_mac(key, "authsvc session nonce v1", practice, handle, sid)[:NONCE_BYTES]


def jti(key: bytes, sid: str, generation: int, scope: str, kid: str, jkt: str = "") -> str:
    """The token id of a session's nth access token: 128 bits, the same again for the same successor alone. One with
    fewer scopes, signed by the next key or bound to another one, is another token (RFC 7519 §4.1.7)."""
    return b64u(raw_mac(key, "authsvc jti v2", sid, str(generation), scope, kid, jkt)[:16])


def _refresh_mac(key: bytes, client: str, body: bytes) -> bytes:
    return raw_mac(key, "authsvc refresh v1", client, body)
