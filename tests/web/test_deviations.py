"""What docs/explanation/deviations.md says of the endpoints and no other test has tried: the page is no wish."""

from __future__ import annotations

import pytest

from tests.web.conftest import Web, basic
from tests.web.relying_party import Party, claims, party, sign_in

METADATA = "/.well-known/openid-configuration"


@pytest.fixture
def app(web: Web) -> Party:
    made = party(web)
    sign_in(web)
    return made


def test_a_token_of_another_client_stays_as_it_was_and_nobody_learns_of_it(web: Web, app: Party) -> None:
    tokens, other = app.tokens(), party(web, "other")
    for token in (tokens["refresh_token"], tokens["access_token"], "art_unknown"):
        answer = web.bare("POST", "/oauth2/revoke", data={"token": token}, headers=basic("other", other.secret))
        assert (answer.status_code, answer.data) == (200, b"")
    assert web.harness.introspected(tokens["access_token"])["active"]


@pytest.mark.parametrize("path", ["/oauth2/authorize", "/oauth2/logout"])
def test_attack_head_makes_no_code_and_signs_nobody_out(web: Web, app: Party, path: str) -> None:
    before = len(web.harness.audit_entries())
    answer = web.bare("HEAD", f"{path}?{app.query()}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert len(web.harness.audit_entries()) == before


@pytest.mark.parametrize("path", ["/oauth2/userinfo", "/oauth2/token"])
def test_no_page_of_another_site_may_read_an_answer(web: Web, path: str) -> None:
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "POST"):
        assert "Access-Control-Allow-Origin" not in web.bare(method, path, headers=asked).headers
    assert web.bare("GET", METADATA, headers=asked).headers["Access-Control-Allow-Origin"] == "*"


def test_practice_and_language_come_for_openid_alone(web: Web, app: Party) -> None:
    tokens = app.tokens(scope="openid")
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert web.bare("GET", "/oauth2/userinfo", headers=bearer).json.keys() == {"sub", "practice", "locale"}
    assert claims(tokens["id_token"])["practice"] == "maple"


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/par", "/oauth2/revoke"])
def test_who_calls_is_asked_before_how(web: Web, app: Party, path: str) -> None:
    assert web.bare("GET", path).status_code == 401
    answer = web.bare("GET", path, headers=basic("app", app.secret))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_only_codes_are_given_and_only_by_query(web: Web) -> None:
    said = web.bare("GET", METADATA).json
    assert (said["response_types_supported"], said["response_modes_supported"]) == (["code"], ["query"])
    assert said["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert not {"registration_endpoint", "check_session_iframe", "frontchannel_logout_supported"} & said.keys()
