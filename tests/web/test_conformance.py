"""What the modules of OpenID's conformance suite check of a provider (plans Basic and Config), one test for each module
under its name, for a client that an operator has registered: PKCE optional, RS256, `client_secret_basic` and
`client_secret_post`. Logout has a file of its own beside this one.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from pathlib import Path

import jwt
from werkzeug.test import TestResponse

from tests.web import test_conformance_logout
from tests.web.certification import (
    ISSUER,
    NO_PKCE,
    PLANS,
    SKIPS,
    UNSIGNED,
    WARNS,
    Plan,
    auth,
    client,
    plan,
    register,
    web,
)
from tests.web.conftest import Web
from tests.web.relying_party import CALLBACK, claims, code_of, sent_to, sign_in

__all__ = ["auth", "client", "plan", "web"]


def test_every_module_of_every_plan_has_a_test_of_its_name() -> None:
    modules = [module for plan in PLANS.values() for module in plan]
    here = {*globals(), *vars(test_conformance_logout)}
    assert [module for module in modules if f"test_{module.replace('-', '_')}" not in here] == []
    named = {name for name in here if name.startswith("test_oidcc_")}
    assert len(named) == len(modules) == len(set(modules))
    assert {*WARNS, *SKIPS} <= set(modules)
    assert WARNS.keys().isdisjoint(SKIPS)


def test_what_ends_with_a_warning_is_a_row_of_the_deviations() -> None:
    page = (Path(__file__).parents[2] / "docs/explanation/deviations.md").read_text(encoding="utf-8")
    assert [module for module in WARNS if f"`{module}`" not in page] == []


# --- Config OP --------------------------------------------------------------------------------------------------------


def test_oidcc_discovery_endpoint_verification(web: Web) -> None:
    answer = web.bare("GET", "/.well-known/openid-configuration")
    said = answer.json
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert said["issuer"] == ISSUER
    assert "RS256" in said["id_token_signing_alg_values_supported"]
    assert {"code"} <= set(said["response_types_supported"])
    assert {"public"} <= set(said["subject_types_supported"])
    assert {"authorization_code"} <= set(said["grant_types_supported"])
    assert "openid" in said["scopes_supported"]
    assert all(re.fullmatch(r"[!#-\[\]-~]+", scope) for scope in said["scopes_supported"])
    assert all(re.fullmatch(r"[a-z]{2}(-[A-Z]{2})?", locale) for locale in said["ui_locales_supported"])
    assert "sub" in said["claims_supported"]
    assert said["request_uri_parameter_supported"] is said["request_parameter_supported"] is False
    assert isinstance(said["code_challenge_methods_supported"], list)
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"):
        assert said[name].startswith(ISSUER)
    keys = web.bare("GET", "/.well-known/jwks.json").json["keys"]
    for key in keys:
        assert {"kid", "alg", "use", "kty"} <= key.keys()
        assert not {"d", "p", "q"} & key.keys()
    assert len({key["kid"] for key in keys}) == len(keys)


# --- Basic OP ---------------------------------------------------------------------------------------------------------


def verified(web: Web, id_token: str) -> dict[str, object]:
    """The claims, checked as a relying party does."""
    keys = jwt.PyJWKSet.from_dict(web.bare("GET", "/.well-known/jwks.json").json)
    key = keys[jwt.get_unverified_header(id_token)["kid"]]
    unchecked = {"verify_exp": False, "verify_iat": False}  # the service's time is the test's own
    return dict(jwt.decode(id_token, key, algorithms=["RS256"], audience="app", issuer=ISSUER, options=unchecked))


def test_oidcc_server(web: Web, plan: Plan) -> None:
    where, back = sent_to(plan.ask())
    assert (where, back["state"], back["iss"]) == (CALLBACK, "st4te", ISSUER)
    assert len(back["code"]) >= 22  # 128 bits
    tokens = plan.redeem(back["code"]).json
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 600)
    said = verified(web, tokens["id_token"])
    assert said["nonce"] == "n0nce"
    assert {"sub", "iat", "exp", "auth_time"} <= said.keys()
    standard = {"iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "acr", "amr", "sid", "at_hash"}
    assert said.keys() - standard == {"practice"}
    assert plan.userinfo(tokens["access_token"]).status_code == 200


def test_oidcc_response_type_missing(plan: Plan) -> None:
    where, said = sent_to(plan.ask(response_type=None))
    assert (where, said["error"], said["state"]) == (CALLBACK, "invalid_request", "st4te")


def test_oidcc_idtoken_signature(plan: Plan) -> None:
    header = jwt.get_unverified_header(plan.get_tokens()["id_token"])
    assert header["alg"] == "RS256"
    assert header["kid"]


def test_oidcc_idtoken_unsigned(web: Web) -> None:
    said = web.bare("GET", "/.well-known/openid-configuration").json
    assert "none" not in said["id_token_signing_alg_values_supported"]


def test_oidcc_userinfo_get(plan: Plan) -> None:
    tokens = plan.get_tokens()
    assert plan.userinfo(tokens["access_token"]).json["sub"] == claims(tokens["id_token"])["sub"]


def test_oidcc_userinfo_post_header(plan: Plan) -> None:
    tokens = plan.get_tokens()
    assert plan.userinfo(tokens["access_token"], "POST").json["sub"] == claims(tokens["id_token"])["sub"]


def test_oidcc_userinfo_post_body(web: Web, plan: Plan) -> None:
    tokens = plan.get_tokens()
    answer = web.bare("POST", "/oauth2/userinfo", data={"access_token": tokens["access_token"]})
    assert answer.json["sub"] == claims(tokens["id_token"])["sub"]


def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(plan: Plan) -> None:
    assert "nonce" not in claims(plan.get_tokens(nonce=None)["id_token"])


def userinfo_claims(plan: Plan, scope: str) -> set[str]:
    """The members of userinfo beside the three that are always there."""
    answer = plan.userinfo(plan.get_tokens(scope=scope)["access_token"])
    assert answer.status_code == 200
    return set(answer.json) - {"sub", "practice", "locale"}


def test_oidcc_scope_profile(plan: Plan) -> None:
    assert userinfo_claims(plan, "openid profile") == {"name"}


def test_oidcc_scope_email(plan: Plan) -> None:
    assert userinfo_claims(plan, "openid email") == {"email", "email_verified"}


def test_oidcc_scope_address(plan: Plan) -> None:
    assert userinfo_claims(plan, "openid address") == set()


def test_oidcc_scope_phone(plan: Plan) -> None:
    assert userinfo_claims(plan, "openid phone") == set()


def test_oidcc_scope_all(plan: Plan) -> None:
    assert userinfo_claims(plan, "openid profile email address phone") == {"name", "email", "email_verified"}


def test_oidcc_alternate_happy_flow(plan: Plan) -> None:
    """Scopes and parameters the other way round."""
    query = plan.query(scope="email openid", **NO_PKCE)
    turned = "&".join(reversed(query.split("&")))
    tokens = plan.redeem(code_of(plan.web.bare("GET", f"/oauth2/authorize?{turned}"))).json
    assert set(tokens["scope"].split()) == {"openid", "email"}
    assert userinfo_claims(plan, "email openid") == {"email", "email_verified"}


def test_oidcc_display_page(plan: Plan) -> None:
    assert plan.get_tokens(display="page")["id_token"]


def test_oidcc_display_popup(plan: Plan) -> None:
    assert plan.get_tokens(display="popup")["id_token"]


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


def test_oidcc_prompt_none_not_logged_in(client: Plan) -> None:
    state = "s" * 124 + "-._~"
    where, said = sent_to(client.ask(prompt="none", state=state))
    assert (where, said["error"], said["state"], said["iss"]) == (CALLBACK, "login_required", state, ISSUER)
    assert "code" not in said


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


def test_oidcc_ensure_request_with_unknown_parameter_succeeds(plan: Plan) -> None:
    assert plan.get_tokens(extra="foobar")["id_token"]


def test_oidcc_id_token_hint(plan: Plan) -> None:
    hint = plan.get_tokens()["id_token"]
    again = plan.get_tokens(prompt="none", id_token_hint=hint)
    assert claims(again["id_token"])["sub"] == claims(hint)["sub"]


def test_oidcc_login_hint(plan: Plan) -> None:
    assert plan.get_tokens(login_hint="bob@example.org")["id_token"]


def test_oidcc_ui_locales(plan: Plan) -> None:
    assert plan.get_tokens(ui_locales="se")["id_token"]


def test_oidcc_claims_locales(plan: Plan) -> None:
    assert plan.get_tokens(claims_locales="se")["id_token"]


def test_oidcc_ensure_request_with_acr_values_succeeds(web: Web, plan: Plan) -> None:
    offered = web.bare("GET", "/.well-known/openid-configuration").json["acr_values_supported"]
    assert claims(plan.get_tokens(acr_values=" ".join(offered))["id_token"])["acr"] in offered


def reuse(plan: Plan, later_s: int) -> tuple[TestResponse, str]:
    """A code that is redeemed twice: the second answer, and the access token of the first."""
    code = code_of(plan.ask())
    token = str(plan.redeem(code).json["access_token"])
    plan.web.clock.advance_s(later_s)
    return plan.redeem(code), token


def test_oidcc_codereuse(plan: Plan) -> None:
    answer, _ = reuse(plan, 0)
    assert (answer.status_code, answer.json["error"], answer.content_type) == (400, "invalid_grant", "application/json")


def test_oidcc_codereuse_30seconds(plan: Plan) -> None:
    answer, token = reuse(plan, 30)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    assert plan.userinfo(token).status_code == 401


def test_oidcc_ensure_registered_redirect_uri(plan: Plan) -> None:
    answer = plan.ask(redirect_uri=CALLBACK + "/other")
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_oidcc_ensure_post_request_succeeds(plan: Plan) -> None:
    """From another website our cookies don't come with a form; they do with the GET that it is turned into."""
    answer = plan.post_request()
    where = answer.headers["Location"]
    assert where.startswith("/oauth2/authorize?")
    assert plan.redeem(code_of(plan.web.bare("GET", where))).json["id_token"]


