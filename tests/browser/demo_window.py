"""A browser window on a running demo, whose every page is looked at.

Screenshots of every page go to the folder that SCREENSHOTS names, for people to look at.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from authsvc.demo.sample.languages import CATALOGUES
from tests.harness.demo import CODE, LINK, Demo

SMALLEST_TARGET_PX = 24  # WCAG 2.5.8
SIZES = {
    "wide": (1100, "light"),
    "narrow": (320, "light"),
    "dark": (800, "dark"),
    "phone": (390, "light"),
    "desk": (840, "light"),
}
"""Width in pixels and scheme; 320: WCAG 1.4.10."""

LOOK = """() => ({
    width: document.documentElement.scrollWidth,
    headings: document.querySelectorAll("h1").length,
    title: document.title,
    language: document.documentElement.lang,
    targets: [...document.querySelectorAll("button, .button, input, select")]
        .filter(one => one.checkVisibility() && one.offsetWidth)
        .map(one => [one.outerHTML, one.offsetWidth, one.offsetHeight]),
})"""


class DemoWindow:
    """One patient with one browser window, who looks at every page she comes to. The words on the practice's buttons
    and pages are given in English, and looked up in the language that she `reads_in`."""

    def __init__(
        self,
        chromium: Any,
        demo: Demo,
        size: str,
        *,
        javascript: bool = False,
        locale: str = "en",
        reads_in: str = "en",
    ) -> None:
        self.language = reads_in
        self.speaks: set[str] = set()  # the languages of the pages that were seen
        width, scheme = SIZES[size]
        self._size, self._url, self._shots = size, demo.url.rstrip("/"), 0
        self._ours = (demo.url, f"{demo.service_url}/")
        self._context = chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=javascript,
            base_url=self._url,
            locale=locale,
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

    def say(self, words: str, **values: str) -> str:
        """The practice's words as they stand on this patient's pages; up to the first value that isn't given."""
        said = str(CATALOGUES[self.language].gettext(words))
        return re.sub(r"<[^>]*>", "", said % values if values else said.partition("%(")[0].rstrip())

    def press(self, words: str, **values: str) -> None:
        self.page.get_by_role("button", name=self.say(words, **values)).first.click()
        self.look()

    def follow(self, words: str) -> None:
        self.page.get_by_role("link", name=self.say(words)).first.click()
        self.look()

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(self.say(label), exact=True).fill(text)

    def reads(self, words: str, **values: str) -> bool:
        return self.say(words, **values) in " ".join(self.page.locator("body").inner_text().split())

    def look(self) -> None:
        """Nothing sticks out of the window, every target can be hit, one h1, a title; and a picture for people."""
        self.page.wait_for_load_state()
        if self.page.url.endswith("/inbox"):
            return  # it reloads under the eye; `/inbox?still` is the same page
        seen = self.page.evaluate(LOOK)  # in one go: each question to the browser takes its time
        assert seen["width"] <= SIZES[self._size][0], self.page.url
        assert seen["headings"] == 1, self.page.url
        assert seen["title"].endswith("Maple Clinic")
        self.speaks.add(seen["language"])
        for html, width, height in seen["targets"]:
            assert min(width, height) >= SMALLEST_TARGET_PX, html
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            self._shots += 1
            path = urlsplit(self.page.url).path
            name = re.sub(r"/ala?_[\w-]+|(?<=/code)/.*|(?<=/who)/.*|\W+", "-", path).strip("-") or "walk"
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{folder}/{self._size}-{self._shots:02d}-{name}.png", full_page=True)

    def submit(self) -> None:
        """Press the page's first button, whatever it is called."""
        self.page.locator("main form button:visible").first.click()
        self.look()

    def mails(self, words: str) -> int:
        """How many mails in the inbox hold these words, or go to this address."""
        return sum(words in mail for mail in self._inbox_html().split("<article")[1:])

    def mail_to(self, address: str) -> str:
        """The newest mail in the inbox to this address, and not older than what came last: it may take a moment."""
        for _ in range(100):
            newest = self._inbox_html().split("<article")[1:4]
            for mail in newest:
                if address in mail:
                    return mail
            self.page.wait_for_timeout(100)
        raise AssertionError(f"no mail to {address} came")

    def download(self, words: str) -> str:
        """The text of the file behind this link."""
        with self.page.expect_download() as file:
            self.page.get_by_role("link", name=self.say(words)).click()
        return Path(file.value.path()).read_text(encoding="utf-8")

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
