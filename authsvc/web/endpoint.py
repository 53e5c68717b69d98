"""The order in which every call is judged, in one place, whichever edge it came to.

401 who are you → 404 is there such a practice, for you → 403 may you → 405 is that a method here → 413 and 415 could
it be a body → 400 does it make sense, all faults at once → 429 and the act itself, which the use case decides.

Whoever isn't known learns nothing, whoever may not learns no more than that the path exists, and nothing is read before
somebody may send it. `endpoint` makes these checks for a view and carries its description, from which the OpenAPI
document is made; `check_unrouted` makes them for paths and methods that no view has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, wraps
from hashlib import sha256
from typing import Any

import werkzeug.exceptions
from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema

from authsvc import text as rules
from authsvc.config.limits import fields as ratelimit_fields
from authsvc.errors import Fault, Forbidden, InvalidInput, MethodNotAllowed, NotFound
from authsvc.model import Client
from authsvc.web import client_authentication, fields, parsing
from authsvc.web.context import load_practice, request_context, request_info
from authsvc.web.errors import below
from authsvc.web.fields import PATIENT

View = Callable[..., ResponseReturnValue]

GUARDED = ("/v1/practices", "/oauth2")
"""At and below these paths client credentials are needed, whether the path exists or not."""

ACTING_USER = "X-Acting-User"
"""Who at the practice does it, in the client's own words; it stands in the audit."""

_ACTING_USER = re.compile(rules.ACTING_USER, re.ASCII)
_PATIENT = re.compile(PATIENT, re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True)
class Success:
    """One documented good answer. `links` are OpenAPI links: name → (operation id, its member, ours)."""

    status: int
    description: str
    schema: type[Schema] | None = None
    example: Any = None
    links: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """The description of one operation.

    `security` is who calls: `client` (at /oauth2 in the way it is registered for, else by Basic), `patient` (a bearer
    token) or nobody. `form` describes the parameters of a call to /oauth2. `problems` are the slugs beyond those that
    every call of its kind may answer. A view's `method` and `path` are those of its rule, its `tag` is the name of its
    blueprint unless another one is given.
    """

    id: str
    summary: str
    success: tuple[Success, ...]
    tag: str = ""
    permission: str | None = None
    security: str | None = "client"
    body: Schema | None = None
    form: Mapping[str, str] | None = None
    query: Schema | None = None
    example: Any = None
    idempotent: bool = False
    problems: tuple[str, ...] = ()
    detail: str = ""
    method: str = "GET"
    path: str = ""


def endpoint(operation_id: str, summary: str, *success: Success, **more: Any) -> Callable[[View], View]:
    """A view that is called when every check has passed; `more` are fields of `Operation`.

    It gets what the operation speaks of, in this order: the client and the form at /oauth2; elsewhere the
    RequestContext where the path names a practice, and the clean values of body and query where it takes any. The other
    members of the path are keyword arguments.
    """
    operation = Operation(operation_id, summary, success, **more)

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(**path: str) -> Response:
            return _call(operation, view, path)

        checked.operation = operation  # type: ignore[attr-defined]  # the description stands beside the view
        return checked

    return decorate


def _call(operation: Operation, view: View, path: dict[str, str]) -> Response:
    client, form = _client(operation)
    practice = load_practice(path.pop("practice"), client) if "practice" in path else None
    if client is not None:
        _require([operation], client)
    if operation.form is not None and client is not None:
        if form is None:
            form = client_authentication.form_beside_basic(client)
        return current_app.make_response(view(client, form))
    raw, data = _parse(operation, path)
    arguments: list[Any] = []
    if practice is not None:
        key = request.headers.get("Idempotency-Key") if operation.idempotent else None
        fingerprint = b"" if key is None else sha256(f"{request.method} {request.path}\n".encode() + raw).digest()
        context = request_context(
            practice,
            client,
            client_ip=data.get("client_ip"),
            idempotency_key=key,
            fingerprint=fingerprint,
            by=request.headers.get(ACTING_USER, ""),
        )
        arguments.append(context)
    if operation.body is not None or operation.query is not None:
        arguments.append(data)
    response = current_app.make_response(view(*arguments, **path))
    if practice is not None:
        response.headers.extend(ratelimit_fields(context.limits))
    return response


def _client(operation: Operation) -> tuple[Client | None, Mapping[str, str] | None]:
    """Who calls, and the form if it had to be read for that."""
    if operation.security != "client":
        return None, None
    if operation.form is not None:
        return client_authentication.registered_client(open_to_public=operation.permission is None)
    return client_authentication.authenticate(), None


