"""What a view finds of the application that serves it: the service, who sends the request, the practice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, current_app, g, request

from authsvc.errors import NotFound
from authsvc.model import Client, Practice, RequestContext
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.errors import ErrorHandler
from authsvc.web.fields import PRACTICE
from authsvc.web.middleware import REQUEST_INFO, RequestInfo

if TYPE_CHECKING:
    from authsvc.wiring import Service

_PRACTICE = re.compile(PRACTICE, re.ASCII)


def install(app: Flask, service: Service) -> ErrorHandler:
    """Give the views of `app` what the functions below return."""
    errors = ErrorHandler(service)
    app.extensions["authsvc"] = (service, ClientIpResolver(service.settings.trusted_proxies), errors)
    return errors


def current_service() -> Service:
    service: Service = current_app.extensions["authsvc"][0]
    return service


def request_info() -> RequestInfo:
    info: RequestInfo = request.environ[REQUEST_INFO]
    return info


def client_ip() -> str:
    """The address at the other end of the connection, behind the proxies that are trusted."""
    resolver: ClientIpResolver = current_app.extensions["authsvc"][1]
    return resolver.of(request.environ)


def count_error(error: Exception) -> None:
    """Count and log an error that a page answers, like every other error."""
    current_app.extensions["authsvc"][2].record(error, request.environ)


def error_response(error: Exception) -> Response:
    """What an error is answered with where no page is."""
    response: Response = current_app.extensions["authsvc"][2](error)
    return response


def load_practice(practice_id: str, client: Client | None = None) -> Practice:
    """The practice of this request, also as `g.practice` for error pages.

    Raises NotFound, the same for one that doesn't exist and one that `client` doesn't serve; Unavailable.
    """
    if not _PRACTICE.fullmatch(practice_id) or (client is not None and not client.serves(practice_id)):
        raise NotFound
    practice = current_service().practices.get(practice_id)
    if practice is None:
        raise NotFound
    g.practice = practice
    request_info().practice = practice.id
    return practice


def request_context(practice: Practice, client: Client | None = None, **more: Any) -> RequestContext:
    """For one act at this practice, by a client or by somebody without credentials: only the latter's address is the
    one at the other end of the connection."""
    if client is None:
        more["client_ip"] = client_ip()
    return current_service().act(practice, client, request_id=request_info().request_id, **more)


def see_other(location: str) -> Response:
    """303: what was posted isn't posted again (RFC 9110 §15.4.4)."""
    return current_app.response_class(status=303, headers={"Location": location})
