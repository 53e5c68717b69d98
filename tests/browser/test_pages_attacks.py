"""Attacks that need a browser: frames, forged forms, planted cookies, names that are scripts, and what stays behind in
histories, referrers and the back button's memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import escape
from typing import Any, NamedTuple

import pytest

from tests.browser.clinic import BELOW, ELSEWHERE, Clinic
from tests.browser.conftest import OpenWindow
from tests.browser.window import BrowserWindow
from tests.harness.chromium import launch
from tests.harness.processes import until

pytestmark = pytest.mark.browser

SCRIPT = "<img src=x onerror=alert(1)>"
SITES = pytest.mark.parametrize("site", [ELSEWHERE, BELOW])
"""Another site, and one below ours, whose requests browsers call same-site."""


def _form(action: str, **fields: str) -> str:
    hidden = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items())
    return f'<form method="post" action="{action}">{hidden}<button>Win a prize</button></form>'


def _csrf(person: BrowserWindow) -> str:
    return str(person.page.locator("main [name=csrf]").first.input_value())


# --- frames ---------------------------------------------------------------------------------------------------------


@SITES
def test_clickjacking_no_page_is_shown_in_a_frame(window: OpenWindow, clinic: Clinic, site: str) -> None:
    person, ann = window(), clinic.newcomer()
    person.sign_in(ann)
    targets = [clinic.page("session"), clinic.page("sign-out"), clinic.page("sign-in"), ann.link("portal")]
    frames = "".join(f'<iframe src="{target}"></iframe>' for target in targets)
    person.open(clinic.lure(frames, site))
    for _ in range(100):  # a refused frame is empty for a moment, before it says so
        shown = {frame.url for frame in person.page.frames[1:]}
        if "" not in shown:
            break
        person.page.wait_for_timeout(50)
    refused = [said for said in person.complaints if "frame-ancestors" in said]
    person.complaints.clear()
    assert len(refused) == len(targets)
    assert shown == {"chrome-error://chromewebdata/"}


# --- forged forms ---------------------------------------------------------------------------------------------------


@SITES
def test_login_csrf_nobody_is_signed_in_as_the_attacker(window: OpenWindow, clinic: Clinic, site: str) -> None:
    """The attacker has a good code, and the form's own token, of a browser of theirs."""
    attacker, victim, mallory = window(), window(), clinic.newcomer("Mallory")
    attacker.open(clinic.page("sign-in"))
    attacker.ask_for_code(mallory.email)
    lure = _form(attacker.page.url, csrf=_csrf(attacker), code=mallory.code())
    for with_cookie in (False, True):
        if with_cookie:
            victim.open(clinic.page("sign-in"))  # now it has a browser id of its own
        victim.open(clinic.lure(lure, site))
        victim.press("Win a prize")
        assert victim.heading == "Please start again" or victim.heading == "Please try once more"
        victim.open(clinic.page("session"))
        assert victim.at == "/p/maple/sign-in"
    attacker.type_code(lure.partition('name="code" value="')[2][:6])  # it was good all the time
    attacker.arrive(clinic.portal_url)


@SITES
def test_a_forged_form_sends_no_mail(window: OpenWindow, clinic: Clinic, site: str) -> None:
    attacker, victim, ann = window(), window(), clinic.newcomer()
    attacker.open(clinic.page("sign-in"))
    victim.open(clinic.page("sign-in"))
    victim.open(clinic.lure(_form(clinic.page("sign-in"), csrf=_csrf(attacker), email=ann.email), site))
    victim.press("Win a prize")
    assert victim.heading == "Please try once more"
    victim.follow("Try again")
    victim.ask_for_code(ann.email)  # by her own will it works, and hers is the first mail
    victim.type_code(ann.code())
    assert clinic.mails_to(ann.email) == 1


@SITES
def test_a_forged_form_signs_nobody_out(window: OpenWindow, clinic: Clinic, site: str) -> None:
    attacker, victim = window(), window()
    attacker.sign_in(clinic.newcomer("Mallory"))
    attacker.open(clinic.page("sign-out"))
    victim.sign_in(clinic.newcomer())
    for page in ("sign-out", "session"):
        victim.open(clinic.lure(_form(clinic.page(page), csrf=_csrf(attacker), act="end-others"), site))
        victim.press("Win a prize")
    victim.open(clinic.page("session"))
    assert victim.heading == "You are signed in"
    victim.open(clinic.lure(f'<a href="{clinic.issuer}/oauth2/logout?client_id=portal">Sign out</a>', site))
    victim.follow("Sign out")
    assert victim.heading == "Do you want to sign out?"  # a link alone only asks
    victim.follow("No, stay signed in")
    assert victim.heading == "You are signed in"


