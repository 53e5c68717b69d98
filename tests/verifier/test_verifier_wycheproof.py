"""The Wycheproof tokens for JWS and JWE: no invalid one gets by, and what is refused beyond that has a reason.

Wycheproof's tokens carry no `typ` and the payload `foo`, so none can be one of ours and the whole verifier refuses all
83. That alone would prove little: the signature layer (shape, encoding, key, algorithm, signature) is asked by itself.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from authsvc import verifier as under_test
from authsvc.verifier import InvalidToken, Verifier
from tests.vectors import generate as kit

HERE = Path(__file__).parent.parent / "vectors" / "wycheproof"
FILE = HERE / "json_web_crypto_test.json"
CASES = [(group, case) for group in json.loads(FILE.read_text())["testGroups"] for case in group["tests"]]

STRICTER = {
    1: "HS256: no shared secrets",
    48: "HS256: no shared secrets",
    50: "JWE: no encrypted tokens",
    67: "JWE: no encrypted tokens",
}
"""Valid in themselves, refused by our profile."""


def key_set(group: dict[str, Any]) -> bytes:
    """What an issuer of these tokens would publish; the shared secrets too, since that is the mistake to catch."""
    key = group.get("public") or group["private"]
    return json.dumps(key if "keys" in key else {"keys": [key]}).encode()


def signature_layer_accepts(group: dict[str, Any], token: object) -> bool:
    try:
        header, _, signed, signature = under_test.split(token)
        key = under_test.parse_jwks(key_set(group))[header["kid"]]
    except (InvalidToken, ValueError, KeyError):
        return False
    return header["alg"] == key.alg and key.verifies(signed, signature)


def name(value: object) -> str:
    return f"{value['tcId']} {value['comment']}" if isinstance(value, dict) and "tcId" in value else ""


@pytest.mark.parametrize("group, case", CASES, ids=name)
def test_the_signature_layer_reaches_wycheproofs_verdict(group: dict[str, Any], case: dict[str, Any]) -> None:
    expected = case["result"] == "valid" and case["tcId"] not in STRICTER
    assert signature_layer_accepts(group, case.get("jws", case.get("jwe"))) is expected


@pytest.mark.parametrize("group, case", CASES, ids=name)
def test_no_wycheproof_token_is_an_access_token(group: dict[str, Any], case: dict[str, Any]) -> None:
    verifier = Verifier("https://a.example", "a", "maple", now=lambda: kit.NOW, fetch=lambda _: key_set(group))
    with pytest.raises(InvalidToken):
        verifier.verify(case["jws"] if "jws" in case else case["jwe"])


def test_both_kinds_of_key_that_we_share_with_wycheproof_are_exercised() -> None:
    accepted = {case["tcId"] for group, case in CASES if signature_layer_accepts(group, case.get("jws"))}
    assert accepted == {18, 33}  # ES256 and RS256


def test_an_rsa_key_with_the_roca_weakness_is_no_key() -> None:
    group = next(group for group, case in CASES if case["comment"] == "rejectsKeyWithRocaVulnerability")
    with pytest.raises(ValueError, match="no key for us"):
        under_test.parse_jwks(key_set(group))


def test_the_file_is_the_one_that_its_note_speaks_of() -> None:
    assert len(CASES) == 83
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in (HERE / "README.md").read_text()
