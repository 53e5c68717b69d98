"""The Flask decorator and the WSGI middleware: where a token may stand, what is answered, what reaches the service."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import flask
import pytest

from authsvc.verifier import Verifier
from tests.vectors import generate as kit

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from tests.verifier.conftest import Issuer

SIGN_IN, LINK = kit.token(), kit.token(kit.LINK)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def client(verifier: Verifier) -> FlaskClient:
    """A small practice service."""
    app = flask.Flask("service")
    app.testing = True

    @app.get("/contact")
    @verifier.flask("contact:view")
    def contact() -> str:
        return str(flask.g.authsvc_claims["patient"])

    @app.post("/contact")
    @verifier.flask("contact:edit", acr="extra", max_age=60)
    def edit() -> str:
        return flask.request.get_data(as_text=True)

    @app.get("/invoices/<invoice>")
    @verifier.flask("invoice:view", resource="invoice:{invoice}")
    def show(invoice: str) -> str:
        return invoice

    @app.get("/agreements/<number>")
    @verifier.flask("invoice:view", resource=lambda number: f"invoice:inv_{number}")
    def agreement(number: str) -> str:
        return number

    @app.get("/nothing")
    @verifier.flask("invoice:view", resource=lambda: None)
    def nothing() -> str:
        return "never with a bound token"

    return app.test_client()


def test_a_good_token_reaches_the_view_with_its_claims(client: FlaskClient) -> None:
    answer = client.get("/contact", headers=bearer(SIGN_IN))
    assert (answer.status_code, answer.text) == (200, "p_1001")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_written_in_any_case(scheme: str, client: FlaskClient) -> None:
    assert client.get("/contact", headers={"Authorization": f"{scheme} {SIGN_IN}"}).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic cG9ydGFsOng="}, {"Authorization": ""}, {"Authorization": SIGN_IN}]
)
def test_without_a_bearer_token_the_challenge_names_no_error(headers: dict[str, str], client: FlaskClient) -> None:
    answer = client.get("/contact", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="authsvc"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {"error": "unauthenticated"}


def test_a_token_in_the_query_or_the_body_counts_for_nothing(client: FlaskClient) -> None:
    for answer in (
        client.get("/contact", query_string={"access_token": SIGN_IN}),
        client.post("/contact", data={"access_token": SIGN_IN}),
        client.get("/contact", headers={"Cookie": f"access_token={SIGN_IN}"}),
    ):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="authsvc"'


@pytest.mark.parametrize("query", [f"access_token={SIGN_IN}", "access_token=", "a=1&access%5Ftoken=x", "access_token"])
def test_a_token_in_two_places_is_a_400(query: str, client: FlaskClient) -> None:
    answer = client.get("/contact?" + query, headers=bearer(SIGN_IN))
    assert answer.status_code == 400
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="authsvc", error="invalid_request"'


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer    "])
def test_the_scheme_without_a_token_is_no_request_to_understand(value: str, client: FlaskClient) -> None:
    assert client.get("/contact", headers={"Authorization": value}).status_code == 400


@pytest.mark.parametrize("token", ["x", f"{SIGN_IN},{SIGN_IN}", f"{SIGN_IN}, Bearer {SIGN_IN}", f'"{SIGN_IN}"'])
def test_a_bad_token_is_a_401_that_says_so_and_no_more(token: str, client: FlaskClient) -> None:
    answer = client.get("/contact", headers=bearer(token))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="authsvc", error="invalid_token"'
    assert answer.json == {"error": "invalid_token"}


def test_another_practices_token_is_an_invalid_one(client: FlaskClient) -> None:
    other = kit.having(practice="birch", sub="birch:p_1001")
    assert client.get("/contact", headers=bearer(other)).status_code == 401


def test_a_missing_scope_is_a_403(client: FlaskClient) -> None:
    answer = client.get("/contact", headers=bearer(LINK))
    assert answer.status_code == 403
    assert 'error="insufficient_scope", scope="contact:view"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "path, status", [("inv_1", 200), ("inv_2", 403), ("INV_1", 403), ("%69nv_1", 200), ("a b", 403)]
)
def test_a_link_opens_its_own_invoice_and_no_other(path: str, status: int, client: FlaskClient) -> None:
    assert client.get(f"/invoices/{path}", headers=bearer(LINK)).status_code == status


def test_a_resource_may_come_from_a_callable(client: FlaskClient) -> None:
    assert client.get("/agreements/1", headers=bearer(LINK)).text == "1"
    assert client.get("/agreements/2", headers=bearer(LINK)).status_code == 403
    assert client.get("/nothing", headers=bearer(LINK)).status_code == 403


def test_an_old_sign_in_is_told_to_step_up(client: FlaskClient) -> None:
    answer = client.post("/contact", data="x", headers=bearer(SIGN_IN))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="authsvc", error="insufficient_user_authentication", acr_values="extra", max_age="60"'
    )


def test_the_views_body_is_left_untouched(client: FlaskClient) -> None:
    fresh = kit.having(auth_time=kit.NOW - 10)
    answer = client.post("/contact", data={"access_token": "x"}, headers=bearer(fresh))
    assert (answer.status_code, answer.text) == (200, "access_token=x")


def test_without_keys_the_answer_is_503_and_never_401(client: FlaskClient, issuer: Issuer) -> None:
    issuer.error = OSError("away")
    answer = client.get("/contact", headers=bearer(SIGN_IN))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "WWW-Authenticate" not in answer.headers


def test_the_reason_goes_to_the_log_and_the_token_does_not(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "authsvc.verifier"):
        client.get("/contact", headers=bearer(kit.having(aud="marketing")))
    assert caplog.messages == ["refused with 401: audience"]


def test_an_async_view_is_awaited(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    app = flask.Flask("async")
    monkeypatch.setattr(app, "ensure_sync", lambda view: lambda: "awaited")

    @app.get("/")
    @verifier.flask("contact:view")
    async def view() -> str:
        return "not awaited"

    assert view.__name__ == "view"
    assert app.test_client().get("/", headers=bearer(SIGN_IN)).text == "awaited"


# --- plain WSGI ---------------------------------------------------------------------------------------------------


def patient(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["authsvc.claims"]["patient"].encode()]


def call(app: Any, token: str | None = None, **variables: str) -> tuple[str, dict[str, str], bytes]:
    """One request through a checker of WSGI's rules (PEP 3333)."""
    environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", "wsgi.input": io.BytesIO()}
    environ |= variables | ({} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"})
    setup_testing_defaults(environ)
    seen: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        seen.extend((status, dict(headers)))
        return io.BytesIO().write

    body: Any = validator(app)(environ, start_response)
    try:
        return seen[0], seen[1], b"".join(body)
    finally:
        body.close()


def test_the_middleware_lets_a_good_token_through_with_its_claims(verifier: Verifier) -> None:
    assert call(verifier.wsgi(patient, "contact:view"), SIGN_IN)[::2] == ("200 OK", b"p_1001")


def test_the_middleware_answers_like_the_decorator(verifier: Verifier, issuer: Issuer) -> None:
    app = verifier.wsgi(patient, "contact:view", acr="extra")
    assert call(app)[:2] == (
        "401 Unauthorized",
        {"WWW-Authenticate": 'Bearer realm="authsvc"', "Cache-Control": "no-store", "Content-Type": "application/json"},
    )
    assert call(app, "x")[0] == "401 Unauthorized"
    assert call(app, SIGN_IN, QUERY_STRING="access_token=x")[0] == "400 Bad Request"
    status, headers, body = call(app, LINK)
    assert status == "401 Unauthorized"
    assert 'acr_values="extra"' in headers["WWW-Authenticate"]
    assert json.loads(body) == {"error": "insufficient_user_authentication"}


def test_the_middleware_without_keys_answers_503(verifier: Verifier, issuer: Issuer) -> None:
    issuer.error = OSError("away")
    status, headers, _ = call(verifier.wsgi(patient, "contact:view"), SIGN_IN)
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "30")


def test_the_middleware_takes_a_resource_as_text_or_from_the_request(verifier: Verifier) -> None:
    by_path = verifier.wsgi(patient, "invoice:view", resource=lambda environ: f"invoice:{environ['PATH_INFO'][1:]}")
    assert call(by_path, LINK, PATH_INFO="/inv_1")[0] == "200 OK"
    assert call(by_path, LINK, PATH_INFO="/inv_2")[0] == "403 Forbidden"
    assert call(verifier.wsgi(patient, "invoice:view", resource="invoice:inv_1"), LINK)[0] == "200 OK"
    assert call(verifier.wsgi(patient, "invoice:view"), LINK)[0] == "403 Forbidden"


def test_a_client_can_not_bring_claims_of_its_own(verifier: Verifier) -> None:
    app = verifier.wsgi(patient, "contact:view")
    assert call(app, SIGN_IN, HTTP_AUTHSVC_CLAIMS='{"patient": "p_2"}')[2] == b"p_1001"