def _require(operations: list[Operation], client: Client) -> None:
    """403 before 405: where the method is unknown, the permission of any operation on the path will do."""
    permissions = [operation.permission for operation in operations]
    if None not in permissions and not client.permissions.intersection(permissions):
        raise Forbidden(permissions[0] or "")


def _parse(operation: Operation, path: Mapping[str, str]) -> tuple[bytes, dict[str, Any]]:
    """The body, and the clean values of body and query. Raises TooLarge, UnsupportedMediaType, InvalidInput with every
    fault there is."""
    raw, data, faults = _body(operation)
    for name in ("id", "guardian", "dependent"):
        if not _PATIENT.fullmatch(path.get(name, "-")):
            faults.append(Fault(f"/path/{name}", "must be 1 to 64 of A-Z a-z 0-9 . _ -"))
    if operation.query is not None or request.query_string:
        sent, repeated = parsing.parse_query(request.environ.get("QUERY_STRING", ""))
        query, wrong = fields.load(operation.query or fields.NO_QUERY, sent)
        faults += repeated + wrong
        data = {**data, **query}
    if operation.security == "client" and not _ACTING_USER.fullmatch(request.headers.get(ACTING_USER, "-")):
        faults.append(Fault(f"/headers/{ACTING_USER}", "must be 1 to 64 of A-Z a-z 0-9 . _ @ -"))
    if operation.idempotent and not _IDEMPOTENCY_KEY.fullmatch(request.headers.get("Idempotency-Key", "-")):
        faults.append(Fault("/headers/Idempotency-Key", "must be 1 to 64 visible ASCII characters"))
    if faults:
        raise InvalidInput(*faults[: parsing.MAX_FAULTS])
    return raw, data


def _body(operation: Operation) -> tuple[bytes, dict[str, Any], list[Fault]]:
    """The body and what it says. A call without a body ignores one that is sent, and never reads it."""
    if operation.body is None:
        if operation.security == "client":
            parsing.refuse_large(request.environ)
        return b"", {}, []
    environ = request.environ
    raw = parsing.read(environ)
    parsing.require_json(environ)
    try:
        document, faults = parsing.parse_object(raw)
    except InvalidInput as error:
        # The body can't be read, but the rest of the request can: its faults are told along.
        return raw, {}, list(error.faults)
    data, found = fields.load(operation.body, document)
    return raw, data, faults + found


# --- what no view answers -----------------------------------------------------------------------------------------


def name_route() -> None:
    """Before every request, for logs and metrics: the rule, never the path."""
    if request.url_rule is not None:
        request_info().route = template(request.url_rule.rule)


def check_unrouted() -> None:
    """Before every request: where Werkzeug found no view, the checks that come before "no such path" and "no such
    method"; and at last NotFound and MethodNotAllowed."""
    name_route()
    refused = request.routing_exception
    if isinstance(refused, werkzeug.exceptions.MethodNotAllowed):
        _check_method(refused.valid_methods or ())
    elif refused is not None:
        if any(below(request.path, root) for root in GUARDED):
            client_authentication.authenticate()
        raise NotFound


def _check_method(methods: Iterable[str]) -> None:
    """401, 404 and 403 by what the other methods of this path ask for, then 405."""
    adapter, allowed = current_app.create_url_adapter(request), []
    for method in sorted(methods):
        try:
            rule, path = adapter.match(method=method, return_rule=True)  # type: ignore[union-attr]  # there is a request
        except werkzeug.exceptions.HTTPException:  # another rule, whose converter doesn't take this path
            continue
        request.url_rule, request.view_args = rule, dict(path)  # for the error handlers of its blueprint
        allowed.append(method)
    name_route()
    route = request_info().route
    here = [operation for operation in operations(current_app) if operation.path == route]
    client = _client(here[0])[0] if here else None
    if "practice" in path:
        load_practice(path["practice"], client)
    if client is not None:
        _require(here, client)
    raise MethodNotAllowed(tuple(allowed))


@lru_cache
def template(rule: str) -> str:
    """The rule's path as OpenAPI, logs and metrics write it: `/v1/practices/{practice}/codes`."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def operations(app: Flask) -> list[Operation]:
    """Every operation that is described beside a view, in the order in which the views were registered."""
    found = []
    for rule in app.url_map.iter_rules():
        operation = getattr(app.view_functions[rule.endpoint], "operation", None)
        if operation is not None:
            (method,) = (rule.methods or set()) - {"HEAD"}
            tag = operation.tag or rule.endpoint.split(".")[-2]
            found.append(replace(operation, method=method, path=template(rule.rule), tag=tag))
    return found
