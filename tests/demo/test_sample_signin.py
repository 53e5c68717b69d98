"""Signing in at the sample practice: both ways in, the step up, the way out, and everything that can go wrong."""

from __future__ import annotations

import dataclasses
import re

import pytest

from authsvc.demo.sample.visits import visit
from tests.browsing import Browser
from tests.demo.maple import INVOICE, Maple, asked, code_of, mailed, opened, signed_in


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def change_visit(maple: Maple, browser: Browser, **changes: object) -> None:
    """Change what the server keeps for this browser."""
    with maple.site.test_request_context("/", headers={"Cookie": f"visit={browser.cookies['visit']}"}):
        maple.site.preprocess_request()
        for name, value in changes.items():
            setattr(visit().portal, name, value)


def refresh_token(maple: Maple, browser: Browser) -> str:
    with maple.site.test_request_context("/", headers={"Cookie": f"visit={browser.cookies['visit']}"}):
        maple.site.preprocess_request()
        grant = visit().portal
        assert grant
        assert grant.refresh_token
        return grant.refresh_token


def test_a_typed_address_a_code_and_the_portal_opens(maple: Maple) -> None:
    assert "Hello Anna Berg" in signed_in(maple).at.text


def test_the_code_field_helps(maple: Maple) -> None:
    browser, _ = asked(maple)
    field = browser.at.element("code")
    assert field["autocomplete"] == "one-time-code"
    assert field["inputmode"] == "numeric"
    assert field["type"] == "text"
    assert "maxlength" not in field
    assert "10 minutes" in browser.at.text
    assert "anna@example.com" in browser.at.text
    assert "555 0199" in browser.at.text
    assert browser.open("/sign-in").element("email")["autocomplete"] == "email"


def test_a_code_typed_with_spaces_is_the_same_code(maple: Maple) -> None:
    browser, code = asked(maple)
    browser.press("Sign in", code=f" {code[:3]} {code[3:]} ")
    assert browser.at.url.endswith("/portal")


def test_a_wrong_code_says_how_many_tries_are_left_and_the_fifth_offers_a_new_code(maple: Maple) -> None:
    browser, code = asked(maple)
    for left in ("4 tries", "3 tries", "2 tries", "1 try"):
        browser.press("Sign in", code=wrong(code))
        assert f"You have {left} left" in browser.at.text
        assert browser.at.element("code")["aria-invalid"] == "true"
        assert "code-wrong" in browser.at.element("code")["aria-describedby"].split()
        assert browser.at.element("code-wrong")["role"] == "alert"
    browser.press("Sign in", code=wrong(code))
    assert "last try" in browser.at.text

    before = len(maple.mails())
    browser.press("Email me a new code")  # nothing is typed again
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert browser.at.url.endswith("/portal")


def test_no_code_at_all_costs_no_try(maple: Maple) -> None:
    browser, code = asked(maple)
    for typed in ("", "12345", "١٢٣٤٥٦٧", "abc"):
        browser.press("Sign in", code=typed)
        assert "six digits" in browser.at.text
    browser.press("Sign in", code=wrong(code))
    assert "4 tries" in browser.at.text


def test_a_spent_sign_in_offers_a_new_code(maple: Maple) -> None:
    browser, code = asked(maple)
    form = browser.at.form("Sign in")
    for _ in range(5):
        browser.request("POST", form.action, form.fields | {"code": wrong(code)})
    browser.press("Sign in", code=code)
    assert browser.at.status == 410
    assert browser.at.form("Email me a new code")


def test_another_code_must_wait_a_little(maple: Maple) -> None:
    browser, code = asked(maple)
    browser.press("Send another code")
    assert "A code is on its way already" in browser.at.text
    assert "seconds" in browser.at.text
    browser.press("Sign in", code=code)  # and the page still takes the first one
    assert browser.at.url.endswith("/portal")


