"""What the modules of OpenID's conformance suite check of sign-out (plans RP-Initiated Logout and Back-Channel Logout):
one test for each module under its name, as in `test_conformance.py`.
"""

from __future__ import annotations

import json

import jwt
import pytest
from joserfc import jwt as reader
from joserfc.jwk import KeySet
from werkzeug.test import TestResponse

from authsvc import worker
from tests.delivery.logout_receiver import serving
from tests.web.certification import ISSUER, Plan, auth, client, plan, register, web
from tests.web.conftest import Web
from tests.web.relying_party import CALLBACK, GOODBYE, claims, sent_to, sign_in
from tests.web.visitor import Visitor

__all__ = ["auth", "client", "plan", "web"]

EVENT = "http://schemas.openid.net/event/backchannel-logout"
STATE = "s" * 124 + "-._~"


def hint_of(plan: Plan) -> str:
    return str(plan.get_tokens()["id_token"])


def not_taken_back(answer: TestResponse) -> bool:
    """Nobody is redirected to the client."""
    return not answer.headers.get("Location", "").startswith(GOODBYE.removesuffix("/goodbye"))


# --- RP-Initiated Logout ----------------------------------------------------------------------------------------------


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(web: Web) -> None:
    said = web.bare("GET", "/.well-known/openid-configuration").json
    assert said["end_session_endpoint"] == f"{ISSUER}/oauth2/logout"


def test_oidcc_rp_initiated_logout(plan: Plan) -> None:
    answer = plan.leave(id_token_hint=hint_of(plan), post_logout_redirect_uri=GOODBYE, state=STATE)
    assert sent_to(answer) == (GOODBYE, {"state": STATE})
    assert plan.silently()["error"] == "login_required"


def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(plan: Plan) -> None:
    answer = plan.leave(id_token_hint=hint_of(plan), post_logout_redirect_uri=GOODBYE + "/other", state=STATE)
    assert not_taken_back(answer)


def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(plan: Plan) -> None:
    answer = plan.leave(id_token_hint=hint_of(plan), post_logout_redirect_uri=GOODBYE + "?foo=bar", state=STATE)
    assert not_taken_back(answer)


def stays(plan: Plan, hint: str) -> None:
    """The patient is asked by a page of ours and signed in as before."""
    answer = plan.leave(id_token_hint=hint, post_logout_redirect_uri=GOODBYE, state=STATE)
    assert "Location" not in answer.headers
    assert plan.signed_in()


def test_oidcc_rp_initiated_logout_modified_id_token_hint(plan: Plan) -> None:
    """The token that was given, its signature taken away and `alg` made `none`."""
    stays(plan, jwt.encode(claims(hint_of(plan)), key=None, algorithm="none"))


def test_oidcc_rp_initiated_logout_bad_id_token_hint(web: Web, plan: Plan) -> None:
    """A token that the client itself has made, issuer and audience the wrong way round."""
    now_s = web.clock.now_ms() // 1000
    fake = {"iss": "app", "sub": "SubjectID", "aud": ISSUER, "nonce": "flibble", "iat": now_s, "exp": now_s + 300}
    stays(plan, jwt.encode(fake, plan.secret, algorithm="HS256"))


def asked_first(plan: Plan, **fields: str) -> str:
    """Without a hint a page of ours asks, with one button; its path."""
    answer = plan.leave(**fields)
    assert not_taken_back(answer)
    assert plan.signed_in()
    return answer.headers.get("Location", "")


def test_oidcc_rp_initiated_logout_no_id_token_hint(plan: Plan) -> None:
    asked_first(plan, post_logout_redirect_uri=GOODBYE, state=STATE)


def signs_out_by_its_button(plan: Plan, path: str) -> None:
    visitor = Visitor(plan.web)
    visitor.sign_in()
    assert visitor.signed_in
    assert visitor.press(path).headers["Location"] == "/p/maple/signed-out"
    assert "You are signed out" in visitor.page("/p/maple/signed-out").text
    assert not visitor.signed_in


def test_oidcc_rp_initiated_logout_no_params(plan: Plan) -> None:
    signs_out_by_its_button(plan, asked_first(plan))


def test_oidcc_rp_initiated_logout_only_state(plan: Plan) -> None:
    signs_out_by_its_button(plan, asked_first(plan, state=STATE))


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(plan: Plan) -> None:
    where, _ = sent_to(plan.leave(id_token_hint=hint_of(plan), state=STATE))
    assert where == "/p/maple/signed-out"
    assert not plan.signed_in()


def test_oidcc_rp_initiated_logout_no_state(plan: Plan) -> None:
    assert sent_to(plan.leave(id_token_hint=hint_of(plan), post_logout_redirect_uri=GOODBYE)) == (GOODBYE, {})
    assert not plan.signed_in()


# --- Back-Channel Logout ----------------------------------------------------------------------------------------------


def test_oidcc_backchannel_logout_discovery_endpoint_verification(web: Web) -> None:
    said = web.bare("GET", "/.well-known/openid-configuration").json
    assert said["backchannel_logout_supported"] is said["backchannel_logout_session_supported"] is True
    assert said["end_session_endpoint"].startswith(ISSUER)


@pytest.mark.parametrize("signs_with", ["RS256", "ES256"])
def test_oidcc_backchannel_rp_initiated_logout(web: Web, auth: str, signs_with: str) -> None:
    """A real call to a real server, whose token an independent library checks."""
    name = f"told-by-{signs_with.lower()}"
    with serving() as told:
        made = register(web, name, auth, backchannel_logout_uri=told.url)
        web.service.clients.set(name, actor="cli:test", id_token_alg=signs_with)
        sign_in(web)
        id_token = claims(hint := hint_of(made))
        answer = made.leave(id_token_hint=hint, post_logout_redirect_uri=GOODBYE, state=STATE)
        assert sent_to(answer) == (GOODBYE, {"state": STATE})
        worker.logout_worker(web.service, threads=0).step()
    (call,) = told.calls
    assert call.form.keys() == {"logout_token"}
    keys = KeySet.import_key_set(json.loads(web.service.signing_keys.jwks()[0]))
    read = reader.decode(call.token, keys, algorithms=["ES256", "RS256"])
    assert read.header["typ"] == "logout+jwt"
    said = read.claims
    assert (said["iss"], said["aud"]) == (ISSUER, name)
    assert (said["sub"], said["sid"]) == (id_token["sub"], id_token["sid"])
    assert abs(web.clock.now_ms() // 1000 - said["iat"]) < 300
    assert said["events"] == {EVENT: {}}
    assert said["jti"]
    assert "nonce" not in said
    where, back = sent_to(made.ask(prompt="none"))
    assert (where, back["error"]) == (CALLBACK, "login_required")
