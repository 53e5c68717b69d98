"""Who calls: the client's id and secret from `Authorization: Basic` (RFC 7617, RFC 6749 §2.3.1), and nothing else."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from authsvc.errors import Unauthenticated
from authsvc.model import Client
from authsvc.web.calls import SEEN, Environ
from authsvc.web.fields import PRACTICE
from authsvc.web.peers import Peers

if TYPE_CHECKING:
    from authsvc.wiring import Service

MAX_HEADER = 1024
CLIENT_ID = re.compile(PRACTICE, re.ASCII)
_SECRET = re.compile(r"[!-~]{1,200}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def authenticate(service: Service, peers: Peers, environ: Environ) -> Client:
    """The calling client. Raises Unauthenticated; RateLimited after too many wrong secrets from the peer's network."""
    client_id, secret = basic(environ.get("HTTP_AUTHORIZATION", ""))
    client = service.clients.authenticate(client_id, secret, peers.of(environ))
    environ[SEEN].client = client.id
    return client


def basic(header: str) -> tuple[str, str]:
    """Id and secret, form-url-decoded. Raises Unauthenticated for a header that can't be any client's."""
    if not header:
        raise Unauthenticated("missing")
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > MAX_HEADER:
        raise Unauthenticated("malformed")
    try:
        pair = base64.b64decode(encoded.strip().encode("ascii"), validate=True).decode("utf-8")
        client_id, colon, secret = pair.partition(":")
        client_id, secret = _decoded(client_id), _decoded(secret)
    except (UnicodeError, binascii.Error, ValueError):
        raise Unauthenticated("malformed") from None
    if not colon or not CLIENT_ID.fullmatch(client_id) or not _SECRET.fullmatch(secret):
        raise Unauthenticated("malformed")
    return client_id, secret


def _decoded(text: str) -> str:
    """application/x-www-form-urlencoded, strictly. Raises ValueError."""
    if _BAD_ESCAPE.search(text):
        raise ValueError("a percent sign without two digits")
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
