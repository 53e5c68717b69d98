"""The way in: an address, a code, perhaps a choice; and every way in which it goes wrong for people and attackers."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from werkzeug.test import TestResponse

from authsvc.errors import Unavailable
from authsvc.flows.authorization_codes import AuthorizationCodes
from tests.web.conftest import Web
from tests.web.relying_party import CALLBACK, Party, party, press, sent_to
from tests.web.visitor import CODE, SIGN_IN, ShownPage, Visitor, everything

PORTAL = "https://portal.maple.example/"


@pytest.fixture
def ann(web: Web) -> Visitor:
    return Visitor(web)


@pytest.fixture
def app(web: Web) -> Party:
    return party(web)


def wrong_code(visitor: Visitor, where: str, code: str = "271828") -> TestResponse:
    return visitor.press(where, code=code)


# --- after a mistake -------------------------------------------------------------------------------------------------


def test_whatever_was_wrong_is_said_after_a_redirect_once_and_to_this_browser_alone(ann: Visitor) -> None:
    where = ann.ask()
    csrf = ann.page(where).csrf
    posted = ann.open("POST", where, data={"csrf": csrf, "code": "271828"})
    assert (posted.status_code, posted.headers["Location"]) == (303, where.removesuffix("?"))
    thief = Visitor(ann.web)
    for name, value in ann.cookies().items():
        if name != "authsvc":
            thief.plant(name, value)
    assert thief.page(where).status == 410
    assert ann.open("HEAD", where).status_code == 200  # a look ahead leaves it to be said
    said = ann.page(where)
    assert (said.status, "4 tries left" in said.text) == (400, True)
    again = ann.page(where)
    assert (again.status, "tries left" in again.text) == (200, False)


def test_a_flash_that_nobody_came_for_is_forgotten(ann: Visitor) -> None:
    where = ann.ask()
    ann.open("POST", where, data={"csrf": ann.page(where).csrf, "code": "271828"})
    ann.web.clock.advance_s(60)
    assert ann.page(where).status == 200


def test_attack_a_flash_of_one_page_shows_nothing_on_another(ann: Visitor) -> None:
    where = ann.ask()
    ann.open("POST", where, data={"csrf": ann.page(where).csrf, "code": "271828"})
    assert "tries left" not in ann.page(SIGN_IN).text


def test_what_is_too_long_to_be_kept_is_said_at_once(ann: Visitor) -> None:
    for number in range(60):
        label = f"A child with a long name, number {number}"
        ann.web.harness.patient(f"child{number:02}", "ann@example.org", label=label)
    where = ann.press(ann.ask(), code=CODE).headers["Location"]
    posted = ann.open("POST", where, data={"csrf": ann.page(where).csrf, "patient": ""})
    assert (posted.status_code, "number 59" in posted.get_data(as_text=True)) == (400, True)


# --- the way in ---------------------------------------------------------------------------------------------------


def test_an_address_and_a_code_sign_in(ann: Visitor) -> None:
    where = ann.ask()
    assert "ann@" in ann.page(where).text
    answer = ann.press(where, code=CODE)
    assert sent_to(answer) == ("/p/maple/session", {})
    assert ann.signed_in
    assert "Ann" in ann.page("/p/maple/session").text


def test_without_a_request_it_leads_on_to_the_practices_portal(ann: Visitor) -> None:
    ann.web.service.practices.set("maple", portal_url=PORTAL, actor="cli:test")
    assert ann.sign_in().headers["Location"] == PORTAL
    policy = ann.page(SIGN_IN.replace("maple", "oak")).headers["Content-Security-Policy"]
    assert "form-action 'self';" in policy
    ann.press("/p/maple/sign-out")
    assert f"form-action 'self' {PORTAL[:-1]};" in ann.page(SIGN_IN).headers["Content-Security-Policy"]


def test_a_request_leads_back_to_its_client_with_a_code(ann: Visitor, app: Party) -> None:
    where, _ = sent_to(ann.open("GET", f"/oauth2/authorize?{app.query()}"))
    assert where == SIGN_IN
    where, said = sent_to(ann.sign_in(query=app.query()))
    assert where == CALLBACK
    assert said.keys() == {"code", "state", "iss"}
    assert app.redeem(said["code"]).status_code == 200


def test_the_request_is_carried_along_in_every_address_of_the_way(ann: Visitor, app: Party) -> None:
    ann.web.harness.patient("p2", "ann@example.org", label="Ben")
    code_page = ann.ask(query=app.query())
    who_page = ann.press(code_page, code=CODE).headers["Location"]
    for where in (code_page, who_page):
        asked = parse_qs(urlsplit(where).query)
        assert (asked["client_id"], asked["state"]) == (["app"], ["st4te"])
        policy = ann.page(where).headers["Content-Security-Policy"]
        assert f"form-action 'self' {CALLBACK.rpartition('/')[0]};" in policy
    assert sent_to(ann.press(who_page, patient="p2"))[0] == CALLBACK


def test_who_is_signed_in_already_is_shown_so(ann: Visitor) -> None:
    ann.sign_in()
    assert sent_to(ann.open("GET", SIGN_IN))[0] == "/p/maple/session"


@pytest.mark.parametrize(
    "typed", ["314159", " 314159 ", "314 159", "314-159", "3 1 4 1 5 9", "314\u2011159", "３１４１５９"]
)
def test_a_code_is_read_as_people_type_and_paste_it(ann: Visitor, typed: str) -> None:
    assert ann.press(ann.ask(), code=typed).status_code == 303
    assert ann.signed_in


def test_leading_zeros_are_part_of_the_code(ann: Visitor) -> None:
    where = ann.ask(code="42")
    assert wrong_code(ann, where, "42").status_code == 400
    assert ann.press(where, code="000 042").status_code == 303


def test_what_cannot_be_a_code_costs_no_attempt(ann: Visitor) -> None:
    where = ann.ask()
    for typed in ("", "31415", "3141592", "abcdef", "²²²²²²", "9" * 100):
        page = ShownPage(ann.press(where, code=typed))
        assert page.status == 400
        assert "A code has six digits" in page.text
    assert "4 tries left" in ShownPage(wrong_code(ann, where)).text


def test_a_wrong_code_says_how_often_it_may_still_be_tried_and_then_starts_again_with_one_button(ann: Visitor) -> None:
    where = ann.ask()
    for left in ("4 tries", "3 tries", "2 tries", "1 try"):
        page = ShownPage(wrong_code(ann, where))
        assert page.status == 400
        assert f"You have {left} left" in page.text
        assert page.form_with().fields.keys() == {"csrf", "code"}
    page = ShownPage(wrong_code(ann, where))
    assert (page.status, page.acts) == (410, ["again"])
    assert ShownPage(ann.press(where, code=CODE)).status == 410  # the right one comes too late
    ann.web.entropy.next_below(161803)
    again = ann.press(where, "again", page).headers["Location"]
    assert again != where
    assert "ann@" in ann.page(again).text
    assert ann.press(again, code="161803").status_code == 303
    assert not [name for name in ann.cookies() if name.startswith("authsvc-maple-")]


def test_a_sign_in_that_took_too_long_starts_again_from_the_first_page(ann: Visitor, app: Party) -> None:
    where = ann.ask(query=app.query())
    ann.web.clock.advance_s(1800)
    page = ann.page(where)
    assert (page.status, page.acts) == (410, [])
    again = next(address for address in page.addresses if "/sign-in" in address)
    assert "client_id=app" in again
    assert ann.page(again).status == 200


def test_a_second_click_gets_the_same_sign_in(ann: Visitor, app: Party) -> None:
    where = ann.ask(query=app.query())
    page = ann.page(where)
    early = Visitor(ann.web)  # the second request leaves before the first answer has come
    for name, value in ann.cookies().items():
        early.plant(name, value)
    first = ann.press(where, page=page, code=CODE)
    second = early.press(where, page=page, code=CODE)
    assert first.headers.getlist("Set-Cookie")[0] == second.headers.getlist("Set-Cookie")[0]
    late = ann.press(where, page=page, code=CODE)  # and this one after it
    assert sent_to(late)[0] == CALLBACK
    ann.web.clock.advance_s(6)
    last = ann.press(where, page=page, code=CODE)
    assert sent_to(last)[0] == "/oauth2/authorize"
    assert sent_to(ann.open("GET", last.headers["Location"]))[0] == CALLBACK
    assert len(ann.web.harness.sessions.list(ann.web.harness.act(), "p1")) == 1


@pytest.mark.parametrize("wish", [{"prompt": "login"}, {"max_age": "0"}])
def test_a_second_click_on_a_code_that_had_to_be_new_asks_for_no_other_one(
    ann: Visitor, app: Party, wish: dict[str, str]
) -> None:
    where = ann.ask(query=app.query(**wish))
    page = ann.page(where)
    assert sent_to(ann.press(where, page=page, code=CODE))[0] == CALLBACK
    assert sent_to(ann.open("GET", where))[0] == "/oauth2/authorize"  # looking is no click
    assert sent_to(ann.press(where, page=page, code=CODE))[0] == CALLBACK
    ann.web.clock.advance_s(6)
    asked_anew = ann.press(where, page=page, code=CODE).headers["Location"]
    assert sent_to(ann.open("GET", asked_anew))[0] == SIGN_IN


def test_after_the_back_button_a_finished_page_leads_on(ann: Visitor) -> None:
    where = ann.ask()
    ann.press(where, code=CODE)
    assert sent_to(ann.open("GET", where)) == ("/p/maple/session", {})
    assert sent_to(ann.open("GET", where.replace("/code/", "/who/")))[0] == "/p/maple/session"


def test_the_code_is_sent_again_on_a_button_and_the_page_says_so(ann: Visitor) -> None:
    where = ann.ask()
    early = ShownPage(ann.press(where, "resend"))
    assert (early.status, early.headers["Retry-After"]) == (429, "30")
    assert "on its way already" in early.text
    ann.web.clock.advance_s(31)
    mails = len(ann.web.harness.outbox())
    ann.web.entropy.next_below(161803)
    answer = ann.press(where, "resend")
    assert sent_to(answer)[0] == urlsplit(where).path
    assert len(ann.web.harness.outbox()) == mails + 1
    assert "newest email" in ann.page(where).text
    assert ann.press(where, code="161803").status_code == 303


def test_sending_again_comes_to_an_end_that_says_when(ann: Visitor) -> None:
    where = ann.ask()
    for _ in range(4):
        ann.web.clock.advance_s(200)
        assert ann.press(where, "resend").status_code == 303
    ann.web.clock.advance_s(200)
    for _ in range(2):
        last = ShownPage(ann.press(where, "resend"))
        ann.web.clock.advance_s(31)
    assert last.status == 429
    assert int(last.headers["Retry-After"]) > 30
    assert "Please wait" in last.text


def test_sending_again_when_nothing_can_be_sent_starts_again(ann: Visitor) -> None:
    where = ann.ask()
    for _ in range(5):
        wrong_code(ann, where)
    ann.web.clock.advance_s(31)
    token = {"csrf": ann.page(where).csrf, "act": "resend"}
    page = ShownPage(ann.post(where, token))
    assert (page.status, page.acts) == (410, ["again"])


def test_too_many_codes_from_one_network_are_refused_with_a_time(build: Any) -> None:
    web = build()
    web.harness.patient()
    visitor = Visitor(web)
    for _ in range(12):
        where = visitor.ask(email="ann@example.org")
        answers = [wrong_code(visitor, where) for _ in range(5)]
        web.clock.advance_s(1)
        if answers[-1].status_code == 429:
            break
        web.redis.delete(*web.redis.keys("*issue-address*"))
    else:
        answers = [wrong_code(visitor, visitor.ask())]
    page = ShownPage(answers[-1])
    assert page.status == 429
    assert page.headers["Retry-After"]
    assert "too many tries" in page.text


# --- an address ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "ann", "ann@", "@example.org", "ann@localhost", "a b@example.org"])
def test_what_is_no_address_is_shown_again_beside_its_fault(ann: Visitor, typed: str) -> None:
    mails = len(ann.web.harness.outbox())
    page = ShownPage(ann.press(SIGN_IN, email=typed))
    assert page.status == 400
    assert "Please type your whole email address" in page.text
    assert 'aria-describedby="error"' in page.html
    assert page.form_with().fields["email"] == typed.strip()
    assert len(ann.web.harness.outbox()) == mails


def test_an_address_asked_for_too_often_is_refused_with_a_time(ann: Visitor) -> None:
    for _ in range(5):
        ann.ask()
    page = ShownPage(ann.press(SIGN_IN, email="ann@example.org"))
    assert (page.status, page.headers["Retry-After"]) == (429, "180")
    assert "wait 3 minutes" in page.text
    assert page.form_with().fields["email"] == "ann@example.org"


def test_the_mails_language_is_the_one_that_was_chosen_or_the_patients_own(ann: Visitor) -> None:
    ann.web.harness.patients.put(
        ann.web.harness.act(), "p1", email="ann@example.org", label="Ann", locale="es", portal_access=True
    )
    ann.ask()
    assert ann.web.harness.mailed()["locale"] == "es"
    assert ann.page(ann.ask()).language == "en"  # which says nothing of whose address this is
    assert "ui_locales=es" in ann.ask(query="ui_locales=es")
    assert ann.page(ann.ask(query="ui_locales=en")).language == "en"
    assert ann.web.harness.mailed()["locale"] == "en"


# --- who is it? ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shared_mailbox(ann: Visitor) -> str:
    """The path of the chooser, where Ann and Ben share a mailbox."""
    ann.web.harness.patient("p2", "ann@example.org", label="Ben")
    return str(ann.press(ann.ask(), code=CODE).headers["Location"])


def test_a_shared_mailbox_asks_who_it_is(ann: Visitor, shared_mailbox: str) -> None:
    page = ann.page(shared_mailbox)
    assert "Ann" in page.text
    assert "Ben" in page.text
    assert not ann.signed_in
    assert ann.press(shared_mailbox, patient="p2").status_code == 303
    assert "Ben" in ann.page("/p/maple/session").text


@pytest.mark.parametrize("chosen", ["", "p3", "p1 p2", "../p1", "ä"])
def test_nobody_but_those_on_the_list_can_be_chosen(ann: Visitor, shared_mailbox: str, chosen: str) -> None:
    ann.web.harness.patient("p3", "cat@example.org")
    page = ShownPage(ann.press(shared_mailbox, patient=chosen))
    assert page.status == 400
    assert "Please choose one of these names" in page.text
    assert not ann.signed_in


def test_a_second_click_on_the_choice_gets_the_same_sign_in(ann: Visitor, shared_mailbox: str) -> None:
    page, early = ann.page(shared_mailbox), Visitor(ann.web)
    for name, value in ann.cookies().items():
        early.plant(name, value)
    first = ann.press(shared_mailbox, page=page, patient="p2")
    second = early.press(shared_mailbox, page=page, patient="p2")
    assert second.status_code == 303
    assert first.headers.getlist("Set-Cookie")[0] == second.headers.getlist("Set-Cookie")[0]
    assert early.signed_in
    assert len(ann.web.harness.sessions.list(ann.web.harness.act(), "p2")) == 1


@pytest.mark.parametrize("late_s", [0, 6])
def test_attack_a_choice_that_is_made_opens_nobody_else_and_nothing_later(
    ann: Visitor, shared_mailbox: str, late_s: int
) -> None:
    page, other = ann.page(shared_mailbox), Visitor(ann.web)
    for name, value in ann.cookies().items():
        other.plant(name, value)
    ann.press(shared_mailbox, page=page, patient="p2")
    ann.web.clock.advance_s(late_s)
    assert other.press(shared_mailbox, page=page, patient="p2" if late_s else "p1").status_code == 410
    assert not other.signed_in


def test_a_choice_of_nobody_any_more_starts_again(ann: Visitor, shared_mailbox: str) -> None:
    for patient in ("p1", "p2"):
        ann.web.harness.patient(patient, "ann@example.org", access=False)
    page = ann.page(shared_mailbox)
    assert (page.status, page.acts) == (410, ["again"])


def test_a_choice_that_took_too_long_starts_again_with_one_button(ann: Visitor, shared_mailbox: str) -> None:
    page = ann.page(shared_mailbox)
    ann.web.clock.advance_s(301)
    assert (ann.page(shared_mailbox).status, ann.page(shared_mailbox).acts) == (410, ["again"])
    assert ShownPage(ann.press(shared_mailbox, page=page, patient="p1")).status == 410
    assert "/code/" in ann.press(shared_mailbox, "again").headers["Location"]


def test_attack_choosing_before_the_code_leads_back_to_the_code(ann: Visitor) -> None:
    where = ann.ask()
    who = where.replace("/code/", "/who/")
    assert sent_to(ann.open("GET", who))[0] == where
    assert sent_to(ann.post(who, {"csrf": ann.page(where).csrf, "patient": "p1"}))[0] == where
    assert not ann.signed_in


# --- what a client may ask --------------------------------------------------------------------------------------


def test_a_sign_in_that_is_too_old_is_renewed_without_typing_the_address(ann: Visitor, app: Party) -> None:
    ann.sign_in()
    old = ann.cookies()
    ann.web.clock.advance_s(100)
    query = app.query(max_age="60", acr_values="extra")
    assert sent_to(ann.open("GET", f"/oauth2/authorize?{query}"))[0] == SIGN_IN
    page = ann.page(f"{SIGN_IN}?{query}")
    assert "a•••@e•••.org" in page.text
    assert "ann@" not in page.html
    ann.web.entropy.next_below(int(CODE))
    answer = ann.press(f"{SIGN_IN}?{query}")
    assert "ann@" not in ann.page(answer.headers["Location"]).html
    assert sent_to(ann.press(answer.headers["Location"], code=CODE))[0] == CALLBACK
    assert ann.cookies()["authsvc-maple"] != old["authsvc-maple"]


def test_another_address_may_be_used_unless_the_client_wants_a_certain_patient(ann: Visitor, app: Party) -> None:
    ann.sign_in()
    page = ann.page(f"{SIGN_IN}?{app.query(prompt='login')}")
    other = next(address for address in page.addresses if "select_account" in address)
    assert "email" in ann.page(other).form_with().fields
    _, said = sent_to(ann.open("GET", f"/oauth2/authorize?{app.query()}"))
    hint = app.redeem(said["code"]).json["id_token"]
    hinted = ann.page(f"{SIGN_IN}?{app.query(prompt='login', id_token_hint=hint)}")
    assert "a•••@e•••.org" in hinted.text
    assert not [address for address in hinted.addresses if "select_account" in address]


def test_a_hint_of_another_patient_is_asked_for_that_patients_code_and_never_gives_one_for_the_wrong_one(
    ann: Visitor, app: Party
) -> None:
    ann.sign_in()
    _, said = sent_to(ann.open("GET", f"/oauth2/authorize?{app.query()}"))
    hint = app.redeem(said["code"]).json["id_token"]
    ann.web.harness.patient("p2", "ben@example.org", label="Ben")
    ben = Visitor(ann.web)
    ben.sign_in("ben@example.org")
    query = app.query(prompt="login", id_token_hint=hint)
    asked = ben.page(f"{SIGN_IN}?{query}")
    assert ("a•••@e•••.org" in asked.text, "email" in asked.form_with().fields) == (True, False)
    assert sent_to(ben.sign_in("ben@example.org", query))[1]["error"] == "login_required"


def test_a_hint_of_somebody_who_may_not_sign_in_shows_no_address(ann: Visitor, app: Party) -> None:
    ann.sign_in()
    _, said = sent_to(ann.open("GET", f"/oauth2/authorize?{app.query()}"))
    hint = app.redeem(said["code"]).json["id_token"]
    ann.web.harness.patient("p1", "ann@example.org", access=False)
    assert "email" in ann.page(f"{SIGN_IN}?{app.query(id_token_hint=hint)}").form_with().fields


def test_a_double_click_sends_one_mail_and_both_pages_take_its_code(ann: Visitor) -> None:
    page = ann.page(SIGN_IN)
    ann.web.entropy.next_below(int(CODE))
    pages = [ann.press(SIGN_IN, page=page, email="ann@example.org").headers["Location"] for _ in range(2)]
    assert len(ann.web.harness.outbox()) == 1
    assert [ann.press(page, code=CODE).status_code for page in pages] == [303, 303]


def test_another_address_on_a_page_from_the_browsers_memory_is_a_start_of_its_own(ann: Visitor) -> None:
    ann.web.harness.patient("p2", "ben@example.org", label="Ben")
    page = ann.page(SIGN_IN)
    for email in ("ann@example.org", "ben@example.org"):
        assert ann.press(SIGN_IN, page=page, email=email).status_code == 303
    assert len(ann.web.harness.outbox()) == 2


def test_a_pressed_link_that_is_not_enough_asks_for_a_code_at_its_patients_address(web: Web, app: Party) -> None:
    hint = press(web, "B" * 22)
    ann = Visitor(web)
    ann.plant("authsvc", "B" * 22)
    query = app.query(login_hint=hint, acr_values="extra")
    assert "a•••@e•••.org" in ann.page(f"{SIGN_IN}?{query}").text
    web.entropy.next_below(int(CODE))
    where = ann.press(f"{SIGN_IN}?{query}").headers["Location"]
    assert sent_to(ann.press(where, code=CODE))[0] == CALLBACK
    stranger = Visitor(web)
    assert "email" in stranger.page(f"{SIGN_IN}?{query}").form_with().fields


def test_a_patient_who_cannot_be_sent_a_code_is_told_to_the_client(web: Web, app: Party) -> None:
    hint = press(web, "B" * 22)
    ann = Visitor(web)
    ann.plant("authsvc", "B" * 22)
    query = app.query(login_hint=hint, acr_values="extra")
    page = ann.page(f"{SIGN_IN}?{query}")
    act, put = web.harness.act, web.harness.patients.put
    began = ann.ask(query=app.query(login_hint=hint, acr_values="extra"), email="")
    put(act(), "p1", email="ann@example.org", label="", locale="", portal_access=False)
    assert ann.press(f"{SIGN_IN}?{query}", page=page, email="").status_code == 400  # nobody is known any more
    where, said = sent_to(ann.post(began, {"csrf": ann.page(began).csrf, "act": "again"}))
    assert (where, said["error"]) == (CALLBACK, "unmet_authentication_requirements")
    bare = urlsplit(began).path
    assert sent_to(ann.post(bare, {"csrf": ann.page(began).csrf, "act": "again"}))[0] == "/p/maple/contact"


@pytest.mark.parametrize(
    "asked,error",
    [
        ({}, "access_denied"),
        ({"prompt": "login"}, "access_denied"),
        ({"acr_values": "extra"}, "unmet_authentication_requirements"),
        ({"max_age": "60"}, "unmet_authentication_requirements"),
    ],
)
def test_whoever_goes_back_is_told_to_the_client(ann: Visitor, app: Party, asked: dict[str, str], error: str) -> None:
    query = app.query(**asked)
    where, said = sent_to(ann.press(f"{SIGN_IN}?{query}", "cancel"))
    assert (where, said["error"], said["state"]) == (CALLBACK, error, "st4te")
    where, said = sent_to(ann.press(ann.ask(query=query), "cancel"))
    assert (where, said["error"]) == (CALLBACK, error)
    assert ann.cookies().keys() == {"authsvc"}


def test_going_back_from_a_page_without_a_request_is_no_act(ann: Visitor) -> None:
    assert "cancel" not in ann.page(SIGN_IN).acts
    assert ann.post(SIGN_IN, {"csrf": ann.page(SIGN_IN).csrf, "act": "cancel"}).status_code == 400
    where = ann.ask()
    assert ann.post(where, {"csrf": ann.page(where).csrf, "act": "cancel"}).status_code == 400


# --- attacks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": CALLBACK + "?next=https://evil.example"},
        {"redirect_uri": "https://portal.maple.example.evil.example/signed-in"},
        {"redirect_uri": "https://portal.maple.example@evil.example/signed-in"},
        {"redirect_uri": "//evil.example/signed-in"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": None},
        {"client_id": "evil"},
        {"client_id": "https://evil.example"},
        {"client_id": ""},
    ],
)
def test_attack_an_open_redirect_by_the_request_is_a_page_that_leads_nowhere(
    ann: Visitor, app: Party, changes: dict[str, str | None]
) -> None:
    where = ann.ask()
    for path in (SIGN_IN, urlsplit(where).path):
        for method in ("GET", "POST"):
            sent = {"act": "cancel"} if method == "POST" else None
            answer = ann.open(method, f"{path}?{app.query(**changes)}", data=sent)
            assert answer.status_code == 400
            assert "Location" not in answer.headers
            page = ShownPage(answer)
            assert all(address.startswith(("/", "?")) for address in page.addresses)
            assert "evil.example" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["next", "return_to", "url", "target_link_uri", "portal_url", "ui_locales"])
@pytest.mark.parametrize("evil", ["https://evil.example/", "//evil.example", "/\\evil.example", "%2f%2fevil.example"])
def test_attack_an_open_redirect_by_any_other_parameter_is_ignored(ann: Visitor, name: str, evil: str) -> None:
    query = urlencode({name: evil})
    answer = ann.sign_in(query=query)
    assert answer.headers["Location"] == "/p/maple/session"
    assert "evil" not in ann.open("GET", f"/p/maple/session?{query}").headers["Content-Security-Policy"]
    assert ann.press(f"/p/maple/sign-out?{query}").headers["Location"] == "/p/maple/signed-out"


def test_a_request_of_another_practices_client_is_refused(ann: Visitor) -> None:
    oak = party(ann.web, "oakapp", practices=("oak",))
    page = ann.page(f"{SIGN_IN}?{oak.query()}")
    assert page.status == 400
    assert "client_id" in page.text


def test_a_wrong_request_whose_client_is_known_goes_back_to_it(ann: Visitor, app: Party) -> None:
    where, said = sent_to(ann.open("GET", f"{SIGN_IN}?{app.query(code_challenge_method='plain')}"))
    assert (where, said["error"]) == (CALLBACK, "invalid_request")


def test_an_address_that_cannot_be_read_is_refused(ann: Visitor) -> None:
    assert ann.page(f"{SIGN_IN}?client_id=%ff").status == 400


def test_attack_a_code_typed_in_another_browser_is_worth_nothing(ann: Visitor) -> None:
    where = ann.ask()
    thief = Visitor(ann.web)
    page = thief.page(where)
    assert page.status == 410
    csrf = thief.page(SIGN_IN).csrf
    assert thief.post(where, {"csrf": csrf, "code": CODE}).status_code == 410
    # Even with the sealed cookie stolen: it opens for the browser that it was given to.
    name = next(name for name in ann.cookies() if name.startswith("authsvc-maple-"))
    thief.plant(name, ann.cookies()[name])
    assert thief.post(where, {"csrf": csrf, "code": CODE}).status_code == 410
    assert not thief.signed_in


def test_attack_a_waiting_sign_in_moved_to_another_page_or_practice_does_not_open(ann: Visitor) -> None:
    where = ann.ask()
    page = where.rsplit("/", 1)[1]
    sealed = ann.cookies()[f"authsvc-maple-{page}"]
    ann.plant("authsvc-maple-AAAAAAAA", sealed)
    ann.plant(f"authsvc-oak-{page}", sealed)
    assert ann.page("/p/maple/code/AAAAAAAA").status == 410
    assert ann.page(f"/p/oak/code/{page}").status == 410
    assert ann.page(where).status == 200


def test_attack_a_planted_sign_in_is_replaced_and_dead_afterwards(web: Web) -> None:
    web.harness.patient("mallory", "mallory@example.org", label="Mallory")
    mallory, ann = Visitor(web), Visitor(web)
    mallory.sign_in("mallory@example.org")
    planted = mallory.cookies()["authsvc-maple"]
    ann.plant("authsvc-maple", planted)
    where = ann.ask(query=party(web).query(prompt="select_account"))
    assert ann.press(where, code=CODE).status_code == 303
    assert ann.cookies()["authsvc-maple"] != planted
    assert "Ann" in ann.page("/p/maple/session").text
    assert not mallory.signed_in


def test_signing_in_anew_ends_the_sign_in_before(ann: Visitor, app: Party) -> None:
    ann.sign_in()
    old = Visitor(ann.web)
    old.plant("authsvc-maple", ann.cookies()["authsvc-maple"])
    ann.web.clock.advance_s(10)
    ann.sign_in(query=app.query(prompt="select_account"))
    assert ann.signed_in
    assert not old.signed_in


def test_a_page_that_we_never_named_is_not_found(ann: Visitor) -> None:
    for path in ("/p/maple/code/x", "/p/maple/who/AAAAAAAAA", "/p/elm/sign-in", "/p/-/session"):
        page = ann.page(path)
        assert page.status == 404
        assert "There is no such page" in page.text


@pytest.mark.parametrize("path", [SIGN_IN, "/p/maple/code/AAAAAAAA", "/p/maple/who/AAAAAAAA", "/p/maple/session"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(ann: Visitor, path: str, method: str) -> None:
    answer = ann.open(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")


# --- scanners -----------------------------------------------------------------------------------------------------


def test_looking_at_any_page_of_the_way_in_changes_nothing(ann: Visitor, app: Party) -> None:
    ann.web.harness.patient("p2", "ann@example.org", label="Ben")
    where = ann.ask(query=app.query())
    before = everything(ann.web)
    pages = [SIGN_IN, f"{SIGN_IN}?{app.query()}", where, where.replace("/code/", "/who/"), "/p/maple/session"]
    for method in ("GET", "HEAD"):
        for page in pages:
            answer = ann.open(method, page)
            assert answer.status_code in (200, 303)
            assert method == "GET" or answer.get_data() == b""
    assert everything(ann.web) == before
    who = ann.press(where, code=CODE).headers["Location"]
    before = everything(ann.web)
    assert ann.open("GET", who).status_code == ann.open("HEAD", who).status_code == 200
    assert everything(ann.web) == before


# --- who is a patient here? ---------------------------------------------------------------------------------------


def scripts_counted(web: Web, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the store is asked to decide something. What it does then is counted in tests/journeys."""
    counted: Counter[str] = Counter()
    execute = web.redis.execute_command

    def counting(*args: Any, **options: Any) -> Any:
        if args[0] == "EVALSHA":  # the rest is what the process does beside its calls
            counted["EVALSHA"] += 1
        return execute(*args, **options)

    monkeypatch.setattr(web.redis, "execute_command", counting)
    return counted


