"""No form at the sample practice is answered with a page, so the Back button never asks to send one again."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.demo.maple import CARD, INVOICE, Maple, asked, code_of, mailed, opened, signed_in
from tests.harness.browsing import Browser


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def came_by_get(browser: Browser) -> None:
    """Every page this browser has shown can be opened again, as the Back button does."""
    shown = [page for page in browser.seen if page.status != 303]
    assert shown
    refused = {page.url for page in shown if page.method == "POST"}
    # authsvc answers a slip on its own page, which a GET of the same address shows again without the slip.
    assert not [url for url in refused if "/p/maple/" not in url]
    for page in reversed(shown):
        again = browser.open(page.url)
        assert again.status < 500
        assert "There is nothing here" not in again.text


def test_after_a_sign_in_with_slips_every_page_can_be_reached_by_get(maple: Maple) -> None:
    browser, before = maple.browser(), len(maple.mails())
    browser.open("/sign-in?to=contact")
    browser.press("Email me a code", email="anna")
    assert "whole email address" in browser.at.text
    browser.press("Email me a code", email="anna@example.com")
    code = code_of(maple.arrived(before))
    browser.press("Sign in", code=wrong(code))
    assert "not right" in browser.at.text
    browser.press("Sign in", code=code)
    assert browser.at.url.endswith("/portal/contact")
    came_by_get(browser)
    assert browser.open(f"{maple.site_url}/portal/contact").status == 200  # and she is still in


def test_going_back_to_the_end_of_a_sign_in_leads_to_the_portal(maple: Maple) -> None:
    browser = signed_in(maple)
    [back] = [page.url for page in browser.seen if "/signed-in?" in page.url]
    assert browser.open(back).url == f"{maple.site_url}/portal"


def test_after_refusals_behind_a_link_every_page_can_be_reached_by_get(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, "update-payment-info", "anna"))
    browser.press("Save this card", **CARD | {"last4": "54"})
    assert "four digits" in browser.at.text
    browser.submit("/portal/contact", browser.at.form("Save this card").fields)
    assert "One more step" in browser.at.text
    assert browser.at.url == f"{maple.site_url}/message"
    came_by_get(browser)


def test_after_refusals_in_the_portal_every_page_can_be_reached_by_get(maple: Maple) -> None:
    browser = signed_in(maple)
    for path, button in (
        ("contact", "Save"),
        ("membership", "Add this person"),
        ("payment-methods", "Save this card"),
    ):
        browser.open(f"/portal/{path}")
        browser.press(button, **dict.fromkeys(("phone", "dependent", "last4"), ""))
        assert "Please look again at" in browser.at.text
        assert urlsplit(browser.at.url).path == f"/portal/{path}"
    came_by_get(browser)


def test_a_refusal_is_said_once_and_on_its_own_page(maple: Maple) -> None:
    browser = signed_in(maple)
    form = browser.open("/portal/contact").form("Save")
    browser.request("POST", form.action, form.fields | {"phone": "?"})
    assert "Please look again" not in browser.open("/portal/membership").text  # another tab
    assert "Please look again" in browser.open("/portal/contact").text
    assert "Please look again" not in browser.open("/portal/contact").text
    assert "aria-invalid" not in browser.at.element("phone")


def test_attack_a_message_is_shown_to_the_browser_it_was_meant_for_alone(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    csrf = browser.at.form("Pay").fields
    browser.submit("/agreement/agr_anna/accept", csrf)
    assert (browser.at.url, browser.at.status) == (f"{maple.site_url}/message", 403)
    assert "Please sign in first" in maple.browser().open("/message").text
    assert browser.submit("/sign-out", csrf).status == 200
    assert "Please sign in first" in browser.open("/message").text  # nor to who sits there after a sign-out


def test_attack_a_forged_form_leaves_no_message(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    assert browser.submit("/invoice/inv_1001/pay", {"csrf": "x"}).status == 400
    assert "This page was open for too long" in browser.at.text
    assert "This page was open for too long" not in browser.open("/message").text


def test_a_code_page_that_is_over_leads_to_a_new_start(maple: Maple) -> None:
    browser, code = asked(maple)
    code_page = browser.at.url
    browser.press("Sign in", code=code)
    assert browser.at.url.endswith("/portal")
    assert browser.open(code_page).status < 500
