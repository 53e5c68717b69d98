"""What the modules of OpenID's conformance suite check of a provider (plans Basic, Config and RP-Initiated Logout):
each a test of ours under the module's name. The client is registered as their plans ask for: PKCE optional, RS256.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from werkzeug.test import TestResponse

from tests.web.conftest import Web, basic
from tests.web.relying import CALLBACK, GOODBYE, Party, claims, code_of, party, sent_to, sign_in

ISSUER = "http://127.0.0.1:8080"
NO_PKCE: dict[str, str | None] = {"code_challenge": None, "code_challenge_method": None}
USERINFO = "/oauth2/userinfo"


class Plan(Party):
    """A client of the plan, and what its modules do again and again."""

    def ask(self, **changes: str | None) -> TestResponse:
        return self.authorize(**{"scope": "openid", **NO_PKCE, **changes})

    def get_tokens(self, **changes: str | None) -> dict[str, Any]:
        answer = self.redeem(code_of(self.ask(**changes)), code_verifier=None)
        assert answer.status_code == 200, answer.json
        return dict(answer.json)

    def userinfo(self, token: str, method: str = "GET") -> TestResponse:
        return self.web.bare(method, USERINFO, headers={"Authorization": f"Bearer {token}"})

    def leave(self, **fields: str) -> TestResponse:
        return self.web.bare("GET", f"/oauth2/logout?{urlencode(fields)}")

    def signed_in(self) -> bool:
        return "code" in sent_to(self.ask(prompt="none"))[1]


@pytest.fixture
def plan(web: Web) -> Plan:
    """The client, and a patient who is signed in; practice and client tell email and name."""
    web.service.practices.set("maple", actor="cli:test", claims=("email", "name"))
    made = party(web, pkce="optional", id_token_alg="RS256", claims=("email", "name"))
    sign_in(web)
    return Plan(made.web, made.name, made.secret, made.callback)


# --- Config OP --------------------------------------------------------------------------------------------------------


def test_oidcc_discovery_endpoint_verification(web: Web) -> None:
    said = web.bare("GET", "/.well-known/openid-configuration").json
    assert said["issuer"] == ISSUER
    assert "RS256" in said["id_token_signing_alg_values_supported"]
    assert {"code"} <= set(said["response_types_supported"])
    assert {"public"} <= set(said["subject_types_supported"])
    assert "openid" in said["scopes_supported"]
    assert "sub" in said["claims_supported"]
    assert said["request_uri_parameter_supported"] is said["request_parameter_supported"] is False
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"):
        assert said[name].startswith(ISSUER)
    for key in web.bare("GET", "/.well-known/jwks.json").json["keys"]:
        assert {"kid", "alg", "use", "kty"} <= key.keys()
        assert not {"d", "p", "q"} & key.keys()


# --- Basic OP ---------------------------------------------------------------------------------------------------------


def test_oidcc_server(web: Web, plan: Plan) -> None:
    tokens = plan.get_tokens()
    assert tokens["token_type"] == "Bearer"
    keys = jwt.PyJWKSet.from_dict(web.bare("GET", "/.well-known/jwks.json").json)
    header = jwt.get_unverified_header(tokens["id_token"])
    said = jwt.decode(
        tokens["id_token"],
        keys[header["kid"]],
        algorithms=["RS256"],
        audience="app",
        issuer=ISSUER,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert said["nonce"] == "n0nce"
    assert {"sub", "iat", "exp", "auth_time"} <= said.keys()


def test_oidcc_response_type_missing(plan: Plan) -> None:
    where, said = sent_to(plan.ask(response_type=None))
    assert (where, said["error"], said["state"]) == (CALLBACK, "invalid_request", "st4te")


def test_oidcc_userinfo_get(plan: Plan) -> None:
    tokens = plan.get_tokens()
    assert plan.userinfo(tokens["access_token"]).json["sub"] == claims(tokens["id_token"])["sub"]


def test_oidcc_userinfo_post_header(plan: Plan) -> None:
    tokens = plan.get_tokens()
    assert plan.userinfo(tokens["access_token"], "POST").json["sub"] == claims(tokens["id_token"])["sub"]


def test_oidcc_userinfo_post_body(web: Web, plan: Plan) -> None:
    """RFC 6750 §2.2 leaves it to the server; ours takes the header alone, and says so by a plain 401."""
    answer = web.bare("POST", USERINFO, data={"access_token": plan.get_tokens()["access_token"]})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(plan: Plan) -> None:
    assert "nonce" not in claims(plan.get_tokens(nonce=None)["id_token"])


def test_oidcc_ensure_request_without_state_succeeds(plan: Plan) -> None:
    assert "state" not in sent_to(plan.ask(state=None))[1]


@pytest.mark.parametrize(
    "scope,members",
    [
        ("profile", {"name"}),
        ("email", {"email", "email_verified"}),
        ("address", set()),
        ("phone", set()),
        ("profile email address phone", {"name", "email", "email_verified"}),
    ],
    ids=["oidcc_scope_profile", "oidcc_scope_email", "oidcc_scope_address", "oidcc_scope_phone", "oidcc_scope_all"],
)
def test_oidcc_scope(plan: Plan, scope: str, members: set[str]) -> None:
    told = plan.userinfo(plan.get_tokens(scope=f"openid {scope}")["access_token"]).json
    assert told.keys() - {"sub", "practice", "locale"} == members


def test_oidcc_ensure_other_scope_order_succeeds(plan: Plan) -> None:
    assert plan.get_tokens(scope="email openid")["id_token"]


@pytest.mark.parametrize(
    "parameter",
    [
        {"display": "page"},
        {"display": "popup"},
        {"ui_locales": "se"},
        {"claims_locales": "se"},
        {"login_hint": "bob@example.org"},
        {"acr_values": "instant extra"},
        {"claims": '{"userinfo": {"name": {"essential": true}}}'},
        {"extra": "foobar"},
    ],
    ids=[
        "oidcc_display_page",
        "oidcc_display_popup",
        "oidcc_ui_locales",
        "oidcc_claims_locales",
        "oidcc_login_hint",
        "oidcc_ensure_request_with_acr_values_succeeds",
        "oidcc_claims_essential",
        "oidcc_ensure_request_with_unknown_parameter_succeeds",
    ],
)
def test_a_request_with_this_parameter_succeeds(plan: Plan, parameter: dict[str, str | None]) -> None:
    assert plan.get_tokens(**parameter)["id_token"]


def test_oidcc_prompt_login(web: Web, plan: Plan) -> None:
    first = claims(plan.get_tokens()["id_token"])
    where, carried = sent_to(plan.ask(prompt="login"))
    assert where == "/p/maple/sign-in"
    assert carried["prompt"] == "login"
    web.clock.advance_s(60)
    sign_in(web)
    again = claims(plan.get_tokens()["id_token"])
    assert again["auth_time"] > first["auth_time"]
    assert again["sub"] == first["sub"]


def test_oidcc_prompt_none_not_logged_in(web: Web) -> None:
    made = party(web, pkce="optional")
    where, said = sent_to(made.authorize(prompt="none", **NO_PKCE))
    assert (where, said["error"], said["state"]) == (CALLBACK, "login_required", "st4te")


def test_oidcc_prompt_none_logged_in(web: Web, plan: Plan) -> None:
    first = claims(plan.get_tokens()["id_token"])
    web.clock.advance_s(30)
    second = claims(plan.get_tokens(prompt="none")["id_token"])
    assert [second[name] for name in ("sub", "auth_time")] == [first[name] for name in ("sub", "auth_time")]


def test_oidcc_max_age_1(web: Web, plan: Plan) -> None:
    first = claims(plan.get_tokens()["id_token"])
    web.clock.advance_s(2)
    assert sent_to(plan.ask(max_age="1"))[0] == "/p/maple/sign-in"
    sign_in(web)
    assert claims(plan.get_tokens(max_age="1")["id_token"])["auth_time"] >= first["auth_time"] + 2


def test_oidcc_max_age_10000(web: Web, plan: Plan) -> None:
    first = claims(plan.get_tokens(max_age="15000")["id_token"])
    web.clock.advance_s(2)
    assert claims(plan.get_tokens(max_age="10000")["id_token"])["auth_time"] == first["auth_time"]


def test_oidcc_id_token_hint(plan: Plan) -> None:
    hint = plan.get_tokens()["id_token"]
    again = plan.get_tokens(prompt="none", id_token_hint=hint)
    assert claims(again["id_token"])["sub"] == claims(hint)["sub"]


@pytest.mark.parametrize("later_s", [0, 30], ids=["oidcc_codereuse", "oidcc_codereuse_30seconds"])
def test_a_code_is_good_once_and_its_reuse_ends_what_it_gave(web: Web, plan: Plan, later_s: int) -> None:
    code = code_of(plan.ask())
    token = plan.redeem(code, code_verifier=None).json["access_token"]
    web.clock.advance_s(later_s)
    answer = plan.redeem(code, code_verifier=None)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    assert plan.userinfo(token).status_code == 401


def test_oidcc_ensure_registered_redirect_uri(plan: Plan) -> None:
    answer = plan.ask(redirect_uri=CALLBACK + "/other")
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_oidcc_server_client_secret_post(web: Web, plan: Plan) -> None:
    web.service.clients.set("app", actor="cli:test", auth="post")
    form = {"grant_type": "authorization_code", "code": code_of(plan.ask()), "redirect_uri": CALLBACK}
    form |= {"client_id": "app", "client_secret": plan.secret}
    assert web.bare("POST", "/oauth2/token", data=form).json["id_token"]


@pytest.mark.parametrize(
    "parameter,error",
    [
        ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
        ({"request_uri": "https://client.example/request"}, "request_uri_not_supported"),
    ],
    ids=["oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported", "oidcc_request_uri_unsigned"],
)
def test_request_objects_are_rejected_as_unsupported(plan: Plan, parameter: dict[str, str], error: str) -> None:
    assert sent_to(plan.ask(**parameter))[1]["error"] == error


def test_oidcc_ensure_request_object_with_redirect_uri(plan: Plan) -> None:
    """The object's address is never looked at: the error goes to the one that is registered and stands outside."""
    where, said = sent_to(plan.ask(request="eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL2V2aWwuZXhhbXBsZSJ9."))
    assert (where, said["error"]) == (CALLBACK, "request_not_supported")


