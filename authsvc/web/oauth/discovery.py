"""What verifiers and clients look up: the keys (RFC 7517), the metadata (RFC 8414, OpenID Connect Discovery), one PEM
per kid.

Public, cacheable, readable from any origin, never throttled: gateways fetch the keys whenever a forged `kid` comes by.
None of it needs the store, so all of it is served when Redis is away.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from authsvc.errors import KeysetUnusable, NotFound
from authsvc.flows import dpop
from authsvc.i18n import LANGUAGES
from authsvc.model import CLAIM_SCOPES
from authsvc.web.context import current_service
from authsvc.web.endpoint import Operation, Success, endpoint
from authsvc.web.middleware import Environ, FastPath, Headers, Reply, read_only
from authsvc.web.oauth.tokens import GRANTS
from authsvc.web.responses import conditional, json_bytes, to_response

if TYPE_CHECKING:
    from authsvc.wiring import Service

WELL_KNOWN = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
JWKS = "/.well-known/jwks.json"
KID = re.compile(r"[A-Za-z0-9_-]{1,128}")
METADATA_MAX_AGE_S = 3600

CONFIDENTIAL = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
METHODS = [*CONFIDENTIAL, "none"]
ID_TOKEN_ALGS = "id_token_signing_alg_values_supported"
BY_REGISTRATION = ["ES256", "RS256"]
"""What the ID tokens of any client may be signed with."""
ASSERTION_ALGS = ["ES256", "RS256", "PS256", "EdDSA"]
CLAIMS = [
    *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "practice", "act", "locale"),
    *("email", "email_verified", "name"),
]
"""Of the id_token and userinfo together; the last ones by opt-in of practice and client."""

OPEN: Headers = [("Access-Control-Allow-Origin", "*"), ("Cross-Origin-Resource-Policy", "cross-origin")]


def fast_paths(service: Service) -> dict[str, FastPath]:
    """path → document."""
    documents = Discovery(service)
    return {JWKS: documents.jwks, **dict.fromkeys(metadata_paths(service.settings.public_url), documents.metadata)}


class Discovery:
    """The public documents of one service that gateways and clients ask for most, without Flask."""

    def __init__(self, service: Service) -> None:
        self._keys = service.signing_keys
        self._signing_alg = service.settings.signing_alg
        age = f"public, max-age={service.settings.jwks_max_age_s}"
        self._jwks_headers: Headers = [("Content-Type", "application/jwk-set+json"), ("Cache-Control", age), *OPEN]
        self._metadata = metadata(service)
        self._documents: dict[str, bytes] = {}  # by the ETag of the key set
        self._metadata_headers: Headers = [
            ("Content-Type", "application/json"),
            ("Cache-Control", f"public, max-age={METADATA_MAX_AGE_S}"),
            *OPEN,
        ]

    def jwks(self, environ: Environ) -> Reply:
        """The key set. Raises KeysetUnusable while there is none: an empty set would wipe good caches."""
        read_only(environ)
        body, etag = self._keys.jwks()
        return conditional(environ, body, etag if etag.startswith('"') else f'"{etag}"', self._jwks_headers)

    def metadata(self, environ: Environ) -> Reply:
        read_only(environ)
        body = self._document()
        return conditional(environ, body, _etag(body), self._metadata_headers)

    def _document(self) -> bytes:
        """The metadata, with the algorithms of the keys that there are beside those that a client may be registered
        for: an imported key, or one from before the setting was changed, may be of another kind than new ones."""
        try:
            keys, version = self._keys.jwks()
        except KeysetUnusable:
            keys, version = b'{"keys":[]}', ""
        body = self._documents.get(version)
        if body is None:
            algs = [self._signing_alg, *BY_REGISTRATION, *(key["alg"] for key in json.loads(keys)["keys"])]
            body = json_bytes({**self._metadata, ID_TOKEN_ALGS: list(dict.fromkeys(algs))})
            self._documents = {version: body}
        return body


blueprint = Blueprint("discovery", __name__)


@blueprint.get("/keys/<kid>.pem")
@endpoint(
    "getKeyPem",
    "One public key as PEM",
    Success(200, "SubjectPublicKeyInfo in PEM."),
    Success(304, "Unchanged."),
    security=None,
    problems=("not-found", "unavailable"),
)
def pem(kid: str) -> ResponseReturnValue:
    """For gateways that can't read a key set."""
    found = current_service().signing_keys.pem(kid) if KID.fullmatch(kid) else None
    if found is None:
        raise NotFound
    body = found.encode("ascii")
    age = f"public, max-age={current_service().settings.jwks_max_age_s}"
    headers: Headers = [("Content-Type", "application/x-pem-file"), ("Cache-Control", age), *OPEN]
    return to_response(conditional(request.environ, body, _etag(body), headers))


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def metadata_paths(public_url: str) -> tuple[str, ...]:
    """For an issuer with a path RFC 8414 §3.1 puts the well-known part before that path, Discovery §4 behind it; there
    the edge takes the path off, like any other's. RFC 8414 §5 wants the first way for OpenID's document too."""
    path = urlsplit(public_url).path.rstrip("/")
    documents = (WELL_KNOWN, OPENID)
    return (*documents, *(document + path for document in documents)) if path else documents


