"""A browser of the simplest kind: pages, links and forms by the words on them, cookies, redirects; no JavaScript.

`Browser` works over any transport that takes one request and gives one answer: Flask's test client (`flask_transport`)
or a real connection (`http_transport`). What a page says and offers is read from its HTML, as a person would.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin, urlsplit

from flask import Flask

Answer = tuple[int, list[tuple[str, str]], bytes]
Transport = Callable[[str, str, dict[str, str], bytes], Answer]


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)
    acts: dict[str, dict[str, str]] = field(default_factory=dict)  # what a button sends itself, by its words


class Page(HTMLParser):
    """One answer: status, headers, address, the method it came by, and what its HTML holds."""

    def __init__(self, url: str, answer: Answer, method: str = "GET") -> None:
        super().__init__()
        self.url, self.method = url, method
        self.status, self.headers, raw = answer
        self.html = raw.decode()
        self.text = ""
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self._href = ""
        self._words = ""
        self._act: dict[str, str] = {}
        self.feed(self.html)
        self.text = " ".join(self.text.split())

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    def form(self, words: str) -> Form:
        """The form whose button begins with these words."""
        found = [form for form in self.forms if any(button.startswith(words) for button in form.buttons)]
        assert len(found) >= 1, f"no button {words!r} on {self.url} ({self.status}): {self.text[:400]}"
        return found[0]

    def element(self, element_id: str) -> dict[str, str]:
        return next(attrs for _, attrs in self.elements if attrs.get("id") == element_id)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag == "form":
            self.forms.append(Form(given.get("method", "get").upper(), given.get("action", "")))
        elif tag == "input" and self.forms and "name" in given and given.get("type") not in ("radio",):
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag in ("a", "button"):
            self._href, self._words = given.get("href", ""), ""
            self._act = {given["name"]: given.get("value", "")} if "name" in given else {}
        if tag in ("title", "style"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        words = " ".join(self._words.split())
        if tag == "a":
            self.links[words] = self._href
        elif tag == "button":
            self.forms[-1].buttons.append(words)
            self.forms[-1].acts[words] = self._act
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._open:
            self.text += data + " "
            self._words += data


class Browser:
    """One person's browser: `at` is the page it shows, `seen` every answer it got, redirects too."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.cookies: dict[str, str] = {}
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
        act = next(act for button, act in form.acts.items() if button.startswith(words))
        return self._go(form.method, form.action, form.fields | act | fields)

    def submit(self, url: str, fields: Mapping[str, str]) -> Page:
        """Send a form that the page at hand doesn't show."""
        return self._go("POST", url, fields)

    def request(self, method: str, url: str, fields: Mapping[str, str] | None = None) -> Page:
        """One request, as a script would send it; no redirect is followed."""
        target = urljoin(self.at.url, url)
        body = urlencode(fields or {}).encode() if method == "POST" else b""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
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
