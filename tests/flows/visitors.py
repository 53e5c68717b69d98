"""Browsers at the hosted pages, and the relying parties that send them there."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.errors import InvalidGrant
from authsvc.flows.authorization_codes import s256
from authsvc.model import AuthorizationRequest, BrowserSession, NewBrowserSession, RequestContext, TokenGrant
from tests.flows.conftest import House

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
BROWSER = "B" * 22
SCOPES = ("openid", "invoices:view", "contact:view")


class Portal:
    """A relying party of maple, and what one does with it again and again."""

    def __init__(self, house: House, name: str = "web", **changes: Any) -> None:
        self.house = house
        self.redirect_uri = f"https://{name}.example/in"
        given = {"redirect_uris": (self.redirect_uri,), "permissions": frozenset[str](), **changes}
        self.client, _ = house.new_client(name, **given)

    def asked(self, **changed: Any) -> AuthorizationRequest:
        given: dict[str, Any] = {
            "client": self.client,
            "practice": self.house.practice,
            "redirect_uri": self.redirect_uri,
            "scopes": SCOPES,
            "challenge": s256(VERIFIER),
            "nonce": "n-0S6_WzA2Mj",
        }
        return AuthorizationRequest(**{**given, **changed})

    def code(self, cookie: str, *, fresh: bool = False, **asked: Any) -> str:
        return self.house.service.authorization_codes.for_browser_session(
            page(self.house), self.asked(**asked), cookie, fresh=fresh
        )

    def landed(self, hint: str, browser: str = BROWSER, **asked: Any) -> str:
        """A code for a pressed link."""
        return self.house.service.authorization_codes.for_pending_link(
            page(self.house), self.asked(login_hint=hint, **asked), browser
        )

    def redeem(self, code: str, verifier: str = VERIFIER, redirect_uri: str = "") -> TokenGrant:
        return self.house.service.authorization_codes.redeem(
            self.client, code, redirect_uri or self.redirect_uri, verifier, ""
        )

    def refused(self, code: str, **how: Any) -> str:
        """Why a code gives nothing."""
        with pytest.raises(InvalidGrant) as caught:
            self.redeem(code, **how)
        return caught.value.reason

    def tokens(self, cookie: str, **asked: Any) -> TokenGrant:
        return self.redeem(self.code(cookie, **asked))

    def refresh(self, grant: TokenGrant, scope: str | None = None) -> TokenGrant:
        return self.house.sessions.refresh(self.client, grant.refresh_token or "", scope, "")

    def works(self, grant: TokenGrant) -> bool:
        """Whether a session still stands, by its tokens: both say the same."""
        active = [
            self.house.sessions.introspect(self.client, token, "")["active"]
            for token in (grant.access_token, grant.refresh_token or "")
        ]
        assert active[0] == active[1]
        return bool(active[0])


def page(house: House, **more: Any) -> RequestContext:
    """An act of a browser: no client."""
    return house.service.act(house.practice, **more)


def enter(house: House, email: str = "ann@example.org", before: str = "") -> NewBrowserSession:
    """Sign a browser in with a code."""
    started = house.start(act=page(house), email=email)
    entered = house.service.browser_sessions.verify(page(house), started.challenge, "314159", before)
    assert isinstance(entered, NewBrowserSession)
    return entered


def look(house: House, entered: NewBrowserSession) -> BrowserSession | None:
    return house.service.browser_sessions.get(page(house), entered.cookie)


def here(house: House, entered: NewBrowserSession) -> BrowserSession:
    """The sign-in, which must be there."""
    found = look(house, entered)
    assert found is not None
    return found


def press(house: House, portal: Portal, token: str, browser: str = BROWSER) -> str:
    """Press an instant link; the hint that comes of it."""
    return house.service.authorization_codes.redeem_link(page(house), token, browser, portal.client.id)[0]


def everything(house: House) -> dict[str, bytes]:
    """All of Redis, the trail included."""
    return {key: house.redis.dump(key) for key in house.redis.keys("*")}


def ended_in_feed(house: House, kind: str = "s") -> list[str]:
    """What the feed tells verifiers that has ended: sessions (s), links (l) or tokens (t), oldest first."""
    names = house.redis.zrange("authsvc:{maple}:revocations", 0, -1)
    return [name.partition(":")[2] for name in names if name.startswith(f"{kind}:")]
