"""Access tokens: what is in them, how large they are, and that our own endpoints take no more than services do."""

from __future__ import annotations

import base64
import hmac
import json
from functools import cache
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.crypto import keys
from authsvc.crypto.keys import SigningKey
from authsvc.crypto.mint import b64u
from authsvc.crypto.tokens import AccessTokens, access_claims, authorization_details
from authsvc.errors import TokenInvalid
from tests.fakes import NINE_O_CLOCK_MS

ISSUER = "https://auth.example.com"
TOKENS = AccessTokens()


@cache
def key_of(alg: str) -> SigningKey:
    return keys.generate(alg)


def claims(**changed: Any) -> dict[str, Any]:
    return access_claims(
        **{
            "issuer": ISSUER,
            "audience": "practice-services",
            "client": "portal",
            "practice": "maple",
            "patient": "p1",
            "scopes": ["invoices:view", "contact:edit"],
            "acr": "extra",
            "amr": ["email"],
            "auth_time_ms": NINE_O_CLOCK_MS + 999,
            "now_ms": NINE_O_CLOCK_MS + 999,
            "expires_ms": NINE_O_CLOCK_MS + 600_999,
            "jti": "j" * 22,
            "sid": "s" * 22,
            **changed,
        }
    )


def link_claims(**changed: Any) -> dict[str, Any]:
    bound = {"sid": None, "link": "l" * 16, "resource": "invoice:inv_1", "scopes": ["invoice:view", "invoice:pay"]}
    return claims(**{**bound, "acr": "instant", **changed})


def issue(payload: dict[str, Any], alg: str = "ES256") -> str:
    return TOKENS.issue(key_of(alg), payload)


def verify(token: str, now_ms: int = NINE_O_CLOCK_MS + 1_000, alg: str = "ES256") -> dict[str, Any]:
    return TOKENS.verify(token, {key_of(alg).kid: key_of(alg)}, ISSUER, now_ms)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    head, body, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(head), json.loads(body), signature


def forged(header: dict[str, Any], payload: dict[str, Any], signature: bytes | None = None) -> str:
    """A token with this header; signed with the right key unless a signature is given."""
    signing_input = ".".join(b64u(json.dumps(part).encode()) for part in (header, payload))
    made = key_of("ES256").sign(signing_input.encode()) if signature is None else signature
    return f"{signing_input}.{b64u(made)}"


def good_header() -> dict[str, Any]:
    return {"alg": "ES256", "typ": "at+jwt", "kid": key_of("ES256").kid}


# --- what is in them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_the_header_is_exactly_alg_typ_and_kid(alg: str) -> None:
    header, _, _ = parts(issue(claims(), alg))
    assert header == {"alg": alg, "typ": "at+jwt", "kid": key_of(alg).kid}
    assert list(header) == ["alg", "typ", "kid"]


def test_a_code_sign_in_says_its_session_and_no_resource() -> None:
    assert claims() == {
        "iss": ISSUER,
        "sub": "maple:p1",
        "aud": "practice-services",
        "client_id": "portal",
        "practice": "maple",
        "patient": "p1",
        "scope": "invoices:view contact:edit",
        "acr": "extra",
        "amr": ["email"],
        "auth_time": NINE_O_CLOCK_MS // 1000,
        "iat": NINE_O_CLOCK_MS // 1000,
        "exp": NINE_O_CLOCK_MS // 1000 + 600,
        "jti": "j" * 22,
        "sid": "s" * 22,
    }


def test_a_link_says_its_id_its_resource_and_what_may_be_done_with_it() -> None:
    payload = link_claims()
    assert "sid" not in payload
    assert payload["link"] == "l" * 16
    assert payload["resource"] == "invoice:inv_1"
    assert payload["authorization_details"] == [{"type": "invoice", "identifier": "inv_1", "actions": ["view", "pay"]}]


def test_a_link_without_a_resource_has_neither_resource_nor_details() -> None:
    payload = link_claims(resource=None, scopes=["payment_info:update"])
    assert not {"resource", "authorization_details"} & set(payload)


def test_details_name_only_the_actions_of_the_resources_own_type() -> None:
    details = authorization_details("agreement:a:1", ["agreement:view", "invoice:pay", "agreement:accept", "agreement"])
    assert details == [{"type": "agreement", "identifier": "a:1", "actions": ["view", "accept", ""]}]


def test_the_same_claims_give_the_same_token() -> None:
    assert issue(claims()) == issue(claims())


def test_an_es256_signature_is_r_and_s_in_64_bytes() -> None:
    token = issue(claims())
    assert len(token.rpartition(".")[2]) == 86
    assert len(parts(token)[2]) == 64


def test_a_token_is_under_a_kilobyte_with_ids_of_16_characters() -> None:
    wide = {"client": "c" * 16, "practice": "p" * 16, "patient": "x" * 16, "issuer": "https://auth.example.com"}
    every = "invoices:view statements:generate contact:view contact:edit membership:view membership:edit dependents:add"
    every += " payment_methods:view payment_methods:edit invoice:view invoice:pay payment_info:update"
    every += " agreement:view agreement:accept"
    assert len(issue(link_claims(**wide, resource="agreement:" + "r" * 16))) < 1_000
    assert len(issue(claims(**wide, scopes=every.split()))) < 1_000


