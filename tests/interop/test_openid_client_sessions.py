"""npm's openid-client across clients and time: one sign-in for all, more proof where it is wanted, links, the end."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest

from tests.harness.deployment import Client
from tests.harness.https_browser import HttpsBrowser
from tests.harness.https_deployment import HttpsDeployment, Patient, sign_in, type_code
from tests.harness.processes import until
from tests.interop.relying_party import Portal, Refused, RelyingParty, parameter

pytestmark = pytest.mark.journey

SCOPE = "openid contact:view invoice:view"


# --- one browser, several clients -------------------------------------------------------------------------------------


def test_a_client_may_ask_without_a_page_whether_somebody_is_signed_in(
    client: RelyingParty, browser: HttpsBrowser, patient: Patient
) -> None:
    answer = browser.open(client.begin(prompt="none")).url
    assert (parameter(answer, "error"), parameter(answer, "code")) == ("login_required", "")
    with pytest.raises(Refused) as refused:
        client.finish(answer)
    assert refused.value.error == "login_required"
    browser.open(client.begin())
    first = client.finish(sign_in(browser, patient))["claims"]
    again = client.finish(browser.open(client.begin(prompt="none")).url)["claims"]
    assert (again["sub"], again["auth_time"]) == (first["sub"], first["auth_time"])


def test_a_client_that_names_its_patient_is_never_given_another(
    client: RelyingParty, deployment: HttpsDeployment, browser: HttpsBrowser, patient: Patient
) -> None:
    elsewhere, other = deployment.browser(), deployment.patient()
    elsewhere.open(client.begin())
    named = client.finish(sign_in(elsewhere, other))["id_token"]
    browser.open(client.begin())
    sign_in(browser, patient)
    for wanted in ({"prompt": "none"}, {}):
        answer = browser.open(client.begin(id_token_hint=named, **wanted)).url
        assert not parameter(answer, "code")
    assert browser.at.url.startswith(f"{deployment.issuer}/p/maple/sign-in?")


def test_one_sign_in_does_for_every_client_of_the_practice(
    clients: dict[str, RelyingParty], browser: HttpsBrowser, patient: Patient
) -> None:
    begun = iter(clients.values())
    first = next(begun)
    browser.open(first.begin())
    sids = [first.finish(sign_in(browser, patient))["claims"]["sid"]]
    for other in begun:
        answer = browser.open(other.begin(acr_values="extra", max_age="3600")).url
        claims = other.finish(answer)["claims"]
        assert claims["sub"] == patient.sub
        sids.append(claims["sid"])
    assert len(set(sids)) == len(clients)  # what one client may refresh, revoke or is told of is its own


def test_a_client_may_ask_for_the_code_again_and_is_told_when_it_was_typed(
    client: RelyingParty, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(client.begin())
    before = client.finish(sign_in(browser, patient))["claims"]["auth_time"]
    until(lambda: time.time() >= before + 2)
    page = browser.open(client.begin(max_age="0", acr_values="extra"))
    assert patient.email not in page.html  # masked: who holds the device isn't told more
    browser.press("Email me a code")
    after = client.finish(type_code(browser, patient))["claims"]
    assert (after["sub"], after["acr"]) == (patient.sub, "extra")
    assert after["auth_time"] > before


def test_a_patient_who_will_not_type_a_code_comes_back_to_the_client(
    client: RelyingParty, browser: HttpsBrowser
) -> None:
    for wanted, error in (({}, "access_denied"), ({"acr_values": "extra"}, "unmet_authentication_requirements")):
        browser.open(client.begin(**wanted))
        with pytest.raises(Refused) as refused:
            client.finish(browser.press("Not now", act="cancel").url)
        assert refused.value.error == error


# --- links ------------------------------------------------------------------------------------------------------------


def press_link(deployment: HttpsDeployment, client: RelyingParty, browser: HttpsBrowser, patient: Patient) -> str:
    """The `login_hint` with which a pressed link sends the browser to the client that issued it."""
    issuer = Client(deployment.url, "maple", client.id, client.secret)
    issued = issuer.post("links", workflow="pay-invoice", patient=patient.id, resource="invoice:inv_1").json
    browser.open(issued["url"])
    started = browser.press("Continue").url
    assert started.endswith(f"/start/{client.id}?{urlsplit(started).query}")
    assert parameter(started, "iss") == deployment.issuer
    return parameter(started, "login_hint")


def test_a_pressed_link_reaches_its_client_and_is_for_one_thing(
    deployment: HttpsDeployment, clients: dict[str, RelyingParty], browser: HttpsBrowser, patient: Patient
) -> None:
    client = clients["confidential"]
    hint = press_link(deployment, client, browser, patient)
    tokens = client.finish(browser.open(client.begin(scope=SCOPE, login_hint=hint)).url)
    assert (tokens["claims"]["sub"], tokens["claims"]["acr"]) == (patient.sub, "instant")
    assert "refresh_token" not in tokens
    told = client.introspect(tokens["access_token"])
    assert (told["resource"], set(told["scope"].split())) == ("invoice:inv_1", {"openid", "invoice:view"})
    assert client.userinfo(tokens)["sub"] == patient.sub
    again = browser.open(client.begin(login_hint=hint)).url
    assert parameter(again, "error") == "login_required"  # nobody has signed in by it


def test_whoever_pressed_a_link_proves_by_a_code_what_needs_one_and_types_no_address(
    deployment: HttpsDeployment, clients: dict[str, RelyingParty], browser: HttpsBrowser, patient: Patient
) -> None:
    client = clients["confidential"]
    hint = press_link(deployment, client, browser, patient)
    page = browser.open(client.begin(scope=SCOPE, acr_values="extra", login_hint=hint))
    assert patient.email not in page.html
    browser.press("Email me a code")
    claims = client.finish(type_code(browser, patient))["claims"]
    assert (claims["sub"], claims["acr"]) == (patient.sub, "extra")


# --- out --------------------------------------------------------------------------------------------------------------


def test_signing_out_at_one_client_ends_all_and_the_others_hear_of_it(
    clients: dict[str, RelyingParty], pages: Portal, browser: HttpsBrowser, patient: Patient
) -> None:
    sids: dict[str, str] = {}
    before = {name: len(pages.heard_of(name)) for name in clients}
    for name, client in clients.items():
        browser.open(client.begin(scope=SCOPE))
        tokens = client.finish(sign_in(browser, patient) if not sids else browser.at.url)
        sids[name] = tokens["claims"]["sid"]
    leaving = clients["signing"]
    bye = browser.open(
        leaving.end(id_token_hint=tokens["id_token"], post_logout_redirect_uri=pages.signed_out, state="s 1&2")
    )
    assert (bye.url.partition("?")[0], parameter(bye.url, "state")) == (pages.signed_out, "s 1&2")
    for name, client in clients.items():
        assert parameter(browser.open(client.begin(prompt="none")).url, "error") == "login_required"

        def heard(client: RelyingParty = client, name: str = name) -> dict[str, object] | None:
            told = [client.logged_out(token) for token in pages.heard_of(name)[before[name] :]]
            return next((claims for claims in told if claims["sid"] == sids[name]), None)

        claims = until(heard)
        assert claims["sub"] == patient.sub
        assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
        assert "nonce" not in claims
    with pytest.raises(Refused) as refused:
        leaving.refresh(tokens["refresh_token"])
    assert refused.value.error == "invalid_grant"


def test_attack_another_website_signs_nobody_out(
    clients: dict[str, RelyingParty], pages: Portal, browser: HttpsBrowser, patient: Patient
) -> None:
    client = clients["public"]
    browser.open(client.begin())
    client.finish(sign_in(browser, patient))
    browser.open(client.end(post_logout_redirect_uri=pages.signed_out))
    assert client.finish(browser.open(client.begin(prompt="none")).url)["claims"]["sub"] == patient.sub
