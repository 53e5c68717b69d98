"""Looking into an access token without trusting it, and saying who would refuse it and why.

Each kind of verifier checks less than ours does, and each something else; a table names who refuses what. What is
measured about gateways is in `docs/howto` beside their recipes. Nothing here lets anybody in, so all that is wrong is
shown, also of a forged token.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from authsvc import verifier
from authsvc.text import SECRETS

OURS = "authsvc verifier"
FORWARD = "forward-auth (nginx auth_request, Traefik, Caddy, Envoy ext_authz)"
HAPROXY = "HAProxy jwt_verify"
ENVOY = "Envoy jwt_authn"
OPENIDC = "Apache mod_auth_openidc"
OAUTH2 = "Apache mod_oauth2"
EVERYBODY = (OURS, FORWARD, HAPROXY, ENVOY, OPENIDC, OAUTH2)


Find = Callable[[str], tuple[str, Callable[[bytes, bytes], bool]]]


@dataclass(frozen=True)
class Expected:
    """What the token is compared with; None is not compared."""

    issuer: str | None = None
    audience: str | None = None
    practice: str | None = None
    keys: Mapping[str, tuple[str, Callable[[bytes, bytes], bool]]] | None = None
    now_s: float = 0.0


@dataclass(frozen=True)
class TokenInspection:
    """What a token says (`header`, `claims`: untrusted) and who would refuse it, for which reasons."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signature: str
    refusals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def other_kind(token: str) -> str | None:
    """What this is, if it is one of our secrets that isn't an access token."""
    return next((what for prefix, what in SECRETS.items() if token.startswith(prefix)), None)


def inspect(token: str, expected: Expected) -> TokenInspection:
    """Raises ValueError for a text that isn't a JWT at all."""
    header, claims, signed, signature = _opened(token)
    verdict = _signature(header, signed, signature, expected)
    refusals: dict[str, list[str]] = {who: [] for who in EVERYBODY}
    for who, why in _objections(header, claims, verdict, expected):
        for each in who:
            refusals[each].append(why)
    if exact := _ours(token, claims, expected):
        refusals[OURS].insert(0, exact)
    return TokenInspection(header, claims, verdict, {who: tuple(dict.fromkeys(why)) for who, why in refusals.items()})


def _opened(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError(f"a signed JWT has three parts with dots between; this has {len(parts)}")
    try:
        header, claims = (json.loads(_unb64(part)) for part in parts[:2])
        signature = _unb64(parts[2])
    except ValueError:
        raise ValueError("its parts are not base64url, or not JSON inside") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("header and claims must be JSON objects")
    return header, claims, token.rpartition(".")[0].encode(), signature


def _unb64(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _signature(header: dict[str, Any], signed: bytes, signature: bytes, expected: Expected) -> str:
    """`good`, `bad`, `unknown-kid`, or `unchecked` when the keys aren't at hand."""
    if expected.keys is None:
        return "unchecked"
    kid = header.get("kid")
    key = expected.keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        return "unknown-kid"
    return "good" if header.get("alg") == key[0] and key[1](signed, signature) else "bad"


def _objections(
    header: dict[str, Any], claims: dict[str, Any], signature: str, expected: Expected
) -> list[tuple[tuple[str, ...], str]]:
    """(who minds, why) for everything that is not as it should be."""
    ours = (OURS, FORWARD)
    found: list[tuple[tuple[str, ...], str]] = []
    alg, typ, kid, aud = header.get("alg"), header.get("typ"), header.get("kid"), claims.get("aud")
    if alg not in ("ES256", "RS256", "EdDSA"):
        found.append((EVERYBODY, f"alg {alg!r} is not one that this service signs with"))
    elif alg == "EdDSA":
        found.append(((HAPROXY, OPENIDC, OAUTH2), "alg 'EdDSA' is unknown to it; sign with ES256"))
    if not isinstance(typ, str) or typ.lower() not in ("at+jwt", "application/at+jwt"):
        found.append((ours, f"typ {typ!r} is not 'at+jwt': another kind of token"))
    if kid is None:
        found.append(((*ours, HAPROXY), "there is no kid; the others try every key"))
    elif signature == "unknown-kid":
        found.append((EVERYBODY, f"kid {kid!r} is not published: revoked, retired, or of another issuer"))
    if signature == "bad":
        found.append((EVERYBODY, "the signature is not by the key that kid names"))
    if not isinstance(aud, str):
        found.append(((*ours, HAPROXY), "aud is not one string"))
    audiences = aud if isinstance(aud, list) else [aud]
    if expected.audience is not None and expected.audience not in audiences:
        found.append((EVERYBODY, f"aud {aud!r} is not {expected.audience!r}"))
    if expected.issuer is not None and claims.get("iss") != expected.issuer:
        found.append((EVERYBODY, f"iss {claims.get('iss')!r} is not {expected.issuer!r}, byte for byte"))
    found += _instants(claims, expected.now_s)
    if expected.practice is not None and claims.get("practice") != expected.practice:
        found.append((ours, f"practice {claims.get('practice')!r} is not {expected.practice!r}"))
    return found


def _instants(claims: dict[str, Any], now_s: float) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    exp, nbf, iat = claims.get("exp"), claims.get("nbf"), claims.get("iat")
    if not _is_number(exp):
        found.append((EVERYBODY, f"exp {exp!r} is not a number"))
    elif exp <= now_s:
        found.append((EVERYBODY, f"it expired {now_s - exp:.0f} s ago"))
    if _is_number(nbf) and nbf > now_s:
        found.append(((OURS, FORWARD, ENVOY), f"nbf is {nbf - now_s:.0f} s ahead"))
    if _is_number(iat) and iat > now_s + verifier.LEEWAY_S:
        found.append(((OURS, FORWARD), f"iat is {iat - now_s:.0f} s ahead: two clocks differ"))
    return found


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ours(token: str, claims: dict[str, Any], expected: Expected) -> str | None:
    """The word by which our verifier would refuse, from the verifier itself. Without keys every signature passes, so
    that the rest of its judgement is heard."""

    def find(kid: str) -> tuple[str, Callable[[bytes, bytes], bool]]:
        if expected.keys is None:
            return str(_opened(token)[0].get("alg")), lambda _signed, _signature: True
        if kid not in expected.keys:
            raise verifier.InvalidToken("unknown_kid")
        return expected.keys[kid]

    issuer = expected.issuer if expected.issuer is not None else claims.get("iss", "")
    try:
        verifier.check(token, find, issuer, expected.now_s)
    except verifier.InvalidToken as refusal:
        return f"its word for it: {refusal.reason}"
    return None
