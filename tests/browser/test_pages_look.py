"""Every page of the tour, on the real service: read by axe in both colour schemes, squeezed into a window at 400 %,
its letters spaced out. A practice's awkward colour and its logo keep nobody from reading either.

axe reads every page in every language in test_hosted_templates.py; here it reads one language of each practice.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.clinic import Clinic
from tests.browser.conftest import OpenWindow
from tests.browser.tour import tour
from tests.browser.window import BrowserWindow
from tests.harness.axe import Axe

pytestmark = pytest.mark.browser

AT_400_PERCENT = {"width": 320, "height": 256}  # a window of 1280 × 1024 (WCAG 1.4.10)
SMALLEST_TARGET_PX = 24  # WCAG 2.5.8

SPACED = """
    const sheet = new CSSStyleSheet()  // WCAG 1.4.12
    sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: 0.12em !important;
                           word-spacing: 0.16em !important } p { margin-block-end: 2em !important }`)
    document.adoptedStyleSheets = spaced ? [sheet] : []
"""
CUT_OFF = """
    () => [...document.querySelectorAll('h1, h2, p, li, label, legend, a, button, .initial')].filter(one => {
        if (!one.getClientRects().length || one.querySelector('.visually-hidden')) return false
        const text = document.createRange()
        text.selectNodeContents(one)
        const [inner, outer] = [text.getBoundingClientRect(), one.getBoundingClientRect()]
        const hides = ['hidden', 'clip'].includes(getComputedStyle(one).overflowX)
        return inner.left < -1 || inner.right > innerWidth + 1
            || hides && (inner.width > outer.width + 1 || inner.height > outer.height + 1)
            || one.tagName == 'BUTTON' && (inner.height > outer.height || inner.width > outer.width)
    }).map(one => one.outerHTML)
"""
TARGETS = """
    all => all.map(one => [one.outerHTML, (one.closest('label.choice') ?? one).getBoundingClientRect()])
              .map(([html, box]) => [html, Math.min(box.width, box.height)])
"""


@pytest.mark.parametrize("practice,locale", [("maple", "en-US"), ("maple", "es-MX"), ("oak", "es")])
def test_no_page_keeps_anybody_out(window: OpenWindow, clinic: Clinic, practice: str, locale: str) -> None:
    person = window(locale=locale)
    axe, seen = Axe(), []
    for stop in tour(person, clinic, practice):
        seen.append(stop.name)
        assert person.page.locator("html").get_attribute("lang") == locale[:2], stop.name
        assert person.page.locator("h1").count() == 1, stop.name
        if practice == "oak" or locale == "en-US":
            assert axe.violations(person.page) == [], stop.name
            person.page.emulate_media(color_scheme="dark")
            assert axe.violations(person.page, contrast_only=True) == [], f"{stop.name}, dark"
            person.page.emulate_media(color_scheme="light")
        _squeeze(person, stop.name)
    assert len(seen) == len(set(seen))
    assert {"code-wrong", "who-wrong", "session", "dead-moved", "sign-out", "stale"} < set(seen)


def _squeeze(person: BrowserWindow, name: str) -> None:
    page: Any = person.page
    wide, words = page.viewport_size, page.locator("body").inner_text().split()
    page.set_viewport_size(AT_400_PERCENT)
    assert person.fits(AT_400_PERCENT["width"]), name
    assert page.locator("body").inner_text().split() == words, name  # nothing went into hiding
    for html, smallest in page.locator("a:visible, button:visible, input:visible").evaluate_all(TARGETS):
        assert smallest >= SMALLEST_TARGET_PX, (name, html)
    page.evaluate(f"spaced => {{ {SPACED} }}", True)
    assert person.fits(AT_400_PERCENT["width"]), name
    assert page.evaluate(CUT_OFF) == [], name
    page.evaluate(f"spaced => {{ {SPACED} }}", False)
    page.set_viewport_size(wide)
