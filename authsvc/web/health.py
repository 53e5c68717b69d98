"""Probes, for whoever starts and stops processes: they name no version, no host and no reason. And, on the admin
address, the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app

from authsvc.errors import Unavailable
from authsvc.web.context import current_service
from authsvc.web.endpoint import Operation, Success
from authsvc.web.middleware import Environ, FastPath, Reply, read_only

if TYPE_CHECKING:
    from authsvc.wiring import Service

blueprint = Blueprint("metrics", __name__)

_OK = Reply(200, [("Content-Type", "application/json")], b'{"status":"ok"}')


def probes(service: Service) -> dict[str, FastPath]:
    """path → probe."""

    def live(environ: Environ) -> Reply:
        """This process answers. The store's trouble is no reason to restart it."""
        read_only(environ)
        return _OK

    def ready(environ: Environ) -> Reply:
        """The store answers and there are keys to sign with. Raises Unavailable."""
        read_only(environ)
        if not service.ready():
            raise Unavailable("not_ready")
        return _OK

    return {"/livez": live, "/readyz": ready}


@blueprint.get("/metrics")
def metrics() -> Response:
    body, content_type = current_service().metrics.render()
    return current_app.response_class(body, content_type=content_type)


OPERATIONS = (
    Operation(
        "live",
        "Whether the process answers",
        (Success(200, "It does.", None, {"status": "ok"}),),
        path="/livez",
        tag="probes",
        security=None,
    ),
    Operation(
        "ready",
        "Whether the service can act",
        (Success(200, "The store answers and there are keys.", None, {"status": "ok"}),),
        path="/readyz",
        tag="probes",
        security=None,
        problems=("unavailable",),
    ),
)
