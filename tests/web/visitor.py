"""Somebody with a browser at the hosted pages, which keeps cookies; and what a page shows."""

from __future__ import annotations

import re
from typing import Any

from flask import Response
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.harness.html import HtmlPage
from tests.web.conftest import Web

SIGN_IN = "/p/maple/sign-in"
CODE = "314159"


class ShownPage(HtmlPage):
    """What a browser makes of an answer: what it shows and where it leads."""

    def __init__(self, answer: Response) -> None:
        self.status, self.headers = answer.status_code, answer.headers
        super().__init__(answer.get_data(as_text=True))

    @property
    def labels(self) -> list[str]:
        """What its buttons say, up to words that only screen readers hear."""
        return [re.sub(r"<[^>]*>.*", "", words) for words in re.findall(r"<button[^>]*>(.*?)</button>", self.html)]

    @property
    def acts(self) -> list[str]:
        """The values of its buttons."""
        return [button.value for button in self.buttons]


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
        form = (page or self.page(path)).form_with(act)
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