def test_oidcc_refresh_token(web: Web, plan: Plan) -> None:
    first = plan.get_tokens(scope="openid offline_access")
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = web.bare("POST", "/oauth2/token", data=form, headers=basic("app", plan.secret)).json
    for name in ("iss", "sub", "aud", "auth_time"):
        assert claims(second["id_token"])[name] == claims(first["id_token"])[name]
    other = party(web, "other")
    again = {"grant_type": "refresh_token", "refresh_token": second["refresh_token"]}
    refused = web.bare("POST", "/oauth2/token", data=again, headers=basic("other", other.secret))
    assert (refused.status_code, refused.json["error"]) == (400, "invalid_grant")


def test_oidcc_ensure_request_with_valid_pkce_succeeds(plan: Plan) -> None:
    assert plan.redeem(code_of(plan.authorize(scope="openid"))).status_code == 200


# --- RP-Initiated Logout ----------------------------------------------------------------------------------------------


def test_oidcc_rp_initiated_logout(plan: Plan) -> None:
    hint = plan.get_tokens()["id_token"]
    answer = plan.leave(id_token_hint=hint, post_logout_redirect_uri=GOODBYE, state="abc")
    assert sent_to(answer) == (GOODBYE, {"state": "abc"})
    assert not plan.signed_in()


