"""Libraries of other authors, each unmodified in a portal of its own: registered by `clients add --for`, a sign-in
through the hosted pages with the code from the mail, and whatever else the library has."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.harness.deployment import Client
from tests.harness.https_browser import HttpsBrowser
from tests.harness.https_deployment import HttpsDeployment, Patient, sign_in
from tests.harness.processes import until
from tests.interop.libraries import LIBRARIES, Library
from tests.interop.portals import Portal, Portals

pytestmark = pytest.mark.journey

REVEAL = ("--allow", "codes:issue", "--allow", "codes:verify", "--allow", "codes:reveal")


@pytest.fixture
def portal(library: Library, portals: Portals, deployment: HttpsDeployment) -> Iterator[Portal]:
    portal = portals.of(library, deployment)
    yield portal
    assert portal.program
    print(portal.program.output())  # shown where a test fails


def having(**wanted: bool) -> pytest.MarkDecorator:
    """For each library that can do this."""
    chosen = [each for each in LIBRARIES if all(bool(getattr(each, name)) == value for name, value in wanted.items())]
    return pytest.mark.parametrize("library", chosen, ids=lambda library: library.name)


@having()
def test_a_patient_signs_in(portal: Portal, browser: HttpsBrowser, patient: Patient) -> None:
    portal.begin(browser)
    sign_in(browser, patient)
    assert browser.at.url.startswith(portal.url)
    told = portal.told(browser)
    if portal.library.says_sub:
        assert told["sub"] == patient.sub
    if portal.library.claims:
        assert told["userinfo"]["email"] == patient.email
    else:
        assert "email" not in told["userinfo"]


@having(refreshes=True)
def test_it_refreshes(portal: Portal, browser: HttpsBrowser, patient: Patient) -> None:
    portal.begin(browser)
    sign_in(browser, patient)
    for _ in range(2):
        assert json.loads(browser.open(f"{portal.url}/refresh").html) == {"refreshed": True}


@having(logout=True)
def test_signing_out_there_signs_out_here(portal: Portal, browser: HttpsBrowser, patient: Patient) -> None:
    portal.begin(browser)
    sign_in(browser, patient)
    page = browser.open(f"{portal.url}{portal.library.logout}")
    assert (page.url.partition("?")[0], json.loads(page.html)) == (
        f"{portal.url}{portal.library.signed_out}",
        {"bye": True},
    )
    assert portal.knows_nobody(browser)
    portal.begin(browser)
    assert browser.at.url.startswith(f"{portal.deployment.issuer}/p/maple/sign-in?")


@having(hears=True)
def test_it_hears_of_a_session_that_the_practice_ends(
    portal: Portal, deployment: HttpsDeployment, browser: HttpsBrowser, patient: Patient
) -> None:
    portal.begin(browser)
    sign_in(browser, patient)
    assert not portal.knows_nobody(browser)
    assert deployment.desk.call("DELETE", f"patients/{patient.id}/sessions").status == 204
    until(lambda: portal.knows_nobody(browser))


@having(guards=True)
def test_its_resource_server_takes_the_access_tokens_of_its_practice_and_no_other(
    portal: Portal, deployment: HttpsDeployment, browser: HttpsBrowser, patient: Patient
) -> None:
    """With the recipe of docs/howto/verify-tokens.md."""
    token = deployment.desk.signed_in(patient.id)["access_token"]
    assert portal.api(browser, token) == (200, {"patient": patient.id})
    head, body, signature = token.split(".")
    for attack in ("", "x", f"{head}.{body}.{signature[:-8]}", f"{head}.{body}."):
        assert portal.api(browser, attack)[0] == 401
    name = f"for-{portal.library.name}"
    elsewhere = deployment.cli(
        "clients", "add", name, "--practice", "maple", *REVEAL, "--audience", "another-service"
    ).document
    another = Client(deployment.url, "maple", name, elsewhere["client_secret"])
    assert portal.api(browser, another.signed_in(patient.id)["access_token"])[0] == 401
