"""The hosted pages and the OpenID Connect endpoints for browsers, as somebody without JavaScript meets them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from tests.wire.browser import Browser
from tests.wire.cases_api import code_in
from tests.wire.processes import Receiver, until
from tests.wire.provision import APP_BACK, BACK, BYE, CHALLENGE, RESEND_AFTER_S, SIGNER_BACK, VERIFIER, Provisioned
from tests.wire.recorder import ClientSecret, bearer

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PAGES = (
    "/p/maple/sign-in",
    "/p/maple/code/AAAAAAAA",
    "/p/maple/who/AAAAAAAA",
    "/p/maple/l/al_" + "J" * 43,
    "/p/maple/session",
    "/p/maple/session/state",
    "/p/maple/sign-out",
    "/p/maple/sent",
    "/p/maple/contact",
    "/p/maple/signed-out",
    "/oauth2/authorize",
    "/oauth2/logout",
)
PAUSE_S = RESEND_AFTER_S + 0.3
ASKED = {
    "client_id": "portal",
    "redirect_uri": BACK,
    "response_type": "code",
    "scope": "openid invoices:view contact:view",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "state": "state-of-the-portal",
    "nonce": "nonce-of-the-portal",
}


def cases(site: Provisioned, receiver: Receiver) -> Iterator[tuple[str, Any]]:
    for run in (
        every_method,
        papers,
        by_address,
        by_address_in_spanish,
        wrong_codes,
        shared_mailbox,
        spent,
        links_alive,
        links_dead,
        branded,
        signed_in,
        forged_forms,
        double_clicks,
        languages,
        authorize_refused,
        authorize_walk,
        authorize_again,
        redeeming,
        pressed_links,
        other_clients,
        logout,
    ):
        yield run.__name__.replace("_", " "), lambda run=run: run(site)
    yield "clients are told", lambda: told(site, receiver)


def authorize(**changes: str | None) -> str:
    """The address at which a client's request begins."""
    members = {name: value for name, value in {**ASKED, **changes}.items() if value is not None}
    return f"/oauth2/authorize?{urlencode(members)}"


def redeem(site: Provisioned, label: str, code: str, **changes: Any) -> Any:
    client: ClientSecret | None = changes.pop("client", site.portal)
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    return site.r.form(label, "/oauth2/token", {**fields, **changes}, client)


# --- requests of every kind -----------------------------------------------------------------------------------------


def every_method(site: Provisioned) -> None:
    r = site.r
    for path in PAGES:
        for method in METHODS:
            r.ask(f"{method} {path[:28]}", method, path, headers={"X-Forwarded-For": "203.0.113.1"})
    for path in PAGES[:10]:
        r.ask(f"no such practice: {path[:28]}", "GET", path.replace("maple", "nobody"))
        r.ask(f"no practice's id: {path[:28]}", "GET", path.replace("maple", "Maple"))
    for path in (
        "/p/maple",
        "/p/maple/",
        "/p/maple/sign-in/",
        "/p/maple/code/",
        "/p/maple/code/short",
        "/p/maple/code/AAAAAAA.",
        "/p/maple/who/toolongbyfar",
        "/p/maple/l/",
        "/p/maple/l/x",
        "/p/maple/l/a%2Fb",
        "/p/maple/l/%20",
        "/p/maple/l/" + "x" * 201,
        "/p/maple/session/",
        "/p/maple/unknown",
        "/p/maple/brand-0000000000000000.css",
        "/p/maple/logo-0000000000000000.png",
        "/p/nobody/brand-0000000000000000.css",
        "/p/oak/brand-0000000000000000.css",
        "/p/oak/logo-0000000000000000.png",
    ):
        r.ask(f"GET {path[:40]}", "GET", path)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    r.ask("a large form", "POST", "/p/maple/sign-in", headers=form, body=b"email=" + b"x" * 20_000)
    r.ask("JSON", "POST", "/p/maple/sign-in", headers={"Content-Type": "application/json"}, body=b"{}")
    r.ask("a query that isn't UTF-8", "GET", "/p/maple/sign-in?ui_locales=%ff")
    r.ask("a query with a client", "GET", "/p/maple/sign-in?client_id=portal")
    r.ask("a query with what mail programs add", "GET", f"{PAGES[3]}?utm_source=mail&ui_locales=es")


def papers(site: Provisioned) -> None:
    """The problem types, the limits, and what pages load."""
    r = site.r
    browser = Browser(r, "203.0.113.2")
    for path in ("/problems", "/problems/", "/limits"):
        r.ask(path, "GET", path)
    browser.open("all problems", "/problems/")
    slugs = [link["href"] for link in browser.page.links if "/problems/" in link["href"]]
    r.note("problem types", slugs)
    for slug in slugs:
        r.ask(slug, "GET", slug)
    for path in ("/problems/unknown", "/problems/not-found/", "/problems/a/b", "/limits/"):
        r.ask(path, "GET", path)
    browser.open("a page with a script comes later", "/p/maple/sign-in")
    for path in browser.page.resources:
        for method in METHODS:
            r.ask(f"{method} {path}", method, path)
    in_spanish = {"Accept-Language": "es"}
    r.ask("a problem in Spanish", "GET", "/problems/not-found", headers=in_spanish)


