"""The conformance kit: tokens with the verdict that a verifier of authsvc's access tokens must reach.

    python tests/vectors/generate.py            writes conformance.json and the table in docs/reference/conformance.md
    python tests/vectors/generate.py --check    exit 1 if either differs from what would be written

Every run writes the same bytes: the keys come from fixed seeds and the signatures are deterministic. THE KEYS ARE FOR
TESTS ONLY: anybody can make them again from this file.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import random
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HERE = Path(__file__).parent
KIT = HERE / "conformance.json"
DOC = HERE.parent.parent / "docs" / "reference" / "conformance.md"
BEGIN, END = "<!-- bare PyJWT: begin (generated) -->", "<!-- bare PyJWT: end -->"

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z
ISSUER, AUDIENCE, PRACTICE = "https://auth.example", "practice-services", "maple"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "maple:p_1001",
    "aud": AUDIENCE,
    "client_id": "portal",
    "practice": PRACTICE,
    "patient": "p_1001",
    "scope": "invoices:view contact:view contact:edit",
    "acr": "extra",
    "amr": ["email"],
    "auth_time": NOW - 120,
    "iat": NOW - 60,
    "exp": NOW + 540,
    "jti": "q3Zl0cQ5mJb7b0q8k2W1xA",
}
SIGN_IN = CLAIMS | {"sid": "Jm0r2iZQv1n8dG7yWb3kXw"}
LINK = CLAIMS | {
    "scope": "invoice:view invoice:pay",
    "acr": "instant",
    "link": "u7Yt2LkQ9sVb4nPz",
    "resource": "invoice:inv_1",
    "authorization_details": [{"type": "invoice", "identifier": "inv_1", "actions": ["view", "pay"]}],
}


GUARDIAN = "maple:p_2002"
ACTING = SIGN_IN | {"act": {"sub": GUARDIAN}}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# --- keys for tests only ------------------------------------------------------------------------------------------


def ec_key(seed: str, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(hashlib.sha512(b"authsvc conformance kit, test key only: " + seed.encode()).digest())
    return ec.derive_private_key(number % 2**255 + 1, curve or ec.SECP256R1())


def rsa_key(seed: str, bits: int, *draws: int) -> rsa.RSAPrivateKey:
    """Two primes of a seeded generator: which draws are prime was found by trying all, and is tried again here."""
    source = random.Random("authsvc conformance kit, test key only: " + seed)

    def prime(draw: int) -> int:
        for _ in range(draw):
            candidate = source.getrandbits(bits // 2) | 3 << (bits // 2 - 2) | 1
        assert candidate % 65537 != 1
        assert pow(2, candidate - 1, candidate) == 1
        return candidate

    p, q = sorted(map(prime, draws), reverse=True)
    d = pow(65537, -1, (p - 1) * (q - 1))
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(65537, p * q)).private_key()


class Signer(NamedTuple):
    """A key, its public JWK and how it signs."""

    alg: str
    private: Any
    jwk: dict[str, Any]

    @property
    def kid(self) -> str:
        return str(self.jwk["kid"])

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        digest: hashes.HashAlgorithm = hashes.SHA384() if self.alg == "ES384" else hashes.SHA256()
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(digest, deterministic_signing=True)))
        size: int = (self.private.curve.key_size + 7) // 8
        return r.to_bytes(size) + s.to_bytes(size)


def signer(alg: str, private: Any, **members: Any) -> Signer:
    jwk: dict[str, Any] = jwt.get_algorithm_by_name(alg).to_jwk(private.public_key(), as_dict=True)
    jwk = {name: value for name, value in jwk.items() if name != "key_ops"}
    thumb = {name: jwk[name] for name in sorted(jwk) if name in ("crv", "e", "kty", "n", "x", "y")}
    return Signer(
        alg, private, jwk | {"use": "sig", "alg": alg, "kid": b64(hashlib.sha256(compact(thumb)).digest())} | members
    )


CURRENT = signer("ES256", ec_key("current"))
NEXT = signer("ES256", ec_key("next"))
REVOKED = signer("ES256", ec_key("revoked"))
STRANGER = signer("ES256", ec_key("stranger"))
RS256 = signer("RS256", rsa_key("rs256", 3072, 120, 665))
EDDSA = signer("EdDSA", ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"authsvc test key only").digest()))
# Keys that stand in the published set and must not verify an access token.
P384 = signer("ES384", ec_key("p384", ec.SECP384R1()))
FOR_ENCRYPTION = signer("ES256", ec_key("encryption"), use="enc")
WEAK_RSA = signer("RS256", rsa_key("weak", 1024, 36, 81))
JWKS = {"keys": [one.jwk for one in (CURRENT, NEXT, RS256, EDDSA, P384, FOR_ENCRYPTION, WEAK_RSA)]}


# --- making tokens ------------------------------------------------------------------------------------------------


def header(key: Signer = CURRENT, /, **members: Any) -> dict[str, Any]:
    return {"alg": key.alg, "typ": "at+jwt", "kid": key.kid} | members


def token(
    payload: object = SIGN_IN, head: object = None, key: Signer = CURRENT, sign: Callable[[bytes], bytes] | None = None
) -> str:
    """A signed token. Bytes go in as they are, so that broken JSON can be signed well."""
    head = header(key) if head is None else head
    parts = [b64(part if isinstance(part, bytes) else compact(part)) for part in (head, payload)]
    signed = ".".join(parts).encode()
    return f"{signed.decode()}.{b64((sign or key.sign)(signed))}"


def having(**claims: Any) -> str:
    return token(SIGN_IN | claims)


def lacking(claim: str) -> str:
    return token({name: value for name, value in SIGN_IN.items() if name != claim})


def spelled(claim: str, text: str) -> str:
    """The good payload with one claim's value spelled out as JSON text, for what json.dumps would not write."""
    return token(compact(SIGN_IN | {claim: "@"}).replace(b'"@"', text.encode()))


