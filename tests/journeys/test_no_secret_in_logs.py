"""Everything that can be logged is, everything that can go wrong does, and no line holds a secret that was used."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.delivery.mail_hosts import PASSWORD
from tests.harness.browsing import Browser, http_transport
from tests.harness.deployment import Client, Deployment, find_code, find_link, token_of, wrong
from tests.harness.processes import PATIENCE_S, ask, until

pytestmark = pytest.mark.journey

EMAIL, OTHER_EMAIL, UNKNOWN_EMAIL = "nora.lind@example.org", "nora.new@example.net", "nobody.here@example.com"


class Used:
    """The secrets of this run, by what they are."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}

    def keep(self, what: str, secret: str) -> str:
        self.secrets[f"{what} {len(self.secrets)}"] = secret
        return secret

    def found_in(self, text: str) -> list[str]:
        """Which of them, in any spelling that a program might have given them."""
        return [what for what, secret in self.secrets.items() if any(form.search(text) for form in _spellings(secret))]


def _spellings(secret: str) -> list[re.Pattern[str]]:
    if re.fullmatch(r"\d{6}", secret):
        # On its own: in the middle of a longer number or an id, six digits say nothing.
        return [re.compile(rf"(?<![\w.-]){secret}(?![\w.-])")]
    forms = {secret, quote(secret, safe=""), repr(secret)[1:-1]}
    # The random part on its own, without the prefix; of a JWT the signature, which no one could do without.
    parts = {part for part in re.split(r"[._]", secret, maxsplit=1)[1:] if len(part) >= 16}
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return [re.compile(re.escape(form)) for form in forms | parts | {encoded[:-1]}]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("talkative"), AUTHSVC_LOG_LEVEL="debug") as deployment:
        deployment.store.start()
        yield deployment


def test_no_log_and_no_figure_holds_a_secret_that_was_used(deployment: Deployment) -> None:
    used = Used()
    used.keep("master secret", deployment.master)
    used.keep("password of the mail host", PASSWORD)
    for email in (EMAIL, OTHER_EMAIL, UNKNOWN_EMAIL):
        used.keep("address", email)
    programs = [deployment.serve(), deployment.work(), deployment.open_service()]
    deployment.add_practice()
    portal = deployment.add_client("portal")
    used.keep("client secret", portal.secret)
    used.keep("authorization", portal.authorization.removeprefix("Basic "))

    what_goes_well(deployment, portal, used)
    what_goes_wrong(deployment, portal, used)
    metrics = ask("GET", f"{deployment.admin_url}/metrics").body.decode()
    assert 'authsvc_events_total{event="code.verified"}' in metrics
    programs[0].stop()
    programs[1].stop()

    said = {program.name: program.log.read_text() for program in programs}
    said |= {f"command {number}": ran.err for number, ran in enumerate(deployment.commands)}
    said["metrics"] = metrics
    assert "GET /p/maple/l/" in said["serve"], "at this level the server itself tells of every path"
    assert "mail_sent" in said["worker"]
    assert {name: used.found_in(text) for name, text in said.items() if used.found_in(text)} == {}
    # The trail names patients by id; no address got into it in any form.
    assert "@example" not in "".join(said.values())


def what_goes_well(deployment: Deployment, portal: Client, used: Used) -> None:
    """A link by mail, its page, a sign-in there by access link, one by the API and one by address, refresh,
    introspection, sign-out."""
    deployment.grant("nora", EMAIL)
    portal.post("links", workflow="pay-invoice", resource="invoice:inv_1", patient="nora", delivery="email")
    url = find_link(deployment.mailed(EMAIL))
    link = used.keep("link", token_of(url))
    browser = Browser(http_transport())
    browser.open(url)
    browser.press(browser.at.forms[0].buttons[0].words)
    granted = portal.exchange_link(link)
    used.keep("access token", granted["access_token"])
    assert deployment.visit("GET", "/invoices/inv_1", granted["access_token"]).status == 200

    portal.post("links", workflow="portal", patient="nora", delivery="email")
    url = find_link(deployment.mailed(EMAIL, 2))
    browser.open(url)
    browser.press("Email me a code")
    browser.press("Sign in", code=used.keep("code", find_code(deployment.mailed(EMAIL, 3))))
    assert "You are signed in" in browser.at.text
    for page in browser.seen:
        for name, value in page.headers:
            if name.lower() == "set-cookie" and "Max-Age=0" not in value:
                used.keep("cookie", value.partition("=")[2].partition(";")[0])
    browser.press("Sign out")
    by_link = portal.post("links/exchange", token=used.keep("access link", token_of(url)))
    challenge = used.keep("handle", by_link.json["challenge"])
    code = used.keep("code", find_code(deployment.mailed(EMAIL, 4)))
    session = portal.post("codes/verify", challenge=challenge, code=code).json
    _kept(session, used)

    started = portal.post("codes", email=EMAIL, client_ip="203.0.113.77")
    used.keep("handle", started.json["challenge"])
    code = used.keep("code", find_code(deployment.mailed(EMAIL, 5)))
    _kept(portal.post("codes/verify", challenge=started.json["challenge"], code=code).json, used)

    told = portal.post("codes", patient="nora", delivery="caller").json
    used.keep("handle", told["challenge"])
    used.keep("code", told["code"])
    fresh = _kept(portal.refreshed(session["refresh_token"]).json, used)
    assert deployment.forward_auth(fresh["access_token"], scope="invoices:view").status == 200
    assert portal.oauth("introspect", token=fresh["access_token"]).json["active"] is True
    assert portal.oauth("revoke", token=fresh["refresh_token"]).status == 200
    portal.register("nora", OTHER_EMAIL)
    until(lambda: len([mail for mail in deployment.mail.mails if OTHER_EMAIL in str(mail["To"])]) == 1)


