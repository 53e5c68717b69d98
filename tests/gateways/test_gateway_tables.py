"""Every recipe against every token: what passes, what is refused with which status, and what the service then sees."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.gateways.conftest import Start
from tests.gateways.recipes import ALL, Gateway, Recipe
from tests.gateways.site import TOLD, Site, heard

pytestmark = pytest.mark.gateway

CONTACT, INVOICE = "/contact", "/invoices/inv_1"

Make = Callable[[Site], str | None]
Case = tuple[str, Make, int]

TABLE: dict[str, Case] = {
    "good": (CONTACT, lambda site: site.code, 200),
    "good, any of the patient's invoices": (INVOICE, lambda site: site.code, 200),
    "own invoice": (INVOICE, lambda site: site.link, 200),
    "no token": (CONTACT, lambda site: None, 401),
    "junk": (CONTACT, lambda site: "junk", 401),
    "a refresh token": (CONTACT, lambda site: site.sign_in()["refresh_token"], 401),
    "expired": (CONTACT, lambda site: site.expired(site.code), 401),
    "wrong audience": (CONTACT, lambda site: site.signed(site.code, aud="other-services"), 401),
    "wrong issuer": (CONTACT, lambda site: site.signed(site.code, iss="https://auth.example.com"), 401),
    "alg none": (CONTACT, lambda site: site.unsigned(site.code), 401),
    "HS256 with the public key": (CONTACT, lambda site: site.signed_with_the_public_key(site.code), 401),
    "unknown kid": (CONTACT, lambda site: site.signed(site.code, site.stranger), 401),
    "another practice": (CONTACT, lambda site: site.elsewhere, 403),
    "insufficient scope": (CONTACT, lambda site: site.signed(site.code, scope="contact:edit invoices:view"), 403),
    "a scope that only begins alike": (CONTACT, lambda site: site.signed(site.code, scope="contact:viewer"), 403),
    "insufficient acr": (
        CONTACT,
        lambda site: site.signed(site.linked("update-payment-info"), scope="contact:view"),
        401,
    ),
    "another invoice": ("/invoices/inv_2", lambda site: site.link, 403),
    "a path that no route names": ("/secrets", lambda site: site.code, 404),
}
"""Path, token, and the status where a recipe doesn't promise another one."""


@pytest.fixture(params=ALL, ids=lambda recipe: recipe.name)
def gateway(request: pytest.FixtureRequest, start: Start) -> Gateway:
    recipe: Recipe = request.param
    return start(recipe)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_holds(gateway: Gateway, site: Site, name: str) -> None:
    path, make, status = TABLE[name]
    answer = gateway.ask(path, make(site))
    assert answer.status == gateway.recipe.promises.get(name, status), (answer, gateway.program.said()[-2000:])


def test_the_service_sees_exactly_what_authsvc_said(gateway: Gateway, site: Site) -> None:
    assert heard(gateway.ask(CONTACT, site.code)) == site.told(site.code)


def test_what_a_link_is_for_reaches_the_service(gateway: Gateway, site: Site) -> None:
    answer = gateway.ask(INVOICE, site.link)
    if gateway.recipe.promises.get("own invoice", 200) == 200:
        assert heard(answer) == site.told(site.link, resource="invoice:inv_1")
        assert heard(answer)["X-Auth-Resource"] == "invoice:inv_1"


def test_attack_a_client_that_says_who_it_is_is_not_heard(gateway: Gateway, site: Site) -> None:
    told = site.told(site.code)
    for spelled in (str, str.lower, str.upper, lambda name: name.replace("-", "_")):
        forged = {spelled(name): "forged" for name in TOLD}
        answer = gateway.ask(CONTACT, site.code, **forged)
        assert answer.status in (200, 400, 403)  # a gateway may refuse names with underscores
        if answer.status == 200:
            assert heard(answer) == told


def test_a_body_reaches_the_service_and_not_authsvc(gateway: Gateway, site: Site) -> None:
    body = b"x" * 100_000
    answer = gateway.ask(CONTACT, site.code, method="POST", body=body)
    assert (answer.status, answer.json["method"], answer.json["body"]) == (200, "POST", body.decode())


def test_attack_a_token_outside_the_authorization_header_is_not_looked_at(gateway: Gateway, site: Site) -> None:
    assert gateway.ask(f"{CONTACT}?access_token={site.code}").status == 401
    assert gateway.ask(CONTACT, Cookie=f"access_token={site.code}").status == 401


def test_attack_a_path_that_is_read_in_two_ways_does_not_pass(gateway: Gateway, site: Site) -> None:
    """The invoice that was judged is the one that the service is asked for."""
    for path in ("/invoices/inv_1/../inv_2", "/invoices/inv_1%2f..%2finv_2", "/invoices/./inv_1", "//invoices/inv_2"):
        answer = gateway.ask(path, site.link)
        if answer.status == 200:
            assert answer.json["path"] == INVOICE
