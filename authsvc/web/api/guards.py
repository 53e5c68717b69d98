"""The order in which every guarded call is judged, in one place.

401 who are you → 404 is there such a practice, for you → 403 may you → 405 is that a method here → 413 and 415 could
it be a body → 400 does it make sense, all faults at once → 429 and the act itself, which the use case decides.

Whoever isn't known learns nothing, whoever may not learns no more than that the path exists, and nothing is read
before somebody may send it. Paths and methods that don't exist pass the same gates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from authsvc.config.limits import fields as ratelimit_fields
from authsvc.errors import Fault, Forbidden, InvalidInput, MethodNotAllowed, NotFound
from authsvc.model import Client, Practice, RequestContext
from authsvc.web import parsing
from authsvc.web.api import schemas
from authsvc.web.client_authentication import authenticate
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.endpoint import REQUEST_INFO, Call, Environ, Operation, Reply
from authsvc.web.fields import PATIENT, PRACTICE

if TYPE_CHECKING:
    from authsvc.wiring import Service

GUARDED = "/v1/practices"
"""Everything at and below this path needs client credentials, whether it exists or not."""

_PRACTICE = re.compile(PRACTICE, re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,64}")
_PATIENT = re.compile(PATIENT, re.ASCII)


class ApiGuards:
    """Judges calls about a practice."""

    def __init__(self, service: Service, peers: ClientIpResolver) -> None:
        self._service = service
        self._peers = peers

    def judge(self, here: Mapping[str, Operation], environ: Environ, path: Mapping[str, str]) -> Reply:
        """`here` holds the operations of the path by method, `path` the path's members. Raises what the table knows."""
        client = authenticate(self._service, self._peers, environ)
        practice = self._practice(client, path["practice"], environ)
        operation = _operation(here, environ["REQUEST_METHOD"], client)
        raw, document, faults = _document(operation, environ)
        data = _understood(operation, document, faults, environ, path)
        act = self._act(operation, environ, client, practice, data, raw)
        reply: Reply = operation.run(Call(self._service, client, practice, act, data))
        reply.headers.extend(ratelimit_fields(act.limits).items())
        return reply

    def unknown(self, environ: Environ) -> Reply:
        """No such path below the guarded ones: first 401, then 404."""
        authenticate(self._service, self._peers, environ)
        raise NotFound

    def _practice(self, client: Client, practice_id: str, environ: Environ) -> Practice:
        """404 for a practice that isn't there, and the same for one that this client doesn't serve."""
        if not _PRACTICE.fullmatch(practice_id) or not client.serves(practice_id):
            raise NotFound
        practice = self._service.practices.get(practice_id)
        if practice is None:
            raise NotFound
        environ[REQUEST_INFO].practice = practice.id
        return practice

    def _act(
        self,
        operation: Operation,
        environ: Environ,
        client: Client,
        practice: Practice,
        data: Mapping[str, Any],
        raw: bytes,
    ) -> RequestContext:
        key = environ.get("HTTP_IDEMPOTENCY_KEY") if operation.idempotent else None
        return self._service.act(
            practice,
            client,
            client_ip=data.get("client_ip"),
            idempotency_key=key,
            fingerprint=_fingerprint(environ, raw) if key is not None else b"",
            request_id=environ[REQUEST_INFO].request_id,
        )


def _operation(here: Mapping[str, Operation], method: str, client: Client) -> Operation:
    """403 before 405: for an unknown method, the permission of any operation on the path will do."""
    operation = here.get("GET" if method == "HEAD" else method)
    if operation is None:
        wanted = [known.permission or "" for known in here.values()]
        if not client.permissions.intersection(wanted):
            raise Forbidden(wanted[0])
        raise MethodNotAllowed(allowed(here))
    if operation.permission not in client.permissions:
        raise Forbidden(operation.permission or "")
    return operation


def allowed(here: Mapping[str, object]) -> tuple[str, ...]:
    """The methods for `Allow`: HEAD comes with GET."""
    return tuple(sorted({*here, *(("HEAD",) if "GET" in here else ())}))


def _document(operation: Operation, environ: Environ) -> tuple[bytes, Mapping[str, Any], list[Fault]]:
    """The body and what it says. A call without a body ignores one that is sent, and never reads it."""
    if operation.body is None:
        parsing.refuse_large(environ)
        return b"", {}, []
    raw = parsing.read(environ)
    parsing.require_json(environ)
    try:
        document, faults = parsing.parse_object(raw)
    except InvalidInput as error:
        # The body can't be read, but the rest of the request can: its faults are told along.
        return raw, {}, list(error.faults)
    data, found = schemas.load(operation.body, document)
    return raw, data, faults + found


def _understood(
    operation: Operation, document: Mapping[str, Any], faults: list[Fault], environ: Environ, path: Mapping[str, str]
) -> dict[str, Any]:
    """Body, query and path as one set of clean values. Raises InvalidInput with every fault there is."""
    if not _PATIENT.fullmatch(path.get("id", "-")):
        faults.append(Fault("/path/id", "must be 1 to 64 of A-Z a-z 0-9 . _ -"))
    query: dict[str, Any] = {}
    if operation.query is not None or environ.get("QUERY_STRING"):
        sent, repeated = parsing.parse_query(environ.get("QUERY_STRING", ""))
        query, wrong = schemas.load(operation.query or schemas.NO_QUERY, sent)
        faults += repeated + wrong
    if operation.idempotent and not _IDEMPOTENCY_KEY.fullmatch(environ.get("HTTP_IDEMPOTENCY_KEY", "-")):
        faults.append(Fault("/headers/Idempotency-Key", "must be 1 to 64 visible ASCII characters"))
    if faults:
        raise InvalidInput(*faults[: parsing.MAX_FAULTS])
    return {**path, **document, **query}


def _fingerprint(environ: Environ, raw: bytes) -> bytes:
    """What an Idempotency-Key stands for: this method, this path, this body."""
    said = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}\n".encode("utf-8", "surrogateescape")
    return sha256(said + raw).digest()
