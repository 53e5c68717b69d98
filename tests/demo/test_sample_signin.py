"""Signing in at the sample practice, through authsvc's pages: both ways in, the step up, the way out."""

from __future__ import annotations

import pytest

from authsvc.demo.sample.api import Refused
from authsvc.demo.sample.oidc import SignInRefused
from tests.demo.maple import INVOICE, Maple, asked, code_of, mailed, opened, signed_in
from tests.harness.browsing import Browser


def portal_is_closed(maple: Maple, browser: Browser) -> bool:
    return browser.open(f"{maple.site_url}/portal").status == 401


def test_a_typed_address_a_code_and_the_portal_opens(maple: Maple) -> None:
    assert "Hello Anna Berg" in signed_in(maple).at.text


def test_the_whole_way_is_made_of_gets_and_303s_and_two_forms(maple: Maple) -> None:
    browser = signed_in(maple)
    assert [page.method for page in browser.seen].count("POST") == 2
    assert {page.status for page in browser.seen} == {200, 303}


def test_two_patients_on_one_mailbox_say_who_they_are(maple: Maple) -> None:
    browser, code = asked(maple, "family@example.com")
    browser.press("Sign in", code=code)
    assert "Ben Ortiz" in browser.at.text
    assert "Anna" not in browser.at.text
    browser.press("Continue", patient="mia")
    assert "Hello Mia Ortiz" in browser.at.text


def test_an_access_link_leads_to_a_code_and_the_portal(maple: Maple) -> None:
    browser, before = maple.browser(), len(maple.mails()) + 1
    browser.open(mailed(maple, "portal", "anna"))
    browser.press("Email me a code")
    assert "a•••@<wbr>e•••.com" in browser.at.html  # no address was typed
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert "Hello Anna Berg" in browser.at.text  # by way of the practice's own /sign-in
    assert browser.at.url == f"{maple.site_url}/portal"


def test_a_link_is_not_enough_for_the_portal_and_a_code_is(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    browser.open("/portal/invoices")
    assert browser.at.status == 401
    challenge = browser.at.header("WWW-Authenticate")
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'acr_values="extra"' in challenge

    before = len(maple.mails())
    browser.follow("Go on with a code")
    assert "acr_values=extra" in browser.at.url
    browser.press("Email me a code", email="anna@example.com")
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert browser.at.url.endswith("/portal/invoices")  # where she wanted to go
    assert "Yearly check-up" in browser.at.text


def test_a_step_up_that_is_not_wanted_leads_back_with_words(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    browser.open("/portal/contact")
    browser.follow("Go on with a code")
    browser.press("Not now, go back")
    assert browser.at.status == 403
    assert "This page needs a code" in browser.at.text
    assert browser.at.links["Go on with a code"] == "/sign-in?to=contact"  # what she wanted isn't forgotten
    assert browser.open("/invoice/inv_1001").status == 200


def test_a_sign_in_that_is_not_wanted_leads_back_with_words(maple: Maple) -> None:
    browser = maple.browser()
    browser.open("/sign-in")
    browser.press("Not now, go back")
    assert browser.at.status == 403
    assert "You went back before the end. Nothing is lost." in browser.at.text
    browser.follow("Sign in")
    assert browser.at.form("Email me a code")


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
    browser.press("Email me a code", email="anna@example.com")
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert browser.at.url == f"{maple.site_url}/portal"


def test_a_sign_in_gives_the_browser_a_new_cookie_and_the_old_one_opens_nothing(maple: Maple) -> None:
    browser, code = asked(maple)
    planted = dict(browser.cookies)
    browser.press("Sign in", code=code)
    assert browser.cookies["visit"] != planted["visit"]
    attacker = maple.browser()
    attacker.cookies = planted
    assert portal_is_closed(maple, attacker)


def test_the_cookies_of_the_practice_are_kept_from_scripts_and_other_sites(maple: Maple) -> None:
    browser = signed_in(maple)
    said = [
        value
        for page in browser.seen
        for name, value in page.headers
        if name == "Set-Cookie" and page.url.startswith(maple.site_url)
    ]
    assert {value.partition("=")[0] for value in said} == {"visit", "signing-in"}
    for value in said:
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(value.split("; "))
        assert "Domain" not in value


def test_who_signs_in_after_another_patient_sees_nothing_that_her_link_opened(maple: Maple) -> None:
    browser, before = opened(maple, mailed(maple, **INVOICE)), len(maple.mails())
    browser.open("/sign-in")
    browser.press("Email me a code", email="family@example.com")
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    browser.press("Continue", patient="ben")
    assert "Hello Ben Ortiz" in browser.at.text
    assert browser.open("/invoice/inv_1001").status == 404


def test_whoever_is_in_is_not_asked_again(maple: Maple) -> None:
    browser = signed_in(maple)
    assert browser.open("/sign-in?to=contact").url.endswith("/portal/contact")
    elsewhere = maple.browser()  # the clinic has forgotten this browser, authsvc has not
    elsewhere.cookies = {name: value for name, value in browser.cookies.items() if name.startswith("authsvc")}
    elsewhere.open("/sign-in")
    assert elsewhere.at.url == f"{maple.site_url}/portal"


# --- out ------------------------------------------------------------------------------------------------------------


def test_every_page_of_a_patient_who_is_signed_in_offers_the_way_out(maple: Maple) -> None:
    browser = signed_in(maple)
    paths = ("", "/invoices", "/statement", "/contact", "/membership", "/payment-methods")
    for path in (*(f"/portal{path}" for path in paths), "/invoice/inv_1001", "/agreement/agr_anna", "/payment-info"):
        assert browser.open(path).status == 200
        assert browser.at.form("Sign out")


def test_sign_out_ends_the_session_everywhere(maple: Maple) -> None:
    browser = signed_in(maple)
    token, cookies = maple.held(browser).refresh_token, dict(browser.cookies)
    browser.press("Sign out")
    assert "You are signed out" in browser.at.text
    assert portal_is_closed(maple, browser)
    browser.cookies = cookies  # and the old cookies are worth nothing, here or there
    assert portal_is_closed(maple, browser)
    browser.follow("Sign in")
    assert browser.at.form("Email me a code")
    with maple.site.test_request_context("/"), pytest.raises(SignInRefused, match="invalid_grant"):
        maple.clinic.oidc.refresh(token)


def test_sign_out_without_being_in_is_harmless(maple: Maple) -> None:
    browser = maple.browser()
    csrf = browser.open("/billing/anna").form("Send request for payment info").fields
    assert browser.request("POST", "/sign-out", csrf).header("Location") == "/signed-out"


def test_a_sign_out_that_authsvc_refuses_is_one_here(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = signed_in(maple)

    def refused(_token: str) -> None:
        raise Refused(429, "temporarily_unavailable", 5)

    monkeypatch.setattr(maple.clinic.authsvc, "revoke_token", refused)
    browser.press("Sign out")
    assert "on this device" in browser.at.text
    assert maple.kept(browser) is None
