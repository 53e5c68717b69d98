"""A practice's service as another team would write it: a process of its own that knows the issuer's address and the
verifier, nothing else of authsvc. `python -m tests.journeys.resource_server ISSUER PORT`

Its pages ask for what real ones would: a scope, the resource in the path, a sign-in by code, and for one page a sign-in
that is only seconds old.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from authsvc.verifier import StartResponse, Verifier, WsgiApp

RECENT_S = 3  # how young a sign-in must be for the page that changes the most


class Pages:
    """Every page by its path; each is guarded by the verifier's own middleware."""

    def __init__(self, verifier: Verifier) -> None:
        def page(scope: str, resource: Any = None, acr: str | None = None, max_age: int | None = None) -> WsgiApp:
            return verifier.wsgi(shown, scope, resource, acr, max_age)

        self._pages: list[tuple[str, WsgiApp]] = [
            ("GET /invoices/[^/]+", page("invoice:view", _named("invoice"))),
            ("POST /invoices/[^/]+/pay", page("invoice:pay", _named("invoice"))),
            ("POST /payment-info", page("payment_info:update")),
            ("POST /agreements/[^/]+/accept", page("agreement:view agreement:accept", _named("agreement"))),
            ("GET /portal/invoices", page("invoices:view", acr="extra")),
            ("GET /portal/statements", page("statements:generate", acr="extra")),
            ("POST /portal/contact", page("contact:view contact:edit", acr="extra")),
            ("POST /portal/membership", page("membership:edit", acr="extra")),
            ("POST /portal/dependents", page("dependents:add", acr="extra")),
            ("POST /portal/payment-methods", page("payment_methods:edit", acr="extra")),
            ("POST /portal/closing", page("membership:edit", acr="extra", max_age=RECENT_S)),
        ]

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        for pattern, app in self._pages:
            if re.fullmatch(pattern, asked):
                return app(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such page"]


def shown(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """What a page says: whom it was shown to."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(environ["authsvc.claims"]).encode()]


def _named(kind: str) -> Any:
    """The resource that a request touches, from its path: /invoices/inv_1/pay is about invoice:inv_1."""
    return lambda environ: f"{kind}:{environ['PATH_INFO'].split('/')[2]}"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: what this service refuses is told by its answers."""


if __name__ == "__main__":
    _, issuer, port = sys.argv
    pages = Pages(Verifier(issuer, audience="practice-services", practice="maple"))
    make_server("127.0.0.1", int(port), pages, _Server, _Handler).serve_forever()
