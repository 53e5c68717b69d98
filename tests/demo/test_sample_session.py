"""A session at the sample's portal: kept awake by clicks, warned of its end, and over when authsvc says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from authsvc.demo.sample import sessions
from authsvc.demo.sample.oidc import SignInRefused
from authsvc.demo.sample.tokens import RENEW_AFTER_S
from tests.demo.maple import Maple, signed_in
from tests.harness.browsing import Browser

IDLE_S = 1800


def still_there(browser: Browser) -> dict[str, object]:
    said: dict[str, object] = json.loads(browser.request("GET", "/portal/still-there").html)
    return said


def until(holds: Callable[[], bool]) -> bool:
    waiting = threading.Event()
    for _ in range(1000):
        if holds():
            return True
        waiting.wait(0.01)
    return False


def test_a_click_with_an_old_token_renews_it(maple: Maple) -> None:
    browser = signed_in(maple)
    first = maple.held(browser)
    assert browser.open("/portal/invoices").status == 200
    assert maple.held(browser) is first
    first.began -= RENEW_AFTER_S
    assert browser.open("/portal/invoices").status == 200
    second = maple.held(browser)
    assert second.refresh_token != first.refresh_token
    assert second.id_token != first.id_token  # the newest one, since its key may be gone before the session is
    assert second.sid == first.sid


def test_two_tabs_share_one_renewal(maple: Maple) -> None:
    browser = signed_in(maple)
    maple.held(browser).ends = 0
    answers: list[int] = []

    def click() -> None:
        tab = maple.browser()
        tab.cookies = dict(browser.cookies)
        answers.append(tab.open("/portal/invoices").status)

    tabs = [threading.Thread(target=click) for _ in range(4)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert answers == [200] * 4


def test_asking_whether_somebody_is_there_keeps_nothing_awake(maple: Maple) -> None:
    browser = signed_in(maple)
    held = maple.held(browser)
    held.began -= 1000
    held.ends = 0
    said = still_there(browser)
    assert said["signed_in"] is True
    assert 790 <= int(str(said["idle_in"])) <= 800
    assert maple.held(browser) is held

    browser.open("/portal")  # a click does
    assert int(str(still_there(browser)["idle_in"])) > IDLE_S - 60


def test_one_press_begins_the_idle_time_anew_and_stays_on_the_page(maple: Maple) -> None:
    browser = signed_in(maple)
    browser.open("/portal/contact")
    maple.held(browser).began -= 1700
    assert int(str(still_there(browser)["idle_in"])) <= 100
    browser.press("Stay signed in")
    assert browser.at.url.endswith("/portal/contact")
    assert int(str(still_there(browser)["idle_in"])) > IDLE_S - 60


def test_a_session_that_idled_out_is_said_to_be_over(maple: Maple) -> None:
    browser = signed_in(maple)
    form = browser.at.form("Stay signed in").fields
    maple.service.sessions.end_all(maple.service.act(maple.practice), "anna")
    held = maple.kept(browser)
    if held:  # unless authsvc has told already
        held.began -= IDLE_S
    assert still_there(browser) == {"signed_in": False, "idle_in": 0}
    browser.submit("/portal/stay", form)
    assert browser.at.status == 401
    assert "Please sign in first" in browser.at.text


def test_the_warning_is_one_small_script_of_our_own_on_portal_pages_alone(maple: Maple) -> None:
    browser = signed_in(maple)
    assert "script-src 'self'; connect-src 'self'" in browser.at.header("Content-Security-Policy")
    assert [attrs["src"] for tag, attrs in browser.at.elements if tag == "script"] == ["/static/idle.js"]
    browser.open("/invoice/inv_1001")
    assert "script-src" not in browser.at.header("Content-Security-Policy")
    assert "script" not in [tag for tag, _ in browser.at.elements]


def test_a_session_that_the_practice_ends_is_over_here_at_once(maple: Maple) -> None:
    browser = signed_in(maple)
    maple.service.sessions.end_all(maple.service.act(maple.practice), "anna")
    assert until(lambda: maple.kept(browser) is None)  # authsvc's worker has told us, no click was needed
    assert browser.open("/portal/invoices").status == 401
    assert "Please sign in first" in browser.at.text


def test_a_sign_out_on_authsvcs_page_is_one_here_too(maple: Maple) -> None:
    browser = signed_in(maple)
    browser.open(f"{maple.url}/p/maple/session")
    browser.press("Sign out")  # asks first: another site may have led here
    browser.press("Sign out") if browser.at.forms else None
    assert until(lambda: maple.kept(browser) is None)


def test_a_session_that_ended_unheard_is_over_at_the_next_renewal(
    maple: Maple, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = signed_in(maple)
    held = maple.held(browser)

    def over(_token: str) -> dict[str, object]:
        raise SignInRefused("invalid_grant")

    monkeypatch.setattr(maple.clinic.oidc, "refresh", over)
    held.ends = 0
    assert browser.open("/portal/invoices").status == 401


def test_a_renewal_that_is_refused_for_our_own_fault_signs_nobody_out(
    maple: Maple, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = signed_in(maple)
    maple.held(browser).ends = 0

    def fault(_token: str) -> dict[str, object]:
        raise SignInRefused("invalid_client")

    with monkeypatch.context() as wrong:
        wrong.setattr(maple.clinic.oidc, "refresh", fault)
        assert browser.open("/portal/invoices").status == 500
    assert browser.open("/portal/invoices").status == 200


def test_attack_visits_of_strangers_fill_no_memory(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
    for _ in range(5):
        stranger = maple.browser()
        stranger.press("Email Anna an invoice")
    assert len(maple.clinic.sessions._sessions) == 3
    maple.site.test_client().get("/portal")
    assert len(maple.clinic.sessions._sessions) == 3  # who only looks around leaves nothing at all
