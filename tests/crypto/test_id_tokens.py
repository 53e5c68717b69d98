"""ID tokens and logout tokens: what is in them, which of them comes back as a hint, and that neither opens a door."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authsvc.crypto import id_tokens, keys, tokens
from authsvc.crypto.id_tokens import claimed_audience, claimed_kid, id_claims, logout_claims, read_hint
from authsvc.crypto.keys import SigningKey
from authsvc.crypto.mint import b64u
from authsvc.errors import TokenInvalid
from tests.fakes import NINE_O_CLOCK_MS

ISSUER = "https://auth.example.com"
NOW_S = NINE_O_CLOCK_MS // 1000


@cache
def key_of(alg: str = "ES256") -> SigningKey:
    return keys.generate(alg)


def claims(**changed: Any) -> dict[str, Any]:
    return id_claims(
        **{
            "issuer": ISSUER,
            "client": "portal-web",
            "practice": "maple",
            "patient": "p1",
            "acr": "extra",
            "amr": ["email"],
            "auth_time_s": NOW_S - 60,
            "issued_s": NOW_S,
            "expires_s": NOW_S + 600,
            **changed,
        }
    )


def signed(payload: dict[str, Any], typ: str = "JWT", key: SigningKey | None = None) -> str:
    return tokens.sign(key or key_of(), payload, typ)


def read(token: str, key: SigningKey | None = None) -> dict[str, Any]:
    known = key or key_of()
    return read_hint(token, {known.kid: known}, ISSUER)


def header(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.get_unverified_header(token)
    return found


def raw(head: dict[str, Any], payload: dict[str, Any], key: SigningKey | None = None) -> str:
    """A token with exactly this header, rightly signed."""
    signing_input = ".".join(b64u(json.dumps(part).encode()) for part in (head, payload))
    return f"{signing_input}.{b64u((key or key_of()).sign(signing_input.encode()))}"


def test_the_hash_of_an_access_token_is_that_of_the_standards_own_example() -> None:
    """OpenID Connect Core, appendix A.3."""
    for alg in ("ES256", "RS256"):
        assert id_tokens.at_hash(alg, "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y") == "77QmUPtjPfzWtF2AnpK9RQ"
    assert id_tokens.at_hash("EdDSA", "x") == ""
    assert claims(at_hash="77QmUPtjPfzWtF2AnpK9RQ")["at_hash"] == "77QmUPtjPfzWtF2AnpK9RQ"
    assert "at_hash" not in claims()


# --- what is in them ----------------------------------------------------------------------------------------------


def test_an_id_token_says_who_signed_in_and_how_and_nothing_else() -> None:
    assert claims(sid="s" * 22, nonce="n-0S6_WzA2Mj") == {
        "iss": ISSUER,
        "sub": "maple:p1",
        "aud": "portal-web",
        "iat": NOW_S,
        "exp": NOW_S + 600,
        "auth_time": NOW_S - 60,
        "acr": "extra",
        "amr": ["email"],
        "practice": "maple",
        "sid": "s" * 22,
        "nonce": "n-0S6_WzA2Mj",
    }


def test_without_a_session_there_is_no_sid_and_without_a_nonce_none() -> None:
    assert claims(sid="s", nonce="n").keys() - claims().keys() == {"sid", "nonce"}


def test_a_logout_token_says_that_a_session_is_over_and_lives_for_two_minutes() -> None:
    payload = logout_claims(issuer=ISSUER, client="portal-web", subject="maple:p1", sid="s" * 22, jti="j", now_s=NOW_S)
    assert payload == {
        "iss": ISSUER,
        "aud": "portal-web",
        "sub": "maple:p1",
        "sid": "s" * 22,
        "jti": "j",
        "iat": NOW_S,
        "exp": NOW_S + 120,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }
    assert "nonce" not in payload  # Back-Channel Logout 1.0 §2.4: so that it never passes for an ID token


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_any_library_reads_an_id_token_with_the_published_key(alg: str) -> None:
    key = key_of(alg)
    token = signed(claims(issued_s=1_700_000_000, expires_s=4_000_000_000, auth_time_s=1_700_000_000), key=key)
    assert header(token) == {"alg": alg, "typ": "JWT", "kid": key.kid}
    payload = jwt.decode(token, jwt.PyJWK(dict(key.jwk)), algorithms=[alg], audience="portal-web", issuer=ISSUER)
    assert payload["sub"] == "maple:p1"


# --- as a hint ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_an_id_token_of_ours_is_a_hint_whoever_it_was_for(alg: str) -> None:
    assert read(signed(claims(client="anybody"), key=key_of(alg)), key_of(alg))["aud"] == "anybody"


@pytest.mark.parametrize("at_s", [0, 1, 4_000_000_000])
def test_a_hint_may_be_of_any_age(at_s: int) -> None:
    assert read(signed(claims(issued_s=at_s, expires_s=at_s + 600)))["sub"] == "maple:p1"


@pytest.mark.parametrize("typ", ["at+jwt", "revocations+jwt", "logout+jwt", "jwt", "JWT ", ""])
def test_attack_no_other_kind_of_our_tokens_is_a_hint(typ: str) -> None:
    with pytest.raises(ValueError, match="not an ID token"):
        read(signed(claims(), typ))


def test_attack_a_token_of_an_unknown_key_is_no_hint() -> None:
    stranger = keys.generate("ES256")
    for token in (signed(claims(), key=stranger), raw({"alg": "ES256", "typ": "JWT"}, claims())):
        with pytest.raises(ValueError, match="not an ID token"):
            read(token)


def test_attack_a_strangers_signature_under_our_kid_is_no_hint() -> None:
    token = raw({"alg": "ES256", "typ": "JWT", "kid": key_of().kid}, claims(), keys.generate("ES256"))
    with pytest.raises(ValueError, match="not an ID token"):
        read(token)


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256", "EdDSA", "ES384"])
def test_attack_the_algorithm_is_the_keys_and_not_the_tokens(alg: str) -> None:
    with pytest.raises(ValueError, match="not an ID token"):
        read(raw({"alg": alg, "typ": "JWT", "kid": key_of().kid}, claims()))


def test_attack_another_issuers_token_is_no_hint() -> None:
    with pytest.raises(ValueError, match="not an ID token"):
        read(signed(claims(issuer="https://auth.example.com.evil.example")))


@pytest.mark.parametrize("missing", ["sub", "aud", "iss"])
def test_attack_a_token_that_does_not_say_whom_it_names_is_no_hint(missing: str) -> None:
    payload = claims()
    del payload[missing]
    with pytest.raises(ValueError, match="not an ID token"):
        read(signed(payload))


def test_attack_a_tampered_token_is_no_hint() -> None:
    head, body, signature = signed(claims()).split(".")
    other = b64u(json.dumps(claims(patient="p2")).encode())
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for token in (f"{head}.{other}.{signature}", f"{head}.{body}.{flipped}", f"{head}.{body}.", f"{head}.{body}"):
        with pytest.raises(ValueError, match="not an ID token"):
            read(token)


def test_attack_a_deep_or_a_large_one_costs_nothing() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 2900).decode().rstrip("=") + ".e30.AA"
    with pytest.raises(ValueError, match="not an ID token"):
        read(deep)
    with pytest.raises(ValueError, match="too long"):
        read(signed(claims()) + "A" * id_tokens.HINT_CHARS_MAX)


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,99}(\.[A-Za-z0-9_-]{0,99}){0,4}", fullmatch=True))
def test_attack_any_text_is_refused_as_a_value_and_nothing_breaks(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever word, it is refused
        read(text)


# --- as hearsay -----------------------------------------------------------------------------------------------------


def test_whom_a_token_was_for_can_be_read_when_its_key_is_gone() -> None:
    assert claimed_audience(signed(claims(expires_s=1), key=keys.generate("ES256"))) == "portal-web"


@pytest.mark.parametrize("aud", [None, 7, ["portal-web"], {"a": "b"}])
def test_an_audience_that_is_no_name_is_none(aud: object) -> None:
    assert claimed_audience(signed({**claims(), "aud": aud})) == ""
    assert claimed_audience(signed({"iss": ISSUER})) == ""


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,99}(\.[A-Za-z0-9_-]{0,99}){0,4}", fullmatch=True))
@example("[" * 2900 + ".e30.AA")
@example(base64.urlsafe_b64encode(b"[" * 2900).decode().rstrip("=") + ".e30.AA")
@example(signed(claims()) + "A" * id_tokens.HINT_CHARS_MAX)
@example("\ud800.\ud800.\ud800")
def test_attack_any_text_names_nobody_and_nothing_breaks(text: str) -> None:
    assert claimed_audience(text) in ("", "portal-web")
    assert claimed_kid(text) in ("", key_of().kid)


def test_which_key_a_token_names_can_be_read_of_id_tokens_alone() -> None:
    other = keys.generate("ES256")
    assert claimed_kid(signed(claims(), key=other)) == other.kid
    assert claimed_kid(signed(claims(), "at+jwt", key=other)) == ""


# --- as a key -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typ", [id_tokens.ID_TYPE, id_tokens.LOGOUT_TYPE])
def test_attack_neither_passes_where_an_access_token_is_asked_for(typ: str) -> None:
    payload = logout_claims(issuer=ISSUER, client="portal-web", subject="maple:p1", sid="s", jti="j", now_s=NOW_S)
    for each in (claims(sid="s"), payload):
        with pytest.raises(TokenInvalid, match="typ"):
            tokens.AccessTokens().verify(signed(each, typ), {key_of().kid: key_of()}, ISSUER, NINE_O_CLOCK_MS)


def test_attack_an_id_tokens_claims_under_an_access_tokens_type_are_not_enough() -> None:
    with pytest.raises(TokenInvalid):
        tokens.AccessTokens().verify(
            signed(claims(sid="s"), "at+jwt"), {key_of().kid: key_of()}, ISSUER, NINE_O_CLOCK_MS
        )
