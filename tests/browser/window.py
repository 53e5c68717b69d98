"""Somebody with a browser: on a phone or at a desk, with JavaScript or without. What the browser complains of, whom it
asks and which boxes jump up is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.browser.clinic import Clinic, Mailbox

DEVICES: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "desktop": {"viewport": {"width": 1280, "height": 800}},
}
PATIENCE_MS = 15_000
NO_COMPLAINT = ("Failed to load resource: the server responded", "Clear-Site-Data header on")
"""Chromium notes answers that are meant to be errors (a wrong code is 400, a dead link 410), and what it clears."""


class BrowserWindow:
    """One browser profile with one window."""

    def __init__(
        self, browser: Any, clinic: Clinic, device: str = "desktop", *, javascript: bool = True, **more: Any
    ) -> None:
        self.clinic, self.touch, self._browser = clinic, device == "phone", browser
        options = {"locale": "en-US", **DEVICES[device], "java_script_enabled": javascript, **more}
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.context.on("console", lambda message: self.complaints.append(message.text))
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("dialog", self._jumped_up)
        self.page = self.context.new_page()

    @contextmanager
    def another(self) -> Iterator[BrowserWindow]:
        """The same person's other browser."""
        other = BrowserWindow(self._browser, self.clinic)
        yield other
        other.context.close()

    def _jumped_up(self, dialog: Any) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    @property
    def uneasy(self) -> list[str]:
        """What the console says of broken rules (such as those of a policy) and broken scripts, and boxes."""
        return [said for said in self.complaints if not said.startswith(NO_COMPLAINT)]

    def strangers(self) -> set[str]:
        """The hosts that were asked for anything and have no business here."""
        hosts = {urlsplit(url).netloc for url in self.asked if not url.startswith("data:")}
        return {host for host in hosts if not host.endswith(f".localhost:{self.clinic.front.port}")}

    # --- looking ------------------------------------------------------------------------------------------------------

    def open(self, url: str) -> None:
        self.page.goto(url)

    @property
    def heading(self) -> str:
        return str(self.page.locator("h1").first.inner_text())

    @property
    def at(self) -> str:
        """Where the window is: the path of the page, with its site in front when it isn't authsvc's."""
        parts = urlsplit(self.page.url)
        site = "" if self.page.url.startswith(self.clinic.issuer) else str(parts.hostname).removesuffix(".localhost")
        return f"{site}{parts.path}"

    def reads(self, words: str) -> bool:
        return words in " ".join(self.page.locator("body").inner_text().split())

    def told(self, name: str) -> str:
        """What the portal says of this visitor."""
        self.arrive(self.clinic.portal_url)
        found = self.page.locator(f"dd#{name}")
        return str(found.inner_text()) if found.count() else ""

    def arrive(self, start: str) -> None:
        self.page.wait_for_url(lambda url: url.startswith(start))

    def fits(self, width_px: int) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth") <= width_px)

    # --- doing --------------------------------------------------------------------------------------------------------

    def hit(self, found: Any) -> None:
        """With a finger or a mouse."""
        if self.touch:
            found.tap()
        else:
            found.click()

    def press(self, words: str) -> None:
        """And the next page is there."""
        with self.page.expect_navigation():
            self.hit(self.page.get_by_role("button", name=words, exact=True).first)

    def submit(self) -> None:
        """The first button, whatever it is called."""
        with self.page.expect_navigation():
            self.hit(self.page.locator("main form button:visible").first)

    def act(self, name: str) -> None:
        """The button that does this, whatever it is called."""
        with self.page.expect_navigation():
            self.hit(self.page.locator(f"main button[name=act][value={name}]:visible").last)

    def follow(self, words: str) -> None:
        with self.page.expect_navigation():
            self.hit(self.page.get_by_role("link", name=words, exact=True).first)

    def from_mail(self, url: str) -> None:
        """Open a mail and press its button: the browser comes here from another site."""
        self.open(url)
        with self.page.expect_navigation():
            self.hit(self.page.locator("a[href*='/l/']").first)

    def ask_for_code(self, email: str) -> None:
        self.page.locator("#email").fill(email)
        self.submit()

    def type_code(self, code: str) -> None:
        self.page.locator("#code").fill(code)
        self.submit()

    def sign_in(self, mailbox: Mailbox, *, at: str = "") -> None:
        """At the practice's own pages, or where `at` leads."""
        self.open(at or self.clinic.page("sign-in", mailbox.practice))
        self.ask_for_code(mailbox.email)
        self.type_code(mailbox.code())
