"""The keys that a client registers, and what it may prove with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from authsvc.crypto import assertions, mint
from authsvc.errors import TokenInvalid
from tests.fakes import FakeClock
from tests.flows.signers import Signer

ISSUER = "http://127.0.0.1:8080"


@pytest.fixture
def signer(clock: FakeClock) -> Signer:
    return Signer("portal", clock)


def proven(signer: Signer, token: str, keys: str | None = None) -> assertions.Proven:
    known = assertions.read_keys(keys or signer.jwks())
    return assertions.prove(assertions.read(token), known, ISSUER, signer.clock.now_ms())


def refusal(signer: Signer, token: str, keys: str | None = None) -> str:
    with pytest.raises(TokenInvalid) as caught:
        proven(signer, token, keys)
    return caught.value.reason


# --- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "EdDSA"])
def test_a_key_of_each_kind_is_kept_with_what_is_needed_and_proves(clock: FakeClock, alg: str) -> None:
    signer = Signer("portal", clock, alg)
    entry = signer.jwk(x5c=["..."], key_ops=["verify"], use="sig", alg=alg, other="thing")
    (kept,) = assertions.read_keys(json.dumps({"keys": [entry]}))
    assert set(kept) <= {"kty", "crv", "x", "y", "n", "e", "kid", "alg"}
    assert kept["alg"] == alg
    assert proven(signer, signer.sign()).jti == "portal-1"


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_attack_on_oneself_a_private_key_is_refused_loudly(signer: Signer, member: str) -> None:
    with pytest.raises(ValueError, match="PRIVATE") as caught:
        assertions.read_keys(json.dumps({"keys": [signer.jwk(**{member: "c2VjcmV0"})]}))
    assert "c2VjcmV0" not in str(caught.value)


def weak_rsa(bits: int, exponent: int = 65537) -> dict[str, Any]:
    key = rsa.generate_private_key(exponent, bits).public_key()
    return {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "weak"}


def p384() -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True), "kid": "long"}


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"kid": None}, "needs a `kid`"),
        ({"kid": ""}, "needs a `kid`"),
        ({"kid": "a b"}, "needs a `kid`"),
        ({"kid": "k" * 129}, "needs a `kid`"),
        ({"kid": 7}, "needs a `kid`"),
        ({"kty": "oct"}, "none of"),
        ({"kty": ["EC"]}, "none of"),
        ({"crv": "secp256k1"}, "none of"),
        ({"use": "enc"}, "not for signatures"),
        ({"key_ops": ["encrypt"]}, "not for signatures"),
        ({"alg": "HS256"}, "can't be used"),
        ({"alg": "RS256"}, "can't be used"),
        ({"alg": ["ES256"]}, "can't be used"),
        ({"x": "AA"}, "broken"),
        ({"x": "A" * 43}, "broken"),
        ({"y": None}, "broken"),
        ({"y": 5}, "broken"),
    ],
)
def test_a_key_that_could_not_be_used_is_refused_by_its_number(signer: Signer, changes: Any, message: str) -> None:
    other = Signer("portal", signer.clock, kid="first").jwk()
    with pytest.raises(ValueError, match=message) as caught:
        assertions.read_keys(json.dumps({"keys": [other, signer.jwk(**changes)]}))
    assert "key 2" in str(caught.value)


def broken_rsa(modulus: int) -> dict[str, Any]:
    return {"kty": "RSA", "kid": "weak", "e": "AQAB", "n": mint.b64u(modulus.to_bytes(256, "big"))}


def roca_modulus() -> int:
    """2048 bits with the fingerprint of CVE-2017-15361: modulo each small prime it is a power of 65537."""
    product = math.prod(number for number in range(3, 168) if all(number % other for other in range(2, number)))
    modulus = product * (2**2047 // product + 1) + pow(65537, 271828, product)
    return modulus if modulus % 2 else modulus + product


@pytest.mark.parametrize(
    "entry",
    [weak_rsa(1024), weak_rsa(2048, 3), broken_rsa(2**2047 + 2), broken_rsa(roca_modulus())],
    ids=["1024 bits", "exponent 3", "even modulus", "ROCA"],
)
def test_a_weak_rsa_key_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="too weak"):
        assertions.read_keys(json.dumps({"keys": [entry]}))


def test_another_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="none of"):
        assertions.read_keys(json.dumps({"keys": [p384()]}))


@pytest.mark.parametrize(
    "document,message",
    [
        ("", "not a JWK set"),
        ("[]", "not a JWK set"),
        ("{}", "not a JWK set"),
        ('{"keys": {}}', "not a JWK set"),
        ('{"keys": ["x"]}', "not a JWK set"),
        ('{"keys": [], "keys": []}', "not a JWK set"),
        ('{"keys": []}', "holds 0 keys"),
        ('{"keys": [{}, {}, {}, {}, {}, {}]}', "holds 6 keys"),
        ('{"keys": []' + " " * 20_000 + "}", "more than"),
    ],
)
def test_what_is_no_key_set_is_refused(document: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assertions.read_keys(document)


def test_one_kid_stands_once(signer: Signer) -> None:
    with pytest.raises(ValueError, match="twice"):
        assertions.read_keys(signer.jwks(Signer("portal", signer.clock)))


# --- assertions ---------------------------------------------------------------------------------------------------


def test_what_holds_tells_its_jti_and_until_when_to_remember_it(signer: Signer) -> None:
    found = proven(signer, signer.sign())
    assert found == assertions.Proven("portal-1", signer.clock.now_ms() + 90_000)


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "client-authentication+jwt"])
def test_the_type_may_be_left_out_or_say_what_it_is(signer: Signer, typ: str | None) -> None:
    assert proven(signer, signer.sign(headers={"typ": typ}))


def test_the_audience_may_be_an_array_of_one_and_times_may_have_fractions(signer: Signer) -> None:
    now_s = signer.clock.now_ms() / 1000
    assert proven(signer, signer.sign(aud=[ISSUER], exp=now_s + 59.5, nbf=now_s - 0.5, iat=None))


def test_the_kid_may_be_left_out_where_there_is_one_key(signer: Signer) -> None:
    other = Signer("portal", signer.clock, kid="key-2")
    token = jwt.encode(signer.claims(), signer.key, "ES256")
    assert proven(signer, token)
    assert refusal(signer, token, signer.jwks(other)) == "unknown_kid"
    assert proven(signer, signer.sign(), signer.jwks(other))


def test_a_clock_may_be_half_a_minute_off(signer: Signer) -> None:
    now_s = signer.clock.now_ms() // 1000
    assert proven(signer, signer.sign(exp=now_s - 29))
    assert proven(signer, signer.sign(exp=now_s + 330, iat=now_s + 30, nbf=now_s + 30))


@pytest.mark.parametrize("by_s", [-31, -30, -3600])
def test_attack_an_expired_assertion(signer: Signer, by_s: int) -> None:
    assert refusal(signer, signer.sign(exp=signer.clock.now_ms() // 1000 + by_s)) == "expired"


@pytest.mark.parametrize("by_s", [331, 3600, 10**9])
def test_attack_an_assertion_that_lives_long(signer: Signer, by_s: int) -> None:
    assert refusal(signer, signer.sign(exp=signer.clock.now_ms() // 1000 + by_s)) == "far_ahead"


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_attack_an_assertion_made_for_later(signer: Signer, name: str) -> None:
    assert refusal(signer, signer.sign(**{name: signer.clock.now_ms() // 1000 + 31})) == "from_the_future"


@pytest.mark.parametrize("name", ["exp", "jti"])
def test_what_must_be_there_is_there(signer: Signer, name: str) -> None:
    assert refusal(signer, signer.sign(**{name: None})) == "claims"


@pytest.mark.parametrize("changes", [{"iat": True}, {"iat": -1}, {"nbf": []}, {"jti": ""}, {"jti": "j" * 129}])
def test_claims_are_what_they_look_like(signer: Signer, changes: dict[str, Any]) -> None:
    assert refusal(signer, signer.sign(**changes)) == "claims"


def test_attack_claims_of_other_types(signer: Signer) -> None:
    for changes in ({"exp": "1894006860"}, {"exp": True}, {"exp": 1e300}, {"jti": 7}, {"jti": "a\ud800"}):
        assert refusal(signer, raw(signer, payload=signer.claims(**changes))) == "claims"


@pytest.mark.parametrize(
    "aud",
    [
        None,
        "https://evil.example",
        "https://evil.example/token",
        f"{ISSUER}/oauth2/token",
        f"{ISSUER}/",
        ISSUER.upper(),
        [],
        [ISSUER, "https://evil.example"],
        ["https://evil.example", ISSUER],
        [ISSUER, ISSUER],
    ],
)
def test_attack_an_assertion_for_another_server_or_for_two(signer: Signer, aud: Any) -> None:
    assert refusal(signer, signer.sign(aud=aud)) == "audience"


def test_attack_another_clients_key(signer: Signer) -> None:
    stranger = Signer("portal", signer.clock)
    assert refusal(signer, stranger.sign()) == "signature"


@pytest.mark.parametrize("changes", [{"iss": "billing"}, {"sub": "billing"}, {"iss": None}, {"sub": None}])
def test_attack_an_assertion_about_another_client(signer: Signer, changes: dict[str, Any]) -> None:
    assert refusal(signer, signer.sign(**changes)) == "client"


@pytest.mark.parametrize("client", ["", "a b", "c" * 65, "ä"])
def test_a_client_that_can_not_be_is_not_looked_for(signer: Signer, client: str) -> None:
    assert refusal(signer, signer.sign(iss=client, sub=client)) == "client"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(signer: Signer, header: Any = None, payload: Any = None) -> str:
    """Whatever header and payload, signed for real."""
    parts = [header or {"alg": "ES256", "kid": signer.kid}, payload or signer.claims()]
    head, body = (b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts)
    signed = f"{head}.{body}"
    return f"{signed}.{b64(assertions.ALGORITHMS['ES256'].sign(signed.encode(), signer.key))}"


def test_attack_no_signature(signer: Signer) -> None:
    head = b64(b'{"alg":"none","kid":"key-1"}')
    body = b64(json.dumps(signer.claims()).encode())
    assert refusal(signer, f"{head}.{body}.") == "shape"
    assert refusal(signer, f"{head}.{body}.AAAA") == "algorithm"


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_attack_hmac_with_the_public_key(signer: Signer, encoding: Encoding) -> None:
    public = signer.key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    head = b64(b'{"alg":"HS256","kid":"key-1"}')
    signed = f"{head}.{b64(json.dumps(signer.claims()).encode())}"
    token = f"{signed}.{b64(hmac.digest(public, signed.encode(), hashlib.sha256))}"
    assert refusal(signer, token) == "algorithm"


@pytest.mark.parametrize("alg", ["ES384", "RS384", "PS512", "ES256K"])
def test_attack_an_algorithm_that_nobody_registered(signer: Signer, alg: str) -> None:
    assert refusal(signer, raw(signer, {"alg": alg, "kid": "key-1"})) == "algorithm"


@pytest.mark.parametrize("alg", ["RS256", "PS256", "EdDSA"])
def test_attack_the_algorithm_of_another_kind_of_key(signer: Signer, alg: str) -> None:
    assert refusal(signer, raw(signer, {"alg": alg, "kid": "key-1"})) == "algorithm_of_another_key"


def test_a_key_that_names_its_algorithm_has_no_other(clock: FakeClock) -> None:
    signer = Signer("portal", clock, "PS256")
    bound = json.dumps({"keys": [signer.jwk(alg="RS256")]})
    assert proven(signer, signer.sign())
    assert refusal(signer, signer.sign(), bound) == "algorithm_of_another_key"


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "key-1"},
        {"alg": "ES256", "kid": 1},
        {"alg": "ES256", "crit": ["b64"], "b64": False},
        {"alg": "ES256", "jku": "https://evil.example/keys"},
        {"alg": "ES256", "jwk": {}},
        {"alg": "ES256", "x5u": "https://evil.example/cert"},
        {"alg": "ES256", "zip": "DEF"},
    ],
)
def test_attack_a_header_that_brings_its_own_key_or_rules(signer: Signer, header: dict[str, Any]) -> None:
    assert refusal(signer, raw(signer, header)) == "header"


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "dpop+jwt", ""])
def test_attack_another_kind_of_token_of_the_same_key(signer: Signer, typ: str) -> None:
    assert refusal(signer, raw(signer, {"alg": "ES256", "kid": "key-1", "typ": typ})) == "typ"


def test_an_unknown_kid_proves_nothing(signer: Signer) -> None:
    assert refusal(signer, raw(signer, {"alg": "ES256", "kid": "key-9"})) == "unknown_kid"


def test_attack_a_claim_that_stands_twice(signer: Signer) -> None:
    payload = json.dumps(signer.claims())
    assert refusal(signer, raw(signer, payload=payload[:-1].encode() + b',"aud":"https://evil.example"}')) == "encoding"
    assert refusal(signer, raw(signer, payload=b"\xff")) == "encoding"


def test_attack_an_assertion_of_any_length_is_not_parsed(signer: Signer) -> None:
    assert refusal(signer, signer.sign(padding="x" * 8200)) == "size"
    assert refusal(signer, "no.assertion") == "shape"


def test_a_client_registered_for_it_names_the_token_endpoint_and_lives_an_hour(signer: Signer) -> None:
    endpoint, now_s = f"{ISSUER}/oauth2/token", signer.clock.now_ms() // 1000

    def prove(**changes: Any) -> assertions.Proven:
        known, token = assertions.read_keys(signer.jwks()), assertions.read(signer.sign(**changes))
        return assertions.prove(token, known, ISSUER, signer.clock.now_ms(), token_endpoint=endpoint)

    for aud in (endpoint, [endpoint], ISSUER, [ISSUER, endpoint]):
        assert prove(aud=aud, exp=now_s + 3600)
    for aud in (None, [], "https://evil.example/token", [endpoint, "https://evil.example"], [[endpoint]]):
        with pytest.raises(TokenInvalid, match="audience"):
            prove(aud=aud)
    with pytest.raises(TokenInvalid, match="far_ahead"):
        prove(aud=endpoint, exp=now_s + 3631)
