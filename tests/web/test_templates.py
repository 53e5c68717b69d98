"""How the hosted pages are made: what each says and offers, and that nothing a stranger writes becomes part of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from jinja2 import UndefinedError

from authsvc.i18n import LANGUAGES
from authsvc.model import BrowserSession, Practice
from authsvc.web.browser import render, static_pages
from authsvc.web.browser.render import request_language
from tests.web.conftest import Web
from tests.web.every_page import APP, FORM, PRACTICE, Texts, every_page, render_example
from tests.web.visitor import ShownPage

EVERY = [(lang, *page) for lang in LANGUAGES for page in every_page(lang)]
every = pytest.mark.parametrize("lang,name,template,values", EVERY, ids=[f"{one[0]}-{one[1]}" for one in EVERY])

TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
EVIL = '"><script>alert(1)</script>\u202e\u2066%(name)s{{7*7}}\r\nSet-Cookie: a=b'


def show(
    template: str, practice: Practice | None = PRACTICE, lang: str = "en", query: str = "", **values: Any
) -> ShownPage:
    return ShownPage(render_example(template, practice, lang, environ={"QUERY_STRING": query}, **values))


def static(name: str) -> str:
    return f"/static/{static_pages.versioned(name)}"


# --- what holds for every page ------------------------------------------------------------------------------------


@every
def test_every_page_is_whole(lang: str, name: str, template: str, values: dict[str, Any]) -> None:
    page = show(template, lang=lang, **values)
    title = re.search(r"<title>(.*?)</title>", page.html)
    heading = re.search(r"<h1>(.*?)</h1>", page.html)
    assert title is not None
    assert heading is not None
    assert len(page.all("h1")) == 1
    assert title[1] == f"{heading[1]} – Maple Clinic"
    assert page.all("html") == [{"lang": lang, "dir": "ltr"}]
    assert len(page.all("main")) == 1
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.elements:
        assert set(attrs.get("aria-describedby", "").split()) <= set(ids)
        assert set(attrs.get("aria-labelledby", "").split()) <= set(ids)
    assert not re.search(r"%\(\w+\)s|\{\{|\{%", page.html)


@every
def test_no_page_needs_or_holds_script_or_style(lang: str, name: str, template: str, values: dict[str, Any]) -> None:
    page = show(template, lang=lang, **values)
    assert page.all("script") == page.all("style") == []
    assert not [attrs for _, attrs in page.elements if "style" in attrs or any(one.startswith("on") for one in attrs)]


@every
def test_every_form_is_a_post_with_the_csrf_token(lang: str, name: str, template: str, values: dict[str, Any]) -> None:
    page = show(template, lang=lang, **values)
    forms = re.findall(r"<form (.*?)>(.*?)</form>", page.html, re.DOTALL)
    assert len(forms) == len(page.all("form"))
    for attributes, inside in forms:
        assert 'method="post"' in attributes
        assert 'name="csrf" value="csrf-of-this-browser"' in inside
        assert inside.count("<button") == 1


@every
def test_help_is_in_the_same_place_on_every_page(lang: str, name: str, template: str, values: dict[str, Any]) -> None:
    page = show(template, lang=lang, **values)
    footer = page.html.partition("<footer>")[2].partition("<nav")[0]
    assert footer == show("message.html", lang=lang, kind="away").html.partition("<footer>")[2].partition("<nav")[0]
    assert 'href="tel:+14805550100"' in footer
    assert 'href="mailto:help@maple.example"' in footer


@every
def test_hostile_words_stay_words(lang: str, name: str, template: str, values: dict[str, Any]) -> None:
    """The same elements with the same attributes as with harmless words, and nothing that turns writing round."""
    evil = {one: (two, three) for one, two, three in every_page(lang, Texts(EVIL, EVIL, EVIL, EVIL))}[name][1]
    practice = replace(PRACTICE, name=EVIL, phone=f"+1 480 555 0100 x{EVIL}", support_email=f"help@maple.example{EVIL}")
    hostile, harmless = show(template, practice, lang, **evil), show(template, lang=lang, **values)
    shape = [(tag, sorted(attrs)) for tag, attrs in hostile.elements if tag != "wbr"]
    assert shape == [(tag, sorted(attrs)) for tag, attrs in harmless.elements if tag != "wbr"]
    assert not TURNING.search(hostile.html)
    assert "\r" not in hostile.html
    same = {"Content-Length": ""}
    assert dict(hostile.headers) | same == dict(harmless.headers) | same
    assert "49" not in hostile.html


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("kind", ["request", "not_found", "away", "busy", "stale"])
def test_an_answer_without_a_practice_says_less(lang: str, kind: str) -> None:
    page = show("message.html", None, lang, kind=kind)
    assert "–" not in page.html.partition("</title>")[0]
    assert not page.all("header")
    assert not [one for one in page.addresses if one.startswith(("tel:", "mailto:", "/p/"))]


# --- headers ------------------------------------------------------------------------------------------------------


def test_a_page_lets_nothing_in_and_leads_only_where_it_is_told() -> None:
    page = show(
        "sign_in.html",
        form_origins=["https://portal.example", "http://127.0.0.1:8080", "com.example.app:", "https://[::1]:1"],
        **FORM,
    )
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https://portal.example "
        "http://127.0.0.1:8080 com.example.app: https://[::1]:1; "
        "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    )
    assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Vary"] == "Accept-Language, Cookie"
    assert page.headers["Content-Language"] == "en"
    assert "camera=()" in page.headers["Permissions-Policy"]


@pytest.mark.parametrize("target", ["", "*", "https://a.example; script-src *", "https://a.example/path", "'none'"])
def test_a_target_that_is_no_origin_gets_into_no_policy(target: str) -> None:
    assert (
        "form-action 'self';" in show("sign_in.html", form_origins=[target], **FORM).headers["Content-Security-Policy"]
    )


def test_the_session_page_alone_may_run_our_script() -> None:
    values = next(values for name, _, values in every_page("en") if name == "session")
    page = show("session.html", script=True, **values)
    assert page.headers["Content-Security-Policy"].endswith("; script-src 'self'; connect-src 'self'")
    assert page.all("script") == [{"src": static("session.js"), "defer": ""}]
    region = page.all("div", id="idle")[0]
    assert (region["data-state"], region["data-signed-out"]) == ("/p/maple/session/state", "/p/maple/signed-out")


# --- addresses ----------------------------------------------------------------------------------------------------


@every
def test_nothing_of_the_host_gets_into_a_page(lang: str, name: str, template: str, values: dict[str, Any]) -> None:
    hosts = {"HTTP_HOST": "evil.example", "HTTP_X_FORWARDED_HOST": "evil.example"}
    environ = {"QUERY_STRING": "a=b", "SCRIPT_NAME": "/auth", **hosts}
    practice = replace(PRACTICE, colour="#7a2f5f", logo="0123456789abcdef", logo_width=320, logo_height=96)
    page = ShownPage(render_example(template, practice, lang, environ=environ, **values))
    assert "evil" not in page.html
    ours = [one for one in page.addresses if not one.startswith(("?", "tel:", "mailto:", "https://portal."))]
    handed = [FORM["action"], "/other", "/p/maple/sign-in", "/p/maple/session", "/p/maple/here"]
    assert all(one.startswith("/auth/") for one in ours if one not in handed)


def test_another_language_is_one_link_away_and_keeps_the_rest_of_the_query() -> None:
    page = show("sign_in.html", query="client_id=a&ui_locales=fr&state=%22%3E%3Cb%3E&empty=&ui_locales=en", **FORM)
    assert page.all("a", hreflang="es") == [
        {
            "href": "?client_id=a&state=%22%3E%3Cb%3E&empty=&ui_locales=es",
            "lang": "es",
            "hreflang": "es",
            "dir": "ltr",
        }
    ]
    assert page.all("span", lang="en")[0]["aria-current"] == "true"
    assert "Español" in page.text


def test_a_query_of_nonsense_is_harmless() -> None:
    page = show("sign_in.html", query='%ff=\xff&"><script>&%', **FORM)
    assert not page.all("script")


@pytest.mark.parametrize(
    "query,accept,own,lang",
    [
        ("ui_locales=es", "en", "", "es"),
        ("ui_locales=fr+es", "en", "", "es"),
        ("", "es", "", "es"),
        ("", "en", "es", "es"),
        ("%ff", "", "", "en"),
    ],
)
def test_the_language_of_a_request(query: str, accept: str, own: str, lang: str) -> None:
    with APP.test_request_context(query_string=query, headers={"Accept-Language": accept}):
        assert request_language(PRACTICE, own).tag == lang
    with APP.test_request_context():
        assert request_language(replace(PRACTICE, locale="es")).tag == "es"
        assert request_language(None).tag == "en"


# --- the practice -------------------------------------------------------------------------------------------------


def test_a_practice_shows_its_logo_and_colours() -> None:
    page = show(
        "message.html",
        replace(PRACTICE, colour="#7a2f5f", logo="0123456789abcdef", logo_width=320, logo_height=96),
        kind="away",
    )
    logo = page.all("img")[0]
    assert (logo["alt"], logo["src"]) == ("Maple Clinic", "/p/maple/logo-0123456789abcdef.png")
    assert (logo["width"], logo["height"]) == ("320", "96")
    styles = [one["href"] for one in page.all("link", rel="stylesheet")]
    assert styles[0] == static("page.css")
    assert re.fullmatch(r"/p/maple/brand-[0-9a-f]{16}\.css", styles[1])


def test_a_practice_without_them_shows_its_name() -> None:
    page = show("message.html", kind="away")
    assert not page.all("img")
    assert [one["href"] for one in page.all("link", rel="stylesheet")] == [static("page.css")]
    assert page.all("span", **{"class": "initial", "aria-hidden": "true"})
    assert '<span class="initial" aria-hidden="true">M</span><bdi>Maple Clinic</bdi>' in page.html


@pytest.mark.parametrize(
    "phone,email,words,links",
    [
        ("", "", "Questions? Maple Clinic is happy to help.", []),
        ("ask for Ann", "", "Questions? Maple Clinic is happy to help: ask for Ann", []),
        ("555 0100 x12", "", "help: 555 0100 x12", ["tel:5550100"]),
        ("", "a+b?c@maple.example", "help: a+b?c@maple.example", ["mailto:a+b%3Fc@maple.example"]),
    ],
)
def test_whom_to_ask(phone: str, email: str, words: str, links: list[str]) -> None:
    page = show("message.html", replace(PRACTICE, phone=phone, support_email=email), kind="away")
    assert words in page.text
    assert [one for one in page.addresses if one.startswith(("tel:", "mailto:"))] == links


# --- page by page -------------------------------------------------------------------------------------------------


def test_sign_in_asks_for_one_address() -> None:
    page = show("sign_in.html", **FORM)
    assert page.labels == ["Email me a code"]
    asked = page.all("input", name="email")[0]
    assert (asked["type"], asked["autocomplete"]) == ("email", "email")
    assert "aria-invalid" not in asked
    assert show("sign_in.html", can_cancel=True, **FORM).labels == ["Email me a code", "Not now, go back"]


def test_sign_in_says_what_is_wrong_at_the_field_and_keeps_what_was_typed() -> None:
    page = show("sign_in.html", error="email", email="ann", **FORM)
    asked = page.all("input", name="email")[0]
    assert (asked["value"], asked["aria-invalid"], asked["aria-describedby"]) == ("ann", "true", "error")
    assert page.all("p", id="error", role="alert")
    busy = show("sign_in.html", error="busy", wait="5 minutes", **FORM)
    assert "aria-invalid" not in busy.all("input", name="email")[0]
    assert "Please wait 5 minutes" in busy.text


def test_where_it_is_known_who_there_is_one_button_instead_of_the_field() -> None:
    page = show("sign_in.html", known_address="a•••@example.org", other_address_url="/other", **FORM)
    assert not page.all("input", name="email")
    assert "a•••@example.org" in page.text
    assert page.all("a", href="/other")


def test_the_code_field_takes_what_people_paste_and_what_phones_offer() -> None:
    values = next(values for name, _, values in every_page("en") if name == "code-invalid")
    page = show("enter_code.html", **values)
    asked = page.all("input", name="code")[0]
    assert (asked["type"], asked["inputmode"], asked["autocomplete"]) == ("text", "numeric", "one-time-code")
    assert not {"maxlength", "pattern"} & asked.keys()
    assert "autofocus" in asked
    assert (asked["aria-invalid"], asked["aria-describedby"]) == ("true", "error hint")
    assert "You have 4 tries left" in page.text
    assert page.all("button", name="act", value="resend")


def test_the_code_page_is_true_for_a_code_and_for_a_button_and_for_nobody() -> None:
    values = next(values for name, _, values in every_page("en") if name == "code")
    page = show("enter_code.html", **values)
    assert "If Maple Clinic knows ann@example.org, an email is on its way." in page.text
    assert "It has a code of six digits, or a button that brings you here." in page.text
    assert "It works for 10 minutes." in page.text
    assert "Look in the junk or spam folder too." in page.text
    assert "It comes from no-reply@mail.example.org." in page.text
    assert "Nobody from Maple Clinic will ever ask you for it" in page.text


@pytest.mark.parametrize("notice", ["resent", "early"])
def test_a_notice_is_announced(notice: str) -> None:
    values = next(values for name, _, values in every_page("en") if name == f"code-{notice}")
    assert show("enter_code.html", **values).all("p", role="status")


def test_who_is_asked_with_radio_buttons_in_one_group() -> None:
    page = show("choose_patient.html", patients=[("p1", "Ann"), ("p2", "p2")], error=True, **FORM)
    assert [one["value"] for one in page.all("input", type="radio", name="patient")] == ["p1", "p2"]
    assert "Ann p2" in page.text
    assert page.all("fieldset")[0]["aria-describedby"] == "error hint"
    assert len(page.all("legend")) == 1


def test_a_link_says_what_it_is_for_and_waits() -> None:
    page = show("open_link.html", workflow="pay-invoice", **FORM)
    assert page.labels == ["Continue"]
    assert "see and pay one invoice" in page.text
    assert "Nothing happens until you press" in page.text
    access = show("open_link.html", workflow="portal", needs_code=True, email_hint="a•••@example.org", **FORM)
    assert "we send a code to a•••@example.org" in access.text


@pytest.mark.parametrize("resendable", [True, False])
def test_a_dead_link_offers_a_new_one_where_there_can_be_one(resendable: bool) -> None:
    page = show("dead_link.html", reason="expired", resendable=resendable, **FORM)
    assert page.labels == ["Send me a new link"] * resendable
    assert "has expired" in page.text


def test_the_problem_of_a_website_is_for_its_people_in_small_print() -> None:
    assert "redirect_uri" in show("message.html", None, kind="request", problem="redirect_uri").text
    assert "run that website" not in show("message.html", None, kind="request").text


@pytest.mark.parametrize(
    "kind,words",
    [("signed_out", "Sign in again"), ("gone", "Start again"), ("stale", "Try again"), ("too_long", "Try again")],
)
def test_an_answer_says_where_to_go(kind: str, words: str) -> None:
    page = show("message.html", kind=kind, next_url="/onward")
    assert page.all("a", href="/onward")
    assert words in page.text


def test_the_session_page_lists_sign_ins_and_says_when_the_idle_are_signed_out() -> None:
    values = next(values for name, _, values in every_page("en") if name == "session")
    page = show("session.html", **values)
    assert "If you do nothing here for 30 minutes, you are signed out" in page.text
    assert [one["value"] for one in page.all("input", name="sid")] == ["s2", "s3"]
    assert page.labels.count("Sign out there") == 2
    assert "Sign out everywhere else" in page.labels
    assert page.all("form", action="/p/maple/sign-out")
    warning = page.html.partition("data-warning hidden")
    assert "less than two minutes" in warning[2]
    nameless = values | {
        "current": BrowserSession("s1", "p1", "", "en", "a•••@example.org", 0, 0, 0, 0),
        "sessions": [],
    }
    alone = show("session.html", replace(PRACTICE, portal_url=""), **nameless)
    assert "Sign out everywhere else" not in alone.labels
    assert "Go on to" not in alone.text


def test_sign_out_asks_and_carries_the_request_along() -> None:
    page = show("sign_out.html", fields={"state": '"><b>', "ui_locales": "es"}, cancel_url="/back", **FORM)
    assert page.all("input", type="hidden", name="state", value='"><b>')
    assert page.all("a", href="/back")
    assert page.labels == ["Sign out"]


def test_a_value_that_is_left_out_by_mistake_is_a_fault() -> None:
    with pytest.raises(UndefinedError):
        show("sign_in.html")


# --- small things -------------------------------------------------------------------------------------------------


def test_what_others_wrote_is_set_apart() -> None:
    assert render.isolated("\u202eevil\u2066\x07") == "<bdi>evil</bdi>"
    assert render.address("a@b<") == '<bdi dir="ltr">a@<wbr>b&lt;</bdi>'
    assert render.initial("«ölberg»") == "Ö"
    assert render.initial("—") == ""


@pytest.mark.parametrize(
    "path,content_type",
    [
        (static("page.css"), "text/css; charset=utf-8"),
        (static("icon.svg"), "image/svg+xml"),
        (static("session.js"), "text/javascript; charset=utf-8"),
    ],
)
def test_what_a_page_loads_is_ours_and_kept_for_ever(shared: Web, path: str, content_type: str) -> None:
    answer = shared.bare("GET", path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)
    assert "immutable" in answer.headers["Cache-Control"]
    assert re.fullmatch(r"/static/\w+-[0-9a-f]{16}\.(css|svg|js)", path)
