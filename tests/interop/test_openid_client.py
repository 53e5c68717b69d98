"""npm's openid-client, a certified client, against the running service. It checks by itself what it gets: signature,
issuer, audience, nonce, state, `iss`, age. What it accepts here is right as far as OpenID Connect goes.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.harness.https_browser import HttpsBrowser
from tests.harness.https_deployment import HttpsDeployment, Patient, sign_in
from tests.interop.relying_party import Refused, RelyingParty, parameter

pytestmark = pytest.mark.journey

SCOPE = "openid contact:view invoice:view"


def test_the_client_finds_all_it_needs_in_the_metadata(client: RelyingParty, deployment: HttpsDeployment) -> None:
    said = client.metadata
    assert said["issuer"] == deployment.issuer
    assert said["authorization_response_iss_parameter_supported"] is True
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert all(url.startswith(deployment.issuer) for name, url in said.items() if name.endswith("_endpoint"))


def test_a_patient_signs_in_and_the_client_finds_nothing_wrong(
    client: RelyingParty, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(client.begin(scope=SCOPE, max_age="600", acr_values="extra", ui_locales="en"))
    tokens = client.finish(sign_in(browser, patient))
    claims = tokens["claims"]
    assert (claims["sub"], claims["practice"], claims["aud"]) == (patient.sub, "maple", client.id)
    assert (claims["acr"], claims["amr"]) == ("extra", ["email"])
    assert set(tokens["scope"].split()) == set(SCOPE.split())
    assert client.userinfo(tokens) == {"sub": patient.sub, "practice": "maple", "locale": "en"}


def test_the_browser_holds_no_token_and_the_address_a_code_alone(
    client: RelyingParty, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(client.begin(scope=SCOPE))
    tokens = client.finish(sign_in(browser, patient))
    seen = "".join(f"{page.url}{page.headers}{page.html}" for page in browser.seen)
    assert parameter(browser.at.url, "code")
    assert [name for name in ("access_token", "refresh_token", "id_token") if tokens[name] in seen] == []


def test_tokens_are_refreshed_and_each_refresh_token_has_one_successor(
    client: RelyingParty, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(client.begin(scope=SCOPE))
    first = client.finish(sign_in(browser, patient))
    second = client.refresh(first["refresh_token"])
    third = client.refresh(second["refresh_token"])
    assert len({each["refresh_token"] for each in (first, second, third)}) == 3
    assert len({each["access_token"] for each in (first, second, third)}) == 3
    for name in ("sub", "sid", "auth_time", "acr"):
        assert third["claims"][name] == first["claims"][name]
    assert "nonce" not in third["claims"]
    with pytest.raises(Refused) as refused:
        client.refresh(first["refresh_token"])
    assert refused.value.error == "invalid_grant"


def test_attack_a_stolen_refresh_token_ends_the_session_for_thief_and_owner(
    client: RelyingParty, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(client.begin(scope=SCOPE))
    stolen = client.finish(sign_in(browser, patient))["refresh_token"]
    owner = client.refresh(client.refresh(stolen)["refresh_token"])
    for token in (stolen, owner["refresh_token"]):
        with pytest.raises(Refused) as refused:
            client.refresh(token)
        assert refused.value.error == "invalid_grant"


def test_a_token_is_introspected_until_it_is_revoked(
    client: RelyingParty, clients: dict[str, RelyingParty], browser: HttpsBrowser, patient: Patient
) -> None:
    service = clients["confidential"]
    browser.open(client.begin(scope=SCOPE))
    tokens = client.finish(sign_in(browser, patient))
    told = service.introspect(tokens["access_token"])
    assert (told["active"], told["sub"], told["client_id"], told["acr"]) == (True, patient.sub, client.id, "extra")
    client.revoke(tokens["refresh_token"])
    assert service.introspect(tokens["access_token"]) == {"active": False}
    with pytest.raises(Refused) as refused:
        client.refresh(tokens["refresh_token"])
    assert refused.value.error == "invalid_grant"


def test_attack_a_code_that_comes_twice_ends_what_it_gave(
    client: RelyingParty, clients: dict[str, RelyingParty], browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(client.begin(scope=SCOPE))
    answer = sign_in(browser, patient)
    tokens = client.finish(answer)
    with pytest.raises(Refused) as refused:
        client.finish(answer)
    assert refused.value.error == "invalid_grant"
    assert clients["confidential"].introspect(tokens["access_token"]) == {"active": False}
    with pytest.raises(Refused):
        client.userinfo(tokens)
    with pytest.raises(Refused) as refused:
        client.refresh(tokens["refresh_token"])
    assert refused.value.error == "invalid_grant"


def test_scopes_that_standard_clients_send_and_that_mean_nothing_here_are_passed_over(
    client: RelyingParty, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(client.begin(scope="openid profile email offline_access contact:view"))
    tokens = client.finish(sign_in(browser, patient))
    assert set(tokens["scope"].split()) == {"openid", "contact:view"}
    assert tokens["refresh_token"]


# --- what the client itself must be able to see -----------------------------------------------------------------------


def test_attack_the_client_sees_an_answer_that_is_mixed_up_with_another_issuers(
    client: RelyingParty, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(client.begin())
    answer = sign_in(browser, patient)
    parts = urlsplit(answer)
    others = {
        "without iss": "&".join(each for each in parts.query.split("&") if not each.startswith("iss=")),
        "another iss": "&".join(each for each in parts.query.split("&") if not each.startswith("iss="))
        + "&iss=https%3A%2F%2Fevil.example",
    }
    for query in others.values():
        with pytest.raises(Refused):
            client.finish(urlunsplit(parts._replace(query=query)))
    assert client.finish(answer)["claims"]["sub"] == patient.sub  # it never asked the other


def test_attack_a_code_without_its_verifier_is_worth_nothing(
    clients: dict[str, RelyingParty], browser: HttpsBrowser, patient: Patient
) -> None:
    """A code that an attacker got hold of, put into the attacker's own browser."""
    client = clients["public"]
    browser.open(client.begin())
    stolen = sign_in(browser, patient)
    own = parameter(client.begin(), "state")
    swapped = stolen.replace(parameter(stolen, "state"), own)
    with pytest.raises(Refused) as refused:
        client.finish(swapped)
    assert refused.value.error == "invalid_grant"