# --- signing in -----------------------------------------------------------------------------------------------------


def by_address(site: Provisioned) -> None:
    r = site.r
    email = site.patient("ba", label="Bea Ortiz")
    browser = Browser(r, "203.0.113.3")
    browser.open("begin", "/p/maple/sign-in")
    browser.submit("nothing typed", email="")
    browser.submit("no address", email="bea at example")
    browser.submit("angle brackets", email='"><b>@example.org')
    browser.open("loaded again", "/p/maple/sign-in")
    browser.submit("the address", email=f" {email} ")
    code = code_in(r.mail(email))
    browser.submit("three digits", code="123")
    browser.submit("wrong", code=f"{(int(code) + 1) % 10**6:06d}")
    browser.submit("again too soon", act="resend")
    time.sleep(PAUSE_S)
    browser.submit("sent again", act="resend")
    newer = code_in(r.mail(email))
    page = browser.url
    browser.open("loaded again, code", page)
    browser.submit("right", code=f"{newer[:3]} {newer[3:]}")
    r.note("left to", browser.left_to)
    browser.open("the session", "/p/maple/session")
    browser.open("the code's page now", page)
    browser.open("sign-in while signed in", "/p/maple/sign-in")
    browser.once("head", "HEAD", "/p/maple/session")


def by_address_in_spanish(site: Provisioned) -> None:
    r = site.r
    email = site.patient("bb", practice="oak", label="Benito")
    browser = Browser(r, "203.0.113.4", "es-MX,es;q=0.9")
    browser.open("begin", "/p/oak/sign-in")
    browser.submit("no address", email="x")
    browser.submit("the address", email=email)
    code = code_in(r.mail(email))
    browser.submit("three digits", code="123")
    browser.submit("wrong", code=f"{(int(code) + 1) % 10**6:06d}")
    browser.submit("again too soon", act="resend")
    browser.submit("right", code=code)
    browser.open("the session", "/p/oak/session")
    browser.open("in English by wish", "/p/oak/session?ui_locales=en")
    browser.open("sign-out", "/p/oak/sign-out")
    browser.submit("signed out")
    browser.open("the session then", "/p/oak/session")


def wrong_codes(site: Provisioned) -> None:
    r = site.r
    email = site.patient("bc")
    browser = Browser(r, "203.0.113.5")
    browser.open("begin", "/p/maple/sign-in")
    browser.submit("the address", email=email)
    code = code_in(r.mail(email))
    for number in range(5):
        browser.submit(f"wrong, {number + 1}", code=f"{(int(code) + 1) % 10**6:06d}")
    browser.submit("begin anew", act="again")
    code = code_in(r.mail(email))
    browser.submit("right", code=code)
    stranger = Browser(r, "203.0.113.6")
    stranger.open("an unknown address, begin", "/p/maple/sign-in")
    stranger.submit("an unknown address", email="unknown.person@example.org")
    stranger.submit("an unknown address, code", code="123456")
    denied = site.patient("bd", portal_access=False)
    stranger.open("without access, begin", "/p/maple/sign-in")
    stranger.submit("without access", email=denied)
    stranger.submit("without access, code", code="123456")
    r.no_mail(denied)


def shared_mailbox(site: Provisioned) -> None:
    r = site.r
    for name, label in {"be": "Eve <b>", "bf": "Frank", "bg": ""}.items():
        site.patient(name, email="family@example.org", label=label)
    for language in ("en", "es"):
        browser = Browser(r, "203.0.113.7", language)
        browser.open(f"{language} begin", "/p/maple/sign-in")
        browser.submit(f"{language} the address", email="family@example.org")
        begun = browser.url
        browser.open(f"{language} the chooser before the code", begun.replace("/code/", "/who/"))
        browser.submit(f"{language} code", code=code_in(r.mail("family@example.org")))
        browser.open(f"{language} the chooser again", browser.url)
        browser.submit(f"{language} nobody chosen")
        browser.submit(f"{language} somebody else", patient="ba")
        browser.submit(f"{language} chosen", patient="bf")
        browser.open(f"{language} the session", "/p/maple/session")


