"""RP-initiated logout: at once for whom the ID token names, else when the patient says so; back to known places."""

from __future__ import annotations

import base64
import re
from urllib.parse import urlencode

import pytest
from werkzeug.test import TestResponse

from tests.web.conftest import Web
from tests.web.relying_party import GOODBYE, Party, party, press, sent_to, sign_in

PATH = "/oauth2/logout"


@pytest.fixture
def app(web: Web) -> Party:
    return party(web)


def leave(web: Web, **fields: str) -> TestResponse:
    return web.bare("GET", f"{PATH}?{urlencode(fields)}")


def signed_in(web: Web, app: Party) -> bool:
    return sent_to(app.authorize(prompt="none"))[1].get("error") is None


def confirm(web: Web, page: TestResponse, **changes: str) -> TestResponse:
    """Press the button of the page that asks."""
    html = page.get_data(as_text=True)
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', html)) | changes
    return web.bare("POST", PATH, data={name: value.replace("&amp;", "&") for name, value in fields.items()})


def test_with_an_id_token_of_this_sign_in_it_is_done_at_once(web: Web, app: Party) -> None:
    sign_in(web)
    tokens = app.tokens()
    answer = leave(
        web, id_token_hint=tokens["id_token"], post_logout_redirect_uri=GOODBYE, state="s&t=4", client_id="app"
    )
    assert sent_to(answer) == (GOODBYE, {"state": "s&t=4"})
    assert not signed_in(web, app)
    assert web.harness.introspected(tokens["access_token"]) == {"active": False}
    assert "cache" in answer.headers["Clear-Site-Data"]
    assert "Max-Age=0" in answer.headers["Set-Cookie"]


def test_an_id_token_whose_time_has_passed_still_does(web: Web, app: Party) -> None:
    sign_in(web)
    hint = app.tokens()["id_token"]
    web.clock.advance_s(1200)
    assert sent_to(leave(web, id_token_hint=hint)) == ("/p/maple/signed-out", {})
    assert not signed_in(web, app)


def test_without_an_id_token_the_patient_is_asked(web: Web, app: Party) -> None:
    sign_in(web)
    page = leave(web, client_id="app", post_logout_redirect_uri=GOODBYE, state="s")
    assert page.status_code == 200
    assert f"form-action 'self' {GOODBYE.removesuffix('/goodbye')};" in page.headers["Content-Security-Policy"]
    assert signed_in(web, app)
    assert sent_to(confirm(web, page)) == (GOODBYE, {"state": "s"})
    assert not signed_in(web, app)


@pytest.mark.parametrize("named", ["app", ""])
def test_an_id_token_whose_key_is_gone_still_leads_out_but_asks(web: Web, app: Party, named: str) -> None:
    sign_in(web)
    hint = app.tokens()["id_token"]
    web.clock.advance_s(700)
    web.service.signing_keys.rotate(actor="cli:test")
    for _ in range(4):
        web.clock.advance_s(600)
        assert signed_in(web, app)
    assert web.service.authorization_codes.read_id_token_hint(hint) is None
    page = leave(web, id_token_hint=hint, client_id=named, post_logout_redirect_uri=GOODBYE)
    assert page.status_code == 200
    assert signed_in(web, app)
    assert sent_to(confirm(web, page)) == (GOODBYE, {})
    assert not signed_in(web, app)


def test_attack_a_forged_id_token_signs_nobody_out_unasked(web: Web, app: Party) -> None:
    sign_in(web)
    header, payload, signature = app.tokens()["id_token"].split(".")
    for forged in (f"{header}.{payload}.{'A' * len(signature)}", f"e30.{payload}.", "e30.e30.e30"):
        page = leave(web, id_token_hint=forged, client_id="app", post_logout_redirect_uri=GOODBYE)
        assert page.status_code == 200
        evil = leave(web, id_token_hint=forged, client_id="app", post_logout_redirect_uri="https://evil.example/")
        assert (evil.status_code, "Location" in evil.headers) == (200, False)
        assert "evil.example" not in evil.headers["Content-Security-Policy"]
        assert signed_in(web, app)


