"""What every request passes first and every answer last: an id, a clock, the headers that are always there, one line
in the log, one count in the metrics, and the handler for what nobody expected.

It is plain WSGI around Flask (PEP 3333), for two reasons. What holds for every answer must hold for those that Flask
never sees and for those that fail inside it. And the few paths that gateways ask all the time (keys, forward-auth,
probes) are answered here, before any framework: docs/adr/0013 says what Flask would cost them.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from authsvc.errors import MethodNotAllowed

if TYPE_CHECKING:
    from authsvc.metrics import Metrics

access = logging.getLogger("authsvc.access")
log = logging.getLogger("authsvc.web")

Headers = list[tuple[str, str]]
Environ = Mapping[str, Any]
"""A WSGI environment."""


class Reply(NamedTuple):
    """An answer before Flask: status, headers, body."""

    status: int
    headers: Headers
    body: bytes = b""


FastPath = Callable[[Environ], Reply]
"""Answers one exact path without Flask; may raise any error."""

REQUEST_INFO = "authsvc.request_info"
"""Where `RequestInfo` travels in the WSGI environment."""


class RequestInfo:
    """What is known of a request by now, for the log line and the metrics: never a path, never a secret."""

    __slots__ = ("client", "practice", "request_id", "route")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.route = "unknown"
        self.client = ""
        self.practice = ""


STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
PROBES = frozenset({"/livez", "/readyz"})

API_CSP = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

ALWAYS: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", API_CSP),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
]
"""On every answer that doesn't say otherwise itself."""

NOT_STORED: Headers = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]
"""On every answer that doesn't say for itself how it may be cached (RFC 6749 §5.1 asks for both)."""

HSTS = ("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
"""Two years. Said where the public address is https only; the proxy in front keeps plain http away."""

_INBOUND_ID = re.compile(r"[^A-Za-z0-9._-]")


def read_only(environ: Environ) -> None:
    """Raises MethodNotAllowed for anything but GET and HEAD."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        raise MethodNotAllowed(("GET", "HEAD"))


class Middleware:
    """The outermost WSGI application."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        *,
        public_url: str,
        metrics: Metrics,
        fast_paths: Mapping[str, FastPath],
        failed: Callable[[Exception, Environ], Reply],
    ) -> None:
        """`failed` turns an exception into an answer, and never raises itself."""
        self._app = app
        self._metrics = metrics
        self._fast_paths = fast_paths
        self._failed = failed
        parts = urlsplit(public_url)
        self._mounted = parts.path.rstrip("/")
        always = [*ALWAYS, HSTS] if parts.scheme == "https" else ALWAYS
        self._always = [(name.lower(), (name, value)) for name, value in always]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        started = time.perf_counter()
        info = environ[REQUEST_INFO] = RequestInfo(os.urandom(16).hex())
        status = 500

        def respond(line: str, headers: Headers, exc_info: Any = None) -> Any:
            nonlocal status
            status = int(line[:3])
            return start_response(line, self._completed(headers, info), exc_info)

        try:
            self._mount(environ)
            answer = self._fast_paths.get(environ["PATH_INFO"])
            if answer is None:
                return self._app(environ, respond)
            info.route = environ["PATH_INFO"]
            return self._send(answer(environ), environ, respond)
        except Exception as error:  # noqa: BLE001 - the last resort: whatever it was, the process goes on
            return self._send(self._failed(error, environ), environ, respond)
        finally:
            self._record(environ, info, status, time.perf_counter() - started)

    def _mount(self, environ: dict[str, Any]) -> None:
        """The application is where the public address says, whether the proxy has taken that path off or left it on.

        `url_for` builds addresses below SCRIPT_NAME.
        """
        path = environ.get("PATH_INFO", "")
        if self._mounted and path.startswith(self._mounted + "/"):
            environ["PATH_INFO"] = path[len(self._mounted) :]
        environ["SCRIPT_NAME"] = self._mounted

    def _send(self, reply: Reply, environ: Environ, respond: Callable[..., Any]) -> list[bytes]:
        status, headers, body = reply
        headers = list(headers)
        if status not in (204, 304):
            headers.append(("Content-Length", str(len(body))))
        respond(STATUS_LINES[status], headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _completed(self, headers: Headers, info: RequestInfo) -> Headers:
        """The answer's headers and those that are always there."""
        names = {name.lower() for name, _ in headers}
        complete = [*headers, ("X-Request-Id", info.request_id)]
        complete += [header for name, header in self._always if name not in names]
        if "cache-control" not in names:
            complete += NOT_STORED
        return complete

    def _record(self, environ: Environ, info: RequestInfo, status: int, seconds: float) -> None:
        """One line and one count. Never the path, the query or a header but the inbound id, and that sanitized."""
        method = environ["REQUEST_METHOD"]
        self._metrics.request(info.route, method, status, seconds)
        level = logging.DEBUG if info.route in PROBES else logging.INFO
        if not access.isEnabledFor(level):
            return
        fields: dict[str, object] = {
            "request_id": info.request_id,
            "route": info.route,
            "method": method[:16],
            "status": status,
            "ms": round(seconds * 1000, 2),
        }
        if info.client:
            fields["client"] = info.client
        if info.practice:
            fields["practice"] = info.practice
        inbound = environ.get("HTTP_X_REQUEST_ID")
        if inbound:
            fields["inbound_request_id"] = _INBOUND_ID.sub("_", inbound[:64])
        access.log(level, "request", extra=fields)
