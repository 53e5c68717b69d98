"""Whatever went wrong becomes an answer here: counted, logged where it is ours, and in the words of the path.

Below /oauth2 these are RFC 6749 §5.2 objects, with two codes of §4.1.2.1 where the trouble is ours (the registry has
none for the token endpoint); everywhere else problem documents.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import flask
from flask import request
from werkzeug import exceptions

from authsvc.errors import (
    DESCRIPTORS_EXHAUSTED,
    AuthsvcError,
    InvalidInput,
    KeysetUnusable,
    MethodNotAllowed,
    NotFound,
    NotReplicated,
    Unavailable,
    descriptors_exhausted,
)
from authsvc.web import problems
from authsvc.web.middleware import REQUEST_INFO, Environ, Reply
from authsvc.web.responses import json_bytes, to_response

if TYPE_CHECKING:
    from authsvc.wiring import Service

log = logging.getLogger("authsvc.web")

_NOT_QUOTABLE = re.compile(r'[^\x20-\x7e]|["\\]')


class ErrorHandler:
    """Answers errors, inside of Flask and outside."""

    def __init__(self, service: Service) -> None:
        self._public_url = service.settings.public_url
        self._metrics = service.metrics

    def __call__(self, error: Exception) -> flask.Response:
        """The answer to `error` in this request: for Flask's `errorhandler`."""
        match error:
            case exceptions.NotFound():
                error = NotFound()
            case exceptions.MethodNotAllowed():
                error = MethodNotAllowed(tuple(sorted(error.valid_methods or ())))
            case exceptions.InternalServerError(original_exception=Exception() as original):
                error = original  # an error page failed: Flask wraps what it failed on
            case exceptions.HTTPException():  # Werkzeug can't read the request
                error = InvalidInput()
        return to_response(self.reply(error, request.environ))

    def reply(self, error: Exception, environ: Environ) -> Reply:
        """The answer to `error` on this path. Never raises."""
        error = as_answered(error)
        self.record(error, environ)
        if below(environ.get("PATH_INFO", ""), "/oauth2"):
            return oauth_error(error)
        return problems.reply(error, self._public_url)

    def record(self, error: Exception, environ: Environ) -> None:
        """Counts the error; logs it where operators must hear of it."""
        request_id = environ[REQUEST_INFO].request_id
        if isinstance(error, AuthsvcError):
            self._metrics.refused(error)
        if isinstance(error, Unavailable | KeysetUnusable):
            words = "done, but not on enough replicas" if isinstance(error, NotReplicated) else "nothing was decided"
            log.warning(words, extra={"request_id": request_id, "reason": error.reason})
        elif not isinstance(error, AuthsvcError):
            log.error("a fault of ours", exc_info=error, extra={"request_id": request_id})


def as_answered(error: Exception) -> Exception:
    """The error as it is answered: a process that has no file descriptor left is no fault, whatever wanted one."""
    if not isinstance(error, AuthsvcError) and descriptors_exhausted(error):
        return Unavailable(DESCRIPTORS_EXHAUSTED)
    return error


def oauth_error(error: Exception) -> Reply:
    known = error if isinstance(error, AuthsvcError) else AuthsvcError()
    status, code, description = known.oauth
    body = {"error": code, "error_description": quotable(description.format_map(vars(known)))}
    return Reply(status, [("Content-Type", "application/json"), *problems.headers(known)], json_bytes(body))


def quotable(description: str) -> str:
    """What `error_description` may hold (RFC 6749 §4.1.2.1, §5.2): printable ASCII without quotes and backslashes."""
    return _NOT_QUOTABLE.sub("?", description)


def below(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies below it."""
    return path == root or path.startswith(root + "/")
