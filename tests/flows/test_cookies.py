"""What a browser carries for us: it opens for that browser, that practice and that page, and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authsvc.crypto import sealing
from authsvc.flows.cookies import PAGE_ID_CHARS, Cookies
from tests.flows.conftest import Harness
from tests.flows.visitors import everything

PENDING: dict[str, Any] = {"challenge": "ach_x", "typed": "ann@example.org", "at": 1, "locale": None, "ü": ["é"]}


@pytest.fixture
def cookies(harness: Harness) -> Cookies:
    return harness.service.cookies


# --- names ----------------------------------------------------------------------------------------------------------


def test_browsers_and_pages_get_names_that_never_come_twice(cookies: Cookies) -> None:
    browsers, pages = {cookies.browser_id() for _ in range(100)}, {cookies.page_id() for _ in range(100)}
    assert (len(browsers), len(pages)) == (100, 100)
    assert {len(browser) for browser in browsers} == {22}  # 128 bits
    assert {len(page) for page in pages} == {PAGE_ID_CHARS}


def test_a_strangers_visit_keeps_nothing_here(harness: Harness, cookies: Cookies) -> None:
    cookies.form_token(cookies.browser_id(), "maple")  # the first one asks for the key
    before = everything(harness)
    browser = cookies.browser_id()
    cookies.form_token(browser, "maple")
    cookies.open("maple", browser, "p", cookies.seal("maple", browser, "p", PENDING))
    assert everything(harness) == before


# --- forms ----------------------------------------------------------------------------------------------------------


def test_a_form_of_ours_comes_back_from_the_browser_that_was_shown_it(cookies: Cookies) -> None:
    for signed_in in ("", "sid.secret"):
        token = cookies.form_token("browser", "maple", signed_in)
        assert cookies.is_ours(token, "browser", "maple", signed_in)
        assert token == cookies.form_token("browser", "maple", signed_in)  # so that two tabs have the same


def test_attack_a_form_of_another_browser_practice_or_sign_in_is_not_ours(cookies: Cookies) -> None:
    token = cookies.form_token("browser", "maple", "sid.secret")
    for other in (
        ("browser2", "maple", "sid.secret"),
        ("browser", "oak", "sid.secret"),
        ("browser", "maple", ""),
        ("browser", "maple", "sid.secret2"),
        ("browserm", "aple", "sid.secret"),  # the same letters, parted elsewhere
        ("browser", "maplesid", ".secret"),
        ("", "maple", "sid.secret"),
    ):
        assert not cookies.is_ours(token, *other)


def test_attack_a_browser_without_an_id_has_no_form_of_ours(cookies: Cookies) -> None:
    """Else a page elsewhere could post for anybody whose browser never came here."""
    assert not cookies.is_ours(cookies.form_token("", "maple"), "", "maple")


@pytest.mark.parametrize("token", ["", "A" * 43, "ä", "\ud800", "x" * 100_000])
def test_attack_an_invented_form_token_is_not_ours(cookies: Cookies, token: str) -> None:
    assert not cookies.is_ours(token, "browser", "maple")


# --- sign-ins that wait -----------------------------------------------------------------------------------------------


def test_what_was_sealed_opens_for_the_same_browser_practice_and_page(cookies: Cookies) -> None:
    sealed = cookies.seal("maple", "browser", "page", PENDING)
    assert cookies.open("maple", "browser", "page", sealed) == PENDING
    assert "ann" not in sealed
    assert sealed != cookies.seal("maple", "browser", "page", PENDING)


def test_attack_it_opens_nowhere_else(cookies: Cookies) -> None:
    sealed = cookies.seal("maple", "browser", "page", PENDING)
    for other in (("oak", "browser", "page"), ("maple", "browser2", "page"), ("maple", "browser", "page2")):
        assert cookies.open(*other, sealed) is None


def test_attack_nothing_else_under_the_same_key_opens_as_a_sign_in(harness: Harness, cookies: Cookies) -> None:
    key = harness.service.data_keys.key("cookies")
    for purpose in ("other", "", "cookies"):
        sealed = sealing.seal(key, purpose, b"{}", "maple:browser:page", harness.entropy)
        assert cookies.open("maple", "browser", "page", sealed) is None
    address = harness.service.deps.personal_data.seal("maple", "address", "ann@example.org", "p1")
    assert cookies.open("maple", "browser", "page", address) is None


def test_attack_every_changed_byte_is_noticed(cookies: Cookies) -> None:
    sealed = cookies.seal("maple", "browser", "page", {"a": 1})
    for at in range(len(sealed)):
        changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        assert cookies.open("maple", "browser", "page", changed) is None


@given(text=st.text(max_size=200) | st.from_regex(r"v1\.[A-Za-z0-9_-]{0,300}", fullmatch=True))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_attack_any_text_is_nothing(cookies: Cookies, text: str) -> None:
    assert cookies.open("maple", "browser", "page", text) is None