def spent(site: Provisioned) -> None:
    """Budgets at the pages."""
    r = site.r
    email = site.patient("bh")
    for language in ("en", "es"):
        browser = Browser(r, "203.0.113.8", language)
        for number in range(6 if language == "en" else 1):
            browser.open(f"{language} begin {number + 1}", "/p/maple/sign-in")
            browser.submit(f"{language} start {number + 1}", email=email)
            if number < 4 and language == "en":
                code_in(r.mail(email))
    mail = r.mail(email)
    token = next(word for word in mail.get_body(("plain",)).get_content().split() if "/l/" in word)
    browser.open("the link instead of a code", token)
    browser.submit("pressed")
    browser.submit("its code", code=code_in(r.mail(email)))
    tries = Browser(r, "203.0.113.9")
    with r.quietly():
        for number in range(13):
            tries.open("", "/p/maple/sign-in")
            tries.submit("", email=f"tries{number}@example.org")
            for _ in range(5):
                if tries.at.status in (200, 400):
                    tries.submit("", code="111111")
    tries.open("a busy network, begin", "/p/maple/sign-in")
    tries.submit("a busy network, start", email="tries99@example.org")
    tries.submit("a busy network, code", code="111111")


# --- links ----------------------------------------------------------------------------------------------------------


def links_alive(site: Provisioned) -> None:
    r = site.r
    email = site.patient("ca", label="Cal")
    for language in ("en", "es"):
        for workflow, more in {
            "pay-invoice": {"resource": "invoice:inv_1"},
            "update-payment-info": {},
            "accept-agreement": {"resource": "agreement:a"},
            "portal": {},
        }.items():
            url, _, _ = site.link("ca", workflow, **more)
            browser = Browser(r, "203.0.113.10", language)
            browser.open(f"{language} {workflow}", url)
            browser.once(f"{language} {workflow}, head", "HEAD", url)
            if workflow == "portal":
                browser.submit(f"{language} {workflow}, pressed")
                code = code_in(r.mail(email))
                browser.submit(f"{language} {workflow}, wrong", code=f"{(int(code) + 1) % 10**6:06d}")
                browser.submit(f"{language} {workflow}, code", code=code)
            else:
                browser.submit(f"{language} {workflow}, pressed")
                r.note("left to", browser.left_to)
    site.patient("cb", practice="oak")
    url, _, _ = site.link("cb", "update-payment-info", practice="oak")
    browser = Browser(r, "203.0.113.11")
    browser.open("at a practice without a portal", url)
    browser.submit("there, pressed")
    r.call("is not spent", site.desk, "GET", "oak/links?patient=cb")


def links_dead(site: Provisioned) -> None:
    r = site.r
    email = site.patient("cc")
    expired, _, _ = site.link("cc", "portal", expires_in=1)
    used, token, _ = site.link("cc", "update-payment-info", max_uses=1)
    site.exchanged(token)
    revoked, _, link = site.link("cc", "pay-invoice", resource="invoice:inv_1")
    with r.quietly():
        r.call("", site.desk, "DELETE", f"maple/links/{link}")
    site.patient("cd")
    moved, _, _ = site.link("cd", "portal")
    site.patient("cd", email="cd.new@example.org")
    time.sleep(1.2)
    unknown = f"{r.deployment.public_url}/p/maple/l/al_" + "K" * 43
    for language in ("en", "es"):
        for label, url in {
            "expired": expired,
            "used": used,
            "revoked": revoked,
            "moved": moved,
            "unknown": unknown,
            "not a token": f"{r.deployment.public_url}/p/maple/l/x",
            "another practice's": used.replace("maple", "oak"),
        }.items():
            browser = Browser(r, "203.0.113.12", language)
            browser.open(f"{language} {label}", url)
            if label in ("expired", "used"):
                browser.submit(f"{language} {label}, a new one", act="resend")
    for _ in range(2):
        r.mail(email)
    browser = Browser(r, "203.0.113.13")
    email = site.patient("ce")
    live, _, _ = site.link("ce", "portal", max_uses=1)
    browser.open("an access link", live)
    browser.submit("pressed")
    code_in(r.mail(email))
    other = Browser(r, "203.0.113.14")
    other.open("used up meanwhile", live)
    live, _, _ = site.link("ce", "portal")
    browser.open("another access link", live)
    browser.submit("another, pressed")
    code = code_in(r.mail(email))
    with r.quietly():
        r.call("", site.desk, "DELETE", "maple/links?patient=ce")
    browser.submit("revoked before the code", code=code)
    if any(button.get("value") == "again" for form in browser.page.forms for button in form.buttons):
        browser.submit("begin anew", act="again")


def branded(site: Provisioned) -> None:
    """A practice with a logo and a colour, and one with nothing."""
    r = site.r
    for practice in ("oak", "elm"):
        browser = Browser(r, "203.0.113.15")
        browser.open(f"{practice} sign-in", f"/p/{practice}/sign-in")
        for path in browser.page.resources:
            for method in METHODS if "/p/" in path else ("GET",):
                r.ask(f"{practice} {method} {path}", method, path)
        for page in ("contact", "sent", "signed-out", "sign-out", "session"):
            for language in ("en", "es"):
                browser.open(f"{practice} {page} {language}", f"/p/{practice}/{page}?ui_locales={language}")


