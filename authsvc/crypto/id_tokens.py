"""ID tokens (OpenID Connect Core §2) and logout tokens (Back-Channel Logout §2.4): who signed in, said to one client.

Neither opens anything. An ID token's audience is the client's own id and its `typ` is `JWT`, a logout token has a `typ`
of its own and names an event: neither passes where an access token is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import jwt

from authsvc.crypto.keys import SigningKey
from authsvc.crypto.mint import b64u

ID_TYPE: Final = "JWT"
LOGOUT_TYPE: Final = "logout+jwt"
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_LIFE_S: Final = 120  # "at most two minutes" (Back-Channel Logout §4)
HINT_CHARS_MAX: Final = 4096


def id_claims(
    *,
    issuer: str,
    client: str,
    practice: str,
    patient: str,
    acr: str,
    amr: Sequence[str],
    auth_time_s: int,
    issued_s: int,
    expires_s: int,
    sid: str | None = None,
    nonce: str = "",
    act: Mapping[str, str] | None = None,
    at_hash: str = "",
) -> dict[str, Any]:
    """No name and no address; `practice` says whose patient it is. `nonce` only in answer to the request that had it:
    a refreshed ID token has none (OpenID Connect Core §12.2)."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": f"{practice}:{patient}",
        "aud": client,
        "iat": issued_s,
        "exp": expires_s,
        "auth_time": auth_time_s,
        "acr": acr,
        "amr": list(amr),
        "practice": practice,
    }
    if act is not None:
        claims["act"] = act
    if sid is not None:
        claims["sid"] = sid
    if nonce:
        claims["nonce"] = nonce
    if at_hash:
        claims["at_hash"] = at_hash
    return claims


def at_hash(alg: str, access_token: str) -> str:
    """The left half of the access token's SHA-256, in base64url (OpenID Connect Core §3.1.3.6): clients that are told
    to check it refuse an ID token without. Empty for EdDSA, where no standard says which hash it is."""
    return b64u(sha256(access_token.encode("ascii")).digest()[:16]) if alg in ("ES256", "RS256") else ""


def logout_claims(*, issuer: str, client: str, subject: str, sid: str, jti: str, now_s: int) -> dict[str, Any]:
    """That this session is over. Never a nonce: so it can't be mistaken for an ID token (§2.4)."""
    return {
        "iss": issuer,
        "aud": client,
        "sub": subject,
        "sid": sid,
        "jti": jti,
        "iat": now_s,
        "exp": now_s + LOGOUT_LIFE_S,
        "events": {LOGOUT_EVENT: {}},
    }


def read_hint(token: str, keys: Mapping[str, SigningKey], issuer: str) -> dict[str, Any]:
    """The claims of an ID token of ours that comes back as a hint; its time may have passed (RP-Initiated Logout §4).

    Raises ValueError for anything else, an access token included.
    """
    if len(token) > HINT_CHARS_MAX:
        raise ValueError("too long for a token of ours")
    try:
        header = jwt.get_unverified_header(token)
        key = keys.get(str(header.get("kid")))
        if key is None or header.get("typ") != ID_TYPE:
            raise ValueError("not an ID token of ours")
        claims: dict[str, Any] = jwt.decode(
            token,
            jwt.PyJWK(dict(key.jwk)),
            algorithms=[key.alg],
            issuer=issuer,
            options={"require": ["sub", "aud"], "verify_exp": False, "verify_aud": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, RecursionError):  # older PyJWT lets a header that is nested too deep come through
        raise ValueError("not an ID token of ours") from None
    return claims


def unverified_claims(token: str) -> dict[str, Any]:
    """What a token says, believed by nobody. Empty for what can't be read."""
    try:
        said: dict[str, Any] = jwt.decode(token[:HINT_CHARS_MAX], options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError, UnicodeEncodeError):
        return {}
    return said


def claimed_audience(token: str) -> str:
    """The client that a token names, believed by nobody: no better than an id that anybody can write. Empty for what
    can't be read."""
    audience = unverified_claims(token).get("aud")
    return audience if isinstance(audience, str) else ""


def claimed_kid(token: str) -> str:
    """The key that a token names, believed by nobody. Empty for what can't be read."""
    try:
        header = jwt.get_unverified_header(token[:HINT_CHARS_MAX])
    except (jwt.PyJWTError, RecursionError, UnicodeError):
        return ""
    kid = header.get("kid")
    return kid if isinstance(kid, str) and header.get("typ") == ID_TYPE else ""
