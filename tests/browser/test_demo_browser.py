"""The demo in a real browser, with JavaScript switched off: what a patient sees, presses and reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.demo_window import DemoWindow
from tests.harness.axe import Axe
from tests.harness.demo import CARD, CODE, LINK, Demo

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One of its own: Anna gets only so many codes in a quarter of an hour."""
    with Demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture(params=["wide", "narrow", "dark"])
def anna(request: pytest.FixtureRequest, chromium: Any, demo: Demo) -> Iterator[DemoWindow]:
    person = DemoWindow(chromium, demo, request.param)
    yield person
    assert person.outside == []  # not one request left for anywhere else
    person.close()


def test_a_patient_finds_her_way_through_links_codes_and_the_portal(anna: DemoWindow) -> None:
    anna.open("/")

    anna.press("Send request for payment info")
    anna.open(anna.arrived(LINK))
    anna.press("Continue")
    anna.press("Save this card")  # empty, by mistake
    assert anna.reads("Please look again at")
    for label, text in zip(("Kind of card", "Last four digits", "Good until"), CARD.values(), strict=True):
        anna.fill(label, text)
    anna.press("Save this card")
    assert anna.reads("Mastercard ending in 5454")

    anna.open("/portal/payment-methods")
    assert anna.reads("One more step")
    anna.follow("Go on with a code")
    anna.press("Not now, go back")
    assert anna.reads("This page needs a code")
    anna.follow("Go on with a code")
    anna.fill("Your email address", "anna@example.com")
    anna.press("Email me a code")
    anna.fill("Code from the email", "000000")
    anna.press("Sign in")
    assert anna.reads("You have 4 tries left")
    anna.fill("Code from the email", anna.arrived(CODE))
    anna.press("Sign in")
    assert anna.reads("Your payment methods")
    anna.press("Remove Mastercard")

    anna.follow("Back to your portal")
    anna.follow("Where else am I signed in?")
    anna.follow("Go on to Maple Clinic")
    anna.follow("Invoices")
    anna.press("Show the statement")
    anna.open("/portal/contact")
    anna.open("/portal/membership")
    anna.fill("First and last name", "Zoë Berg")
    anna.press("Add this person")
    assert anna.reads("Zoë Berg is now on your membership")
    anna.open("/billing/anna")
    anna.press("End this")  # the next one to walk is asked no more than this one

    anna.open("/portal")
    anna.press("Sign out")
    assert anna.reads("You are signed out")
    anna.page.go_back()
    assert not anna.reads("Zoë Berg")  # the back button shows nothing
    anna.open("/billing")
    anna.follow("Anna Berg")
    anna.open("/inbox?still")
    anna.follow("See it as designed")
    anna.page.frame_locator("iframe").get_by_text("Maple Clinic").first.wait_for()


def test_a_mail_read_in_its_frame_leads_out_of_it(chromium: Any, demo: Demo) -> None:
    ben = DemoWindow(chromium, demo, "wide")
    ben.open("/billing")
    ben.follow("Ben Ortiz")
    ben.press("Email the invoice")
    ben.arrived(LINK)
    ben.open("/inbox?still")
    ben.follow("See it as designed")
    ben.page.frame_locator("iframe").get_by_role("link").first.click()
    ben.press("Continue")
    assert ben.reads("$189.00")
    ben.press("Pay")
    assert ben.reads("Thank you")
    ben.close()


def test_the_back_button_goes_through_refusals_without_asking_to_send_a_form_again(chromium: Any, demo: Demo) -> None:
    ben = DemoWindow(chromium, demo, "wide")
    ben.open("/billing")
    ben.follow("Ben Ortiz")
    ben.press("Send request for payment info")
    ben.open(ben.arrived(LINK))
    ben.press("Continue")
    ben.press("Save this card")
    assert ben.reads("Please look again at")
    ben.open("/portal/contact")
    ben.follow("Go on with a code")
    ben.press("Not now, go back")
    assert ben.reads("This page needs a code")
    ben.open("/signed-out")

    passed = []
    while ben.page.go_back():  # a page that came by POST fails here: ERR_CACHE_MISS
        ben.look()
        passed.append(urlsplit(ben.page.url).path)
    assert {"/signed-in", "/p/maple/sign-in", "/portal/contact", "/payment-info", "/billing"} <= set(passed)
    ben.close()