# --- cookies --------------------------------------------------------------------------------------------------------


def test_cookies_of_a_sub_domain_change_nothing(window: OpenWindow, clinic: Clinic) -> None:
    """The attacker's own sign-in, planted under every name that a browser might take for ours."""
    attacker, victim = window(), window()
    attacker.sign_in(clinic.newcomer("Mallory"))
    stolen = {one["name"]: one["value"] for one in attacker.context.cookies(clinic.issuer)}
    names = ("__Host-authsvc", "__Host-authsvc-maple")
    assert set(names) <= set(stolen)
    planted = [
        ("Set-Cookie", f"{spelt}={stolen[name]}; Domain=auth.localhost; Path=/{end}; Secure")
        for name in names
        for end in ("", "p/maple/session")
        for spelt in (name, name.lower(), f"={name}", name.removeprefix("__Host-"))
    ]
    lure = clinic.lure("<title>planted</title>", BELOW, planted)

    victim.open(lure)
    there = {(one["name"], one["domain"]) for one in victim.context.cookies(clinic.page("session"))}
    assert there == {("authsvc", ".auth.localhost"), ("authsvc-maple", ".auth.localhost")}
    victim.open(clinic.page("session"))
    assert victim.at == "/p/maple/sign-in"

    victim.sign_in(clinic.newcomer("Ann Ortiz"))
    victim.open(lure)
    victim.open(clinic.page("session"))
    assert victim.reads("Ann Ortiz")


def test_no_script_and_no_sub_domain_sees_a_cookie(window: OpenWindow, clinic: Clinic) -> None:
    person = window()
    person.sign_in(clinic.newcomer())
    person.open(clinic.page("session"))
    assert person.page.evaluate("document.cookie") == ""
    ours = [one for one in person.context.cookies() if "authsvc" in one["name"]]
    assert ours
    for one in ours:
        assert one["name"].startswith("__Host-"), one
        assert (one["secure"], one["httpOnly"], one["sameSite"], one["path"]) == (True, True, "Lax", "/")
        assert one["domain"] == "auth.localhost"  # of this host alone: no dot
    with person.page.expect_response(f"https://{BELOW}*/**") as answered:
        person.open(clinic.lure("", BELOW))
    assert "authsvc" not in answered.value.request.all_headers().get("cookie", "")


# --- names that are scripts -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(clinic: Clinic) -> str:
    """A practice that is called like an attack."""
    clinic.cli("practices", "add", "hostile", "--name", f"{SCRIPT}\"'><script>alert(2)</script>")
    clinic.desks["hostile"] = replace(clinic.desks["maple"], practice="hostile")
    return "hostile"


def test_stored_xss_names_stay_words(window: OpenWindow, clinic: Clinic, hostile: str) -> None:
    """A box that jumps up would fail this test at its end, as would a refused script."""
    person, ann = window(), clinic.newcomer(SCRIPT, practice=hostile)
    clinic.newcomer('"><svg onload=alert(3)>', practice=hostile, shared=ann.email)
    person.open(clinic.page("sign-in", hostile))
    person.ask_for_code(f'"{SCRIPT}"')
    assert person.page.locator("#email").input_value() == f'"{SCRIPT}"'
    _harmless(person)
    person.ask_for_code(f'"{SCRIPT}"@example.org')
    _harmless(person)
    person.open(clinic.page("sign-in", hostile))
    person.ask_for_code(ann.email)
    _harmless(person)
    person.type_code(ann.code())
    assert person.reads(SCRIPT)
    _harmless(person)
    person.page.get_by_label(SCRIPT, exact=True).check()
    person.press("Continue")
    assert person.heading == "You are signed in"
    _harmless(person)
    for path in ("sign-out", "contact", "sent", "signed-out", "l/al_x", f"sign-in?ui_locales={SCRIPT}"):
        person.open(clinic.page(path, hostile))
        _harmless(person)


def test_reflected_xss_nothing_of_an_address_becomes_markup(window: OpenWindow, clinic: Clinic) -> None:
    person = window()
    for query in (
        f"client_id={SCRIPT}",
        f"client_id=portal&redirect_uri={SCRIPT}",
        'client_id=portal&redirect_uri=javascript:alert(1)&state="><script>alert(2)</script>',
        '"><script>alert(3)</script>=1',
    ):
        for path in ("/oauth2/authorize", "/oauth2/logout", "/p/maple/sign-in", "/p/maple/l/al_x"):
            person.open(f"{clinic.issuer}{path}?{query}")
            _harmless(person)


