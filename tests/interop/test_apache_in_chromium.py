"""mod_auth_openidc and the hosted pages in Chromium with JavaScript off, on two sites: what only a real browser judges,
such as where a form may lead, and which cookies go along from one site to the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.gateways.environment import Heard, serving
from tests.harness.https_deployment import HttpsDeployment, Patient
from tests.harness.machine import require
from tests.harness.processes import free_port
from tests.interop.apache import SignInApache, heard, register

pytestmark = [pytest.mark.browser, pytest.mark.gateway]

NAME = "portal.localhost"  # Chromium finds it on this machine, and takes it for another site than localhost


@pytest.fixture(scope="module")
def apache(deployment: HttpsDeployment, folder: Path) -> Iterator[SignInApache]:
    require("apache2", "mod_auth_openidc.so")
    port = free_port()
    client = "across-sites"
    with serving(Heard) as service_port:
        running = SignInApache(
            folder / f"apache-{port}",
            port=port,
            issuer=deployment.issuer,
            secret=register(deployment, client, f"https://{NAME}:{port}"),
            service_port=service_port,
            authority=deployment.front.authority,
            client=client,
            name=NAME,
        )
        yield running
        running.stop()


class Window:
    """Chromium's, with a patient in front of it."""

    def __init__(self, page: Any, patient: Patient) -> None:
        self.page, self._patient = page, patient

    def press(self, words: str) -> None:
        self.page.get_by_role("button", name=words, exact=True).click()

    def sign_in(self) -> None:
        self.page.get_by_label("Your email address").fill(self._patient.email)
        self.press("Email me a code")
        self.page.get_by_label("Code from the email").fill(self._patient.code())
        self.press("Sign in")

    @property
    def shown(self) -> dict[str, str]:
        """What reached the service, when it is the service that answered."""
        return heard(self.page.locator("body").inner_text())


@pytest.fixture
def window(chromium: Any, patient: Patient) -> Iterator[Window]:
    context = chromium.new_context(java_script_enabled=False, locale="en-US")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.set_default_timeout(15_000)
    yield Window(page, patient)
    context.close()
    # No icon of Apache's is all that may be missing.
    assert [said for said in complaints if not said.startswith("Failed to load resource")] == []


def test_a_patient_comes_by_a_link_types_a_code_for_more_and_signs_out_across_two_sites(
    deployment: HttpsDeployment, apache: SignInApache, window: Window, patient: Patient
) -> None:
    page = window.page
    page.goto(apache.link(deployment, patient))
    window.press("Continue")
    assert page.url == apache.url + "/"
    assert (window.shown["X-Auth-Subject"], window.shown["X-Auth-Acr"]) == (patient.sub, "instant")
    page.goto(apache.url + "/contact")
    page.wait_for_url(f"{deployment.issuer}/p/maple/sign-in?**")
    window.sign_in()
    assert page.url == apache.url + "/contact"
    assert (window.shown["X-Auth-Subject"], window.shown["X-Auth-Acr"]) == (patient.sub, "extra")
    page.goto(f"{apache.url}/openid?logout={quote(apache.url + '/bye', safe='')}")
    assert page.url == apache.url + "/bye"
    page.goto(apache.url + "/contact")
    assert page.url.startswith(f"{deployment.issuer}/p/maple/sign-in?")
