"""Somebody who is signed in: sees where and how long, goes on, ends it, and leaves nothing behind."""

from __future__ import annotations

import pytest

from tests.web.conftest import Web
from tests.web.relying_party import party, sent_to
from tests.web.visitor import SIGN_IN, ShownPage, Visitor, everything

SESSION, STATE, SIGN_OUT = "/p/maple/session", "/p/maple/session/state", "/p/maple/sign-out"


@pytest.fixture
def ann(web: Web) -> Visitor:
    """Signed in."""
    visitor = Visitor(web)
    visitor.sign_in()
    return visitor


def elsewhere(ann: Visitor) -> Visitor:
    """The same patient in another browser, a minute later."""
    ann.web.clock.advance_s(60)
    other = Visitor(ann.web)
    other.sign_in()
    return other


# --- there --------------------------------------------------------------------------------------------------------


def test_the_page_shows_who_is_signed_in_since_when_and_where_else(ann: Visitor) -> None:
    elsewhere(ann)
    page = ann.page(SESSION)
    assert page.status == 200
    for told in ("Ann", "a•••@e•••.org", "In this browser", "In another browser", "Jan 7, 2030, 9:00", "30 minutes"):
        assert told in page.text
    assert page.acts == ["extend", "", "extend", "end"]


def test_one_script_of_our_own_runs_on_this_page_alone(ann: Visitor) -> None:
    page = ann.page(SESSION)
    assert [script.startswith("/static/session-") for script in page.scripts] == [True]
    assert "script-src 'self'; connect-src 'self'" in page.headers["Content-Security-Policy"]
    assert ann.open("GET", page.scripts[0]).status_code == 200
    for path in (SIGN_OUT, "/p/maple/signed-out"):
        other = ann.page(path)
        assert other.scripts == []
        assert "script-src" not in other.headers["Content-Security-Policy"]


def test_looking_keeps_nobody_signed_in(ann: Visitor) -> None:
    before = everything(ann.web)
    ann.web.clock.advance_s(1000)
    for path in (SESSION, STATE, SIGN_OUT):
        for method in ("GET", "HEAD"):
            assert ann.open(method, path).status_code == 200
    assert ann.open("GET", STATE).json == {"signed_in": True, "idle_in": 800, "ends_in": 42200}
    assert everything(ann.web) == before
    ann.web.clock.advance_s(801)
    assert ann.open("GET", STATE).json == {"signed_in": False}
    assert sent_to(ann.open("GET", SESSION))[0] == SIGN_IN


def test_staying_signed_in_takes_one_press(ann: Visitor) -> None:
    ann.web.clock.advance_s(1700)
    assert sent_to(ann.press(SESSION, "extend")) == (SESSION, {})
    assert ann.open("GET", STATE).json == {"signed_in": True, "idle_in": 1800, "ends_in": 41500}


def test_no_press_goes_beyond_the_end(ann: Visitor) -> None:
    for _ in range(25):
        ann.web.clock.advance_s(1700)
        answer = ann.press(SESSION, "extend")
    assert answer.headers["Location"] == SESSION
    assert ann.open("GET", STATE).json == {"signed_in": True, "idle_in": 700, "ends_in": 700}


def test_the_state_is_never_kept_and_told_to_this_browser_alone(ann: Visitor) -> None:
    answer = ann.open("GET", STATE)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content_type == "application/json"
    assert Visitor(ann.web).open("GET", STATE).json == {"signed_in": False}
    assert ann.open("GET", STATE.replace("maple", "oak")).json == {"signed_in": False}
    assert ann.open("POST", STATE).headers["Allow"] == "GET, HEAD"


def test_with_the_store_away_nobody_is_told_to_be_signed_out(ann: Visitor) -> None:
    page = ann.page(SIGN_OUT)
    ann.web.stop_the_store()
    for path in (SESSION, STATE, SIGN_OUT):
        assert ann.open("GET", path).status_code == 503
    answer = ann.press(SIGN_OUT, page=page)
    assert answer.status_code == 503
    assert "Set-Cookie" not in answer.headers
    assert ann.cookies()["authsvc-maple"]


def test_a_practice_that_is_not_there_has_no_state(ann: Visitor) -> None:
    assert ann.open("GET", "/p/elm/session/state").status_code == 404


# --- elsewhere ----------------------------------------------------------------------------------------------------


def test_another_browser_is_signed_out_from_here(ann: Visitor) -> None:
    other = elsewhere(ann)
    assert ann.press(SESSION, "end").headers["Location"] == SESSION
    assert (ann.signed_in, other.signed_in) == (True, False)


def test_all_other_browsers_are_signed_out_from_here(ann: Visitor) -> None:
    others = [elsewhere(ann), elsewhere(ann)]
    assert ann.press(SESSION, "end-others").headers["Location"] == SESSION
    assert [ann.signed_in, *(other.signed_in for other in others)] == [True, False, False]


