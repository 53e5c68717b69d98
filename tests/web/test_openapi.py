"""The API's description: valid, served to operators only, and what the service really does."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis.checks import load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from authsvc.config import workflows
from authsvc.web.api import docs, openapi
from authsvc.web.oauth import tokens
from authsvc.web.problems import PROBLEM_TYPES
from tests.harness.generators import generator
from tests.web.conftest import Web

CHECKS = (
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
)


@pytest.fixture(scope="session")
def api_document(one_service: Web) -> dict[str, Any]:
    document: dict[str, Any] = one_service.admin.get("/openapi.json").json
    return document


def test_the_description_is_valid_openapi_31(api_document: dict[str, Any]) -> None:
    assert api_document["openapi"] == "3.1.0"
    validate(api_document)


def test_every_operation_has_an_id_of_its_own_a_summary_and_says_who_may_call_it(api_document: dict[str, Any]) -> None:
    ids = []
    for path, item in api_document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            ids.append(operation["operationId"])
            assert operation["summary"], (path, method)
            assert "security" in operation
            assert set(operation["responses"]) - {"200", "201", "202", "204", "304"}, "problems are documented"
    assert len(ids) == len(set(ids)) == len(openapi.OPERATIONS)


def test_every_object_that_is_sent_is_closed(api_document: dict[str, Any]) -> None:
    for operation in openapi.OPERATIONS:
        if operation.body is not None:
            schema = api_document["components"]["schemas"][type(operation.body).__name__]
            assert schema["additionalProperties"] is False


def test_links_lead_from_a_start_to_its_verification(api_document: dict[str, Any]) -> None:
    start = api_document["paths"]["/v1/practices/{practice}/codes"]["post"]
    link = start["responses"]["202"]["links"]["verify"]
    assert link["operationId"] == "verifyCode"
    assert link["requestBody"] == {"challenge": "$response.body#/challenge"}


def test_workflows_are_those_of_the_catalogue(api_document: dict[str, Any]) -> None:
    names = api_document["components"]["schemas"]["IssueLink"]["properties"]["workflow"]["enum"]
    assert names == ["pay-invoice", "update-payment-info", "accept-agreement", "portal"]
    assert "enum" not in openapi.document("https://x")["components"]["schemas"]["IssueLink"]["properties"]["workflow"]


def test_the_oauth_calls_tell_each_way_of_authentication(api_document: dict[str, Any]) -> None:
    for path, public in {"token": True, "revoke": True, "introspect": False}.items():
        call = api_document["paths"][f"/oauth2/{path}"]["post"]
        assert call["security"] == [{"client": []}, {}]
        assert ("(`none`)" in call["description"]) == public
        schema = call["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
        ways = {"client_id", "client_secret", "client_assertion", "client_assertion_type"}
        assert ways <= schema["properties"].keys()
    for path, item in api_document["paths"].items():
        if path.startswith("/v1/practices"):
            assert all(call["security"] == [{"client": []}] for name, call in item.items() if name != "parameters")


def test_each_grant_tells_what_it_comes_with(api_document: dict[str, Any]) -> None:
    body = api_document["paths"]["/oauth2/token"]["post"]["requestBody"]["content"]
    schema = body["application/x-www-form-urlencoded"]["schema"]
    told = {one["properties"]["grant_type"]["const"]: one["required"] for one in schema["oneOf"]}
    assert list(told) == schema["properties"]["grant_type"]["enum"] == list(tokens.GRANTS)
    assert {name for needed in told.values() for name in needed} <= schema["properties"].keys()


def test_both_discovery_documents_are_described(api_document: dict[str, Any]) -> None:
    for name in ("oauth-authorization-server", "openid-configuration"):
        assert api_document["paths"][f"/.well-known/{name}"]["get"]["security"] == []


# --- the service does what it says --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def generators(one_service: Web) -> Mapping[str, Any]:
    """What schemathesis makes of the description, by operation id."""
    load_all_checks()
    document = openapi.document("http://localhost", workflows.load())
    # Half of the calls are about a practice that is there.
    for item in document["paths"].values():
        for parameter in item.get("parameters", ()):
            if parameter["name"] == "practice":
                parameter["schema"] = {"enum": ["maple", "elm"]}
    schema = schemathesis.openapi.from_dict(document)
    schema.app = one_service.public.application
    return {found.ok().definition.raw["operationId"]: found.ok() for found in schema.get_all_operations()}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", [operation.id for operation in openapi.OPERATIONS])
def test_no_generated_call_gets_a_5xx_or_an_undocumented_answer(
    one_service: Web, generators: Mapping[str, Any], name: str, mode: GenerationMode
) -> None:
    operation = generators[name]
    bearer = {"Authorization": "Bearer x.y.z"}

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def calls(case: Any) -> None:
        one_service.clock.advance_s(60)  # no limit gets in the way
        headers = {**(case.headers or {}), **(bearer if "forward" in name.lower() else one_service.auth)}
        case.headers = headers
        case.call_and_validate(checks=list(CHECKS))

    with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with a call that takes nothing
        calls()


# --- who gets to see it -------------------------------------------------------------------------------------------


def test_docs_come_from_our_own_origin_under_a_strict_policy(shared: Web) -> None:
    page = shared.admin.get("/docs")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.get_data(as_text=True)):
        assert "//" not in address
        assert shared.admin.get("/" + address).status_code == 200


def test_the_admin_address_has_its_own_paths_and_no_others(shared: Web) -> None:
    for path in ("/metrics", "/openapi.json", "/docs", "/livez", "/readyz"):
        assert shared.admin.get(path).status_code == 200
        assert shared.admin.post(path).status_code == 405
    for path in ("/", "/v1/practices/maple/codes", "/oauth2/token", "/docs/", "/docs/../app.py"):
        assert shared.admin.get(path).status_code == 404


def test_without_swagger_ui_there_is_no_docs_page(monkeypatch: pytest.MonkeyPatch, shared: Web) -> None:
    monkeypatch.setattr(docs, "PACKAGE", "no_such_package")
    for path in ("/docs", "/docs/start.js", "/docs/swagger-ui.css"):
        assert shared.admin.get(path).status_code == 404
    assert shared.admin.get("/openapi.json").status_code == 200


# --- the reference says the same ----------------------------------------------------------------------------------


@pytest.fixture
def generate() -> ModuleType:
    return generator("generate_api")


def test_the_reference_says_what_the_code_does(generate: ModuleType) -> None:
    assert generate.HTTP_API_MD.read_text(encoding="utf-8") == generate.http_api_md()
    assert generate.ERRORS_MD.read_text(encoding="utf-8") == generate.errors_md()


def test_the_reference_has_every_call_and_every_problem(generate: ModuleType) -> None:
    calls, problems = generate.http_api_md(), generate.errors_md()
    for operation in openapi.OPERATIONS:
        assert f"`{operation.method} {operation.path}`" in calls
    for kind in PROBLEM_TYPES.values():
        assert f"### `{kind.slug}`" in problems
        assert kind.cure in problems
