"""A relying party as the tests play it: its requests, its verifier, and a browser that is signed in or has pressed."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from werkzeug.test import TestResponse

from authsvc.model import NewBrowserSession
from tests.web.conftest import Web

CALLBACK = "https://portal.maple.example/signed-in"
GOODBYE = "https://portal.maple.example/goodbye"
OPEN = "https://portal.maple.example/open"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
BROWSER = "authsvc"
SCOPE = "openid invoices:view invoice:view invoice:pay"


@dataclass
class Party:
    """The client `app` of maple."""

    web: Web
    name: str = "app"
    secret: str = ""
    callback: str = CALLBACK

    def query(self, **changes: str | None) -> str:
        """An authorization request; None leaves a parameter out."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.name,
            "redirect_uri": self.callback,
            "scope": SCOPE,
            "state": "st4te",
            "nonce": "n0nce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return urlencode({name: value for name, value in asked.items() if value is not None})

    def authorize(self, **changes: str | None) -> TestResponse:
        return self.web.bare("GET", f"/oauth2/authorize?{self.query(**changes)}")

    def redeem(self, code: str = "", **changes: str | None) -> TestResponse:
        sent: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.callback,
            "code_verifier": VERIFIER,
            **changes,
        }
        basic = base64.b64encode(f"{self.name}:{self.secret}".encode()).decode()
        form = {name: value for name, value in sent.items() if value is not None}
        return self.web.bare("POST", "/oauth2/token", data=form, headers={"Authorization": f"Basic {basic}"})

    def tokens(self, **changes: str | None) -> dict[str, Any]:
        """What a browser that is signed in brings this client."""
        answer = self.redeem(code_of(self.authorize(**changes)))
        assert answer.status_code == 200, answer.json
        return dict(answer.json)


def party(web: Web, name: str = "app", callback: str = CALLBACK, **more: Any) -> Party:
    _, secret = web.harness.new_client(
        name,
        permissions=frozenset(),
        redirect_uris=(callback,),
        post_logout_uris=(GOODBYE,),
        **{"initiate_login_uri": OPEN, **more},
    )
    return Party(web, name, secret, callback)


def sign_in(web: Web, email: str = "ann@example.org", before: str = "") -> NewBrowserSession:
    """A sign-in at the hosted pages, its cookie in the test's browser."""
    act = web.service.act(web.harness.practice)
    web.entropy.next_below(271828)
    started = web.service.codes.start(act, email=email)
    entered = web.service.browser_sessions.verify(
        web.service.act(web.harness.practice), started.challenge, "271828", before
    )
    assert isinstance(entered, NewBrowserSession)
    web.public.set_cookie("authsvc-maple", entered.cookie)
    return entered


def press(web: Web, browser: str = "B" * 22, **link: Any) -> str:
    """A pressed instant link; the hint that its client is given."""
    web.public.set_cookie(BROWSER, browser)
    act = web.service.act(web.harness.practice)
    return web.service.authorization_codes.redeem_link(act, web.link(**link), browser, "app")[0]


def sent_to(answer: TestResponse) -> tuple[str, dict[str, str]]:
    """Where a redirect goes, and what its query says."""
    assert answer.status_code == 303, answer.get_data(as_text=True)
    parts = urlsplit(answer.headers["Location"])
    where = f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else parts.path
    return where, dict(parse_qsl(parts.query, keep_blank_values=True))


def code_of(answer: TestResponse) -> str:
    where, said = sent_to(answer)
    assert "code" in said, (where, said)
    return said["code"]


def claims(token: str) -> dict[str, Any]:
    """What a JWT says, unchecked: the checking is done elsewhere."""
    payload = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