def test_the_portal_warns_before_it_signs_out_and_one_press_stays(chromium: Any, demo: Demo) -> None:
    anna = DemoWindow(chromium, demo, "wide", javascript=True)
    anna.open("/sign-in")
    anna.fill("Your email address", "anna@example.com")
    anna.press("Email me a code")
    anna.fill("Code from the email", anna.arrived(CODE))
    anna.press("Sign in")

    left = {"signed_in": True, "idle_in": 120}
    anna.page.route("**/portal/still-there", lambda route: route.fulfill(json=left))
    anna.open("/portal/contact")
    anna.fill("Telephone", "555 0")  # half typed
    anna.page.get_by_text("We will soon sign you out").wait_for()
    anna.look()
    anna.page.unroute("**/portal/still-there")
    with anna.page.expect_response("**/portal/stay") as stayed:
        anna.page.get_by_role("button", name="Stay signed in").click()
    assert stayed.value.status == 303
    anna.page.get_by_text("We will soon sign you out").wait_for(state="hidden")
    assert anna.page.get_by_label("Telephone").input_value() == "555 0"  # and nothing is lost

    anna.page.route("**/portal/still-there", lambda route: route.fulfill(json={"signed_in": False, "idle_in": 0}))
    anna.page.goto("/portal")
    anna.page.wait_for_url("**/signed-out")
    anna.close()


def test_everything_can_be_done_by_keyboard(chromium: Any, demo: Demo) -> None:
    mia = DemoWindow(chromium, demo, "wide")
    mia.open("/sign-in")
    mia.page.get_by_label("Your email address").focus()
    mia.page.keyboard.type("family@example.com")
    mia.page.keyboard.press("Enter")
    code = mia.arrived(CODE)
    mia.page.locator("#code:focus").wait_for()  # the field has the focus already
    mia.page.keyboard.type(f"{code[:3]} {code[3:]}")
    mia.page.keyboard.press("Enter")
    mia.page.get_by_label("Mia Ortiz").focus()
    mia.page.keyboard.press("Space")
    mia.page.keyboard.press("Tab")
    mia.page.keyboard.press("Enter")
    mia.page.get_by_text("Hello Mia Ortiz").wait_for()
    mia.look()
    mia.close()


def test_axe_finds_nothing_against_wcag_2_2_aa(chromium: Any, demo: Demo) -> None:
    """In the dark scheme colours are all that changes."""
    axe, ben = Axe(), DemoWindow(chromium, demo, "wide", javascript=True)  # for axe, and for the portal's warning

    def judge() -> None:
        assert axe.violations(ben.page) == [], ben.page.url
        ben.page.emulate_media(color_scheme="dark")
        assert axe.violations(ben.page, contrast_only=True) == [], f"{ben.page.url}, dark"
        ben.page.emulate_media(color_scheme="light")

    desk = ("/billing", "/billing/anna", "/billing/mail/anna", "/billing/audit/anna")
    for path in ("/", *desk, "/portal", "/nothing", "/signed-out"):
        ben.open(path)
        judge()
    ben.open("/sign-in")  # authsvc's own pages have tests of their own
    ben.press("Not now, go back")
    judge()
    ben.follow("Sign in")
    ben.fill("Your email address", "family@example.com")
    ben.press("Email me a code")
    ben.fill("Code from the email", ben.arrived(CODE))
    ben.press("Sign in")
    ben.page.get_by_label("Ben Ortiz").check()
    ben.press("Continue")
    for path in ("", "/invoices", "/statement", "/contact", "/membership", "/payment-methods"):
        ben.open(f"/portal{path}")
        judge()
    ben.press("Save this card")
    judge()
    for path in ("/invoice/inv_1004", "/agreement/agr_ben", "/inbox?still"):
        ben.open(path)
        judge()
    ben.close()
