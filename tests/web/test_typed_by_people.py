"""What people and their programs do to addresses, codes and links on the way here, kind by kind."""

from __future__ import annotations

import pytest

from authsvc.web.pages.choose_patient import distinct
from authsvc.web.pages.typed import address
from tests.web.conftest import Web
from tests.web.relying import OPEN, party, sent_to
from tests.web.visitor import CODE, SIGN_IN, ShownPage, Visitor

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ADDRESS = "josé@example.org"
INVISIBLE = ["\u00a0", "\u200b", "\ufeff", "\u3000", "\u2060", "\u200e", "\u202f", "\u00ad", "\u2003", "\u0085", "\r\n"]


@pytest.fixture
def ann(web: Web) -> Visitor:
    return Visitor(web)


# --- invisible characters around what is pasted -------------------------------------------------------------------


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_invisible_characters_around_a_pasted_address_are_dropped(character: str) -> None:
    for pasted in (character + ADDRESS, ADDRESS + character, character * 3 + ADDRESS + character * 3):
        assert address(pasted) == ADDRESS


@pytest.mark.parametrize(
    "pasted",
    [
        "jose\u0301@example.org",  # as macOS writes accents
        "josé＠example．org",
        "josé﹫example。org",
        "mailto:josé@example.org",
        "MAILTO:jos%C3%A9@example.org?subject=Hello&cc=eve@example.org",
        "José Díaz <josé@example.org>",
        '"Díaz, José" <josé@example.org>;',
        "<josé@example.org>",
        "<mailto:josé@example.org>",
        "\u2068josé@example.org\u2069",
        "josé@exa\u200bmple.org",
        "josé@example.org.",  # a phone makes a full stop of two spaces
        "josé@example.org. ",
        "(josé@example.org)",
        "“josé@example.org”,",
    ],
)
def test_what_stands_around_a_pasted_address_is_dropped_and_its_signs_are_made_plain(pasted: str) -> None:
    assert address(pasted) == ADDRESS


@pytest.mark.parametrize(
    "typed", ["", "ann", "o'neil@example.org", "'ann'@example.org", "+ann@example.org", "ann_@example.org", "a b@c.org"]
)
def test_nothing_else_of_an_address_is_changed(typed: str) -> None:
    assert address(typed) == typed


def test_an_address_with_invisible_characters_signs_in(ann: Visitor) -> None:
    where = ann.ask("\u200b\u00a0Ann <mailto:ann＠example.org>\ufeff")
    assert "ann@example.org" in ann.page(where).text
    assert ann.press(where, code=CODE).status_code == 303


def test_attack_a_letter_that_only_looks_plain_is_refused_and_named(ann: Visitor) -> None:
    ann.web.house.patient("fiona", "fiona@example.org")
    mails = len(ann.web.house.outbox())
    page = ShownPage(ann.press(SIGN_IN, email="ﬁona@example.org"))
    assert (page.status, len(ann.web.house.outbox())) == (400, mails)
    assert "No email address has the character ﬁ in it" in page.text


@pytest.mark.parametrize(
    "typed", ["\u200b314159", "314159\ufeff", "314\u2060159", "\u202a314159\u202c", "31\u00ad4159"]
)
def test_invisible_characters_anywhere_in_a_code_are_dropped(ann: Visitor, typed: str) -> None:
    assert ann.press(ann.ask(), code=typed).status_code == 303


# --- a link with stray characters ---------------------------------------------------------------------------------

STRAY = [*".,)>\"';=*]", "%20", "%C2%A0", "%E2%80%8B", "%E3%80%82", "%0D%0A", "%0A", "/)", "&x=1"]


@pytest.mark.parametrize("stray", STRAY)
def test_a_link_is_read_up_to_the_first_character_that_a_token_cannot_have(ann: Visitor, stray: str) -> None:
    party(ann.web)
    where = f"/p/maple/l/{ann.web.link()}{stray}"
    assert ann.page(where).status == 200
    assert sent_to(ann.press(where))[0] == OPEN


@pytest.mark.parametrize("stray", ["%3C", "(", "%20", '"'])
def test_a_link_is_read_from_its_prefix_on(ann: Visitor, stray: str) -> None:
    assert ann.page(f"/p/maple/l/{stray}{ann.web.link(workflow='portal', resource=None)}").status == 200


def test_a_link_that_was_cut_is_unknown(ann: Visitor) -> None:
    token = ann.web.link()
    for cut in (token[:-1], token[3:], f"{token[:20]}.{token[20:]}"):
        assert ann.page(f"/p/maple/l/{cut}").status == 404