# --- signed in ------------------------------------------------------------------------------------------------------


def enter(site: Provisioned, browser: Browser, email: str, practice: str = "maple") -> None:
    """Sign in at the pages, unrecorded."""
    r = site.r
    with r.quietly():
        browser.open("", f"/p/{practice}/sign-in")
        browser.submit("", email=email)
        browser.submit("", code=code_in(r.mail(email)))


def signed_in(site: Provisioned) -> None:
    r = site.r
    email = site.patient("fb", label="Fay Ortiz")
    here, there, third, fourth = (Browser(r, "203.0.113.16") for _ in range(4))
    for browser in (there, third, fourth, here):
        enter(site, browser, email)
    here.open("the session", "/p/maple/session")
    r.call("as its client sees it", site.desk, "GET", "maple/patients/fb/sessions")
    here.open("in Spanish", "/p/maple/session?ui_locales=es")
    for path in here.page.resources:
        for method in ("GET", "HEAD", "POST"):
            r.ask(f"{method} {path}", method, path)
    here.open("its state", "/p/maple/session/state")
    here.once("its state, head", "HEAD", "/p/maple/session/state")
    here.once("its state, post", "POST", "/p/maple/session/state")
    here.open("the session again", "/p/maple/session")
    here.submit("stay", act="extend")
    here.submit("end one other", act="end")
    here.submit("end all others", act="end-others")
    there.open("ended elsewhere", "/p/maple/session")
    there.open("ended elsewhere, its state", "/p/maple/session/state")
    here.open("sign-out", "/p/maple/sign-out")
    here.open("sign-out in Spanish", "/p/maple/sign-out?ui_locales=es")
    here.submit("signed out")
    here.open("its state then", "/p/maple/session/state")
    here.open("sign-out again", "/p/maple/sign-out")
    email = site.patient("fb2", label="Fay Ortiz")
    enter(site, here, email)
    with r.quietly():
        r.call("", site.desk, "DELETE", "maple/patients/fb2/sessions")
    here.open("signed out by staff", "/p/maple/session")
    enter(site, here, email)
    site.patient("fb2", email=email, portal_access=False)
    here.open("access withdrawn", "/p/maple/session")


def forged_forms(site: Provisioned) -> None:
    r = site.r
    email = site.patient("fc")
    browser = Browser(r, "203.0.113.17")
    browser.post("no cookie, no token", "/p/maple/sign-in", {"email": email})
    browser.open("begin", "/p/maple/sign-in")
    for language in ("en", "es"):
        browser.post(
            f"a wrong token, {language}", f"/p/maple/sign-in?ui_locales={language}", {"email": email, "csrf": "x"}
        )
    browser.open("begin", "/p/maple/sign-in")
    for label, headers in {
        "from another site": {"Sec-Fetch-Site": "cross-site"},
        "from a neighbour": {"Sec-Fetch-Site": "same-site"},
        "typed in": {"Sec-Fetch-Site": "none"},
        "another origin": {"Origin": "https://evil.example"},
    }.items():
        browser.open(f"{label}, begin", "/p/maple/sign-in")
        browser.submit(label, email=email, headers=headers)
    browser.open("our origin, begin", "/p/maple/sign-in")
    browser.submit("our origin", email=email, headers={"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"})
    code_in(r.mail(email))
    kept = dict(browser.cookies)
    browser.cookies.clear()
    browser.submit("cookies lost", code="123456")
    browser.cookies.update(kept)
    other = Browser(r, "203.0.113.18")
    other.open("another browser at the code's page", "/p/maple/sign-in")
    enter(site, other, email)
    other.post("sign-out without its token", "/p/maple/sign-out", {"csrf": "x"})
    other.post("end-others without its token", "/p/maple/session", {"act": "end-others"})
    other.open("a cookie twice", "/p/maple/session", {"Cookie": "authsvc-maple=x; authsvc-maple=y"})
    other.open("an odd cookie", "/p/maple/session", {"Cookie": "authsvc-maple=not.ours; authsvc=x"})


