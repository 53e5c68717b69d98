"""What people and their programs do to addresses, codes and links on the way here, kind by kind."""

from __future__ import annotations

import pytest

from authsvc.web.pages.choose_patient import distinct
from authsvc.web.pages.typed import address, code
from tests.web.conftest import Web
from tests.web.relying_party import OPEN, party, sent_to
from tests.web.visitor import CODE, SIGN_IN, ShownPage, Visitor

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ADDRESS = "josé@example.org"
SPACES = ["\u00a0", "\u3000", "\u202f", "\u2003", "\u0085", "\u2028", "\r\n"]
UNSEEN = [
    *("\u200b", "\ufeff", "\u2060", "\u200e", "\u00ad", "\u180e", "\U000e0041"),  # of category Cf
    *("\u034f", "\u115f", "\u1160", "\u17b4", "\ufe0f", "\U000e0100"),  # marks and letters that show nothing
    *("\u3164", "\uffa0", "\u2800", "\ufffc"),  # fillers, and two signs without ink
    *("\x00", "\x07", "\x08", "\x7f", "\x9b", "\ue000"),  # controls, and what has no meaning
]
INVISIBLE = [*SPACES, *UNSEEN]


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
        "josé @example.org",
        "josé\u00a0@\u00a0example.org",
        "Email: josé@example.org",
        "SMTP:josé@example.org",
        "mailto://josé@example.org",
        "> josé@example.org",
        "• josé@example.org",
        "josé@example.org (home)",
        "José (josé@example.org)",
        "José [mailto:josé@example.org]",
        "[josé@example.org](mailto:josé@example.org)",
        "josé%40example.org",
        "josé@example.org/",
        "josé@example.org!",
        "'josé@example.org'",
        "‘josé@example.org’",
        "*josé@example.org*",
        "_josé@example.org_",
    ],
)
def test_what_stands_around_a_pasted_address_is_dropped_and_its_signs_are_made_plain(pasted: str) -> None:
    assert address(pasted) == ADDRESS


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "",
            "ann",
            "o'neil@example.org",
            "'ann'@example.org",
            "+ann@example.org",
            "ann_@example.org",
            "_ann@example.org",
        ),
        *("a b@c.org", "ann@example.org, bob@example.org", "Ann Brown ann@example.org", "ann@@example.org"),
    ],
)
def test_nothing_else_of_an_address_is_changed(typed: str) -> None:
    assert address(typed) == typed


@pytest.mark.parametrize("character", UNSEEN, ids=ascii)
def test_what_nobody_sees_is_dropped_inside_an_address_too(character: str) -> None:
    assert address(f"jo{character}sé@exam{character}ple.org") == ADDRESS


@pytest.mark.parametrize(
    "text", ["(" * 20_000 + "a@b", "<@" * 9_000, " " * 20_000 + "@", "a:" * 9_000, "a@" + "_a" * 9_000]
)
def test_attack_no_pasted_text_takes_long_to_read(text: str) -> None:
    assert len(address(text)) <= 1_000


def test_an_address_with_invisible_characters_signs_in(ann: Visitor) -> None:
    where = ann.ask("\u200b\u00a0Ann <mailto:ann＠example.org>\ufeff")
    assert "ann@example.org" in ann.page(where).text
    assert ann.press(where, code=CODE).status_code == 303


def test_attack_a_letter_that_only_looks_plain_is_refused_and_named(ann: Visitor) -> None:
    ann.web.harness.patient("fiona", "fiona@example.org")
    mails = len(ann.web.harness.outbox())
    page = ShownPage(ann.press(SIGN_IN, email="ﬁona@example.org"))
    assert (page.status, len(ann.web.harness.outbox())) == (400, mails)
    assert "An email address can't have the character ﬁ in it" in page.text


@pytest.mark.parametrize(
    "typed", ["\u200b314159", "314159\ufeff", "314\u2060159", "\u202a314159\u202c", "31\u00ad4159"]
)
def test_invisible_characters_anywhere_in_a_code_are_dropped(ann: Visitor, typed: str) -> None:
    assert ann.press(ann.ask(), code=typed).status_code == 303


@pytest.mark.parametrize(
    "typed",
    [
        *("314159.", "“314159”", "(314159)", "#314159", "*314159*", "314159。", "314.159", "314—159", "3·1·4·1·5·9"),
        *("Code: 314159", "Your code is 314159.", "Code 314 159 expires in 10 minutes", "código: 314-159"),
        *("３１４１５９", "٣١٤١٥٩", "۳۱۴۱۵۹", "३१४१५९", "\u2800314159", "314\ufe0f159", "314159\x00", "\u3164314159"),
    ],
)
def test_a_code_is_found_in_what_was_pasted_and_in_the_digits_of_any_alphabet(typed: str) -> None:
    assert code(typed) == "314159"