def hs256(secret: bytes) -> str:
    return token(head=header(alg="HS256"), sign=lambda signed: hmac.digest(secret, signed, "sha256"))


def with_signature(change: Callable[[bytes], bytes]) -> str:
    return token(sign=lambda signed: change(CURRENT.sign(signed)))


def respell_last_character(text: str) -> str:
    """Another spelling of the same bytes: the unused low bits of the last character set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if len(text) % 4 not in (2, 3):
        raise ValueError("this length leaves no unused bits")
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


class Row(NamedTuple):
    group: str
    name: str
    why: str
    token: str
    verdict: str = "refuse"


def good() -> Iterator[Row]:
    def row(name: str, why: str, made: str) -> Row:
        return Row("good", name, why, made, "accept")

    yield row("code sign-in", "the everyday token", token())
    yield row("instant link with a resource", "`resource` and `authorization_details` agree", token(LINK))
    plain = {name: value for name, value in LINK.items() if name not in ("resource", "authorization_details")}
    yield row(
        "instant link without a resource", "a workflow may have none", token(plain | {"scope": "payment_info:update"})
    )
    yield row("a guardian acts for the patient", "`act` names another patient of the practice", token(ACTING))
    yield row("signed by the next key", "every suitable key of the set counts", token(key=NEXT))
    yield row("RS256", "chosen by setting", token(key=RS256))
    yield row("EdDSA", "chosen by setting", token(key=EDDSA))
    yield row(
        "typ with application/ and in capitals", "media types ignore case", token(head=header(typ="Application/AT+JWT"))
    )
    yield row("expired 29 s ago", "within the leeway of 30 s", having(iat=NOW - 629, exp=NOW - 29, auth_time=NOW - 700))
    yield row("issued 30 s ahead", "within the leeway of 30 s", having(iat=NOW + 30, auth_time=NOW + 30))
    yield row(
        "a claim nobody knows", "claims may be added; they are ignored", having(added_later={"a": [1, 2.5, None]})
    )


def algorithms() -> Iterator[Row]:
    def row(name: str, why: str, made: str) -> Row:
        return Row("algorithm", name, why, made)

    for name in ("none", "None", "NONE", "nOnE"):
        head, payload, signature = token(head=header(alg=name)).split(".")
        yield row(f"{name} without signature", "unsigned", f"{head}.{payload}.")
        yield row(
            f"{name} with the old signature", "unsigned, though something stands there", f"{head}.{payload}.{signature}"
        )
    public = CURRENT.private.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, spki)
    for name, secret in {
        "PEM": pem,
        "PEM without its last line end": pem.rstrip(),
        "DER": public.public_bytes(serialization.Encoding.DER, spki),
        "JWK": compact(CURRENT.jwk),
        "x coordinate": CURRENT.jwk["x"].encode(),
        "kid": CURRENT.kid.encode(),
        "nothing": b"",
    }.items():
        yield row(f"HS256 with the public key as secret: {name}", "key confusion", hs256(secret))
    for alg in ("ES384", "ES512", "ES256K", "PS256", "RS512", "es256", "Ed25519", ""):
        yield row(f"alg {alg or 'empty'}", "not on the list (exact spelling)", token(head=header(alg=alg)))
    yield row("alg is a number", "mistyped", token(head=header(alg=256)))
    yield row("alg is an array", "mistyped", token(head=header(alg=["ES256"])))
    yield row("alg missing", "required", token(head={"typ": "at+jwt", "kid": CURRENT.kid}))
    yield row("RS256 under the kid of an EC key", "a key has one algorithm", token(head=header(alg="RS256"), key=RS256))
    yield row("ES256 under the kid of an RSA key", "a key has one algorithm", token(head=header(kid=RS256.kid)))
    yield row("EdDSA under the kid of an EC key", "a key has one algorithm", token(head=header(alg="EdDSA"), key=EDDSA))
    yield row("PS256 by the RSA key", "that key is for RS256", token(head=header(RS256, alg="PS256"), sign=_pss))


def _pss(signed: bytes) -> bytes:
    """Salt length 0 makes it deterministic; a verifier must not get as far as to care."""
    return bytes(RS256.private.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 0), hashes.SHA256()))


def keys() -> Iterator[Row]:
    def row(name: str, why: str, made: str) -> Row:
        return Row("key", name, why, made)

    yield row("revoked key", "was in the set, is gone", token(key=REVOKED))
    yield row(
        "unknown kid", "good signature of a good key, wrong name", token(head=header(kid="nobody-knows-this-key"))
    )
    yield row(
        "kid of another good key", "the key that kid names decides, not any that fits", token(head=header(kid=NEXT.kid))
    )
    yield row("known kid, stranger's key", "forged", token(head=header(), key=STRANGER))
    yield row("kid in capitals", "exact comparison", token(head=header(kid=CURRENT.kid.upper())))
    yield row("kid missing", "required; one doesn't try all keys", token(head={"alg": "ES256", "typ": "at+jwt"}))
    yield row("kid empty", "required", token(head=header(kid="")))
    yield row("kid null", "mistyped", token(head=header(kid=None)))
    yield row("kid is a number", "mistyped", token(head=header(kid=1)))
    yield row("kid of 4,000 characters", "capped", token(head=header(kid="k" * 4000)))
    yield row("kid is a path", "data, never a file name", token(head=header(kid="../../../../dev/null")))
    yield row("kid is an address", "data, never fetched", token(head=header(kid="https://evil.example/key")))
    yield row("kid is SQL", "data, never a query", token(head=header(kid="x' UNION SELECT 'AAAA' --")))
    yield row("P-384 key with its own ES384", "wrong curve, though published", token(key=P384))
    yield row("P-384 key with ES256", "wrong curve for the algorithm", token(head=header(P384, alg="ES256"), key=P384))
    yield row("key with use enc", "not for signatures, though published", token(key=FOR_ENCRYPTION))
    yield row("RSA key of 1024 bits", "too weak, though published", token(key=WEAK_RSA))


def headers() -> Iterator[Row]:
    def row(name: str, why: str, made: str) -> Row:
        return Row("header", name, why, made)

    for typ in ("JWT", "at-jwt", "logout+jwt", "id+jwt", "at+jwt ", "at+jwt; v=1", "text/at+jwt", ""):
        yield row(f"typ {typ!r}", "another kind of JWT", token(head=header(typ=typ)))
    yield row("typ missing", "RFC 9068 §4", token(head={"alg": "ES256", "kid": CURRENT.kid}))
    yield row("typ is an array", "mistyped", token(head=header(typ=["at+jwt"])))
    own = {name: value for name, value in STRANGER.jwk.items() if name != "kid"}
    yield row("embedded jwk", "the token brings its own key", token(head=header(jwk=own), key=STRANGER))
    yield row(
        "embedded jwk under a known kid",
        "and calls it by our name",
        token(head=header(jwk=STRANGER.jwk | {"kid": CURRENT.kid}), key=STRANGER),
    )
    yield row(
        "jku",
        "the token says where to fetch a key",
        token(head=header(STRANGER, jku="https://evil.example/jwks.json"), key=STRANGER),
    )
    yield row(
        "x5u",
        "the token says where to fetch a certificate",
        token(head=header(STRANGER, x5u="https://evil.example/cert.pem"), key=STRANGER),
    )
    yield row("x5c", "the token brings a certificate", token(head=header(STRANGER, x5c=["MIIB"]), key=STRANGER))
    yield row(
        "jku beside a good signature",
        "no member but alg, typ and kid is ours",
        token(head=header(jku=ISSUER + "/.well-known/jwks.json")),
    )
    yield row(
        "crit with an unknown extension", "RFC 7515 §4.1.11", token(head=header(crit=["exp-soon"]) | {"exp-soon": 1})
    )
    yield row("crit empty", "RFC 7515 §4.1.11", token(head=header(crit=[])))
    yield row("crit b64", "RFC 7797 changes what is signed", token(head=header(crit=["b64"], b64=False)))
    yield row("zip", "compressed payloads are for JWE", token(head=header(zip="DEF")))
    yield row("cty JWT", "a token within a token", token(head=header(cty="JWT")))
    good_head = compact(header())
    yield row("alg twice", "readers differ in which one counts", token(head=good_head[:-1] + b',"alg":"ES256"}'))
    yield row(
        "alg twice, first none", "readers differ in which one counts", token(head=b'{"alg":"none",' + good_head[1:])
    )
    yield row(
        "kid twice",
        "readers differ in which one counts",
        token(head=good_head[:-1] + f',"kid":"{CURRENT.kid}"}}'.encode()),
    )
    yield row("header is an array", "not an object", token(head=[header()]))
    yield row("header is no JSON", "not JSON", token(head=b"at+jwt"))
    yield row("header in UTF-16", "not UTF-8", token(head=json.dumps(header()).encode("utf-16")))


def signatures() -> Iterator[Row]:
    def row(name: str, why: str, made: str) -> Row:
        return Row("signature", name, why, made)

    half = P256_ORDER.to_bytes(32)
    yield row("one bit changed", "forged", with_signature(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])))
    yield row("one byte short", "64 bytes exactly", with_signature(lambda raw: raw[:-1]))
    yield row("one byte long", "64 bytes exactly", with_signature(lambda raw: raw + b"\0"))
    yield row("half", "64 bytes exactly", with_signature(lambda raw: raw[:32]))
    yield row("twice", "64 bytes exactly", with_signature(lambda raw: raw * 2))
    yield row("halves swapped", "s before r", with_signature(lambda raw: raw[32:] + raw[:32]))
    yield row("DER", "RFC 7518 §3.4 wants r and s side by side", token(sign=_der))
    yield row("all zero", "r = s = 0 fits every message where it isn't checked", with_signature(lambda _: bytes(64)))
    yield row("r zero", "out of range", with_signature(lambda raw: bytes(32) + raw[32:]))
    yield row("s zero", "out of range", with_signature(lambda raw: raw[:32] + bytes(32)))
    yield row("r and s are the curve's order", "zero in disguise", with_signature(lambda _: half * 2))
    yield row("all ones", "out of range", with_signature(lambda _: b"\xff" * 64))
    head, payload, signature = token().split(".")
    other = token(SIGN_IN | {"patient": "p_2", "sub": "maple:p_2"}).split(".")
    yield row("payload of another token", "forged", f"{head}.{other[1]}.{signature}")
    yield row("signature of another token", "forged", f"{head}.{payload}.{other[2]}")
    respelled = b64(json.dumps(header(), indent=1).encode())
    yield row("header spelled anew", "the very bytes are signed", f"{respelled}.{payload}.{signature}")


def _der(signed: bytes) -> bytes:
    return bytes(CURRENT.private.sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))


def shapes() -> Iterator[Row]:
    def row(name: str, why: str, made: str) -> Row:
        return Row("shape", name, why, made)

    whole = token()
    head, payload, signature = whole.split(".")
    yield row("nothing", "empty", "")
    yield row("two dots", "empty parts", "..")
    yield row("two parts", "three parts exactly", f"{head}.{payload}")
    yield row("four parts", "three parts exactly", f"{whole}.{signature}")
    yield row("JWE, five parts", "no encrypted tokens", f"{head}.{payload}.{signature}.{payload}.{signature}")
    yield row("empty header", "empty part", f".{payload}.{signature}")
    yield row("empty payload", "empty part", f"{head}..{signature}")
    yield row("empty signature", "unsigned", f"{head}.{payload}.")
    general = {"payload": payload, "signatures": [{"protected": head, "signature": signature}]}
    yield row("JSON serialisation, general", "compact only", compact(general).decode())
    yield row(
        "JSON serialisation, flattened",
        "compact only",
        compact({"payload": payload, "protected": head, "signature": signature}).decode(),
    )
    yield row("padding after the signature", "RFC 7515 §2: none", f"{whole}==")
    yield row(
        "padding after the header", "RFC 7515 §2: none", f"{head}{'=' * (-len(head) % 4) or '='}.{payload}.{signature}"
    )
    yield row("space in front", "no white space", f" {whole}")
    yield row("space behind", "no white space", f"{whole} ")
    yield row("line end behind", "no white space", f"{whole}\n")
    yield row("line end within the signature", "no white space", f"{whole[:-10]}\n{whole[-10:]}")
    yield row("tab within the header", "no white space", f"{whole[:10]}\t{whole[10:]}")
    yield row("NUL behind", "not of the alphabet", f"{whole}\0")
    yield row("the word Bearer in front", "the scheme is no part of the token", f"Bearer {whole}")
    yield row("standard base64 alphabet", "+ and / are not base64url", f"{head}.{payload}.{_with_plus_or_slash()}")
    yield row("a letter beyond ASCII", "not of the alphabet", f"{whole[:-1]}é")
    yield row("full-width full stops", "not dots", whole.replace(".", "．"))
    yield row(
        "signature spelled otherwise",
        "one spelling for each value: unused bits are zero",
        f"{head}.{payload}.{respell_last_character(signature)}",
    )
    yield row("one character too many", "no base64url text has this length", f"{whole}AAA")
    yield row("over 8 kB", "capped before parsing", having(filler="x" * 8000))


def _with_plus_or_slash() -> str:
    """The good signature in the other alphabet, if it shows; the last part needn't fit, since it must not be read."""
    standard = token().rpartition(".")[2].replace("-", "+").replace("_", "/")
    return standard if set(standard) & {"+", "/"} else f"+{standard[1:]}"


