"""What verifiers and clients look up: the keys (RFC 7517), the metadata (RFC 8414), one PEM per kid.

Public, cacheable, readable from any origin, never throttled: gateways fetch the keys whenever a forged `kid` comes by.
None of it needs the store, so all of it is served when Redis is away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from authsvc.errors import MethodNotAllowed, NotFound
from authsvc.web.calls import Environ, Headers, Operation, Reply, Success, json_bytes
from authsvc.web.oauth import REFRESH

if TYPE_CHECKING:
    from authsvc.wiring import Service

WELL_KNOWN = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"
KID = re.compile(r"[A-Za-z0-9_-]{1,128}")
METADATA_MAX_AGE_S = 3600
READS = ("GET", "HEAD")

OPEN: Headers = [("Access-Control-Allow-Origin", "*"), ("Cross-Origin-Resource-Policy", "cross-origin")]


class Discovery:
    """The public documents of one service."""

    def __init__(self, service: Service) -> None:
        self._keys = service.keys
        age = f"public, max-age={service.settings.jwks_max_age_s}"
        self._jwks_headers: Headers = [("Content-Type", "application/jwk-set+json"), ("Cache-Control", age), *OPEN]
        self._pem_headers: Headers = [("Content-Type", "application/x-pem-file"), ("Cache-Control", age), *OPEN]
        self._metadata = json_bytes(metadata(service))
        self._metadata_etag = _etag(self._metadata)
        self._metadata_headers: Headers = [
            ("Content-Type", "application/json"),
            ("Cache-Control", f"public, max-age={METADATA_MAX_AGE_S}"),
            *OPEN,
        ]

    def jwks(self, environ: Environ) -> Reply:
        """The key set. Raises KeyRingUnusable while there is none: an empty set would wipe good caches."""
        readable(environ)
        body, etag = self._keys.jwks()
        return conditional(environ, body, etag if etag.startswith('"') else f'"{etag}"', self._jwks_headers)

    def metadata(self, environ: Environ) -> Reply:
        readable(environ)
        return conditional(environ, self._metadata, self._metadata_etag, self._metadata_headers)

    def pem(self, environ: Environ, path: Mapping[str, str]) -> Reply:
        """One public key, for gateways that can't read a key set."""
        pem = self._keys.pem(path["kid"]) if KID.fullmatch(path["kid"]) else None
        if pem is None:
            raise NotFound
        readable(environ)
        body = pem.encode("ascii")
        return conditional(environ, body, _etag(body), self._pem_headers)


def readable(environ: Environ) -> None:
    """Raises MethodNotAllowed for anything but GET and HEAD."""
    if environ["REQUEST_METHOD"] not in READS:
        raise MethodNotAllowed(READS)


def conditional(environ: Environ, body: bytes, etag: str, headers: Headers) -> Reply:
    """304 when the caller has this version (RFC 9110 §13.1.2)."""
    known = environ.get("HTTP_IF_NONE_MATCH")
    # An entity tag is quoted and ours is a digest: where it stands in a list, it was meant, weak or strong.
    if known and (etag in known or known.strip() == "*"):
        return Reply(304, [("ETag", etag), *headers[1:]])
    return Reply(200, [("ETag", etag), *headers], body)


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def metadata_paths(public_url: str) -> tuple[str, ...]:
    """For an issuer with a path the well-known part comes before that path (RFC 8414 §3.1)."""
    path = urlsplit(public_url).path.rstrip("/")
    return (WELL_KNOWN, WELL_KNOWN + path) if path else (WELL_KNOWN,)


def metadata(service: Service) -> dict[str, Any]:
    """RFC 8414 §2. Only what is there, and no empty arrays (§3.2); the grant types are said, since the default would
    advertise the implicit grant."""
    base = service.settings.public_url.rstrip("/")
    catalogue = service.catalogue
    types = tuple(dict.fromkeys(workflow.resource for workflow in catalogue.all() if workflow.resource))
    basic = ["client_secret_basic"]
    said: dict[str, Any] = {
        "issuer": service.settings.public_url,
        "jwks_uri": base + JWKS,
        "token_endpoint": f"{base}/oauth2/token",
        "token_endpoint_auth_methods_supported": basic,
        "revocation_endpoint": f"{base}/oauth2/revoke",
        "revocation_endpoint_auth_methods_supported": basic,
        "introspection_endpoint": f"{base}/oauth2/introspect",
        "introspection_endpoint_auth_methods_supported": basic,
        "grant_types_supported": [REFRESH],
        # Required by §2, though there is no authorization endpoint: that no response type is supported can't be said.
        "response_types_supported": ["none"],
        "scopes_supported": list(catalogue.code_scopes),
        "acr_values_supported": ["instant", "extra"],
        "authorization_details_types_supported": list(types),
        "service_documentation": f"{base}/limits",
    }
    return {name: value for name, value in said.items() if value}


OPERATIONS = (
    Operation(
        "getJwks", "GET", JWKS, "The public signing keys", tag="discovery", security=None,
        run=Discovery.jwks,
        success=(Success(200, "A JWK set (RFC 7517), with the next key well before it signs."),
                 Success(304, "Unchanged.")),
        problems=("unavailable",),
    ),
    Operation(
        "getMetadata", "GET", WELL_KNOWN, "What this authorization server offers", tag="discovery", security=None,
        run=Discovery.metadata, success=(Success(200, "RFC 8414."), Success(304, "Unchanged.")),
    ),
    Operation(
        "getKeyPem", "GET", "/keys/{kid}.pem", "One public key as PEM", tag="discovery", security=None,
        run=Discovery.pem,
        success=(Success(200, "SubjectPublicKeyInfo in PEM."), Success(304, "Unchanged.")),
        problems=("not-found", "unavailable"),
    ),
)  # fmt: skip
