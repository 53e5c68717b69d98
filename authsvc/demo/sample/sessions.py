"""The clinic's server-side sessions: a cookie with 256 random bits, and behind it, on the server only, the tokens.

Tokens never lie in the browser. Nothing is stored for a browser before there is something to keep (a form, a sign-in),
so whoever only looks around leaves no trace. The cookie's value changes whenever its power grows (sign-in, a link
opened), which ends session fixation.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, g, request, session

LIFE_S = 12 * 3600  # as long as authsvc keeps a session at most
MAX_SESSIONS = 10_000  # the oldest go first; a demo's bound on memory
COOKIE_CHARS = 43
WITHOUT_BROWSER = frozenset({"signin.backchannel_logout"})  # POSTs that come from authsvc, which has no form of ours

RejectedForm = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What was typed, and the messages, both by field."""


@dataclass
class TokenSet:
    """Tokens from authsvc. `began` and `ends`: when they came and when they end, in seconds of `time.monotonic`."""

    access_token: str
    began: float
    ends: float
    patient: str
    refresh_token: str  # empty for a link's
    id_token: str
    sid: str  # authsvc's name of the session; empty for a link's
    guardian: str  # the patient who acts for this one (`act`, RFC 8693 §4.1), or empty


@dataclass(frozen=True)
class Message:
    """A page that is an answer by itself: its template, what goes into it, status and headers."""

    template: str
    values: Mapping[str, object]
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class PatientSession:
    """Everything we know of one browser."""

    link_grants: dict[str, TokenSet] = field(default_factory=dict)  # by resource, or by workflow where there is none
    portal_grant: TokenSet | None = None
    rejected_forms: dict[str, RejectedForm] = field(default_factory=dict)  # by the path of the page that shows it once
    email_challenge: str = ""  # of a change of address that waits for its code
    message: Message | None = None  # the last answer to a form that had no page of its own
    lock: threading.Lock = field(default_factory=threading.Lock)


class SessionStore:
    """The sessions of this process, and the cookie that names them."""

    def __init__(self, https: bool) -> None:
        self.cookie = "__Host-visit" if https else "visit"
        self._https = https
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, tuple[float, PatientSession]] = OrderedDict()

    def init_app(self, app: Flask) -> None:
        app.before_request(self._open)
        app.after_request(self._set_cookie)

    def renew(self) -> None:
        """A new cookie value for the same session: whoever knew the old one holds nothing."""
        with self._lock:
            self._sessions.pop(g.session_id, None)
        g.session_id = secrets.token_urlsafe(32)
        self._save()

    def clear(self) -> None:
        """Sign-out: an empty session under a new name, and none of the cookies of Flask's."""
        session.clear()
        g.patient_session = PatientSession()
        self.renew()

    def end(self, sid: str) -> None:
        """authsvc has ended this session: whichever browser held it is signed out."""
        with self._lock:
            stored = [one for _, one in self._sessions.values() if one.portal_grant and one.portal_grant.sid == sid]
        for one in stored:
            with one.lock:  # should it be renewing just now, what that brings is of this session too
                if one.portal_grant and one.portal_grant.sid == sid:
                    one.portal_grant = None

    def _open(self) -> None:
        sent = request.cookies.get(self.cookie, "")
        g.session_id = sent if len(sent) == COOKIE_CHARS and sent.isascii() else secrets.token_urlsafe(32)
        with self._lock:
            since, stored = self._sessions.get(g.session_id, (0.0, PatientSession()))
        g.patient_session = stored if time.monotonic() - since < LIFE_S else PatientSession()

    def store_posts(self) -> None:
        if request.method == "POST" and request.endpoint not in WITHOUT_BROWSER:
            self._save()

    def _save(self) -> None:
        with self._lock:
            _, g.patient_session = self._sessions.setdefault(g.session_id, (time.monotonic(), g.patient_session))
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)

    def _set_cookie(self, response: Response) -> Response:
        known = "session_id" not in g or request.cookies.get(self.cookie) == g.session_id
        if not known and request.endpoint not in ("static", *WITHOUT_BROWSER):
            response.set_cookie(self.cookie, g.session_id, httponly=True, samesite="Lax", secure=self._https, path="/")
        return response


def current_session() -> PatientSession:
    """The session of the browser that asks."""
    found: PatientSession = g.patient_session
    return found