def payloads() -> Iterator[Row]:
    def row(name: str, why: str, made: str) -> Row:
        return Row("payload", name, why, made)

    text = compact(SIGN_IN)
    yield row(
        "exp twice", "readers differ in which one counts", token(text[:-1] + f',"exp":{NOW + 9_000_000}}}'.encode())
    )
    yield row(
        "patient twice, once escaped",
        "the same name after unescaping",
        token(text[:-1] + b',"p\\u0061tient":"p_1001"}'),
    )
    yield row("twins in a nested object", "at any depth", token(text[:-1] + b',"extra":{"deep":[{"a":1,"a":2}]}}'))
    yield row("NaN somewhere", "not JSON", token(text[:-1] + b',"extra":NaN}'))
    yield row("Infinity somewhere", "not JSON", token(text[:-1] + b',"extra":-Infinity}'))
    yield row("number beyond all doubles", "infinity in disguise", token(text[:-1] + b',"extra":1e999}'))
    yield row("array of claims", "not an object", token([SIGN_IN]))
    yield row("array of pairs", "not an object", token([[name, value] for name, value in SIGN_IN.items()]))
    yield row("a string", "not an object", token("maple:p_1001"))
    yield row("null", "not an object", token(b"null"))
    yield row("no JSON", "not JSON", token(b"sub=maple:p_1001"))
    yield row("two objects", "not JSON", token(text + text))
    yield row("a comment", "not JSON", token(b"/* hello */" + text))
    yield row("trailing comma", "not JSON", token(text[:-1] + b",}"))
    yield row("single quotes", "not JSON", token(text.replace(b'"', b"'")))
    yield row("not UTF-8", "RFC 7519 §3", token(text[:-1] + b',"extra":"\xff\xfe"}'))
    yield row("UTF-8 with a byte order mark", "RFC 8259 §8.1", token(b"\xef\xbb\xbf" + text))
    yield row("UTF-16", "RFC 7519 §3", token(text.decode().encode("utf-16")))
    yield row(
        "nested 2,500 deep",
        "must be refused, not crash the reader",
        token(text[:-1] + b',"extra":' + b"[" * 2500 + b"]" * 2500 + b"}"),
    )
    yield row("empty object", "nothing is claimed", token({}))