def test_a_second_code_comes_when_asked_later_and_the_first_still_works(
    maple: Maple, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, code = asked(maple)
    monkeypatch.setattr(maple.service.acts, "settings", dataclasses.replace(maple.service.settings, resend_after_s=0))
    before = len(maple.mails())
    browser.press("Send another code")
    assert "We have sent another code" in browser.at.text
    assert "We have sent another code" not in browser.open("/sign-in/code").text
    assert code_of(maple.arrived(before)) != code
    browser.press("Sign in", code=code)
    assert browser.at.url.endswith("/portal")


def test_a_second_code_for_a_spent_sign_in_is_a_new_sign_in(maple: Maple) -> None:
    browser, code = asked(maple)
    form = browser.at.form("Sign in")
    for _ in range(5):
        browser.request("POST", form.action, form.fields | {"code": wrong(code)})
    browser.press("Send another code")
    assert browser.at.status == 410
    assert browser.at.form("Email me a new code")


def test_nobodys_address_looks_like_anybodys(maple: Maple) -> None:
    stranger, _ = asked(maple, "nobody@example.com")
    patient, code = asked(maple)

    def shown(browser: Browser, email: str) -> str:
        return re.sub(r'value="[^"]*"', "", browser.at.html).replace(email, "")

    assert shown(stranger, "nobody@example.com") == shown(patient, "anna@example.com")
    for browser in (stranger, patient):
        browser.press("Sign in", code=wrong(code))
    assert shown(stranger, "nobody@example.com") == shown(patient, "anna@example.com")


@pytest.mark.parametrize("email", ["", "anna", "anna@", "@example.com"])
def test_half_an_address_is_asked_for_again(maple: Maple, email: str) -> None:
    browser = maple.browser()
    browser.open("/sign-in")
    browser.press("Email me a code", email=email)
    assert "whole email address" in browser.at.text
    assert browser.at.element("email")["value"] == email
    assert browser.at.element("email")["aria-invalid"] == "true"
    assert "email-wrong" in browser.at.element("email")["aria-describedby"].split()
    assert browser.at.element("email-wrong")["role"] == "alert"


def test_too_many_asks_for_one_address_are_told_when_to_come_back(maple: Maple) -> None:
    statuses = []
    for _ in range(6):
        browser = maple.browser()
        browser.open("/sign-in")
        browser.press("Email me a code", email="often@example.com")
        statuses.append(browser.at.status)
    assert statuses == [200] * 5 + [429]
    assert "Please try again in" in browser.at.text
    assert int(browser.at.header("Retry-After")) > 0


def test_two_patients_on_one_mailbox_say_who_they_are(maple: Maple) -> None:
    browser, code = asked(maple, "family@example.com")
    browser.press("Sign in", code=code)
    assert browser.at.url.endswith("/sign-in/who")
    assert "Ben Ortiz" in browser.at.text
    assert "Mia Ortiz" in browser.at.text
    assert "Anna" not in browser.at.text

    browser.press("Continue", patient="mia")
    assert "Hello Mia Ortiz" in browser.at.text


def test_attack_nobody_chooses_a_patient_of_another_mailbox(maple: Maple) -> None:
    browser, code = asked(maple, "family@example.com")
    browser.press("Sign in", code=code)
    browser.press("Continue", patient="anna")
    assert browser.at.status == 400
    assert browser.open("/portal").status == 401


def test_an_access_link_leads_to_a_code_and_the_portal(maple: Maple) -> None:
    address = mailed(maple, "portal", "anna")
    before = len(maple.mails())
    browser = opened(maple, address)
    assert browser.at.url.endswith("/sign-in/code")
    assert "a•••@e•••.com" in browser.at.text
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert "Hello Anna Berg" in browser.at.text


def test_a_spent_sign_in_from_an_access_link_starts_anew_from_the_same_link(maple: Maple) -> None:
    address = mailed(maple, "portal", "anna")
    before = len(maple.mails())
    browser = opened(maple, address)
    code = code_of(maple.arrived(before))
    for _ in range(5):
        browser.press("Sign in", code=wrong(code))
    before = len(maple.mails())
    browser.press("Email me a new code")
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert browser.at.url.endswith("/portal")


def test_a_link_is_not_enough_for_the_portal_and_a_code_is(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    browser.open("/portal/invoices")
    assert browser.at.status == 401
    challenge = browser.at.header("WWW-Authenticate")
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'acr_values="extra"' in challenge

    before = len(maple.mails())
    browser.press("Email me a code")
    assert browser.at.url.endswith("/sign-in/code")
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert browser.at.url.endswith("/portal/invoices")  # where she wanted to go
    assert "Yearly check-up" in browser.at.text


def test_a_patient_without_portal_access_is_asked_to_call(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    anna = maple.records.people["anna"]
    maple.clinic.authsvc.put_patient("anna", anna.email, anna.name, portal_access=False)
    try:
        browser.open("/portal/contact")
        browser.press("Email me a code")
        assert browser.at.status == 409
        assert "not open for you yet" in browser.at.text
    finally:
        maple.clinic.authsvc.put_patient("anna", anna.email, anna.name, portal_access=True)


def test_the_page_that_was_wanted_opens_after_the_sign_in(maple: Maple) -> None:
    browser, before = maple.browser(), len(maple.mails())
    assert browser.open("/portal/membership").status == 401
    assert browser.at.header("WWW-Authenticate").startswith("Bearer")
    browser.follow("Sign in")
    browser.press("Email me a code", email="anna@example.com")
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert browser.at.url.endswith("/portal/membership")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_attack_a_sign_in_leads_to_our_own_pages_only(maple: Maple, target: str) -> None:
    browser, before = maple.browser(), len(maple.mails())
    browser.open("/sign-in?to=" + target)
    assert "evil" not in browser.at.html
    browser.press("Email me a code", email="anna@example.com", page=target)
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert browser.at.url == "http://localhost/portal"


def test_a_sign_in_gives_the_browser_a_new_cookie_and_the_old_one_opens_nothing(maple: Maple) -> None:
    browser, code = asked(maple)
    planted = dict(browser.cookies)
    browser.press("Sign in", code=code)
    assert browser.cookies != planted
    attacker = maple.browser()
    attacker.cookies = planted
    assert attacker.open("/portal").status == 401


def test_attack_a_code_is_no_use_in_another_browser(maple: Maple) -> None:
    _, code = asked(maple)
    thief = maple.browser()
    thief.open("/sign-in")
    csrf = thief.at.form("Email me a code").fields
    answer = thief.request("POST", "/sign-in/code", {"csrf": csrf["csrf"], "code": code})
    assert (answer.status, answer.header("Location")) == (303, "/sign-in")


def test_pages_out_of_order_lead_back_to_the_start(maple: Maple) -> None:
    browser = maple.browser()
    csrf = browser.open("/sign-in").form("Email me a code").fields
    for path in ("/sign-in/code", "/sign-in/who"):
        assert browser.request("GET", path).header("Location") == "/sign-in"
    for path in ("/sign-in/code", "/sign-in/who", "/sign-in/again", "/sign-in/resend"):
        assert browser.request("POST", path, csrf).header("Location") == "/sign-in"
    assert browser.submit("/sign-in/step-up", csrf).status == 401


def test_the_access_token_is_renewed_before_it_ends(maple: Maple) -> None:
    browser = signed_in(maple)
    before = refresh_token(maple, browser)
    change_visit(maple, browser, ends=0)
    assert browser.open("/portal/invoices").status == 200
    assert refresh_token(maple, browser) != before
    assert browser.open("/sign-in").url.endswith("/portal")


def test_a_session_ended_by_the_practice_asks_for_a_sign_in(maple: Maple) -> None:
    browser = signed_in(maple)
    maple.service.sessions.end_all(maple.service.act(maple.practice), "anna")
    change_visit(maple, browser, ends=0)
    assert browser.open("/portal/invoices").status == 401
    assert "Please sign in first" in browser.at.text


def test_sign_out_ends_the_session_everywhere(maple: Maple) -> None:
    browser = signed_in(maple)
    token, cookies = refresh_token(maple, browser), dict(browser.cookies)
    browser.press("Sign out")
    assert "You are signed out" in browser.at.text
    assert browser.open("/portal").status == 401
    browser.cookies = cookies  # and the old cookie is worth nothing
    assert browser.open("/portal").status == 401
    from authsvc.demo.sample.api import Refusal

    with pytest.raises(Refusal, match="invalid_grant"):
        maple.clinic.authsvc.refresh(token)


def test_sign_out_without_being_in_is_harmless(maple: Maple) -> None:
    browser = maple.browser()
    csrf = browser.open("/sign-in").form("Email me a code").fields
    assert browser.request("POST", "/sign-out", csrf).header("Location") == "/signed-out"