def _kept(grant: dict[str, str], used: Used) -> dict[str, str]:
    used.keep("access token", grant["access_token"])
    used.keep("refresh token", grant["refresh_token"])
    return grant


def what_goes_wrong(deployment: Deployment, portal: Client, used: Used) -> None:
    """Wrong codes, secrets and tokens, broken requests, a mail host and a store that are away."""
    portal.post("codes", email=UNKNOWN_EMAIL)
    started = portal.post("codes", patient="nora", delivery="caller").json
    used.keep("handle", started["challenge"])
    used.keep("code", started["code"])
    used.keep("code", wrong(started["code"]))
    portal.post("codes/verify", challenge=started["challenge"], code=wrong(started["code"]))
    portal.post("codes/verify", challenge=started["challenge"], code=int(started["code"]))
    portal.post("codes/verify", challenge=started["challenge"] + "x", code=started["code"], email=EMAIL)
    guessed = used.keep("client secret", "acs_" + "guessed" * 6)
    assert Client(deployment.url, "maple", "portal", guessed).post("codes", email=EMAIL).status == 401
    link = used.keep("link", "al_" + "neverissued" * 4)
    access = used.keep("access link", "ala_" + "neverissued" * 4)
    for token in (link, access):
        portal.post("links/exchange", token=token)
        portal.post("links/resend", token=token)
        ask("GET", f"{deployment.url}/p/maple/l/{token}?from={EMAIL}")
        ask("GET", f"{deployment.url}/somewhere/{token}", {"X-Request-Id": token, "Referer": f"http://x/{token}"})
    head, _, rest = portal.signed_in("nora")["access_token"].partition(".")
    forged = used.keep("access token", f"{head}.{rest[:-6]}forged")
    deployment.forward_auth(forged, scope="invoices:view")
    deployment.visit("GET", "/portal/invoices", forged)
    portal.oauth("introspect", token=forged)
    portal.refreshed(used.keep("refresh token", "art_" + "junk.junk.0." + "junk" * 20))
    _raw(deployment, f"GET /p/maple/l/{access} HTTP/9.9\r\n\r\n")
    _raw(deployment, f"GET /p/maple/l/{link} {EMAIL}\r\nAuthorization: {portal.authorization}\r\n\r\n")
    _raw(deployment, f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization {portal.authorization}\r\n\r\n")
    _raw(deployment, f"GET / HTTP/1.1\r\nHost: x\r\nX-{access}\x01: {EMAIL}\r\n\r\n")
    deployment.cli("patients", "show", "maple", "nora")
    deployment.cli("patients", "grant", "maple", "nora", "--email", f"{EMAIL} {OTHER_EMAIL}", code=1)
    deployment.cli("token", "inspect", forged)
    rotated = deployment.cli("clients", "rotate-secret", "portal").document["client_secret"]
    used.keep("client secret", rotated)

    # The store goes in mid-flight: errors with their traces, from every part.
    deployment.store.stop()
    for _ in range(2):
        portal.post("codes", email=EMAIL)
        portal.post("codes/verify", challenge=started["challenge"], code=started["code"])
        portal.post("links/exchange", token=link)
        ask("GET", f"{deployment.url}/p/maple/l/{access}")
        deployment.forward_auth(forged)
    deployment.cli("patients", "show", "maple", "nora", code=1)
    deployment.store.start()
    until(lambda: ask("GET", f"{deployment.url}/readyz").status == 200)

    # The mail host refuses with words that quote the address, as many do.
    deployment.mail.answers.append(f"550 5.1.1 <{OTHER_EMAIL}> nobody of that name")
    until(lambda: portal.post("codes", patient="nora").status == 202)
    until(lambda: "mail_refused" in (deployment.folder / "worker.log").read_text())


def _raw(deployment: Deployment, request: str) -> None:
    """A request that no client library would send."""
    with socket.create_connection(("127.0.0.1", deployment.port), timeout=PATIENCE_S) as line:
        line.sendall(request.encode("latin-1"))
        while line.recv(4096):
            continue