# --- where a person can get by typing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/p", "/p/maple/nothing", "/p/maple/sign-in/now", "/p/elm", "/p/elm/sign-in", "/P/maple/sign-in", "/p/%ff"],
)
def test_where_a_person_can_get_by_typing_there_is_a_page(ann: Visitor, path: str) -> None:
    page = ShownPage(ann.open("GET", path, headers=HTML))
    assert (page.status, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in page.text


def test_an_unknown_page_of_a_practice_says_whom_to_ask(ann: Visitor) -> None:
    ann.web.service.practices.set("maple", phone="+1 555 0100", actor="cli:test")
    assert "+1 555 0100" in ShownPage(ann.open("GET", "/p/maple/nothing", headers=HTML)).text


@pytest.mark.parametrize("accept", ["", "application/json", "*/*", "application/problem+json, text/html;q=0.5"])
def test_a_program_still_gets_a_problem_document(ann: Visitor, accept: str) -> None:
    for path in ("/", "/p/maple/nothing"):
        answer = ann.open("GET", path, headers={"Accept": accept})
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/p/maple/sign-in", "/p/maple/session", "/p/maple", "/p/maple/nothing", "/p"])
def test_a_trailing_slash_is_dropped_by_a_permanent_redirect(ann: Visitor, path: str) -> None:
    for slashes in ("/", "//"):
        answer = ann.open("GET", f"{path}{slashes}?ui_locales=es", headers={"Host": "evil.example"})
        assert (answer.status_code, answer.headers["Location"]) == (308, f"{path}?ui_locales=es")


def test_a_trailing_slash_after_a_link_is_dropped_too(ann: Visitor) -> None:
    where = f"/p/maple/l/{ann.web.link()}"
    assert ann.open("GET", where + "/").headers["Location"] == where


def test_below_a_path_a_redirect_stays_below_it(build: type[Web]) -> None:
    web = build(public_url="https://www.example.org/auth")
    for path in ("/auth/p/maple/sign-in/", "/p/maple/sign-in/"):
        assert web.bare("GET", path).headers["Location"] == "/auth/p/maple/sign-in"


@pytest.mark.parametrize("path", ["//evil.example/", "//evil.example/p/", "/\\evil.example/", "///"])
def test_attack_a_slash_leads_to_no_other_host(ann: Visitor, path: str) -> None:
    answer = ann.web.public.get("/", headers=HTML, environ_overrides={"PATH_INFO": path})
    assert "Location" not in answer.headers


def test_a_practice_without_a_page_leads_to_its_sign_in(ann: Visitor) -> None:
    assert sent_to(ann.open("GET", "/p/maple?ui_locales=es")) == (SIGN_IN, {"ui_locales": "es"})


def test_a_practices_id_may_be_typed_in_any_case(ann: Visitor) -> None:
    assert sent_to(ann.open("GET", "/p/Maple"))[0] == SIGN_IN
    ann.web.entropy.next_below(int(CODE))
    where = ann.press("/p/MAPLE/sign-in", email="ann@example.org").headers["Location"]
    assert where.startswith("/p/maple/code/")
    assert ShownPage(ann.press(where.replace("maple", "MAPLE"), code="271828")).status == 400
    assert ann.press(where.replace("maple", "Maple"), code=CODE).status_code == 303
    assert ann.signed_in


# --- who shares a mailbox -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels,shown",
    [
        (["Ann", "Ben"], ["Ann", "Ben"]),
        (["John Smith", "John Smith"], ["John Smith (p1)", "John Smith (p2)"]),
        (["John Smith", " john  smith\u200b"], ["John Smith (p1)", "john smith (p2)"]),
        (["Jose\u0301", "José", "Ben"], ["Jose\u0301 (p1)", "José (p2)", "Ben"]),
        (["", "  ", "\u200b"], ["p1", "p2", "p3"]),
        (["p2", ""], ["p2 (p1)", "p2"]),
        ([" Ann ", "Ben"], ["Ann", "Ben"]),
    ],
)
def test_patients_who_share_a_mailbox_can_be_told_apart(labels: list[str], shown: list[str]) -> None:
    patients = [(f"p{number}", label) for number, label in enumerate(labels, 1)]
    assert distinct(patients) == [(f"p{number}", label) for number, label in enumerate(shown, 1)]


def test_two_patients_of_one_name_are_shown_with_the_practices_ids(ann: Visitor) -> None:
    for patient in ("chart-7", "chart-9"):
        ann.web.house.patient(patient, "smith@example.org", label="John Smith")
    page = ann.page(ann.press(ann.ask("smith@example.org"), code=CODE).headers["Location"])
    assert "John Smith (chart-7)" in page.text
    assert "John Smith (chart-9)" in page.text
