"""Every recipe against every token: what passes, what is refused with which status, and what the service then sees."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable

import pytest

from tests.gateways.conftest import Start
from tests.gateways.environment import TOLD, GatewaySetup, heard
from tests.gateways.recipes import ALL, RECIPES, Gateway, Recipe, each, needs
from tests.harness.processes import ROOT

pytestmark = pytest.mark.gateway

CONTACT, INVOICE = "/contact", "/invoices/inv_1"

Make = Callable[[GatewaySetup], str | None]
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
    "typ of another kind of JWT": (
        CONTACT,
        lambda site: site.headed(site.code, typ="logout+jwt", kid=site.signer.kid),
        401,
    ),
    "no kid": (CONTACT, lambda site: site.headed(site.code, typ="at+jwt"), 401),
    "another practice": (CONTACT, lambda site: site.elsewhere, 403),
    "insufficient scope": (CONTACT, lambda site: site.signed(site.code, scope="contact:edit invoices:view"), 403),
    "a scope that only begins alike": (CONTACT, lambda site: site.signed(site.code, scope="contact:viewer"), 403),
    "insufficient acr": (
        CONTACT,
        lambda site: site.signed(site.linked("update-payment-info"), scope="contact:view"),
        401,
    ),
    "another invoice": ("/invoices/inv_2", lambda site: site.link, 403),
    "a path below one that is named": ("/contact/more", lambda site: site.code, 404),
    "a path that no route names": ("/secrets", lambda site: site.code, 404),
}
"""Path, token, and the status where a recipe doesn't promise another one."""


@pytest.fixture(params=each(ALL))
def gateway(request: pytest.FixtureRequest, start: Start) -> Gateway:
    recipe: Recipe = request.param
    return start(recipe)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_holds(gateway: Gateway, site: GatewaySetup, name: str) -> None:
    path, make, status = TABLE[name]
    answer = gateway.ask(path, make(site))
    assert answer.status == gateway.recipe.promises.get(name, status), (answer, gateway.program.output()[-2000:])


def test_the_service_sees_exactly_what_authsvc_said(gateway: Gateway, site: GatewaySetup) -> None:
    token = site.code
    assert heard(gateway.ask(CONTACT, token)) == site.headers_received(token)


def test_the_service_is_asked_for_the_very_path(gateway: Gateway, site: GatewaySetup) -> None:
    assert [gateway.ask(path, site.code).json["path"] for path in (CONTACT, INVOICE)] == [CONTACT, INVOICE]


@pytest.mark.parametrize("recipe", each([recipe for recipe in ALL if "own invoice" not in recipe.promises]))
def test_what_a_link_is_for_reaches_the_service(recipe: Recipe, start: Start, site: GatewaySetup) -> None:
    token = site.link
    headers_received = heard(start(recipe).ask(INVOICE, token))
    assert headers_received == site.headers_received(token, resource="invoice:inv_1")
    assert headers_received["X-Auth-Resource"] == "invoice:inv_1"


def test_who_acts_for_the_patient_reaches_the_service(gateway: Gateway, site: GatewaySetup) -> None:
    token = site.signed(site.code, act={"sub": "maple:guardian"})
    headers_received = heard(gateway.ask(CONTACT, token))
    assert headers_received == site.headers_received(token)
    assert headers_received["X-Auth-Actor"] == "maple:guardian"


SAY_WHY = [recipe for recipe in ALL if recipe.asks or recipe.name == "haproxy/validate.cfg"]


@pytest.mark.parametrize("recipe", each(SAY_WHY))
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no token", 'Bearer realm="authsvc"'),
        ("expired", 'error="invalid_token"'),
        ("insufficient acr", 'error="insufficient_user_authentication"'),
        ("insufficient acr", 'acr_values="extra"'),
        ("insufficient scope", 'error="insufficient_scope"'),
    ],
)
def test_a_refusal_says_why_and_says_it_once(
    recipe: Recipe, start: Start, site: GatewaySetup, name: str, said: str
) -> None:
    path, make, status = TABLE[name]
    answer = start(recipe).ask(path, make(site))
    challenges = [value for key, value in answer.headers if key.lower() == "www-authenticate"]
    assert (answer.status, len(challenges)) == (status, 1)
    assert said in challenges[0]
    assert "error" in challenges[0] or name == "no token"


def test_a_sign_out_is_seen_at_once_by_those_that_ask_and_with_the_tokens_end_by_those_that_do_not(
    gateway: Gateway, site: GatewaySetup
) -> None:
    token = site.sign_in()["access_token"]
    assert gateway.ask(CONTACT, token).status == 200
    site.signed_out(token)
    assert gateway.ask(CONTACT, token).status == (401 if gateway.recipe.asks else 200)


ASK_FOR_A_RESOURCE = [recipe for recipe in ALL if recipe.asks and "own invoice" not in recipe.promises]


