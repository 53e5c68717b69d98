"""What browsers carry: cookies that only we can set, forms that only they were shown, and no more than fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from authsvc.web.browser.cookies import PENDING_BYTES, BrowserCookies
from tests.web.conftest import Web
from tests.web.every_page import APP
from tests.web.relying_party import OPEN, Party, party
from tests.web.visitor import CODE, SIGN_IN, ShownPage, Visitor

HEADER_BYTES = 8190  # the longest header that gunicorn takes


@pytest.fixture
def ann(web: Web) -> Visitor:
    return Visitor(web)


def set_cookies(answer: Any) -> dict[str, set[str]]:
    """Name → attributes."""
    found = {}
    for line in answer.headers.getlist("Set-Cookie"):
        cookie, *attributes = line.split("; ")
        found[cookie.partition("=")[0]] = set(attributes)
    return found


def jar(visitor: Visitor) -> str:
    """The Cookie header as this browser would send it."""
    return "; ".join(f"{name}={value}" for name, value in visitor.cookies().items())


def bare(web: Web, method: str, path: str, cookie: str, **more: Any) -> Any:
    plain = web.public.application.test_client(use_cookies=False)
    return plain.open(path, method=method, headers={"Cookie": cookie, **more.pop("headers", {})}, **more)


# --- cookies ------------------------------------------------------------------------------------------------------


def test_by_https_no_other_host_can_set_our_cookies(build: Callable[..., Web]) -> None:
    web = build(public_url="https://auth.example.org")
    web.harness.patient()
    secure = {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}
    first = web.bare("GET", SIGN_IN, base_url="https://auth.example.org")
    assert set_cookies(first) == {"__Host-authsvc": {*secure, "Max-Age=86400"}}
    ann = Visitor(web)

    def send(path: str, **fields: str) -> Any:
        csrf = ShownPage(ann.open("GET", path, base_url="https://auth.example.org")).csrf
        return ann.open("POST", path, data={"csrf": csrf, **fields}, base_url="https://auth.example.org")

    web.entropy.next_below(int(CODE))
    began = send(SIGN_IN, email="ann@example.org")
    page = began.headers["Location"].rsplit("/", 1)[1]
    assert set_cookies(began) == {f"__Host-authsvc-maple-{page}": {*secure, "Max-Age=1800"}}
    entered = send(began.headers["Location"], code=CODE)
    assert set_cookies(entered) == {
        "__Host-authsvc-maple": secure,  # no Max-Age: the server alone decides
        f"__Host-authsvc-maple-{page}": {*secure, "Max-Age=0"},
    }
    assert not any("domain" in str(attributes).lower() for attributes in set_cookies(entered).values())


def test_in_development_the_names_have_no_prefix(ann: Visitor) -> None:
    answer = ann.open("GET", SIGN_IN)
    assert set_cookies(answer) == {"authsvc": {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=86400"}}


def test_the_browsers_id_stays_and_is_sent_with_every_form(ann: Visitor) -> None:
    first = ann.open("GET", SIGN_IN).headers["Set-Cookie"]
    assert ann.open("GET", SIGN_IN).headers["Set-Cookie"] == first


def test_attack_a_tossed_cookie_beside_ours_is_not_believed_nor_is_ours(ann: Visitor) -> None:
    ann.sign_in()
    name, value = "authsvc-maple", ann.cookies()["authsvc-maple"]
    good = bare(ann.web, "GET", "/p/maple/session/state", f"{name}={value}")
    assert good.json["signed_in"]
    for tossed in (f"{name}={'A' * 22}.{'B' * 22}", f"{name}=", f"{name}={value}"):
        for both in (f"{tossed}; {name}={value}", f"{name}={value}; {tossed}"):
            assert bare(ann.web, "GET", "/p/maple/session/state", both).json == {"signed_in": False}


def test_attack_a_tossed_browser_id_makes_forms_worthless(ann: Visitor) -> None:
    csrf, mine = ann.page(SIGN_IN).csrf, jar(ann)
    answer = bare(
        ann.web,
        "POST",
        SIGN_IN,
        f"authsvc={'M' * 22}; {mine}",
        data={"csrf": csrf, "email": "ann@example.org"},
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "cookie",
    [
        "authsvc",
        "authsvc=",
        "authsvc=short",
        "authsvc=" + "A" * 23,
        'authsvc="' + "A" * 22 + '"',
        "authsvc=" + "\xe4" * 22,
        "authsvc-maple=x; authsvc-maple-=y; authsvc--=z",
        "authsvc-maple=" + "A" * 45,
        "authsvc-maple-AAAAAAAA=v1." + "A" * 128,
        "authsvc-maple-AAAAAAAA=v1." + "A" * 100_000,
        ";;;=;a=b;=",
        "=".join("authsvc" * 99),
    ],
)
def test_cookies_of_no_shape_of_ours_are_nothing(ann: Visitor, cookie: str) -> None:
    for path in (SIGN_IN, "/p/maple/session", "/p/maple/code/AAAAAAAA"):
        answer = bare(ann.web, "GET", path, cookie)
        assert answer.status_code in (200, 303, 410)


def test_attack_the_cookie_of_another_practice_opens_nothing_here(ann: Visitor) -> None:
    ann.sign_in()
    value = ann.cookies()["authsvc-maple"]
    ann.plant("authsvc-oak", value)
    assert ann.open("GET", "/p/oak/session/state").json == {"signed_in": False}


# --- sign-ins that wait -------------------------------------------------------------------------------------------


def test_any_number_of_tabs_may_ask_and_the_four_newest_work(ann: Visitor) -> None:
    pages = []
    for number in range(6):
        ann.web.harness.patient(f"q{number}", f"q{number}@example.org")
        pages.append(ann.ask(f"q{number}@example.org"))
        ann.web.clock.advance_s(1)
    assert [ann.page(page).status for page in pages] == [410, 410, 200, 200, 200, 200]
    assert ann.press(pages[3], code=CODE).status_code == 303


def test_whatever_a_browser_collects_fits_into_a_header(ann: Visitor) -> None:
    longest = "x" * 64 + "@" + ".".join(["y" * 60] * 3) + ".org"
    for number in range(5):
        ann.web.service.practices.add(f"practice-{number}", name="P", actor="cli:test")
        for _ in range(4):
            ann.web.clock.advance_s(1)
            answer = ann.press(f"/p/practice-{number}/sign-in", email=f"{_}{longest[1:]}")
            assert answer.status_code == 303
            assert len(jar(ann)) < PENDING_BYTES + 200 < HEADER_BYTES / 2
    assert ann.page(answer.headers["Location"]).status == 200


def test_the_sign_in_of_a_practice_named_like_a_page_is_never_thrown_out(ann: Visitor) -> None:
    """`authsvc-maple-downtown` could be a page of maple's or the sign-in at maple-downtown."""
    ann.web.service.practices.add("maple-downtown", name="Downtown", actor="cli:test")
    ann.plant("authsvc-maple-downtown", "A" * 22 + "." + "B" * 22)
    for number in range(6):
        ann.ask(f"q{number}@example.org")
    assert ann.cookies()["authsvc-maple-downtown"]


