"""One visit to a hosted page, read once: at which practice, what a client asks, which browser, in which language.

GET and HEAD show, POST acts; and a POST acts only if this very browser was shown the form. What stands in the way is
told on a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from authsvc.errors import AuthorizationError, InvalidInput, MethodNotAllowed, NotFound, UnregisteredClient
from authsvc.i18n import LANGUAGES
from authsvc.model import AuthorizationRequest, Practice, RequestContext
from authsvc.web import parsing
from authsvc.web.browser.cookies import Browser, BrowserCookies
from authsvc.web.browser.error_pages import ErrorPages
from authsvc.web.browser.render import PageRenderer, again, language_of
from authsvc.web.browser.static_pages import Page
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.endpoint import REQUEST_INFO, Environ, Reply
from authsvc.web.errors import ErrorHandler
from authsvc.web.fields import PRACTICE
from authsvc.web.oauth import authorization_request
from authsvc.web.oauth.authorization_response import Finish

if TYPE_CHECKING:
    from authsvc.wiring import Service

BOTH = ("GET", "HEAD", "POST")
READS = ("GET", "HEAD")

_PRACTICE = re.compile(PRACTICE, re.ASCII)


@dataclass(frozen=True)
class PageRequest:
    """One request. `query` is what every address of the way in carries along: the client's request, or at least the
    language that was asked for. `form` is what a POST of ours sent."""

    environ: Environ
    practice: Practice
    browser: Browser
    act: RequestContext
    query: str = ""
    asked: AuthorizationRequest | None = None
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def posted(self) -> bool:
        return bool(self.environ["REQUEST_METHOD"] == "POST")

    @property
    def chosen_locale(self) -> str | None:
        """The language that was asked for by name, for the mails too: the same for whoever is meant."""
        wished = dict(parsing.parse_pairs(self.query)).get("ui_locales", "")
        return language_of(self.environ, self.practice) if wished else None


Handler = Callable[[PageRequest, Mapping[str, str]], Reply]


class PageRequests:
    """Makes pages of handlers."""

    def __init__(self, service: Service, peers: ClientIpResolver, failures: ErrorHandler, trouble: ErrorPages) -> None:
        self.service = service
        self.failures = failures
        self.trouble = trouble
        self.browsers = BrowserCookies(service)
        self.finish = Finish(service)
        self._peers = peers
        self._sheets = PageRenderer(service)
        self._base = urlsplit(service.settings.public_url).path.rstrip("/")

    def page(
        self,
        run: Handler,
        *,
        methods: tuple[str, ...] = BOTH,
        asks: bool = False,
        anyone: bool = False,
        told: bool = True,
    ) -> Page:
        """`asks`: the address may carry a client's request. `anyone`: its forms aren't about who is signed in. Unless
        `told` on a page, what goes wrong is raised."""

        def answer(environ: Environ, path: Mapping[str, str]) -> Reply:
            practice = None
            try:
                practice = self._practice(path["practice"])
                environ[REQUEST_INFO].practice = practice.id
                if environ["REQUEST_METHOD"] not in methods:
                    raise MethodNotAllowed(methods)
                visit = self._visit(environ, practice, asks=asks)
                # Who isn't signed in has nothing to lose on the pages of those who are.
                acts = visit.posted and (anyone or visit.browser.sign_in)
                if acts and not self.browsers.meant(environ, practice.id, visit.form, anyone=anyone):
                    self.service.metrics.count("forms_refused")
                    return self.say(visit, 403, "stale", onward=again(environ))
                return self._slipped(visit) or run(visit, path)
            except AuthorizationError as declined:
                return self.finish.declined(declined)
            except Exception as error:
                if not told:
                    raise
                return self.trouble.reply(error, environ, practice)

        return answer

    def _practice(self, practice_id: str) -> Practice:
        practice = self.service.practices.get(practice_id) if _PRACTICE.fullmatch(practice_id) else None
        if practice is None:
            raise NotFound
        return practice

    def _visit(self, environ: Environ, practice: Practice, *, asks: bool) -> PageRequest:
        posted = environ["REQUEST_METHOD"] == "POST"
        asked, query = self._asked(environ, practice) if asks else (None, _wish(_lenient(environ)))
        return PageRequest(
            environ=environ,
            practice=practice,
            browser=self.browsers.of(environ, practice.id),
            act=self.service.act(
                practice, client_ip=self._peers.of(environ), request_id=environ[REQUEST_INFO].request_id
            ),
            query=query,
            asked=asked,
            form=_form(environ) if posted else {},
        )

    def _asked(self, environ: Environ, practice: Practice) -> tuple[AuthorizationRequest | None, str]:
        """The client's request in this address, checked anew, and the query string to go on with."""
        try:
            pairs = parsing.parse_pairs(environ.get("QUERY_STRING", ""))
        except ValueError:
            raise UnregisteredClient("encoding") from None
        if not any(name == "client_id" for name, _ in pairs):
            return None, _wish(pairs)
        asked = authorization_request.parse(self.service, pairs)
        if asked.practice.id != practice.id:
            raise UnregisteredClient("client_id")
        environ[REQUEST_INFO].client = asked.client.id
        return asked, asked.query

    # --- answers ----------------------------------------------------------------------------------------------------

    def show(
        self,
        visit: PageRequest,
        status: int,
        template: str,
        *,
        own: str = "",
        anyone: bool = False,
        targets: Iterable[str] = (),
        retry_s: int = 0,
        cookies: Iterable[str] = (),
        **values: Any,
    ) -> Reply:
        """A page with a form of ours that leads back to its own address. `own` is the patient's language, where it is
        proven who it is.

        In answer to a form it is shown by a 303 to the same address, like everything that comes after a POST: else the
        back button would one day ask whether to send the form again.
        """
        if visit.posted:
            said = {"own": own, "anyone": anyone, "targets": list(targets), "retry_s": retry_s, **values}
            slip = self._keep_slip(visit, {"status": status, "template": template, "said": said})
            if slip:
                here = self._base + quote(visit.environ["PATH_INFO"].encode("latin-1"))
                here += f"?{visit.query}" if visit.query else ""
                return self.go(here, [*visit.browser.cookies, *cookies, slip])
        reply = self._sheets.reply(
            visit.environ,
            status,
            template,
            visit.practice,
            lang=language_of(visit.environ, visit.practice, own),
            targets=targets,
            cookies=[*visit.browser.cookies, *cookies],
            # A query alone: the path, which may hold a link's token, isn't written into the page.
            action=f"?{visit.query}",
            csrf=self.browsers.form_token(visit.browser, visit.practice.id, anyone=anyone),
            once=self.browsers.new_page(),
            **values,
        )
        if retry_s:
            reply.headers.append(("Retry-After", str(retry_s)))
        return reply

    def _keep_slip(self, visit: PageRequest, slip: Mapping[str, Any]) -> str:
        return self.browsers.keep_slip(visit.browser, visit.practice.id, visit.environ["PATH_INFO"], slip)

    def _slipped(self, visit: PageRequest) -> Reply | None:
        """What the form was refused for, said once."""
        if visit.environ["REQUEST_METHOD"] != "GET":
            return None
        slip = self.browsers.slip(visit.browser, visit.practice.id, visit.environ["PATH_INFO"])
        if slip is None:
            return None
        told = [self.browsers.forget_slip(visit.practice.id)]
        return self.show(visit, slip["status"], slip["template"], cookies=told, **slip["said"])

    def say(self, visit: PageRequest, status: int, kind: str, **values: Any) -> Reply:
        """A page that only tells something."""
        lang = language_of(visit.environ, visit.practice)
        return self._sheets.reply(visit.environ, status, "message.html", visit.practice, lang=lang, kind=kind, **values)

    def path(self, visit: PageRequest, page: str, query: str = "") -> str:
        """The address of another page of this practice; nothing of it comes from the Host header."""
        return f"{self._base}/p/{visit.practice.id}/{page}" + (f"?{query}" if query else "")

    def go(self, where: str, cookies: Iterable[str] = ()) -> Reply:
        """303, so that what was posted isn't posted again (RFC 9110 §15.4.4)."""
        return Reply(303, [("Location", where), *(("Set-Cookie", cookie) for cookie in cookies)])

    def authorize(self, visit: PageRequest) -> str:
        """Where a client's request is decided again."""
        return f"{self._base}/oauth2/authorize?{visit.query}"

    def span(self, visit: PageRequest, span_s: int, own: str = "") -> str:
        return LANGUAGES[language_of(visit.environ, visit.practice, own)].span(span_s)


def _wish(pairs: Iterable[tuple[str, str]]) -> str:
    """The language that was asked for, as a query string; nothing else that may stand there."""
    wished = dict(pairs).get("ui_locales", "")
    return urlencode({"ui_locales": wished}) if authorization_request.LOCALES.fullmatch(wished) else ""


def _lenient(environ: Environ) -> list[tuple[str, str]]:
    """Mail programs and trackers add to the addresses of links what they like: none of it may break one."""
    try:
        return parsing.parse_pairs(environ.get("QUERY_STRING", ""))
    except ValueError:
        return []


def _form(environ: Environ) -> Mapping[str, str]:
    """What was sent; something that no page of ours sends is as good as nothing. Raises TooLarge."""
    try:
        return parsing.parse_form(parsing.read(environ), environ)
    except InvalidInput:
        return {}
