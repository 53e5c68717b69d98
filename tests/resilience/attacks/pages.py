"""The hosted pages: redirects, hosts, forms of other sites, planted cookies, scanners, networks that are made up."""

from __future__ import annotations

import secrets
import time

from tests.resilience.attacks.registry import Found, attack
from tests.resilience.attacks.tokens import REDIRECT, authorize, patient, relying
from tests.resilience.browser import Browser
from tests.resilience.deployment import Deployment
from tests.resilience.http_caller import call

EVIL = "evil.example"
ELSEWHERE = (
    f"https://{EVIL}/",
    f"https://portal.example.{EVIL}/signed-in",
    f"https://portal.example@{EVIL}/signed-in",
    f"https://portal.example%40{EVIL}/signed-in",
    f"{REDIRECT}/../../{EVIL}",
    f"{REDIRECT}?next=//{EVIL}",
    f"{REDIRECT}#{EVIL}",
    f"{REDIRECT}/",
    f"{REDIRECT}%00.{EVIL}",
    f"{REDIRECT}\n.{EVIL}",
    f"//{EVIL}/signed-in",
    f"\\\\{EVIL}\\signed-in",
    f"https:/{EVIL}/signed-in",
    f"https:{EVIL}",
    f"javascript:alert(1)//{EVIL}",
    f"data:text/html,{EVIL}",
    REDIRECT.replace("https", "http"),
    REDIRECT.replace("https", "HTTPS"),
    REDIRECT.replace("portal", "PORTAL"),
    REDIRECT.replace(".example", ".example:8443"),
    REDIRECT.replace(".example", ".example."),
    REDIRECT + "x",
    REDIRECT[:-1],
    "https://portal.example/%73igned-in",
    "https://portal。example/signed-in",
    "https://xn--portal-.example/signed-in",
    "",
    " " + REDIRECT,
)


@attack("open-redirect", f"{len(ELSEWHERE)} addresses at authorize, log-out, sign-in and link pages")
def open_redirect(deployment: Deployment, found: Found) -> None:
    client = relying(deployment)
    for address in ELSEWHERE:
        query = authorize(client, redirect_uri=address)
        paths = [f"/oauth2/authorize?{query}"]
        if address:
            from urllib.parse import quote

            quoted = quote(address, safe="")
            paths += [
                f"/p/maple/sign-in?next={quoted}&redirect_uri={quoted}&rd={quoted}",
                f"/oauth2/logout?client_id={client.id}&post_logout_redirect_uri={quoted}",
                f"/p/maple/l/al_{'A' * 43}?next={quoted}",
                f"/{quoted}",
            ]
        for path in paths:
            answer = call("GET", deployment.url + path, {"Accept": "text/html"})
            where = answer.header("Location")
            found.effort += 1
            leads = where and not where.startswith("/p/") and not where.startswith("/oauth2/")
            found.expect(not leads, f"{path[:40]} leads to {where[:60]}")
    answer = call("GET", f"{deployment.url}//{EVIL}/%2e%2e")
    found.expect(EVIL not in answer.header("Location"), "a double slash leads elsewhere")


