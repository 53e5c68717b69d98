"""DPoP (RFC 9449): tokens that are bound to a key of their client, from the request to the gateway."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from werkzeug.test import TestResponse

from tests.proofs import ProofKey
from tests.web.conftest import Web, basic
from tests.web.relying_party import VERIFIER, Party, claims, code_of, party, sign_in

ISSUER = "http://127.0.0.1:8080"
TOKEN = f"{ISSUER}/oauth2/token"
USERINFO = f"{ISSUER}/oauth2/userinfo"


@pytest.fixture
def app(web: Web) -> Party:
    sign_in(web)
    return party(web, dpop_bound_access_tokens=True)


@pytest.fixture
def key(web: Web) -> ProofKey:
    return ProofKey(web.clock)


def call(app: Party, proof: str | None, **form: str) -> TestResponse:
    """The token endpoint, with this proof."""
    headers = basic(app.name, app.secret) if app.secret else {}
    if not app.secret:
        form["client_id"] = app.name
    if proof is not None:
        headers["DPoP"] = proof
    return app.web.bare("POST", "/oauth2/token", data=form, headers=headers)


def redeem(app: Party, proof: str | None, code: str = "", **asked: str) -> TestResponse:
    code = code or code_of(app.authorize(**asked))
    form = {"code": code, "redirect_uri": app.callback, "code_verifier": VERIFIER}
    return call(app, proof, grant_type="authorization_code", **form)


def refresh(app: Party, proof: str | None, token: str) -> TestResponse:
    return call(app, proof, grant_type="refresh_token", refresh_token=token)


def tokens(app: Party, key: ProofKey, **asked: str) -> dict[str, Any]:
    answer = redeem(app, key.proof("POST", TOKEN), **asked)
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def userinfo(web: Web, authorization: str, proof: str | None) -> TestResponse:
    headers = {"Authorization": authorization} | ({} if proof is None else {"DPoP": proof})
    return web.bare("GET", "/oauth2/userinfo", headers=headers)


def refused(answer: TestResponse, status: int = 400) -> bool:
    return (answer.status_code, answer.json["error"]) == (status, "invalid_dpop_proof")


# --- at the token endpoint ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_tokens_are_bound_to_the_key_that_was_proved(web: Web, app: Party, alg: str) -> None:
    key = ProofKey(web.clock, alg)
    answer = tokens(app, key)
    assert answer["token_type"] == "DPoP"
    assert claims(answer["access_token"])["cnf"] == {"jkt": key.jkt}
    assert len(answer["access_token"]) < 1000
    told = web.harness.introspected(answer["access_token"])
    assert (told["token_type"], told["cnf"]) == ("DPoP", {"jkt": key.jkt})
    fresh = refresh(app, key.proof("POST", TOKEN), answer["refresh_token"]).json
    assert claims(fresh["access_token"])["cnf"] == {"jkt": key.jkt}


def test_a_links_token_is_bound_too(web: Web, app: Party, key: ProofKey) -> None:
    web.public.delete_cookie("authsvc-maple")
    hint = web.service.authorization_codes.redeem_link(
        web.service.act(web.harness.practice), web.link(), "B" * 22, app.name
    )[0]
    web.public.set_cookie("authsvc", "B" * 22)
    answer = tokens(app, key, login_hint=hint)
    assert (answer["token_type"], claims(answer["access_token"])["cnf"]["jkt"]) == ("DPoP", key.jkt)


def test_whoever_sends_a_proof_gets_a_bound_token_and_whoever_must_is_refused_without(web: Web, app: Party) -> None:
    free, key = party(web, "free", callback="https://free.example/cb"), ProofKey(web.clock)
    assert tokens(free, key)["token_type"] == "DPoP"
    unbound = redeem(free, None)
    assert unbound.json["token_type"] == "Bearer"
    assert "cnf" not in claims(unbound.json["access_token"])
    assert refused(redeem(app, None))
    assert refused(refresh(app, None, tokens(app, key)["refresh_token"]))


def test_a_confidential_client_may_change_its_key(web: Web, app: Party, key: ProofKey) -> None:
    """Its refresh token is bound to the client already (§5)."""
    first, other = tokens(app, key), ProofKey(web.clock)
    fresh = refresh(app, other.proof("POST", TOKEN), first["refresh_token"])
    assert claims(fresh.json["access_token"])["cnf"]["jkt"] == other.jkt


@pytest.mark.parametrize(
    "how",
    [
        {"htm": "GET"},
        {"htu": USERINFO},
        {"htu": "https://evil.example/oauth2/token"},
        {"htu": "http://127.0.0.1:x/"},
        {"htu": 7},
        {"iat": 0},
        {"iat": "now"},
        {"iat": 1_900_000_000},
        {"jti": None},
        {"jti": "x" * 257},
        {"header": {"typ": "JWT"}},
        {"header": {"alg": "none"}},
        {"header": {"alg": "RS256"}},
        {"header": {"jwk": None}},
        {"header": {"jwk": "x"}},
        {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
        {"header": {"crit": ["x"]}},
    ],
)
def test_attack_a_proof_that_is_not_for_this_request_gives_nothing(
    app: Party, key: ProofKey, how: dict[str, Any]
) -> None:
    code = code_of(app.authorize())
    assert refused(redeem(app, key.proof("POST", TOKEN, **how), code))
    assert redeem(app, key.proof("POST", TOKEN + "?a=b#c"), code).status_code == 200  # and the code isn't spoilt


@pytest.mark.parametrize("proof", ["", "x", "e30.e30.e30", "a" * 5000, "{0},{0}"])
def test_attack_what_is_no_proof_or_two_of_them_gives_nothing(app: Party, key: ProofKey, proof: str) -> None:
    assert refused(redeem(app, proof.format(key.proof("POST", TOKEN))))


def test_attack_a_proof_is_good_once(web: Web, app: Party, key: ProofKey) -> None:
    proof = key.proof("POST", TOKEN)
    assert redeem(app, proof).status_code == 200
    assert refused(redeem(app, proof))
    web.clock.advance_s(89)
    assert refused(redeem(app, proof))
    web.clock.advance_s(120)  # what isn't remembered any more is too old
    assert refused(redeem(app, proof))


def test_attack_a_proof_with_a_private_or_a_forged_key_gives_nothing(web: Web, app: Party, key: ProofKey) -> None:
    assert refused(redeem(app, key.proof("POST", TOKEN, header={"jwk": {**key.jwk, "d": "AAAA"}})))
    other = ProofKey(web.clock)
    assert refused(redeem(app, key.proof("POST", TOKEN, header={"jwk": other.jwk})))


# --- a code that is bound -----------------------------------------------------------------------------------------


def test_attack_a_code_that_was_asked_for_with_a_key_needs_that_key(web: Web, app: Party, key: ProofKey) -> None:
    code = code_of(app.authorize(dpop_jkt=key.jkt))
    other = ProofKey(web.clock)
    assert redeem(app, other.proof("POST", TOKEN), code).json["error"] == "invalid_grant"
    assert redeem(app, key.proof("POST", TOKEN), code).status_code == 200


def test_a_pushed_request_binds_its_code_by_a_proof(web: Web, app: Party, key: ProofKey) -> None:
    form, url = dict(parse_qsl(app.query())), f"{ISSUER}/oauth2/par"

    def push(proof: str, **more: str) -> TestResponse:
        headers = {**basic(app.name, app.secret), "DPoP": proof}
        return web.bare("POST", "/oauth2/par", data={**form, **more}, headers=headers)

    assert refused(push(key.proof("POST", TOKEN)))
    assert refused(push(key.proof("POST", url), dpop_jkt=ProofKey(web.clock).jkt))
    pushed = push(key.proof("POST", url), dpop_jkt=key.jkt)
    assert pushed.status_code == 201
    query = urlencode({"client_id": app.name, "request_uri": pushed.json["request_uri"]})
    code = code_of(web.bare("GET", f"/oauth2/authorize?{query}"))
    assert redeem(app, ProofKey(web.clock).proof("POST", TOKEN), code).json["error"] == "invalid_grant"
    assert redeem(app, key.proof("POST", TOKEN), code).status_code == 200


def test_a_thumbprint_that_is_none_is_refused(app: Party) -> None:
    assert "error=invalid_request" in app.authorize(dpop_jkt="x").headers["Location"]


# --- a public client ----------------------------------------------------------------------------------------------


def test_attack_a_stolen_refresh_token_of_a_public_client_needs_its_key(web: Web, key: ProofKey) -> None:
    sign_in(web)
    native = party(web, "native", public=True, dpop_bound_access_tokens=True)
    answer = tokens(native, key)
    for proof in (None, ProofKey(web.clock).proof("POST", TOKEN)):
        assert refresh(native, proof, answer["refresh_token"]).status_code == 400
    fresh = refresh(native, key.proof("POST", TOKEN), answer["refresh_token"])
    assert claims(fresh.json["access_token"])["cnf"]["jkt"] == key.jkt


# --- userinfo -----------------------------------------------------------------------------------------------------


def test_userinfo_wants_the_proof_of_the_tokens_key(web: Web, app: Party, key: ProofKey) -> None:
    token = tokens(app, key)["access_token"]
    proof = key.proof("GET", USERINFO, token)
    assert userinfo(web, f"DPoP {token}", proof).json["sub"] == "maple:p1"
    again = userinfo(web, f"DPoP {token}", proof)
    assert refused(again, 401)
    assert again.headers["WWW-Authenticate"].startswith('DPoP realm="authsvc", algs="ES256 RS256 EdDSA", error=')


def test_attack_a_bound_token_is_no_bearer_token_anywhere(web: Web, app: Party, key: ProofKey) -> None:
    token = tokens(app, key)["access_token"]
    for proof in (None, key.proof("GET", USERINFO, token)):
        answer = userinfo(web, f"Bearer {token}", proof)
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_token")
    for headers in ({}, {"DPoP": key.proof("POST", USERINFO, token)}):
        answer = web.bare("POST", "/oauth2/userinfo", data={"access_token": token}, headers=headers)
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_token")
    query = "/v1/forward-auth?practice=maple&scope=invoices:view"
    assert web.bare("GET", query, headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_attack_a_stolen_bound_token_is_worth_nothing_without_its_key(web: Web, app: Party, key: ProofKey) -> None:
    token, thief = tokens(app, key)["access_token"], ProofKey(web.clock)
    for proof in (
        None,
        "",
        thief.proof("GET", USERINFO, token),
        key.proof("GET", USERINFO),
        key.proof("GET", USERINFO, token + "x"),
        key.proof("POST", USERINFO, token),
        key.proof("GET", TOKEN, token),
    ):
        assert refused(userinfo(web, f"DPoP {token}", proof), 401)


def test_attack_a_token_that_is_not_bound_is_not_taken_with_anybodys_proof(web: Web, key: ProofKey) -> None:
    sign_in(web)
    token = party(web).tokens()["access_token"]
    assert refused(userinfo(web, f"DPoP {token}", key.proof("GET", USERINFO, token)), 401)


# --- forward-auth -------------------------------------------------------------------------------------------------

API = "https://api.maple.example/invoices/1"
FORWARDED = {
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "api.maple.example",
    "X-Forwarded-Uri": "/invoices/1?full=1",
}


def ask(web: Web, token: str, proof: str, peer: str = "192.0.2.7", **changes: str | None) -> TestResponse:
    said = {**FORWARDED, **{f"X-Forwarded-{name}": value for name, value in changes.items()}}
    headers = {name: value for name, value in said.items() if value is not None}
    return web.bare(
        "GET",
        "/v1/forward-auth?practice=maple&scope=invoices:view",
        headers={**headers, "Authorization": f"DPoP {token}", "DPoP": proof},
        environ_base={"REMOTE_ADDR": peer},
    )


@pytest.fixture
def behind(build: Any) -> Web:
    """A service whose gateway is a trusted proxy."""
    made: Web = build(trusted_proxies=(ip_network("192.0.2.0/24"),))
    made.harness.patient("p1", "ann@example.org", label="Ann")
    sign_in(made)
    return made


def test_a_gateway_asks_with_the_method_and_address_of_the_request(behind: Web) -> None:
    key = ProofKey(behind.clock)
    token = tokens(party(behind), key)["access_token"]
    proof = key.proof("GET", API, token)
    answer = ask(behind, token, proof)
    assert (answer.status_code, answer.headers["X-Auth-Patient"]) == (200, "p1")
    again = ask(behind, token, proof)
    assert (again.status_code, again.headers["WWW-Authenticate"][:4]) == (401, "DPoP")


@pytest.mark.parametrize(
    "changes",
    [
        {"Method": "POST"},
        {"Uri": "/invoices/2"},
        {"Host": "other.maple.example"},
        {"Proto": "http"},
        *({name: None} for name in ("Method", "Uri", "Host", "Proto")),
        {"Uri": "invoices/1"},
        {"peer": "198.51.100.1"},
    ],
)
def test_attack_a_proof_for_another_request_does_not_pass_the_gateway(behind: Web, changes: dict[str, Any]) -> None:
    key = ProofKey(behind.clock)
    token = tokens(party(behind), key)["access_token"]
    assert ask(behind, token, key.proof("GET", API, token), **changes).status_code == 401


def test_attack_where_no_proxy_is_trusted_nobodys_word_for_the_request_is_taken(web: Web, key: ProofKey) -> None:
    sign_in(web)
    token = tokens(party(web), key)["access_token"]
    assert ask(web, token, key.proof("GET", API, token)).status_code == 401