def test_oidcc_rp_initiated_logout_no_state(plan: Plan) -> None:
    hint = plan.get_tokens()["id_token"]
    assert sent_to(plan.leave(id_token_hint=hint, post_logout_redirect_uri=GOODBYE)) == (GOODBYE, {})
    assert not plan.signed_in()


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(plan: Plan) -> None:
    where, _ = sent_to(plan.leave(id_token_hint=plan.get_tokens()["id_token"], state="abc"))
    assert where == "/p/maple/signed-out"
    assert not plan.signed_in()


@pytest.mark.parametrize(
    "address",
    [GOODBYE + "/other", GOODBYE + "?foo=bar"],
    ids=[
        "oidcc_rp_initiated_logout_bad_post_logout_redirect_uri",
        "oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri",
    ],
)
def test_an_address_that_is_not_registered_is_never_redirected_to(plan: Plan, address: str) -> None:
    answer = plan.leave(id_token_hint=plan.get_tokens()["id_token"], post_logout_redirect_uri=address)
    assert not answer.headers.get("Location", "").startswith(GOODBYE)


@pytest.mark.parametrize(
    "fields",
    [{}, {"state": "abc"}, {"post_logout_redirect_uri": GOODBYE, "state": "abc"}],
    ids=[
        "oidcc_rp_initiated_logout_no_params",
        "oidcc_rp_initiated_logout_only_state",
        "oidcc_rp_initiated_logout_no_id_token_hint",
    ],
)
def test_without_a_hint_nobody_is_redirected_unasked(plan: Plan, fields: dict[str, str]) -> None:
    """A page of ours asks, with one button."""
    assert plan.leave(**fields).headers.get("Location", "/p/maple/sign-out") == "/p/maple/sign-out"
    assert plan.signed_in()


@pytest.mark.parametrize("how", ["modified", "bad"])
def test_oidcc_rp_initiated_logout_bad_id_token_hint(plan: Plan, how: str) -> None:
    token = plan.get_tokens()["id_token"]
    hint = token[:-8] + "AAAAAAAA" if how == "modified" else "this-is-no-token"
    answer = plan.leave(id_token_hint=hint, post_logout_redirect_uri=GOODBYE, state="abc")
    assert "Location" not in answer.headers
    assert plan.signed_in()
