"""The pages behind emailed links: looking changes nothing, a person's press goes on, and the token never travels."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from werkzeug.test import TestResponse

from authsvc.web import texts
from authsvc.web.pages import AFTER
from tests.web.conftest import Web


class Seen(HTMLParser):
    """What a page shows and where it leads."""

    def __init__(self, answer: TestResponse) -> None:
        super().__init__()
        self.text = answer.get_data(as_text=True)
        self.addresses: list[str] = []
        self.fields: dict[str, str] = {}
        self.buttons = 0
        self.scripts = 0
        self.language = ""
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.addresses += [said[name] for name in ("href", "src", "action") if name in said]
        self.buttons += tag == "button"
        self.scripts += tag == "script" or any(name.startswith("on") or name == "style" for name in said)
        if tag == "html":
            self.language = said.get("lang", "")
        if tag == "input":
            self.fields[said["name"]] = said["value"]


@pytest.fixture
def page(web: Web) -> Web:
    web.service.practices.set(
        "maple", phone="+1 555 0100", portal_url="https://portal.maple.example/", actor="cli:test"
    )
    return web


def look(web: Web, token: str, **headers: str) -> Seen:
    return Seen(web.bare("GET", f"/p/maple/l/{token}", headers=headers))


def press(web: Web, token: str, seen: Seen, **headers: str) -> TestResponse:
    return web.bare(
        "POST", f"/p/maple/l/{token}", data=seen.fields, headers={"Sec-Fetch-Site": "same-origin", **headers}
    )


def snapshot(web: Web) -> dict[str, Any]:
    return {key: (web.redis.dump(key)) for key in web.redis.keys("*")}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("workflow,resource", [("pay-invoice", "invoice:inv_1"), ("portal", None)])
def test_a_mail_scanner_that_looks_changes_nothing_at_all(
    page: Web, method: str, workflow: str, resource: str | None
) -> None:
    token = page.link(workflow=workflow, resource=resource, max_uses=1)
    before = snapshot(page)
    for _ in range(3):
        assert page.bare(method, f"/p/maple/l/{token}").status_code == 200
    assert snapshot(page) == before
    assert page.call("POST", "links/exchange", json={"token": token}).status_code < 300


def test_the_page_shows_who_sends_what_it_is_for_and_one_button(page: Web) -> None:
    seen = look(page, page.link())
    assert "Maple Clinic" in seen.text
    assert "pay one invoice" in seen.text
    assert "+1 555 0100" in seen.text
    assert (seen.buttons, seen.scripts) == (1, 0)


def test_a_page_whose_address_holds_a_token_leads_and_loads_nowhere_else(page: Web) -> None:
    token = page.link()
    answer = page.bare("GET", f"/p/maple/l/{token}")
    seen = Seen(answer)
    assert all(address.startswith(("/static/", "data:,")) for address in seen.addresses)
    assert token not in seen.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]


def test_pressing_the_button_leads_by_303_to_an_address_without_the_token(page: Web) -> None:
    for workflow, resource, where in (
        ("pay-invoice", "invoice:inv_1", "/p/maple/contact"),
        ("portal", None, "/p/maple/portal"),
    ):
        token = page.link(workflow=workflow, resource=resource)
        answer = press(page, token, look(page, token))
        assert (answer.status_code, answer.headers["Location"]) == (303, where)
        assert token not in str(answer.headers)
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert page.bare("GET", where).status_code == 200


def test_a_forged_host_gets_into_no_address(page: Web) -> None:
    token = page.link()
    seen = look(page, token)
    cookie = f"authsvc-link={seen.fields['nonce']}"
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Cookie": cookie}
    plain = page.public.application.test_client(use_cookies=False)
    answer = plain.post(f"/p/maple/l/{token}", data=seen.fields, headers=forged)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/p/maple/contact")
    assert "evil" not in page.bare("GET", f"/p/maple/l/{token}", headers=forged).get_data(as_text=True)


def test_an_instant_link_that_cannot_be_finished_here_is_not_spent(page: Web) -> None:
    token = page.link(max_uses=1)
    press(page, token, look(page, token))
    assert "call" in page.bare("GET", "/p/maple/contact").get_data(as_text=True).lower()
    assert page.call("POST", "links/exchange", json={"token": token}).status_code == 200


def test_an_access_link_leads_to_the_portal_or_to_the_practice_where_there_is_none(page: Web) -> None:
    assert "https://portal.maple.example/" in Seen(page.bare("GET", "/p/maple/portal")).addresses
    page.service.practices.set("maple", portal_url="", actor="cli:test")
    token = page.link(workflow="portal", resource=None)
    assert press(page, token, look(page, token)).headers["Location"] == "/p/maple/contact"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda seen, web: seen.fields.pop("nonce"),
        lambda seen, web: seen.fields.update(nonce=""),
        lambda seen, web: seen.fields.update(nonce="A" * 22),
        lambda seen, web: seen.fields.update(nonce="ä"),
        lambda seen, web: web.public.delete_cookie("authsvc-link"),
        lambda seen, web: web.public.set_cookie("authsvc-link", "B" * 22),
        lambda seen, web: web.public.set_cookie("authsvc-link", ""),
    ],
)
def test_a_press_without_the_nonce_of_the_page_does_nothing(page: Web, spoil: Any) -> None:
    token = page.link()
    page.clock.advance_s(31 * 86_400)  # dead: the press would send a mail
    seen = look(page, token)
    queued = len(page.house.outbox())
    spoil(seen, page)
    assert press(page, token, seen).status_code == 403
    assert len(page.house.outbox()) == queued


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_press_from_another_site_does_nothing(page: Web, site: str) -> None:
    token = page.link()
    assert press(page, token, look(page, token), **{"Sec-Fetch-Site": site}).status_code == 403


def test_a_browser_that_says_nothing_of_the_site_is_let_through_by_the_nonce(page: Web) -> None:
    token = page.link()
    seen = look(page, token)
    assert page.bare("POST", f"/p/maple/l/{token}", data=seen.fields).status_code == 303


def test_two_tabs_of_one_mail_both_work(page: Web) -> None:
    token = page.link()
    first, second = look(page, token), look(page, token)
    assert press(page, token, first).status_code == 303
    assert press(page, token, second).status_code == 303


def test_the_cookie_is_bound_to_the_host_on_https_and_readable_by_nobody(build: Any) -> None:
    web = build(public_url="https://auth.example.org")
    web.house.patient()
    cookie = web.bare("GET", f"/p/maple/l/{web.link()}").headers["Set-Cookie"]
    assert cookie.startswith("__Host-authsvc-link=")
    assert {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_a_dead_link_says_what_happened_and_sends_a_new_one_on_the_button(page: Web) -> None:
    page.service.practices.set("maple", locale="en", actor="cli:test")
    token = page.link(expires_in=60)
    page.clock.advance_s(61)
    answer = page.bare("GET", f"/p/maple/l/{token}")
    seen = Seen(answer)
    assert (answer.status_code, seen.buttons) == (410, 1)
    assert "has expired" in seen.text
    queued = len(page.house.outbox())
    sent = press(page, token, seen)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/p/maple/sent")
    assert len(page.house.outbox()) == queued + 1
    assert "junk" in page.bare("GET", "/p/maple/sent").get_data(as_text=True)


def test_a_revoked_link_offers_no_new_one(page: Web) -> None:
    token = page.link()
    page.call("DELETE", "links?patient=p1")
    answer = page.bare("GET", f"/p/maple/l/{token}")
    assert (answer.status_code, Seen(answer).buttons) == (410, 0)


@pytest.mark.parametrize(
    "path",
    ["/p/maple/l/al_nonsense", "/p/elm/l/al_x", "/p/MAPLE/l/al_x", "/p/maple/l/a%20b", "/p/maple/l/" + "a" * 300],
)
def test_an_unknown_link_is_a_friendly_page(page: Web, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        answer = page.bare(method, path, data={})
        assert answer.status_code == (403 if method == "POST" and "/maple/l/al_" in path else 404)
        assert answer.content_type == "text/html; charset=utf-8"


def test_a_link_of_one_practice_is_unknown_at_another(page: Web) -> None:
    assert page.bare("GET", f"/p/oak/l/{page.link()}").status_code == 404


def test_too_many_presses_get_a_page_that_says_when(page: Web) -> None:
    token = page.link(expires_in=60)
    page.clock.advance_s(61)
    seen = look(page, token)
    answers = [press(page, token, seen) for _ in range(130)]
    assert {answer.status_code for answer in answers} == {303, 429}
    assert answers[-1].headers["Retry-After"]
    assert "wait a few minutes" in answers[-1].get_data(as_text=True)


def test_with_the_store_away_the_page_says_that_nothing_is_lost(page: Web) -> None:
    token = page.link()
    page.bare("GET", f"/p/maple/l/{token}")
    page.stop_the_store()
    answer = page.bare("GET", f"/p/maple/l/{token}")
    assert (answer.status_code, answer.content_type) == (503, "text/html; charset=utf-8")
    assert answer.headers["Retry-After"]
    assert "nothing is lost" in answer.get_data(as_text=True)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(page: Web, method: str) -> None:
    answer = page.bare(method, f"/p/maple/l/{page.link()}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert page.bare(method, "/p/maple/sent").status_code == 405


def test_hostile_names_are_inert(page: Web) -> None:
    page.service.practices.set("maple", name='"><script>alert(1)</script>{practice}', phone="<b>", actor="cli:test")
    seen = look(page, page.link())
    assert seen.scripts == 0
    assert "<script" not in seen.text
    assert "<b>" not in seen.text


# --- languages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept,practice,chosen",
    [
        ("", "", "en"),
        ("", "es", "es"),
        ("", "es-MX", "es"),
        ("", "fr", "en"),
        ("es", "en", "es"),
        ("es-MX,es;q=0.9,en;q=0.8", "en", "es"),
        ("en;q=0.5, es;q=0.9", "en", "es"),
        ("fr, de;q=0.9", "es", "es"),
        ("es;q=0", "en", "en"),
        ("*", "es", "es"),
        ("es;q=nonsense", "en", "en"),
        ("<script>", "en", "en"),
    ],
)
def test_the_reader_chooses_the_language_then_the_practice(accept: str, practice: str, chosen: str) -> None:
    assert texts.language(accept, practice) == chosen


def test_a_page_is_in_the_language_it_says(page: Web) -> None:
    seen = look(page, page.link(), **{"Accept-Language": "es"})
    assert seen.language == "es"
    assert "Su factura de Maple Clinic" in seen.text
    answer = page.bare("GET", "/p/maple/sent", headers={"Accept-Language": "es"})
    assert answer.headers["Content-Language"] == "es"


def test_both_languages_say_the_same_things() -> None:
    shapes = [
        {outcome: sorted(said) if isinstance(said, dict) else str for outcome, said in texts.TEXTS[lang].items()}
        for lang in texts.LANGUAGES
    ]
    assert shapes[0] == shapes[1]
    assert set(AFTER) < set(shapes[0])


def test_a_workflow_of_the_sites_own_is_told_in_general_words() -> None:
    assert texts.said("en", "lab-results", "Maple Clinic", "")["title"] == "A message from Maple Clinic"
    assert texts.said("en", "unknown", "", "")["help"] == ""


# --- the stylesheet -----------------------------------------------------------------------------------------------


def test_the_stylesheet_is_kept_for_ever_under_a_name_that_changes_with_it(shared: Web) -> None:
    page = shared.bare("GET", "/problems/").get_data(as_text=True)
    found = re.search(r'href="(/static/page-[0-9a-f]{16}\.css)"', page)
    assert found is not None
    answer = shared.bare("GET", found[1])
    assert answer.content_type == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["Cache-Control"]
    assert shared.bare("GET", "/static/page-0000000000000000.css").status_code == 404
    assert shared.bare("GET", "/static/../templates/page.html").status_code == 404
