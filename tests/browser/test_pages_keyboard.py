"""No mouse, no finger: the whole way in and out by Tab, Space, arrows and Enter, with JavaScript and without. What has
the focus can be seen at every step, and the focus goes down the page, never up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.clinic import Clinic
from tests.browser.conftest import OpenWindow
from tests.browser.window import BrowserWindow

pytestmark = pytest.mark.browser

MOST_STEPS = 40  # more than any page has
FOCUSED = """
    () => {
        const one = document.activeElement
        if (!one || one === document.body) return null
        const framed = one.closest('.choice') ?? one
        const box = one.getBoundingClientRect(), style = getComputedStyle(framed)
        return {
            words: (one.labels?.[0] ?? one).innerText.trim(), tag: one.tagName, top: box.top + scrollY, left: box.left,
            outline: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
            seen: box.bottom > 0 && box.top < innerHeight,
        }
    }
"""
THINNEST_OUTLINE_PX = 2


class Keys:
    """A keyboard at a person's window."""

    def __init__(self, person: BrowserWindow) -> None:
        self.page: Any = person.page

    def to(self, words: str) -> None:
        """Tab on until the focus is on what is called so."""
        for _ in range(MOST_STEPS):
            at = self.focused()
            if at and words in at["words"]:
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"no Tab leads to {words!r}")

    def focused(self) -> dict[str, Any] | None:
        at: dict[str, Any] | None = self.page.evaluate(FOCUSED)
        if at:
            assert at["outline"] >= THINNEST_OUTLINE_PX, at
            assert at["seen"], at
        return at

    def enter(self) -> None:
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)


@pytest.mark.parametrize("javascript", [False, True], ids=["plain", "scripted"])
def test_the_whole_way_in_and_out(window: OpenWindow, clinic: Clinic, javascript: bool) -> None:
    person, ann = window(javascript=javascript), clinic.newcomer("Ann Ortiz")
    clinic.newcomer("Mia Ortiz", shared=ann.email)
    keys = Keys(person)
    person.open(f"{clinic.portal_url}/sign-in")
    keys.to("Your email address")
    keys.type(ann.email)
    keys.enter()
    code = ann.code()
    assert keys.focused()["words"] == "Code from the email"  # at once
    keys.type(code)
    keys.enter()
    keys.to("Ann Ortiz")
    person.page.keyboard.press("Space")
    person.page.keyboard.press("ArrowDown")
    assert keys.focused()["words"] == "Mia Ortiz"
    keys.to("Continue")
    keys.enter()
    assert person.told("acr") == "extra"

    person.open(clinic.page("session"))
    keys.to("Stay signed in")
    keys.enter()
    keys.to("Sign out")
    keys.enter()
    assert person.heading == "You are signed out"


def test_a_link_and_a_dead_one(window: OpenWindow, clinic: Clinic) -> None:
    person, ann = window(), clinic.newcomer()
    keys = Keys(person)
    link = ann.link("pay-invoice", resource="invoice:inv_7", max_uses=1)
    person.open(link)
    keys.to("Continue")
    keys.enter()
    assert person.told("acr") == "instant"
    person.open(link)
    keys.to("Send me a new link")
    keys.enter()
    assert person.heading == "Check your email"


@pytest.mark.parametrize("device", ["phone", "desktop"])
def test_the_focus_goes_through_everything_from_top_to_bottom(window: OpenWindow, clinic: Clinic, device: str) -> None:
    person, ann = window(device), clinic.newcomer()
    for _ in range(1):
        with person.another() as elsewhere:
            elsewhere.sign_in(ann)
    person.sign_in(ann)
    for path in ("session", "sign-out", "sign-in?ui_locales=es"):
        person.open(clinic.page(path))
        there = person.page.locator("a:visible, button:visible, input:visible").count()
        keys, passed = Keys(person), []
        for _ in range(there):
            person.page.keyboard.press("Tab")
            at = keys.focused()
            assert at is not None
            passed.append((round(at["top"]), at["left"]))
        assert passed == sorted(passed)
        assert len(set(passed)) == there


def test_a_mistake_is_where_the_focus_is(window: OpenWindow, clinic: Clinic) -> None:
    """And what is wrong belongs to the field, for whoever hears the page."""
    person, ann = window(), clinic.newcomer()
    person.open(clinic.page("sign-in"))
    person.ask_for_code("nobody")
    field = person.page.locator("#email:focus")
    assert person.page.locator(f"#{field.get_attribute('aria-describedby')}").get_attribute("role") == "alert"
    person.ask_for_code(ann.email)
    ann.code()
    person.type_code("1")
    field = person.page.locator("#code:focus")
    wrong, hint = str(field.get_attribute("aria-describedby")).split()
    assert "six digits" in person.page.locator(f"#{wrong}").inner_text()
    assert "10 minutes" in person.page.locator(f"#{hint}").inner_text()
