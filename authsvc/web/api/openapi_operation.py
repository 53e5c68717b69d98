"""One operation as OpenAPI: its parameters, its body, and every answer it may give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from authsvc.errors import ALL
from authsvc.text import ACTING_USER as ACTING_USER_RULE
from authsvc.web.client_authentication import JWT_BEARER
from authsvc.web.endpoint import ACTING_USER, Operation, Success
from authsvc.web.oauth import forward_auth, tokens
from authsvc.web.parsing import FORM_TYPE, JSON_TYPE
from authsvc.web.problems import PROBLEM_TYPE, PROBLEM_TYPES

ALWAYS = {
    "client": ("unauthenticated", "method-not-allowed", "too-large", "rate-limited", "unavailable", "internal"),
    "patient": ("internal",),
    None: ("method-not-allowed", "internal"),
}
"""Problems that every call of a kind may answer."""

MEDIA = {
    "/.well-known/jwks.json": "application/jwk-set+json",
    "/keys/{kid}.pem": "application/x-pem-file",
}
"""Where the answer isn't plain JSON."""

_WAYS_CONFIDENTIAL = (
    "The client authenticates in the one way that it is registered for: HTTP Basic (`client_secret_basic`), its secret "
    "in the form (`client_secret_post`), or a signed assertion in the form (`private_key_jwt`, RFC 7523)."
)
_WAYS = f"{_WAYS_CONFIDENTIAL} A public client sends its `client_id` in the form (`none`)."
_IN_FORM = {
    "client_id": "Of a public client, or with `client_secret`; beside another way, the same client.",
    "client_secret": "Of a client that is registered to send it in the form.",
    "client_assertion_type": "Of a client that signs.",
    "client_assertion": "A JWT signed by a registered key: `iss` and `sub` are the client's id, `aud` is the issuer "
    "and nothing else, `exp` at most five minutes ahead (by registration the token endpoint too, and an hour), a `jti` "
    "that is used once.",
}

_ON_STATUS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}


ANSWERS = {error.oauth for error in ALL}


