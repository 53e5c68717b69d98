"""Who calls.

The API takes the client's id and secret from `Authorization: Basic` (RFC 7617, RFC 6749 §2.3.1) and nothing else. At
/oauth2 each client has the one way that it was registered for: that, its secret in the form, a signed assertion
(RFC 7523), or, for a public client, its id alone. Forms end up in logs more often than headers do, so a secret in one
is refused from every client that isn't registered for it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from flask import request

from authsvc.errors import Fault, InvalidInput, Unauthenticated
from authsvc.model import Client
from authsvc.web import parsing
from authsvc.web.context import client_ip, current_service, request_info
from authsvc.web.fields import PRACTICE
from authsvc.web.middleware import Environ

MAX_HEADER = 1024
CLIENT_ID = re.compile(PRACTICE, re.ASCII)
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""`client_assertion_type` (RFC 7523 §2.2)."""
_SECRET = re.compile(r"[!-~]{1,200}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def authenticate(method: str = "") -> Client:
    """The calling client, by Basic; `method` as `Clients.authenticate` has it. Raises Unauthenticated; RateLimited when
    its network sends too many wrong ones."""
    client_id, secret = basic(request.headers.get("Authorization", ""))
    client = current_service().clients.authenticate(client_id, secret, client_ip(), method)
    request_info().client = client.id
    return client


def registered_client(*, open_to_public: bool) -> tuple[Client, Mapping[str, str] | None]:
    """The client that calls /oauth2, and the form if it had to be read for that.

    Raises Unauthenticated, RateLimited, Unavailable; for a form that can't be read TooLarge and InvalidInput.
    """
    if request.headers.get("Authorization"):
        return authenticate("client_secret_basic"), None
    if request.method != "POST" or not parsing.is_type(request.environ, parsing.FORM_TYPE):
        raise Unauthenticated("missing")
    form = _form()
    client = _from_form(form, open_to_public)
    request_info().client = client.id
    return client, form


def _form() -> Mapping[str, str]:
    environ: Environ = request.environ
    return parsing.parse_form(parsing.read(environ), environ)


def _from_form(form: Mapping[str, str], open_to_public: bool) -> Client:
    """A client that says in the form who it is: by an assertion, or by its id alone."""
    client_id, assertion = form.get("client_id", ""), form.get("client_assertion", "")
    asserts = bool(assertion) or "client_assertion_type" in form
    if asserts and "client_secret" in form:
        raise _two_ways()
    if client_id and not CLIENT_ID.fullmatch(client_id):
        raise Unauthenticated("malformed")
    if "client_secret" in form:
        return _by_secret(client_id, form["client_secret"])
    if asserts:
        if not assertion or form.get("client_assertion_type") != JWT_BEARER:
            raise Unauthenticated("malformed")
        return current_service().clients.authenticate_assertion(assertion, client_id, client_ip())
    if not client_id or not open_to_public:  # whichever client it names: who may introspect can keep a secret
        raise Unauthenticated("missing")
    return current_service().clients.authenticate_public(client_id, client_ip())


def _by_secret(client_id: str, secret: str) -> Client:
    """`client_secret_post` (RFC 6749 §2.3.1)."""
    if not client_id or not _SECRET.fullmatch(secret):
        raise Unauthenticated("malformed")
    return current_service().clients.authenticate(client_id, secret, client_ip(), "client_secret_post")


def form_beside_basic(client: Client) -> Mapping[str, str]:
    """The form of a client that is known by Basic: the same client, and no second way (RFC 6749 §2.3)."""
    form = _form()
    second = {"client_secret", "client_assertion", "client_assertion_type"}
    if second.intersection(form) or form.get("client_id", client.id) != client.id:
        raise _two_ways()
    return form


def _two_ways() -> InvalidInput:
    return InvalidInput(Fault("/client_id", "one way of client authentication at a time"))


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
