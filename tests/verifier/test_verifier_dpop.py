"""Tokens that are bound to a key of their client (RFC 9449), at a service that verifies by itself."""

from __future__ import annotations

from typing import Any

import flask
import pytest

from authsvc import verifier as module
from authsvc.verifier import InvalidProof, InvalidToken, KeysUnavailable, Verifier
from tests.fakes import FakeClock
from tests.proofs import ProofKey
from tests.vectors import generate as kit
from tests.verifier.conftest import Clock, Issuer

URL = "https://api.maple.example/contact"


@pytest.fixture
def key(clock: Clock) -> ProofKey:
    return ProofKey(FakeClock(int(clock.now * 1000)))


def bound(key: ProofKey, **cnf: Any) -> str:
    return kit.token({**kit.SIGN_IN, "cnf": {"jkt": key.jkt, **cnf}})


def reason(verifier: Verifier, *request: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(*request)
    return caught.value.reason


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_a_bound_token_passes_with_its_keys_proof_for_this_request_once(
    verifier: Verifier, clock: Clock, alg: str
) -> None:
    key = ProofKey(FakeClock(int(clock.now * 1000)), alg)
    token = bound(key)
    proof = key.proof("GET", "https://API.maple.example:443/contact", token)
    assert verifier.verify(token, proof, "GET", URL + "?page=2")["cnf"] == {"jkt": key.jkt}
    assert reason(verifier, token, proof, "GET", URL) == "proof_replayed"


def test_attack_a_bound_token_is_no_bearer_token(verifier: Verifier, key: ProofKey) -> None:
    assert reason(verifier, bound(key)) == "bound_to_a_key"


@pytest.mark.parametrize("cnf", [{"x5t#S256": "a"}, {"jkt": 7}, {"jkt": ""}])
def test_attack_a_token_that_is_bound_in_another_way_is_refused(
    verifier: Verifier, key: ProofKey, cnf: dict[str, Any]
) -> None:
    assert reason(verifier, bound(key, **cnf)) == "claim_cnf"
    assert reason(verifier, kit.token({**kit.SIGN_IN, "cnf": "x"})) == "claim_cnf"


def test_attack_a_thiefs_proof_is_refused(verifier: Verifier, key: ProofKey, clock: Clock) -> None:
    token, thief = bound(key), ProofKey(FakeClock(int(clock.now * 1000)))
    assert reason(verifier, token, thief.proof("GET", URL, token), "GET", URL) == "key"
    free = kit.token()
    assert reason(verifier, free, key.proof("GET", URL, free), "GET", URL) == "key"


@pytest.mark.parametrize(
    ("why", "how"),
    [
        ("proof_of_another_request", {"htm": "POST"}),
        ("proof_of_another_request", {"htu": "https://api.maple.example/other"}),
        ("proof_of_another_request", {"htu": "http://api.maple.example/contact"}),
        ("proof_of_another_request", {"htu": "https://api.maple.example:8443/contact"}),
        ("proof_claims", {"htu": None}),
        ("proof_claims", {"htu": "https://[api/"}),
        ("proof_claims", {"jti": "a b"}),
        ("proof_claims", {"iat": True}),
        ("proof_time", {"iat": 1}),
        ("proof_time", {"iat": 99_999_999_999}),
        ("proof_of_another_token", {"ath": "x"}),
        ("proof_of_another_token", {"ath": None}),
        ("proof_header", {"header": {"typ": None}}),
        ("proof_header", {"header": {"kid": "x"}}),
        ("proof_header", {"header": {"jwk": []}}),
        ("proof_signature", {"header": {"alg": "HS256"}}),
        ("proof_signature", {"header": {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}}),
    ],
)
def test_attack_a_proof_that_is_not_for_this_request_is_refused(
    verifier: Verifier, key: ProofKey, why: str, how: dict[str, Any]
) -> None:
    token = bound(key)
    assert reason(verifier, token, key.proof("GET", URL, token, **how), "GET", URL) == why


@pytest.mark.parametrize("proof", ["", "x", "e30.e30.", "e30.W10.AA", "a" * 5000])
def test_attack_what_is_no_proof_is_refused(verifier: Verifier, key: ProofKey, proof: str) -> None:
    assert reason(verifier, bound(key), proof, "GET", URL) == "proof_shape"


def test_attack_a_flood_of_proofs_makes_nothing_forgotten(
    verifier: Verifier, key: ProofKey, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROOFS_MAX", 2)
    token = bound(key)
    for _ in range(2):
        verifier.verify(token, key.proof("GET", URL, token), "GET", URL)
    with pytest.raises(KeysUnavailable):
        verifier.verify(token, key.proof("GET", URL, token), "GET", URL)
    clock.now += 90
    key.clock.advance_s(90)
    assert verifier.verify(token, key.proof("GET", URL, token), "GET", URL)


# --- the guards ---------------------------------------------------------------------------------------------------


def answer(issuer: Issuer, clock: Clock, key: ProofKey, base_url: str, htu: str) -> Any:
    guard = Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, base_url=base_url, now=clock, fetch=issuer.fetch)
    app = flask.Flask("service")

    @app.get("/contact")
    @guard.flask("contact:view")
    def contact() -> str:
        return str(flask.g.authsvc_claims["patient"])

    token = bound(key)
    headers = {"Authorization": f"DPoP {token}", "DPoP": key.proof("GET", htu, token), "Host": "evil.example"}
    return app.test_client().get("/contact?page=2", headers=headers)


def test_a_guard_takes_proofs_for_the_address_that_it_was_given(issuer: Issuer, clock: Clock, key: ProofKey) -> None:
    assert answer(issuer, clock, key, "https://api.maple.example/", URL).status_code == 200


@pytest.mark.parametrize(("base_url", "htu"), [("", URL), ("https://api.maple.example", "http://evil.example/contact")])
def test_attack_a_guard_believes_no_host_that_the_request_names(
    issuer: Issuer, clock: Clock, key: ProofKey, base_url: str, htu: str
) -> None:
    refusal = answer(issuer, clock, key, base_url, htu)
    assert refusal.status_code == 401
    assert refusal.headers["WWW-Authenticate"] == (
        'DPoP realm="authsvc", error="invalid_dpop_proof", algs="ES256 RS256 EdDSA"'
    )


def test_a_refused_proof_is_an_invalid_token() -> None:
    assert issubclass(InvalidProof, InvalidToken)
