"""Every hosted page in a real browser, in every state, language and colour scheme: nothing keeps anybody out.

Pages are rendered as they ship and handed to the browser with their own headers, so their policy holds here too; what
they lead to is walked elsewhere. Pictures go to the folder that SCREENSHOTS names, for people to look at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from authsvc.i18n import LANGUAGES, SOURCE
from authsvc.model import Practice
from authsvc.web.browser import branding, static_pages
from authsvc.web.middleware import ALWAYS
from tests.harness.axe import Axe
from tests.web.every_page import PRACTICE, every_page, render_example

pytestmark = pytest.mark.browser

ORIGIN = "https://pages.test"
SMALLEST_BUTTON_PX = 48
SMALLEST_TEXT_PX = 18
MEASURED = """
    least => [
        document.documentElement.scrollWidth,
        [...document.querySelectorAll('button, a.button, a.plain, input')]
            .filter(one => one.checkVisibility({visibilityProperty: true}) || !one.matches('button, input'))
            .map(one => [one.outerHTML, (one.closest('label') ?? one).offsetHeight])
            .filter(([_, high]) => high < least),
        Math.min(...[...document.querySelectorAll('body *:not([type=hidden], [type=radio], code)')]
            .map(one => parseFloat(getComputedStyle(one).fontSize)))
    ]
"""
"""The page's width, what is too low to be pressed, and the size of the smallest text."""
STATIC = {f"/static/{file}": name for file, name in static_pages.VERSIONED.items()}


