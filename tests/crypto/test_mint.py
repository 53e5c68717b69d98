"""What is minted is unguessable, of one shape, and kept as a digest only."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.crypto import mint
from authsvc.text import LINK_TOKEN, SECRETS
from tests.fakes import SeededEntropy

seeded = settings(derandomize=True, deadline=None, max_examples=200)


@pytest.mark.parametrize("prefix", SECRETS)
def test_a_token_is_a_typed_prefix_and_256_bits(entropy: SeededEntropy, prefix: str) -> None:
    made = mint.token(entropy, prefix)
    assert re.fullmatch(prefix + r"[A-Za-z0-9_-]{43}", made)
    assert len(mint.unb64u(made.removeprefix(prefix))) == 32


def test_ten_thousand_tokens_and_ids_are_all_different(entropy: SeededEntropy) -> None:
    assert len({mint.token(entropy, LINK_TOKEN) for _ in range(10_000)}) == 10_000
    assert len({mint.short_id(entropy) for _ in range(10_000)}) == 10_000


def test_an_id_is_128_bits_in_22_characters(entropy: SeededEntropy) -> None:
    assert len(mint.short_id(entropy)) == 22
    assert len(mint.unb64u(mint.short_id(entropy))) == 16


def test_a_code_keeps_its_leading_zeros(entropy: SeededEntropy) -> None:
    entropy.next_below(7, 0, 999_999)
    assert [mint.code(entropy) for _ in range(3)] == ["000007", "000000", "999999"]


def test_codes_are_six_digits_and_every_leading_digit_is_as_likely(entropy: SeededEntropy) -> None:
    codes = [mint.code(entropy) for _ in range(5_000)]
    assert all(re.fullmatch("[0-9]{6}", code) for code in codes)
    leading = Counter(code[0] for code in codes)
    assert len(leading) == 10
    assert all(abs(count - 500) < 5 * (5_000 * 0.1 * 0.9) ** 0.5 for count in leading.values())


def test_what_is_drawn_for_one_act_is_drawn_once_and_each_byte_of_it_handed_out_once() -> None:
    source, drawn = SeededEntropy(), mint.Drawn(SeededEntropy(), 48)
    whole, after = source.token_bytes(48), source.token_bytes(16)
    assert drawn.token_bytes(32) + drawn.token_bytes(16) == whole
    assert drawn.token_bytes(16) == after, "more than was drawn comes from the source"


def test_attack_what_is_left_of_a_draw_is_never_made_longer_by_what_was_handed_out() -> None:
    source, drawn = SeededEntropy(), mint.Drawn(SeededEntropy(), 48)
    whole, after = source.token_bytes(48), source.token_bytes(32)
    assert drawn.token_bytes(32) == whole[:32]
    assert drawn.token_bytes(32) == after, "16 are left"
    assert drawn.token_bytes(16) == whole[32:]


def test_a_digest_is_plain_sha_256_so_that_other_programs_can_make_it() -> None:
    assert mint.digest("abc") == "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"  # FIPS 180-2 B.1


def test_the_public_id_of_a_link_is_not_the_beginning_of_its_stored_digest(entropy: SeededEntropy) -> None:
    token = mint.token(entropy, LINK_TOKEN)
    assert len(mint.link_id(token)) == 16
    assert mint.link_id(token) == mint.link_id(token)
    assert not mint.digest(token).startswith(mint.link_id(token)[:4])


@seeded
@given(st.binary(max_size=100))
def test_base64url_comes_back_and_needs_no_padding(data: bytes) -> None:
    text = mint.b64u(data)
    assert "=" not in text
    assert mint.unb64u(text) == data


@seeded
@given(st.text(max_size=40))
def test_only_one_spelling_of_base64url_is_read(text: str) -> None:
    try:
        data = mint.unb64u(text)
    except ValueError:
        return
    assert mint.b64u(data) == text


@pytest.mark.parametrize("text", ["AA==", "AA=", "A", "AB", "A A", "AA\n", "AA+/", "ＡＡ", "é", "AA.A", "\x00"])
def test_padding_white_space_loose_bits_and_foreign_letters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        mint.unb64u(text)
