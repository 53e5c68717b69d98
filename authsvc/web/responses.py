"""How answers are made, by Flask and before it: JSON, and documents with an entity tag."""

from __future__ import annotations

import json
from typing import Any

import flask
from flask.json.provider import DefaultJSONProvider

from authsvc.web.middleware import Environ, Headers, Reply


class Response(flask.Response):
    """An empty answer has no media type."""

    default_mimetype = None


class JsonProvider(DefaultJSONProvider):
    """What a view returns as a dict."""

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return Response(json_bytes(self._prepare_response_obj(args, kwargs)), mimetype="application/json")


def json_bytes(payload: Any) -> bytes:
    """Compact ASCII JSON: nothing in it can break a log line or a terminal."""
    return json.dumps(payload, separators=(",", ":"), allow_nan=False).encode("ascii")


def to_response(reply: Reply) -> flask.Response:
    return Response(reply.body, reply.status, reply.headers)


def conditional(environ: Environ, body: bytes, etag: str, headers: Headers) -> Reply:
    """304 when the caller has this version (RFC 9110 §13.1.2). `headers` begin with the Content-Type."""
    known = environ.get("HTTP_IF_NONE_MATCH")
    # An entity tag is quoted and ours is a digest: where it stands in a list, it was meant, weak or strong.
    if known and (etag in known or known.strip() == "*"):
        return Reply(304, [("ETag", etag), *headers[1:]])
    return Reply(200, [("ETag", etag), *headers], body)
