"""A browser of the simplest kind: cookies, forms, one request at a time; no JavaScript, no redirect is followed."""

from __future__ import annotations

import html
import re
from urllib.parse import urlencode, urlsplit

from tests.resilience.http_caller import Answer, call


class Browser:
    def __init__(self, url: str, **headers: str) -> None:
        self.url, self.headers = url, {name.replace("_", "-"): value for name, value in headers.items()}
        self.cookies: dict[str, str] = {}
        self.at = Answer(0)
        self.path = ""

    def request(self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str) -> Answer:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Accept"] = "text/html"
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if fields is not None:
            body = urlencode(fields).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        parts = urlsplit(path)
        self.path = parts.path + (f"?{parts.query}" if parts.query else "")
        self.at = call(method, self.url + self.path, sent, body)
        for name, value in self.at.headers:
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
                if "Max-Age=0" in value:
                    del self.cookies[key]
        return self.at

    def open(self, path: str) -> Answer:
        """A GET, and the redirects within this host that follow it."""
        answer = self.request("GET", path)
        for _ in range(5):
            where = answer.header("Location")
            if answer.status not in (302, 303) or not where.startswith(("/", self.url)):
                break
            answer = self.request("GET", where)
        return answer

    def fields(self) -> dict[str, str]:
        """The inputs of the first form of the page at hand."""
        form = self.at.body.decode(errors="replace").partition("<form")[2].partition("</form>")[0]
        found = {}
        for tag in re.findall(r"<input[^>]*>", form):
            name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
            if name and 'type="radio"' not in tag:
                found[name.group(1)] = html.unescape(value.group(1)) if value else ""
        return found

    def submit(self, **fields: str) -> Answer:
        """The first form of the page at hand, with these fields."""
        path = self.path
        answer = self.request("POST", path, self.fields() | fields)
        where = answer.header("Location")
        if answer.status in (302, 303) and where.startswith("/"):
            return self.open(where)
        return answer

    @property
    def text(self) -> str:
        return self.at.body.decode(errors="replace")
