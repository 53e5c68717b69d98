"""What the API's description offers can be had: every operation, parameter, member and word of a closed list is part of
some call that is answered well. A member that is refused whatever a caller does is a promise that nobody keeps.

Settings are tried in `tests/config/test_config.py`, the forms of the command line in
`tests/cli/test_every_form_is_accepted.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from werkzeug.test import TestResponse

from tests.flows.signers import Signer
from tests.web.conftest import Web
from tests.web.relying_party import CALLBACK, VERIFIER, Party, code_of
from tests.web.visitor import CODE, Visitor

METHODS = ("get", "put", "post", "delete")
HERE = {"client_ip": "203.0.113.7"}


class Description:
    """What `/openapi.json` offers, and what of it was answered well so far."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.document: dict[str, Any] = web.admin.get("/openapi.json").json
        self.operations = {
            (method, path): item[method] | {"shared": item.get("parameters", [])}
            for path, item in self.document["paths"].items()
            for method in METHODS
            if method in item
        }
        self.offered = {word for operation in self.operations.values() for word in self._words(operation)}
        self.answered: set[str] = set()

    def call(self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> TestResponse:
        """A call that must be answered well; what it holds is tried then."""
        where = path if path.startswith("/") else f"/v1/practices/maple/{path}"
        desk = {"X-Acting-User": "desk-1"} if where.startswith("/v1/practices/") else {}
        sent = {**self.web.auth, **desk, **(headers or {})}
        sent = {name: value for name, value in sent.items() if value}
        answer = self.web.public.open(where, method=method, headers=sent, **more)
        assert answer.status_code < 400, (method, path, more, answer.get_data(as_text=True))
        operation = self._operation(method.lower(), where)
        offered = {name: schema for _, name, schema in self._members(operation)}
        values = {**sent, **(more.get("json") or more.get("data") or more.get("query_string") or {})}
        self.answered.add(operation["operationId"])
        for name in offered.keys() & values.keys():
            closed = "enum" in offered[name]
            self.answered.add(f"{operation['operationId']} {name}" + (f"={values[name]}" if closed else ""))
        return answer

    def _operation(self, method: str, where: str) -> dict[str, Any]:
        for (known, template), operation in self.operations.items():
            if known == method and re.fullmatch(re.sub(r"{[^}]*}", "[^/]+", template), where):
                return operation
        raise AssertionError(f"{method} {where} is not described")

    def _words(self, operation: dict[str, Any]) -> Iterator[str]:
        name = operation["operationId"]
        yield name
        for place, member, schema in self._members(operation):
            if place != "path":
                yield from (f"{name} {member}={value}" for value in schema.get("enum", ()) if value is not None)
                if "enum" not in schema:
                    yield f"{name} {member}"

    def _members(self, operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for parameter in (self._resolved(one) for one in [*operation["shared"], *operation.get("parameters", [])]):
            yield parameter["in"], parameter["name"], self._resolved(parameter["schema"])
        for content in self._resolved(operation.get("requestBody", {})).get("content", {}).values():
            for member, schema in self._resolved(content["schema"]).get("properties", {}).items():
                yield "body", member, self._resolved(schema)

    def _resolved(self, found: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in found:
            node: Any = self.document
            for part in found["$ref"].removeprefix("#/").split("/"):
                node = node[part]
            found = node
        return found


def test_every_operation_parameter_member_and_word_of_the_description_is_accepted_somewhere(web: Web) -> None:
    described = Description(web)
    practices = web.service.practices
    practices.rotate_webhook_secret("maple", actor="cli:test")
    practices.set("maple", actor="cli:test", webhook_url="https://hooks.example/authsvc")
    for tried in (patients, codes, email_changes, dependents, links, at_oauth, for_everybody, audit, endings):
        tried(described)
        web.clock.advance_s(1800)  # limits are full again
    assert sorted(described.offered - described.answered) == []


def patients(api: Description) -> None:
    known = {"email": "ben@example.org", "label": "Ben", "locale": "es", "portal_access": True}
    api.call("PUT", "patients/p2", json=known)
    api.call("GET", "patients/p2")


def started(api: Description, **body: Any) -> str:
    api.web.entropy.next_below(int(CODE))
    return str(api.call("POST", "codes", json=body).json["challenge"])


def codes(api: Description) -> None:
    api.call("POST", "codes", {"Idempotency-Key": "k1"}, json={"email": "ann@example.org", "locale": "es", **HERE})
    for delivery in ("email", "webhook", "caller"):
        challenge = started(api, patient="p1", delivery=delivery)
        api.call("POST", "codes/verify", json={"challenge": challenge, "code": CODE, "patient": "p1", **HERE})
    challenge = started(api, email="ann@example.org")
    api.web.clock.advance_s(30)
    api.call("POST", "codes/resend", {"Idempotency-Key": "k2"}, json={"challenge": challenge, **HERE})
    api.call("PUT", "patients/p3", json={"email": "ann@example.org", "label": "Cat", "portal_access": True})
    challenge = started(api, email="ann@example.org")
    api.call("POST", "codes/verify", json={"challenge": challenge, "code": CODE})
    api.call("POST", "codes/choose", json={"challenge": challenge, "patient": "p3", **HERE})
    api.call("DELETE", "patients/p3")
    api.call("GET", "patients/p1/deliveries")


def email_changes(api: Description) -> None:
    session = api.web.sign_in()["session"]
    asked = {"patient": "p1", "email": "new@example.org", "session": session, "locale": "es", **HERE}
    api.web.entropy.next_below(int(CODE))
    challenge = api.call("POST", "email-changes", {"Idempotency-Key": "k4"}, json=asked).json["challenge"]
    api.call("POST", "email-changes/verify", json={"challenge": challenge, "code": CODE, **HERE})
    api.call("PUT", "patients/p1", json={"email": "ann@example.org", "portal_access": True})


def dependents(api: Description) -> None:
    relation = "patients/p1/dependents/leo"
    api.call("PUT", "patients/leo", json={"label": "Leo", "portal_access": False})
    api.call("PUT", relation, json={"until": "2099-05-01T00:00:00Z", "workflows": ["edit-contact"]})
    api.call("GET", "patients/p1/dependents")
    challenge = started(api, patient="p1")
    verified = {"challenge": challenge, "code": CODE, "patient": "p1"}
    session = api.call("POST", "codes/verify", json=verified).json["session"]
    api.call("POST", f"patients/p1/sessions/{session}/switch", json={"patient": "leo", **HERE})
    api.call("DELETE", relation)


def issued(api: Description, headers: Mapping[str, str] | None = None, **body: Any) -> Any:
    sent = {"patient": "p1", "workflow": "pay-invoice", "resource": "invoice:inv_1", **body}
    sent = {name: value for name, value in sent.items() if value is not None}
    return api.call("POST", "links", headers, json=sent).json


def token_of(link: Any) -> str:
    return str(link["url"].rsplit("/", 1)[1])


def links(api: Description) -> None:
    for delivery in ("caller", "email", "webhook"):
        issued(api, delivery=delivery, locale="en")
    issued(api, workflow="update-payment-info", resource=None)
    issued(api, workflow="accept-agreement", resource="agreement:a1", expires_in=60)
    api.call("POST", "links/exchange", json={"token": token_of(issued(api, workflow="portal", resource=None)), **HERE})
    used = issued(api, {"Idempotency-Key": "k3"}, max_uses=1)
    api.call("POST", "links/exchange", json={"token": token_of(used)})
    api.call("POST", "links/resend", json={"token": token_of(used)})
    api.call("GET", "links", query_string={"patient": "p1"})
    api.call("DELETE", f"links/{used['id']}")
    api.call("DELETE", "links", query_string={"patient": "p1"})
    api.call("DELETE", "links", query_string={"resource": "invoice:inv_1"})


def at_oauth(api: Description) -> None:
    web = api.web
    ann = Visitor(web)
    ann.sign_in()

    def code(client: Party) -> dict[str, str]:
        granted = code_of(ann.open("GET", f"/oauth2/authorize?{client.query()}"))
        redirect = {"redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return {"grant_type": "authorization_code", "code": granted, **redirect}

    def token(secret: dict[str, str], **form: str) -> Any:
        return api.call("POST", "/oauth2/token", {"Authorization": ""}, data={**form, **secret}).json

    _, secret = web.harness.new_client("poster", redirect_uris=(CALLBACK,), auth="post")
    by_form = {"client_id": "poster", "client_secret": secret}
    signer = Signer("signer", web.clock)
    web.harness.new_client("signer", redirect_uris=(CALLBACK,), jwks=signer.jwks())

    def by_assertion() -> dict[str, str]:
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return {"client_assertion_type": kind, "client_assertion": signer.sign()}

    pushed = parse_qs(Party(web, "poster").query())
    for proof in (by_form, by_assertion()):
        name = "poster" if proof is by_form else "signer"
        form = {member: values[0] for member, values in pushed.items()} | proof | {"client_id": name}
        api.call("POST", "/oauth2/par", {"Authorization": ""}, data=form)
    given = token(by_form, **code(Party(web, "poster")))
    refresh = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"], "scope": "invoices:view"}
    token(by_form, **refresh)
    signed = token(by_assertion(), **code(Party(web, "signer")))
    for credentials, known in ((by_form, given), (by_assertion, signed)):
        for act in ("introspect", "revoke"):
            proof = credentials() if callable(credentials) else credentials
            form = {"token": known["access_token"], "token_type_hint": "access_token", **proof}
            api.call("POST", f"/oauth2/{act}", {"Authorization": ""}, data=form)


def for_everybody(api: Description) -> None:
    web, alone = api.web, {"Authorization": ""}
    token = web.sign_in()["access_token"]
    link = web.instant()
    for method in ("GET", "POST"):
        asked = {"practice": "maple", "scope": "invoices:view", "acr": "extra", "audience": "practice-services"}
        bearer = {"Authorization": f"Bearer {token}"}
        api.call(method, "/v1/forward-auth", bearer, query_string=asked)
        of_link = {"practice": "maple", "scope": "invoice:pay", "resource": "invoice:inv_1"}
        api.call(method, "/v1/forward-auth", {"Authorization": f"Bearer {link}"}, query_string=of_link)
    kid = api.call("GET", "/.well-known/jwks.json", alone).json["keys"][0]["kid"]
    api.call("GET", f"/keys/{kid}.pem", alone)
    api.call("GET", "/revocations/maple", alone, query_string={"since": "0"})
    for path in ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/livez", "/readyz"):
        api.call("GET", path, alone)


def audit(api: Description) -> None:
    whole = {"since": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z", "limit": "5", "after": "999"}
    api.call("GET", "audit", query_string=whole)
    for name, value in {
        "patient": "p1",
        "event": "patient.created",
        "actor": "client:portal",
        "by": "desk-1",
        "guardian": "p1",
    }.items():
        api.call("GET", "audit", query_string={name: value})


def endings(api: Description) -> None:
    session = api.web.sign_in()["session"]
    api.call("GET", "patients/p1/sessions")
    api.call("DELETE", f"patients/p1/sessions/{session}")
    api.call("DELETE", "patients/p1/sessions")
    api.call("DELETE", "patients/p2")