def double_clicks(site: Provisioned) -> None:
    r = site.r
    email = site.patient("fd")
    browser = Browser(r, "203.0.113.19")
    browser.open("begin", "/p/maple/sign-in")
    form = browser.page.forms[0].fields | {"email": email}
    first = browser.once("once", "POST", "/p/maple/sign-in", form)
    browser.once("twice", "POST", "/p/maple/sign-in", form)
    changed = form | {"email": "another@example.org"}
    browser.once("another address with the same form", "POST", "/p/maple/sign-in", changed)
    browser.open("the code's page", first.header("Location"))
    code = code_in(r.mail(email))
    r.no_mail(email)
    answer = browser.page.forms[0].fields | {"code": code}
    page = browser.url
    before = dict(browser.cookies)
    browser.once("the code once", "POST", page, answer)
    browser.cookies = before | browser.cookies
    browser.once("the code twice", "POST", page, answer)
    url, _, _ = site.link("fd", "update-payment-info", max_uses=1)
    browser.open("a link", url)
    press = browser.page.forms[0].fields
    browser.once("pressed once", "POST", url, press)
    browser.once("pressed twice", "POST", url, press)
    for number in range(6):
        browser.open(f"tab {number + 1}", "/p/maple/sign-in?ui_locales=en")
        with r.quietly():
            browser.open("", "/p/maple/sign-out")
            if browser.page.forms:
                browser.submit("")
        browser.open(f"tab {number + 1} begins", "/p/maple/sign-in")
        browser.submit(f"tab {number + 1} waits", email=f"tab{number}@example.org")


def languages(site: Provisioned) -> None:
    r = site.r
    for accept in ("es", "en", "de", "de, es;q=0.5", "es;q=0", "*", "", "es-419", "x" * 300, "en;q=0.1, es;q=0.9"):
        r.ask(f"Accept-Language {accept[:30]}", "GET", "/p/elm/contact", headers={"Accept-Language": accept})
    for wish in ("es", "es en", "de es", "de", "es-MX", "ES", "a b c d e f g h i j k", "%3Cb%3E", ""):
        r.ask(f"ui_locales {wish}", "GET", f"/p/elm/contact?{urlencode({'ui_locales': wish})}")
    r.ask("the practice's", "GET", "/p/oak/contact")
    r.ask("not found in Spanish", "GET", "/p/nobody/contact", headers={"Accept-Language": "es"})


# --- OpenID Connect -------------------------------------------------------------------------------------------------


def authorize_refused(site: Provisioned) -> None:
    r = site.r
    browser = Browser(r, "203.0.113.20")
    for label, changes in {
        "no client": {"client_id": None},
        "an unknown client": {"client_id": "nobody"},
        "a client without addresses": {"client_id": "desk"},
        "no address": {"redirect_uri": None},
        "another address": {"redirect_uri": "https://evil.example/"},
        "an address that is longer": {"redirect_uri": f"{BACK}/more"},
        "its second address": {"redirect_uri": f"{BACK}?page=2", "scope": "x"},
        "no response_type": {"response_type": None},
        "another response_type": {"response_type": "token"},
        "response_mode": {"response_mode": "fragment"},
        "response_mode query": {"response_mode": "query"},
        "no scope": {"scope": None},
        "no openid": {"scope": "invoices:view"},
        "an unknown scope": {"scope": "openid records:read"},
        "scopes of OpenID": {"scope": "openid profile email address phone offline_access"},
        "no PKCE": {"code_challenge": None, "code_challenge_method": None},
        "plain PKCE": {"code_challenge_method": "plain"},
        "no PKCE method": {"code_challenge_method": None},
        "a short challenge": {"code_challenge": "x"},
        "a long state": {"state": "s" * 513},
        "a state in Greek": {"state": "αβγ"},
        "no state": {"state": None, "scope": "x"},
        "a long nonce": {"nonce": "n" * 257},
        "max_age": {"max_age": "soon"},
        "an unknown prompt": {"prompt": "dance"},
        "prompt none and login": {"prompt": "none login"},
        "prompt none": {"prompt": "none"},
        "an unknown acr": {"acr_values": "gold"},
        "request": {"request": "x.y.z"},
        "request_uri": {"request_uri": "https://x.example"},
        "registration": {"registration": "{}"},
        "authorization_details": {"authorization_details": "[]"},
        "id_token_hint": {"id_token_hint": "x.y.z"},
        "a login_hint that is dropped": {"login_hint": "ann@example.org"},
        "locales": {"ui_locales": "es"},
        "an unknown parameter": {"colour": "red"},
        "empty ones": {"prompt": "", "max_age": "", "acr_values": ""},
    }.items():
        for language in ("en", "es") if "client" in label or "address" in label else ("en",):
            url = authorize(**changes)
            r.ask(f"{label} {language}", "GET", url, headers={"Accept-Language": language})
    for name in ("client_id", "redirect_uri", "state", "scope", "colour"):
        r.ask(f"{name} twice", "GET", f"{authorize()}&{urlencode({name: 'x'})}&{urlencode({name: 'y'})}")
    r.ask("not UTF-8", "GET", f"{authorize()}&x=%ff")
    r.ask("too many", "GET", authorize() + "".join(f"&p{number}=1" for number in range(40)))
    r.ask("nothing", "GET", "/oauth2/authorize")
    browser.post("by POST", "/oauth2/authorize", ASKED)
    browser.post("by POST, wrong", "/oauth2/authorize", {**ASKED, "scope": "x"})
    other = f"{authorize()}".replace("/oauth2/authorize", "/p/oak/sign-in")
    r.ask("at another practice's page", "GET", other)
    for name in ("code/AAAAAAAA", "who/AAAAAAAA"):
        r.ask(f"at {name}", "GET", authorize().replace("/oauth2/authorize", f"/p/maple/{name}"))
        wrong = authorize(scope="x").replace("/oauth2/authorize", f"/p/maple/{name}")
        r.ask(f"at {name}, wrong", "GET", wrong)


