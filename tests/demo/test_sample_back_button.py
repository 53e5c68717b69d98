"""No form at the sample practice is answered with a page, so the Back button never asks to send one again."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.browsing import Browser
from tests.demo.maple import CARD, INVOICE, Maple, asked, code_of, mailed, opened, signed_in


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def came_by_get(browser: Browser) -> None:
    """Every page this browser has shown can be opened again, as the Back button does."""
    shown = [page for page in browser.seen if page.status != 303]
    assert shown
    assert {page.method for page in shown} == {"GET"}
    for page in reversed(shown):
        again = browser.open(page.url)
        assert again.status < 500
        assert "There is nothing here" not in again.text


def test_after_refusals_at_sign_in_every_page_can_be_reached_by_get(maple: Maple) -> None:
    browser, before = maple.browser(), len(maple.mails())
    browser.open("/sign-in?to=contact")
    browser.press("Email me a code", email="anna")
    assert "whole email address" in browser.at.text
    browser.press("Email me a code", email="anna@example.com")
    code = code_of(maple.arrived(before))
    browser.press("Send another code")
    assert "A code is on its way already" in browser.at.text
    for typed in ("12", *[wrong(code)] * 5):
        browser.press("Sign in", code=typed)
    assert "last try" in browser.at.text
    came_by_get(browser)

    assert "last try" in browser.open("/message").text  # going back there, she can still go on from it
    before = len(maple.mails())
    browser.press("Email me a new code")
    browser.press("Sign in", code=code_of(maple.arrived(before)))
    assert browser.at.url.endswith("/portal/contact")  # the page that was wanted is not lost on the way
    came_by_get(browser)


def test_after_refusals_behind_a_link_every_page_can_be_reached_by_get(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, "update-payment-info", "anna"))
    browser.press("Save this card", **CARD | {"last4": "54"})
    assert "four digits" in browser.at.text
    browser.submit("/portal/contact", browser.at.form("Save this card").fields)
    assert "One more step" in browser.at.text
    browser.open("/go/al_" + "x" * 43)
    browser.press("Open")
    assert "We do not know this link" in browser.at.text
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
    browser, code = asked(maple)
    form = browser.at.form("Sign in")
    browser.request("POST", form.action, form.fields | {"code": wrong(code)})
    assert "not the code" not in browser.open("/sign-in").text  # another tab
    assert "not the code" in browser.open("/sign-in/code").text
    assert "not the code" not in browser.open("/sign-in/code").text
    assert "aria-invalid" not in browser.at.element("code")


def test_what_was_said_of_one_code_is_not_said_of_the_next(maple: Maple) -> None:
    browser, code = asked(maple)
    form = browser.at.form("Sign in")
    browser.request("POST", form.action, form.fields | {"code": wrong(code)})  # its answer never arrives
    browser.open("/sign-in")
    browser.press("Email me a code", email="nobody@example.com")
    assert "not the code" not in browser.at.text


def test_attack_a_message_is_shown_to_the_browser_it_was_meant_for_alone(maple: Maple) -> None:
    browser = opened(maple, "http://localhost/go/al_" + "x" * 43)
    assert browser.at.url == "http://localhost/message"
    assert browser.at.status == 404
    assert maple.browser().open("/message").url == "http://localhost/sign-in"
    csrf = browser.open("/sign-in").form("Email me a code").fields
    assert browser.submit("/sign-out", csrf).status == 200
    assert browser.open("/message").url == "http://localhost/sign-in"  # nor to who sits there after a sign-out


def test_attack_a_forged_form_leaves_no_message(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    assert browser.submit("/invoice/inv_1001/pay", {"csrf": "x"}).status == 400
    assert browser.open("/message").url == "http://localhost/sign-in"
