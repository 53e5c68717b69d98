"""Pushed authorization requests (RFC 9126): what a client pushes, and what the browser then brings."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from werkzeug.test import TestResponse

from tests.web.conftest import Web, basic
from tests.web.relying_party import CALLBACK, Party, party, press, sent_to, sign_in
from tests.web.visitor import CODE, SIGN_IN, Visitor

URN = "urn:ietf:params:oauth:request_uri:"


@pytest.fixture
def app(web: Web) -> Party:
    return party(web)


def push(app: Party, **changes: str | None) -> TestResponse:
    form = dict(parse_qsl(app.query(**changes)))
    return app.web.bare("POST", "/oauth2/par", data=form, headers=basic(app.name, app.secret))


def pushed(app: Party, **changes: str | None) -> str:
    answer = push(app, **changes)
    assert answer.status_code == 201, answer.json
    return str(answer.json["request_uri"])


def address(request_uri: str, client_id: str = "app", **more: str) -> str:
    return "/oauth2/authorize?" + urlencode({"client_id": client_id, "request_uri": request_uri, **more})


def bring(web: Web, request_uri: str, client_id: str = "app", **more: str) -> TestResponse:
    return web.bare("GET", address(request_uri, client_id, **more))


def refused(answer: TestResponse) -> bool:
    """A page, for there is no address that is known to be the client's."""
    return answer.status_code == 400 and "Location" not in answer.headers and "request_uri" in answer.text


def test_a_pushed_request_gives_a_reference_and_that_a_code(web: Web, app: Party) -> None:
    sign_in(web)
    answer = push(app)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["request_uri"].startswith(URN)
    assert len(answer.json["request_uri"]) == len(URN) + 43
    assert answer.json["expires_in"] == 60
    # Whatever else stands in the address is not looked at (§4, RFC 9101 §6.3).
    where, said = sent_to(bring(web, answer.json["request_uri"], redirect_uri="https://evil.example/", state="other"))
    assert (where, said["state"]) == (CALLBACK, "st4te")
    assert app.redeem(said["code"]).status_code == 200


def test_it_goes_through_the_pages_without_showing_what_was_pushed(web: Web, app: Party) -> None:
    reference, visitor = pushed(app, ui_locales="es"), Visitor(web)
    where, said = sent_to(visitor.open("GET", address(reference)))
    assert (where, said) == (SIGN_IN, {"client_id": "app", "request_uri": reference, "ui_locales": "es"})
    code_page = visitor.ask(query=urlencode(said))
    page = visitor.page(code_page)
    for _ in range(2):  # a double click
        where, said = sent_to(visitor.press(code_page, page=page, code=CODE))
        assert where == CALLBACK
    assert app.redeem(said["code"]).status_code == 200
    assert refused(visitor.open("GET", address(reference)))


def test_a_request_may_come_by_post(web: Web, app: Party) -> None:
    sign_in(web)
    form = {"client_id": "app", "request_uri": pushed(app), "more": "x"}
    answer = web.bare("POST", "/oauth2/authorize", data=form)
    assert sent_to(web.bare("GET", answer.headers["Location"]))[0] == CALLBACK


def test_the_patient_may_still_be_somebody_else(web: Web, app: Party) -> None:
    sign_in(web)
    where, said = sent_to(bring(web, pushed(app), prompt="select_account"))
    assert (where, said["prompt"]) == ("/p/maple/sign-in", "select_account")
    silent = bring(web, pushed(app, prompt="none"), prompt="select_account")
    assert sent_to(silent)[0] == CALLBACK


def test_a_link_is_fetched_by_a_pushed_request_too(web: Web, app: Party) -> None:
    reference = pushed(app, login_hint=press(web))
    assert "code" in sent_to(bring(web, reference))[1]
    assert refused(bring(web, reference))


def test_a_public_client_pushes_by_its_id(web: Web) -> None:
    app = party(web, "native", callback="com.example.app:/cb", public=True)
    answer = web.bare("POST", "/oauth2/par", data=dict(parse_qsl(app.query())))
    assert answer.status_code == 201
    sign_in(web)
    assert bring(web, answer.json["request_uri"], "native").headers["Location"].startswith("com.example.app:/cb?code=")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"scope": "invoices:view"}, "invalid_scope"),
        ({"request_uri": "https://evil.example/request"}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"prompt": "{all}"}, "invalid_request"),
    ],
)
def test_what_is_wrong_with_a_request_is_heard_when_it_is_pushed(
    app: Party, changes: dict[str, str | None], error: str
) -> None:
    answer = push(app, **changes)
    assert (answer.status_code, answer.json["error"]) == (400, error)


