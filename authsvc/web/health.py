"""Probes, for whoever starts and stops processes. They name no version, no host and no reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authsvc.errors import Unavailable
from authsvc.web.endpoint import Environ, Operation, Reply, Success, json_bytes
from authsvc.web.oauth.discovery import readable

if TYPE_CHECKING:
    from authsvc.wiring import Service

_JSON = ("Content-Type", "application/json")
_OK = json_bytes({"status": "ok"})


class Health:
    def __init__(self, service: Service) -> None:
        self._service = service

    def alive(self, environ: Environ) -> Reply:
        """This process answers. The store's trouble is no reason to restart it."""
        readable(environ)
        return Reply(200, [_JSON], _OK)

    def ready(self, environ: Environ) -> Reply:
        """The store answers and there are keys to sign with. Raises Unavailable."""
        readable(environ)
        if not self._service.ready():
            raise Unavailable("not_ready")
        return Reply(200, [_JSON], _OK)


OPERATIONS = (
    Operation(
        "live", "GET", "/livez", "Whether the process answers", tag="probes", security=None, run=Health.alive,
        success=(Success(200, "It does.", None, {"status": "ok"}),),
    ),
    Operation(
        "ready", "GET", "/readyz", "Whether the service can act", tag="probes", security=None, run=Health.ready,
        success=(Success(200, "The store answers and there are keys.", None, {"status": "ok"}),),
        problems=("unavailable",),
    ),
)  # fmt: skip
