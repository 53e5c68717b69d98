"""404, 405, 413 and 415 in the form that the caller reads: a problem document for programs, OAuth's error below
/oauth2, and a page for the browser of somebody who is, or thinks to be, on a page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.web.conftest import Web, slug
from tests.web.visitor import CODE, ShownPage, Visitor

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PROGRAMS: list[dict[str, str]] = [{"Accept": "application/json"}, {"Accept": "*/*"}, {}]
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PURGE"}
LARGE = 16 * 1024 + 1
BEFORE_FLASK = ("/livez", "/readyz", "/.well-known/jwks.json", "/.well-known/openid-configuration")


def addresses(web: Web) -> dict[str, tuple[str, set[str]]]:
    """Every path that there is, with an example's values in it: its view, and the methods that it takes."""
    found: dict[str, tuple[str, set[str]]] = {path: ("", {"GET", "HEAD"}) for path in BEFORE_FLASK}
    for rule in web.public.application.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda name: "maple" if name[1] == "practice" else "p1", rule.rule)
        methods = found.get(path, ("", set()))[1] | (rule.methods or set())
        found[path] = (rule.endpoint, methods)
    return found


def is_page(endpoint: str) -> bool:
    return endpoint.startswith("pages.") or endpoint in ("authorize.authorize", "logout.logout")


def ask(web: Web, method: str, path: str, headers: dict[str, str], **body: Any) -> TestResponse:
    known = web.auth if path.startswith(("/v1/practices", "/oauth2")) else {}
    return web.bare(method, path, headers={**known, **headers}, **body)


def form(answer: TestResponse) -> str:
    """`page`, `oauth` or `problem`; with the error's name where it has one that says its status."""
    if answer.content_type == "text/html; charset=utf-8":
        return "page"
    if answer.content_type == "application/json":
        assert answer.json.keys() == {"error", "error_description"}
        return "oauth"
    assert answer.json["status"] == answer.status_code
    return f"problem {slug(answer)}"


# --- 405 ------------------------------------------------------------------------------------------------------------


def test_a_method_that_a_path_does_not_take_is_answered_with_those_that_it_does(shared: Web) -> None:
    for path, (_, taken) in addresses(shared).items():
        for method in METHODS - taken:
            for headers in (BROWSER, *PROGRAMS):
                answer = ask(shared, method, path, headers)
                assert answer.status_code == 405, (method, path, answer.status_code)
                assert set(answer.headers["Allow"].split(", ")) == taken, (method, path)


def test_so_in_the_form_of_who_calls(shared: Web) -> None:
    for path, (endpoint, taken) in addresses(shared).items():
        method = "DELETE" if "DELETE" not in taken else "PURGE"
        of_programs = "oauth" if path.startswith("/oauth2/") else "problem method-not-allowed"
        assert form(ask(shared, method, path, BROWSER)) == ("page" if is_page(endpoint) else of_programs), path
        for headers in PROGRAMS:
            assert form(ask(shared, method, path, headers)) == of_programs, path


def test_a_form_of_another_website_to_a_page_that_takes_none_is_no_fault_of_the_patients(web: Web) -> None:
    ann = Visitor(web, **BROWSER)
    page = ShownPage(ann.open("POST", "/p/maple", data={"email": "ann@example.org"}))
    assert (page.status, page.headers["Allow"]) == (405, "GET, HEAD")
    assert "It is not your fault" in page.text
    assert "method POST" in page.text
    assert "ann@example.org" not in page.html


def test_attack_a_method_is_nothing_that_a_page_runs(web: Web) -> None:
    page = ShownPage(Visitor(web, **BROWSER).open("<IMG/SRC=X>", "/p/maple/sent"))
    assert page.status == 405
    assert "<IMG" not in page.html


# --- 404 ------------------------------------------------------------------------------------------------------------

NOWHERE_FOR_PEOPLE = ["/", "/nothing", "/p", "/p/maple/nothing", "/p/elm/sign-in", "/problems/nothing", "/livez/x"]
NOWHERE_FOR_PROGRAMS = ["/v1", "/v1/nothing", "/v1/practices/elm/codes", "/keys/no.pem", "/.well-known/no"]
NOWHERE_IN_OAUTH = ["/oauth2", "/oauth2/", "/oauth2/nothing", "/oauth2/token/", "/oauth2/authorize/"]


@pytest.mark.parametrize("path", NOWHERE_FOR_PEOPLE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_browser_that_is_nowhere_gets_a_page(shared: Web, path: str, method: str) -> None:
    if method == "POST" and path.startswith("/problems/"):
        return
    answer = ask(shared, method, path, BROWSER)
    assert (answer.status_code, form(answer)) == (404, "page")


@pytest.mark.parametrize("path", [*NOWHERE_FOR_PROGRAMS, *NOWHERE_IN_OAUTH])
def test_where_only_programs_go_nobody_gets_a_page(shared: Web, path: str) -> None:
    for headers in (BROWSER, *PROGRAMS):
        answer = ask(shared, "GET", path, headers)
        expected = "oauth" if path in NOWHERE_IN_OAUTH else "problem not-found"
        assert (answer.status_code, form(answer)) == (404, expected)


# --- 413 and 415 ------------------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_413_in_the_form_of_who_calls(shared: Web) -> None:
    for path, (endpoint, taken) in addresses(shared).items():
        for method in taken & {"POST", "PUT", "PATCH"}:
            if endpoint in ("authorize.authorize", "logout.logout"):
                continue  # below
            answer = ask(shared, method, path, BROWSER, data={"a": "x" * LARGE})
            expected = "oauth" if path.startswith("/oauth2/") else "problem too-large"
            assert (answer.status_code, form(answer)) == (413, "page" if is_page(endpoint) else expected), path


@pytest.mark.parametrize("path", ["/oauth2/authorize", "/oauth2/logout"])
def test_a_client_that_sends_too_much_along_with_a_browser_is_named_to_its_people(shared: Web, path: str) -> None:
    answer = ask(shared, "POST", path, BROWSER, data={"state": "x" * LARGE})
    assert (answer.status_code, form(answer)) == (400, "page")


def test_a_body_of_another_type_is_415_at_the_api_and_400_in_oauth(shared: Web) -> None:
    for path, (endpoint, taken) in addresses(shared).items():
        for method in taken & {"POST", "PUT", "PATCH"}:
            answer = ask(shared, method, path, BROWSER, data="<a/>", content_type="application/xml")
            if path.startswith("/v1/"):
                assert (answer.status_code, form(answer)) == (415, "problem unsupported-media-type"), path
            elif path.startswith("/oauth2/") and not is_page(endpoint) and path != "/oauth2/userinfo":
                assert (answer.status_code, form(answer)) == (400, "oauth"), path


def test_a_whole_mail_pasted_for_its_code_can_be_tried_again(web: Web) -> None:
    ann = Visitor(web, **BROWSER)
    where = ann.ask()
    page = ShownPage(ann.press(where, code="> quoted\n" * 4000 + CODE))
    assert page.status == 413
    assert "That was too long" in page.text
    assert "type only what the page asks for" in page.text
    (again,) = page.all("a", href="?")
    assert "Try again" in page.text
    assert again
    assert ann.press(where, code=CODE).status_code == 303
    assert ann.signed_in
