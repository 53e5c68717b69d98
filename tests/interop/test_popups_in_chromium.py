"""A portal that signs patients in, and out, in a window beside its own page: the two find each other again in Chromium.

The portal is another site than authsvc, as in life; its page opens the window, and the page that the window comes back
to tells its opener how it ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from tests.gateways.environment import serving
from tests.harness.deployment import Client
from tests.harness.https_deployment import HttpsDeployment, Patient
from tests.web.relying_party import s256

pytestmark = pytest.mark.browser

CLIENT, NAME = "popup", "portal.localhost"
STATE = json.dumps({"back": "/invoices?year=2026&all=", "padding": "+/= é" * 250})
VERIFIER = "v" * 43
PORTAL = b"<!doctype html><title>Portal</title><h1>The portal</h1>"
BACK = (
    b"<!doctype html><title>Back</title><script>opener.postMessage(location.search, location.origin); close()</script>"
)
OPEN = """address => {
    window.answer = null
    addEventListener('message', event => { window.answer = event.data }, {once: true})
    window.beside = open(address, '_blank', 'popup,width=500,height=700')
}"""


class Pages(BaseHTTPRequestHandler):
    """The portal's: one that opens windows, and those to which they come back."""

    def do_GET(self) -> None:
        body = BACK if self.path.startswith("/back") else PORTAL
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Nothing."""


@pytest.fixture(scope="module")
def portal(deployment: HttpsDeployment) -> Iterator[str]:
    """Its address."""
    with serving(Pages, deployment.front.authority.context()) as port:
        yield f"https://{NAME}:{port}"


@pytest.fixture(scope="module")
def client(deployment: HttpsDeployment, portal: str) -> Client:
    registered = deployment.add_relying_party(CLIENT, f"{portal}/back", "--post-logout-uri", f"{portal}/back/out")
    return Client(deployment.url, "maple", CLIENT, registered["client_secret"])


def authorize(deployment: HttpsDeployment, portal: str, **more: str) -> str:
    asked = {
        "client_id": CLIENT,
        "redirect_uri": f"{portal}/back",
        "response_type": "code",
        "scope": "openid",
        "state": STATE,
        "nonce": "n" * 2048,
        "code_challenge": s256(VERIFIER),
        "code_challenge_method": "S256",
        **more,
    }
    return f"{deployment.issuer}/oauth2/authorize?{urlencode(asked)}"


class OpenerWindow:
    """Chromium, with the portal's page in it."""

    def __init__(self, context: Any, portal: str) -> None:
        self.page = context.new_page()
        self.page.goto(f"{portal}/")

    def open(self, address: str) -> Any:
        """The window that its script opens beside it."""
        with self.page.expect_popup() as opened:
            self.page.evaluate(OPEN, address)
        return opened.value

    def sees_it_open(self) -> bool:
        return not self.page.evaluate("beside.closed")

    def answer(self) -> dict[str, str]:
        """What that window told it at its end."""
        self.page.wait_for_function("window.answer !== null")
        said = parse_qs(self.page.evaluate("window.answer").removeprefix("?"))
        return {name: values[0] for name, values in said.items()}


@pytest.fixture
def window(chromium: Any, portal: str) -> Iterator[OpenerWindow]:
    context = chromium.new_context(locale="en-US")
    context.set_default_timeout(15_000)
    yield OpenerWindow(context, portal)
    context.close()


def sign_in(beside: Any, patient: Patient) -> None:
    beside.get_by_label("Your email address").fill(patient.email)
    beside.get_by_role("button", name="Email me a code").click()
    beside.get_by_label("Code from the email").fill(patient.code())
    beside.get_by_role("button", name="Sign in").click()


def test_a_sign_in_in_a_window_of_its_own_ends_at_the_page_that_opened_it(
    deployment: HttpsDeployment, client: Client, portal: str, window: OpenerWindow, patient: Patient
) -> None:
    beside = window.open(authorize(deployment, portal))
    beside.get_by_label("Your email address").wait_for()
    assert window.sees_it_open()
    sign_in(beside, patient)
    answer = window.answer()
    assert (answer["state"], answer["iss"]) == (STATE, deployment.issuer)
    assert "code" in answer
    silent = window.open(authorize(deployment, portal, prompt="none"))
    assert "code" in window.answer()
    assert silent.is_closed() or silent.wait_for_event("close") is not None


def test_who_turns_back_or_goes_astray_in_that_window_is_not_lost_to_it(
    deployment: HttpsDeployment, client: Client, portal: str, window: OpenerWindow
) -> None:
    beside = window.open(authorize(deployment, portal))
    beside.goto(f"{deployment.issuer}/p/maple/contact")
    assert window.sees_it_open()
    beside.go_back()
    beside.get_by_role("button", name="Not now").click()
    answer = window.answer()
    assert (answer["error"], answer["state"]) == ("access_denied", STATE)


def test_a_sign_out_in_a_window_of_its_own_ends_there_too(
    deployment: HttpsDeployment, client: Client, portal: str, window: OpenerWindow, patient: Patient
) -> None:
    sign_in(window.open(authorize(deployment, portal)), patient)
    code = window.answer()["code"]
    sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": f"{portal}/back"}
    tokens = client.oauth("token", **sent, code_verifier=VERIFIER).json
    for hint in ({"client_id": CLIENT}, {"id_token_hint": tokens["id_token"]}):
        ask = {**hint, "post_logout_redirect_uri": f"{portal}/back/out", "state": STATE}
        beside = window.open(f"{deployment.issuer}/oauth2/logout?{urlencode(ask)}")
        if "client_id" in hint:  # nothing proves who asks: the patient is asked
            assert window.sees_it_open()
            beside.get_by_role("button", name="Sign out").click()
        assert window.answer() == {"state": STATE}


def test_attack_an_opener_reads_nothing_of_the_pages_that_it_opened(
    deployment: HttpsDeployment, client: Client, portal: str, window: OpenerWindow
) -> None:
    beside = window.open(authorize(deployment, portal))
    beside.get_by_label("Your email address").wait_for()
    for what in ("document.title", "location.href", "document.cookie"):
        read = f"() => {{ try {{ return String(beside.{what}) }} catch (error) {{ return error.name }} }}"
        assert window.page.evaluate(read) == "SecurityError"
