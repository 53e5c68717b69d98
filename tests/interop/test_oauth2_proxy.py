"""oauth2-proxy, unmodified, signs patients in by the recipe in config/gateways: what the service behind it is told, and
what no browser can make it be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from authsvc.verifier import Verifier
from tests.gateways.environment import Heard, serving
from tests.harness.browsing import Page
from tests.harness.https_browser import HttpsBrowser
from tests.harness.https_deployment import HttpsDeployment, Patient, sign_in
from tests.harness.machine import require
from tests.harness.processes import until
from tests.interop.apache import shown
from tests.interop.oauth2_proxy import BINARY, HASTY, OAuth2Proxy

pytestmark = pytest.mark.gateway

PAGE = "/contact?year=2026"


@pytest.fixture(scope="module")
def proxies(deployment: HttpsDeployment) -> Iterator[dict[str, OAuth2Proxy]]:
    """One as printed, one that refreshes at every request, and one that was told nothing but who it is."""
    require(BINARY)
    with ExitStack() as stack:
        service_port = stack.enter_context(serving(Heard))
        made = {
            "as-printed": OAuth2Proxy(deployment, "proxy-as-printed", service_port, texts={}),
            "hasty": OAuth2Proxy(deployment, "proxy-hasty", service_port, texts=HASTY),
            "untold": OAuth2Proxy(deployment, "proxy-untold", service_port, "--pkce", "optional", "--claims", "email"),
        }
        for proxy in made.values():
            stack.callback(proxy.stop)
        yield made


@pytest.fixture
def proxy(proxies: dict[str, OAuth2Proxy]) -> OAuth2Proxy:
    return proxies["as-printed"]


@pytest.fixture
def hasty(proxies: dict[str, OAuth2Proxy]) -> OAuth2Proxy:
    return proxies["hasty"]


def token(page: Page) -> str:
    return shown(page)["X-Forwarded-Access-Token"]


# --- in -----------------------------------------------------------------------------------------------------------


def test_a_patient_signs_in_and_the_service_is_told_who_and_gets_a_token_that_it_can_verify(
    proxy: OAuth2Proxy, browser: HttpsBrowser, patient: Patient, verifier: Verifier
) -> None:
    browser.open(proxy.url + PAGE)
    assert sign_in(browser, patient) == proxy.url + PAGE
    told = shown(browser.at)
    assert (told["X-Forwarded-User"], told["X-Forwarded-Email"]) == (patient.sub, patient.sub)
    assert "Authorization" not in told
    claims: dict[str, Any] = verifier.verify(token(browser.at))
    assert (claims["patient"], claims["acr"], claims["client_id"]) == (patient.id, "extra", "proxy-as-printed")
    assert set(claims["scope"].split()) == {"openid", "contact:view", "invoices:view"}


def test_told_nothing_but_issuer_id_and_secrets_it_signs_patients_in_by_address(
    proxies: dict[str, OAuth2Proxy], browser: HttpsBrowser, patient: Patient
) -> None:
    """Where practice and client have opted in. It sends no PKCE then, and shows a page of its own with one button."""
    browser.open(proxies["untold"].url + PAGE)
    browser.press("Sign in with OpenID Connect")
    assert sign_in(browser, patient) == proxies["untold"].url + PAGE
    told = shown(browser.at)
    assert (told["X-Forwarded-User"], told["X-Forwarded-Email"]) == (patient.sub, patient.email)


def test_the_browser_gets_no_token_and_the_log_no_code(
    proxy: OAuth2Proxy, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(proxy.url + PAGE)
    sign_in(browser, patient)
    secret = token(browser.at)
    assert secret not in "".join(f"{page.url}{page.headers}{page.html}" for page in browser.seen[:-1])
    assert PAGE in proxy.log()
    assert "aac_" not in proxy.log()


def test_attack_nothing_that_a_browser_says_about_itself_reaches_the_service(
    proxy: OAuth2Proxy, browser: HttpsBrowser, patient: Patient
) -> None:
    """Neither on pages for patients nor on the one for everybody; X_Forwarded_User is the same to many frameworks."""
    browser.open(proxy.url + PAGE)
    sign_in(browser, patient)
    told = shown(browser.at)
    ours = [name for name in told if name.startswith("X-Forwarded-") and name != "X-Forwarded-For"]
    for spelled in (str, str.lower, str.upper, lambda name: name.replace("-", "_")):
        forged = dict.fromkeys(map(spelled, ours), "forged")
        assert shown(browser.request("GET", proxy.url + PAGE, headers=forged)) == told
        assert "forged" not in browser.request("GET", f"{proxy.url}/bye", headers=forged).html


def test_a_gateway_that_asks_is_told_who_it_is_or_401(
    proxy: OAuth2Proxy, browser: HttpsBrowser, patient: Patient, verifier: Verifier
) -> None:
    """nginx's auth_request, Traefik's forwardAuth."""
    assert browser.request("GET", f"{proxy.url}/oauth2/auth").status == 401
    browser.open(proxy.url + PAGE)
    sign_in(browser, patient)
    answer = browser.request("GET", f"{proxy.url}/oauth2/auth")
    assert (answer.status, answer.header("X-Auth-Request-User")) == (202, patient.sub)
    assert verifier.verify(answer.header("X-Auth-Request-Access-Token"))["patient"] == patient.id


# --- how long -----------------------------------------------------------------------------------------------------


def test_the_token_is_refreshed_behind_the_browsers_back_until_the_session_ends(
    deployment: HttpsDeployment, hasty: OAuth2Proxy, browser: HttpsBrowser, patient: Patient, verifier: Verifier
) -> None:
    browser.open(hasty.url + PAGE)
    sign_in(browser, patient)
    tokens = {token(browser.at)}

    def two_refreshes() -> bool:
        tokens.add(token(browser.open(hasty.url + PAGE)))
        return len(tokens) > 2

    until(two_refreshes)
    assert len({verifier.verify(each)["sid"] for each in tokens}) == 1
    assert deployment.desk.call("DELETE", f"patients/{patient.id}/sessions").status == 204
    until(lambda: browser.open(hasty.url + PAGE).url.startswith(f"{deployment.issuer}/p/maple/sign-in?"))


def test_a_sign_out_ends_the_session_at_both(
    deployment: HttpsDeployment, proxy: OAuth2Proxy, browser: HttpsBrowser, patient: Patient
) -> None:
    browser.open(proxy.url + PAGE)
    sign_in(browser, patient)
    secret = token(browser.at)
    page = browser.open(proxy.sign_out)
    assert page.url == f"{proxy.url}/bye"
    assert "X-Forwarded-User" not in shown(page)
    assert deployment.desk.oauth("introspect", token=secret).json == {"active": False}
    assert browser.open(proxy.url + PAGE).url.startswith(f"{deployment.issuer}/p/maple/sign-in?")
