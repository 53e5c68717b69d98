"""What operators see of a running service, what short lives and small limits do, and a store that is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.wire.browser import Browser, Forms
from tests.wire.cases_api import code_in
from tests.wire.cases_pages import authorize, enter, redeem
from tests.wire.processes import until
from tests.wire.provision import BACK, CHALLENGE, EVERYTHING, VERIFIER, Provisioned, allow
from tests.wire.recorder import ClientSecret, Recorder, bearer

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")


# --- the admin address ----------------------------------------------------------------------------------------------


def admin(r: Recorder) -> None:
    port = r.deployment.admin_port
    for path in ("/metrics", "/openapi.json", "/docs", "/livez", "/readyz"):
        for method in METHODS:
            if (method, path) != ("GET", "/metrics"):
                r.ask(f"{method} {path}", method, path, port=port)
    answer = r.ask("the page", "GET", "/docs", port=port)
    for path in Forms(answer.text).resources:
        for method in ("GET", "HEAD", "POST"):
            r.ask(f"{method} {path}", method, f"/{path}", port=port)
    for path in (
        "/",
        "/docs/",
        "/docs/unknown",
        "/metrics/",
        "/p/maple/sign-in",
        "/.well-known/jwks.json",
        "/v1/practices",
    ):
        r.ask(f"GET {path}", "GET", path, port=port)


def worker_figures(r: Recorder) -> None:
    r.ask("no other page", "GET", "/", port=r.deployment.worker_port)
    r.metrics("worker", r.deployment.worker_port)


# --- short lives: the deployment "brief" ------------------------------------------------------------------------------

BRIEF = {
    "AUTHSVC_CODE_LIFE_S": "20",
    "AUTHSVC_CHALLENGE_LIFE_S": "34",
    "AUTHSVC_CHOOSE_LIFE_S": "16",
    "AUTHSVC_RESEND_AFTER_S": "1",
    "AUTHSVC_ACCESS_TOKEN_LIFE_S": "10",
    "AUTHSVC_SESSION_IDLE_S": "30",
    "AUTHSVC_SESSION_ABSOLUTE_S": "45",
    "AUTHSVC_JWKS_MAX_AGE_S": "20",
    "AUTHSVC_JWKS_SLACK_S": "10",
    "AUTHSVC_RING_POLL_S": "1",
    "AUTHSVC_IDEMPOTENCY_LIFE_S": "16",
    "AUTHSVC_SIGNING_ALG": "RS256",
    "AUTHSVC_DEFAULT_AUDIENCE": "brief-services",
    "AUTHSVC_LOG_LEVEL": "debug",
}
"""The public address is https with a path: see `record.py`."""


def brief_cases(r: Recorder) -> Iterator[tuple[str, Callable[[], None]]]:
    found: list[ClientSecret] = []

    def begin() -> None:
        r.values.constants |= {CHALLENGE, VERIFIER}
        r.command(
            "add maple",
            "practices",
            "add",
            "maple",
            "--name",
            "Maple",
            "--portal-url",
            "https://portal.wire.test/",
            "--json",
        )
        found.append(r.client("desk", "--practice", "maple", *allow(*EVERYTHING)))
        found.append(r.client("portal", "--practice", "maple", "--redirect-uri", BACK))
        r.deployment.start_serve()
        r.deployment.start_worker()
        r.learn_keys()
        for patient, email in {"ann": "both@example.org", "bob": "both@example.org", "mo": "mo@example.org"}.items():
            told = {"email": email, "label": patient, "portal_access": True}
            r.ask(
                f"PUT {patient}",
                "PUT",
                f"/auth/v1/practices/maple/patients/{patient}",
                headers=_json(found[0]),
                body=_body(told),
            )

    yield "provision", begin
    yield "a path before everything", lambda: mounted(r, found)
    yield "expiry of codes", lambda: codes_expire(r, found[0])
    yield "expiry of tokens", lambda: tokens_expire(r, found)
    yield "expiry of pages", lambda: pages_expire(r, found)
    yield "a change of keys", lambda: keys_change(r, found[0])
    yield "mails", r.record_mails
    yield "logs", lambda: [r.logs(name) for name in ("serve", "worker")]
    yield "ends", lambda: [r.stop(name) for name in ("serve", "worker")]


def _json(client: ClientSecret) -> dict[str, str]:
    return {**client.basic, "Content-Type": "application/json"}


def _body(members: Any) -> bytes:
    return json.dumps(members).encode()


def _call(r: Recorder, label: str, client: ClientSecret, path: str, members: Any, **headers: str) -> Any:
    target = f"/auth/v1/practices/maple/{path}"
    return r.ask(label, "POST", target, headers={**_json(client), **headers}, body=_body(members))


def _form(r: Recorder, label: str, client: ClientSecret, path: str, **fields: str) -> Any:
    return r.form(label, f"/auth/oauth2/{path}", fields, client)


def mounted(r: Recorder, clients: list[ClientSecret]) -> None:
    for path in (
        "/.well-known/jwks.json",
        "/auth/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/auth",
        "/auth/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/auth",
        "/auth/.well-known/openid-configuration",
        "/auth",
        "/auth/",
        "/auth/livez",
        "/livez",
        "/auth/auth/livez",
        "/authlivez",
        "/auth/p/maple/sign-in",
        "/p/maple/sign-in",
        "/auth/limits",
        "/auth/problems/",
        "/auth/problems/not-found",
        "/auth/nothing",
        "/auth/v1/practices/maple/patients/ann",
    ):
        r.ask(path, "GET", path)
    browser = Browser(r, "203.0.113.40")
    browser.open("authorize", authorize())
    browser.submit("no address", email="x")
    for path in browser.page.resources:
        r.ask(path, "GET", path)
    browser.once("logout", "GET", "/auth/oauth2/logout?client_id=portal")
    link = _call(r, "a link", clients[0], "links", {"patient": "mo", "workflow": "portal"}).json
    browser.open("its page", link["url"])
    browser.submit("its code's page")
    browser.open("not signed in", "/auth/p/maple/session")
    browser.open("a page that isn't there", "/auth/p/nobody/session")


def codes_expire(r: Recorder, desk: ClientSecret) -> None:
    told = {"patient": "ann", "delivery": "caller"}
    chosen = _call(r, "start for the chooser", desk, "codes", {"email": "both@example.org"}).json
    code = code_in(r.mail("both@example.org"))
    _call(r, "verified, to choose", desk, "codes/verify", {"challenge": chosen["challenge"], "code": code})
    key = {"Idempotency-Key": "brief-1"}
    _call(r, "with a key", desk, "codes", told, **key)
    begun = _call(r, "start", desk, "codes", told).json
    time.sleep(20.5)
    both = {"challenge": begun["challenge"], "code": begun["code"]}
    _call(r, "the code has expired", desk, "codes/verify", both)
    _call(r, "too late to choose", desk, "codes/choose", {"challenge": chosen["challenge"], "patient": "ann"})
    _call(r, "with the same key, later", desk, "codes", told, **key)
    time.sleep(14.5)
    _call(r, "the challenge has expired", desk, "codes/verify", both)
    _call(r, "sent again, too late", desk, "codes/resend", {"challenge": begun["challenge"]})


def _signed_in(r: Recorder, desk: ClientSecret, patient: str = "ann") -> Any:
    with r.quietly():
        begun = _call(r, "", desk, "codes", {"patient": patient, "delivery": "caller"}).json
        return _call(r, "", desk, "codes/verify", {"challenge": begun["challenge"], "code": begun["code"]}).json


def tokens_expire(r: Recorder, clients: list[ClientSecret]) -> None:
    desk = clients[0]
    gateway = "/auth/v1/forward-auth?practice=maple&audience=brief-services"
    idle, live = _signed_in(r, desk), _signed_in(r, desk)
    r.ask("good", "GET", gateway, headers=bearer(live["access_token"]))
    r.ask("without the path", "GET", gateway.removeprefix("/auth"), headers=bearer(live["access_token"]))
    _form(r, "introspected", desk, "introspect", token=live["access_token"])
    time.sleep(10.5)
    r.ask("expired", "GET", gateway, headers=bearer(live["access_token"]))
    r.ask("expired at userinfo", "GET", "/auth/oauth2/userinfo", headers=bearer(live["access_token"]))
    _form(r, "expired, introspected", desk, "introspect", token=live["access_token"])
    refreshed = _form(
        r, "refreshed", desk, "token", grant_type="refresh_token", refresh_token=live["refresh_token"]
    ).json
    time.sleep(20)
    _form(r, "idle for too long", desk, "token", grant_type="refresh_token", refresh_token=idle["refresh_token"])
    again = _form(
        r, "refreshed again", desk, "token", grant_type="refresh_token", refresh_token=refreshed["refresh_token"]
    ).json
    r.ask("sessions", "GET", "/auth/v1/practices/maple/patients/ann/sessions", headers=desk.basic)
    time.sleep(15)
    _form(r, "at its absolute end", desk, "token", grant_type="refresh_token", refresh_token=again["refresh_token"])
    r.ask("no sessions", "GET", "/auth/v1/practices/maple/patients/ann/sessions", headers=desk.basic)


def pages_expire(r: Recorder, clients: list[ClientSecret]) -> None:
    chooser = Browser(r, "203.0.113.42")
    chooser.open("another, begin", "/p/maple/sign-in")
    chooser.submit("another, start", email="both@example.org")
    chooser.submit("another, code", code=code_in(r.mail("both@example.org")))
    here = Browser(r, "203.0.113.43")
    here.open("a third, begin", "/p/maple/sign-in")
    here.submit("a third, start", email="both@example.org")
    here.submit("a third, code", code=code_in(r.mail("both@example.org")))
    here.submit("a third, chosen", patient="bob")
    here.open("its session", "/auth/p/maple/session")
    here.open("authorize", "/auth" + authorize())
    tokens = r.form("its tokens", "/auth/oauth2/token", _grant(here.given("code")), clients[1]).json
    r.ask("userinfo", "GET", "/auth/oauth2/userinfo", headers=bearer(tokens["access_token"]))
    begun = Browser(r, "203.0.113.41")
    begun.open("begin", "/p/maple/sign-in")
    begun.submit("start", email="both@example.org")
    stale = code_in(r.mail("both@example.org"))
    time.sleep(20.5)
    begun.submit("the code has expired", code=stale)
    chooser.submit("too late to choose", patient="bob")
    time.sleep(14.5)
    here.open("idle: its state", "/auth/p/maple/session/state")
    here.open("idle: its session", "/auth/p/maple/session")
    here.open("idle: authorize silently", "/auth" + authorize(prompt="none"))
    r.note("left to", here.left_to)
    begun.submit("the challenge has expired", code=stale)


def _grant(code: str) -> dict[str, str]:
    return {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}


def keys_change(r: Recorder, desk: ClientSecret) -> None:
    jwks = "/auth/.well-known/jwks.json"
    gateway = "/auth/v1/forward-auth?practice=maple&audience=brief-services"
    before = r.ask("before", "GET", jwks).json["keys"]
    r.command("", "keys", "list", "--json")
    old = _signed_in(r, desk)
    r.command("", "keys", "rotate", "--json", "--reason", "due")
    r.command("too early for another", "keys", "rotate", "--json")

    def followed() -> bool:
        with r.quietly():
            return bool(r.ask("", "GET", jwks).json["keys"] != before)

    until(followed, "the instance to follow")
    after = r.ask("after", "GET", jwks).json["keys"]
    r.learn_keys()
    r.command("", "keys", "list", "--json")
    new = _signed_in(r, desk)
    r.ask("an old token", "GET", gateway, headers=bearer(old["access_token"]))
    r.ask("a new token", "GET", gateway, headers=bearer(new["access_token"]))
    r.note("signed by", [new["access_token"]])
    r.command("revoke the old key", "keys", "revoke", before[0]["kid"], "--json")

    def gone() -> bool:
        with r.quietly():
            return bool(r.ask("", "GET", jwks).json["keys"] != after)

    until(gone, "the instance to follow")
    r.ask("after the revocation", "GET", jwks)
    r.ask("its PEM", "GET", f"/auth/keys/{before[0]['kid']}.pem")
    r.ask("the old token", "GET", gateway, headers=bearer(old["access_token"]))
    r.ask("the new token", "GET", gateway, headers=bearer(new["access_token"]))
    r.ask("the feed", "GET", "/auth/revocations/maple")
    r.command("", "keys", "list", "--json")
    r.ask("metadata", "GET", "/auth/.well-known/openid-configuration")


# --- small limits: the deployment "tight" -----------------------------------------------------------------------------

TIGHT = """[policies]
issue-address = "50 per 100 h"
issue-patient = "50 per 100 h"
client-calls = "70 per 100 h"
mails-practice = "20 per 100 h"
link-resend = "1 per 1 s"
exchange-network = "400 per 100 h"
[guesses]
misses_consecutive = 3
misses_per_day = 6
misses_per_link = 2
[repeats]
resends_per_challenge = 1
link_resends_per_lineage = 1
replays = 1
replay_window_s = "20 s"
[shares]
typed_share = 0.5
"""


def tight_cases(r: Recorder) -> Iterator[tuple[str, Callable[[], None]]]:
    clients: dict[str, ClientSecret] = {}
    names = ("calls", "guesses", "onlink", "repeats", "post")

    def begin() -> None:
        for name in names:
            r.command(f"add {name}", "practices", "add", name, "--name", name.title(), "--json")
            clients[name] = r.client(f"c-{name}", "--practice", name, *allow(*EVERYTHING))
        r.deployment.start_serve()
        r.deployment.start_worker()
        r.learn_keys()

    yield "provision", begin
    yield "check", lambda: r.command("", "check", "--json")
    yield "calls of a client", lambda: calls_spent(r, clients["calls"])
    yield "guesses at a mailbox", lambda: guesses_spent(r, clients["guesses"])
    yield "guesses at a link", lambda: link_guesses_spent(r, clients["onlink"])
    yield "repeats", lambda: repeats_spent(r, clients["repeats"])
    yield "mails of a practice", lambda: mails_spent(r, clients["post"])
    yield "mails", r.record_mails
    yield "metrics", lambda: r.metrics("serve", r.deployment.admin_port)
    yield "trails", lambda: [r.audit_entries(name) for name in names]


def _put(r: Recorder, client: ClientSecret, practice: str, name: str) -> str:
    told = {"email": f"{name}@{practice}.example", "portal_access": True, "label": name}
    with r.quietly():
        r.call("", client, "PUT", f"{practice}/patients/{name}", told)
    return f"{name}@{practice}.example"


def calls_spent(r: Recorder, client: ClientSecret) -> None:
    for number in range(72):
        if number in (0, 68, 69, 70, 71):
            r.call(f"{number + 1}", client, "GET", "calls/patients/nobody")
        else:
            with r.quietly():
                r.call("", client, "GET", "calls/patients/nobody")
    for path in ("introspect", "revoke", "token"):
        r.form(path, f"/oauth2/{path}", {"token": "x", "grant_type": "refresh_token", "refresh_token": "x"}, client)
    r.form(
        "a shaped token", "/oauth2/token", {"grant_type": "refresh_token", "refresh_token": "art_" + "M" * 112}, client
    )
    r.call("a wrong method", client, "PATCH", "calls/patients/nobody")
    r.call("a wrong body", client, "POST", "calls/codes", {})


def guesses_spent(r: Recorder, client: ClientSecret) -> None:
    email = _put(r, client, "guesses", "ann")
    ip = "198.51.100.60"
    start = {"email": email, "client_ip": ip}

    def begin(label: str) -> tuple[str, Any]:
        begun = r.call(label, client, "POST", "guesses/codes", start).json
        return begun["challenge"], r.mail(email)

    def miss(label: str, challenge: str, code: str) -> None:
        r.call(label, client, "POST", "guesses/codes/verify", {"challenge": challenge, "code": code, "client_ip": ip})

    challenge, mail = begin("start")
    code = code_in(mail)
    for number in range(3):
        miss(f"missed, {number + 1}", challenge, f"{(int(code) + 1 + number) % 10**6:06d}")
    miss("right, but in link mode", challenge, code)
    r.command("", "patients", "show", "guesses", "ann", "--json")
    challenge, mail = begin("start in link mode")
    url = next(word for word in mail.get_body(("plain",)).get_content().split() if "/l/" in word)
    r.call("listed", client, "GET", "guesses/links?patient=ann")
    browser = Browser(r, "203.0.113.50")
    browser.open("the link", url)
    browser.submit("pressed")
    browser.submit("its code", code=code_in(r.mail(email)))
    r.command("", "patients", "show", "guesses", "ann", "--json")
    challenge, mail = begin("start after a right code")
    r.command("", "patients", "unlock", "guesses", "ann", "--json")
    r.command("", "patients", "show", "guesses", "ann", "--json")
    challenge, mail = begin("start after unlocking")
    miss("right", challenge, code_in(mail))
    page = Browser(r, "203.0.113.51")
    page.open("at the page, begin", "/p/guesses/sign-in")
    page.submit("at the page, start", email=email)
    code = code_in(r.mail(email))
    for number in range(3):
        page.submit(f"at the page, missed {number + 1}", code=f"{(int(code) + 1 + number) % 10**6:06d}")
    page.submit("at the page, right but in link mode", code=code)


def link_guesses_spent(r: Recorder, client: ClientSecret) -> None:
    email = _put(r, client, "onlink", "ann")
    url = r.call("an access link", client, "POST", "onlink/links", {"patient": "ann", "workflow": "portal"}).json["url"]
    token = {"token": url.rpartition("/")[2]}
    begun = r.call("exchanged", client, "POST", "onlink/links/exchange", token).json
    code = code_in(r.mail(email))
    for number in range(3):
        wrong = f"{(int(code) + 1 + number) % 10**6:06d}"
        told = {"challenge": begun["challenge"], "code": wrong}
        r.call(f"missed, {number + 1}", client, "POST", "onlink/codes/verify", told)
    told = {"challenge": begun["challenge"], "code": code}
    r.call("right, too late", client, "POST", "onlink/codes/verify", told)
    r.call("the link is dead", client, "POST", "onlink/links/exchange", token)
    r.call("listed", client, "GET", "onlink/links?patient=ann")


def repeats_spent(r: Recorder, client: ClientSecret) -> None:
    _put(r, client, "repeats", "ann")
    told = {"patient": "ann", "delivery": "caller"}
    begun = r.call("start", client, "POST", "repeats/codes", told).json
    time.sleep(1.2)
    again = {"challenge": begun["challenge"]}
    r.call("sent again", client, "POST", "repeats/codes/resend", again)
    time.sleep(1.2)
    r.call("sent again once too often", client, "POST", "repeats/codes/resend", again)
    both = {"challenge": begun["challenge"], "code": begun["code"]}
    for label in ("right", "repeated", "repeated once too often"):
        r.call(label, client, "POST", "repeats/codes/verify", both)
    link = {"patient": "ann", "workflow": "update-payment-info", "max_uses": 1}
    url = r.call("a link", client, "POST", "repeats/links", link).json["url"]
    token = {"token": url.rpartition("/")[2]}
    r.call("used", client, "POST", "repeats/links/exchange", token)
    r.call("a new one", client, "POST", "repeats/links/resend", token)
    mail = r.mail("ann@repeats.example")
    newer = next(word for word in mail.get_body(("plain",)).get_content().split() if "/l/" in word)
    token = {"token": newer.rpartition("/")[2]}
    r.call("the new one used", client, "POST", "repeats/links/exchange", token)
    time.sleep(1.2)
    r.call("one too many", client, "POST", "repeats/links/resend", token)
    r.call("listed", client, "GET", "repeats/links?patient=ann")


def mails_spent(r: Recorder, client: ClientSecret) -> None:
    """The worker counts; the service reads its count as a flag that is at most a second old."""
    email = _put(r, client, "post", "ann")
    typed = {"email": email}
    known = {"patient": "ann"}

    for number in range(10):
        r.call(f"typed, {number + 1}", client, "POST", "post/codes", typed)
    for _ in range(10):
        r.mail(email)
    time.sleep(6)
    r.call("typed, over its share", client, "POST", "post/codes", typed)
    r.call("typed, unknown, over its share", client, "POST", "post/codes", {"email": "nobody@post.example"})
    by_mail = {"patient": "ann", "workflow": "portal", "delivery": "email"}
    for number in range(5):
        r.call(f"by patient, {number + 1}", client, "POST", "post/codes", known)
        r.call(f"by a link, {number + 1}", client, "POST", "post/links", by_mail)
    for _ in range(10):
        r.mail(email)
    time.sleep(6)
    r.call("by patient, over all", client, "POST", "post/codes", known)
    r.call("told, over all", client, "POST", "post/codes", {**known, "delivery": "caller"})
    r.call("by a link, over all", client, "POST", "post/links", by_mail)
    r.call("a link for the caller, over all", client, "POST", "post/links", {**by_mail, "delivery": "caller"})
    browser = Browser(r, "203.0.113.52")
    browser.open("at the page, begin", "/p/post/sign-in")
    browser.submit("at the page", email=email)


# --- the store is away ------------------------------------------------------------------------------------------------


def store_away(site: Provisioned) -> None:
    """The store ends; six seconds later nothing is known by memory but the keys."""
    r = site.r
    email = site.patient("aw")
    grant = site.signed_in("aw", "198.51.100.70")
    begun = site.started("aw", "198.51.100.70")
    browser = Browser(r, "203.0.113.60")
    waiting = Browser(r, "203.0.113.61")
    enter(site, browser, email)
    with r.quietly():
        browser.open("", authorize())
        code = browser.given("code")
        waiting.open("", "/p/maple/sign-in")
        waiting.submit("", email=email)
    url, token, _ = site.link("aw", "portal")
    r.deployment.programs["redis"].stop()
    (r.deployment.folder / "r.sock").unlink(missing_ok=True)
    time.sleep(6)
    for path in (
        "/livez",
        "/readyz",
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
        "/problems/unavailable",
        "/limits",
        "/p/maple/sign-in",
        "/p/maple/session",
        "/p/maple/session/state",
        "/p/maple/contact",
        "/p/oak/logo-0000000000000000.png",
        "/revocations/maple",
        "/oauth2/authorize",
        "/nothing",
        "/v1/practices/maple/patients/aw",
    ):
        r.ask(path, "GET", path)
    kid = r._published()[0]["kid"]
    r.ask("a key", "GET", f"/keys/{kid}.pem")
    for label, path, members in (
        ("a start", "maple/codes", {"email": email}),
        ("a code", "maple/codes/verify", {"challenge": begun["challenge"], "code": begun["code"]}),
        ("a link", "maple/links/exchange", {"token": token}),
        ("a wrong body", "maple/links/exchange", {}),
    ):
        r.call(label, site.desk, "POST", path, members)
    r.ask("no credentials", "GET", "/v1/practices/maple/patients/aw")
    r.ask("a gateway", "GET", "/v1/forward-auth?practice=maple", headers=bearer(grant["access_token"]))
    r.ask("a gateway, junk", "GET", "/v1/forward-auth?practice=maple", headers=bearer("x"))
    r.ask("a gateway, no token", "GET", "/v1/forward-auth?practice=maple")
    r.ask("a gateway, no practice", "GET", "/v1/forward-auth", headers=bearer(grant["access_token"]))
    r.form(
        "refreshed",
        "/oauth2/token",
        {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]},
        site.desk,
    )
    redeem(site, "redeemed", code)
    r.form("revoked", "/oauth2/revoke", {"token": grant["access_token"]}, site.desk)
    r.form("introspected", "/oauth2/introspect", {"token": grant["access_token"]}, site.desk)
    r.ask("userinfo", "GET", "/oauth2/userinfo", headers=bearer(grant["access_token"]))
    for language in ("en", "es"):
        browser.open(f"the session {language}", f"/p/maple/session?ui_locales={language}")
    browser.open("authorize", authorize())
    browser.open("authorize silently", authorize(prompt="none"))
    browser.open("logout", "/oauth2/logout?client_id=portal")
    browser.open("a link", url)
    waiting.submit("a code at the page", code="123456")
    r.ask("the admin address", "GET", "/readyz", port=r.deployment.admin_port)
    for words in (("patients", "show", "maple", "aw"), ("keys", "list"), ("check", "--live"), ("audit", "verify")):
        r.command("", *words)
        r.command("", *words, "--json")


def store_emptied(site: Provisioned) -> None:
    """The store comes back with nothing in it."""
    r = site.r
    r.deployment.start_store()

    def answers() -> bool:
        with r.quietly():
            return r.ask("", "GET", "/readyz").status == 200

    try:
        until(answers, "readiness", 10)
    except Exception:  # noqa: BLE001 - that it doesn't come is what is recorded then
        r.note("readiness", "not within ten seconds")
    time.sleep(6)
    for path in ("/readyz", "/.well-known/jwks.json", "/p/maple/sign-in", "/revocations/maple"):
        r.ask(path, "GET", path)
    r.call("a client of before", site.desk, "GET", "maple/patients/aw")
    for words in (("keys", "list"), ("keys", "rotate"), ("practices", "list"), ("check", "--live")):
        r.command("", *words, "--json")


def never_a_store(r: Recorder) -> None:
    """`serve` starts without a store, and says so."""
    r.deployment.start("serve", [str(r.deployment.authsvc), "serve", "--json"])
    until(lambda: r.deployment.programs["serve"].out.stat().st_size, "serve to start")

    def lives() -> bool:
        with r.quietly():
            try:
                return r.ask("", "GET", "/livez").status == 200
            except OSError:
                return False

    until(lives, "an answer")
    for path in (
        "/livez",
        "/readyz",
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
        "/p/maple/sign-in",
        "/keys/x.pem",
    ):
        r.ask(path, "GET", path)
    r.ask("a call", "GET", "/v1/practices/maple/patients/x", headers=ClientSecret("desk", "acs_" + "N" * 43).basic)
    r.ask("a gateway", "GET", "/v1/forward-auth?practice=maple", headers=bearer("x.y.z"))
    r.stop("serve")