def test_a_waiting_sign_in_ends_by_our_clock_whatever_the_browser_keeps(ann: Visitor) -> None:
    where = ann.ask()
    kept = jar(ann)
    ann.web.clock.advance_s(1800)
    assert bare(ann.web, "GET", where, kept).status_code == 410


def test_what_waits_is_sealed(ann: Visitor) -> None:
    where = ann.ask()
    value = ann.cookies()[f"authsvc-maple-{where.rsplit('/', 1)[1]}"]
    assert value.startswith("v1.")
    assert "ann" not in value
    ann.plant(f"authsvc-maple-{where.rsplit('/', 1)[1]}", value[:-1] + ("A" if value[-1] != "A" else "B"))
    assert ann.page(where).status == 410


# --- forms --------------------------------------------------------------------------------------------------------


def pages(ann: Visitor) -> dict[str, tuple[str, dict[str, str]]]:
    """Every page with a form: its path, and what a press would send beside the token."""
    party(ann.web)
    code = ann.ask()
    ann.web.harness.patient("p2", "two@example.org")
    ann.web.harness.patient("p3", "two@example.org")
    who = ann.press(ann.ask("two@example.org"), code=CODE).headers["Location"]
    return {
        "sign-in": (SIGN_IN, {"email": "ann@example.org"}),
        "code": (code, {"code": CODE}),
        "who": (who, {"patient": "p2"}),
        "link": (f"/p/maple/l/{ann.web.link()}", {}),
        "dead": (f"/p/maple/l/{ann.web.link(expires_in=60)}", {"act": "resend"}),
    }


@pytest.mark.parametrize("name", ["sign-in", "code", "who", "link", "dead"])
@pytest.mark.parametrize("forged", ["", "A" * 43, "ä", "other-browser", "other-practice", "missing"])
def test_attack_a_form_that_this_browser_was_never_shown_does_nothing(ann: Visitor, name: str, forged: str) -> None:
    path, fields = pages(ann)[name]
    tokens = {
        "other-browser": Visitor(ann.web).page(SIGN_IN).csrf,
        "other-practice": ann.page("/p/oak/sign-in").csrf,
    }
    mails, cookies, audit = len(ann.web.harness.outbox()), ann.cookies(), len(ann.web.harness.events())
    sent = fields if forged == "missing" else {**fields, "csrf": tokens.get(forged, forged)}
    answer = ann.post(path, sent)
    assert answer.status_code == 403
    assert "Please try once more" in ShownPage(answer).text
    assert (len(ann.web.harness.outbox()), ann.cookies(), len(ann.web.harness.events())) == (mails, cookies, audit)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin, cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:8080.evil.example"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": ""},
    ],
)
def test_attack_a_form_sent_from_another_site_does_nothing(ann: Visitor, headers: dict[str, str]) -> None:
    every = pages(ann)
    for path, fields in every.values():
        csrf = ann.page(path).csrf
        assert ann.post(path, {**fields, "csrf": csrf}, **headers).status_code == 403
    assert not ann.signed_in
    assert f"authsvc_forms_refused_total {len(every)}.0" in ann.web.service.metrics.render()[0].decode()