def test_oidcc_server_client_secret_post(web: Web, plan: Plan, auth: str) -> None:
    """Each client in the one way that it is registered for: a secret in the other place is `invalid_client`."""
    offered = web.bare("GET", "/.well-known/openid-configuration").json["token_endpoint_auth_methods_supported"]
    assert {"client_secret_basic", "client_secret_post"} <= set(offered)
    assert verified(web, plan.get_tokens()["id_token"])["nonce"] == "n0nce"
    other = dataclasses.replace(plan, auth="basic" if auth == "post" else "post")
    answer = other.redeem(code_of(plan.ask()))
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def request_object(**members: str) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")
    return f"{UNSIGNED}.{payload}."


def test_oidcc_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(plan: Plan) -> None:
    asked = {"request_uri": "https://client.example/request", "state": None, "nonce": None}
    assert sent_to(plan.ask(**asked))[1]["error"] == "request_uri_not_supported"


def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(plan: Plan) -> None:
    asked = {"request": request_object(state="st4te", nonce="n0nce"), "state": None, "nonce": None}
    assert sent_to(plan.ask(**asked))[1]["error"] == "request_not_supported"


def test_oidcc_claims_essential(plan: Plan) -> None:
    tokens = plan.get_tokens(claims='{"userinfo": {"name": {"essential": true}}}')
    assert "name" not in claims(tokens["id_token"])
    assert plan.userinfo(tokens["access_token"]).status_code == 200


