"""The pages behind emailed links: looking changes nothing, a person's press goes on, and the token never travels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from tests.web.conftest import Web
from tests.web.relying_party import CALLBACK, OPEN, Party, party, sent_to
from tests.web.visitor import CODE, SIGN_IN, ShownPage, Visitor, everything

ISSUER = "http://127.0.0.1:8080"
PORTAL = "https://portal.maple.example/"


@pytest.fixture
def maple(web: Web) -> Web:
    web.service.practices.set("maple", phone="+1 555 0100", portal_url=PORTAL, actor="cli:test")
    return web


@pytest.fixture
def app(maple: Web) -> Party:
    return party(maple)


@pytest.fixture
def ann(maple: Web) -> Visitor:
    return Visitor(maple)


def at(token: str) -> str:
    return f"/p/maple/l/{token}"


def uses(web: Web) -> list[int]:
    return [link.uses for link in web.harness.links.list(web.harness.act(), "p1")]


# --- looking ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workflow,resource", [("pay-invoice", "invoice:inv_1"), ("portal", None)])
def test_mail_scanners_that_look_change_nothing_however_many_they_are(
    maple: Web, app: Party, workflow: str, resource: str | None
) -> None:
    token = maple.link(workflow=workflow, resource=resource, max_uses=1)
    Visitor(maple).page(SIGN_IN)  # the very first form makes the key of all forms
    mails, before = len(maple.harness.outbox()), everything(maple)

    def scan(method: str) -> TestResponse:
        return Visitor(maple).open(method, at(token))

    with ThreadPoolExecutor(8) as scanners:
        answers = list(scanners.map(scan, ["GET", "HEAD"] * 16))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.get_data() for answer in answers[1::2]} == {b""}
    assert everything(maple) == before
    assert (uses(maple), len(maple.harness.outbox())) == ([0], mails)
    assert Visitor(maple).press(at(token)).status_code == 303
    assert uses(maple) == [1]


def test_scanners_are_counted_and_audited(maple: Web) -> None:
    Visitor(maple).page(at(maple.link()))
    assert "link.opened" in maple.harness.events()
    figures = maple.service.metrics.render()[0].decode()
    assert 'authsvc_links_opened_total{state="live"} 1.0' in figures


def test_the_page_shows_who_sends_what_it_is_for_and_one_button(ann: Visitor) -> None:
    page = ann.page(at(ann.web.link()))
    assert "Maple Clinic" in page.text
    assert "pay one invoice" in page.text
    assert "+1 555 0100" in page.text
    assert (page.acts, page.scripts, page.inline) == ([""], [], 0)


def test_an_access_link_shows_the_masked_address_that_the_code_goes_to(ann: Visitor) -> None:
    page = ann.page(at(ann.web.link(workflow="portal", resource=None)))
    assert "a•••@e•••.org" in page.text
    assert "ann@" not in page.html


def test_a_page_whose_address_holds_a_token_leads_and_loads_nowhere_else(ann: Visitor, app: Party) -> None:
    for link in ({}, {"workflow": "portal", "resource": None}, {"expires_in": 60}):
        token = ann.web.link(**link)
        ann.web.clock.advance_s(61 if link.get("expires_in") else 0)
        page = ann.page(at(token))
        assert all(address.startswith(("/static/", "?", "tel:", "mailto:")) for address in page.addresses)
        assert token not in page.html
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert "form-action 'self'" in page.headers["Content-Security-Policy"]


def test_what_mail_programs_add_to_the_address_breaks_nothing(ann: Visitor) -> None:
    token = ann.web.link()
    for query in ("utm_source=mail", "client_id=x&client_id=y", "%ff=1", "a=1&" * 99, "ui_locales=../evil"):
        assert ann.page(f"{at(token)}?{query}").status == 200


def test_the_page_speaks_the_patients_language_unless_another_is_asked_for(ann: Visitor) -> None:
    ann.web.harness.patients.put(
        ann.web.harness.act(), "p1", email="ann@example.org", label="Ann", locale="es", portal_access=True
    )
    token = ann.web.link(workflow="portal", resource=None)
    assert ann.page(at(token)).language == "es"
    assert ann.page(f"{at(token)}?ui_locales=en").language == "en"
    where = ann.press(at(token)).headers["Location"]
    assert ann.page(where).language == "es"
    assert "ui_locales=en" in ann.press(f"{at(token)}?ui_locales=en").headers["Location"]


# --- an instant link ----------------------------------------------------------------------------------------------


def test_a_pressed_instant_link_reaches_its_resource_through_the_client_and_never_as_a_token(
    ann: Visitor, app: Party
) -> None:
    token = ann.web.link()
    page = ann.page(at(token))
    assert f"form-action 'self' {PORTAL[:-1]};" in page.headers["Content-Security-Policy"]
    answer = ann.press(at(token), page=page)
    where, said = sent_to(answer)
    assert where == OPEN
    assert said == {"iss": ISSUER, "login_hint": said["login_hint"], "target_link_uri": PORTAL}
    assert token not in str(answer.headers)
    where, granted = sent_to(ann.open("GET", f"/oauth2/authorize?{app.query(login_hint=said['login_hint'])}"))
    assert where == CALLBACK
    tokens = app.redeem(granted["code"]).json
    assert tokens["authorization_details"][0]["identifier"] == "inv_1"
    assert "refresh_token" not in tokens
    assert ann.cookies().keys() == {"authsvc"}  # no sign-in comes of a link


def test_a_pressed_link_in_somebody_elses_browser_is_worth_nothing(ann: Visitor, app: Party) -> None:
    _, said = sent_to(ann.press(at(ann.web.link())))
    thief = Visitor(ann.web)
    answer = thief.open("GET", f"/oauth2/authorize?{app.query(login_hint=said['login_hint'])}")
    assert sent_to(answer)[1]["error"] == "login_required"


def test_the_clients_own_query_stays_when_the_hint_is_added(maple: Web) -> None:
    party(maple, initiate_login_uri=OPEN + "?tenant=maple")
    answer = Visitor(maple).press(at(maple.link()))
    asked = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert asked.keys() == {"tenant", "iss", "login_hint", "target_link_uri"}


def test_a_client_is_never_led_away_from_its_own_site(maple: Web) -> None:
    maple.service.practices.set("maple", portal_url="https://elsewhere.example/", actor="cli:test")
    party(maple)
    _, said = sent_to(Visitor(maple).press(at(maple.link())))
    assert said["target_link_uri"] == PORTAL


def test_the_client_that_issued_a_link_is_the_one_that_finishes_it_else_the_first_of_the_practice(maple: Web) -> None:
    for name in ("zebra", "acorn"):
        uris = {"redirect_uris": (f"https://{name}.example/cb",), "initiate_login_uri": f"https://{name}.example/open"}
        maple.harness.new_client(name, **uris)
    client = maple.service.clients.known("zebra")
    token = maple.harness.link(maple.harness.act(client))
    assert sent_to(Visitor(maple).press(at(token)))[0] == "https://zebra.example/open"
    assert sent_to(Visitor(maple).press(at(maple.link())))[0] == "https://acorn.example/open"


def test_an_instant_link_that_cannot_be_finished_here_is_not_spent(ann: Visitor) -> None:
    party(ann.web, "oakapp", practices=("oak",))  # another practice's client is nobody here
    token = ann.web.link(max_uses=1)
    assert ann.press(at(token)).headers["Location"] == "/p/maple/contact"
    assert "+1 555 0100" in ann.page("/p/maple/contact").text
    assert uses(ann.web) == [0]
    assert ann.web.call("POST", "links/exchange", json={"token": token}).status_code == 200


# --- an access link -----------------------------------------------------------------------------------------------


def test_a_pressed_access_link_leads_to_its_code_and_the_code_to_the_portal(ann: Visitor) -> None:
    token = ann.web.link(workflow="portal", resource=None)
    ann.web.entropy.next_below(int(CODE))
    answer = ann.press(at(token))
    where, _ = sent_to(answer)
    assert where.startswith("/p/maple/code/")
    assert token not in str(answer.headers)
    assert ann.web.harness.mailed()["to"] == "ann@example.org"
    page = ann.page(where)
    assert "a•••@e•••.org" in page.text
    assert "ann@" not in page.html
    assert ann.press(where, code=CODE).headers["Location"] == PORTAL
    assert ann.signed_in


def test_a_code_from_a_link_starts_again_by_the_link(ann: Visitor) -> None:
    token = ann.web.link(workflow="portal", resource=None, max_uses=2)
    where = ann.press(at(token)).headers["Location"]
    for _ in range(5):
        page = ShownPage(ann.press(where, code="271828"))
    again = ann.press(where, "again", page).headers["Location"]
    assert uses(ann.web) == [2]
    for _ in range(5):
        page = ShownPage(ann.press(again, code="271828"))
    dead = ShownPage(ann.press(again, "again", page))  # by now the link is used up
    assert (dead.status, dead.acts) == (410, [])
    assert any("/sign-in" in address for address in dead.addresses)


# --- dead links ---------------------------------------------------------------------------------------------------


def test_a_dead_link_says_what_happened_and_sends_a_new_one_on_the_button(ann: Visitor) -> None:
    token = ann.web.link(expires_in=60)
    ann.web.clock.advance_s(61)
    page = ann.page(at(token))
    assert (page.status, page.acts) == (410, ["resend"])
    assert "has expired" in page.text
    mails = len(ann.web.harness.outbox())
    assert ann.press(at(token), "resend", page).headers["Location"] == "/p/maple/sent"
    assert len(ann.web.harness.outbox()) == mails + 1
    assert "junk" in ann.page("/p/maple/sent").text


def test_a_link_that_died_between_look_and_press_says_so(ann: Visitor, app: Party) -> None:
    token = ann.web.link(max_uses=1)
    first, second = ann.page(at(token)), ann.page(at(token))
    assert ann.press(at(token), page=first).status_code == 303
    late = ShownPage(ann.press(at(token), page=second))
    assert (late.status, late.acts) == (410, ["resend"])
    assert "was used before" in late.text


def test_a_revoked_link_offers_no_new_one(ann: Visitor) -> None:
    token = ann.web.link()
    ann.web.call("DELETE", "links?patient=p1")
    page = ann.page(at(token))
    assert (page.status, page.acts) == (410, [])


@pytest.mark.parametrize(
    "path",
    ["/p/maple/l/al_nonsense", "/p/elm/l/al_x", "/p/MAPLE/l/al_x", "/p/maple/l/a%20b", "/p/maple/l/" + "a" * 300],
)
def test_an_unknown_link_is_a_friendly_page(ann: Visitor, path: str) -> None:
    for method in ("GET", "HEAD"):
        answer = ann.open(method, path)
        assert answer.status_code == 404
        assert answer.content_type == "text/html; charset=utf-8"


def test_a_link_of_one_practice_is_unknown_at_another(ann: Visitor) -> None:
    assert ann.page(f"/p/oak/l/{ann.web.link()}").status == 404


def test_too_many_presses_get_a_page_that_says_when(ann: Visitor) -> None:
    token = ann.web.link(expires_in=60)
    ann.web.clock.advance_s(61)
    page = ann.page(at(token))
    answers = [ann.press(at(token), "resend", page) for _ in range(130)]
    assert {answer.status_code for answer in answers} == {303, 429}
    assert answers[-1].headers["Retry-After"]
    assert "Please wait" in ShownPage(answers[-1]).text


def test_with_the_store_away_the_page_says_that_nothing_is_lost(ann: Visitor) -> None:
    token = ann.web.link()
    ann.page(at(token))
    ann.web.stop_the_store()
    page = ann.page(at(token))
    assert page.status == 503
    assert page.headers["Retry-After"]
    assert "nothing is lost" in page.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(ann: Visitor, method: str) -> None:
    answer = ann.open(method, at(ann.web.link()))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")


def test_hostile_names_are_inert(ann: Visitor) -> None:
    ann.web.service.practices.set("maple", name='"><script>alert(1)</script>{{ 7*7 }}', phone="<b>", actor="cli:test")
    page = ann.page(at(ann.web.link()))
    assert (page.scripts, page.inline) == ([], 0)
    assert "<b>" not in page.html
    assert "{{ 7*7 }}" in page.text


# --- double clicks ------------------------------------------------------------------------------------------------


def test_a_double_click_on_a_link_for_one_use_goes_where_the_first_half_went(web: Web) -> None:
    party(web)
    ann = Visitor(web)
    where = f"/p/maple/l/{web.link(max_uses=1)}"
    page = ann.page(where)
    first, second = (ann.press(where, page=page) for _ in range(2))
    assert sent_to(first)[1]["login_hint"].startswith("alh_")
    assert second.headers["Location"] == first.headers["Location"]
    assert ann.page(where).status == 410


def test_a_double_click_on_an_access_link_sends_one_code_and_both_pages_take_it(web: Web) -> None:
    ann = Visitor(web)
    where = f"/p/maple/l/{web.link(workflow='portal', resource=None)}"
    page = ann.page(where)
    web.entropy.next_below(int(CODE))
    pages = [ann.press(where, page=page).headers["Location"] for _ in range(2)]
    assert len(web.harness.outbox()) == 1
    assert all("a•••@e•••.org" in ann.page(page).text for page in pages)
    assert ann.press(pages[0], code=CODE).status_code == 303


def test_a_client_that_was_removed_between_the_halves_is_not_gone_to(web: Web) -> None:
    party(web)
    ann = Visitor(web)
    where = f"/p/maple/l/{web.link(max_uses=1)}"
    page = ann.page(where)
    ann.press(where, page=page)
    web.service.clients.remove("app", actor="cli:test")
    assert sent_to(ann.press(where, page=page))[0] == "/p/maple/contact"
