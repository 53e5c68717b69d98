"""The demo in a real browser, with JavaScript switched off: what a patient sees, presses and reads.

Screenshots of every page, wide, narrow and dark, go to the folder that SCREENSHOTS names, for people to look at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness.axe import Axe
from tests.harness.demo import CARD, CODE, LINK, Demo

pytestmark = pytest.mark.browser

SMALLEST_TARGET_PX = 24  # WCAG 2.5.8
SIZES = {"wide": (1100, "light"), "narrow": (320, "light"), "dark": (800, "dark")}  # 320 px: WCAG 1.4.10


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One of its own: Anna gets only so many codes in a quarter of an hour."""
    with Demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


class DemoWindow:
    """One patient with one browser window, who looks at every page she comes to."""

    def __init__(self, chromium: Any, demo: Demo, size: str, *, javascript: bool = False) -> None:
        width, scheme = SIZES[size]
        self._size, self._url, self._shots = size, demo.url.rstrip("/"), 0
        self._ours = (demo.url, f"{demo.service_url}/")
        self._context = chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=javascript,
            base_url=self._url,
        )
        self.page = self._context.new_page()
        self.outside: list[str] = []
        self.page.on("request", lambda request: self._note(request.url))
        self.page.set_default_timeout(15_000)
        self._seen = set(self._inbox())

    def _note(self, url: str) -> None:
        if not url.startswith(self._ours):
            self.outside.append(url)

    def open(self, path: str) -> None:
        self.page.goto(path)
        self.look()

    def press(self, words: str) -> None:
        self.page.get_by_role("button", name=words).first.click()
        self.look()

    def follow(self, words: str) -> None:
        self.page.get_by_role("link", name=words).first.click()
        self.look()

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)

    def reads(self, words: str) -> bool:
        return words in " ".join(self.page.locator("body").inner_text().split())

    def look(self) -> None:
        """Nothing sticks out of the window, every target can be hit, one h1, a title; and a picture for people."""
        self.page.wait_for_load_state()
        if self.page.url.endswith("/inbox"):
            return  # it reloads under the eye; `/inbox?still` is the same page
        assert self.page.evaluate("document.documentElement.scrollWidth") <= SIZES[self._size][0], self.page.url
        assert self.page.locator("h1").count() == 1, self.page.url
        assert self.page.title().endswith("Maple Clinic")
        targets = self.page.locator(":is(button, .button, input, select):visible").evaluate_all(
            "found => found.map(one => [one.outerHTML, one.offsetWidth, one.offsetHeight])"
        )
        for html, width, height in targets:
            assert min(width, height) >= SMALLEST_TARGET_PX, html
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            self._shots += 1
            path = urlsplit(self.page.url).path
            name = re.sub(r"/ala?_[\w-]+|(?<=/code)/.*|(?<=/who)/.*|\W+", "-", path).strip("-") or "walk"
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{folder}/{self._size}-{self._shots:02d}-{name}.png", full_page=True)

    def arrived(self, pattern: str) -> str:
        """What comes to the inbox for this pattern."""
        for _ in range(100):
            fresh = [found for found in re.findall(pattern, self._inbox_html()) if found not in self._seen]
            if fresh:
                self._seen.add(fresh[0])
                return str(fresh[0])
            self.page.wait_for_timeout(100)
        raise AssertionError(f"no {pattern} came")

    def _inbox(self) -> list[str]:
        html = self._inbox_html()
        return re.findall(LINK, html) + re.findall(CODE, html)

    def _inbox_html(self) -> str:
        return str(self._context.request.get(f"{self._url}/inbox?still").text())

    def close(self) -> None:
        self._context.close()


@pytest.fixture(params=SIZES)
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

    for path in ("/", "/billing", "/billing/anna", "/billing/mail/anna", "/portal", "/nothing", "/signed-out"):
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
