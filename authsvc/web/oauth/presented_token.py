"""Tokens in the Authorization header, as `Bearer` (RFC 6750 §2.1) or as `DPoP` with its proof (RFC 9449 §7.1).

The header alone, but for the form of a POST to the userinfo endpoint (`header_or_form`): a token in a query would end
up in logs (RFC 9700 §4.3.2), and forms come from any website.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import request

from authsvc.errors import Fault, InvalidInput, TokenInvalid, TokenMissing
from authsvc.model import PresentedProof
from authsvc.web import parsing
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.context import current_service
from authsvc.web.middleware import Environ

MAX_TOKEN = 8192


def bearer(header: str) -> str:
    """The token of the scheme `Bearer`. Raises TokenMissing, TokenInvalid."""
    return _token(header, "bearer")


def presented_token(environ: Environ, called: Callable[[], tuple[str, str]]) -> tuple[str, PresentedProof | None]:
    """The token, and with the scheme `DPoP` its proof, which has to be for the method and address of `called`."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    if not header.lower().startswith("dpop "):
        return bearer(header), None
    return _token(header, "dpop"), PresentedProof(environ.get("HTTP_DPOP", ""), *called())


def header_or_form(path: str) -> tuple[str, PresentedProof | None]:
    """The token of a request to our own endpoint at this path, and its proof: from the header, or as a bearer token
    from the form of a POST (RFC 6750 §2.2).

    Raises TokenMissing, TokenInvalid; InvalidInput for a form that can't be read, and for a token in two places (§3.1).
    """
    environ = request.environ
    form = {}
    if request.method == "POST" and parsing.is_type(environ, parsing.FORM_TYPE):
        form = parsing.parse_form(parsing.read(environ), environ)
    places = ("Authorization" in request.headers, "access_token" in form, "access_token" in request.args)
    if sum(places) > 1:
        raise InvalidInput(Fault("/access_token", "an access token comes in one place"))
    if "access_token" in form:
        return _well_formed(form["access_token"]), None
    return presented_token(environ, lambda: (request.method, own_url(path)))


def own_proof(path: str) -> PresentedProof | None:
    """The proof that came to our own endpoint at this path, if one came."""
    proof = request.headers.get("DPoP")
    return None if proof is None else PresentedProof(proof, request.method, own_url(path))


def own_url(path: str) -> str:
    """Of the issuer's, never of the request: whoever sends one writes its Host."""
    return current_service().settings.public_url.rstrip("/") + path


def forwarded_request(environ: Environ, resolver: ClientIpResolver) -> tuple[str, str]:
    """Method and address of the request that a gateway asks about, in its own X-Forwarded headers. Two empty ones,
    for which no proof is good, where it isn't a trusted proxy that asks, or says less."""
    names = ("METHOD", "PROTO", "HOST", "URI")
    method, scheme, host, uri = (environ.get(f"HTTP_X_FORWARDED_{name}", "") for name in names)
    if not resolver.trusts_peer(environ) or not (method and scheme and host and uri.startswith("/")):
        return "", ""
    return method, f"{scheme}://{host}{uri}"


def _token(header: str, expected: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != expected:
        raise TokenMissing
    return _well_formed(token.strip(" "))


def _well_formed(token: str) -> str:
    # A comma: two Authorization headers that a server in between has joined.
    if not token or len(token) > MAX_TOKEN or not token.isascii() or any(char in token for char in " ,\t"):
        raise TokenInvalid("malformed")
    return token
