"""What a browser brings along and takes home: four kinds of cookie, and proof that a form is ours.

  authsvc                 the browser's id: forms, waiting sign-ins and pressed links belong to it
  authsvc-{practice}      its sign-in there; without Max-Age, for the server alone decides when it ends
  authsvc-{practice}-{t}  one sign-in that waits for its code, sealed; `t` is also in the address of its page
  authsvc-{practice}.slip what a form of this page was refused for, sealed, until the page has said so

By https each has the prefix `__Host-`, so that no other host of the practice's domain can set it (RFC 6265bis
§4.1.3.2). A name that comes twice was set by somebody else too, for another path: neither is believed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from authsvc.web.endpoint import Environ

if TYPE_CHECKING:
    from authsvc.wiring import Service

NAME = "authsvc"
BROWSER_LIFE_S = 86_400  # begins anew with every form that is shown
PENDING_MOST = 4  # sign-ins that wait in one browser at one practice: that many tabs
PENDING_BYTES = 3072  # of all practices together: many proxies take 8 kB of headers, and others need room too

SLIP = "slip"
SLIP_LIFE_S = 60  # the browser comes for it at once
SLIP_BYTES = 2048  # a longer one is told in the answer to the form itself

PAGE_ID = re.compile(r"[A-Za-z0-9_-]{8}")
_BROWSER = re.compile(r"[A-Za-z0-9_-]{22}")
_SIGN_IN = re.compile(r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}")
_SEALED = re.compile(r"v1\.[A-Za-z0-9_-]{64,4096}")


@dataclass(frozen=True)
class Browser:
    """One browser, at one practice. `id` is a new one where it brought none; `cookies` are to be sent with every form,
    so that it keeps the id. `sign_in` is the cookie of its sign-in, or empty."""

    id: str
    sign_in: str
    cookies: list[str]
    jar: Mapping[str, str] = field(default_factory=dict, repr=False)


class BrowserCookies:
    """Reads and writes cookies."""

    def __init__(self, service: Service) -> None:
        self._sealing = service.cookies
        self._clock = service.clock
        self._life_s = service.settings.challenge_life_s
        self._origin = service.settings.origin
        secure = urlsplit(service.settings.public_url).scheme == "https"
        # Without https (development) a browser would refuse the prefix, and perhaps the cookie.
        self._name = f"__Host-{NAME}" if secure else NAME
        self._flags = "; Path=/; HttpOnly; SameSite=Lax" + "; Secure" * secure
        self._pending = re.compile(rf"{re.escape(self._name)}-(?P<practice>.+)-(?P<page>{PAGE_ID.pattern})")

    def of(self, environ: Environ, practice_id: str) -> Browser:
        """The browser that asks."""
        jar = self._jar(environ)
        known = _shaped(_BROWSER, jar.get(self._name, ""))
        browser_id = known or self._sealing.browser_id()
        cookie = self._set(self._name, browser_id, BROWSER_LIFE_S)
        sign_in = _shaped(_SIGN_IN, jar.get(f"{self._name}-{practice_id}", ""))
        return Browser(browser_id, sign_in, [cookie], jar)

    # --- forms ------------------------------------------------------------------------------------------------------

    def form_token(self, browser: Browser, practice_id: str, *, anyone: bool = False) -> str:
        """What a form repeats. `anyone`: it isn't about who is signed in, so that a second click still counts when the
        first one has just signed in. Raises Unavailable."""
        return self._sealing.form_token(browser.id, practice_id, "" if anyone else browser.sign_in)

    def meant(self, environ: Environ, practice_id: str, form: Mapping[str, str], *, anyone: bool = False) -> bool:
        """Whether this very browser was shown the form that it sends. Raises Unavailable.

        What browsers say of where it stood must agree too. (By our own Referrer-Policy `Origin` is mostly "null".)
        """
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
            return False
        if environ.get("HTTP_ORIGIN", "null") not in ("null", self._origin):
            return False
        browser = self.of(environ, practice_id)
        signed_in = "" if anyone else browser.sign_in
        return self._sealing.is_ours(form.get("csrf", ""), browser.id, practice_id, signed_in)

    # --- sign-ins ---------------------------------------------------------------------------------------------------

    def keep_sign_in(self, practice_id: str, cookie: str) -> str:
        return self._set(f"{self._name}-{practice_id}", cookie)

    def forget_sign_in(self, practice_id: str) -> str:
        return self._set(f"{self._name}-{practice_id}", "", 0)

    # --- sign-ins that wait -----------------------------------------------------------------------------------------

    def new_page(self) -> str:
        return self._sealing.page_id()

    def pending(self, browser: Browser, practice_id: str, page: str) -> dict[str, Any] | None:
        """What was kept for this page; None where there is nothing, or nothing of this browser's, or it is too old."""
        sealed = _shaped(_SEALED, browser.jar.get(f"{self._name}-{practice_id}-{page}", ""))
        kept = self._sealing.open(practice_id, browser.id, page, sealed) if sealed else None
        if kept is None or kept["at"] + self._life_s * 1000 <= self._clock.now_ms():
            return None
        return kept

    def keep_pending(self, browser: Browser, practice_id: str, page: str, fields: Mapping[str, Any]) -> list[str]:
        """The cookies to set: this one, and an end to the oldest of those there are too many of."""
        name = f"{self._name}-{practice_id}-{page}"
        kept = {"at": self._clock.now_ms(), **fields}
        fresh = self._set(name, self._sealing.seal(practice_id, browser.id, page, kept), self._life_s)
        waiting = sorted(self._waiting(browser, name), reverse=True)
        ended, here, used_bytes = [], 1, len(fresh)
        for _, other, at_practice in waiting:  # the newest first
            here += at_practice == practice_id
            used_bytes += len(other) + len(browser.jar[other])
            if used_bytes > PENDING_BYTES or (at_practice == practice_id and here > PENDING_MOST):
                ended.append(self._set(other, "", 0))
        return [fresh, *ended]

    def forget_pending(self, practice_id: str, page: str) -> str:
        return self._set(f"{self._name}-{practice_id}-{page}", "", 0)

    # --- slips ------------------------------------------------------------------------------------------------------

    def keep_slip(self, browser: Browser, practice_id: str, path: str, fields: Mapping[str, Any]) -> str:
        """The cookie with which the page at `path` says, when it is loaded again, what was wrong; empty if too long."""
        kept = {"at": self._clock.now_ms(), **fields}
        sealed = self._sealing.seal(practice_id, browser.id, SLIP + path, kept)
        return self._set(self._slip(practice_id), sealed, SLIP_LIFE_S) if len(sealed) <= SLIP_BYTES else ""

    def slip(self, browser: Browser, practice_id: str, path: str) -> dict[str, Any] | None:
        """What this browser's last form on this page was refused for, if the page hasn't said so yet."""
        sealed = _shaped(_SEALED, browser.jar.get(self._slip(practice_id), ""))
        kept = self._sealing.open(practice_id, browser.id, SLIP + path, sealed) if sealed else None
        fresh = kept is not None and kept["at"] + SLIP_LIFE_S * 1000 > self._clock.now_ms()
        return kept if fresh else None

    def forget_slip(self, practice_id: str) -> str:
        return self._set(self._slip(practice_id), "", 0)

    def _slip(self, practice_id: str) -> str:
        """A dot is in no practice's id, so this is nobody's sign-in."""
        return f"{self._name}-{practice_id}.{SLIP}"

    def _waiting(self, browser: Browser, but: str) -> list[tuple[int, str, str]]:
        """(since when, name of the cookie, practice) of all that waits. What doesn't open is as old as can be."""
        found = []
        for name, value in browser.jar.items():
            named = self._pending.fullmatch(name)
            # The name alone may be that of a sign-in at a practice called so; the values can't be mistaken.
            if named and name != but and _shaped(_SEALED, value):
                kept = self._sealing.open(named["practice"], browser.id, named["page"], value)
                found.append((kept["at"] if kept else 0, name, named["practice"]))
        return found

    # --- cookies ----------------------------------------------------------------------------------------------------

    def _jar(self, environ: Environ) -> dict[str, str]:
        """Our cookies by name; a name that came twice isn't among them."""
        jar: dict[str, str] = {}
        twice = set()
        for part in str(environ.get("HTTP_COOKIE", "")).split(";"):
            name, _, value = part.strip(" \t").partition("=")
            if name == self._name or name.startswith(self._name + "-"):
                if name in jar:
                    twice.add(name)
                jar[name] = value
        return {name: value for name, value in jar.items() if name not in twice}

    def _set(self, name: str, value: str, life_s: int | None = None) -> str:
        """A whole Set-Cookie. Values are base64url and dots: nothing to quote."""
        age = "" if life_s is None else f"; Max-Age={life_s}"
        return f"{name}={value}{self._flags}{age}"


def _shaped(shape: re.Pattern[str], value: str) -> str:
    """The value, if it has the shape of what we give out; else nothing."""
    return value if shape.fullmatch(value) else ""