class OperationDescription:
    """One operation as OpenAPI."""

    def __init__(self, plugin: MarshmallowPlugin, operation: Operation) -> None:
        self._plugin = plugin
        self._operation = operation

    @property
    def _at_oauth(self) -> bool:
        return self._operation.path.startswith("/oauth2")

    def document(self) -> dict[str, Any]:
        operation = self._operation
        description = [operation.detail] if operation.detail else []
        if self._at_oauth:
            description.append(_WAYS if operation.permission is None else _WAYS_CONFIDENTIAL)
        if operation.permission:
            description.append(f"Needs the permission `{operation.permission}`.")
        operation_object: dict[str, Any] = {
            "operationId": operation.id,
            "summary": operation.summary,
            "description": " ".join(description) or operation.summary,
            "tags": [operation.tag],
            "responses": self._responses(),
            "security": [{operation.security: []}] if operation.security else [],
        }
        if self._at_oauth:
            # OpenAPI has no scheme for a credential in a form: its members say it.
            operation_object["security"].append({})
        parameters = self._parameters()
        if parameters:
            operation_object["parameters"] = parameters
        body = self._body()
        if body:
            operation_object["requestBody"] = body
        return operation_object

    def _parameters(self) -> list[dict[str, Any]]:
        operation, found = self._operation, []
        if operation.query is not None and self._plugin.converter is not None:
            found += self._plugin.converter.schema2parameters(type(operation.query), location="query")
        if operation.path == forward_auth.PATH:
            for name in forward_auth.PARAMETERS:
                schema = {"type": "string", "minLength": 1}
                found.append({"name": name, "in": "query", "required": name == "practice", "schema": schema})
        if operation.path.startswith("/v1/practices"):
            description = "Who at the practice does this, in your own words; stands as `by` in the audit."
            schema = {"type": "string", "pattern": f"^{ACTING_USER_RULE}$"}
            found.append({"name": ACTING_USER, "in": "header", "description": description, "schema": schema})
        if operation.idempotent:
            description = "The same key and body within ten minutes get the same answer; another body is a conflict."
            schema = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$"}
            found.append({"name": "Idempotency-Key", "in": "header", "description": description, "schema": schema})
        return found

    def _body(self) -> dict[str, Any] | None:
        operation = self._operation
        if operation.body is not None:
            media: dict[str, Any] = {"schema": type(operation.body)}
            if operation.example is not None:
                media["example"] = operation.example
            return {"required": True, "content": {JSON_TYPE: media}}
        if operation.form is not None:
            return {"required": True, "content": {FORM_TYPE: {"schema": self._form(operation.form)}}}
        return None

    def _form(self, form: Mapping[str, str]) -> dict[str, Any]:
        """A form of /oauth2, with the credentials that may stand in it."""
        names: dict[str, dict[str, Any]] = {
            name: {"type": "string", "description": description} for name, description in {**form, **_IN_FORM}.items()
        }
        names["client_assertion_type"]["const"] = JWT_BEARER
        schema: dict[str, Any] = {
            "type": "object",
            "required": [name for name in form if name in ("grant_type", "token")],
            "properties": names,
            "dependentRequired": {
                "client_assertion": ["client_assertion_type"],
                "client_assertion_type": ["client_assertion"],
            },
        }
        if "grant_type" in form:
            names["grant_type"]["enum"] = list(tokens.GRANTS)
            schema["oneOf"] = [
                {"properties": {"grant_type": {"const": grant}}, "required": list(needs)}
                for grant, needs in tokens.GRANTS.items()
            ]
        return schema

    # --- answers --------------------------------------------------------------------------------------------------

    def _responses(self) -> dict[str, Any]:
        responses: dict[str, Any] = {}
        by_status: dict[int, list[Success]] = {}
        for success in self._operation.success:
            by_status.setdefault(success.status, []).append(success)
        for status, successes in by_status.items():
            responses[str(status)] = self._success(status, successes)
        if self._at_oauth:
            responses |= {str(answer.status): self._oauth_error(answer.status) for answer in ANSWERS}
        else:
            for status, slugs in self._problems().items():
                responses[str(status)] = self._problem(status, slugs)
        return dict(sorted(responses.items()))

    def _success(self, status: int, successes: Sequence[Success]) -> dict[str, Any]:
        operation = self._operation
        headers = ["X-Request-Id"]
        if operation.path.startswith("/v1/practices"):
            headers += ["RateLimit", "RateLimit-Policy"]
        if operation.path == forward_auth.PATH:
            headers += [name for name, _ in forward_auth.HEADERS]
        if operation.tag == "discovery":
            headers.append("ETag")
        operation_object: dict[str, Any] = {"description": " ".join(success.description for success in successes)}
        operation_object["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
        content = self._content(status, successes)
        if content:
            operation_object["content"] = content
        links = {name: link for success in successes for name, link in success.links.items()}
        if links:
            operation_object["links"] = {name: self._link(*link) for name, link in links.items()}
        return operation_object

    def _content(self, status: int, successes: Sequence[Success]) -> dict[str, Any] | None:
        operation = self._operation
        if operation.tag == "discovery":
            text = operation.path.endswith(".pem")
            media = MEDIA.get(operation.path, JSON_TYPE)
            return None if status == 304 else {media: {"schema": {"type": "string" if text else "object"}}}
        schemas: list[type[Schema]] = [success.schema for success in successes if success.schema is not None]
        examples = [success.example for success in successes if success.example is not None]
        if not schemas and not examples:
            return None
        shown: dict[str, Any] = {"schema": {"type": "object"}}
        if schemas:
            shown["schema"] = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
        if examples:
            shown["examples"] = {f"case{number}": {"value": one} for number, one in enumerate(examples, 1)}
        return {JSON_TYPE: shown}

    def _link(self, target: str, theirs: str, ours: str) -> dict[str, Any]:
        source = f"$response.body#/{ours}"
        path = {"practice": "$request.path.practice"}
        if theirs == "link_id":
            return {"operationId": target, "parameters": {**path, theirs: source}}
        return {"operationId": target, "parameters": path, "requestBody": {theirs: source}}

    def _problems(self) -> dict[int, list[str]]:
        operation = self._operation
        slugs = [*ALWAYS[operation.security], *operation.problems]
        if operation.security == "client":
            slugs += ["not-found", "forbidden", "invalid-request"]
            if operation.body is not None:
                slugs.append("unsupported-media-type")
        found: dict[int, list[str]] = {}
        for slug in slugs:
            found.setdefault(PROBLEM_TYPES[slug].status, []).append(slug)
        return found

    def _problem(self, status: int, slugs: Sequence[str]) -> dict[str, Any]:
        description = " ".join(f"`{slug}`: {PROBLEM_TYPES[slug].title}." for slug in dict.fromkeys(slugs))
        schema = {"$ref": "#/components/schemas/Problem"}
        return {"description": description, "headers": _on(status), "content": {PROBLEM_TYPE: {"schema": schema}}}

    def _oauth_error(self, status: int) -> dict[str, Any]:
        codes = sorted({answer.code for answer in ANSWERS if answer.status == status})
        description = ", ".join(f"`{code}`" for code in codes)
        schema = {"$ref": "#/components/schemas/OAuthError"}
        return {"description": description, "headers": _on(status), "content": {JSON_TYPE: {"schema": schema}}}


def _on(status: int) -> dict[str, Any]:
    names = ("X-Request-Id", *_ON_STATUS.get(status, ()))
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
