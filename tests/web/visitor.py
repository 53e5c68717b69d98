"""Somebody with a browser at the hosted pages, which keeps cookies; and what a page shows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from flask import Response
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.conftest import Web

SIGN_IN = "/p/maple/sign-in"
CODE = "314159"


@dataclass
class Form:
    """One form of a page: hidden and visible fields as they stand, and the values of its buttons."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    acts: list[str] = field(default_factory=list)


class ShownPage(HTMLParser):
    """What a browser makes of an answer: what it shows and where it leads."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.status = answer.status_code
        self.headers = answer.headers
        self.html = answer.get_data(as_text=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self._texts: list[str] = []
        self.feed(self.html)
        self.text = " ".join("".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        match tag:
            case "form":
                self.forms.append(Form(attributes["action"]))
            case "input" if attributes.get("type") != "radio":
                self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")
            case "button":
                self.forms[-1].acts.append(attributes.get("value", ""))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """The attributes of each element with this tag and these attributes."""
        return [
            attributes for name, attributes in self.elements if name == tag and wanted.items() <= attributes.items()
        ]

    def buttons(self) -> list[str]:
        return [re.sub(r"<[^>]*>.*", "", text) for text in re.findall(r"<button[^>]*>(.*?)</button>", self.html)]

    @property
    def addresses(self) -> list[str]:
        return [
            attributes[name]
            for _, attributes in self.elements
            for name in ("href", "src", "action")
            if name in attributes
        ]

    @property
    def scripts(self) -> list[str]:
        return [attributes.get("src", "inline") for attributes in self.all("script")]

    @property
    def inline(self) -> int:
        """How many elements have style or script of their own."""
        return sum(
            tag == "style" or any(name.startswith("on") or name == "style" for name in attributes)
            for tag, attributes in self.elements
        )

    @property
    def language(self) -> str:
        return self.all("html")[0]["lang"]

    @property
    def acts(self) -> list[str]:
        return [act for form in self.forms for act in form.acts]

    @property
    def csrf(self) -> str:
        return self.forms[0].fields["csrf"]

    def form(self, act: str = "") -> Form:
        """The form with this button."""
        return next(form for form in self.forms if act in form.acts)


class Visitor:
    """One browser."""

    def __init__(self, web: Web, **headers: str) -> None:
        self.web = web
        self.headers = headers
        self.client: FlaskClient = web.public.application.test_client()

    def open(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {**self.headers, **more.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **more)

    def page(self, path: str) -> ShownPage:
        return ShownPage(self.open("GET", path))

    def press(self, path: str, act: str = "", page: ShownPage | None = None, **typed: str) -> TestResponse:
        """Load the page (unless it is given), fill in, press the button `act`."""
        form = (page or self.page(path)).form(act)
        fields = {**form.fields, **typed} | ({"act": act} if act else {})
        return self.post(path if form.action.startswith("?") else form.action, fields)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> TestResponse:
        """Send a form; where the page itself is to say what was wrong, what it says then."""
        said = {"Sec-Fetch-Site": "same-origin", "Origin": "null", **headers}
        answer = self.open("POST", path, data=fields, headers=said)
        if any(".slip=v1." in cookie for cookie in answer.headers.getlist("Set-Cookie")):
            assert answer.status_code == 303
            assert answer.headers["Location"].partition("?")[0] == path.partition("?")[0]
            return self.open("GET", answer.headers["Location"])
        return answer

    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.client._cookies.values()}

    def plant(self, name: str, value: str) -> None:
        self.client.set_cookie(name, value)

    # --- the way in -----------------------------------------------------------------------------------------------

    def ask(self, email: str = "ann@example.org", query: str = "", code: str = CODE) -> str:
        """Ask for a code that is known to the test; the path of the page where it is typed."""
        self.web.entropy.next_below(int(code))
        answer = self.press(f"{SIGN_IN}?{query}", email=email)
        assert answer.status_code == 303, answer.get_data(as_text=True)
        return answer.headers["Location"]

    def sign_in(self, email: str = "ann@example.org", query: str = "") -> TestResponse:
        """The whole way; the answer that signs in."""
        answer = self.press(self.ask(email, query), code=CODE)
        assert answer.status_code == 303, answer.get_data(as_text=True)
        return answer

    @property
    def signed_in(self) -> bool:
        return bool(self.open("GET", "/p/maple/session/state").json["signed_in"])


def everything(web: Web) -> dict[str, Any]:
    """All that is kept, but for the trail and the mark that a link was opened."""
    return {key: web.redis.dump(key) for key in web.redis.keys("*") if ":audit" not in key and ":opened:" not in key}
