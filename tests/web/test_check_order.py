"""401 → 404 → 403 → 405 → 413/415 → 400 → 429 → the act: whoever isn't known learns nothing, and so on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from authsvc.web.endpoint import Operation
from tests.web.conftest import API, OAUTH, Web, basic, slug

TEMPLATES = sorted({operation.path for operation in API})
PATHS = [
    path.format(
        practice="maple",
        id="p1",
        link_id="2aAI5o1ZbOlZWs7K",
        sid="2aAI5o1ZbOlZWs7K",
        guardian="p1",
        dependent="leo",
    )
    for path in TEMPLATES
]
STRANGE = ["/v1/practices", "/v1/practices/", "/v1/practices/maple", "/v1/practices/maple/nothing/here"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "PROPFIND"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS + STRANGE)
def test_whoever_is_not_known_gets_401_whatever_the_path_or_method(shared: Web, path: str, method: str) -> None:
    answer = shared.bare(method, path, data=b"x" * 20_000)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="authsvc", charset="UTF-8"'


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic cG9ydGFs",  # no colon
        "Basic cG9ydGFsOiVHRw==",  # portal:%GG
        "Basic gICAgA==",  # not UTF-8
        "Bearer cG9ydGFsOng=",
        "Basic " + "A" * 2000,
        "Basic UG9ydGFsOng=",  # Portal: no such id can exist
        "Basic cG9ydGFsOg==",  # an empty secret
        "Basic cG9ydGFsOmFjc193cm9uZw==",  # a wrong one
    ],
)
def test_malformed_and_wrong_credentials_are_one_answer(shared: Web, header: str) -> None:
    answer = shared.bare("POST", "/v1/practices/maple/codes", headers={"Authorization": header})
    assert (answer.status_code, slug(answer)) == (401, "unauthenticated")
    assert answer.json == shared.bare("POST", "/v1/practices/maple/codes").json


def test_both_halves_of_the_credentials_are_form_url_decoded(shared: Web) -> None:
    encoded = "".join(f"%{ord(char):02X}" for char in shared.harness.secret)
    answer = shared.bare("GET", "/v1/practices/maple/patients/p1", headers=basic("p%6Frtal", encoded))
    assert answer.status_code == 200


def test_credentials_in_the_query_or_the_body_are_no_credentials(shared: Web) -> None:
    with_query = f"/v1/practices/maple/patients/p1?client_id=portal&client_secret={shared.harness.secret}"
    assert shared.bare("GET", with_query).status_code == 401
    form = {"client_id": "portal", "client_secret": shared.harness.secret, "token": "x"}
    assert shared.bare("POST", "/oauth2/revoke", data=form).status_code == 401


@pytest.mark.parametrize("practice", ["elm", "oak", "MAPLE", "m", "maple%20", "*", "a" * 60])
def test_a_practice_that_is_not_there_and_one_that_is_not_served_look_alike(shared: Web, practice: str) -> None:
    answer = shared.call("BREW", f"/v1/practices/{practice}/codes", data=b"x" * 20_000)
    assert (answer.status_code, slug(answer)) == (404, "not-found")
    assert answer.json == shared.call("POST", "/v1/practices/elm/codes").json


@pytest.mark.parametrize(
    "path", [*STRANGE, "/v1/practices/maple/codes/", "/v1/practices//codes", "/v1/practices/maple//codes"]
)
def test_unknown_paths_are_404_for_clients_and_never_a_redirect(shared: Web, path: str) -> None:
    answer = shared.call("POST", path, headers={"Host": "evil.example"}, data=b"{}")
    assert (answer.status_code, slug(answer)) == (404, "not-found")
    assert "Location" not in answer.headers


@pytest.mark.parametrize("operation", API, ids=lambda operation: operation.id)
def test_a_client_without_the_permission_gets_403_before_its_body_is_looked_at(
    shared: Web, operation: Operation
) -> None:
    path = operation.path.format(practice="maple", id="p1", link_id="x", sid="x", guardian="p1", dependent="leo")
    answer = shared.call(operation.method, path, headers=shared.client("poor"), data=b"x" * 20_000)
    assert (answer.status_code, slug(answer)) == (403, "forbidden")
    assert operation.permission is not None
    assert operation.permission in answer.json["detail"]


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_method_is_403_without_and_405_with_any_permission_of_the_path(
    shared: Web, path: str, method: str
) -> None:
    assert shared.call(method, path, headers=shared.client("poor")).status_code == 403
    answer = shared.call(method, path, data=b"x" * 20_000)
    assert (answer.status_code, slug(answer)) == (405, "method-not-allowed")
    offered = answer.headers["Allow"].split(", ")
    assert method not in offered
    assert ("HEAD" in offered) == ("GET" in offered)


def test_head_is_get_without_a_body(shared: Web) -> None:
    get, head = shared.call("GET", "patients/p1"), shared.call("HEAD", "patients/p1")
    assert (head.status_code, head.data, head.content_length) == (200, b"", get.content_length)
    assert shared.call("HEAD", "codes").status_code == 405


def test_too_large_comes_before_the_media_type_and_that_before_the_content(shared: Web) -> None:
    large = shared.call("POST", "codes", data=b"x" * 16_385, content_type="text/plain")
    assert (large.status_code, slug(large)) == (413, "too-large")
    wrong = shared.call("POST", "codes", data=b"{", content_type="text/plain")
    assert (wrong.status_code, slug(wrong)) == (415, "unsupported-media-type")
    assert shared.call("POST", "codes", data=b"{", content_type="application/json").status_code == 400


def test_bad_requests_count_nothing_and_are_told_before_a_limit(build: Callable[..., Web]) -> None:
    web = build()
    web.harness.patient()
    for _ in range(20):
        assert web.call("POST", "codes", json={"email": "ann@example.org", "x": 1}).status_code == 400
    asked = [web.call("POST", "codes", json={"email": "ann@example.org"}).status_code for _ in range(6)]
    assert asked == [202, 202, 202, 202, 202, 429]
    assert web.call("POST", "codes", json={"email": "ann@example.org", "x": 1}).status_code == 400


def test_a_client_of_every_practice_serves_those_that_are_there(shared: Web) -> None:
    everywhere = shared.client("everywhere", "patients:read", practices=("*",))
    assert slug(shared.call("GET", "/v1/practices/oak/patients/p1", headers=everywhere)) == "patient-not-found"
    assert slug(shared.call("GET", "/v1/practices/elm/patients/p1", headers=everywhere)) == "not-found"


# --- /oauth2 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", [*(operation.path for operation in OAUTH), "/oauth2", "/oauth2/x/y"])
def test_oauth_paths_ask_who_calls_first_in_their_own_words(shared: Web, path: str, method: str) -> None:
    answer = shared.bare(method, path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    if method != "HEAD":
        assert answer.json["error"] == "invalid_client"


def test_unknown_oauth_paths_are_404_and_other_methods_405_for_clients(shared: Web) -> None:
    assert shared.call("POST", "/oauth2/devices").status_code == 404
    for method in ("GET", "HEAD", "PUT", "OPTIONS"):
        answer = shared.call(method, "/oauth2/token")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_introspection_needs_its_permission(shared: Web) -> None:
    answer = shared.call("POST", "/oauth2/introspect", headers=shared.client("poor"), data={"token": "x"})
    assert (answer.status_code, answer.json["error"]) == (403, "unauthorized_client")


def test_a_wrong_secret_is_limited_by_network_but_a_right_one_never_refused(shared: Web) -> None:
    wrong = basic("portal", "acs_wrong")
    seen = {shared.bare("GET", "/v1/practices/maple/patients/p1", headers=wrong).status_code for _ in range(70)}
    assert seen == {401, 429}
    assert shared.call("GET", "patients/p1").status_code == 200