def authorize_walk(site: Provisioned) -> None:
    """From a portal to the code and back, and what the portal then has."""
    r = site.r
    email = site.patient("ga2", label="Gus", locale="es")
    browser = Browser(r, "203.0.113.21")
    browser.open("authorize", authorize())
    browser.submit("the address", email=email)
    browser.submit("wrong", code="000000" if (code := code_in(r.mail(email))) != "000000" else "000001")
    browser.submit("right", code=code)
    r.note("left to", browser.left_to)
    tokens = redeem(site, "redeemed", browser.given("code")).json
    access = bearer(tokens["access_token"])
    for method in ("GET", "HEAD", "POST", "PUT"):
        r.ask(f"userinfo {method}", method, "/oauth2/userinfo", headers=access)
    r.ask(
        "userinfo with a body", "POST", "/oauth2/userinfo", headers={**access, "Content-Type": "text/plain"}, body=b"x"
    )
    r.ask("a gateway", "GET", "/v1/forward-auth?practice=maple&scope=invoices:view&acr=extra", headers=access)
    r.ask(
        "a gateway, not asked for", "GET", "/v1/forward-auth?practice=maple&scope=payment_methods:edit", headers=access
    )
    r.form("introspected", "/oauth2/introspect", {"token": tokens["access_token"]}, site.portal)
    fresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    r.form("refreshed", "/oauth2/token", fresh, site.portal)
    r.call("sessions", site.desk, "GET", "maple/patients/ga2/sessions")
    browser.open("authorize again", authorize(state="another"))
    r.note("left to", browser.left_to)
    browser.open("silently", authorize(prompt="none"))
    r.note("left to", browser.left_to)
    browser.open("the session page", "/p/maple/session")
    browser.open("turned back, begin", authorize(prompt="login"))
    browser.submit("turned back", act="cancel")
    r.note("left to", browser.left_to)
    browser.open("turned back with acr, begin", authorize(prompt="login", acr_values="extra"))
    browser.submit("turned back with acr", act="cancel")
    r.note("left to", browser.left_to)


def authorize_again(site: Provisioned) -> None:
    """Prompts, ages, hints."""
    r = site.r
    email = site.patient("gb", label="Gabi")
    other = site.patient("gc", label="Gil")
    browser = Browser(r, "203.0.113.22")
    enter(site, browser, email)
    browser.open("signed in already", authorize())
    tokens = redeem(site, "redeemed", browser.given("code")).json
    hint = tokens["id_token"]
    for language in ("en", "es"):
        browser.open(f"prompt login {language}", authorize(prompt="login", ui_locales=language))
    browser.submit("known, one button")
    code = code_in(r.mail(email))
    browser.submit("turned back at the code", act="cancel")
    r.note("left to", browser.left_to)
    browser.open("prompt consent", authorize(prompt="consent"))
    browser.submit("known, one button, again")
    browser.submit("its code", code=code_in(r.mail(email)))
    r.note("left to", browser.left_to)
    browser.open("max_age 0", authorize(max_age="0"))
    browser.open("max_age of an hour", authorize(max_age="3600"))
    r.note("left to", browser.left_to)
    browser.open("select_account", authorize(prompt="select_account"))
    browser.submit("as somebody else", email=other)
    browser.submit("as somebody else, code", code=code_in(r.mail(other)))
    r.note("left to", browser.left_to)
    browser.open("the session is now of", "/p/maple/session")
    browser.open("a hint at the first", authorize(id_token_hint=hint))
    browser.submit("to the first's mailbox")
    code = code_in(r.mail(email))
    browser.submit("as the first", code=code)
    r.note("left to", browser.left_to)
    browser.open("a hint, silently", authorize(id_token_hint=hint, prompt="none"))
    r.note("left to", browser.left_to)
    browser.open("a hint, another, silently", authorize(id_token_hint=hint + "x", prompt="none"))
    browser.open("acr extra", authorize(acr_values="instant extra"))
    r.note("left to", browser.left_to)
    stranger = Browser(r, "203.0.113.23")
    stranger.open("a hint in a new browser", authorize(id_token_hint=hint))
    stranger.submit("there, one button")
    code_in(r.mail(email))
    stranger.open("a hint and somebody else", authorize(id_token_hint=hint, prompt="select_account"))
    if any("email" in form.fields for form in stranger.page.forms):
        stranger.submit("there, another address", email=other)
        stranger.submit("there, another's code", code=code_in(r.mail(other)))
        r.note("left to", stranger.left_to)


