"""The userinfo endpoint: three members, for a token that stands and was asked for with `openid`."""

from __future__ import annotations

import pytest

from tests.web.conftest import API, Web, basic
from tests.web.relying_party import claims, party, press, sign_in

PATH = "/oauth2/userinfo"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_says_who_whose_and_in_which_language_and_nothing_more(web: Web, method: str) -> None:
    app = party(web)
    sign_in(web)
    answer = web.bare(method, PATH, headers=bearer(app.tokens()["access_token"]))
    assert answer.json == {"sub": "maple:p1", "practice": "maple", "locale": "en"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_language_is_the_patients_own_where_there_is_one(web: Web) -> None:
    app = party(web)
    act = web.harness.act()
    web.harness.patients.put(act, "p1", email="ann@example.org", label="Ann", locale="es", portal_access=True)
    sign_in(web)
    assert web.bare("GET", PATH, headers=bearer(app.tokens()["access_token"])).json["locale"] == "es"


def test_a_links_token_tells_as_much(web: Web) -> None:
    app = party(web)
    token = app.tokens(login_hint=press(web, patient="visitor"))["access_token"]
    assert web.bare("GET", PATH, headers=bearer(token)).json["sub"] == "maple:visitor"


def test_a_token_without_openid_does_not_reach(web: Web) -> None:
    answer = web.bare("GET", PATH, headers=bearer(web.sign_in()["access_token"]))
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_after_sign_out_the_token_is_nothing(web: Web) -> None:
    app = party(web)
    entered = sign_in(web)
    token = app.tokens()["access_token"]
    assert web.service.browser_sessions.sign_out(web.service.act(web.harness.practice), entered.cookie)
    answer = web.bare("GET", PATH, headers=bearer(token))
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_token")


@pytest.mark.parametrize("header", ["", "Basic x", "Bearer", "Bearer junk"])
def test_without_a_good_token_it_asks_for_one(web: Web, header: str) -> None:
    answer = web.bare("GET", PATH, headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_attack_an_id_token_is_no_access_token(web: Web) -> None:
    app = party(web)
    sign_in(web)
    assert web.bare("GET", PATH, headers=bearer(app.tokens()["id_token"])).status_code == 401


def test_attack_a_token_in_the_address_is_not_read(web: Web) -> None:
    app = party(web)
    sign_in(web)
    token = app.tokens()["access_token"]
    for method in ("GET", "POST"):
        assert web.bare(method, f"{PATH}?access_token={token}").status_code == 401


# --- a token in the form of a POST (RFC 6750 §2.2) --------------------------------------------------------------------


@pytest.fixture
def token(web: Web) -> str:
    app = party(web)
    sign_in(web)
    return str(app.tokens()["access_token"])


def test_the_token_may_come_in_the_form_of_a_post(web: Web, token: str) -> None:
    """OpenID Connect Core §5.3.1."""
    answer = web.bare("POST", PATH, data={"access_token": token, "unknown": "is ignored"})
    assert (answer.status_code, answer.json["sub"]) == (200, "maple:p1")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_form_without_a_token_leaves_the_header_to_say_it(web: Web, token: str) -> None:
    for form in ({}, {"access_token": ""}, {"schema": "openid"}):
        assert web.bare("POST", PATH, data=form, headers=bearer(token)).status_code == 200
        assert web.bare("POST", PATH, data=form).status_code == 401


@pytest.mark.parametrize("junk", ["junk", "a b", "x" * 9000, "é"])
def test_a_form_with_a_bad_token_is_asked_for_a_better_one(web: Web, junk: str) -> None:
    answer = web.bare("POST", PATH, data={"access_token": junk})
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_attack_a_token_in_two_places_is_in_none(web: Web, token: str) -> None:
    """Two readers that each look at another place would see two people (RFC 6750 §2, §3.1)."""
    form, there = {"access_token": token}, f"{PATH}?access_token={token}"
    for answer in (
        web.bare("POST", PATH, data=form, headers=bearer(token)),
        web.bare("POST", PATH, data=form, headers={"Authorization": "Basic cG9ydGFsOng="}),
        web.bare("POST", PATH, data={"access_token": [token, token]}),
        web.bare("POST", there, data=form),
        web.bare("POST", there, headers=bearer(token)),
        web.bare("GET", there, headers=bearer(token)),
    ):
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
        assert token not in answer.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_attack_the_body_of_a_get_is_not_read(web: Web, token: str, method: str) -> None:
    assert web.bare(method, PATH, data={"access_token": token}).status_code == 401


def test_attack_a_body_of_another_type_is_not_read(web: Web, token: str) -> None:
    form = f"access_token={token}"
    assert web.bare("POST", PATH, json={"access_token": token}).status_code == 401
    for content_type in ("text/plain", "multipart/form-data; boundary=x", ""):
        assert web.bare("POST", PATH, data=form, content_type=content_type).status_code == 401


def test_attack_an_endless_form_is_refused_before_it_is_read(web: Web, token: str) -> None:
    answer = web.bare("POST", PATH, data={"access_token": token, "more": "x" * 16_384})
    assert (answer.status_code, answer.json["error"]) == (413, "invalid_request")


FORMS = ["token", "revoke", "introspect", "par", "authorize", "logout"]


@pytest.mark.parametrize("path", [*(f"/oauth2/{name}" for name in FORMS), "/v1/forward-auth?practice=maple"])
def test_attack_a_form_of_another_website_brings_a_token_to_no_other_endpoint(web: Web, token: str, path: str) -> None:
    """It is taken for what it would be without one."""
    with_token, without = (web.bare("POST", path, data=form) for form in ({"access_token": token}, {}))
    assert (with_token.status_code, with_token.data) == (without.status_code, without.data)
    assert with_token.status_code in (303, 400, 401)


def test_attack_no_practice_call_takes_a_token_for_a_client(web: Web, token: str) -> None:
    for operation in API:
        path = operation.path.replace("{practice}", "maple").replace("{id}", "p1")
        assert web.bare(operation.method, path, data={"access_token": token}).status_code == 401


def test_other_methods_are_refused_by_name(web: Web) -> None:
    answer = web.bare("DELETE", PATH)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")


def test_a_practice_that_is_gone_has_no_patients(web: Web) -> None:
    app = party(web)
    sign_in(web)
    token = app.tokens()["access_token"]
    web.service.practices.remove("maple", actor="cli:test")
    assert web.bare("GET", PATH, headers=bearer(token)).status_code == 401


# --- name and email address, by opt-in of both ------------------------------------------------------------------------

NAMED = {"email": "ann@example.org", "email_verified": True, "name": "Ann"}
ASKED = "openid profile email invoices:view"


def opt_in(web: Web, *claims: str) -> None:
    web.service.practices.set("maple", actor="cli:test", claims=claims)
    web.harness.patients.put(
        web.harness.act(), "p1", email="ann@example.org", label="Ann", locale="", portal_access=True
    )
    sign_in(web)


def userinfo_claims(web: Web, token: str) -> dict[str, object]:
    answer = web.bare("GET", PATH, headers=bearer(token))
    return {name: value for name, value in answer.json.items() if name in NAMED}


def test_practice_and_client_that_both_opted_in_get_name_and_email_for_the_scopes(web: Web) -> None:
    app = party(web, claims=("email", "name"))
    opt_in(web, "email", "name")
    tokens = app.tokens(scope=ASKED)
    assert set(tokens["scope"].split()) == set(ASKED.split())
    assert userinfo_claims(web, tokens["access_token"]) == NAMED
    assert userinfo_claims(web, app.tokens(scope="openid email")["access_token"]).keys() == {"email", "email_verified"}
    assert userinfo_claims(web, app.tokens(scope="openid")["access_token"]) == {}


def test_a_refresh_keeps_the_scopes_it_names_again(web: Web) -> None:
    app = party(web, claims=("email",))
    opt_in(web, "email")
    first = app.tokens(scope="openid email")
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "scope": "openid email profile"}
    answer = web.bare("POST", "/oauth2/token", data=form, headers=basic(app.name, app.secret))
    assert set(answer.json["scope"].split()) == {"openid", "email"}
    assert userinfo_claims(web, answer.json["access_token"])["email"] == "ann@example.org"


@pytest.mark.parametrize(
    "of_practice,of_client,names",
    [((), ("email", "name"), set()), (("email", "name"), (), set()), (("email",), ("email", "name"), {"email"})],
)
def test_attack_one_opt_in_alone_tells_nothing(
    web: Web, of_practice: tuple[str, ...], of_client: tuple[str, ...], names: set[str]
) -> None:
    app = party(web, claims=of_client)
    opt_in(web, *of_practice)
    tokens = app.tokens(scope=ASKED)
    assert set(tokens["scope"].split()) == {"openid", "invoices:view"} | names
    assert userinfo_claims(web, tokens["access_token"]).keys() - {"email_verified"} == names


def test_an_opt_in_that_is_taken_back_counts_for_tokens_that_are_out(web: Web) -> None:
    app = party(web, claims=("email", "name"))
    opt_in(web, "email", "name")
    token = app.tokens(scope=ASKED)["access_token"]
    web.service.clients.set("app", actor="cli:test", claims=("name",))
    assert userinfo_claims(web, token) == {"name": "Ann"}
    web.service.practices.set("maple", actor="cli:test", claims=())
    assert userinfo_claims(web, token) == {}


def test_attack_an_instant_link_never_tells_whose_mailbox_it_came_from(web: Web) -> None:
    app = party(web, claims=("email", "name"))
    opt_in(web, "email", "name")
    tokens = app.tokens(login_hint=press(web, patient="p1"), scope="openid email profile invoice:view")
    assert userinfo_claims(web, tokens["access_token"]) == {}


def test_the_id_token_holds_neither_since_it_comes_back_in_addresses(web: Web) -> None:
    app = party(web, claims=("email", "name"))
    opt_in(web, "email", "name")
    assert not NAMED.keys() & claims(app.tokens(scope=ASKED)["id_token"]).keys()
