"""What a Flask view finds of the application that serves it: the service, the sender of the request, the practice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from flask import Flask, Response, current_app, g, request

from authsvc.errors import NotFound
from authsvc.model import Practice, RequestContext
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.endpoint import REQUEST_INFO, Reply, RequestInfo
from authsvc.web.fields import PRACTICE

if TYPE_CHECKING:
    from authsvc.web.errors import ErrorHandler
    from authsvc.wiring import Service

_PRACTICE = re.compile(PRACTICE, re.ASCII)


def install(app: Flask, service: Service, client_ip: ClientIpResolver, errors: ErrorHandler) -> None:
    """Give the views of `app` what the functions below return."""
    app.extensions["authsvc"] = (service, client_ip, errors)


def current_service() -> Service:
    return cast("Service", current_app.extensions["authsvc"][0])


def request_info() -> RequestInfo:
    return cast(RequestInfo, request.environ[REQUEST_INFO])


def request_context(practice: Practice) -> RequestContext:
    """For one act at this practice, by somebody without a client's credentials."""
    client_ip = current_app.extensions["authsvc"][1].of(request.environ)
    return current_service().act(practice, client_ip=client_ip, request_id=request_info().request_id)


def count_error(error: Exception) -> None:
    """Count and log an error that a page answers, like every other error."""
    current_app.extensions["authsvc"][2].told(error, request.environ)


def load_practice(practice_id: str) -> Practice:
    """The practice of this request, also as `g.practice` for error pages. Raises NotFound, Unavailable."""
    practice = current_service().practices.get(practice_id) if _PRACTICE.fullmatch(practice_id) else None
    if practice is None:
        raise NotFound
    g.practice = practice
    request_info().practice = practice.id
    return practice


def to_response(reply: Reply) -> Response:
    return current_app.response_class(reply.body, reply.status, reply.headers)


def see_other(location: str) -> Response:
    """303: what was posted isn't posted again (RFC 9110 §15.4.4)."""
    return current_app.response_class(status=303, headers={"Location": location})
