"""What the service's figures are compared with: a bare WSGI application and a bare Flask JSON endpoint.

The Flask endpoint reads a JSON body and answers with a small JSON object: the least that any Flask API does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, request

from authsvc.server import http_worker

BODY = b'{"ok": true}'


class Worker(http_worker.Worker):
    """The worker of the service, for applications without its metrics."""

    def count(self, reason: str) -> None:
        pass

    def observe_wait(self, seconds: float) -> None:
        pass


def wsgi(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
    return [BODY]


flask = Flask(__name__)


@flask.get("/")
def ready() -> dict[str, Any]:
    return {"ok": True}


@flask.post("/json")
def endpoint() -> tuple[dict[str, Any], int]:
    body = request.get_json()
    return {"patient": body["patient"], "expires_in": 600, "resend_in": 30}, 202