def test_a_service_that_no_patient_signs_in_for_pushes_nothing(web: Web) -> None:
    answer = web.bare("POST", "/oauth2/par", data={"response_type": "code"}, headers=web.auth)
    assert (answer.status_code, answer.json["error"]) == (400, "unauthorized_client")


def test_a_client_that_must_push_is_refused_without_by_the_endpoint_and_by_the_pages(web: Web) -> None:
    app = party(web, require_pushed_authorization_requests=True)
    sign_in(web)
    where, said = sent_to(app.authorize())
    assert (where, said["error"]) == (CALLBACK, "invalid_request")
    around = web.bare("GET", f"/p/maple/sign-in?{app.query()}")
    assert sent_to(around)[1]["error"] == "invalid_request"
    assert "code" in sent_to(bring(web, pushed(app)))[1]


# --- attacks ------------------------------------------------------------------------------------------------------


def test_attack_a_reference_that_has_had_its_code_gives_no_other(web: Web, app: Party) -> None:
    sign_in(web)
    reference = pushed(app)
    assert "code" in sent_to(bring(web, reference))[1]
    assert refused(bring(web, reference))


def test_attack_a_reference_of_another_client_is_refused(web: Web, app: Party) -> None:
    party(web, "other", callback="https://other.example/cb")
    sign_in(web)
    reference = pushed(app)
    assert refused(bring(web, reference, "other"))
    assert "code" in sent_to(bring(web, reference))[1]  # and isn't spoilt


def test_attack_a_reference_that_another_browser_has_opened_is_refused(web: Web, app: Party) -> None:
    reference = pushed(app)
    page = bring(web, reference).headers["Location"]
    web.public.delete_cookie("authsvc")
    sign_in(web)
    assert refused(bring(web, reference))
    assert refused(web.bare("GET", page))


def test_attack_a_reference_on_a_page_that_no_endpoint_has_seen_is_refused(web: Web, app: Party) -> None:
    query = urlencode({"client_id": "app", "request_uri": pushed(app)})
    assert refused(web.bare("GET", f"/p/maple/sign-in?{query}"))


def test_attack_an_old_reference_is_refused(web: Web, app: Party) -> None:
    sign_in(web)
    reference = pushed(app)
    web.clock.advance_s(60)
    assert refused(bring(web, reference))


def test_an_opened_one_waits_for_the_code_for_half_an_hour(web: Web, app: Party) -> None:
    reference = pushed(app)
    page = bring(web, reference).headers["Location"]
    web.clock.advance_s(1799)
    assert web.bare("GET", page).status_code == 200
    web.clock.advance_s(1)
    assert refused(web.bare("GET", page))


@pytest.mark.parametrize("guess", [URN, URN + "A" * 43, URN + "x" * 8000])
def test_attack_a_guessed_reference_is_refused(web: Web, app: Party, guess: str) -> None:
    assert refused(bring(web, guess))


def test_attack_two_references_in_one_request_are_refused(web: Web, app: Party) -> None:
    sign_in(web)
    first, second = pushed(app), pushed(app)
    query = urlencode([("client_id", "app"), ("request_uri", first), ("request_uri", second)])
    assert refused(web.bare("GET", f"/oauth2/authorize?{query}"))


def test_attack_an_oversized_request_is_refused_before_it_is_read(app: Party) -> None:
    answer = push(app, padding="x" * 20_000)
    assert (answer.status_code, answer.json["error"]) == (413, "invalid_request")


@pytest.mark.parametrize("headers", [{}, basic("app", "acs_wrong")])
def test_attack_nobody_pushes_in_a_clients_name(web: Web, app: Party, headers: dict[str, str]) -> None:
    answer = web.bare("POST", "/oauth2/par", data=dict(parse_qsl(app.query())), headers=headers)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_attack_a_reference_spent_twice_at_once_sends_one_code(
    web: Web, app: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tabs of one browser have opened it before either got its code."""
    sign_in(web)
    reference = pushed(app)
    spend: Any = web.service.pushed_requests.spend

    def race(*args: Any, **how: Any) -> bool:
        monkeypatch.setattr(web.service.pushed_requests, "spend", spend)
        assert "code" in sent_to(bring(web, reference))[1]
        return bool(spend(*args, **how))

    monkeypatch.setattr(web.service.pushed_requests, "spend", race)
    web.public.set_cookie("authsvc", "B" * 22)
    assert refused(bring(web, reference))


def test_a_pushed_request_may_be_longer_but_its_state_still_comes_back_in_an_address(web: Web, app: Party) -> None:
    sign_in(web)
    long = {"state": "/" * 2_000, "nonce": "/" * 2_048}
    code, state = (sent_to(bring(web, pushed(app, **long)))[1][name] for name in ("code", "state"))
    assert (bool(code), state) == (True, long["state"])
    assert push(app, state="/" * 2_600).json["error"] == "invalid_request"