def claims() -> Iterator[Row]:
    def row(name: str, why: str, made: str) -> Row:
        return Row("claim", name, why, made)

    for claim in CLAIMS:
        yield row(f"{claim} missing", "required", lacking(claim))
        yield row(f"{claim} null", "mistyped", having(**{claim: None}))
    for claim in ("iss", "sub", "client_id", "practice", "patient", "scope", "acr", "jti"):
        yield row(f"{claim} is a number", "mistyped", having(**{claim: 7}))
        yield row(f"{claim} empty", "says nothing", having(**{claim: ""}))
    for claim in ("exp", "iat", "auth_time"):
        yield row(f"{claim} is text", "a number, not digits", having(**{claim: str(SIGN_IN[claim])}))
        yield row(f"{claim} is true", "true isn't 1", having(**{claim: True}))
        yield row(f"{claim} has a fraction", "whole seconds", having(**{claim: SIGN_IN[claim] + 0.5}))
        yield row(f"{claim} is negative", "before the epoch", having(**{claim: -1}))
        yield row(f"{claim} is NaN", "not JSON", spelled(claim, "NaN"))
    yield row("exp is Infinity", "not JSON", spelled("exp", "Infinity"))
    yield row("exp is 1e999", "infinity in disguise", spelled("exp", "1e999"))
    yield row("exp is an array", "mistyped", having(exp=[NOW + 540]))
    yield row("amr is text", "an array", having(amr="email"))
    yield row("amr empty", "says nothing", having(amr=[]))
    yield row("amr holds a number", "an array of text", having(amr=["email", 1]))
    yield row("scope is an array", "one text with spaces", having(scope=["invoices:view"]))
    yield row("scope with two spaces", "single spaces (RFC 6749 §3.3)", having(scope="invoices:view  contact:view"))
    yield row("scope with a quote", "would break out of a header", having(scope='invoices:view"'))
    yield row(
        "client_id with a line end",
        "would split a header or a log line",
        having(client_id="portal\r\nX-Auth-Acr: extra"),
    )
    yield row(
        "patient with a colon", "`practice:patient` must read in one way only", having(patient="p:1", sub="maple:p:1")
    )
    yield row("sid empty", "says nothing", having(sid=""))
    yield row("sid is a number", "mistyped", having(sid=7))
    yield row("link is an array", "mistyped", token(LINK | {"link": ["u7Yt2LkQ9sVb4nPz"]}))
    yield row("sid and link", "a link never opens a session", token(LINK | {"sid": SIGN_IN["sid"]}))
    yield row("nbf is text", "mistyped", having(nbf=str(NOW)))


