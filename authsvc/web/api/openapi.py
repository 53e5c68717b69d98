"""The API's description (OpenAPI 3.1), derived from what stands beside the views and from their marshmallow schemas.

Nothing is operations twice: a path, a permission, a field or a problem that changes in the code changes here. The
contract tests call the service as this document says and compare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask

from authsvc import __version__
from authsvc.errors import ALL
from authsvc.web import api, health
from authsvc.web.api.openapi_operation import OperationDescription
from authsvc.web.endpoint import Operation, operations
from authsvc.web.fields import PATIENT, PRACTICE
from authsvc.web.oauth import discovery, forward_auth, pushed_requests, revocations, tokens

if TYPE_CHECKING:
    from authsvc.config.workflows import Catalogue


def _operations() -> tuple[Operation, ...]:
    """Those beside views, and those that are answered before Flask."""
    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    for part in (api, tokens, pushed_requests, discovery, revocations):
        app.register_blueprint(part.blueprint)
    return (*operations(app), *discovery.OPERATIONS, *forward_auth.OPERATIONS, *health.OPERATIONS)


OPERATIONS = _operations()

_PATHS: Mapping[str, dict[str, Any]] = {
    "practice": {"schema": {"type": "string", "pattern": PRACTICE}, "example": "maple"},
    "id": {"schema": {"type": "string", "pattern": PATIENT}, "example": "pat_1", "description": "The patient's id."},
    "guardian": {"schema": {"type": "string", "pattern": PATIENT}, "example": "pat_1", "description": "Who acts."},
    "dependent": {"schema": {"type": "string", "pattern": PATIENT}, "example": "pat_2", "description": "For whom."},
    "link_id": {"schema": {"type": "string"}, "description": "The public id of a link, never its token."},
    "sid": {"schema": {"type": "string"}, "description": "The id of a session."},
    "kid": {"schema": {"type": "string"}, "description": "The id of a key (RFC 7638)."},
}

_HEADERS: Mapping[str, dict[str, Any]] = {
    "X-Request-Id": {"description": "Of this answer; log lines carry it.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "What would do.", "schema": {"type": "string"}},
    "Allow": {"description": "The methods of this path.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    "RateLimit": {
        "description": "What is left of each limit (draft-ietf-httpapi-ratelimit-headers-11).",
        "schema": {"type": "string"},
        "example": '"client-calls";r=99;t=1',
    },
    "RateLimit-Policy": {
        "description": "The limits that count this call.",
        "schema": {"type": "string"},
        "example": '"client-calls";q=100;w=1',
    },
    "ETag": {"description": "For If-None-Match.", "schema": {"type": "string"}},
    **{name: {"description": "Perhaps empty.", "schema": {"type": "string"}} for name, _ in forward_auth.HEADERS},
}

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "A page that explains it."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "`invalid-request` only: every fault at once.",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "attempts_left": {"type": "integer", "minimum": 0, "description": "`invalid-code` only."},
        "reason": {
            "description": "`link-gone` only.",
            "enum": ["expired", "used_up", "revoked", "address_changed"],
        },
        "violated-policies": {
            "type": "array",
            "items": {"type": "string"},
            "description": "`rate-limited` only: the limits that refused.",
        },
    },
}
_OAUTH_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"enum": sorted({error.oauth.code for error in ALL})},
        "error_description": {"type": "string"},
    },
}


def document(public_url: str, catalogue: Catalogue | None = None) -> dict[str, Any]:
    """The whole description of the service at `public_url`; with a catalogue, the names of its workflows too."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="authsvc",
        version=__version__,
        openapi_version="3.1.0",
        plugins=[plugin],
        info={
            "summary": "Passwordless sign-in and emailed links for patients of medical practices.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        servers=[{"url": public_url.rstrip("/")}],
        tags=[{"name": tag} for tag in dict.fromkeys(operation.tag for operation in OPERATIONS)],
    )
    for name, header in _HEADERS.items():
        spec.components.header(name, header)
    spec.components.schema("Problem", _PROBLEM)
    spec.components.schema("OAuthError", _OAUTH_ERROR)
    spec.components.security_scheme(
        "client",
        {
            "type": "http",
            "scheme": "basic",
            "description": "Client id and secret, each form-url-encoded. For clients with a secret; what the others do "
            "at /oauth2 is told there.",
        },
    )
    spec.components.security_scheme("patient", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    by_path: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        operations = OperationDescription(plugin, operation).document()
        by_path.setdefault(operation.path, {})[operation.method.lower()] = operations
    for path, operations in by_path.items():
        names = re.findall(r"\{(\w+)\}", path)
        parameters = [{"name": name, "in": "path", "required": True, **_PATHS[name]} for name in names]
        spec.path(path, operations=operations, parameters=parameters)
    whole: dict[str, Any] = spec.to_dict()
    _exactly_one(whole["components"]["schemas"])
    if catalogue is not None:
        names = [workflow.name for workflow in catalogue.all() if workflow.link_life_s is not None]
        whole["components"]["schemas"]["IssueLink"]["properties"]["workflow"]["enum"] = names
    return whole


def _exactly_one(schemas: dict[str, Any]) -> None:
    """What marshmallow can't say of two fields together."""
    for operation in OPERATIONS:
        choice = getattr(operation.body, "one_of", ())
        if choice:
            schemas[type(operation.body).__name__]["oneOf"] = [{"required": [name]} for name in choice]