def _harmless(person: BrowserWindow) -> None:
    assert person.page.locator("img, svg, script:not([src^='/static/session-'])").count() == 0
    assert person.page.locator("[onerror], [onload], [style]").count() == 0


# --- what stays behind ----------------------------------------------------------------------------------------------


def test_no_address_of_ours_is_told_as_a_referrer(window: OpenWindow, clinic: Clinic) -> None:
    person, ann = window(), clinic.newcomer()
    clinic.portal.visits.clear()
    person.from_mail(ann.mailed_link("pay-invoice", resource="invoice:inv_7"))
    person.press("Continue")
    person.sign_in(ann, at=f"{clinic.portal_url}/sign-in")
    person.open(clinic.page("session"))
    person.follow("Go on to Maple Clinic")
    person.arrive(clinic.portal_url)
    assert len(clinic.portal.visits) >= 6
    assert {told for told in clinic.portal.referrers() if not told.startswith(clinic.portal_url)} == set()


def test_after_a_press_no_history_holds_the_token_but_the_mails_own_address(window: OpenWindow, clinic: Clinic) -> None:
    person, ann = window(), clinic.newcomer()
    person.from_mail(ann.mailed_link("pay-invoice", resource="invoice:inv_7"))
    link = person.page.url
    token = link.rpartition("/")[2]
    person.press("Continue")
    person.arrive(clinic.portal_url)
    seen = person.context.new_cdp_session(person.page).send("Page.getNavigationHistory")["entries"]
    past = [entry["url"] for entry in seen]
    assert [url for url in past if token in url] == [link]
    assert past[-1] == f"{clinic.portal_url}/"
    assert not [url for url in past if "code=" in url or "login_hint=" in url]
    assert {url for url in person.asked if token in url} <= {link, f"{link}?"}


@pytest.fixture
def whole_chromium(chromium: Any) -> Iterator[Any]:
    """Chromium as people have it: without its windows it keeps no pages to go back to."""
    browser = launch(chromium.browser_type, "chromium")
    yield browser
    browser.close()


def test_the_back_button_shows_nothing_after_sign_out(window: OpenWindow, whole_chromium: Any, clinic: Clinic) -> None:
    """Nor does the memory in which browsers keep whole pages to go back to."""
    person = window(browser=whole_chromium)
    person.context.add_init_script("addEventListener('pageshow', event => { window.kept = event.persisted })")
    first, second = clinic.lure("<h1>One</h1>"), clinic.lure("<h1>Two</h1>")
    person.open(first)
    person.open(second)
    assert Past(person).back().kept, "this browser keeps no pages: the test would show nothing"

    person.open(second)
    person.sign_in(clinic.newcomer("Ann Ortiz"))
    person.open(clinic.page("session"))
    assert person.reads("Ann Ortiz")
    person.open(clinic.page("sign-out"))
    person.press("Sign out")
    past, passed = Past(person), []
    while (seen := past.back()).url != second:
        passed.append(seen.url)
        assert "Ann Ortiz" not in seen.words
        assert "You are signed in" not in seen.words
    assert len(passed) >= 3


class Past:
    """A window's back button. Playwright loses sight of pages that were kept, so the browser itself is asked."""

    def __init__(self, person: BrowserWindow) -> None:
        self._page = person.context.new_cdp_session(person.page)
        seen = self._page.send("Page.getNavigationHistory")
        self._entries = [(entry["id"], entry["url"]) for entry in seen["entries"][: seen["currentIndex"] + 1]]

    def back(self) -> PageState:
        self._entries.pop()
        self._page.send("Page.navigateToHistoryEntry", {"entryId": self._entries[-1][0]})
        return until(self._state)

    def _state(self) -> PageState | None:
        """What is there, once that is a page that was shown."""
        asked = "window.kept === undefined ? null : [location.href, document.body.innerText, window.kept]"
        told = self._page.send("Runtime.evaluate", {"expression": asked, "returnByValue": True})["result"]
        found = PageState(*told["value"]) if told.get("value") else None
        return found if found and self._left(found) else None

    def _left(self, found: PageState) -> bool:
        at = self._page.send("Page.getNavigationHistory")
        return bool(at["entries"][at["currentIndex"]]["id"] == self._entries[-1][0])


class PageState(NamedTuple):
    url: str
    words: str
    kept: bool
