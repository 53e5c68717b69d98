"""What one browser holds here: a cookie with 256 random bits, and behind it, on the server only, its tokens.

No token of authsvc ever reaches the browser. A GET stores nothing: until the first POST the cookie is only a random
number, from which the CSRF token of every form is derived, so a mail scanner that opens links leaves no trace. The
cookie's value changes whenever its power grows (sign-in, a link pressed), which ends session fixation.
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


@dataclass
class Grant:
    """A token from authsvc and when it ends (by our own monotonic clock)."""

    access_token: str
    ends: float
    patient: str
    refresh_token: str | None = None


@dataclass
class Pending:
    """A sign-in that waits for its code. `how` and `who` say how to start it anew, so nothing is typed twice."""

    challenge: str
    how: str  # "email", "patient" or "link"
    who: str
    shown: str  # what the page says the code was sent to
    minutes: int
    page: str  # the portal page that was wanted
    choose: tuple[tuple[str, str], ...] = ()


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
    pending: Pending | None = None
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

    def forget(self) -> None:
        """Sign-out: an empty visit under a new name."""
        self.renew()
        g.visit = Visit()

    def _open(self) -> None:
        sent = request.cookies.get(self.cookie, "")
        g.visit_id = sent if len(sent) == COOKIE_CHARS and sent.isascii() else secrets.token_urlsafe(32)
        with self._lock:
            since, visit = self._kept.get(g.visit_id, (0.0, Visit()))
        g.visit = visit if time.monotonic() - since < LIFE_S else Visit()
        if request.method not in ("GET", "HEAD", "OPTIONS"):
            if not hmac.compare_digest(request.form.get("csrf", "").encode(), self.csrf().encode()):
                abort(400)
            self._keep()

    def _keep(self) -> None:
        with self._lock:
            _, g.visit = self._kept.setdefault(g.visit_id, (time.monotonic(), g.visit))
            while len(self._kept) > MOST_VISITS:
                self._kept.popitem(last=False)

    def _close(self, response: Response) -> Response:
        if "visit_id" in g and request.cookies.get(self.cookie) != g.visit_id and request.endpoint != "static":
            response.set_cookie(self.cookie, g.visit_id, httponly=True, samesite="Lax", secure=self._https, path="/")
            if request.method == "POST":
                self._keep()
        return response


def visit() -> Visit:
    """This browser's visit."""
    found: Visit = g.visit
    return found