def meanings() -> Iterator[Row]:
    def row(name: str, why: str, made: str) -> Row:
        return Row("meaning", name, why, made)

    for name, issuer in {
        "another": "https://other.example",
        "with a slash behind": ISSUER + "/",
        "in capitals": "https://AUTH.example",
        "as http": "http://auth.example",
        "only its beginning": ISSUER[:-1],
        "and more": ISSUER + ".evil.example",
    }.items():
        yield row(f"iss {name}", "exact comparison", having(iss=issuer))
    yield row("iss in an array", "one text", having(iss=[ISSUER]))
    for name, audience in {
        "another": "marketing",
        "in capitals": AUDIENCE.upper(),
        "only its beginning": AUDIENCE[:-1],
        "and more": AUDIENCE + "-2",
        "with a slash behind": AUDIENCE + "/",
        "with a space behind": AUDIENCE + " ",
        "empty": "",
        "in an array": [AUDIENCE],
        "in an array with another": [AUDIENCE, "marketing"],
    }.items():
        yield row(f"aud {name}", "one text, exact comparison", having(aud=audience))
    yield row("another practice", "this service is maple's", having(practice="birch", sub="birch:p_1001"))
    yield row("practice in capitals", "exact comparison", having(practice="MAPLE", sub="MAPLE:p_1001"))
    yield row("sub of another patient", "`sub` is `practice:patient`", having(sub="maple:p_1002"))
    yield row("sub of another practice", "`sub` is `practice:patient`", having(sub="birch:p_1001"))
    yield row("sub without practice", "`sub` is `practice:patient`", having(sub="p_1001"))
    yield row("expired 30 s ago", "the leeway is over", having(iat=NOW - 630, exp=NOW - 30, auth_time=NOW - 700))
    yield row("expired an hour ago", "expired", having(iat=NOW - 4200, exp=NOW - 3600, auth_time=NOW - 4200))
    yield row("issued 31 s ahead", "beyond the leeway", having(iat=NOW + 31))
    yield row("authenticated 31 s ahead", "would satisfy every max_age", having(auth_time=NOW + 31))
    yield row("nbf 31 s ahead", "not yet", having(nbf=NOW + 31))
    yield row("expires when issued", "no life", having(exp=NOW - 10, iat=NOW - 10))
    changes: dict[str, dict[str, Any]] = {
        "resource empty": {"resource": ""},
        "resource null": {"resource": None},
        "resource is an object": {"resource": {"type": "invoice"}},
        "authorization_details empty": {"authorization_details": []},
        "authorization_details is an object": {"authorization_details": LINK["authorization_details"][0]},
        "authorization_details is a number": {"authorization_details": 1},
        "authorization_details holds text": {"authorization_details": ["invoice"]},
        "authorization_details without type": {"authorization_details": [{"identifier": "inv_1"}]},
        "authorization_details with a type that is a number": {
            "authorization_details": [{"type": 1, "identifier": "inv_1"}]
        },
        "authorization_details with actions as text": {
            "authorization_details": [LINK["authorization_details"][0] | {"actions": "pay"}]
        },
    }
    for name, changed in changes.items():
        yield row(name, "mistyped; must not read as `not bound`", token(LINK | changed))
    yield row(
        "authorization_details for another invoice",
        "must agree with `resource`",
        token(LINK | {"resource": "invoice:inv_2"}),
    )
    both = [LINK["authorization_details"][0], {"type": "invoice", "identifier": "inv_2", "actions": ["pay"]}]
    yield row(
        "authorization_details for a second invoice",
        "must agree with `resource`",
        token(LINK | {"authorization_details": both}),
    )
    alone = {name: value for name, value in LINK.items() if name != "authorization_details"}
    yield row("resource empty, no details", "must not read as `not bound`", token(alone | {"resource": ""}))
    yield row("resource null, no details", "must not read as `not bound`", token(alone | {"resource": None}))
    unnamed = {name: value for name, value in LINK.items() if name != "resource"}
    yield row("authorization_details without resource", "must not read as `not bound`", token(unnamed))