def redeeming(site: Provisioned) -> None:
    r = site.r
    email = site.patient("gd")
    browser = Browser(r, "203.0.113.24")
    enter(site, browser, email)

    def code(**changes: str | None) -> str:
        with r.quietly():
            browser.open("", authorize(**changes))
        return browser.given("code")

    one = code()
    redeem(site, "another verifier", one, code_verifier="w" * 43)
    redeem(site, "after that", one)
    redeem(site, "another address", code(), redirect_uri=f"{BACK}?page=2")
    redeem(site, "by another client", code(), client=site.desk)
    redeem(site, "by a public client", code(), client=None, client_id="app")
    redeem(site, "without a client", code(), client=None)
    one = code()
    first = redeem(site, "once", one).json
    redeem(site, "twice", one)
    r.ask("what it gave is over", "GET", "/oauth2/userinfo", headers=bearer(first["access_token"]))
    narrow = redeem(site, "openid alone", code(scope="openid", nonce=None, state=None)).json
    r.ask("its userinfo", "GET", "/oauth2/userinfo", headers=bearer(narrow["access_token"]))
    r.ask("its gateway", "GET", "/v1/forward-auth?practice=maple", headers=bearer(narrow["access_token"]))
    one = code()
    with r.quietly():
        browser.open("", "/p/maple/sign-out")
        browser.submit("")
    redeem(site, "after sign-out", one)
    r.ask("a session under it", "GET", "/oauth2/userinfo", headers=bearer(narrow["access_token"]))
    fields = {"grant_type": "refresh_token", "refresh_token": narrow["refresh_token"]}
    r.form("its refresh token", "/oauth2/token", fields, site.portal)


def pressed_links(site: Provisioned) -> None:
    """An instant link, pressed, is fetched by the portal with a hint."""
    r = site.r
    email = site.patient("gf")
    browser = Browser(r, "203.0.113.25")

    def press() -> str:
        url, _, _ = site.link("gf", "pay-invoice", resource="invoice:inv_1")
        with r.quietly():
            browser.open("", url)
            browser.submit("")
        return browser.given("login_hint")

    hint = press()
    browser.open("fetched", authorize(login_hint=hint, scope="openid invoice:view invoice:pay"))
    r.note("left to", browser.left_to)
    tokens = redeem(site, "redeemed", browser.given("code")).json
    r.ask("userinfo", "GET", "/oauth2/userinfo", headers=bearer(tokens["access_token"]))
    gateway = "/v1/forward-auth?practice=maple&scope=invoice:pay&resource=invoice:inv_1"
    r.ask("a gateway", "GET", gateway, headers=bearer(tokens["access_token"]))
    browser.open("fetched again", authorize(login_hint=hint))
    r.note("left to", browser.left_to)
    other = Browser(r, "203.0.113.26")
    hint = press()
    other.open("in another browser", authorize(login_hint=hint))
    browser.open("more than a link gives", authorize(login_hint=hint, acr_values="extra"))
    browser.submit("so a code")
    browser.submit("which is typed", code=code_in(r.mail(email)))
    r.note("left to", browser.left_to)
    hint = press()
    browser.open("with prompt login", authorize(login_hint=hint, prompt="login"))
    hint = press()
    browser.open("with max_age", authorize(login_hint=hint, max_age="3600"))
    r.note("left to", browser.left_to)
    browser.open("an unknown hint, silently", authorize(login_hint="alh_" + "L" * 43, prompt="none"))
    r.note("left to", browser.left_to)
    fresh = Browser(r, "203.0.113.27")
    fresh.open("an unknown hint", authorize(login_hint="alh_" + "L" * 43))
    hint = press()
    with r.quietly():
        r.call("", site.desk, "DELETE", "maple/links?patient=gf")
    browser.open("revoked before it is fetched", authorize(login_hint=hint, prompt="none"))
    r.note("left to", browser.left_to)