@pytest.mark.parametrize(
    "typed", ["", "31415", "3141592", "code", "314159 or 271828", "call 3141592653", "²³¹⁴¹⁵", "a" * 5_000]
)
def test_what_holds_not_exactly_one_code_stays_as_it_was_typed(typed: str) -> None:
    assert code(typed) == typed


def test_a_pasted_sentence_with_the_code_signs_in(ann: Visitor) -> None:
    assert ann.press(ann.ask(), code="Your code: 314159.").status_code == 303


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


@pytest.mark.parametrize("inside", ["%20", "%0A", "%0D%0A", "%E2%80%8B", "%C2%AD", "=%0D%0A", "%0D%0A%3E%20", "%C2%A0"])
def test_a_link_that_was_broken_over_two_lines_is_read_as_one(ann: Visitor, inside: str) -> None:
    token = ann.web.link(workflow="portal", resource=None)
    assert ann.page(f"/p/maple/l/{token[:20]}{inside}{token[20:]}").status == 200


@pytest.mark.parametrize("stray", [".", ")", ">", " ", "\u00a0", "\u200b", '"', "*", "…"])
@pytest.mark.parametrize("call", ["exchange", "resend"])
def test_a_practices_own_link_page_may_pass_on_what_the_mail_program_added(ann: Visitor, stray: str, call: str) -> None:
    token = ann.web.link()
    answer = ann.web.call("POST", f"links/{call}", json={"token": f"{stray}{token}{stray}"})
    assert answer.status_code == {"exchange": 200, "resend": 202}[call]


def test_a_link_that_was_cut_is_unknown(ann: Visitor) -> None:
    token = ann.web.link()
    for cut in (token[:-1], token[3:], f"{token[:20]}.{token[20:]}"):
        assert ann.page(f"/p/maple/l/{cut}").status == 404


# --- where a person can get by typing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/p", "/p/maple/nothing", "/p/maple/sign-in/now", "/p/elm", "/p/elm/sign-in", "/p/%ff", "/p/mäple"),
        *(
            "/maple",
            "/maple/sign-in",
            "/sign-in",
            "/login",
            "/index.html",
            "/problems/nothing",
            "/p/maple/sign-in/%00x",
        ),
    ],
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
    for path in ("/", "/p/maple/nothing", "/login"):
        answer = ann.open("GET", path, headers={"Accept": accept})
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/oauth2/nothing", "/keys/nothing", "/.well-known/nothing"])
def test_where_only_programs_go_even_a_browser_gets_what_programs_read(ann: Visitor, path: str) -> None:
    assert "html" not in ann.open("GET", path, headers=HTML).content_type


@pytest.mark.parametrize(
    "typed,meant",
    [
        ("/P/maple/sign-in", SIGN_IN),
        ("/P/MAPLE/SIGN-IN", SIGN_IN),
        ("/p/maple/Sign-In/", SIGN_IN),
        ("/p/maple/sign-in.", SIGN_IN),
        ("/p/maple/sign-in),", SIGN_IN),
        ("/p/maple/sign-in%20", SIGN_IN),
        ("/p/maple/sign-in%E2%80%8B", SIGN_IN),
        ("/p/maple.", "/p/maple"),
        ("/P/Maple/L/al_Ab-", "/p/maple/l/al_Ab-"),
        ("/P/Maple/Code/Ab", "/p/maple/code/Ab"),
    ],
)
def test_a_path_in_capitals_or_with_a_full_stop_leads_to_the_page_that_is_meant(
    ann: Visitor, typed: str, meant: str
) -> None:
    answer = ann.open("GET", f"{typed}?ui_locales=es", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{meant}?ui_locales=es")


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
        (["JOHN SMITH", "John Smith"], ["JOHN SMITH (p1)", "John Smith (p2)"]),
        (["Jo\u034fhn", "John", "\u3164"], ["Jo\u034fhn (p1)", "John (p2)", "p3"]),
        (["ﬁona", "fiona"], ["ﬁona (p1)", "fiona (p2)"]),
        (["\u200bعلی\u200cرضا\ufeff"], ["علی\u200cرضا"]),  # a letter's own joiner stays
    ],
)
def test_patients_who_share_a_mailbox_can_be_told_apart(labels: list[str], shown: list[str]) -> None:
    patients = [(f"p{number}", label) for number, label in enumerate(labels, 1)]
    assert distinct(patients) == [(f"p{number}", label) for number, label in enumerate(shown, 1)]


def test_two_patients_of_one_name_are_shown_with_the_practices_ids(ann: Visitor) -> None:
    for patient in ("chart-7", "chart-9"):
        ann.web.harness.patient(patient, "smith@example.org", label="John Smith")
    page = ann.page(ann.press(ann.ask("smith@example.org"), code=CODE).headers["Location"])
    assert "John Smith (chart-7)" in page.text
    assert "John Smith (chart-9)" in page.text