def actors() -> Iterator[Row]:
    def row(name: str, why: str, act: object) -> Row:
        return Row("actor", name, why, having(act=act))

    yield row("act null", "mistyped; must not read as `nobody acts`", None)
    yield row("act is text", "an object (RFC 8693 §4.1)", GUARDIAN)
    yield row("act is an array", "an object (RFC 8693 §4.1)", [{"sub": GUARDIAN}])
    yield row("act is true", "an object (RFC 8693 §4.1)", True)
    yield row("act empty", "says nobody", {})
    yield row("act without sub", "says nobody", {"client_id": "portal"})
    yield row("act with a sub that is null", "mistyped", {"sub": None})
    yield row("act with an empty sub", "says nobody", {"sub": ""})
    yield row("act with a sub that is a number", "mistyped", {"sub": 2002})
    yield row("act with a sub that is an array", "one actor", {"sub": [GUARDIAN]})
    yield row("act with a sub without practice", "`sub` is `practice:patient`", {"sub": "p_2002"})
    yield row("act with a sub without patient", "`sub` is `practice:patient`", {"sub": "maple:"})
    yield row("act with a sub of another practice", "nobody acts across practices", {"sub": "birch:p_2002"})
    yield row("act with a practice in capitals", "exact comparison", {"sub": "MAPLE:p_2002"})
    yield row("act with two colons", "`practice:patient` must read in one way only", {"sub": "maple:p:2002"})
    yield row("act with a line end", "would split a header or a log line", {"sub": "maple:p_2002\r\nX-Auth-Acr: extra"})
    yield row("act with the patient's own sub", "nobody acts for itself", {"sub": CLAIMS["sub"]})
    yield row(
        "act within act", "a chain reaches patients whom nobody named", {"sub": GUARDIAN, "act": {"sub": "maple:p_3"}}
    )
    yield row("act with another member", "`sub` alone is ours", {"sub": GUARDIAN, "iss": ISSUER})
    twice = compact(ACTING)[:-1] + b',"act":{"sub":"maple:p_3"}}'
    yield Row("actor", "act twice", "readers differ in which one counts", token(twice))
    twin = spelled("act", '{"sub":"maple:p_2002","sub":"maple:p_3"}')
    yield Row("actor", "act with sub twice", "readers differ in which one counts", twin)
    yield Row("actor", "act in a link's token", "a link is for one person", token(LINK | {"act": {"sub": GUARDIAN}}))
    neither = {name: value for name, value in ACTING.items() if name != "sid"}
    yield Row("actor", "act without sid", "one acts within a session", token(neither))