def test_oidcc_ensure_request_object_with_redirect_uri(plan: Plan) -> None:
    """A registered address in the object doesn't make up for the other one outside: there is a page and no redirect."""
    wrong, right = CALLBACK + "_invalid", CALLBACK
    answer = plan.ask(request=request_object(redirect_uri=right), redirect_uri=wrong, state=None, nonce=None)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    # The other way round the error goes to the address outside; the object's is never looked at.
    where, said = sent_to(plan.ask(request=request_object(redirect_uri="https://evil.example/")))
    assert (where, said["error"]) == (CALLBACK, "request_not_supported")


def test_oidcc_refresh_token(web: Web, plan: Plan, auth: str) -> None:
    first = plan.get_tokens()
    web.clock.advance_s(1)
    answer = plan.token_request(grant_type="refresh_token", refresh_token=first["refresh_token"], scope="openid")
    assert answer.status_code == 200, answer.json
    second = answer.json
    before, after = claims(first["id_token"]), verified(web, second["id_token"])
    assert [after[name] for name in ("iss", "sub", "aud", "auth_time")] == [
        before[name] for name in ("iss", "sub", "aud", "auth_time")
    ]
    assert after["iat"] != before["iat"]
    assert second["access_token"] != first["access_token"]
    assert plan.userinfo(second["access_token"]).status_code == 200
    other = register(web, "other", auth)
    refused = other.token_request(grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert (refused.status_code, refused.json["error"]) == (400, "invalid_grant")


def test_oidcc_ensure_request_with_valid_pkce_succeeds(plan: Plan) -> None:
    assert plan.redeem_with_pkce(code_of(plan.authorize(scope="openid"))).status_code == 200


def test_attack_a_client_of_the_plan_that_asks_with_pkce_is_held_to_it(plan: Plan) -> None:
    answer = plan.redeem(code_of(plan.authorize(scope="openid")))
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
