"""Each rule about text stands once, and everything that judges the same thing accepts the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from authsvc import text, verifier
from authsvc.cli import parameters
from authsvc.cli.errors import instant, safe_from
from authsvc.config import value_types, workflows
from authsvc.config.urls import plain
from authsvc.flows import client_metadata
from authsvc.model import Client
from authsvc.web import fields
from authsvc.web.api import responses

seeded = settings(derandomize=True, deadline=None, max_examples=300)

NASTY = st.sampled_from(
    [*"aZ09-_.:/*\\@#?{}<>\"' \t\n\r\x00\x7f\x85\u2028\u202e\u2066\ud800\xa0é日", "..", "//", "%2e"]
)
NEARLY = st.text(st.characters(codec="ascii"), max_size=70) | st.lists(NASTY, max_size=12).map("".join)


def accepts(check: Callable[[Any], Any], value: str) -> bool:
    try:
        check(value)
    except (ValueError, ValidationError, click.UsageError):
        return False
    return True


def option(parameter: click.ParamType[Any]) -> Callable[[str], Any]:
    return lambda value: parameter.convert(value, None, None)


def field(made: fields.Text) -> Callable[[str], Any]:
    return made.deserialize


def matches(pattern: str) -> Callable[[str], Any]:
    def check(value: str) -> None:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError

    return check


# --- ids ----------------------------------------------------------------------------------------------------------

SAME: dict[str, tuple[Callable[[str], Any], ...]] = {
    "patient": (option(parameters.PATIENT), field(fields.patient_id()), verifier._ID.fullmatch),
    "resource": (option(parameters.RESOURCE), field(fields.resource()), matches(text.RESOURCE)),
    "locale": (option(parameters.LOCALE), field(fields.locale())),
    "practice": (option(parameters.PRACTICE), matches(text.PRACTICE_ID)),
    "audience": (option(parameters.AUDIENCE), lambda value: value_types.AUDIENCE.parse(value, True)),
    "workflow": (field(fields.workflow()), workflows._NAME.fullmatch),
}
IDS = (
    NEARLY
    | st.from_regex(rf"\A{text.RESOURCE}\Z", fullmatch=True)
    | st.from_regex(r"\A[A-Za-z]{1,4}(-[A-Za-z0-9]{1,9}){0,5}\Z")
    | st.from_regex(r"\A[a-z0-9-]{1,70}\Z")
)


@seeded
@given(IDS)
@example("in-voice:x")
@example("ES")
@example("en-a1-b2-c3-d4")
@example("a" * 41)
def test_an_id_is_the_same_on_the_command_line_in_the_api_and_in_a_token(value: str) -> None:
    for what, (first, *others) in SAME.items():
        if value != value.strip():
            continue  # settings are trimmed, ids are not
        for other in others:
            found = other(value) if getattr(other, "__name__", "") == "fullmatch" else accepts(other, value)
            assert bool(found) == accepts(first, value), (what, value)


# --- characters ---------------------------------------------------------------------------------------------------

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F))]
CONTROLS += [chr(code) for code in (*range(0x2066, 0x206A), 0xD800, 0xDFFF)]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"U+{ord(control):04X}")
def test_attack_no_door_lets_a_control_character_in(control: str) -> None:
    line = f"Maple{control}Clinic"
    assert not accepts(plain, line)
    assert not accepts(option(parameters.Line(100)), line)
    assert not accepts(field(fields.Text()), line)


@seeded
@given(NEARLY)
def test_a_line_is_clean_for_the_command_line_exactly_when_it_is_for_the_api(value: str) -> None:
    line = value.strip()
    if line and "=?" not in line:
        clean = accepts(field(fields.Text()), line)
        assert accepts(option(parameters.Line(100)), line) == clean
        assert accepts(plain, line) == clean


# --- web addresses ------------------------------------------------------------------------------------------------

HOSTS = st.sampled_from(
    ["a.example", "localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1", "LOCALHOST", ""]
)
URLS = st.builds(
    lambda scheme, user, host, port, path: f"{scheme}://{user}{host}{port}{path}",
    st.sampled_from(["https", "http", "HTTPS", "ftp", "javascript"]),
    st.sampled_from(["", "", "", "u@", "u:p@", "@"]),
    HOSTS,
    st.sampled_from(["", "", ":443", ":0", ":", ":99999", ":x"]),
    st.sampled_from(["", "/", "/a/b", "/a?b=c", "/#f", "/..", "/%2e%2e/", "/a b", "/{x}", "/*", "/\\", "/é", "/\x00"]),
)


def _registered(url: str, production: bool) -> bool:
    client = Client("web", ("maple",), frozenset(), "services", (), 0, redirect_uris=(url,))
    return not client_metadata.faults(client, production=production)


@seeded
@given(URLS | NEARLY, st.booleans())
def test_an_address_is_the_same_for_a_practice_and_for_a_client(url: str, production: bool) -> None:
    allowed = accepts(lambda value: text.check_url(value, production=production), url)
    assert _registered(url, production) == allowed
    if url:
        shown = accepts(lambda value: parameters.web_address(value, production=production, option="--portal-url"), url)
        assert shown == allowed


@seeded
@given(URLS)
def test_every_address_that_may_be_registered_is_one_that_the_verifier_would_fetch_from(url: str) -> None:
    if accepts(lambda value: text.check_url(value, production=False), url):
        verifier._refuse_unsafe_url(url)


@pytest.mark.parametrize(
    "good", ["https://maple.example/l/{token}", "https://maple.example/{token}", "http://localhost:8000/l/{token}"]
)
def test_a_link_template_ends_in_the_token(good: str) -> None:
    text.check_link_template(good, production=False)


@pytest.mark.parametrize(
    "bad",
    [
        *("https://maple.example/l", "https://maple.example/l/{token}/", "https://maple.example/?t=/{token}"),
        *("https://maple.example/{token}/{token}", "https://{token}", "https://maple.example/{practice}/{token}"),
        *(
            "https://u:p@maple.example/{token}",
            "http://maple.example/{token}",
            "https://maple.example/#/{token}",
            "/{token}",
        ),
    ],
)
def test_attack_no_other_link_template_is_taken(bad: str) -> None:
    assert not accepts(lambda value: text.check_link_template(value, production=True), bad)


# --- phone numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "phone, dialled",
    [
        ("+1 (602) 555-0100", "tel:+16025550100"),
        ("602 555 0100 ext. 12", "tel:6025550100"),
        ("(+34) 912 345 678", "tel:+34912345678"),
        ("555+0100", "tel:5550100"),
        ("112", ""),
        ("call us", ""),
        ("", ""),
    ],
)
def test_a_number_to_dial(phone: str, dialled: str) -> None:
    assert text.tel(phone) == dialled


# --- instants -----------------------------------------------------------------------------------------------------


@seeded
@given(st.integers(0, 253_402_300_799_000))
@example(1_999)
def test_an_end_is_never_said_to_be_later_than_it_is_and_a_beginning_never_earlier(ms: int) -> None:
    assert ms - 1000 < text.parse_rfc3339(text.rfc3339(ms)) <= ms
    assert ms <= text.parse_rfc3339(text.rfc3339_not_before(ms)) < ms + 1000


def test_the_command_line_and_the_api_say_the_same_end() -> None:
    assert instant(1_999) == responses.rfc3339(1_999) == "1970-01-01T00:00:01Z"
    assert safe_from(1_001) == "1970-01-01T00:00:02Z"
    assert (instant(None), safe_from(None)) == (None, None)


@pytest.mark.parametrize(
    "written, ms",
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.5z", 500),
        ("2027-03-01T02:00:00.123456789+02:00", 1_803_859_200_123),
        ("2027-02-28T19:00:00-05:00", 1_803_859_200_000),
    ],
)
def test_an_instant_is_read_as_rfc_3339_writes_it(written: str, ms: int) -> None:
    assert text.parse_rfc3339(written) == ms


@pytest.mark.parametrize(
    "bad",
    [
        *("", "2027-03-01", "2027-03-01T00:00:00", "2027-03-01 00:00:00Z", "20270301T000000Z", "2027-3-1T00:00:00Z"),
        *("2027-02-30T00:00:00Z", "2027-03-01T24:00:00Z", "2027-03-01T00:00:60Z", "2027-03-01T00:00:00+0200", "now"),
        *("2027-03-01T00:00:00.Z", "2027-03-01T00:00:00Z\n", "２027-03-01T00:00:00Z", "2027-03-01T00:00:00+25:00"),
    ],
)
def test_anything_else_is_no_instant(bad: str) -> None:
    with pytest.raises(ValueError, match=r"^(must be an instant|is no day)"):
        text.parse_rfc3339(bad)
