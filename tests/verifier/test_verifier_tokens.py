"""What the conformance kit can't say: time that passes, any practice, what is no text at all, attacks by look-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from authsvc.verifier import InvalidToken, Verifier
from tests.vectors import generate as kit

if TYPE_CHECKING:
    from tests.verifier.conftest import Clock, Issuer, Server


def test_the_claims_come_back_as_they_were_signed(verifier: Verifier) -> None:
    assert verifier.verify(kit.token()) == kit.SIGN_IN


@pytest.mark.parametrize("token", [None, 7, b"a.b.c", kit.token().encode(), ["a"], object()])
def test_what_is_no_text_is_no_token(token: Any, verifier: Verifier) -> None:
    with pytest.raises(InvalidToken):
        verifier.verify(token)


def test_a_token_of_8_kb_is_read_and_one_byte_more_is_not(verifier: Verifier) -> None:
    length = 6000
    while len(token := kit.having(filler="x" * length)) < 8 * 1024:
        length += 1
    while len(token) > 8 * 1024:
        length -= 1
        token = kit.having(filler="x" * length)
    assert verifier.verify(token)["filler"]
    with pytest.raises(InvalidToken, match="size"):
        verifier.verify(token + "x" * (8 * 1024 + 1 - len(token)))


def test_a_token_dies_30_seconds_after_its_expiry_and_not_before(verifier: Verifier, clock: Clock) -> None:
    clock.now = kit.SIGN_IN["exp"] + 29.9
    verifier.verify(kit.token())
    clock.now = kit.SIGN_IN["exp"] + 30.0
    with pytest.raises(InvalidToken, match="expired"):
        verifier.verify(kit.token())


def test_a_token_from_30_seconds_ahead_passes_and_from_31_does_not(verifier: Verifier, clock: Clock) -> None:
    clock.now = kit.SIGN_IN["iat"] - 30.0
    verifier.verify(kit.having(auth_time=kit.SIGN_IN["iat"]))
    clock.now = kit.SIGN_IN["iat"] - 30.1
    with pytest.raises(InvalidToken, match="from_the_future"):
        verifier.verify(kit.token())


def test_instants_too_large_for_a_float_are_refused_without_a_crash(verifier: Verifier) -> None:
    with pytest.raises(InvalidToken, match="from_the_future"):
        verifier.verify(kit.having(auth_time=10**400))
    assert verifier.verify(kit.having(exp=10**400))


def test_a_verifier_for_any_practice_takes_each_but_still_checks_the_subject(any_practice_verifier: Verifier) -> None:
    assert any_practice_verifier.verify(kit.having(practice="birch", sub="birch:p_1001"))["practice"] == "birch"
    with pytest.raises(InvalidToken, match="subject"):
        any_practice_verifier.verify(kit.having(practice="birch"))


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_an_address_in_a_token_is_never_asked(member: str, verifier: Verifier, canary: Server) -> None:
    canary.answer = canary.publish({"keys": [kit.STRANGER.jwk]})
    for head in (
        kit.header(kit.STRANGER, **{member: canary.jwks_url}),
        kit.header(kit.CURRENT, **{member: canary.jwks_url}),
        kit.header(kit.STRANGER, kid=canary.jwks_url),
        kit.header(kit.STRANGER, jwk=kit.STRANGER.jwk | {member: canary.jwks_url}),
    ):
        with pytest.raises(InvalidToken):
            verifier.verify(kit.token(head=head, key=kit.STRANGER))
    for claims in (kit.SIGN_IN | {"iss": canary.url}, kit.SIGN_IN | {member: canary.jwks_url}):
        with pytest.raises(InvalidToken):
            verifier.verify(kit.token(claims, key=kit.STRANGER))
    assert canary.hits == []


def test_a_refused_token_says_nothing_of_itself(verifier: Verifier) -> None:
    with pytest.raises(InvalidToken) as refusal:
        verifier.verify(kit.having(iss="https://<script>.example"))
    assert refusal.value.reason == "issuer"
    assert refusal.value.headers["WWW-Authenticate"] == 'Bearer realm="authsvc", error="invalid_token"'
    assert refusal.value.body == b'{"error": "invalid_token"}'


@pytest.mark.parametrize(
    "kid", ["'; DROP TABLE keys; --", "../../etc/passwd", ".*", "\x00", "ключ", "\ud800", "%s%n", "k" * 128]
)
def test_a_kid_is_a_name_and_nothing_else(kid: str, verifier: Verifier, issuer: Issuer) -> None:
    with pytest.raises(InvalidToken, match="unknown_kid"):
        verifier.verify(kit.token(head=kit.header(kid=kid)))
    strange = kit.CURRENT.jwk | {"kid": kid}
    issuer.jwks = {"keys": [strange]}
    fresh = Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, now=lambda: kit.NOW, fetch=issuer.fetch)
    assert fresh.verify(kit.token(head=kit.header(kid=kid)))


@pytest.mark.parametrize("depth", [900, 2000])
def test_deep_nesting_in_a_header_is_refused_and_crashes_nothing(depth: int, verifier: Verifier) -> None:
    with pytest.raises(InvalidToken):
        verifier.verify(kit.token(head=b'{"kid":' + b"[" * depth + b"]" * depth + b"}"))


def test_details_may_leave_out_actions(verifier: Verifier) -> None:
    assert verifier.verify(
        kit.token(kit.LINK | {"authorization_details": [{"type": "invoice", "identifier": "inv_1"}]})
    )


# --- who acts -------------------------------------------------------------------------------------------------------


def test_who_acts_for_the_patient_is_known_by_name(verifier: Verifier) -> None:
    actor = f"{kit.PRACTICE}:guardian"
    assert verifier.verify(kit.having(act={"sub": actor})).actor == actor
    assert verifier.verify(kit.token()).actor == ""