@functools.cache
def rows() -> tuple[Row, ...]:
    makers = (good, algorithms, keys, headers, signatures, shapes, payloads, claims, meanings, actors)
    return tuple(row for make in makers for row in make())


# --- what bare PyJWT would have said ------------------------------------------------------------------------------


class FrozenDatetime(datetime):
    """PyJWT reads the time of day by itself; here it is the kit's."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> FrozenDatetime:
        return cls.fromtimestamp(NOW, tz)


def bare_pyjwt_accepts(made: str) -> bool:
    with mock.patch("jwt.api_jwt.datetime", FrozenDatetime):
        try:
            jwt.decode(made, CURRENT.private.public_key(), algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
        except jwt.PyJWTError:
            return False
    return True


def table() -> str:
    taken = [row for row in rows() if row.verdict == "refuse" and bare_pyjwt_accepts(row.token)]
    bad = sum(row.verdict == "refuse" for row in rows())
    lines = [
        f"PyJWT {jwt.__version__} lets {len(taken)} of the kit's {bad} bad tokens pass:",
        "",
        "| group | token | why it must be refused |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {row.group} | {row.name} | {row.why} |" for row in taken]
    return "\n".join([BEGIN, "", *lines, "", END])


def kit() -> str:
    document = {
        "about": "Conformance kit for verifiers of authsvc access tokens. The keys are for tests only. "
        "Written by tests/vectors/generate.py; explained in docs/reference/conformance.md.",
        "settings": {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "practice": PRACTICE,
            "now": NOW,
            "now_text": datetime.fromtimestamp(NOW, UTC).isoformat(),
            "leeway_s": 30,
            "algorithms": ["ES256", "RS256", "EdDSA"],
        },
        "jwks": JWKS,
        "rows": [row._asdict() for row in rows()],
    }
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


def page(old: str) -> str:
    before, rest = old.split(BEGIN)
    return before + table() + rest.split(END)[1]


def main() -> int:
    texts = {KIT: kit(), DOC: page(DOC.read_text(encoding="utf-8"))}
    if "--check" in sys.argv[1:]:
        stale = [
            path.name for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text
        ]
        print("out of step: " + ", ".join(stale) if stale else "in step")
        return 1 if stale else 0
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
