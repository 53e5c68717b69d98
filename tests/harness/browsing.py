"""A browser of the simplest kind: pages, links and forms by the words on them, cookies, redirects; no JavaScript.

`Browser` works over any transport that takes one request and gives one answer: Flask's test client (`flask_transport`)
or a real connection (`http_transport`). What a page says and offers is read from its HTML, as a person would.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin, urlsplit

from flask import Flask

from tests.harness.html import Form, HtmlPage

Answer = tuple[int, list[tuple[str, str]], bytes]
Transport = Callable[[str, str, dict[str, str], bytes], Answer]


class Page(HtmlPage):
    """One answer: status, headers, address, the method it came by, and what its HTML holds. `text` is what is seen."""

    def __init__(self, url: str, answer: Answer, method: str = "GET") -> None:
        self.url, self.method = url, method
        self.status, self.headers, raw = answer
        super().__init__(raw.decode())
        self.text = self.visible_text

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    def form(self, words: str) -> Form:
        """The form whose button begins with these words."""
        found = next((form for form in self.forms if form.button(words)), None)
        assert found, f"no button {words!r} on {self.url} ({self.status}): {self.text[:400]}"
        return found


class Browser:
    """One person's browser: `at` is the page it shows, `seen` every answer it got, redirects too."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.cookies: dict[str, str] = {}
        self.languages = ""  # what it sends as Accept-Language
        self.seen: list[Page] = []
        self.at: Page = Page("", (0, [], b""))

    def open(self, url: str) -> Page:
        return self._go("GET", url, {})

    def follow(self, words: str) -> Page:
        """Press the link with these words."""
        assert words in self.at.links, f"no link {words!r} on {self.at.url}: {self.at.text[:400]}"
        return self.open(self.at.links[words])

    def press(self, words: str, **fields: str) -> Page:
        """Press the button that begins with these words, its form filled with these fields."""
        form = self.at.form(words)
        button = form.button(words)
        assert button
        sent = {button.name: button.value} if button.name else {}
        return self._go(form.method, form.action, form.fields | sent | fields)

    def submit(self, url: str, fields: Mapping[str, str]) -> Page:
        """Send a form that the page at hand doesn't show."""
        return self._go("POST", url, fields)

    def request(self, method: str, url: str, fields: Mapping[str, str] | None = None) -> Page:
        """One request, as a script would send it; no redirect is followed."""
        target = urljoin(self.at.url, url)
        body = urlencode(fields or {}).encode() if method == "POST" else b""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if self.languages:
            headers["Accept-Language"] = self.languages
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        page = Page(target, self._transport(method, target, headers, body), method)
        for name, value in page.headers:
            if name.lower() == "set-cookie":
                for key, morsel in SimpleCookie(value).items():
                    self.cookies[key] = morsel.value
                    if morsel["max-age"] == "0":
                        del self.cookies[key]
        self.seen.append(page)
        return page

    def _go(self, method: str, url: str, fields: Mapping[str, str]) -> Page:
        if method == "GET" and fields:
            url = f"{url}?{urlencode(fields)}"
        page = self.request(method, url, fields)
        while page.status in (301, 302, 303, 307, 308):
            # Frameworks answer a GET with 302, where it means the same.
            allowed = page.status == 303 or page.method == "GET"
            assert allowed, f"{page.url} answered {page.status}: only 303 may follow a form"
            page = self.request("GET", urljoin(page.url, page.header("Location")))
        self.at = page
        return page


def flask_transport(app: Flask, address: str) -> Transport:
    """Requests straight into the application, from a person at this network address."""

    def send(method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        client = app.test_client(use_cookies=False)
        client.environ_base["REMOTE_ADDR"] = address
        answer = client.open(url, method=method, headers=headers, data=body)
        return answer.status_code, list(answer.headers), answer.data

    return send


def by_host(applications: Mapping[str, Flask], address: str) -> Transport:
    """Requests straight into whichever application lives at the address: `http://host:port` → application."""
    ways = {origin: flask_transport(app, address) for origin, app in applications.items()}

    def send(method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(url)
        return ways[f"{parts.scheme}://{parts.netloc}"](method, url, headers, body)

    return send


def http_transport(timeout_s: float = 10) -> Transport:
    """Requests over real connections, one each."""

    def send(method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(url)
        line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            line.request(method, target, body or None, headers)
            answer = line.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            line.close()

    return send
