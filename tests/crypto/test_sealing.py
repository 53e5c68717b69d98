"""Derived keys, MACs and sealed values: known answers, and what an attacker with write access to Redis may try."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.crypto import sealing
from authsvc.crypto.mint import b64u, unb64u
from tests.fakes import SeededEntropy

KEY = bytes(range(32))
seeded = settings(derandomize=True, deadline=None, max_examples=200)


def test_derive_is_hkdf_sha_256_of_rfc_5869() -> None:
    # Appendix A.3: no salt, no info; our keys are the first 32 of its 42 bytes.
    okm = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert sealing.derive(b"\x0b" * 22, "") == bytes.fromhex(okm)[:32]


def test_every_label_has_a_key_of_its_own() -> None:
    labels = ["a", "b", "authsvc master id v1", "authsvc code pepper v1", "authsvc data key wrap v1"]
    assert len({sealing.derive(KEY, label) for label in labels}) == len(labels)


def test_a_master_id_names_a_master_and_is_no_part_of_it() -> None:
    assert sealing.master_id(KEY) == sealing.derive(KEY, "authsvc master id v1").hex()[:8]
    assert sealing.master_id(KEY) != sealing.master_id(bytes(32))


def test_a_mac_is_hmac_sha_256_over_the_framed_label_and_data() -> None:
    framed = b"\x00\x00\x00\x05label" + b"\x00\x00\x00\x04data"
    assert sealing.mac(KEY, "label", b"data") == b64u(hmac.digest(KEY, framed, hashlib.sha256))


@seeded
@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_two_lists_of_fields_never_frame_to_the_same_bytes(one: list[str], other: list[str]) -> None:
    assert (sealing.frame(*one) == sealing.frame(*other)) == (one == other)


@seeded
@given(st.binary(max_size=300), st.text(max_size=20), st.text(max_size=20))
def test_what_is_sealed_opens_again(plaintext: bytes, purpose: str, context: str) -> None:
    sealed = sealing.seal(KEY, purpose, plaintext, context, SeededEntropy())
    assert sealing.unseal(KEY, purpose, sealed, context) == plaintext


def test_sealing_twice_gives_two_texts(entropy: SeededEntropy) -> None:
    assert sealing.seal(KEY, "p", b"x", "c", entropy) != sealing.seal(KEY, "p", b"x", "c", entropy)


@pytest.mark.parametrize("length", [0, 1, 6, 30, 63])
def test_short_plaintexts_look_all_the_same_length(entropy: SeededEntropy, length: int) -> None:
    assert len(sealing.seal(KEY, "p", b"x" * length, "c", entropy)) == 126


def test_a_plaintext_of_a_full_step_takes_another(entropy: SeededEntropy) -> None:
    sealed = sealing.seal(KEY, "p", b"\x80" * 64, "c", entropy)
    assert len(unb64u(sealed[3:])) == 12 + 128 + 16
    assert sealing.unseal(KEY, "p", sealed, "c") == b"\x80" * 64


def test_attack_a_value_moved_to_another_record_does_not_open(entropy: SeededEntropy) -> None:
    sealed = sealing.seal(KEY, "address", b"anna@example.com", "maple:p1", entropy)
    with pytest.raises(ValueError, match="does not open"):
        sealing.unseal(KEY, "address", sealed, "maple:p2")


def test_attack_a_value_used_for_another_purpose_does_not_open(entropy: SeededEntropy) -> None:
    sealed = sealing.seal(KEY, "address", b"anna@example.com", "maple", entropy)
    with pytest.raises(ValueError, match="does not open"):
        sealing.unseal(KEY, "label", sealed, "maple")


def test_attack_purpose_and_context_cannot_be_shifted_into_each_other(entropy: SeededEntropy) -> None:
    sealed = sealing.seal(KEY, "ab", b"x", "c", entropy)
    with pytest.raises(ValueError, match="does not open"):
        sealing.unseal(KEY, "a", sealed, "bc")


def test_attack_another_key_does_not_open_it(entropy: SeededEntropy) -> None:
    sealed = sealing.seal(KEY, "p", b"x", "c", entropy)
    with pytest.raises(ValueError, match="does not open"):
        sealing.unseal(bytes(32), "p", sealed, "c")


def test_attack_no_flipped_bit_goes_unseen(entropy: SeededEntropy) -> None:
    data = unb64u(sealing.seal(KEY, "p", b"x", "c", entropy)[3:])
    for position in range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(ValueError, match="does not open"):
            sealing.unseal(KEY, "p", "v1." + b64u(flipped), "c")


@pytest.mark.parametrize("junk", ["", "v1.", "v2." + "A" * 200, "v1." + "A" * 40, "v1.===", "plain@example.com"])
def test_junk_is_refused_with_a_value_error(junk: str) -> None:
    with pytest.raises(ValueError, match=r"sealed|base64url"):
        sealing.unseal(KEY, "p", junk, "c")
