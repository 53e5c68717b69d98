"""What opens a mail's links before its reader does: scanners that ask, look, render and follow. None of them spends
anything; the reader's one press works as if nobody had been there. And codes, however they are pasted.
"""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPSHandler, Request, build_opener

import pytest

from tests.browser.clinic import Clinic, Mailbox
from tests.browser.conftest import OpenWindow
from tests.browser.window import BrowserWindow
from tests.harness.processes import until

pytestmark = pytest.mark.browser

AT_ONCE = 10
LOOKS_FOR_MS = 2_000


class Scanner:
    """Asks without a browser."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self._opener = build_opener(HTTPSHandler(context=ssl.create_default_context(cafile=str(clinic.front.ca))))

    def ask(self, method: str, url: str) -> int:
        # The system knows no names below .localhost; authsvc never looks at the one it is asked by.
        address = url.replace(self._clinic.issuer, self._clinic.front.url_of("localhost"))
        headers = {"User-Agent": "scanner", "Purpose": "prefetch", "Sec-Purpose": "prefetch"}
        with self._opener.open(Request(address, method=method, headers=headers), timeout=30) as answer:
            answer.read()
            return int(answer.status)


def _scanned(clinic: Clinic, window: OpenWindow, url: str) -> None:
    """By everything that there is."""
    scanner = Scanner(clinic)
    assert scanner.ask("HEAD", url) == 200
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert set(pool.map(lambda _: scanner.ask("GET", url), range(AT_ONCE))) == {200}

    rendering = window()
    rendering.open(url)
    rendering.page.wait_for_timeout(LOOKS_FOR_MS)  # it watches what scripts do by themselves
    assert rendering.page.url == url
    written = rendering.page.locator("[href], [src]").evaluate_all(
        "all => all.map(one => one.getAttribute('href') ?? one.getAttribute('src'))"
    )
    addresses = {urljoin(url, found) for found in written}
    assert len(addresses) >= 4
    for found in sorted(addresses):
        if urlsplit(found).scheme == "https":
            assert found.startswith(clinic.issuer)  # there is nothing that leads elsewhere
            rendering.page.goto(found)


@pytest.mark.parametrize("device", ["phone", "desktop"])
def test_an_instant_link_waits_for_its_reader(window: OpenWindow, clinic: Clinic, device: str) -> None:
    ann, person = clinic.newcomer(), window(device, javascript=device == "desktop")
    mail = ann.mailed_link("accept-agreement", resource="agreement:agr_7", max_uses=1)
    person.open(mail)
    _scanned(clinic, window, str(person.page.locator("a[href*='/l/']").first.get_attribute("href")))
    person.from_mail(mail)
    person.press("Continue")
    assert person.told("workflow") == "accept-agreement"


def test_an_access_link_sends_no_code_before_it_is_pressed(window: OpenWindow, clinic: Clinic) -> None:
    ann, person = clinic.newcomer(), window("phone", javascript=False)
    mail = ann.mailed_link("portal", max_uses=1)
    person.open(mail)
    _scanned(clinic, window, str(person.page.locator("a[href*='/l/']").first.get_attribute("href")))
    assert clinic.mails_to(ann.email) == 1
    person.from_mail(mail)
    person.press("Email me a code")
    person.type_code(ann.code())
    person.arrive(clinic.portal_url)


# --- codes as they are pasted ---------------------------------------------------------------------------------------


def _spaced(code: str) -> str:
    return f"{code[:3]} {code[3:]}"


def _wide(code: str) -> str:
    return "".join(chr(ord(digit) + 0xFEE0) for digit in code)


def _dashed(code: str) -> str:
    return f"{code[:3]}-{code[3:]}"


def _with_line(code: str) -> str:
    return f" {code}\n"


@pytest.mark.parametrize("written", [_spaced, _wide, _dashed, _with_line])
def test_a_code_may_be_pasted_as_it_was_copied(window: OpenWindow, clinic: Clinic, written: object) -> None:
    assert callable(written)
    ann, person = clinic.newcomer(), window(permissions=["clipboard-read", "clipboard-write"])
    person.open(clinic.page("sign-in", "maple"))
    person.ask_for_code(ann.email)
    _paste(person, "#code", written(ann.code()))
    person.press("Sign in")
    person.arrive(clinic.portal_url)


def test_an_address_may_be_pasted_with_what_was_around_it(window: OpenWindow, clinic: Clinic) -> None:
    ann, person = clinic.newcomer(), window(permissions=["clipboard-read", "clipboard-write"])
    person.open(clinic.page("sign-in", "maple"))
    _paste(person, "#email", f" {ann.email.upper()} \n")
    person.press("Email me a code")
    assert person.heading == "Check your email"
    _finishes(person, ann)


def _finishes(person: BrowserWindow, ann: Mailbox) -> None:
    person.type_code(ann.code())
    person.arrive(person.clinic.portal_url)


def _paste(person: BrowserWindow, field: str, text: str) -> None:
    person.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    person.page.locator(field).focus()
    person.page.keyboard.press("ControlOrMeta+V")
    until(lambda: person.page.locator(field).input_value())


def test_phones_and_browsers_know_what_the_fields_are_for(window: OpenWindow, clinic: Clinic) -> None:
    ann, person = clinic.newcomer(), window("phone")
    person.open(clinic.page("sign-in", "maple"))
    email = person.page.locator("#email")
    assert [email.get_attribute(name) for name in ("type", "autocomplete", "autocapitalize", "spellcheck")] == [
        *("email", "email", "none", "false")
    ]
    person.ask_for_code(ann.email)
    ann.code()
    code = person.page.locator("#code")
    assert [code.get_attribute(name) for name in ("type", "inputmode", "autocomplete", "maxlength")] == [
        *("text", "numeric", "one-time-code", None)  # a limit would cut "123 456" short
    ]