@attack("host-header", "Host, X-Forwarded-Host and Forwarded name another host, on pages and in what is mailed")
def host_header(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    name = patient(client)
    lies = {"Host": EVIL, "X-Forwarded-Host": EVIL, "Forwarded": f"host={EVIL}", "X-Forwarded-Server": EVIL}
    for path in ("/p/maple/sign-in", "/.well-known/openid-configuration", "/oauth2/authorize?x=1", "/p/maple/sign-in/"):
        answer = call("GET", deployment.url + path, lies | {"Accept": "text/html"})
        found.effort += 1
        held = EVIL in answer.body.decode(errors="replace") or any(EVIL in value for _, value in answer.headers)
        found.expect(not held, f"{path} repeats the forged host")
    browser = Browser(deployment.url, Host=EVIL, X_Forwarded_Host=EVIL)
    browser.open("/p/maple/sign-in")
    browser.submit(email=f"{name}@example.org")
    mail = deployment.smtp.mail_to(f"{name}@example.org", 25)
    found.effort += 2
    found.expect(mail is not None and EVIL not in mail.text, "the forged host is in the mail, or no mail came")


@attack("forwarded-for-spoofing", "100 starts from one connection, each with an X-Forwarded-For of its own")
def forwarded_for(deployment: Deployment, found: Found) -> None:
    started = 0
    for number in range(100):
        browser = Browser(
            deployment.url,
            X_Forwarded_For=f"198.51.100.{number}",
            X_Real_IP=f"198.51.100.{number}",
            Forwarded="for=1.2.3.4",
        )
        browser.open("/p/maple/sign-in")
        answer = browser.submit(email=f"{secrets.token_hex(5)}@example.org")
        started += answer.status == 200
        found.effort += 2
    found.figures.append(f"{started} starts of 100 (the network's budget is 30)")
    found.expect(started <= 35, f"{started} starts from one network")


@attack("scanner-gets", "300 GET and HEAD of a link before its owner presses it", own=True)
def scanners(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    name = patient(client)
    link = client.post("links", "links", patient=name, workflow="pay-invoice", resource="invoice:i1", max_uses=1).json
    path = "/p/maple/l/" + link["url"].rpartition("/")[2]
    for number in range(300):
        call(
            "HEAD" if number % 3 == 0 else "GET",
            deployment.url + path,
            {"User-Agent": "scanner", "Accept": "text/html"},
        )
    found.effort = 300
    used = client.post("exchange", "links/exchange", token=path.rpartition("/")[2])
    found.expect(used.status == 200, f"the link is spent by looking: {used.status}")


def _start(deployment: Deployment) -> tuple[Browser, str]:
    name = patient(deployment.clients["maple"])
    browser = Browser(deployment.url)
    browser.open("/p/maple/sign-in")
    return browser, f"{name}@example.org"


@attack(
    "csrf", "forms without a token, with another browser's, from another origin; sign-in, code and log-out", own=True
)
def csrf(deployment: Deployment, found: Found) -> None:
    attacker, email = _start(deployment)
    fields = attacker.fields()
    victim = Browser(deployment.url)
    victim.open("/p/maple/sign-in")
    tries = {
        "no token": ({"email": email}, {}),
        "an empty token": ({"email": email, "csrf": ""}, {}),
        "another browser's token": ({**fields, "email": email}, {}),
        "another origin": (
            {**victim.fields(), "email": email},
            {"Origin": f"https://{EVIL}", "Sec_Fetch_Site": "cross-site"},
        ),
    }
    for words, (given, headers) in tries.items():
        answer = victim.request("POST", "/p/maple/sign-in", given, **headers)
        found.effort += 1
        found.expect(answer.status not in (302, 303), f"{words}: {answer.status}")
    time.sleep(1)
    found.expect(not deployment.smtp.copies(email), "a mail left for a forged form")


def _signed_in(deployment: Deployment, browser: Browser, email: str, start: bool = True) -> str:
    """The page after the code."""
    if start:
        browser.open("/p/maple/sign-in")
    browser.submit(email=email)
    mail = deployment.smtp.mail_to(email, 25)
    assert mail, "no code was mailed"
    browser.submit(code=mail.code)
    return browser.text


@attack("session-fixation", "the attacker's cookies are planted in the victim's browser before the sign-in", own=True)
def fixation(deployment: Deployment, found: Found) -> None:
    attacker, email = _start(deployment)
    victim = Browser(deployment.url)
    victim.cookies = dict(attacker.cookies)
    _signed_in(deployment, victim, email)
    found.effort = 6
    before = dict(attacker.cookies)
    attacker.open("/p/maple/session")
    signed_in = email.partition("@")[0] in attacker.text or "Sign out" in attacker.text
    victim.open("/p/maple/session")
    found.figures.append(f"the victim's session page is {victim.at.status}, the attacker's {attacker.at.status}")
    found.expect(not signed_in, "the planted cookie is signed in")
    added = {name: value for name, value in victim.cookies.items() if before.get(name) == value and "maple" in name}
    found.expect(not added, f"a planted sign-in went on: {list(added)}")


@attack("code-typed-elsewhere", "a code is read out to an attacker who types it in a browser of their own", own=True)
def typed_elsewhere(deployment: Deployment, found: Found) -> None:
    victim, email = _start(deployment)
    victim.submit(email=email)
    mail = deployment.smtp.mail_to(email, 25)
    assert mail, "no code was mailed"
    attacker = Browser(deployment.url)
    attacker.open("/p/maple/sign-in")
    attacker.submit(email="someone-else@example.org")
    answer = attacker.submit(code=mail.code)
    found.effort = 5
    found.expect("Sign out" not in attacker.text and answer.status != 303, "signed in with a code of another browser")


@attack(
    "enumeration-by-pages", "known and unknown addresses at the sign-in page: status, headers, cookies, bytes", own=True
)
def by_pages(deployment: Deployment, found: Found) -> None:
    known = f"{patient(deployment.clients['maple'])}@example.org"
    unknown = f"u-{secrets.token_hex(5)}@example.org"
    seen = []
    for email in (known, unknown):
        browser = Browser(deployment.url)
        browser.open("/p/maple/sign-in")
        answer = browser.request("POST", "/p/maple/sign-in", browser.fields() | {"email": email})
        names = [(name, len(value)) for name, value in answer.headers if name != "Date"]
        page = browser.open(answer.header("Location"))
        seen.append((answer.status, names, page.status, len(page.body)))
        found.effort += 3
    found.expect(seen[0] == seen[1], f"they differ: {seen}")
