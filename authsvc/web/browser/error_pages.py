"""What a hosted page shows when something is in the way. Counted and logged like every other error.

"Not now" is never told as "not signed in": while the store is away nothing is decided, and the page says so.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from authsvc.errors import (
    AuthsvcError,
    KeysetUnusable,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    TooLarge,
    Unavailable,
    UnregisteredClient,
)
from authsvc.web.browser.render import render_message, request_language, this_page
from authsvc.web.context import count_error, error_response
from authsvc.web.errors import as_answered


def register(blueprint: Blueprint) -> None:
    """Answer these errors of the blueprint's views by a page, and a fault of ours too. The others stay with the app."""
    blueprint.register_error_handler(UnregisteredClient, _unregistered_client)
    blueprint.register_error_handler(NotFound, not_found)
    blueprint.register_error_handler(MethodNotAllowed, _method_not_allowed)
    blueprint.register_error_handler(TooLarge, _too_large)
    blueprint.register_error_handler(RateLimited, _rate_limited)
    blueprint.register_error_handler(Unavailable, _unavailable)
    blueprint.register_error_handler(KeysetUnusable, _unavailable)
    blueprint.register_error_handler(Exception, _fault)


def accepts_page() -> bool:
    """Whether a browser asks: a program takes anything, or JSON (RFC 9110 §12.5.1)."""
    return request.accept_mimetypes.best_match(["application/problem+json", "text/html"]) == "text/html"


def _unregistered_client(error: UnregisteredClient) -> Response:
    return render_message("request", 400, g.get("practice"), problem=error.problem)


def not_found(_: NotFound) -> Response:
    return render_message("not_found", 404, g.get("practice"))


def _method_not_allowed(error: MethodNotAllowed) -> Response:
    """A form of another website, most likely: no page of ours sends one where none is taken."""
    if not accepts_page():
        return error_response(error)
    count_error(error)
    response = render_message("request", error.status, g.get("practice"), problem=f"method {request.method}")
    response.headers["Allow"] = ", ".join(error.allowed)  # RFC 9110 §15.5.6
    return response


def _too_large(error: TooLarge) -> Response:
    """Somebody pasted a whole mail for the code in it."""
    count_error(error)
    return render_message("too_long", error.status, g.get("practice"), next_url=_try_again())


def _rate_limited(error: RateLimited) -> Response:
    count_error(error)
    practice = g.get("practice")
    wait = request_language(practice).span(error.retry_after_s)
    response = render_message("busy", 429, practice, wait=wait, next_url=_try_again())
    response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _unavailable(error: Unavailable | KeysetUnusable) -> Response:
    count_error(error)
    response = render_message("away", 503, g.get("practice"), next_url=_try_again())
    response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _fault(error: Exception) -> Response:
    """A patient gets a page even where we made a mistake. It says nothing of the practice, whose record may be what the
    page fails on."""
    error = as_answered(error)
    if isinstance(error, Unavailable):
        return _unavailable(error)
    if isinstance(error, AuthsvcError | HTTPException):
        return error_response(error)
    count_error(error)
    return render_message("away", 500, None, next_url=_try_again())


def _try_again() -> str:
    """A button back to the same page: to reload it would be to send a form again. A practice's pages can all be loaded;
    an endpoint only by a request without a form."""
    return this_page() if "practice" in g or request.method in ("GET", "HEAD") else ""
