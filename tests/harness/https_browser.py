"""A patient's browser by https: the simple browser of tests/harness/browsing.py, with what only matters across sites.

Cookies belong to the host that set them and end when told to; a POST says where it came from (`null` where the page
asks for no referrer, as browsers do); redirects may be a relying party's 302s, but what follows a form is a 303. Each
browser comes from a network of its own, so that none meets the limits of another.
"""

from __future__ import annotations

import http.client
import itertools
import ssl
from collections.abc import Mapping
from email.message import Message
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import Request

from tests.harness.browsing import Answer, Browser, Page, Transport

REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 10
_NETWORKS = itertools.count(2)


class HttpsBrowser(Browser):
    """`ca`: the authority that it trusts. The address of every request is this machine, whatever its name."""

    def __init__(self, ca: Path) -> None:
        number = next(_NETWORKS)
        tls = ssl.create_default_context(cafile=str(ca))
        super().__init__(_transport(tls, f"127.0.{number // 250}.{number % 250}"))
        self.jar = CookieJar()

    def request(
        self,
        method: str,
        url: str,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """One request, with these headers in place of a browser's own; no redirect is followed."""
        target = urljoin(self.at.url, url)
        asked = Request(target, method=method)
        self.jar.add_cookie_header(asked)
        sent = {"Accept": "text/html, */*;q=0.8", **dict(asked.header_items()), **(headers or {})}
        body = b""
        if method == "POST":
            body = urlencode(fields or {}).encode()
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": self._origin()}
        page = Page(target, self._transport(method, target, sent, body), method)
        self.jar.extract_cookies(_Received(page.headers), asked)  # type: ignore[arg-type]  # all that it asks for
        self.seen.append(page)
        return page

    def _go(self, method: str, url: str, fields: Mapping[str, str]) -> Page:
        if method == "GET" and fields:
            url = f"{url}?{urlencode(fields)}"
        page = self.request(method, url, fields)
        for _ in range(MOST_REDIRECTS):
            onward = _onward(page)
            if not onward:
                self.at = page
                return page
            page = self.request("GET", urljoin(page.url, onward))
        raise AssertionError(f"{MOST_REDIRECTS} redirects and no page: {page.url}")

    def _origin(self) -> str:
        parts = urlsplit(self.at.url)
        return "null" if self.at.header("Referrer-Policy") == "no-referrer" else f"{parts.scheme}://{parts.netloc}"


def _onward(page: Page) -> str:
    """Where an answer sends the browser, by its status or by a page that leaves at once; empty: it stays."""
    if page.status in REDIRECTS:
        assert page.status == 303 or (page.status, page.method) == (302, "GET"), (page.url, page.status)
        return page.header("Location")
    leaving = [given["content"] for tag, given in page.elements if tag == "meta" and _is_refresh(given)]
    return leaving[0].partition("url=")[2] if leaving else ""


def _is_refresh(given: Mapping[str, str]) -> bool:
    return given.get("http-equiv") == "refresh" and given["content"].startswith("0;")


class _Received:
    """An answer's headers, as http.cookiejar wants to be shown them."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        self._message = Message()
        for name, value in headers:
            self._message[name] = value

    def info(self) -> Message:
        return self._message


def _transport(tls: ssl.SSLContext, address: str) -> Transport:
    """Requests over real connections, one each, from this address."""

    def send(method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(url)
        assert parts.scheme == "https", url
        line = http.client.HTTPSConnection(
            "localhost", parts.port, timeout=30, context=tls, source_address=(address, 0)
        )
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            line.request(method, target, body or None, {"Host": parts.netloc, **headers})
            answer = line.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            line.close()

    return send