@needs(*ASK_FOR_A_RESOURCE)
def test_a_revoked_link_is_seen_at_once_by_those_that_ask(start: Start, site: GatewaySetup) -> None:
    gateways = [start(recipe) for recipe in ASK_FOR_A_RESOURCE]
    token = site.linked("pay-invoice", resource="invoice:inv_9")
    assert {gateway.ask("/invoices/inv_9", token).status for gateway in gateways} == {200}
    assert site.portal.call("DELETE", "links?resource=invoice:inv_9").status == 200
    assert {gateway.ask("/invoices/inv_9", token).status for gateway in gateways} == {401}


def test_attack_two_tokens_in_one_request_are_never_judged_by_one_and_used_by_the_other(
    gateway: Gateway, site: GatewaySetup
) -> None:
    line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    for first, second in ((site.code, site.link), (site.link, site.code), (site.code, "junk")):
        line.putrequest("GET", CONTACT)
        line.putheader("Authorization", f"Bearer {first}")
        line.putheader("Authorization", f"Bearer {second}")
        line.endheaders()
        answer = line.getresponse()
        body = answer.read()
        if answer.status == 200:
            sent = [value for name, value in json.loads(body)["headers"] if name.lower() == "authorization"]
            assert sent == [f"Bearer {site.code}"]
    line.close()


def test_attack_a_client_that_says_who_it_is_is_not_heard(gateway: Gateway, site: GatewaySetup) -> None:
    headers_received = site.headers_received(site.code)
    spellings: list[Callable[[str], str]] = [
        str,
        str.lower,
        str.upper,
        lambda name: name.replace("-", "_"),
        lambda name: name.replace("-", "_").lower(),
        lambda name: name.replace("-", "_", 1),
        lambda name: name.replace("h-", "h_"),
    ]
    for spelled in spellings:
        forged = {spelled(name): "forged" for name in TOLD}
        answer = gateway.ask(CONTACT, site.code, forged)
        assert answer.status in (200, 400, 403)  # a gateway may refuse names with underscores
        if answer.status == 200:
            assert heard(answer) == headers_received


def test_a_body_reaches_the_service_and_not_authsvc(gateway: Gateway, site: GatewaySetup) -> None:
    body = b"x" * 100_000
    answer = gateway.ask(CONTACT, site.code, method="POST", body=body)
    assert (answer.status, answer.json["method"], answer.json["body"]) == (200, "POST", body.decode())


def test_attack_a_token_outside_the_authorization_header_is_not_looked_at(gateway: Gateway, site: GatewaySetup) -> None:
    assert gateway.ask(f"{CONTACT}?access_token={site.code}").status == 401
    assert gateway.ask(CONTACT, headers={"Cookie": f"access_token={site.code}"}).status == 401


def test_attack_a_path_that_is_read_in_two_ways_does_not_pass(gateway: Gateway, site: GatewaySetup) -> None:
    """The invoice that was judged is the one that the service is asked for."""
    for path in ("/invoices/inv_1/../inv_2", "/invoices/inv_1%2f..%2finv_2", "/invoices/./inv_1", "//invoices/inv_2"):
        answer = gateway.ask(path, site.link)
        assert answer.status != 200 or answer.json["path"] == INVOICE
    for path in ("/invoices/..", "/invoices/.", "/invoices/%2e%2e", "/invoices/inv_1%00", "/invoices/inv_1%0a"):
        answer = gateway.ask(path, site.code)
        assert answer.status != 200 or answer.json["path"] == INVOICE


# --- what the how-to says -----------------------------------------------------------------------------------------


def test_the_howto_shows_what_is_tested_here() -> None:
    howto = (ROOT / "docs/howto/gateways.md").read_text(encoding="utf-8")
    rows = [f"| what comes | {' | '.join(recipe.title for recipe in ALL)} |"]
    for name, (_, _, status) in TABLE.items():
        rows.append(f"| {name} | {' | '.join(str(recipe.promises.get(name, status)) for recipe in ALL)} |")
    rows.append(f"| signed out a moment ago | {' | '.join('401' if recipe.asks else '200' for recipe in ALL)} |")
    rows.append(f"| authsvc was never there | {' | '.join(str(recipe.away or 'no start') for recipe in ALL)} |")
    assert [row for row in rows if row not in howto] == []


def test_every_recipe_is_in_the_howto_and_runs_here() -> None:
    howto = (ROOT / "docs/howto/gateways.md").read_text(encoding="utf-8")
    beside = {"haproxy/ask.lua", "haproxy/fetch-keys.sh", "traefik/traefik.yml"}
    # These guard no tokens, they get them: tests/interop, test_mod_auth_openidc.py and test_oauth2_proxy.py.
    beside |= {"apache/sign_in.conf", "oauth2-proxy/sign_in.cfg"}
    files = {str(path.relative_to(RECIPES)) for path in RECIPES.rglob("*") if path.is_file()}
    assert files == beside | {recipe.name for recipe in ALL}
    assert [file for file in files if f"config/gateways/{file}" not in howto] == []