def test_our_own_origin_and_browsers_that_say_nothing_are_let_through_by_the_token(ann: Visitor) -> None:
    fields = {"csrf": ann.page(SIGN_IN).csrf, "email": "ann@example.org"}
    assert ann.post(SIGN_IN, fields, Origin="http://127.0.0.1:8080").status_code == 303
    assert ann.open("POST", SIGN_IN, data=fields).status_code == 303


def test_attack_a_browser_without_an_id_can_send_nothing(ann: Visitor) -> None:
    csrf = ann.page(SIGN_IN).csrf
    assert bare(ann.web, "POST", SIGN_IN, "", data={"csrf": csrf, "email": "ann@example.org"}).status_code == 403


def test_what_is_no_form_of_ours_is_nothing(ann: Visitor) -> None:
    csrf = ann.page(SIGN_IN).csrf
    twice = f"csrf={csrf}&csrf={csrf}&email=ann%40example.org"
    kind = "application/x-www-form-urlencoded"
    assert ann.open("POST", SIGN_IN, data=twice, content_type=kind).status_code == 403
    assert ann.open("POST", SIGN_IN, json={"csrf": csrf, "email": "ann@example.org"}).status_code == 403
    assert ann.open("POST", SIGN_IN, data=b"csrf=%ff", content_type=kind).status_code == 403
    large = f"csrf={csrf}&email=" + "a" * 20_000
    assert ann.open("POST", SIGN_IN, data=large, content_type=kind).status_code == 413


# --- addresses ----------------------------------------------------------------------------------------------------


def test_attack_a_forged_host_gets_into_no_page_redirect_or_cookie(ann: Visitor) -> None:
    forged = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "Forwarded": "host=evil.example",
        "X-Original-URL": "//evil.example",
    }
    every = pages(ann)
    every["session"] = ("/p/maple/session", {"act": "extend"})
    every["sign-out"] = ("/p/maple/sign-out", {})
    signed_in = Visitor(ann.web)
    signed_in.sign_in()
    for name, (path, fields) in every.items():
        browser = signed_in if name in ("session", "sign-out") else ann
        csrf, cookie = browser.page(path).csrf, jar(browser)
        for query in ("", f"?{Party(ann.web).query()}", "?ui_locales=es"):
            shown = bare(ann.web, "GET", path + query, cookie, headers=forged)
            assert "evil" not in shown.get_data(as_text=True) + str(shown.headers)
        sent = bare(ann.web, "POST", path, cookie, headers=forged, data={**fields, "csrf": csrf})
        assert sent.status_code in (303, 410)
        assert "evil" not in sent.get_data(as_text=True) + str(sent.headers)
        assert sent.headers.get("Location", "/").startswith(("/p/maple/", "/", OPEN))
    for path in ("/p/maple/sent", "/p/maple/signed-out", "/p/elm/sign-in", "/p/maple/session/state"):
        shown = bare(ann.web, "GET", path, "", headers=forged)
        assert "evil" not in shown.get_data(as_text=True) + str(shown.headers)


def test_below_a_path_every_address_is_below_it_too(build: Callable[..., Web]) -> None:
    web = build(public_url="https://www.example.org/auth")
    web.harness.patient()
    ann = Visitor(web)
    https = "https://www.example.org"
    page = ShownPage(ann.open("GET", "/auth/p/maple/sign-in", base_url=https))
    assert all(address.startswith(("/auth/", "?")) for address in page.addresses)
    fields = {"csrf": page.csrf, "email": "ann@example.org"}
    answer = ann.open("POST", "/auth/p/maple/sign-in", data=fields, base_url=https)
    assert answer.headers["Location"].startswith("/auth/p/maple/code/")
    assert ann.open("GET", answer.headers["Location"], base_url=https).status_code == 200


def test_browsers_are_made_without_asking_the_store(web: Web) -> None:
    browsers = BrowserCookies(web.service)
    web.stop_the_store()
    with APP.test_request_context():
        browser = browsers.browser("maple")
        assert (len(browser.id), browser.session) == (22, "")
    with APP.test_request_context():
        assert browser.id != browsers.browser("maple").id
