"""Where an emailed link lands.

Mail scanners open every link first, some of them with JavaScript. So GET and HEAD change nothing, ever; a person
presses one button, and its POST needs the nonce that the page set. The address of a link's page holds the token: such
a page loads nothing from elsewhere, leads nowhere else, is never kept, and its POST redirects (303) to an address
without the token.

This is the smallest page that is honest. A practice that has pages of its own is sent there by its `link_url`
template. Without one, an instant link can't be finished here, and the page says whom to call instead of spending it;
an access link leads to the practice's portal, where the patient types the address.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authsvc.errors import (
    InvalidInput,
    KeyRingUnusable,
    LinkGone,
    LinkUnknown,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    Unavailable,
)
from authsvc.model import Practice
from authsvc.web import bodies
from authsvc.web.calls import SEEN, Environ, Headers, Reply
from authsvc.web.discovery import readable
from authsvc.web.failures import Failures
from authsvc.web.fields import PRACTICE, SECRET
from authsvc.web.paper import CSS_PATH, HTML, TEMPLATES, Page
from authsvc.web.peers import Peers
from authsvc.web.texts import language, said

if TYPE_CHECKING:
    from authsvc.wiring import Service

PERSONAL: Headers = [*HTML, ("X-Robots-Tag", "noindex, nofollow")]  # and no-store, as everything by default

LINK = "/p/{practice}/l/{token}"
AFTER = {"sent": "/p/{practice}/sent", "portal": "/p/{practice}/portal", "contact": "/p/{practice}/contact"}
RESENDABLE = ("expired", "used_up")
NONCE_BYTES = 16
NONCE_LIFE_S = 3600

_PRACTICE = re.compile(PRACTICE, re.ASCII)
_TOKEN = re.compile(SECRET)


class Pages:
    """The hosted pages."""

    def __init__(self, service: Service, peers: Peers, failures: Failures) -> None:
        self._service = service
        self._peers = peers
        self._failures = failures
        public = urlsplit(service.settings.public_url)
        self._base = public.path.rstrip("/")  # addresses on pages are relative: no host can be put into them
        secure = public.scheme == "https"
        # Without https (development) a browser would refuse the prefix, and perhaps the cookie.
        self._cookie = "__Host-authsvc-link" if secure else "authsvc-link"
        self._cookie_flags = f"; Path=/; Max-Age={NONCE_LIFE_S}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
        self._page = TEMPLATES.get_template("page.html")

    def routes(self) -> dict[str, Page]:
        """path → page."""
        after = {path: self._after(outcome) for outcome, path in AFTER.items()}
        return {
            LINK: self.link,
            **after,
        }

    # --- where an emailed link lands ------------------------------------------------------------------------------

    def link(self, environ: Environ, path: Mapping[str, str]) -> Reply:
        """GET shows what the link is for and one button; POST goes on, to an address without the token."""
        practice: Practice | None = None
        try:
            practice = self._practice(path["practice"], environ)
            token = path["token"]
            if practice is None or not _TOKEN.fullmatch(token):
                raise LinkUnknown
            match environ["REQUEST_METHOD"]:
                case "GET" | "HEAD":
                    return self._shown(environ, practice, token)
                case "POST":
                    return self._pressed(environ, practice, token)
            raise MethodNotAllowed(("GET", "HEAD", "POST"))
        except LinkUnknown:
            self._service.metrics.count("links_opened", state="unknown")
            return self._say(environ, 404, "unknown", practice)
        except LinkGone as gone:
            self._service.metrics.count("links_opened", state="gone")
            act = "resend" if gone.reason in RESENDABLE else ""
            return self._say(environ, 410, gone.reason, practice, act)
        except (RateLimited, Unavailable, KeyRingUnusable) as error:
            self._failures.told(error, environ)
            wait_s = getattr(error, "retry_after_s", 5)
            limited = isinstance(error, RateLimited)
            reply = self._say(environ, 429 if limited else 503, "busy" if limited else "away", practice)
            reply.headers.append(("Retry-After", str(wait_s)))
            return reply

    def _shown(self, environ: Environ, practice: Practice, token: str) -> Reply:
        workflow, access = self._peek(environ, practice, token)
        self._service.metrics.count("links_opened", state="live")
        return self._say(environ, 200, "access" if access else workflow, practice, "open")

    def _pressed(self, environ: Environ, practice: Practice, token: str) -> Reply:
        form = self._form(environ)
        if not self._meant(environ, form):
            return self._say(environ, 403, "stale", practice)
        if form.get("act") == "resend":
            act = self._service.act(practice, client_ip=self._peers.of(environ), request_id=environ[SEEN].request_id)
            self._service.links.resend(act, token)
            return self._go_on("sent", practice)
        _, access = self._peek(environ, practice, token)
        return self._go_on("portal" if access and practice.portal_url else "contact", practice)

    def _peek(self, environ: Environ, practice: Practice, token: str) -> tuple[str, bool]:
        """The link's workflow and whether it is an access link. Raises LinkUnknown, LinkGone; changes nothing."""
        act = self._service.act(practice, request_id=environ[SEEN].request_id)
        name = self._service.links.peek(act, token).workflow
        workflow = self._service.catalogue.get(name)
        return name, workflow is not None and workflow.security == "access"

    def _after(self, outcome: str) -> Page:
        """A page behind a 303: its address says nothing about the link."""

        def page(environ: Environ, path: Mapping[str, str]) -> Reply:
            readable(environ)
            practice = self._practice(path["practice"], environ)
            if practice is None:
                raise NotFound
            portal = practice.portal_url if outcome == "portal" else ""
            return self._say(environ, 200, outcome, practice, portal_url=portal)

        return page

    def _practice(self, practice_id: str, environ: Environ) -> Practice | None:
        practice = self._service.practices.get(practice_id) if _PRACTICE.fullmatch(practice_id) else None
        if practice is not None:
            environ[SEEN].practice = practice.id
        return practice

    def _go_on(self, outcome: str, practice: Practice) -> Reply:
        """303 (RFC 9110 §15.4.4), relative: nothing of it comes from the Host header."""
        where = self._base + AFTER[outcome].replace("{practice}", practice.id)
        return Reply(303, [("Location", where), *PERSONAL])

    def _say(
        self,
        environ: Environ,
        status: int,
        outcome: str,
        practice: Practice | None,
        act: str = "",
        portal_url: str = "",
    ) -> Reply:
        name, phone, locale = (practice.name, practice.phone, practice.locale) if practice else ("", "", "")
        lang = language(environ.get("HTTP_ACCEPT_LANGUAGE", ""), locale)
        words = said(lang, outcome, name, phone)
        headers: Headers = [*PERSONAL, ("Content-Language", lang)]
        nonce = ""
        if act:
            nonce = self._nonce(environ)
            headers.append(("Set-Cookie", f"{self._cookie}={nonce}{self._cookie_flags}"))
        else:
            words["button"] = ""
        body = self._page.render(
            words, practice=name, act=act, nonce=nonce, portal_url=portal_url, stylesheet=self._base + CSS_PATH
        )
        return Reply(status, headers, body.encode("utf-8"))

    # --- the nonce ------------------------------------------------------------------------------------------------

    def _nonce(self, environ: Environ) -> str:
        """The browser's nonce, or a new one: two tabs of one mail share it."""
        known = self._sent_cookie(environ)
        if known:
            return known
        fresh = self._service.entropy.token_bytes(NONCE_BYTES)
        return base64.urlsafe_b64encode(fresh).rstrip(b"=").decode("ascii")

    def _sent_cookie(self, environ: Environ) -> str:
        for part in environ.get("HTTP_COOKIE", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._cookie and re.fullmatch(r"[A-Za-z0-9_-]{22}", value):
                return str(value)
        return ""

    def _meant(self, environ: Environ, form: Mapping[str, str]) -> bool:
        """Whether a page of ours was seen before this POST: the form repeats the cookie, and the browser, where it
        says so, was on our own page. (`Origin` is "null" here by our own Referrer-Policy, so it tells nothing.)"""
        nonce = self._sent_cookie(environ)
        site = environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
        same = hmac.compare_digest(nonce.encode(), form.get("nonce", "").encode("utf-8", "replace"))
        return bool(nonce) and same and site == "same-origin"

    def _form(self, environ: Environ) -> Mapping[str, str]:
        """What was sent; something that no page of ours sends is as good as nothing."""
        try:
            return bodies.parse_form(bodies.read(environ), environ)
        except InvalidInput:
            return {}
