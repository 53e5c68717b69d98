"""Apache's mod_auth_openidc, a certified client, signs patients in by the recipe in config/gateways: what the service
behind it gets, and what no browser can make it get.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from authsvc.verifier import Verifier
from tests.gateways.environment import Heard, serving
from tests.harness.browsing import Page
from tests.harness.https_browser import HttpsBrowser
from tests.harness.https_deployment import HttpsDeployment, Patient, sign_in, type_code
from tests.harness.machine import require
from tests.harness.processes import free_port, until
from tests.interop.apache import CLIENT, SignInApache, register, shown

pytestmark = pytest.mark.gateway

INVOICE, CONTACT = "/invoices/inv_1", "/contact"


@pytest.fixture(scope="module")
def apaches(deployment: HttpsDeployment, folder: Path) -> Iterator[dict[str, SignInApache]]:
    """One as printed, and one that refreshes the access token at every request."""
    require("apache2", "mod_auth_openidc.so")
    ports = {"as printed": free_port(), "hasty": free_port()}
    at = {name: f"https://localhost:{port}" for name, port in ports.items()}
    secret = register(deployment, CLIENT, at["as printed"], at["hasty"])
    with ExitStack() as stack:
        made = {}
        service_port = stack.enter_context(serving(Heard))
        for name, port in ports.items():
            made[name] = SignInApache(
                folder / f"apache-{port}",
                port=port,
                issuer=deployment.issuer,
                secret=secret,
                service_port=service_port,
                authority=deployment.front.authority,
                hasty=name == "hasty",
            )
            stack.callback(made[name].stop)
        yield made


@pytest.fixture
def apache(apaches: dict[str, SignInApache]) -> SignInApache:
    return apaches["as printed"]


@pytest.fixture
def hasty(apaches: dict[str, SignInApache]) -> SignInApache:
    return apaches["hasty"]


def token(page: Page) -> str:
    """The access token that came with the request."""
    scheme, _, value = shown(page)["Authorization"].partition(" ")
    assert scheme == "Bearer"
    return value


# --- in -----------------------------------------------------------------------------------------------------------


def test_a_patient_signs_in_and_the_service_gets_a_token_that_it_can_verify(
    apache: SignInApache, browser: HttpsBrowser, patient: Patient, verifier: Verifier
) -> None:
    browser.open(apache.url + INVOICE)
    assert sign_in(browser, patient) == apache.url + INVOICE
    told = shown(browser.at)
    claims: dict[str, Any] = verifier.verify(token(browser.at))
    assert (claims["patient"], claims["acr"], claims["client_id"]) == (patient.id, "extra", CLIENT)
    assert {"contact:view", "invoice:view"} <= set(claims["scope"].split())
    assert {name: value for name, value in told.items() if name.startswith("X-Auth-")} == {
        "X-Auth-Subject": patient.sub,
        "X-Auth-Practice": "maple",
        "X-Auth-Acr": "extra",
        "X-Auth-Session": claims["sid"],
    }


def test_who_is_signed_in_at_authsvc_comes_in_without_a_page(
    apache: SignInApache, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(apache.url + "/")
    sign_in(browser, patient)
    browser.jar.clear("localhost.local", "/", "__Host-portal")
    assert shown(browser.open(apache.url + CONTACT))["X-Auth-Subject"] == patient.sub


def test_the_browser_gets_no_token_and_the_service_no_cookie_of_apaches(
    apache: SignInApache, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(apache.url + INVOICE)
    sign_in(browser, patient)
    secret = token(browser.at)
    before = "".join(f"{page.url}{page.headers}{page.html}" for page in browser.seen[:-1])
    assert secret not in before
    assert "__Host-portal" in [cookie.name for cookie in browser.jar]
    assert "__Host-portal" not in shown(browser.at).get("Cookie", "")


def test_a_script_is_told_401_and_sent_nowhere(apache: SignInApache, browser: HttpsBrowser) -> None:
    page = browser.request("GET", apache.url + CONTACT, headers={"Accept": "application/json"})
    assert (page.status, page.header("Location")) == (401, "")


def test_what_no_route_names_does_not_pass_and_the_page_after_the_sign_out_does(
    apache: SignInApache, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(apache.url + "/")
    sign_in(browser, patient)
    for path in ("/secrets", f"{CONTACT}/more", "/invoices/", "/invoices/a/b"):
        assert browser.open(apache.url + path).status == 403, path
    assert "Authorization" not in shown(browser.open(apache.url + "/bye"))


def test_attack_nothing_that_a_browser_says_about_itself_reaches_the_service(
    apache: SignInApache, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(apache.url + INVOICE)
    sign_in(browser, patient)
    told = shown(browser.at)
    ours = [name for name in told if name.startswith("X-Auth-") or name == "Authorization"]
    for spelled in (str, str.lower, str.upper):
        forged = dict.fromkeys(map(spelled, ours), "forged")
        assert "forged" not in browser.request("GET", apache.url + "/bye", headers=forged).html
        forged |= dict.fromkeys(map(spelled, ("OIDC_access_token", "OIDC-Access-Token", "TOKEN_sub")), "forged")
        assert shown(browser.request("GET", apache.url + INVOICE, headers=forged)) == told
    for name in ("X_Auth_Subject", "x-auth_acr", "X_AUTH-PRACTICE"):
        for path in (INVOICE, "/bye"):
            assert browser.request("GET", apache.url + path, headers={name: "forged"}).status == 403


# --- links, and a code where they are not enough ------------------------------------------------------------------


def test_a_pressed_link_lands_at_apache_and_a_code_is_asked_for_where_it_is_not_enough(
    deployment: HttpsDeployment, apache: SignInApache, browser: HttpsBrowser, patient: Patient, verifier: Verifier
) -> None:
    browser.open(apache.link(deployment, patient))
    page = browser.press("Continue")
    assert page.url == apache.url + "/"
    claims: dict[str, Any] = verifier.verify(token(page))
    assert (claims["patient"], claims["acr"], claims["resource"]) == (patient.id, "instant", "invoice:inv_1")
    assert shown(browser.open(apache.url + INVOICE))["X-Auth-Acr"] == "instant"
    browser.open(apache.url + CONTACT)
    sign_in(browser, patient)
    assert browser.at.url == apache.url + CONTACT
    assert shown(browser.at)["X-Auth-Acr"] == "extra"


def test_a_link_may_be_sent_on_to_a_page_of_this_site_and_to_no_other(
    apache: SignInApache, browser: HttpsBrowser
) -> None:
    """What the module makes of `target_link_uri`, should one come with the link (OpenID Connect Core §4)."""
    ours, theirs = (
        browser.open(f"{apache.url}/openid?{urlencode({'iss': issuer, 'target_link_uri': target})}").url
        for issuer, target in ((apache.issuer, apache.url + CONTACT), (apache.issuer, "https://evil.example/"))
    )
    assert ours.startswith(apache.issuer)
    assert theirs.startswith(apache.url + "/openid")


def test_a_patient_proves_anew_who_is_there_before_one_act(
    apache: SignInApache, browser: HttpsBrowser, patient: Patient, verifier: Verifier
) -> None:
    browser.open(apache.url + CONTACT)
    sign_in(browser, patient)
    before = verifier.verify(token(browser.at))["auth_time"]
    until(lambda: time.time() >= before + 2)
    again = {"iss": apache.issuer, "target_link_uri": apache.url + CONTACT, "auth_request_params": "max_age=0"}
    browser.open(f"{apache.url}/openid?{urlencode(again)}")
    browser.press("Email me a code")
    assert type_code(browser, patient) == apache.url + CONTACT
    assert verifier.verify(token(browser.at))["auth_time"] > before


# --- how long -----------------------------------------------------------------------------------------------------


def test_the_token_is_refreshed_behind_the_browsers_back_until_the_session_ends(
    deployment: HttpsDeployment, hasty: SignInApache, browser: HttpsBrowser, patient: Patient, verifier: Verifier
) -> None:
    browser.open(hasty.url + CONTACT)
    sign_in(browser, patient)
    tokens = [token(browser.at)] + [token(browser.open(hasty.url + CONTACT)) for _ in range(3)]
    assert len(set(tokens)) == 4
    assert len({verifier.verify(each)["sid"] for each in tokens}) == 1
    assert deployment.desk.call("DELETE", f"patients/{patient.id}/sessions").status == 204
    assert browser.open(hasty.url + CONTACT).url == hasty.url + "/bye"
    assert browser.open(hasty.url + CONTACT).url.startswith(f"{deployment.issuer}/p/maple/sign-in?")


def test_a_sign_out_ends_the_session_at_both(
    deployment: HttpsDeployment, apache: SignInApache, browser: HttpsBrowser, patient: Patient, verifier: Verifier
) -> None:
    browser.open(apache.url + CONTACT)
    sign_in(browser, patient)
    secret = token(browser.at)
    page = browser.open(f"{apache.url}/openid?logout={quote(apache.url + '/bye', safe='')}")
    assert page.url == apache.url + "/bye"
    assert deployment.desk.oauth("introspect", token=secret).json == {"active": False}
    assert browser.open(apache.url + CONTACT).url.startswith(f"{deployment.issuer}/p/maple/sign-in?")


def test_apache_hears_of_a_sign_out_elsewhere(
    deployment: HttpsDeployment, apache: SignInApache, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(apache.url + CONTACT)
    sign_in(browser, patient)
    assert deployment.desk.call("DELETE", f"patients/{patient.id}/sessions").status == 204
    until(lambda: browser.request("GET", apache.url + CONTACT).status == 302)