def logged(answer: TestResponse, *secrets: str) -> list[Any]:
    """All of an answer that anybody can see; what is random by its length alone."""
    found: list[Any] = [answer.status_code]
    for name, value in answer.headers:
        if name == "Set-Cookie":
            cookie, _, flags = value.partition(";")
            found.append((name, len(cookie), flags))
        else:
            found.append((name, len(value) if name in ("Location", "X-Request-Id") else value))
    body = answer.get_data(as_text=True)
    for secret in secrets:
        body = body.replace(secret, "…")
    return [*found, re.sub(r'(?<=name="once" value=")[\w-]{8}(?=")', "…", body)]


def test_known_unknown_and_locked_addresses_are_told_and_cost_the_same(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = build(misses_consecutive=5)
    web.harness.patient("p1", "known@example.org", label="Known")
    web.harness.patient("p2", "leave@example.org", access=False)
    web.harness.patient("p3", "locky@example.org")
    for visitor in (Visitor(web), Visitor(web)):  # the first two lock a mailbox, and load every script
        where = visitor.ask("locky@example.org")
        for _ in range(5):
            wrong_code(visitor, where)
    visitor.ask("locky@example.org")
    assert web.harness.mailed()["kind"] == "access-link"  # codes are over for this mailbox
    visitor.press(visitor.ask("other@example.org"), "resend")
    counted = scripts_counted(web, monkeypatch)
    found = {}
    for who in ("known", "leave", "locky", "nobod"):
        web.redis.delete(*web.redis.keys("*-network*"))
        counted.clear()
        visitor = Visitor(web)
        csrf = visitor.page(SIGN_IN).csrf
        web.entropy.next_below(int(CODE))
        answer = visitor.post(SIGN_IN, {"csrf": csrf, "email": f"{who}@example.org"})
        where = answer.headers["Location"]
        said = [logged(answer), logged(visitor.open("GET", where), csrf, who)]
        for fields in (
            *({"code": "271828"}, {"code": "271828"}, {"code": "12"}, {"act": "resend"}),
            *({"code": "271828"}, {"code": "271828"}, {"code": "271828"}, {"code": "271828"}, {"act": "resend"}),
        ):
            said.append(logged(visitor.post(where, {"csrf": csrf, **fields}), csrf, who))
        found[who] = (said, dict(counted))
    assert found["known"][1]["EVALSHA"] > 8
    for who in ("leave", "locky", "nobod"):
        assert found[who] == found["known"], who


# --- the store ----------------------------------------------------------------------------------------------------


def test_with_the_store_away_nobody_is_told_that_they_are_signed_out(ann: Visitor) -> None:
    where = ann.ask()
    csrf = ann.page(where).csrf
    ann.web.stop_the_store()
    for answer in (
        ann.post(where, {"csrf": csrf, "code": CODE}),
        ann.post(SIGN_IN, {"csrf": csrf, "email": "ann@example.org"}),
    ):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert "nothing is lost" in answer.get_data(as_text=True)
        assert "Set-Cookie" not in answer.headers


def test_fault_a_mistake_of_ours_is_a_page_too_and_is_logged_once(
    ann: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    where = ann.ask()
    csrf = ann.page(where).csrf

    def broken(*_: Any, **__: Any) -> str:
        raise RuntimeError("a secret")

    monkeypatch.setattr(ann.web.service.browser_sessions, "verify", broken)
    answer = ann.post(where, {"csrf": csrf, "code": CODE})
    assert (answer.status_code, answer.mimetype) == (500, "text/html")
    assert "nothing is lost" in answer.get_data(as_text=True)
    assert "a secret" not in answer.get_data(as_text=True)
    assert [record.message for record in caplog.records if record.name == "authsvc.web"] == ["a fault of ours"]


def test_a_sign_in_whose_end_fails_still_reaches_the_browser(
    ann: Visitor, app: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ann.ask(query=app.query())

    def away(*_: Any, **__: Any) -> str:
        raise Unavailable("store_away")

    with monkeypatch.context() as broken:
        broken.setattr(AuthorizationCodes, "for_browser_session", away)
        answer = ann.press(where, code=CODE)
    assert answer.status_code == 503
    assert ann.signed_in
    again = ann.open("GET", where)
    assert sent_to(ann.open("GET", again.headers["Location"]))[0] == CALLBACK
