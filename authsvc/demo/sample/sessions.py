"""What one browser holds here: a cookie with 256 random bits, and behind it, on the server only, its tokens.

Its tokens never lie in the browser. Until something is to be kept (a form, a sign-in) the cookie is only a random
number, from which the CSRF token of every form is derived, so whoever only looks around leaves no trace. The cookie's
value changes whenever its power grows (sign-in, a link pressed), which ends session fixation.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import Flask, Response, abort, g, request

LIFE_S = 12 * 3600  # as long as authsvc keeps a session at most
MOST_VISITS = 10_000  # the oldest go first; a demo's bound on memory
COOKIE_CHARS = 43
WITHOUT_BROWSER = frozenset({"signin.ended"})  # POSTs that come from authsvc, which has no form of ours


@dataclass
class Grant:
    """Tokens from authsvc, when they came and when they end (by our own monotonic clock)."""

    access_token: str
    began: float
    ends: float
    patient: str
    refresh_token: str  # empty for a link's
    id_token: str
    sid: str  # authsvc's name of the session; empty for a link's


@dataclass(frozen=True)
class Slip:
    """Why a form was refused, a sentence a field, and what was typed into it."""

    wrong: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """A page that is an answer by itself: its template, what goes into it, status and headers."""

    template: str
    values: Mapping[str, object]
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Visit:
    """Everything we know of one browser."""

    instant: dict[str, Grant] = field(default_factory=dict)  # by resource, or by workflow where there is none
    portal: Grant | None = None
    notice: str = ""
    slips: dict[str, Slip] = field(default_factory=dict)  # by the address of the form's page, which shows it once
    said: Said | None = None  # the last answer to a form that had no page of its own
    lock: threading.Lock = field(default_factory=threading.Lock)


class Visits:
    """The store of visits, and the cookie that names them."""

    def __init__(self, https: bool) -> None:
        self.cookie = "__Host-visit" if https else "visit"
        self._https = https
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Visit]] = OrderedDict()

    def attach(self, app: Flask) -> None:
        """Every request gets its visit; every POST must carry the visit's CSRF token."""
        app.before_request(self._open)
        app.after_request(self._close)
        app.jinja_env.globals.update(csrf=self.csrf, once=lambda: secrets.token_urlsafe(16))

    def csrf(self) -> str:
        return hmac.new(self._key, g.visit_id.encode(), hashlib.sha256).hexdigest()

    def renew(self) -> None:
        """A new cookie value for the same visit: whoever knew the old one holds nothing."""
        with self._lock:
            self._kept.pop(g.visit_id, None)
        g.visit_id = secrets.token_urlsafe(32)
        self._keep()

    def forget(self) -> None:
        """Sign-out: an empty visit under a new name."""
        g.visit = Visit()
        self.renew()

    def end(self, sid: str) -> None:
        """authsvc has ended this session: whichever browser held it is signed out."""
        with self._lock:
            holding = [kept for _, kept in self._kept.values() if kept.portal and kept.portal.sid == sid]
        for held in holding:
            with held.lock:  # should it be renewing just now, what that brings is of this session too
                if held.portal and held.portal.sid == sid:
                    held.portal = None

    def _open(self) -> None:
        sent = request.cookies.get(self.cookie, "")
        g.visit_id = sent if len(sent) == COOKIE_CHARS and sent.isascii() else secrets.token_urlsafe(32)
        with self._lock:
            since, visit = self._kept.get(g.visit_id, (0.0, Visit()))
        g.visit = visit if time.monotonic() - since < LIFE_S else Visit()
        if request.method not in ("GET", "HEAD", "OPTIONS") and request.endpoint not in WITHOUT_BROWSER:
            if not hmac.compare_digest(request.form.get("csrf", "").encode(), self.csrf().encode()):
                abort(400)
            self._keep()

    def _keep(self) -> None:
        with self._lock:
            _, g.visit = self._kept.setdefault(g.visit_id, (time.monotonic(), g.visit))
            while len(self._kept) > MOST_VISITS:
                self._kept.popitem(last=False)

    def _close(self, response: Response) -> Response:
        told = "visit_id" not in g or request.cookies.get(self.cookie) == g.visit_id
        if not told and request.endpoint not in ("static", *WITHOUT_BROWSER):
            response.set_cookie(self.cookie, g.visit_id, httponly=True, samesite="Lax", secure=self._https, path="/")
        return response


def visit() -> Visit:
    """This browser's visit."""
    found: Visit = g.visit
    return found