def test_without_the_browsers_cookie_an_id_token_ends_its_own_clients_session_only(web: Web, app: Party) -> None:
    """It was closed meanwhile, or this is another browser: a token proves whose session it is, not whose browser."""
    billing = party(web, "billing", callback="https://billing.maple.example/cb")
    sign_in(web)
    tokens, others = app.tokens(), billing.tokens()
    web.public.delete_cookie("authsvc-maple")
    assert sent_to(leave(web, id_token_hint=tokens["id_token"], post_logout_redirect_uri=GOODBYE))[0] == GOODBYE
    assert web.harness.introspected(tokens["access_token"]) == {"active": False}
    refreshed = app.redeem(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refreshed.json["error"] == "invalid_grant"
    assert web.harness.introspected(others["access_token"])["active"]
    assert billing.redeem(grant_type="refresh_token", refresh_token=others["refresh_token"]).status_code == 200


def test_both_sign_ins_end_where_the_browser_was_signed_in_anew_meanwhile(web: Web, app: Party) -> None:
    sign_in(web)
    tokens = app.tokens()
    sign_in(web)  # without the cookie of the one before
    assert sent_to(leave(web, id_token_hint=tokens["id_token"]))[0] == "/p/maple/signed-out"
    assert not signed_in(web, app)
    assert web.harness.introspected(tokens["access_token"]) == {"active": False}


def test_a_client_that_gave_its_session_back_first_still_signs_the_browser_out(web: Web, app: Party) -> None:
    """Careful ones do (RFC 7009): the browser might never get here."""
    entered = sign_in(web)
    tokens = app.tokens()
    basic = base64.b64encode(f"{app.name}:{app.secret}".encode()).decode()
    form = {"token": tokens["refresh_token"]}
    assert web.bare("POST", "/oauth2/revoke", data=form, headers={"Authorization": f"Basic {basic}"}).status_code == 200
    assert signed_in(web, app)
    leave(web, id_token_hint=tokens["id_token"])
    web.public.set_cookie("authsvc-maple", entered.cookie)  # a copy of the cookie is worth nothing either
    assert not signed_in(web, app)


def test_attack_the_id_token_of_a_link_ends_no_sign_in_elsewhere(web: Web, app: Party) -> None:
    sign_in(web)
    tokens = app.tokens()
    hint = app.tokens(login_hint=press(web))["id_token"]
    web.public.delete_cookie("authsvc-maple")
    assert sent_to(leave(web, id_token_hint=hint))[0] == "/p/maple/signed-out"
    assert web.harness.introspected(tokens["access_token"])["active"]


def test_an_id_token_of_another_patient_asks_too(web: Web, app: Party) -> None:
    web.harness.patient("p2", "ben@example.org")
    sign_in(web)
    hint = app.tokens()["id_token"]
    sign_in(web, "ben@example.org")
    assert leave(web, id_token_hint=hint).status_code == 200
    assert signed_in(web, app)


def test_whoever_is_signed_out_already_just_goes_on(web: Web, app: Party) -> None:
    assert sent_to(leave(web, client_id="app", post_logout_redirect_uri=GOODBYE)) == (GOODBYE, {})
    assert sent_to(leave(web, client_id="app")) == ("/p/maple/signed-out", {})


def test_attack_forged_logout_by_get_changes_nothing(web: Web, app: Party) -> None:
    sign_in(web)
    for _ in range(3):
        assert leave(web, client_id="app").status_code == 200
    assert signed_in(web, app)


def test_attack_forged_logout_by_post_only_leads_to_the_question(web: Web, app: Party) -> None:
    sign_in(web)
    page = leave(web, client_id="app")
    for forged in ("", "x" * 43):
        where, _ = sent_to(confirm(web, page, csrf=forged))
        assert where == PATH
    assert signed_in(web, app)


@pytest.mark.parametrize(
    "address", ["https://evil.example/", GOODBYE + "/", GOODBYE + "?x", "//evil.example", "javascript:alert(1)"]
)
def test_attack_open_redirect_after_logout(web: Web, app: Party, address: str) -> None:
    sign_in(web)
    hint = app.tokens()["id_token"]
    answer = leave(web, id_token_hint=hint, post_logout_redirect_uri=address)
    assert sent_to(answer) == ("/p/maple/signed-out", {})
    assert not signed_in(web, app)


@pytest.mark.parametrize(
    "fields",
    [{"client_id": "nobody"}, {"client_id": "portal"}, {"id_token_hint": "junk"}, {"client_id": "x" * 99}],
)
def test_what_does_not_fit_together_is_told_on_a_page(web: Web, app: Party, fields: dict[str, str]) -> None:
    answer = leave(web, **fields)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


@pytest.mark.parametrize("fields", [{}, {"state": "s"}, {"post_logout_redirect_uri": GOODBYE, "state": "s"}])
def test_a_sign_out_that_does_not_say_who_asks_takes_one_button(web: Web, app: Party, fields: dict[str, str]) -> None:
    sign_in(web)
    posted = web.bare("POST", PATH, data=fields)
    assert sent_to(posted) == (PATH, {})  # by a form of another site, so without our cookies
    where, _ = sent_to(leave(web, **fields))
    assert where == "/p/maple/sign-out"
    assert signed_in(web, app)
    html = web.bare("GET", where).get_data(as_text=True)
    form = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', html))
    assert sent_to(web.bare("POST", where, data=form)) == ("/p/maple/signed-out", {})
    assert not signed_in(web, app)
    over = leave(web, **fields)
    assert (over.status_code, "Location" in over.headers) == (200, False)
    assert "You are signed out" in over.get_data(as_text=True)


def test_a_cookie_named_like_no_practice_is_passed_over(web: Web) -> None:
    web.public.set_cookie("authsvc-nowhere", "x")
    assert leave(web).status_code == 200


def test_attack_a_hint_of_an_unknown_key_is_not_taken_for_another_client(web: Web, app: Party) -> None:
    party(web, "other", callback="https://other.example/cb")
    sign_in(web)
    _, payload, signature = app.tokens()["id_token"].split(".")
    unknown = base64.urlsafe_b64encode(b'{"alg":"ES256","typ":"JWT","kid":"x"}').decode().rstrip("=")
    assert leave(web, id_token_hint=f"{unknown}.{payload}.{signature}", client_id="other").status_code == 400
    assert leave(web, id_token_hint=f"{unknown}.{payload}.{signature}", client_id="app").status_code == 200
    assert signed_in(web, app)


def test_a_hint_of_one_client_is_not_anothers(web: Web, app: Party) -> None:
    party(web, "other", callback="https://other.example/cb")
    sign_in(web)
    assert leave(web, id_token_hint=app.tokens()["id_token"], client_id="other").status_code == 400


def test_a_repeated_parameter_is_refused(web: Web, app: Party) -> None:
    assert web.bare("GET", f"{PATH}?client_id=app&client_id=app").status_code == 400


def test_other_methods_are_refused_by_name(web: Web) -> None:
    answer = web.bare("PUT", PATH)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")


def test_while_the_store_is_away_nothing_is_decided(web: Web, app: Party) -> None:
    sign_in(web)
    leave(web, client_id="app")
    web.stop_the_store()
    assert leave(web, client_id="app").status_code == 503