class Reader:
    """One browser window. What it is served is rendered here; what it complains of is kept."""

    def __init__(self, chromium: Any, width_px: int = 1100, scheme: str = "light", **more: Any) -> None:
        self.context = chromium.new_context(
            viewport={"width": width_px, "height": 800}, color_scheme=scheme, base_url=ORIGIN, **more
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.state: dict[str, Any] | None = None
        self._shown, self._brand = Response(), b""
        self.page.route("**/*", self._answer)

    def read(self, template: str, lang: str, practice: Practice = PRACTICE, **values: Any) -> None:
        self._shown = render_example(template, practice, lang, **values)
        self._brand = branding.stylesheet(practice.colour) if practice.colour else b""
        self.page.goto("/p/maple/here")

    def _answer(self, route: Any) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path.endswith("/session/state"):
            if self.state is None:
                route.abort()
            else:
                body = json.dumps(self.state)
                route.fulfill(status=200, content_type="application/json", body=body)
            return
        if "/brand-" in path:
            route.fulfill(status=200, content_type="text/css", body=self._brand)
            return
        if path in STATIC:
            name = STATIC[path]
            content_type = static_pages.CONTENT_TYPES[name]
            route.fulfill(status=200, content_type=content_type, body=static_pages.FILES[name])
            return
        headers = dict([*ALWAYS, *self._shown.headers])
        route.fulfill(status=self._shown.status_code, headers=headers, body=self._shown.get_data())

    def picture(self, name: str) -> None:
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_axe_finds_nothing_on_any_page(chromium: Any, lang: str) -> None:
    """In the dark scheme colours are all that changes, and no language changes those."""
    axe, reader = Axe(), Reader(chromium, bypass_csp=True)
    for name, template, values in every_page(lang):
        reader.read(template, lang, **values)
        assert axe.violations(reader.page, "best-practice") == [], name
        if lang == SOURCE:
            reader.page.emulate_media(color_scheme="dark")
            assert axe.violations(reader.page, contrast_only=True) == [], f"{name}, dark"
            reader.page.emulate_media(color_scheme="light")
    reader.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("colour", ["#ffd400", "#7a2f5f", "#0f0f0f", "#fafafa"])
def test_a_practices_colour_keeps_nobody_from_reading(chromium: Any, colour: str, scheme: str) -> None:
    axe, reader = Axe(), Reader(chromium, 390, scheme, bypass_csp=True)
    for name, template, values in every_page("en"):
        if name in ("code-invalid", "who-wrong", "session"):
            reader.read(template, "en", replace(PRACTICE, colour=colour), **values)
            assert axe.violations(reader.page, contrast_only=True) == [], name
            reader.picture(f"{name}-{colour[1:]}-{scheme}")
    reader.context.close()


WINDOWS = ((1100, "light"), (390, "dark"), (320, "light"))
"""Width in px and colour scheme. 320 px is a desktop window of 1280 px at 400 % (WCAG 1.4.10)."""


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_page_fits_and_can_be_read_and_pressed(chromium: Any, lang: str) -> None:
    reader = Reader(chromium)
    for name, template, values in every_page(lang):
        reader.read(template, lang, **values)
        for width_px, scheme in WINDOWS:
            reader.page.set_viewport_size({"width": width_px, "height": 800})
            reader.page.emulate_media(color_scheme=scheme)
            width, low, smallest_text = reader.page.evaluate(MEASURED, SMALLEST_BUTTON_PX)
            assert width <= width_px, name
            assert low == [], name
            assert smallest_text >= SMALLEST_TEXT_PX, name
            reader.picture(f"{name}-{lang}-{width_px}-{scheme}")
    assert reader.complaints == []  # the policy lets through all that a page loads
    reader.context.close()


def test_nobody_has_to_know_that_text_may_grow(chromium: Any) -> None:
    """Twice the text in a narrow window (WCAG 1.4.4), and the longest names there may be."""
    reader = Reader(chromium, 320)
    for name, template, values in every_page("es"):
        reader.read(template, "es", **values)
        reader.page.evaluate("document.documentElement.style.fontSize = '225%'")
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= 320, name
    long = replace(PRACTICE, name="Kieferorthopädische" * 5, support_email=f"{'a' * 64}@{'b' * 63}.example")
    reader.read("message.html", "en", long, kind="away")
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 320
    reader.context.close()


# --- the idle warning ---------------------------------------------------------------------------------------------


STATE = "**/p/maple/session/state"


@pytest.fixture
def signed_in(chromium: Any) -> Iterator[Reader]:
    """At the session page with half an hour left, on a clock that the test moves."""
    reader = Reader(chromium)
    reader.page.clock.install()
    reader.state = {"signed_in": True, "idle_in": 1800, "ends_in": 36000}
    values = next(values for name, _, values in every_page("en") if name == "session")
    with reader.page.expect_response(STATE):
        reader.read("session.html", "en", script=True, **values)
    yield reader
    assert [one for one in reader.complaints if "ERR_FAILED" not in one] == []
    reader.context.close()


def come_back(reader: Reader) -> None:
    """To the tab, after a while elsewhere."""
    reader.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_the_warning_comes_two_minutes_before_the_end_and_counts_down(signed_in: Reader) -> None:
    page, warning = signed_in.page, signed_in.page.locator("[data-warning]")
    assert warning.is_hidden()
    signed_in.state = {"signed_in": True, "idle_in": 119, "ends_in": 36000}
    with page.expect_response(STATE):
        page.clock.run_for(31_000)
    warning.wait_for()
    assert "less than two minutes" in page.get_by_role("status").inner_text()
    page.clock.run_for(10_000)
    page.get_by_text("1:4").wait_for()
    assert page.get_by_role("status").get_by_role("button", name="Stay signed in").is_visible()
    signed_in.picture("session-warning-en-1100-light")
    signed_in.state = {"signed_in": True, "idle_in": 1800, "ends_in": 36000}  # extended in another tab
    with page.expect_response(STATE):
        page.clock.run_for(31_000)
    warning.wait_for(state="hidden")


def test_at_the_absolute_end_no_button_promises_more(signed_in: Reader) -> None:
    signed_in.state = {"signed_in": True, "idle_in": 1800, "ends_in": 60}
    come_back(signed_in)
    signed_in.page.locator("[data-warning]").wait_for()
    assert signed_in.page.get_by_role("status").get_by_role("button").count() == 0


def test_who_was_signed_out_meanwhile_is_told(signed_in: Reader) -> None:
    signed_in.state = {"signed_in": False}
    come_back(signed_in)
    signed_in.page.wait_for_url("**/p/maple/signed-out")


def test_without_network_the_page_stays_and_asks_again(signed_in: Reader) -> None:
    signed_in.state = None
    with signed_in.page.expect_event("requestfailed"):
        come_back(signed_in)
    assert signed_in.page.url.endswith("/here")
    signed_in.state = {"signed_in": True, "idle_in": 30, "ends_in": 36000}
    with signed_in.page.expect_response(STATE):
        signed_in.page.clock.run_for(31_000)
    signed_in.page.locator("[data-warning]").wait_for()
