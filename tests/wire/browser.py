"""A browser without JavaScript: keeps cookies, fills forms, follows redirects as long as they stay at the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from tests.wire.recorder import Answer, Recorder

REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 8


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)


class Forms(HTMLParser):
    """The forms and links of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[dict[str, str]] = []
        self.resources: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("method", "get").upper(), given.get("action", "")))
        elif tag == "input" and self.forms and "name" in given:
            form = self.forms[-1]
            if given.get("type") in ("radio", "checkbox"):
                form.choices.setdefault(given["name"], []).append(given.get("value", ""))
            else:
                form.fields[given["name"]] = given.get("value", "")
        elif tag == "button" and self.forms:
            self.forms[-1].buttons.append(given)
        elif tag == "a" and "href" in given:
            self.links.append(given)
        if tag in ("link", "script", "img"):
            self.resources += [given[name] for name in ("href", "src") if name in given]


class Browser:
    """One person's browser. Every request is recorded; `at` is the last answer, `url` its address."""

    def __init__(self, recorder: Recorder, address: str, languages: str = "en") -> None:
        self._recorder = recorder
        self.origin = "{0.scheme}://{0.netloc}".format(urlsplit(recorder.deployment.public_url))
        self._base = urlsplit(recorder.deployment.public_url).path
        self._headers = {"X-Forwarded-For": address, "Accept-Language": languages}
        self.cookies: dict[str, str] = {}
        self.url = ""
        self.at = Answer(0, [], b"")
        self.left_to = ""

    @property
    def page(self) -> Forms:
        return Forms(self.at.text)

    def open(self, label: str, address: str, headers: dict[str, str] | None = None) -> Answer:
        return self._go(label, "GET", address, None, headers)

    def submit(
        self, label: str, *, act: str | None = None, headers: dict[str, str] | None = None, **fields: str
    ) -> Answer:
        """Send the form that has these fields, by its button `act` if one is named, else by its first."""
        form, button = self._form(act, fields)
        sent = {**form.fields, **({"act": act} if act else self._value(button)), **fields}
        if form.method == "GET":
            return self._go(label, "GET", f"{form.action}?{urlencode(sent)}", None, headers)
        return self._go(label, "POST", form.action, sent, headers)

    def post(self, label: str, address: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        """A form that no page has shown."""
        return self._go(label, "POST", address, fields, headers)

    def once(self, label: str, method: str, address: str, fields: dict[str, str] | None = None) -> Answer:
        """One request; redirects are not followed, and the page stays."""
        return self._request(label, method, urljoin(self.url or self.origin + "/", self._at_base(address)), fields, {})

    def given(self, name: str) -> str:
        """A member of the query with which the service sent the browser elsewhere."""
        return parse_qs(urlsplit(self.left_to).query)[name][0]

    def _form(self, act: str | None, fields: dict[str, str]) -> tuple[Form, dict[str, str]]:
        for form in self.page.forms:
            names = {*form.fields, *form.choices}
            for button in form.buttons or [{}]:
                wanted = button.get("value") == act if act else set(fields) <= names
                if wanted and (act or not fields or button.get("name") != "act"):
                    return form, button
        raise LookupError(f"no form for {act or sorted(fields)} at {self.url} ({self.at.status})")

    @staticmethod
    def _value(button: dict[str, str]) -> dict[str, str]:
        return {button["name"]: button.get("value", "")} if "name" in button else {}

    def _at_base(self, address: str) -> str:
        return self._base + address if address.startswith("/") and not address.startswith(self._base + "/") else address

    def _go(
        self, label: str, method: str, address: str, fields: dict[str, str] | None, headers: dict[str, str] | None
    ) -> Answer:
        self.left_to = ""
        url = urljoin(self.url or self.origin + "/", self._at_base(address) if not self.url else address)
        answer = self._request(label, method, url, fields, headers or {})
        for _ in range(MOST_REDIRECTS):
            if answer.status not in REDIRECTS:
                break
            url = urljoin(url, answer.header("Location"))
            if not url.startswith(self.origin):
                self.left_to = url
                return answer
            answer = self._request(f"{label}, led on", "GET", url, None, {})
        self.url, self.at = url, answer
        return answer

    def _request(
        self, label: str, method: str, url: str, fields: dict[str, str] | None, headers: dict[str, str]
    ) -> Answer:
        parts = urlsplit(url)
        sent = {**self._headers, **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if method == "POST":
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
            body = urlencode(fields or {}).encode()
        told = {name: self._recorder.values.document(value, name) for name, value in (fields or {}).items()}
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        answer = self._recorder.ask(label, method, target, headers=sent, body=body, told=told if fields else None)
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                self._keep(value)
        return answer

    def _keep(self, cookie: str) -> None:
        pair, _, flags = cookie.partition(";")
        name, _, value = pair.partition("=")
        if "max-age=0" in flags.lower().replace(" ", ""):
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value
