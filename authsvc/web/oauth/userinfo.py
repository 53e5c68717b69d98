"""The userinfo endpoint (OpenID Connect Core §5.3): who a bearer token is about, in three members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from authsvc.errors import MethodNotAllowed
from authsvc.web.endpoint import REQUEST_INFO, Environ, Reply, json_reply
from authsvc.web.oauth.forward_auth import bearer

if TYPE_CHECKING:
    from authsvc.wiring import Service

PATH = "/oauth2/userinfo"
METHODS = ("GET", "HEAD", "POST")


class UserinfoEndpoint:
    """Answers relying parties."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def answer(self, environ: Environ, _: Mapping[str, str]) -> Reply:
        """Raises MethodNotAllowed, TokenMissing, TokenInvalid, TokenInsufficient, Unavailable. The token comes in the
        header alone: one in a form or a query would end up in logs (RFC 9700 §4.3.2)."""
        if environ["REQUEST_METHOD"] not in METHODS:
            raise MethodNotAllowed(METHODS)
        token = bearer(environ.get("HTTP_AUTHORIZATION", ""))
        return json_reply(200, self._service.userinfo.of(token, environ[REQUEST_INFO].request_id))
