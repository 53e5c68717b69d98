"""Browsers at the hosted pages, and the relying parties that send them there."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.errors import InvalidGrant
from authsvc.flows.authorization_codes import s256
from authsvc.model import AuthorizationRequest, BrowserSession, NewBrowserSession, RequestContext, TokenGrant
from tests.flows.conftest import Harness

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
BROWSER = "B" * 22
SCOPES = ("openid", "invoices:view", "contact:view")


class Portal:
    """A relying party of maple, and what one does with it again and again."""

    def __init__(self, harness: Harness, name: str = "web", **changes: Any) -> None:
        self.harness = harness
        self.redirect_uri = f"https://{name}.example/in"
        given = {"redirect_uris": (self.redirect_uri,), "permissions": frozenset[str](), **changes}
        self.client, _ = harness.new_client(name, **given)

    def asked(self, **changed: Any) -> AuthorizationRequest:
        given: dict[str, Any] = {
            "client": self.client,
            "practice": self.harness.practice,
            "redirect_uri": self.redirect_uri,
            "scopes": SCOPES,
            "challenge": s256(VERIFIER),
            "nonce": "n-0S6_WzA2Mj",
        }
        return AuthorizationRequest(**{**given, **changed})

    def code(self, cookie: str, *, fresh: bool = False, **asked: Any) -> str:
        return self.harness.service.authorization_codes.for_browser_session(
            page(self.harness), self.asked(**asked), cookie, fresh=fresh
        )

    def landed(self, hint: str, browser: str = BROWSER, **asked: Any) -> str:
        """A code for a pressed link."""
        return self.harness.service.authorization_codes.for_pending_link(
            page(self.harness), self.asked(login_hint=hint, **asked), browser
        )

    def redeem(self, code: str, verifier: str = VERIFIER, redirect_uri: str = "") -> TokenGrant:
        return self.harness.service.authorization_codes.redeem(
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
        return self.harness.sessions.refresh(self.client, grant.refresh_token or "", scope, "")

    def works(self, grant: TokenGrant) -> bool:
        """Whether a session still stands, by its tokens: both say the same."""
        active = [
            self.harness.sessions.introspect(self.client, token, "")["active"]
            for token in (grant.access_token, grant.refresh_token or "")
        ]
        assert active[0] == active[1]
        return bool(active[0])


def page(harness: Harness, **more: Any) -> RequestContext:
    """An act of a browser: no client."""
    return harness.service.act(harness.practice, **more)


def enter(harness: Harness, email: str = "ann@example.org", before: str = "") -> NewBrowserSession:
    """Sign a browser in with a code."""
    started = harness.start(act=page(harness), email=email)
    browser_session = harness.service.browser_sessions.verify(page(harness), started.challenge, "314159", before)
    assert isinstance(browser_session, NewBrowserSession)
    return browser_session


def look(harness: Harness, browser_session: NewBrowserSession) -> BrowserSession | None:
    return harness.service.browser_sessions.get(page(harness), browser_session.cookie)


def here(harness: Harness, browser_session: NewBrowserSession) -> BrowserSession:
    """The sign-in, which must be there."""
    found = look(harness, browser_session)
    assert found is not None
    return found


def press(harness: Harness, portal: Portal, token: str, browser: str = BROWSER) -> str:
    """Press an instant link; the hint that comes of it."""
    return harness.service.authorization_codes.redeem_link(page(harness), token, browser, portal.client.id)[0]


def everything(harness: Harness) -> dict[str, bytes]:
    """All of Redis, the trail included."""
    return {key: harness.redis.dump(key) for key in harness.redis.keys("*")}


def ended_in_feed(harness: Harness, kind: str = "s") -> list[str]:
    """What the feed tells verifiers that has ended: sessions (s), links (l) or tokens (t), oldest first."""
    names = harness.redis.zrange("authsvc:{maple}:revocations", 0, -1)
    return [name.partition(":")[2] for name in names if name.startswith(f"{kind}:")]