def test_a_token_with_the_longest_ids_stays_under_1500_bytes() -> None:
    wide = {"client": "c" * 41, "practice": "p" * 41, "patient": "x" * 64, "audience": "practice-services"}
    longest = link_claims(**wide, resource="agreement:" + "r" * 64, scopes=["agreement:view", "agreement:accept"])
    assert len(issue(longest)) < 1_500
    assert len(issue(claims(**wide, scopes=["membership:view"] * 15))) < 1_500


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_pyjwt_verifies_what_we_sign_with_the_published_key(alg: str) -> None:
    published = jwt.PyJWK(dict(key_of(alg).jwk))
    payload = jwt.decode(
        issue(claims(), alg), published, [alg], audience="practice-services", options={"verify_iat": False}
    )
    assert payload == claims()


# --- our own endpoints --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_a_good_token_comes_back_as_its_claims(alg: str) -> None:
    assert verify(issue(claims(), alg), alg=alg) == claims()
    assert verify(issue(link_claims(), alg), alg=alg) == link_claims()


def refused(token: str, now_ms: int = NINE_O_CLOCK_MS + 1_000) -> str:
    with pytest.raises(TokenInvalid) as refusal:
        verify(token, now_ms)
    return refusal.value.reason


def test_an_expired_token_is_refused_after_the_leeway() -> None:
    token, end_ms = issue(claims()), (NINE_O_CLOCK_MS // 1000 + 600) * 1000
    assert verify(token, end_ms + 29_999)
    assert refused(token, end_ms + 30_000) == "expired"


def test_a_token_from_the_future_is_refused() -> None:
    assert refused(issue(claims()), NINE_O_CLOCK_MS - 31_000) == "from_the_future"


def test_attack_alg_none_is_refused() -> None:
    assert refused(forged({**good_header(), "alg": "none"}, claims(), b"\x00")) == "algorithm"


def test_attack_hs256_with_the_public_key_as_secret_is_refused() -> None:
    header = {**good_header(), "alg": "HS256"}
    signing_input = ".".join(b64u(json.dumps(part).encode()) for part in (header, claims()))
    for secret in (key_of("ES256").pem.encode(), json.dumps(key_of("ES256").jwk).encode()):
        signature = hmac.digest(secret, signing_input.encode(), "sha256")
        assert refused(f"{signing_input}.{b64u(signature)}") == "algorithm"


def test_attack_a_token_of_an_unknown_or_revoked_key_is_refused() -> None:
    assert refused(TOKENS.issue(keys.generate("ES256"), claims())) == "unknown_kid"


def test_attack_another_algorithm_under_a_known_kid_is_refused() -> None:
    assert refused(forged({**good_header(), "alg": "RS256"}, claims())) == "algorithm_of_another_key"


def test_attack_another_keys_signature_under_a_known_kid_is_refused() -> None:
    head, body, _ = issue(claims()).split(".")
    signature = keys.generate("ES256").sign(f"{head}.{body}".encode())
    assert refused(f"{head}.{body}.{b64u(signature)}") == "signature"


def test_attack_no_changed_character_goes_unseen() -> None:
    token = issue(link_claims())
    for position in range(0, len(token), 7):
        swapped = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        assert refused(swapped)


@pytest.mark.parametrize("typ", ["JWT", "id_token", "logout+jwt", "", None])
def test_attack_another_kind_of_our_own_jwts_is_refused(typ: str | None) -> None:
    assert refused(forged({**good_header(), "typ": typ}, claims())) in ("typ", "header")


@pytest.mark.parametrize(
    "change,reason",
    [
        ({"iss": ISSUER + "/"}, "issuer"),
        ({"sub": "maple:p2"}, "subject"),
        ({"practice": "oak"}, "subject"),
        ({"exp": str(NINE_O_CLOCK_MS)}, "claim_exp"),
        ({"exp": True}, "claim_exp"),
        ({"sid": "s", "link": "l"}, "session_and_link"),
        ({"amr": []}, "claim_amr"),
    ],
)
def test_attack_wrong_claims_are_refused_though_well_signed(change: dict[str, Any], reason: str) -> None:
    assert refused(issue({**claims(), **change})) == reason


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "client_id", "practice", "patient", "scope", "acr", "amr"])
def test_attack_a_missing_claim_is_refused(name: str) -> None:
    assert refused(issue({key: value for key, value in claims().items() if key != name})) == f"claim_{name}"


def test_attack_twin_members_are_refused() -> None:
    body = json.dumps(claims())[:-1] + ', "exp": 99999999999}'
    signing_input = f"{b64u(json.dumps(good_header()).encode())}.{b64u(body.encode())}"
    assert refused(f"{signing_input}.{b64u(key_of('ES256').sign(signing_input.encode()))}") == "payload_json"


@pytest.mark.parametrize("change", ["{}==", " {}", "{}\n", "{}.x", "x.{}", "Bearer {}"])
def test_attack_padding_white_space_and_more_parts_are_refused(change: str) -> None:
    assert refused(change.format(issue(claims())))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}"))
def test_junk_is_refused_and_never_breaks_anything(junk: str) -> None:
    assert refused(junk)