def other_clients(site: Provisioned) -> None:
    """A public client and one that signs."""
    r = site.r
    email = site.patient("gg")
    browser = Browser(r, "203.0.113.28")
    enter(site, browser, email)
    browser.open("the app", authorize(client_id="app", redirect_uri=APP_BACK))
    changes = {"redirect_uri": APP_BACK, "client_id": "app"}
    fields = {"grant_type": "authorization_code", "code_verifier": VERIFIER, **changes}
    tokens = r.form("the app's tokens", "/oauth2/token", {**fields, "code": browser.given("code")}).json
    again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"}
    r.form("refreshed by the app", "/oauth2/token", again)
    r.form("revoked by the app", "/oauth2/revoke", {"token": tokens["access_token"], "client_id": "app"})
    r.form("introspected by the app", "/oauth2/introspect", {"token": tokens["access_token"], "client_id": "app"})
    browser.open("the signer", authorize(client_id="signer", redirect_uri=SIGNER_BACK))
    fields = {"grant_type": "authorization_code", "code_verifier": VERIFIER, "redirect_uri": SIGNER_BACK}
    signed = {**fields, "code": browser.given("code"), **site.signer.fields()}
    tokens = r.form("the signer's tokens", "/oauth2/token", signed).json
    again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    r.form("refreshed by the signer", "/oauth2/token", {**again, **site.signer.fields()})
    r.form("refreshed without signing", "/oauth2/token", {**again, "client_id": "signer"})


def logout(site: Provisioned) -> None:
    r = site.r
    browser = Browser(r, "203.0.113.29")
    numbers = itertools.count(1)

    def leave(**members: str) -> str:
        return f"/oauth2/logout?{urlencode(members)}" if members else "/oauth2/logout"

    def tokens() -> Any:
        enter(site, browser, site.patient(f"gh{next(numbers)}"))
        with r.quietly():
            browser.open("", authorize())
            return redeem(site, "", browser.given("code")).json

    hint = tokens()["id_token"]
    for language in ("en", "es"):
        browser.open(f"nothing said {language}", f"/oauth2/logout?ui_locales={language}")
        asked = leave(client_id="portal", post_logout_redirect_uri=BYE, state="s", ui_locales=language)
        browser.open(f"without a token: asks {language}", asked)
    browser.open("a wrong address", leave(client_id="portal", post_logout_redirect_uri=f"{BYE}?x"))
    browser.open("an unknown client", leave(client_id="nobody"))
    browser.open("a client without addresses", leave(client_id="desk"))
    browser.open("client and token differ", leave(client_id="app", id_token_hint=hint))
    browser.open("twice", "/oauth2/logout?state=a&state=b")
    browser.open("not UTF-8", "/oauth2/logout?state=%ff")
    browser.open("a token that isn't ours", leave(client_id="portal", id_token_hint="x.y.z"))
    browser.open("without a token: asks again", leave(client_id="portal", post_logout_redirect_uri=BYE, state="s"))
    browser.submit("confirmed")
    r.note("left to", browser.left_to)
    browser.open("then", "/p/maple/session")
    hint = tokens()["id_token"]
    browser.open("at once", leave(id_token_hint=hint, post_logout_redirect_uri=BYE, state="x y"))
    r.note("left to", browser.left_to)
    browser.open("again", leave(id_token_hint=hint, post_logout_redirect_uri=BYE))
    r.note("left to", browser.left_to)
    hint = tokens()["id_token"]
    browser.open("without an address", leave(id_token_hint=hint))
    hint = tokens()["id_token"]
    browser.post("by POST", "/oauth2/logout", {"id_token_hint": hint, "post_logout_redirect_uri": BYE, "state": "p"})
    r.note("left to", browser.left_to)
    other = site.patient("gi")
    hint = tokens()["id_token"]
    browser.open("switch begins", authorize(prompt="select_account"))
    with r.quietly():
        browser.submit("", email=other)
        browser.submit("", code=code_in(r.mail(other)))
    browser.open("a token of somebody else", leave(id_token_hint=hint, post_logout_redirect_uri=BYE))
    foreign = Browser(r, "203.0.113.30")
    foreign.post("by POST without cookies", "/oauth2/logout", {"client_id": "portal", "post_logout_redirect_uri": BYE})
    r.note("left to", foreign.left_to)


def told(site: Provisioned, receiver: Receiver) -> None:
    """The portal's back-channel address hears of sessions that ended."""
    r = site.r
    email = site.patient("gj")
    browser = Browser(r, "203.0.113.31")
    enter(site, browser, email)
    with r.quietly():
        browser.open("", authorize())
        redeem(site, "", browser.given("code"))
    until(lambda: _settled(receiver), "the earlier calls to the portal", 30)
    before = len(receiver.calls)
    r.call("staff sign out", site.desk, "DELETE", "maple/patients/gj/sessions")
    until(lambda: len(receiver.calls) > before, "a call to the portal")
    for call in receiver.calls[before:]:
        r.pushed("the portal is told", call)
    kinds = sorted({f"{call.method} {call.path}" for call in receiver.calls})
    r.note("every call so far", kinds)


def _settled(receiver: Receiver) -> bool:
    before = len(receiver.calls)
    time.sleep(1)
    return len(receiver.calls) == before
