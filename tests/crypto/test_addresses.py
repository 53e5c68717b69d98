"""One mailbox, one spelling; and what a stranger's spelling must not reach."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.crypto import addresses

KEY = bytes(range(32))
seeded = settings(derandomize=True, deadline=None, max_examples=300)


@pytest.mark.parametrize(
    "written,canonical",
    [
        ("anna@example.com", "anna@example.com"),
        ("  Anna@Example.COM\r\n", "anna@example.com"),
        ("a.b+tag@example.com", "a.b+tag@example.com"),
        ("anna@münchen.de", "anna@xn--mnchen-3ya.de"),
        ("anna@MÜNCHEN.de", "anna@xn--mnchen-3ya.de"),
        ("anna@xn--mnchen-3ya.de", "anna@xn--mnchen-3ya.de"),
        ("josé@example.com", "josé@example.com"),
        ("o'brien@example.co.uk", "o'brien@example.co.uk"),
        ("Taro..Y@docomo.example", "taro..y@docomo.example"),
        ("hanako.@ezweb.example", "hanako.@ezweb.example"),
        ("info@My_Clinic.example", "info@my_clinic.example"),
        ("info@_a.münchen.example", "info@_a.xn--mnchen-3ya.example"),
    ],
)
def test_the_spellings_of_one_mailbox_become_one(written: str, canonical: str) -> None:
    assert addresses.canonical(written) == canonical


@pytest.mark.parametrize("kept", ["É@example.com", "a.b@example.com", "ab+x@example.com", "ab@example.com"])
def test_nothing_more_is_folded_than_ascii_case(kept: str) -> None:
    assert addresses.canonical(kept) == kept


@pytest.mark.parametrize(
    "written,reason",
    [
        ("", "has no @"),
        ("anna", "has no @"),
        ("@example.com", "mailbox name"),
        ("an na@example.com", "mailbox name"),
        ("anna@@example.com", "mailbox name"),
        (".anna@example.com", "mailbox name"),
        ('"anna"@example.com', "mailbox name"),
        ('".anna"@example.com', "mailbox name"),
        ('"an na."@example.com', "mailbox name"),
        ('"anna.""@example.com', "mailbox name"),
        ("<anna@example.com", "mailbox name"),
        ("x" * 65 + "@example.com", "mailbox name"),
        ("é" * 33 + "@example.com", "mailbox name"),
        ("anna@", "domain name"),
        ("anna@localhost", "full domain name"),
        ("anna@example.com.", "full domain name"),
        ("anna@127.0.0.1", "full domain name"),
        ("anna@[127.0.0.1]", "domain name"),
        ("anna@exa_mple", "full domain name"),
        ("anna@exa mple_.com", "domain name"),
        ("anna@exa_mple-.com", "domain name"),
        ("anna@_mple..com", "domain name"),
        ("anna@-example.com", "domain name"),
        ("anna@example..com", "domain name"),
        ("anna@example.com,eve@example.net", "mailbox name"),
        ("x" * 60 + "@" + ".".join(["y" * 60] * 3) + ".example.com", "254"),
    ],
)
def test_what_is_no_address_is_refused_with_a_plain_reason(written: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        addresses.canonical(written)


@pytest.mark.parametrize("twin", ["ﬁona@example.com", "ａnna@example.com", "anna@ｅxample.com", "annａ＠example.com"])
def test_attack_a_compatibility_twin_never_becomes_somebody_else(twin: str) -> None:
    with pytest.raises(ValueError, match="plainer twin"):
        addresses.canonical(twin)


@pytest.mark.parametrize(
    "written",
    [
        "anna@example.com\nBcc: eve@example.net",
        "an\x00na@example.com",
        "anna\u200b@example.com",
        "anna\u202e@example.com",
        "anna\u2028@example.com",
        "anna\x7f@example.com",
        "anna\ud800@example.com",
    ],
)
def test_attack_control_and_invisible_characters_are_refused(written: str) -> None:
    with pytest.raises(ValueError, match="control or invisible"):
        addresses.canonical(written)


@seeded
@given(st.text(max_size=60) | st.emails())
def test_canonical_is_a_fixed_point_or_a_refusal(written: str) -> None:
    try:
        once = addresses.canonical(written)
    except ValueError:
        return
    assert addresses.canonical(once) == once
    assert once.rpartition("@")[2].isascii()


def test_an_index_is_22_characters_and_keyed_by_practice_and_key() -> None:
    index = addresses.index(KEY, "maple", "anna@example.com")
    assert re.fullmatch("[A-Za-z0-9_-]{22}", index)
    assert index == addresses.index(KEY, "maple", "anna@example.com")
    others = {
        addresses.index(KEY, "oak", "anna@example.com"),
        addresses.index(KEY, "maple", "bob@example.com"),
        addresses.index(bytes(32), "maple", "anna@example.com"),
        addresses.index(KEY, "mapl", "eanna@example.com"),
        addresses.network_index(KEY, "maple", "anna@example.com"),
    }
    assert index not in others
    assert len(others) == 5


@pytest.mark.parametrize(
    "email,hint",
    [
        ("anna@example.com", "a•••@e•••.com"),
        ("a@b.de", "a•••@b•••.de"),
        ("josé@mail.example.co.uk", "j•••@m•••.uk"),
    ],
)
def test_a_hint_shows_two_letters_and_the_ending_and_no_length(email: str, hint: str) -> None:
    assert addresses.hint(email) == hint


@pytest.mark.parametrize(
    "ip,networks",
    [
        ("192.0.2.7", ["192.0.2.7/32"]),
        ("::ffff:192.0.2.7", ["192.0.2.7/32"]),
        ("2001:db8:1:2:3:4:5:6", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("2001:DB8:1:2::9", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("fe80::1%eth0", ["fe80::/64", "fe80::/48"]),
    ],
)
def test_an_address_belongs_to_the_networks_that_have_a_budget(ip: str, networks: list[str]) -> None:
    assert addresses.networks(ip) == networks


@pytest.mark.parametrize("junk", ["", "localhost", "192.0.2.7/24", "192.0.2.256", "0192.0.2.1", " 192.0.2.7", "1"])
def test_what_is_no_network_address_is_refused(junk: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        addresses.networks(junk)
