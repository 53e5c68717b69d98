"""How clients prove themselves at /oauth2: Basic, a signed assertion, or, if public, not at all."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.oauth2.rfc7523 import private_key_jwt_sign
from joserfc.jwk import import_key
from werkzeug.test import TestResponse

from authsvc.web.client_authentication import JWT_BEARER
from tests.flows.signers import Signer
from tests.web.conftest import Web, basic
from tests.web.relying_party import VERIFIER, Party, code_of, sign_in

ENDPOINTS = ("token", "revoke", "introspect")
JUNK = {"grant_type": "refresh_token", "refresh_token": "art_x", "token": "art_x"}
"""What each endpoint understands, and nobody gets anything for."""

CALLBACK = "https://app.example/callback"
NONE: frozenset[str] = frozenset()


@pytest.fixture
def signer(web: Web) -> Signer:
    """The client `reports` signs, `app` is public, `portal` has a secret."""
    made = Signer("reports", web.clock)
    web.harness.new_client("reports", jwks=made.jwks())
    web.harness.new_client("app", redirect_uris=(CALLBACK,), public=True, permissions=NONE)
    return made


def ask(web: Web, endpoint: str, headers: dict[str, str] | None = None, **form: Any) -> TestResponse:
    """A call with these credentials and no others."""
    return web.bare("POST", f"/oauth2/{endpoint}", headers=headers or {}, data={**JUNK, **form})


def asserted(token: str, **more: Any) -> dict[str, Any]:
    return {"client_assertion_type": JWT_BEARER, "client_assertion": token, **more}


def status_and_error(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, (answer.json or {}).get("error", "")


UNKNOWN = (401, "invalid_client")
TWO_WAYS = (400, "invalid_request")
LET_IN = {"token": (400, "invalid_grant"), "revoke": (200, ""), "introspect": (200, "")}
"""What those who are let in get for the junk."""


# --- who is let in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_each_client_is_let_in_by_its_own_way(web: Web, signer: Signer, endpoint: str) -> None:
    assert status_and_error(ask(web, endpoint, web.auth)) == LET_IN[endpoint]
    assert status_and_error(ask(web, endpoint, **asserted(signer.sign()))) == LET_IN[endpoint]
    assert status_and_error(ask(web, endpoint, **asserted(signer.sign(), client_id="reports"))) == LET_IN[endpoint]


def test_a_public_client_may_refresh_and_revoke_and_never_introspect(web: Web, signer: Signer) -> None:
    assert status_and_error(ask(web, "token", client_id="app")) == LET_IN["token"]
    assert status_and_error(ask(web, "revoke", client_id="app")) == LET_IN["revoke"]
    assert status_and_error(ask(web, "introspect", client_id="app")) == UNKNOWN


def test_a_client_that_signs_still_needs_its_permission(web: Web) -> None:
    poor = Signer("poor", web.clock)
    web.harness.new_client("poor", jwks=poor.jwks(), permissions=NONE)
    assert status_and_error(ask(web, "introspect", **asserted(poor.sign()))) == (403, "unauthorized_client")


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256"])
def test_assertions_of_an_independent_client_library_are_understood(web: Web, alg: str) -> None:
    signer = Signer("ledger", web.clock, alg)
    web.harness.new_client("ledger", jwks=signer.jwks())
    key = import_key(signer.private_pem(), "EC" if alg == "ES256" else "RSA")
    now_s, issuer = web.clock.now_ms() // 1000, web.service.settings.public_url
    token = private_key_jwt_sign(key, "ledger", issuer, alg, issued_at=now_s, expires_in=60)
    assert status_and_error(ask(web, "introspect", **asserted(token))) == LET_IN["introspect"]


# --- who is not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("client", ["portal", "reports", "nobody"])
def test_attack_a_confidential_clients_id_alone_opens_nothing_and_tells_nothing(
    web: Web, signer: Signer, endpoint: str, client: str
) -> None:
    answer = ask(web, endpoint, client_id=client)
    assert status_and_error(answer) == UNKNOWN
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.json == ask(web, endpoint, basic("nobody", "acs_x")).json


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("client", ["app", "reports"])
def test_attack_basic_with_any_secret_for_a_client_without_one(
    web: Web, signer: Signer, endpoint: str, client: str
) -> None:
    for secret in ("x", web.harness.secret):
        assert status_and_error(ask(web, endpoint, basic(client, secret))) == UNKNOWN


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_attack_a_secret_in_the_form(web: Web, signer: Signer, endpoint: str) -> None:
    for client in ("portal", "app", "nobody"):
        form = {"client_id": client, "client_secret": web.harness.secret}
        assert status_and_error(ask(web, endpoint, **form)) == UNKNOWN


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_attack_a_replayed_assertion(web: Web, signer: Signer, endpoint: str) -> None:
    token = signer.sign()
    assert status_and_error(ask(web, endpoint, **asserted(token))) == LET_IN[endpoint]
    for again in ENDPOINTS:
        assert status_and_error(ask(web, again, **asserted(token))) == UNKNOWN


def test_attack_an_assertion_made_for_another_server_or_our_endpoint(web: Web, signer: Signer) -> None:
    issuer = web.service.settings.public_url
    for aud in ("https://evil.example", f"{issuer}/oauth2/token", [issuer, "https://evil.example"]):
        assert status_and_error(ask(web, "token", **asserted(signer.sign(aud=aud)))) == UNKNOWN


def test_attack_another_clients_key(web: Web, signer: Signer) -> None:
    assert status_and_error(ask(web, "token", **asserted(Signer("reports", web.clock).sign()))) == UNKNOWN
    assert status_and_error(ask(web, "token", **asserted(signer.sign(iss="portal", sub="portal")))) == UNKNOWN
    assert status_and_error(ask(web, "token", **asserted(signer.sign(), client_id="portal"))) == UNKNOWN


def test_attack_our_own_tokens_as_assertions(web: Web, signer: Signer) -> None:
    assert status_and_error(ask(web, "token", **asserted(web.sign_in()["access_token"]))) == UNKNOWN


@pytest.mark.parametrize(
    "form",
    [
        {"client_assertion": "x.y.z"},
        {"client_assertion_type": JWT_BEARER},
        {"client_assertion_type": JWT_BEARER, "client_assertion": ""},
        {"client_assertion_type": JWT_BEARER, "client_assertion": "x.y.z"},
        {"client_assertion_type": JWT_BEARER, "client_assertion": "x" * 9000},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "client_assertion": "x"},
        {"client_id": "Not An Id"},
        {"client_id": "a" * 200},
        {"client_id": ""},
        {},
    ],
)
def test_half_an_assertion_and_an_id_that_can_not_be_are_nobody(web: Web, signer: Signer, form: dict[str, str]) -> None:
    assert status_and_error(ask(web, "token", **form)) == UNKNOWN


def test_two_ways_at_once_are_refused(web: Web, signer: Signer) -> None:
    beside: tuple[dict[str, str], ...] = (
        {"client_secret": "x"},
        {"client_assertion": signer.sign()},
        {"client_assertion_type": JWT_BEARER},
        {"client_id": "reports"},
    )
    for form in beside:
        assert status_and_error(ask(web, "token", web.auth, **form)) == TWO_WAYS
    assert status_and_error(ask(web, "token", **asserted(signer.sign(), client_secret="x"))) == TWO_WAYS
    assert status_and_error(ask(web, "token", web.auth, client_id="portal")) == LET_IN["token"]


def test_who_says_so_in_the_form_is_told_what_is_wrong_with_the_form(web: Web, signer: Signer) -> None:
    def send(body: bytes, content_type: str = "application/x-www-form-urlencoded") -> TestResponse:
        return web.bare("POST", "/oauth2/token", data=body, content_type=content_type)

    assert status_and_error(send(b"client_id=app&client_id=app")) == (400, "invalid_request")
    assert status_and_error(send(b"client_id=app&a=" + b"x" * 17_000)) == (413, "invalid_request")
    assert status_and_error(send(b'{"client_id": "app"}', "application/json")) == UNKNOWN
    assert status_and_error(web.bare("GET", "/oauth2/token?client_id=app")) == UNKNOWN
    assert status_and_error(web.bare("POST", "/oauth2/token?client_id=app", data=JUNK)) == UNKNOWN


def test_the_api_takes_secrets_only(web: Web, signer: Signer) -> None:
    where = "/v1/practices/maple/codes"
    assert web.bare("POST", where, data={"client_id": "app"}).status_code == 401
    assert web.bare("POST", where, data=asserted(signer.sign())).status_code == 401
    assert web.bare("POST", where, headers=basic("app", "x")).status_code == 401


def test_wrong_ways_are_limited_by_network_and_right_ones_never(web: Web, signer: Signer) -> None:
    forged = Signer("reports", web.clock)
    seen = {status_and_error(ask(web, "token", client_id="portal")) for _ in range(40)}
    seen |= {status_and_error(ask(web, "token", **asserted(forged.sign()))) for _ in range(40)}
    assert seen == {UNKNOWN, (429, "temporarily_unavailable")}
    assert status_and_error(ask(web, "token", client_id="app")) == LET_IN["token"]
    assert status_and_error(ask(web, "token", **asserted(signer.sign()))) == LET_IN["token"]


def test_attack_a_stranger_who_calls_as_a_public_client_locks_nobody_out_and_fills_no_trail(
    web: Web, signer: Signer
) -> None:
    """Its id stands in every address bar; who asks from elsewhere must not notice who misuses it."""
    invented = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    stranger, before = {"REMOTE_ADDR": "198.51.100.66"}, len(web.harness.audit_entries())
    answers = [
        web.bare(
            "POST",
            "/oauth2/token",
            data={**invented, "client_id": "app", "code": f"aac_maple.{number}"},
            environ_base=stranger,
        )
        for number in range(300)
    ]
    assert (answers[-1].status_code, status_and_error(answers[-1])[1]) == (429, "temporarily_unavailable")
    assert len(web.harness.audit_entries()) - before <= 120
    sign_in(web)
    app = Party(web, "app", callback=CALLBACK)
    redeemed = {**invented, "client_id": "app", "code": code_of(app.authorize())}
    assert web.bare("POST", "/oauth2/token", data=redeemed).status_code == 200


def test_attack_one_token_revoked_again_and_again_is_one_entry(web: Web) -> None:
    token = web.sign_in()["access_token"]
    for _ in range(50):
        assert web.call("POST", "/oauth2/revoke", data={"token": token}).status_code == 200
    assert web.harness.events().count("token.revoked") == 1
    flood = [web.call("POST", "/oauth2/revoke", data={"token": token}).status_code for _ in range(100)]
    assert flood[-1] == 429


def test_without_the_store_nobody_is_believed(web: Web, signer: Signer) -> None:
    assert status_and_error(ask(web, "token", **asserted(signer.sign()))) == LET_IN["token"]
    web.stop_the_store()
    answer = ask(web, "token", **asserted(signer.sign()))
    assert status_and_error(answer) == (503, "temporarily_unavailable")
    assert answer.headers["Retry-After"]


def test_the_log_names_the_client_that_was_let_in(web: Web, signer: Signer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "authsvc.access"):
        ask(web, "token", client_id="app")
        ask(web, "token", **asserted(signer.sign()))
        ask(web, "token", client_id="portal")
    assert [getattr(record, "client", "") for record in caplog.records] == ["app", "reports", ""]


# --- a secret in the form ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_client_registered_for_it_sends_its_secret_in_the_form_and_no_other_way(web: Web, endpoint: str) -> None:
    _, secret = web.harness.new_client("forms", auth="post")
    assert status_and_error(ask(web, endpoint, client_id="forms", client_secret=secret)) == LET_IN[endpoint]
    assert status_and_error(ask(web, endpoint, basic("forms", secret))) == UNKNOWN
    assert (
        status_and_error(ask(web, endpoint, basic("forms", secret), client_id="forms", client_secret=secret)) == UNKNOWN
    )
    assert status_and_error(ask(web, endpoint, web.auth, client_id="portal", client_secret=secret)) == TWO_WAYS


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_attack_a_wrong_secret_in_the_form_is_nobody(web: Web, endpoint: str) -> None:
    _, secret = web.harness.new_client("forms", auth="post")
    for form in (
        {"client_id": "forms", "client_secret": web.harness.secret},
        {"client_id": "forms", "client_secret": ""},
        {"client_id": "forms", "client_secret": "ä"},
        {"client_id": "forms", "client_secret": "x" * 201},
        {"client_id": "portal", "client_secret": secret},
        {"client_secret": secret},
        {"client_id": "forms"},
    ):
        assert status_and_error(ask(web, endpoint, **form)) == UNKNOWN


def test_the_api_takes_the_secret_of_such_a_client_by_basic_as_of_every_other(web: Web) -> None:
    _, secret = web.harness.new_client("forms", auth="post")
    assert web.bare("GET", "/v1/practices/maple/patients/p1", headers=basic("forms", secret)).status_code != 401
