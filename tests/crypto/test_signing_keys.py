"""Signing keys: known answers of the RFCs, strict loading, and the self-test."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from authsvc.crypto import keys
from authsvc.crypto.keys import SigningKey
from authsvc.crypto.mint import b64u, unb64u
from tests.harness.machine import require

ALGS = ["ES256", "RS256", "EdDSA"]
P256_OF_RFC_6979 = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721


@cache
def key_of(alg: str) -> SigningKey:
    return keys.generate(alg)


def pem_of(private: PrivateKeyTypes, encryption: KeySerializationEncryption | None = None) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode()


def test_a_thumbprint_of_an_rsa_key_is_the_one_of_rfc_7638() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert keys.thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_thumbprint_of_an_ed25519_key_is_the_one_of_rfc_8037() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert keys.thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    "message,r,s",
    [
        (
            b"sample",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ),
        (
            b"test",
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
        ),
    ],
)
def test_es256_is_deterministic_as_in_rfc_6979(message: bytes, r: str, s: str) -> None:
    key = keys.from_pem(pem_of(ec.derive_private_key(P256_OF_RFC_6979, ec.SECP256R1())))
    assert key.sign(message).hex().upper() == r + s
    assert key.sign(message) == key.sign(message)


@pytest.mark.parametrize("alg", ALGS)
def test_a_key_signs_what_only_it_verifies(alg: str) -> None:
    key, other = key_of(alg), keys.generate("ES256")
    assert key.verifies(b"message", key.sign(b"message"))
    assert not key.verifies(b"massage", key.sign(b"message"))
    assert not other.verifies(b"message", key.sign(b"message"))


@pytest.mark.parametrize("alg,members", [("ES256", "crv x y"), ("RS256", "n e"), ("EdDSA", "crv x")])
def test_the_jwk_has_public_members_only_and_says_what_it_is_for(alg: str, members: str) -> None:
    key = key_of(alg)
    assert set(key.jwk) == {"kty", "use", "alg", "kid", *members.split()}
    assert (key.jwk["use"], key.jwk["alg"], key.jwk["kid"]) == ("sig", alg, key.kid)
    assert key.kid == keys.thumbprint(key.jwk)


@pytest.mark.parametrize("alg", ALGS)
def test_a_key_survives_its_sealed_form_and_its_pem(alg: str) -> None:
    key = key_of(alg)
    assert keys.from_der(key.to_der()).kid == key.kid
    assert keys.from_pem(pem_of(key.private)).jwk == key.jwk


@pytest.mark.parametrize("alg", ALGS)
def test_no_private_part_shows_in_repr_jwk_or_pem(alg: str) -> None:
    key = key_of(alg)
    assert "private" not in repr(key)
    assert "PRIVATE" not in key.pem
    assert not set(key.jwk) & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def test_coordinates_keep_their_leading_zeros() -> None:
    # Private keys whose x or y begins with a zero byte, found by counting up.
    short = [number for number in range(1, 1500) if _leads_with_zero(number)]
    assert len(short) >= 3
    for number in short[:3]:
        key = keys.from_pem(pem_of(ec.derive_private_key(number, ec.SECP256R1())))
        assert len(unb64u(key.jwk["x"])) == len(unb64u(key.jwk["y"])) == 32
        assert len(key.jwk["x"]) == 43


def _leads_with_zero(number: int) -> bool:
    point = ec.derive_private_key(number, ec.SECP256R1()).public_key().public_numbers()
    return min(point.x, point.y) < 1 << 248


def test_generated_rsa_keys_have_128_bit_strength() -> None:
    private = key_of("RS256").private
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.key_size == 3072
    assert key_of("RS256").jwk["e"] == "AQAB"


@pytest.mark.parametrize(
    "private,reason",
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), "curve is secp384r1"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "curve is secp256k1"),
        (lambda: rsa.generate_private_key(65537, 2048), "2048 bits"),
        (lambda: rsa.generate_private_key(3, 3072), "exponent"),
        (ed448.Ed448PrivateKey.generate, "only P-256, RSA and Ed25519"),
    ],
)
def test_a_key_of_another_kind_or_strength_is_refused(private: Callable[[], PrivateKeyTypes], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        keys.from_pem(pem_of(private()))


def test_an_oversized_rsa_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pem = pem_of(key_of("RS256").private)
    monkeypatch.setattr(keys, "RSA_BITS_MAX", 3071)  # a key above 4096 bits takes seconds to make
    with pytest.raises(ValueError, match="3072 bits"):
        keys.from_pem(pem)


@pytest.mark.parametrize("junk", ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_junk_is_no_key(junk: str) -> None:
    with pytest.raises(ValueError, match="not a private key in PEM form"):
        keys.from_pem(junk)


def test_a_public_key_is_no_private_key() -> None:
    with pytest.raises(ValueError, match="not a private key in PEM form"):
        keys.from_pem(key_of("ES256").pem)


def test_an_encrypted_key_says_so() -> None:
    with pytest.raises(ValueError, match="encrypted"):
        keys.from_pem(pem_of(key_of("ES256").private, BestAvailableEncryption(b"password")))


def test_a_damaged_sealed_key_is_refused() -> None:
    with pytest.raises(ValueError, match="PKCS #8"):
        keys.from_der(key_of("ES256").to_der()[:-5])


@pytest.mark.parametrize("alg", ALGS)
def test_attack_a_key_whose_published_half_is_another_fails_its_self_test(alg: str) -> None:
    key, other = key_of(alg), keys.generate(alg)
    with pytest.raises(ValueError, match="self-test"):
        keys.self_test(dataclasses.replace(key, jwk=other.jwk))


def test_attack_a_point_off_the_curve_fails_the_self_test() -> None:
    key = key_of("ES256")
    with pytest.raises(ValueError, match="self-test"):
        keys.self_test(dataclasses.replace(key, jwk={**key.jwk, "y": b64u(bytes(32))}))


def test_the_pem_is_what_openssl_reads(tmp_path_factory: pytest.TempPathFactory) -> None:
    openssl = require("openssl")
    path = tmp_path_factory.mktemp("pem") / "key.pem"
    for alg in ALGS:
        path.write_text(key_of(alg).pem)
        subprocess.run([openssl, "pkey", "-pubin", "-in", str(path), "-noout"], check=True)


def test_the_public_half_of_the_pem_is_that_of_the_jwk() -> None:
    key = key_of("EdDSA")
    assert key.jwk["x"] == b64u(key.public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def test_an_unknown_algorithm_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        keys.generate("HS256")
