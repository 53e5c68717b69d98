"""Refresh tokens: compact, made again byte for byte, and good for their own client only."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.crypto import mint, tokens
from authsvc.crypto.mint import b64u, unb64u
from authsvc.crypto.tokens import Refresh, build_refresh, parse_refresh
from tests.fakes import SeededEntropy

KEY = bytes(range(32))
NONCE = b"n" * 16
SID = "sssssssssssssssssssssg"
seeded = settings(derandomize=True, deadline=None, max_examples=200)


def build(**changed: object) -> str:
    payload = {"practice": "maple", "sid": SID, "generation": 3, "nonce": NONCE, "client": "portal", **changed}
    return build_refresh(KEY, **payload)  # type: ignore[arg-type]  # a table of changes, each of its own type


ids = st.from_regex(r"[a-z0-9][a-z0-9-]{1,40}", fullmatch=True)


@seeded
@given(ids, st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16), ids)
def test_a_token_comes_back_as_what_it_says(practice: str, generation: int, nonce: bytes, client: str) -> None:
    sid = mint.short_id(SeededEntropy(practice))
    token = build_refresh(KEY, practice=practice, sid=sid, generation=generation, nonce=nonce, client=client)
    assert parse_refresh(KEY, token, client) == Refresh(practice, sid, generation, nonce)
    assert len(token) <= 160
    assert token.isascii()


def test_the_same_successor_can_be_made_again() -> None:
    assert build() == build()
    assert build().startswith("art_")


def test_generations_have_different_tokens() -> None:
    assert build(generation=3) != build(generation=4)


def test_a_token_shows_no_client_and_its_repr_no_nonce() -> None:
    assert b"portal" not in unb64u(build().removeprefix("art_"))
    assert "nnnn" not in repr(parse_refresh(KEY, build(), "portal"))


def test_attack_another_client_cannot_use_it() -> None:
    with pytest.raises(ValueError, match="this client"):
        parse_refresh(KEY, build(), "billing")


def test_attack_another_key_does_not_make_it() -> None:
    with pytest.raises(ValueError, match="this client"):
        parse_refresh(bytes(32), build(), "portal")


def test_attack_no_flipped_bit_goes_unseen() -> None:
    data = unb64u(build().removeprefix("art_"))
    for position in range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(ValueError, match="this client"):
            parse_refresh(KEY, "art_" + b64u(flipped), "portal")


def test_attack_letters_cannot_wander_between_practice_and_session() -> None:
    tokens_made = {
        build(practice="maple", sid="xs"),
        build(practice="maplex", sid="s"),
        build(practice="mapl", sid="exs"),
    }
    assert len(tokens_made) == 3
    for made in tokens_made:
        payload = parse_refresh(KEY, made, "portal")
        assert payload.practice + payload.sid == "maplexs"


@pytest.mark.parametrize(
    "junk",
    ["", "art_", "art_AAAA", "ach_" + "A" * 100, "art_" + "A" * 300, "art_===", "art_é", "x", "art_" + "A" * 43],
)
def test_junk_is_refused_cheaply(junk: str) -> None:
    with pytest.raises(ValueError, match=r"refresh token|base64url"):
        parse_refresh(KEY, junk, "portal")


@seeded
@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    with pytest.raises(ValueError, match=r"refresh token|base64url"):
        parse_refresh(KEY, "art_" + text, "portal")


def test_a_sessions_nonce_needs_the_handle_and_is_its_own() -> None:
    nonce = tokens.session_nonce(KEY, "maple", "ach_h", SID)
    assert len(nonce) == 16
    assert nonce == tokens.session_nonce(KEY, "maple", "ach_h", SID)
    others = {
        tokens.session_nonce(KEY, "maple", "ach_i", SID),
        tokens.session_nonce(KEY, "oak", "ach_h", SID),
        tokens.session_nonce(KEY, "maple", "ach_h", "other"),
        tokens.session_nonce(bytes(32), "maple", "ach_h", SID),
    }
    assert nonce not in others
    assert len(others) == 4


def test_token_ids_are_128_bits_unique_and_the_same_for_the_same_successor() -> None:
    made = {tokens.jti(KEY, SID, generation, "a", "k") for generation in range(1_000)}
    assert len(made) == 1_000
    assert all(len(unb64u(each)) == 16 for each in made)
    assert tokens.jti(KEY, SID, 7, "a", "k") == tokens.jti(KEY, SID, 7, "a", "k")
