"""/oauth2: refresh, revoke and introspect as RFC 6749, 7009 and 7662 have them."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.web.conftest import Web


def ask(web: Web, what: str, headers: dict[str, str] | None = None, **form: Any) -> TestResponse:
    return web.call("POST", f"/oauth2/{what}", data=form, headers=headers)


def refresh(web: Web, token: str, **more: Any) -> TestResponse:
    return ask(web, "token", grant_type="refresh_token", refresh_token=token, **more)


def refused(answer: TestResponse) -> tuple[int, str]:
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code, answer.json["error"]


def test_a_refresh_gives_a_successor_and_the_old_token_again_the_same_one(web: Web) -> None:
    first = web.sign_in()
    second = refresh(web, first["refresh_token"])
    assert second.status_code == 200
    assert set(second.json) == set(first)
    assert second.json["session"] == first["session"]
    assert second.json["refresh_token"] != first["refresh_token"]
    assert (second.headers["Cache-Control"], second.headers["Pragma"]) == ("no-store", "no-cache")
    assert refresh(web, first["refresh_token"]).json["refresh_token"] == second.json["refresh_token"]


def test_less_scope_can_be_asked_for_and_more_cannot(web: Web) -> None:
    token = web.sign_in()["refresh_token"]
    less = refresh(web, token, scope="invoices:view")
    assert less.json["scope"] == "invoices:view"
    assert refused(refresh(web, less.json["refresh_token"], scope="invoices:view root")) == (400, "invalid_scope")


def test_scopes_of_openid_that_mean_nothing_here_are_passed_over_when_refreshing_too(web: Web) -> None:
    token = web.sign_in()["refresh_token"]
    more = refresh(web, token, scope="invoices:view profile email offline_access")
    assert more.json["scope"] == "invoices:view"
    assert refused(refresh(web, more.json["refresh_token"], scope="profile email")) == (400, "invalid_scope")


@pytest.mark.parametrize("scope", ["a  b", " a", 'a"b', "a\\b", "ä", "a\nb"])
def test_a_scope_that_is_no_list_of_words_is_an_invalid_request(web: Web, scope: str) -> None:
    assert refused(refresh(web, "art_x", scope=scope)) == (400, "invalid_request")


@pytest.mark.parametrize("junk", ["art_x", "x", "al_1HmJ9mvPZo2TtM7SZt3Fkz4UcfEhOcL2hCjCg7DqV2E", "a" * 8192])
def test_junk_and_other_kinds_of_secrets_are_no_refresh_tokens(web: Web, junk: str) -> None:
    assert refused(refresh(web, junk)) == (400, "invalid_grant")


def test_another_clients_refresh_token_opens_nothing(web: Web) -> None:
    token = web.sign_in()["refresh_token"]
    other = web.client("other")
    assert refused(ask(web, "token", other, grant_type="refresh_token", refresh_token=token)) == (400, "invalid_grant")
    assert refresh(web, token).status_code == 200


@pytest.mark.parametrize(
    "form,error",
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "unauthorized_client"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "a b"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "a" * 8193}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "ärt"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x", "client_secret": "y"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x", "client_id": "other"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x", "client_id": "portal"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x", "unknown": "ignored"}, "invalid_grant"),
    ],
)
def test_what_the_token_endpoint_refuses(shared: Web, form: dict[str, str], error: str) -> None:
    assert refused(ask(shared, "token", **form)) == (400, error)


@pytest.mark.parametrize("endpoint", ["token", "revoke", "introspect"])
@pytest.mark.parametrize(
    "body,content_type",
    [
        (b"token=a&token=b", "application/x-www-form-urlencoded"),
        (b"grant_type=refresh_token&grant_type=refresh_token", "application/x-www-form-urlencoded"),
        (b"scope=&scope=a", "application/x-www-form-urlencoded"),
        (b"token=%ff", "application/x-www-form-urlencoded"),
        (b"token=\xff", "application/x-www-form-urlencoded"),
        ("&".join(f"a{n}=1" for n in range(50)).encode(), "application/x-www-form-urlencoded"),
        (b'{"token": "x"}', "application/json"),
        (b"token=x", ""),
        (b"token=x", "application/x-www-form-urlencoded; charset=utf-16"),
        (b"", "application/x-www-form-urlencoded"),
        (b"%22%0d%0aX-Evil:=1&%22%0d%0aX-Evil:=1", "application/x-www-form-urlencoded"),
    ],
)
def test_repeated_parameters_and_what_is_no_form_are_invalid_requests(
    shared: Web, endpoint: str, body: bytes, content_type: str
) -> None:
    answer = shared.call("POST", f"/oauth2/{endpoint}", data=body, content_type=content_type)
    assert refused(answer) == (400, "invalid_request")
    assert answer.json["error_description"].isprintable()


def test_a_form_over_16_kib_is_refused(shared: Web) -> None:
    assert refused(ask(shared, "revoke", token="x" * 17_000)) == (413, "invalid_request")


def test_parameters_in_the_query_are_not_looked_at(web: Web) -> None:
    token = web.sign_in()["refresh_token"]
    answer = web.call("POST", f"/oauth2/token?grant_type=refresh_token&refresh_token={token}", data={})
    assert refused(answer) == (400, "invalid_request")


def test_revoking_says_200_for_everything_and_ends_what_is_the_clients_own(web: Web) -> None:
    tokens = web.sign_in()
    for token in ("nonsense", "art_nonsense", tokens["access_token"][:-3]):
        answer = ask(web, "revoke", token=token, token_type_hint="access_token")
        assert (answer.status_code, answer.data) == (200, b"")
    assert ask(web, "revoke", web.client("other"), token=tokens["refresh_token"]).status_code == 200
    assert ask(web, "introspect", token=tokens["access_token"]).json["active"] is True
    assert ask(web, "revoke", token=tokens["refresh_token"], token_type_hint="access_token").status_code == 200
    assert ask(web, "introspect", token=tokens["access_token"]).json == {"active": False}
    assert refused(refresh(web, tokens["refresh_token"])) == (400, "invalid_grant")


def test_introspection_tells_what_stands_and_of_anything_else_that_it_is_inactive(web: Web) -> None:
    said = ask(web, "introspect", token=web.instant()).json
    assert said["active"] is True
    for member in ("scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti", "token_type", "acr", "auth_time"):
        assert member in said
    assert said["authorization_details"][0]["identifier"] == "inv_1"
    for junk in ("x", "art_x", "eyJ.e30.x"):
        assert ask(web, "introspect", token=junk).json == {"active": False}


def test_a_flood_of_junk_is_limited_in_oauths_own_words(web: Web) -> None:
    answers = [refresh(web, f"art_{number}") for number in range(62)]
    assert {answer.status_code for answer in answers} == {400, 429}
    assert refused(answers[-1]) == (429, "temporarily_unavailable")
    assert int(answers[-1].headers["Retry-After"]) > 0
