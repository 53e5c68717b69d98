"""What a hosted page says when something is in the way. Counted and logged like every other error.

"Not now" is never told as "not signed in": while the store is away nothing is decided, and the page says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc import i18n
from authsvc.errors import KeysetUnusable, NotFound, RateLimited, Unavailable, UnregisteredClient
from authsvc.model import Practice
from authsvc.web.browser.render import PageRenderer, again, language_of
from authsvc.web.endpoint import Environ, Reply
from authsvc.web.errors import ErrorHandler

if TYPE_CHECKING:
    from authsvc.wiring import Service


class ErrorPages:
    """Turns errors into pages."""

    def __init__(self, service: Service, failures: ErrorHandler) -> None:
        self._sheets = PageRenderer(service)
        self._failures = failures

    def reply(self, error: Exception, environ: Environ, practice: Practice | None) -> Reply:
        """The page for `error`; raises it again where no page knows it (a fault of ours, a wrong method)."""
        lang = language_of(environ, practice)
        match error:
            case UnregisteredClient():
                return self._say(environ, 400, "request", practice, lang, problem=error.problem)
            case NotFound():
                return self._say(environ, 404, "not_found", practice, lang)
            case RateLimited():
                self._failures.told(error, environ)
                wait = i18n.LANGUAGES[lang].span(error.retry_after_s)
                reply = self._say(environ, 429, "busy", practice, lang, wait=wait, **_once_more(environ, practice))
                return _with_retry(reply, error.retry_after_s)
            case Unavailable() | KeysetUnusable():
                self._failures.told(error, environ)
                reply = self._say(environ, 503, "away", practice, lang, **_once_more(environ, practice))
                return _with_retry(reply, error.retry_after_s)
        raise error

    def _say(
        self, environ: Environ, status: int, kind: str, practice: Practice | None, lang: str, **values: Any
    ) -> Reply:
        return self._sheets.reply(environ, status, "message.html", practice, lang=lang, kind=kind, **values)


def _once_more(environ: Environ, practice: Practice | None) -> dict[str, str]:
    """A button back to the same page: to reload it would be to send a form again. A practice's pages can all be asked
    for; of the endpoints, only what was asked for without a form."""
    asked_for = practice or environ["REQUEST_METHOD"] in ("GET", "HEAD")
    return {"onward": again(environ)} if asked_for else {}


def _with_retry(reply: Reply, seconds: int) -> Reply:
    reply.headers.append(("Retry-After", str(seconds)))
    return reply
