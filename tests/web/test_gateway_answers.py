"""forward-auth: 200, 401, 403 or 503; the token first; all headers always; nothing decided from what a client says."""

from __future__ import annotations

import pytest
from werkzeug.test import TestResponse

from authsvc.web.oauth import forward_auth
from tests.web.conftest import Web, slug

NAMES = [name for name, _ in forward_auth.HEADERS]


def ask(
    web: Web, token: str | None, query: str = "practice=maple", method: str = "GET", **headers: str
) -> TestResponse:
    bearer = {"Authorization": f"Bearer {token}"} if token is not None else {}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.bare(method, f"/v1/forward-auth?{query}", headers={**bearer, **given})


@pytest.fixture
def token(web: Web) -> str:
    return str(web.sign_in()["access_token"])


def test_a_good_token_passes_with_all_seven_headers(web: Web, token: str) -> None:
    answer = ask(web, token, "practice=maple&scope=invoices:view&acr=extra")
    assert (answer.status_code, answer.data) == (200, b"")
    assert [name for name, _ in answer.headers if name.startswith("X-Auth-")] == NAMES
    assert answer.headers["X-Auth-Subject"] == "maple:p1"
    assert (answer.headers["X-Auth-Acr"], answer.headers["X-Auth-Resource"]) == ("extra", "")
    assert answer.headers["X-Auth-Session"]
    assert len(str(answer.headers)) < 2048


def test_headers_without_a_value_are_there_all_the_same(web: Web) -> None:
    answer = ask(web, web.instant(), "practice=maple&resource=invoice:inv_1")
    assert [name for name, _ in answer.headers if name.startswith("X-Auth-")] == NAMES
    assert (answer.headers["X-Auth-Session"], answer.headers["X-Auth-Resource"]) == ("", "invoice:inv_1")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_any_method_is_judged_the_same_way_and_no_body_is_read(web: Web, token: str, method: str) -> None:
    assert ask(web, token, method=method).status_code == 200
    assert ask(web, None, method=method).status_code == 401
    large = {"CONTENT_LENGTH": "99999999999"}
    answer = web.bare(method, "/v1/forward-auth?practice=maple", environ_overrides=large)
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/v1/forward-auth/", "/v1/forward-auth/x", "/v1/forward-authx", "/V1/forward-auth"])
def test_only_the_exact_path_is_answered(web: Web, token: str, path: str) -> None:
    assert web.bare("GET", f"{path}?practice=maple", headers={"Authorization": f"Bearer {token}"}).status_code == 404


@pytest.mark.parametrize("header", ["", "Basic cG9ydGFsOng=", "DPoP", "Token x"])
def test_without_a_bearer_token_the_challenge_has_no_error_code(web: Web, header: str) -> None:
    answer = web.bare("GET", "/v1/forward-auth?practice=maple", headers={"Authorization": header})
    assert (answer.status_code, slug(answer)) == (401, "missing-token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="authsvc"'


@pytest.mark.parametrize("junk", ["", " ", "x", "a.b.c", "a b", "ä", "x" * 9000, "one, Bearer two", "al_x", "art_x"])
def test_a_token_that_proves_nothing_is_invalid(web: Web, junk: str) -> None:
    answer = ask(web, junk)
    assert (answer.status_code, slug(answer)) == (401, "invalid-token")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_outside_the_authorization_header_is_not_looked_at(web: Web, token: str) -> None:
    assert ask(web, None, f"practice=maple&access_token={token}").status_code == 401
    assert ask(web, None, Cookie=f"access_token={token}", X_Auth_Token=token).status_code == 401
    form = web.public.post("/v1/forward-auth?practice=maple", data={"access_token": token})
    assert form.status_code == 401
    assert ask(web, token, f"practice=maple&access_token={token}").status_code == 403


BAD_QUERIES = [
    "",
    "practice=",
    "practice=%20",
    "practice=maple&practice=maple",
    "practice=maple&practice=oak",
    "practice=maple&scope=a&scope=b",
    "practice=maple&scope=",
    "practice=maple&acr=",
    "practice=maple&acr=gold",
    "practice=maple&acr=instant+extra",
    "practice=maple&role=admin",
    "practice=maple&scopes=invoices:view",
    "Practice=maple",
    "scope=invoices:view",
    "practice=oak",
    "practice=MAPLE",
    "practice=maple%00",
    "practice=%ff",
    "practice=maple&scope=" + "a" * 3000,
    "&".join(f"a{n}=1" for n in range(50)),
    "practice=maple;scope=a",
]


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_a_missing_unknown_empty_or_repeated_parameter_is_403_and_the_token_still_comes_first(
    web: Web, token: str, query: str
) -> None:
    answer = ask(web, token, query)
    assert (answer.status_code, slug(answer)) == (403, "insufficient-token")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="authsvc", error="insufficient_scope"')
    assert ask(web, "junk", query).status_code == 401
    assert ask(web, None, query).status_code == 401


def test_a_missing_scope_is_named(web: Web, token: str) -> None:
    answer = ask(web, token, "practice=maple&scope=invoices:view+root:all")
    assert answer.status_code == 403
    assert 'scope="invoices:view root:all"' in answer.headers["WWW-Authenticate"]


def test_what_was_asked_for_cannot_break_out_of_the_challenge(web: Web, token: str) -> None:
    answer = ask(web, token, "practice=maple&scope=x%22%2C+error%3D%22none%5C%C3%A4")
    assert answer.status_code == 403
    assert 'scope="x, error=none"' in answer.headers["WWW-Authenticate"]
    assert web.bare("GET", "/v1/forward-auth?practice=maple&scope=a%0d%0aX-Evil:1").status_code == 401


def test_a_link_does_not_reach_what_needs_a_code_and_says_how_to_get_there(web: Web) -> None:
    answer = ask(web, web.instant(), "practice=maple&resource=invoice:inv_1&acr=extra")
    assert (answer.status_code, answer.json["status"]) == (401, 401)
    challenge = answer.headers["WWW-Authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'acr_values="extra"' in challenge


def test_a_token_for_one_invoice_passes_for_that_one_only(web: Web) -> None:
    instant = web.instant()
    assert ask(web, instant, "practice=maple&resource=invoice:inv_1&scope=invoice:pay").status_code == 200
    for query in ("practice=maple&resource=invoice:inv_2", "practice=maple", "practice=maple&scope=invoice:view"):
        assert ask(web, instant, query).status_code == 403


def test_any_practice_can_be_said_aloud(web: Web, token: str) -> None:
    assert ask(web, token, "practice=*").status_code == 200
    assert ask(web, token, "practice=oak").status_code == 403


def test_forwarded_headers_decide_nothing(web: Web, token: str) -> None:
    forged = {
        "X_Forwarded_Uri": "/public",
        "X_Original_URI": "/public",
        "X_Forwarded_Host": "evil.example",
        "X_Forwarded_Method": "OPTIONS",
        "X_Auth_Subject": "maple:p9",
    }
    answer = ask(web, token, **forged)
    assert answer.headers.getlist("X-Auth-Subject") == ["maple:p1"]
    assert ask(web, None, **forged).status_code == 401


def test_a_session_that_was_ended_does_not_pass_any_more(web: Web, token: str) -> None:
    web.call("DELETE", "patients/p1/sessions")
    assert (ask(web, token).status_code, slug(ask(web, token))) == (401, "invalid-token")


def test_with_the_store_away_it_is_503_and_never_open(web: Web, token: str) -> None:
    web.stop_the_store()
    answer = ask(web, token)
    assert (answer.status_code, slug(answer)) == (503, "unavailable")
    assert ask(web, None).status_code == 401