def metadata(service: Service) -> dict[str, Any]:
    """RFC 8414 §2, OpenID Connect Discovery §3. Only what is there, and no empty arrays (§3.2 of both)."""
    settings, catalogue = service.settings, service.catalogue
    base = settings.public_url.rstrip("/")
    types = tuple(dict.fromkeys(workflow.resource for workflow in catalogue.all() if workflow.resource))
    metadata: dict[str, Any] = {
        "issuer": settings.public_url,
        "jwks_uri": base + JWKS,
        "authorization_endpoint": f"{base}/oauth2/authorize",
        "pushed_authorization_request_endpoint": f"{base}/oauth2/par",
        "require_pushed_authorization_requests": False,
        "token_endpoint": f"{base}/oauth2/token",
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGS,
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "userinfo_endpoint": f"{base}/oauth2/userinfo",
        "end_session_endpoint": f"{base}/oauth2/logout",
        "revocation_endpoint": f"{base}/oauth2/revoke",
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGS,
        "introspection_endpoint": f"{base}/oauth2/introspect",
        "introspection_endpoint_auth_methods_supported": CONFIDENTIAL,
        "introspection_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGS,
        # Said, since the default would advertise the implicit grant.
        "grant_types_supported": list(GRANTS),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "subject_types_supported": ["public"],
        ID_TOKEN_ALGS: list(dict.fromkeys([settings.signing_alg, *BY_REGISTRATION])),
        "scopes_supported": list(dict.fromkeys(("openid", *catalogue.code_scopes, *CLAIM_SCOPES.values()))),
        "claims_supported": CLAIMS,
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,  # Discovery §3: not said, it would be true
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "acr_values_supported": ["instant", "extra"],
        "ui_locales_supported": list(LANGUAGES),
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "authorization_details_types_supported": list(types),
        "service_documentation": f"{base}/limits",
    }
    return {name: value for name, value in metadata.items() if value not in ([], "")}


OPERATIONS = tuple(
    Operation(
        operation_id,
        summary,
        (Success(200, description), Success(304, "Unchanged.")),
        path=path,
        tag="discovery",
        security=None,
        problems=problems,
    )
    for operation_id, path, summary, description, problems in (
        (
            "getJwks",
            JWKS,
            "The public signing keys",
            "A JWK set (RFC 7517), with the next key well before it signs.",
            ("unavailable",),
        ),
        ("getMetadata", WELL_KNOWN, "What this authorization server offers", "RFC 8414.", ()),
        (
            "getOpenidConfiguration",
            OPENID,
            "What this OpenID Provider offers",
            "OpenID Connect Discovery 1.0; the same document.",
            (),
        ),
    )
)
