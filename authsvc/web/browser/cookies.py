"""The cookies of the hosted pages, and the proof that a form came from a page of ours (CSRF token).

  authsvc                 the browser's id: forms, pending sign-ins and opened links belong to it
  authsvc-{practice}      its session there; without Max-Age, for the server alone decides when it ends
  authsvc-{practice}-{p}  a sign-in that waits for its code, sealed; `p` is also in the address of its page
  authsvc-{practice}.slip the flash: what a form of this page was refused for, sealed, until the page has shown it

By https each has the prefix `__Host-`, so that no other host of the practice's domain can set it (RFC 6265bis
§4.1.3.2). A name that comes twice was set by somebody else too, for another path: neither is believed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Response, g, request
from werkzeug.http import dump_cookie

if TYPE_CHECKING:
    from authsvc.wiring import Service

NAME = "authsvc"
BROWSER_LIFE_S = 86_400  # begins anew with every form that is shown
MAX_PENDING = 4  # sign-ins that wait in one browser at one practice: that many tabs
PENDING_BYTES = 3072  # of all practices together: many proxies take 8 kB of headers, and others need room too

FLASH_SUFFIX = ".slip"  # a dot is in no practice's id, so this is nobody's session
FLASH_LIFE_S = 60  # the browser follows the redirect at once
FLASH_BYTES = 2048  # a longer one is shown in the answer to the form itself

PAGE_ID = re.compile(r"[A-Za-z0-9_-]{8}")
_BROWSER = re.compile(r"[A-Za-z0-9_-]{22}")
_SESSION = re.compile(r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}")
_SEALED = re.compile(r"v1\.[A-Za-z0-9_-]{64,4096}")


@dataclass(frozen=True)
class Browser:
    """One browser, at one practice. `id` is a new one where it sent none; `session` is the cookie of its session, or
    empty; `cookies` are all of ours by name."""

    id: str
    session: str
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)


class BrowserCookies:
    """Reads the cookies of the current request, and sets them on responses."""

    def __init__(self, service: Service) -> None:
        self._sealing = service.cookies
        self._clock = service.clock
        self._pending_life_s = service.settings.challenge_life_s
        self._origin = service.settings.origin
        self._secure = urlsplit(service.settings.public_url).scheme == "https"
        # Without https (development) a browser would refuse the prefix, and perhaps the cookie.
        self._name = f"__Host-{NAME}" if self._secure else NAME
        self._pending_name = re.compile(rf"{re.escape(self._name)}-(?P<practice>.+)-(?P<page>{PAGE_ID.pattern})")

    def browser(self, practice_id: str) -> Browser:
        """The browser that sends this request."""
        sent = request.cookies.to_dict(flat=False)
        ours = {name for name in sent if name == self._name or name.startswith(self._name + "-")}
        cookies = {name: sent[name][0] for name in ours if len(sent[name]) == 1}
        browser_id = _matching(_BROWSER, cookies.get(self._name, "")) or g.setdefault(
            "browser_id", self._sealing.browser_id()
        )
        return Browser(browser_id, _matching(_SESSION, cookies.get(f"{self._name}-{practice_id}", "")), cookies)

    def practices(self) -> list[str]:
        """The ids of those at which this browser may be signed in; by name alone, so some may be none."""
        prefix = f"{self._name}-"
        return sorted(name.removeprefix(prefix) for name in request.cookies if name.startswith(prefix))

    def set_browser(self, response: Response, browser: Browser) -> None:
        """Goes with every form, so that the browser keeps its id."""
        self._set(response, self._name, browser.id, BROWSER_LIFE_S)

    # --- forms ------------------------------------------------------------------------------------------------------

    def csrf_token(self, browser: Browser, practice_id: str, *, session_bound: bool) -> str:
        """What a form repeats. Without `session_bound` it isn't about who is signed in, so that a second click still
        counts when the first one has just signed in. Raises Unavailable."""
        return self._sealing.form_token(browser.id, practice_id, browser.session if session_bound else "")

    def is_own_form(self, practice_id: str, form: Mapping[str, str], *, session_bound: bool = True) -> bool:
        """Whether this very browser was shown the form that it sends. Raises Unavailable.

        What browsers say of the form's site must agree too. (By our own Referrer-Policy `Origin` is mostly "null".)
        """
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return False
        if request.headers.get("Origin", "null") not in ("null", self._origin):
            return False
        browser = self.browser(practice_id)
        session = browser.session if session_bound else ""
        return self._sealing.is_ours(form.get("csrf", ""), browser.id, practice_id, session)

    # --- sessions ---------------------------------------------------------------------------------------------------

    def set_session(self, response: Response, practice_id: str, cookie: str) -> None:
        self._set(response, f"{self._name}-{practice_id}", cookie)

    def delete_session(self, response: Response, practice_id: str) -> None:
        self._set(response, f"{self._name}-{practice_id}", "", 0)

    # --- pending sign-ins -------------------------------------------------------------------------------------------

    def new_page_id(self) -> str:
        return self._sealing.page_id()

    def pending(self, browser: Browser, practice_id: str, page_id: str) -> dict[str, Any] | None:
        """What was saved for this page; None where there is nothing, or nothing of this browser's, or it is too old."""
        name = f"{self._name}-{practice_id}-{page_id}"
        return self._open(browser, practice_id, page_id, name, self._pending_life_s)

    def set_pending(
        self, response: Response, browser: Browser, practice_id: str, page_id: str, fields: Mapping[str, Any]
    ) -> None:
        """Save this one, and delete the oldest of those that are too many."""
        name = f"{self._name}-{practice_id}-{page_id}"
        sealed = self._seal(browser, practice_id, page_id, fields)
        self._set(response, name, sealed, self._pending_life_s)
        here, used_bytes = 1, len(name) + len(sealed)
        for _, other, at_practice in sorted(self._pending(browser, name), reverse=True):  # the newest first
            here += at_practice == practice_id
            used_bytes += len(other) + len(browser.cookies[other])
            if used_bytes > PENDING_BYTES or (at_practice == practice_id and here > MAX_PENDING):
                self._set(response, other, "", 0)

    def delete_pending(self, response: Response, practice_id: str, page_id: str) -> None:
        self._set(response, f"{self._name}-{practice_id}-{page_id}", "", 0)

    def _pending(self, browser: Browser, except_name: str) -> list[tuple[int, str, str]]:
        """(since when, name of the cookie, practice) of all pending ones. One that doesn't open counts as oldest."""
        found = []
        for name, value in browser.cookies.items():
            match = self._pending_name.fullmatch(name)
            # The name alone may be that of a session at a practice called so; the values can't be mistaken.
            if match and name != except_name and _matching(_SEALED, value):
                fields = self._sealing.open(match["practice"], browser.id, match["page"], value)
                found.append((fields["at"] if fields else 0, name, match["practice"]))
        return found

    # --- flash ------------------------------------------------------------------------------------------------------

    def set_flash(
        self, response: Response, browser: Browser, practice_id: str, path: str, fields: Mapping[str, Any]
    ) -> bool:
        """Save what the page at `path` shows when it is loaded again. False, and nothing saved, if it is too long."""
        sealed = self._seal(browser, practice_id, _flash_id(path), fields)
        if len(sealed) > FLASH_BYTES:
            return False
        self._set(response, self._flash_name(practice_id), sealed, FLASH_LIFE_S)
        return True

    def flash(self, browser: Browser, practice_id: str, path: str) -> dict[str, Any] | None:
        """What this page was to show to this browser, and hasn't shown yet."""
        return self._open(browser, practice_id, _flash_id(path), self._flash_name(practice_id), FLASH_LIFE_S)

    def delete_flash(self, response: Response, practice_id: str) -> None:
        self._set(response, self._flash_name(practice_id), "", 0)

    def _flash_name(self, practice_id: str) -> str:
        return f"{self._name}-{practice_id}{FLASH_SUFFIX}"

    # --- cookies ----------------------------------------------------------------------------------------------------

    def _seal(self, browser: Browser, practice_id: str, page_id: str, fields: Mapping[str, Any]) -> str:
        return self._sealing.seal(practice_id, browser.id, page_id, {"at": self._clock.now_ms(), **fields})

    def _open(self, browser: Browser, practice_id: str, page_id: str, name: str, life_s: int) -> dict[str, Any] | None:
        sealed = _matching(_SEALED, browser.cookies.get(name, ""))
        fields = self._sealing.open(practice_id, browser.id, page_id, sealed) if sealed else None
        fresh = fields is not None and fields["at"] + life_s * 1000 > self._clock.now_ms()
        return fields if fresh else None

    def _set(self, response: Response, name: str, value: str, life_s: int | None = None) -> None:
        cookie = dump_cookie(
            name,
            value,
            max_age=life_s,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Lax",
            sync_expires=False,  # Max-Age alone: it needs no clock that agrees with ours
        )
        response.headers.add("Set-Cookie", cookie)


def _flash_id(path: str) -> str:
    """No page's id is that long."""
    return "flash" + path


def _matching(pattern: re.Pattern[str], value: str) -> str:
    """The value, if it has the form of what we set; else nothing."""
    return value if pattern.fullmatch(value) else ""