def test_attack_nobody_elses_sign_in_is_ended(ann: Visitor) -> None:
    ann.web.harness.patient("p2", "ben@example.org")
    ben = Visitor(ann.web)
    ben.sign_in("ben@example.org")
    sid = ben.cookies()["authsvc-maple"].partition(".")[0]
    csrf = ann.page(SESSION).csrf
    for named in (sid, "", "x", f"{sid}\n", "*"):
        assert ann.post(SESSION, {"csrf": csrf, "act": "end", "sid": named}).status_code == 303
    assert ben.signed_in
    assert ann.post(SESSION, {"csrf": csrf, "act": "nonsense"}).status_code == 303


# --- out ----------------------------------------------------------------------------------------------------------


def test_signing_out_ends_the_sign_in_and_what_its_clients_have(ann: Visitor) -> None:
    app = party(ann.web)
    _, said = sent_to(ann.open("GET", f"/oauth2/authorize?{app.query()}"))
    tokens = app.redeem(said["code"]).json
    stolen = ann.cookies()["authsvc-maple"]
    assert "Do you want to sign out?" in ann.page(SIGN_OUT).text
    answer = ann.press(SIGN_OUT)
    assert sent_to(answer) == ("/p/maple/signed-out", {})
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert "authsvc-maple" not in ann.cookies()
    assert ann.web.harness.introspected(tokens["access_token"]) == {"active": False}
    thief = Visitor(ann.web)
    thief.plant("authsvc-maple", stolen)
    assert not thief.signed_in


def test_the_button_of_the_session_page_signs_out_too(ann: Visitor) -> None:
    assert ann.press(SESSION).headers["Location"] == "/p/maple/signed-out"
    assert not ann.signed_in


def test_the_back_button_after_sign_out_shows_nothing(ann: Visitor) -> None:
    page = ann.page(SESSION)
    assert page.headers["Cache-Control"] == "no-store"  # so that going back asks again
    ann.press(SIGN_OUT)
    again = ann.open("GET", SESSION)
    assert sent_to(again)[0] == SIGN_IN
    assert "Ann" not in ann.page(SIGN_IN).text
    assert sent_to(ann.press(SESSION, "extend", page))[0] == SIGN_IN
    assert not ann.signed_in


def test_a_second_press_on_sign_out_is_as_good_as_the_first(ann: Visitor) -> None:
    page = ann.page(SIGN_OUT)
    for _ in range(2):
        assert sent_to(ann.press(SIGN_OUT, page=page))[0] == "/p/maple/signed-out"
    assert sent_to(ann.open("GET", SIGN_OUT))[0] == "/p/maple/signed-out"


def test_a_sign_in_that_has_ended_is_forgotten_by_the_browser_when_it_signs_out(ann: Visitor) -> None:
    page = ann.page(SIGN_OUT)
    ann.web.clock.advance_s(1801)
    assert sent_to(ann.open("GET", SIGN_OUT))[0] == "/p/maple/signed-out"
    assert "authsvc-maple" in ann.cookies()
    ann.press(SIGN_OUT, page=page)
    assert "authsvc-maple" not in ann.cookies()


def test_attack_a_form_on_another_site_signs_nobody_out(ann: Visitor) -> None:
    csrf = ann.page(SIGN_OUT).csrf
    assert ann.post(SIGN_OUT, {"csrf": csrf}, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert ann.post(SIGN_OUT, {"csrf": csrf}, Origin="https://evil.example").status_code == 403
    assert ann.post(SIGN_OUT, {}).status_code == 403
    stranger = Visitor(ann.web)  # which is what SameSite=Lax makes of Ann's browser there
    answer = stranger.post(SIGN_OUT, {}, **{"Sec-Fetch-Site": "cross-site"})
    assert sent_to(answer)[0] == "/p/maple/signed-out"
    assert "Set-Cookie" not in answer.headers
    assert ann.signed_in


def test_attack_a_form_shown_before_somebody_else_signed_in_ends_nothing_of_theirs(ann: Visitor) -> None:
    ann.web.harness.patient("p2", "ben@example.org")
    old = ann.page(SIGN_OUT)
    ann.sign_in("ben@example.org", party(ann.web).query(prompt="select_account"))
    page = ShownPage(ann.press(SIGN_OUT, page=old))
    assert (page.status, page.acts) == (403, [])
    assert ann.signed_in


# --- said ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path,told",
    [
        ("/p/maple/sent", "junk or spam"),
        ("/p/maple/contact", "get in touch"),
        ("/p/maple/signed-out", "You are signed out"),
    ],
)
def test_pages_behind_a_redirect_tell_and_keep_nothing(web: Web, path: str, told: str) -> None:
    ann = Visitor(web)
    page = ann.page(f"{path}?ui_locales=en")
    assert told in page.text
    assert "Set-Cookie" not in page.headers
    assert page.headers["Cache-Control"] == "no-store"
    assert ann.page(f"{path}?ui_locales=es").language == "es"
    answer = ann.open("POST", path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert ann.page(path.replace("maple", "elm")).status == 404


def test_whoever_is_signed_out_can_sign_in_again(web: Web) -> None:
    assert any(address.startswith(SIGN_IN) for address in Visitor(web).page("/p/maple/signed-out").addresses)
