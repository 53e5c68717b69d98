"""Whatever went wrong becomes an answer here: counted, logged where it is ours, and told in the words of the path."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from authsvc.errors import AuthsvcError, KeysetUnusable, Unavailable
from authsvc.web.endpoint import REQUEST_INFO, Environ, Reply
from authsvc.web.oauth import errors as oauth_errors
from authsvc.web.oauth import tokens as oauth_tokens
from authsvc.web.problems import Problems

if TYPE_CHECKING:
    from authsvc.metrics import Metrics

log = logging.getLogger("authsvc.web")


def below(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies below it."""
    return path == root or path.startswith(root + "/")


class ErrorHandler:
    def __init__(self, problems: Problems, metrics: Metrics) -> None:
        self._problems = problems
        self._metrics = metrics

    def reply(self, error: Exception, environ: Environ) -> Reply:
        """The answer to `error` on this path. Never raises."""
        self.told(error, environ)
        if below(environ.get("PATH_INFO", ""), oauth_tokens.GUARDED):
            return oauth_errors.reply(error)
        return self._problems.reply(error)

    def told(self, error: Exception, environ: Environ) -> None:
        """Counts the error; logs it where operators must hear of it."""
        request_id = environ[REQUEST_INFO].request_id
        if isinstance(error, AuthsvcError):
            self._metrics.refused(error)
        if isinstance(error, Unavailable | KeysetUnusable):
            log.warning("nothing was decided", extra={"request_id": request_id, "reason": error.reason})
        elif not isinstance(error, AuthsvcError):
            log.error("a fault of ours", exc_info=error, extra={"request_id": request_id})
