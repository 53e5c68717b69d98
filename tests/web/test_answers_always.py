"""What holds for every answer: ids, headers, problem documents, log lines, counts, and the fault nobody expected."""

from __future__ import annotations

import html
import logging
import re
from typing import Any

import pytest
from werkzeug.exceptions import BadRequest

from authsvc import errors
from authsvc.errors import AuthsvcError
from authsvc.errors.base import WithReason
from authsvc.web import middleware, problems
from authsvc.web.errors import oauth_error
from tests.web.conftest import Web, slug

SWEEP = [
    ("GET", "/"),
    ("GET", "/nothing"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/keys/unknown.pem"),
    ("POST", "/livez"),
    ("GET", "/v1/forward-auth"),
    ("GET", "/v1/practices/maple/patients/p1"),
    ("GET", "/v1/practices/maple/patients/p9"),
    ("POST", "/v1/practices/maple/codes"),
    ("POST", "/oauth2/token"),
    ("GET", "/oauth2/token"),
    ("GET", "/problems"),
    ("GET", "/problems/"),
    ("GET", "/problems/invalid-code"),
    ("GET", "/problems/no-such"),
    ("GET", "/p/maple/l/al_nonsense"),
    ("POST", "/p/maple/l/al_nonsense"),
    ("GET", "/p/maple/sent"),
    ("GET", "/p/elm/sent"),
    ("GET", "/p/maple/sign-in"),
    ("POST", "/p/maple/sign-in"),
    ("GET", "/p/maple/sign-in?client_id=nobody"),
    ("GET", "/p/maple/code/AAAAAAAA"),
    ("GET", "/p/maple/who/AAAAAAAA"),
    ("GET", "/p/maple/session"),
    ("GET", "/p/maple/session/state"),
    ("GET", "/p/elm/session/state"),
    ("PUT", "/p/maple/session"),
    ("GET", "/p/maple/sign-out"),
    ("GET", "/p/maple/contact"),
    ("GET", "/p/maple/signed-out"),
    ("TRACE", "/"),
    ("TRACE", "/livez"),
]


POPUPS = re.compile(
    r"/oauth2/(authorize|logout)|/p/[^/]+(/(sign-in|code/[^/]+|who/[^/]+|switch|sign-out|signed-out|sent|contact))?"
)
"""What a sign-in or a sign-out leads through: a portal may do it in a window beside its own."""


def every_error() -> set[type[AuthsvcError]]:
    def below(one: type[AuthsvcError]) -> set[type[AuthsvcError]]:
        return {one}.union(*(below(child) for child in one.__subclasses__()))

    found = below(AuthsvcError) - {AuthsvcError, WithReason}
    return {one for one in found if one.__module__.startswith(errors.__name__)}


@pytest.mark.parametrize("method,path", SWEEP)
@pytest.mark.parametrize("known", [True, False])
def test_every_answer_has_an_id_and_the_headers_that_protect_a_browser(
    shared: Web, method: str, path: str, known: bool
) -> None:
    answer = shared.call(method, path) if known else shared.bare(method, path)
    headers = answer.headers
    assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-Id"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    kept = POPUPS.fullmatch(path.partition("?")[0])
    assert headers["Cross-Origin-Opener-Policy"] == ("unsafe-none" if kept else "same-origin")
    assert headers["Cache-Control"]
    assert "Server" not in headers  # gunicorn's own says no version
    assert len(headers) == len({name.lower() for name, _ in headers}), "a header came twice"


@pytest.mark.parametrize("method,path", SWEEP)
def test_errors_are_problem_documents_and_oauth_errors_never_mixed(shared: Web, method: str, path: str) -> None:
    answer = shared.bare(method, path)
    if answer.status_code < 400:
        return
    if path.startswith("/p/") and answer.status_code != 405 and not path.endswith("/state"):
        assert answer.content_type == "text/html; charset=utf-8"  # people read it
        return
    if path.startswith("/oauth2"):
        assert answer.content_type == "application/json"
        assert set(answer.json) == {"error", "error_description"}
        assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*", answer.json["error_description"])
    else:
        assert slug(answer)
        assert answer.json["type"] == f"http://127.0.0.1:8080/problems/{slug(answer)}"
        assert set(answer.json) >= {"type", "title", "status", "detail"}
    assert answer.headers["Cache-Control"] == "no-store"
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"]
    if answer.status_code == 405:
        assert answer.headers["Allow"]


def test_personal_answers_are_never_kept(web: Web) -> None:
    for answer in (
        web.call("GET", "patients/p1"),
        web.call("POST", "codes/verify", json={"challenge": web.start(), "code": "314159"}),
        web.call("GET", "patients/p1/sessions"),
        web.call("POST", "/oauth2/introspect", data={"token": "x"}),
    ):
        assert answer.status_code == 200
        assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")


def test_every_error_class_has_a_problem_type_of_its_status_or_never_reaches_a_caller_of_the_api() -> None:
    assert set(errors.ALL) == every_error() | {AuthsvcError}
    elsewhere = {error for error in every_error() if error.slug == "internal"}
    only_at_oauth = {error for error in elsewhere if error.oauth.code != "server_error"}
    assert only_at_oauth == {
        errors.InvalidDpopProof,
        errors.InvalidGrant,
        errors.InvalidAuthorizationCode,
        errors.InvalidRefreshToken,
        errors.InvalidScope,
        errors.UnauthorizedClient,
        errors.UnregisteredClient,  # a page, or an answer to a pushed request
        errors.UnsupportedGrantType,
    }
    assert elsewhere - only_at_oauth == {
        errors.SignInNeeded,  # leads to the sign-in page
        errors.AuthorizationError,  # is sent to the client's redirect address
        errors.DeliveryDeferred,  # the worker's
        errors.DeliveryRefused,
        errors.SettingsInvalid,  # the operators'
        errors.AlreadyExists,
        errors.UnknownName,
        errors.UnsafeStep,
    }
    assert {(error.slug, error.status) for error in errors.ALL if error not in elsewhere} == {
        (kind.slug, kind.status) for kind in problems.PROBLEM_TYPES.values()
    }


def test_an_error_that_has_no_row_reveals_nothing() -> None:
    for error in (errors.AlreadyExists("client billing"), ValueError("secret"), KeyError("secret")):
        for reply in (problems.reply(error, "https://auth.example.org"), oauth_error(error)):
            assert reply.status == 500
            assert b"billing" not in reply.body
            assert b"secret" not in reply.body


def test_every_problem_type_has_a_page_and_the_index_leads_there(shared: Web) -> None:
    index = shared.bare("GET", "/problems/").get_data(as_text=True)
    for kind in problems.PROBLEM_TYPES.values():
        page = shared.bare("GET", f"/problems/{kind.slug}")
        assert page.status_code == 200
        assert html.escape(kind.title) in page.get_data(as_text=True).replace("&#39;", "&#x27;")
        assert f'href="/problems/{kind.slug}"' in index


def test_hsts_is_said_on_https_and_not_on_http(build: Any) -> None:
    https = build(public_url="https://auth.example.org")
    for path in ("/livez", "/nothing", "/problems/", "/v1/practices/maple/codes"):
        age = re.match(
            r"max-age=(\d+); includeSubDomains", https.bare("GET", path).headers["Strict-Transport-Security"]
        )
        assert age is not None
        assert int(age[1]) >= 31_536_000
    assert "Strict-Transport-Security" not in build().bare("GET", "/livez").headers


def test_no_origin_is_let_in_except_to_the_public_documents(shared: Web) -> None:
    evil = {"Origin": "https://evil.example"}
    for method in ("GET", "POST", "OPTIONS"):
        for path in ("/v1/practices/maple/patients/p1", "/oauth2/token", "/v1/forward-auth", "/p/maple/l/al_x"):
            answer = shared.call(method, path, headers={**evil, "Access-Control-Request-Method": "PUT"})
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
    document = shared.bare("GET", "/.well-known/jwks.json", headers=evil)
    assert document.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in document.headers


@pytest.mark.parametrize(
    "path", ["/metrics", "/docs", "/openapi.json", "/debug", "/.git/config", "/.env", "/admin", "/console"]
)
def test_what_is_for_operators_is_not_on_the_public_address(shared: Web, path: str) -> None:
    for answer in (shared.bare("GET", path), shared.call("GET", path)):
        assert (answer.status_code, slug(answer)) == (404, "not-found")


@pytest.mark.parametrize(
    "path", ["//evil.example/", "/%2f%2fevil.example", "/problems//", "/livez/", "/p//maple", "/.well-known//jwks.json"]
)
def test_no_path_is_ever_redirected_to_a_host_of_the_callers_choice(shared: Web, path: str) -> None:
    answer = shared.bare("GET", path, headers={"Host": "evil.example"})
    assert answer.status_code == 404
    assert "evil" not in str(answer.headers)


# --- what is logged and counted -----------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if record.name == "authsvc.access"]


def test_one_line_a_request_names_the_route_and_never_the_path(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = web.link()
    caplog.clear()
    answer = web.bare("GET", f"/p/maple/l/{token}?x={token}")
    (line,) = lines(caplog)
    assert (line.route, line.method, line.status, line.practice) == ("/p/{practice}/l/{token}", "GET", 200, "maple")
    assert line.request_id == answer.headers["X-Request-Id"]
    assert token not in caplog.text
    caplog.clear()
    web.call("GET", "patients/p1")
    (line,) = lines(caplog)
    assert (line.client, line.route) == ("portal", "/v1/practices/{practice}/patients/{id}")


def test_an_inbound_request_id_is_logged_clean_and_never_used(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    forged = 'x\x1b[31m"}\u2028' + "y" * 100
    answer = web.bare("GET", "/nothing", environ_overrides={"HTTP_X_REQUEST_ID": forged})
    (line,) = lines(caplog)
    assert re.fullmatch("[A-Za-z0-9._-]{64}", line.inbound_request_id)
    assert answer.headers["X-Request-Id"] == line.request_id
    assert "y" not in answer.headers["X-Request-Id"]


def test_probes_are_logged_at_debug_only(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    web.bare("GET", "/livez")
    assert not lines(caplog)


def test_no_secret_reaches_a_log_at_debug(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    link, tokens = web.link(), web.sign_in()
    web.call("POST", "links/exchange", json={"token": link})
    web.call("POST", "/oauth2/token", data={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]})
    web.bare("GET", "/v1/forward-auth?practice=maple", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    web.call("POST", "codes", data=b'{"email": "ann@example.org", "code": "314159"', content_type="application/json")
    said = caplog.text + str([record.__dict__ for record in caplog.records])
    for secret in (
        link,
        web.harness.secret,
        tokens["access_token"],
        tokens["refresh_token"],
        "314159",
        "ann@example.org",
    ):
        assert secret not in said


def test_requests_are_counted_by_route_and_refusals_by_reason(web: Web) -> None:
    web.call("BREW", "patients/p1")
    web.call("POST", "links/exchange", json={"token": "al_nonsense"})
    text = web.admin.get("/metrics").get_data(as_text=True)
    assert 'route="/v1/practices/{practice}/patients/{id}",status="405"' in text
    assert 'method="other"' in text
    assert 'authsvc_links_refused_total{reason="unknown"} 1.0' in text
    assert "p1" not in text


# --- the fault nobody expected ------------------------------------------------------------------------------------


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The request ids under which a trace was logged."""
    return [vars(one)["request_id"] for one in caplog.records if one.name == "authsvc.web" and one.exc_info]


def test_a_fault_of_ours_is_500_reveals_nothing_and_the_process_goes_on(
    web: Web, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the inside of it")

    monkeypatch.setattr(web.service.patients, "get", broken)
    monkeypatch.setattr(web.service.sessions, "introspect", broken)
    monkeypatch.setattr(web.service.forward_auth, "authorise", broken)
    bearer = {"Authorization": "Bearer x.y.z"}
    for answer in (web.call("GET", "patients/p1"), web.bare("GET", "/v1/forward-auth?practice=maple", headers=bearer)):
        assert (answer.status_code, slug(answer)) == (500, "internal")
        assert "inside" not in answer.get_data(as_text=True)
        assert answer.headers["X-Request-Id"] in faults(caplog)
    told = web.call("POST", "/oauth2/introspect", data={"token": "x"})
    assert (told.status_code, told.json["error"]) == (500, "server_error")
    assert web.bare("GET", "/livez").status_code == 200


def test_what_flask_itself_refuses_is_a_problem_document_too(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise BadRequest

    monkeypatch.setattr(web.public.application, "dispatch_request", refused)
    answer = web.bare("GET", "/problems/")
    assert (answer.status_code, slug(answer)) == (400, "invalid-request")


def test_a_fault_beneath_flask_is_answered_by_the_edge(web: Web) -> None:
    application = web.public.application

    def broken(environ: Any, start_response: Any) -> Any:
        raise RuntimeError("below")

    application.wsgi_app._app = broken  # type: ignore[attr-defined]
    answer = web.bare("GET", "/problems/")
    assert (answer.status_code, slug(answer)) == (500, "internal")


def test_where_the_proxy_leaves_the_path_of_the_public_address_on_it_is_taken_off(build: Any) -> None:
    web = build(public_url="https://example.org/auth")
    for path in ("/auth/livez", "/livez", "/auth/problems/", "/.well-known/oauth-authorization-server/auth"):
        assert web.bare("GET", path).status_code == 200, path
    assert web.bare("GET", "/authlivez").status_code == 404


def test_access_lines_cost_nothing_when_nobody_reads_them(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware.access, "disabled", True)
    assert web.bare("GET", "/livez").status_code == 200
