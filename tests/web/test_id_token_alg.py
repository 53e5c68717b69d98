"""ID tokens signed as the client is registered, and access tokens as ever."""

from __future__ import annotations

import jwt

from tests.web.conftest import Web, basic
from tests.web.relying_party import Party, party, sent_to, sign_in

UNTIMED = {"verify_exp": False, "verify_iat": False}
"""The tests' clock stands still."""


def header(token: str) -> dict[str, str]:
    return dict(jwt.get_unverified_header(token))


def rs256(web: Web) -> Party:
    made = party(web, id_token_alg="RS256")
    sign_in(web)
    return made


def test_a_client_registered_for_rs256_gets_its_id_tokens_so_and_its_access_tokens_as_all_do(web: Web) -> None:
    app = rs256(web)
    tokens = app.tokens()
    assert header(tokens["id_token"])["alg"] == "RS256"
    assert header(tokens["access_token"])["alg"] == "ES256"
    keys = jwt.PyJWKSet.from_dict(web.bare("GET", "/.well-known/jwks.json").json)
    key = keys[header(tokens["id_token"])["kid"]]
    assert jwt.decode(tokens["id_token"], key, algorithms=["RS256"], audience="app", options=UNTIMED)


def test_a_refreshed_id_token_too(web: Web) -> None:
    app = rs256(web)
    form = {"grant_type": "refresh_token", "refresh_token": app.tokens()["refresh_token"]}
    answer = web.bare("POST", "/oauth2/token", data=form, headers=basic(app.name, app.secret))
    assert header(answer.json["id_token"])["alg"] == "RS256"


def test_such_an_id_token_is_a_hint_like_any_other(web: Web) -> None:
    app = rs256(web)
    hint = app.tokens()["id_token"]
    assert "code" in sent_to(app.authorize(prompt="none", id_token_hint=hint))[1]


def test_the_registration_may_change_and_the_next_id_token_follows(web: Web) -> None:
    app = rs256(web)
    web.service.clients.set("app", actor="cli:test", id_token_alg="ES256")
    assert header(app.tokens()["id_token"])["alg"] == "ES256"
