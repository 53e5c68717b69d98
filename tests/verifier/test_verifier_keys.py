"""The key set: what counts as a key, and how the last good set outlives storms, failures and rotations."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448

from authsvc.verifier import STRANGERS_MAX, InvalidToken, KeysUnavailable, Verifier, parse_jwks
from tests.vectors import generate as kit

if TYPE_CHECKING:
    from tests.verifier.conftest import Clock, Issuer

CURRENT = kit.CURRENT.jwk


def by_stranger(number: int) -> str:
    return kit.token(head=kit.header(kid=f"stranger-{number}"))


def published(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


# --- what counts as a key -----------------------------------------------------------------------------------------


def test_each_kind_of_key_that_authsvc_makes_is_taken_with_its_one_algorithm() -> None:
    keys = parse_jwks(published(kit.CURRENT.jwk, kit.RS256.jwk, kit.EDDSA.jwk))
    assert [key.alg for key in keys.values()] == ["ES256", "RS256", "EdDSA"]


@pytest.mark.parametrize("kept", [{"alg"}, {"use"}, {"alg", "use"}, set()], ids=["alg", "use", "alg, use", "none"])
def test_alg_and_use_may_be_missing(kept: set[str]) -> None:
    bare = {name: value for name, value in CURRENT.items() if name in {"kty", "crv", "x", "y", "kid"} | kept}
    assert parse_jwks(published(bare))[kit.CURRENT.kid].alg == "ES256"


def test_key_ops_with_verify_is_taken() -> None:
    assert parse_jwks(published(CURRENT | {"key_ops": ["verify"]}))


USELESS: dict[str, dict[str, Any]] = {
    "for encryption": CURRENT | {"use": "enc"},
    "use null": CURRENT | {"use": None},
    "to sign with": CURRENT | {"key_ops": ["sign"]},
    "key_ops as text": CURRENT | {"key_ops": "verify"},
    "of another algorithm": CURRENT | {"alg": "ES384"},
    "alg null": CURRENT | {"alg": None},
    "without kid": {name: value for name, value in CURRENT.items() if name != "kid"},
    "kid empty": CURRENT | {"kid": ""},
    "kid a number": CURRENT | {"kid": 1},
    "kid too long": CURRENT | {"kid": "k" * 129},
    "kty missing": {name: value for name, value in CURRENT.items() if name != "kty"},
    "kty an array": CURRENT | {"kty": ["EC"]},
    "crv an object": CURRENT | {"crv": {}},
    "P-384": kit.P384.jwk,
    "P-384 that names no algorithm": {name: value for name, value in kit.P384.jwk.items() if name != "alg"},
    "P-384 that claims ES256": kit.P384.jwk | {"alg": "ES256"},
    "secp256k1": kit.signer("ES256K", ec.derive_private_key(7, ec.SECP256K1())).jwk,
    "secp256k1 numbers called P-256": kit.signer("ES256", ec.derive_private_key(7, ec.SECP256K1())).jwk
    | {"crv": "P-256"},
    "Ed448": kit.signer("EdDSA", ed448.Ed448PrivateKey.from_private_bytes(bytes(57))).jwk,
    "RSA with a curve": kit.RS256.jwk | {"crv": "P-256"},
    "RSA for PS256": kit.RS256.jwk | {"alg": "PS256"},
    "RSA of 1024 bits": kit.WEAK_RSA.jwk,
    "RSA with an even exponent": kit.RS256.jwk | {"e": "AQAA"},
    "RSA without a modulus": kit.RS256.jwk | {"n": None},
    "a point that is not on the curve": CURRENT | {"y": CURRENT["x"]},
    "a coordinate cut short": CURRENT | {"x": CURRENT["x"][:-2]},
    "a coordinate with padding": CURRENT | {"x": CURRENT["x"] + "="},
    "a coordinate spelled otherwise": CURRENT | {"x": kit.respell_last_character(CURRENT["x"])},
    "a coordinate missing": {name: value for name, value in CURRENT.items() if name != "y"},
    "a coordinate as a number": CURRENT | {"x": 5},
    "Ed25519 cut short": kit.EDDSA.jwk | {"x": kit.EDDSA.jwk["x"][:-4]},
    "with its private part": CURRENT | {"d": CURRENT["x"]},
    "RSA with its private part": kit.RS256.jwk | {"p": "AQAB"},
}


@pytest.mark.parametrize("useless", USELESS.values(), ids=USELESS.keys())
def test_a_key_that_is_not_for_us_is_left_out_and_the_others_stay(useless: dict[str, Any]) -> None:
    assert list(parse_jwks(published(kit.NEXT.jwk, useless))) == [kit.NEXT.kid]
    with pytest.raises(ValueError, match="no key for us"):
        parse_jwks(published(useless))


SPOILED = {
    "empty": b"",
    "no JSON": b"<html>",
    "an array": b"[]",
    "no keys": b"{}",
    "keys an object": b'{"keys": {}}',
    "keys holds text": b'{"keys": ["a"]}',
    "keys empty": b'{"keys": []}',
    "keys twice": b'{"keys": [], ' + published(CURRENT)[1:],
    "twin members in a key": published(CURRENT).replace(b'"kty": "EC"', b'"kty": "RSA", "kty": "EC"'),
    "one kid twice": published(CURRENT, kit.NEXT.jwk | {"kid": kit.CURRENT.kid}),
    "the same key twice": published(CURRENT, CURRENT),
    "a shared secret": published(CURRENT, {"kty": "oct", "k": "AAAA", "kid": "s"}),
    "a shared secret in disguise": published(CURRENT, kit.NEXT.jwk | {"k": "AAAA"}),
    "not UTF-8": published(CURRENT)[:-1] + b', "a": "\xff"}',
    "too long": published(CURRENT, *({"kid": f"{number}", "x": "x" * 900} for number in range(80))),
}


@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=SPOILED.keys())
def test_a_set_that_is_broken_is_refused_and_the_last_good_one_kept(
    spoiled: bytes, verifier: Verifier, issuer: Issuer, clock: Clock
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reasons are many; that it is refused is the point
        parse_jwks(spoiled)
    verifier.verify(kit.token())
    issuer.jwks = spoiled
    clock.now += 301
    assert verifier.verify(kit.token())
    assert issuer.fetches == 2


def test_attack_a_verifier_that_is_kept_from_new_keys_trusts_the_old_ones_for_a_day_at_most(
    verifier: Verifier, issuer: Issuer, clock: Clock
) -> None:
    verifier.verify(kit.token())
    issuer.jwks = b""
    clock.now += 24 * 3600 - 1
    with pytest.raises(InvalidToken, match="expired"):  # the key is still there, the token of yesterday isn't good
        verifier.verify(kit.token())
    clock.now += 1
    with pytest.raises(KeysUnavailable):
        verifier.verify(kit.token())


def test_a_broken_set_at_the_start_is_no_set(verifier: Verifier, issuer: Issuer) -> None:
    issuer.jwks = {"keys": []}
    with pytest.raises(KeysUnavailable):
        verifier.verify(kit.token())


# --- when it is fetched -------------------------------------------------------------------------------------------


def test_one_fetch_serves_many_tokens(verifier: Verifier, issuer: Issuer, clock: Clock) -> None:
    for _ in range(50):
        verifier.verify(kit.token())
        clock.now += 5
    assert issuer.fetches == 1


def test_junk_is_refused_without_a_fetch(verifier: Verifier, issuer: Issuer) -> None:
    heads = ({"alg": "none"}, {"typ": "JWT"}, {"kid": ""}, {"kid": "k" * 129}, {"jku": "https://a.example"})
    for junk in ("", "a.b.c", kit.token() + "=", *(kit.token(head=kit.header(**changed)) for changed in heads)):
        with pytest.raises(InvalidToken):
            verifier.verify(junk)
    assert issuer.fetches == 0


@pytest.mark.parametrize("warm", [True, False], ids=["after a good token", "before any good token"])
def test_a_storm_of_a_thousand_unknown_kids_causes_one_fetch(
    warm: bool, verifier: Verifier, issuer: Issuer, clock: Clock
) -> None:
    if warm:
        verifier.verify(kit.token())
    before = issuer.fetches
    for number in range(1000):
        with pytest.raises(InvalidToken, match="unknown_kid"):
            verifier.verify(by_stranger(number))
        clock.now += 0.029
    assert issuer.fetches - before == 1
    assert verifier.verify(kit.token())


def test_a_storm_that_lasts_causes_one_fetch_in_30_seconds(verifier: Verifier, issuer: Issuer, clock: Clock) -> None:
    for number in range(290):
        with pytest.raises(InvalidToken):
            verifier.verify(by_stranger(number))
        clock.now += 1
    assert issuer.fetches == 10


def test_a_storm_while_the_issuer_is_away_causes_one_try_in_30_seconds(
    verifier: Verifier, issuer: Issuer, clock: Clock
) -> None:
    issuer.error = OSError("away")
    for number in range(300):
        with pytest.raises(KeysUnavailable):
            verifier.verify(by_stranger(number))
        clock.now += 0.3
    assert issuer.fetches == 3


def test_a_storm_from_many_threads_causes_one_fetch(verifier: Verifier, issuer: Issuer) -> None:
    def refused(number: int) -> bool:
        with pytest.raises(InvalidToken):
            verifier.verify(by_stranger(number))
        return True

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(refused, range(400)))
    assert issuer.fetches == 1


def test_one_unknown_kid_again_and_again_is_remembered(verifier: Verifier, issuer: Issuer, clock: Clock) -> None:
    verifier.verify(kit.token())
    for _ in range(9):
        with pytest.raises(InvalidToken):
            verifier.verify(by_stranger(1))
        clock.now += 31
    assert issuer.fetches == 2


def test_what_is_remembered_of_strangers_stays_bounded(verifier: Verifier, clock: Clock) -> None:
    for number in range(STRANGERS_MAX + 50):
        with pytest.raises(InvalidToken):
            verifier.verify(by_stranger(number))
        clock.now += 31
    assert len(verifier._keys._strangers) == STRANGERS_MAX
    assert "stranger-0" not in verifier._keys._strangers


def test_a_new_key_is_found_by_its_first_token(verifier: Verifier, issuer: Issuer) -> None:
    issuer.jwks = {"keys": [kit.CURRENT.jwk]}
    verifier.verify(kit.token())
    issuer.jwks = {"keys": [kit.CURRENT.jwk, kit.NEXT.jwk]}
    assert verifier.verify(kit.token(key=kit.NEXT))
    assert issuer.fetches == 2


def test_a_second_new_key_within_30_seconds_waits(verifier: Verifier, issuer: Issuer, clock: Clock) -> None:
    issuer.jwks = {"keys": [kit.CURRENT.jwk]}
    verifier.verify(kit.token())
    issuer.jwks = {"keys": [kit.CURRENT.jwk, kit.NEXT.jwk]}
    verifier.verify(kit.token(key=kit.NEXT))
    issuer.jwks = kit.JWKS
    with pytest.raises(InvalidToken, match="unknown_kid"):
        verifier.verify(kit.token(key=kit.RS256))
    clock.now += 30
    assert verifier.verify(kit.token(key=kit.RS256))


def test_a_revoked_key_stops_verifying_when_the_set_is_300_seconds_old(
    verifier: Verifier, issuer: Issuer, clock: Clock
) -> None:
    verifier.verify(kit.token())
    issuer.jwks = {"keys": [kit.NEXT.jwk]}
    clock.now += 299
    verifier.verify(kit.token())
    clock.now += 1
    with pytest.raises(InvalidToken, match="unknown_kid"):
        verifier.verify(kit.token())
    assert issuer.fetches == 2


def test_a_failed_refresh_keeps_the_last_good_set_and_is_tried_every_30_seconds(
    verifier: Verifier, issuer: Issuer, clock: Clock
) -> None:
    verifier.verify(kit.token())
    issuer.error = TimeoutError("slow")
    clock.now += 300
    for _ in range(60):
        assert verifier.verify(kit.having(iat=int(clock.now) - 5, exp=int(clock.now) + 60))
        clock.now += 1
    assert issuer.fetches == 3
    issuer.error = None
    verifier.verify(kit.having(iat=int(clock.now) - 5, exp=int(clock.now) + 60))
    assert issuer.fetches == 4


def test_an_unknown_kid_while_the_set_is_old_and_the_issuer_away_is_undecided(
    verifier: Verifier, issuer: Issuer, clock: Clock
) -> None:
    verifier.verify(kit.token())
    issuer.error = OSError("away")
    clock.now += 300
    with pytest.raises(KeysUnavailable) as refusal:
        verifier.verify(by_stranger(1))
    assert refusal.value.status == 503
    assert refusal.value.headers["Retry-After"] == "30"


def test_no_key_set_is_a_503_with_the_time_until_the_next_try(verifier: Verifier, issuer: Issuer, clock: Clock) -> None:
    issuer.error = OSError("away")
    with pytest.raises(KeysUnavailable) as refusal:
        verifier.verify(kit.token())
    assert (refusal.value.status, refusal.value.retry_after_s) == (503, 30)
    assert "WWW-Authenticate" not in refusal.value.headers
    clock.now += 29.5
    with pytest.raises(KeysUnavailable) as refusal:
        verifier.verify(kit.token())
    assert refusal.value.retry_after_s == 1
    issuer.error = None
    clock.now += 0.5
    assert verifier.verify(kit.token())


def test_a_clock_that_is_set_back_does_not_stop_all_fetching(verifier: Verifier, issuer: Issuer, clock: Clock) -> None:
    clock.now += 1_000_000
    with pytest.raises(InvalidToken, match="unknown_kid"):
        verifier.verify(by_stranger(1))
    clock.now -= 1_000_000
    assert verifier.verify(kit.token())
    assert issuer.fetches == 2


def test_a_failure_that_is_no_failure_of_the_network_is_not_hidden(verifier: Verifier, issuer: Issuer) -> None:
    issuer.error = ZeroDivisionError("a bug in an injected fetch")
    with pytest.raises(ZeroDivisionError):
        verifier.verify(kit.token())
    issuer.error = None
    assert not verifier._keys._lock.locked()


# --- threads ------------------------------------------------------------------------------------------------------


class SlowIssuer:
    """Answers at once until `slow`; then a fetch waits for `go`, and says with `began` that it does."""

    def __init__(self) -> None:
        self.slow, self.fetches = False, 0
        self.jwks = {"keys": [kit.CURRENT.jwk]}
        self.began, self.go = threading.Event(), threading.Event()

    def fetch(self, url: str) -> bytes:
        self.fetches += 1
        if self.slow:
            self.began.set()
            assert self.go.wait(10)
        return json.dumps(self.jwks).encode()


@pytest.mark.race
def test_while_one_thread_fetches_the_others_with_a_known_kid_never_wait(clock: Clock) -> None:
    issuer = SlowIssuer()
    verifier = Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, now=clock, fetch=issuer.fetch)
    verifier.verify(kit.token())
    issuer.slow = True
    for make_it_fetch in ("an unknown kid", "an old set"):
        issuer.began.clear()
        issuer.go.clear()
        clock.now += 31 if make_it_fetch == "an unknown kid" else 301
        token = by_stranger(1) if make_it_fetch == "an unknown kid" else kit.token()
        fetcher = threading.Thread(target=lambda token=token: _ignore(verifier, token))
        fetcher.start()
        assert issuer.began.wait(10)
        for _ in range(20):  # would hang here, since only this thread can let the fetch end
            assert verifier.verify(kit.token())
        issuer.go.set()
        fetcher.join(10)
        assert not fetcher.is_alive()
    assert issuer.fetches == 3


@pytest.mark.race
def test_a_new_kid_waits_for_the_fetch_under_way_and_profits_from_it(clock: Clock) -> None:
    issuer = SlowIssuer()
    verifier = Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, now=clock, fetch=issuer.fetch)
    verifier.verify(kit.token())
    issuer.slow = True
    issuer.jwks = {"keys": [kit.CURRENT.jwk, kit.NEXT.jwk]}
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(verifier.verify, kit.token(key=kit.NEXT)) for _ in range(8)]
        assert issuer.began.wait(10)
        issuer.go.set()
        assert all(one.result(10) for one in waiting)
    assert issuer.fetches == 2


@pytest.mark.race
def test_threads_that_verify_through_rotations_lose_no_good_token(clock: Clock) -> None:
    issuer = SlowIssuer()
    issuer.jwks = {"keys": [kit.CURRENT.jwk, kit.NEXT.jwk]}
    verifier = Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, now=clock, fetch=issuer.fetch)
    token = kit.token(kit.SIGN_IN | {"exp": kit.NOW + 10_000_000}, key=kit.NEXT)

    def rotate(number: int) -> bool:
        issuer.jwks = {"keys": [kit.NEXT.jwk, (kit.CURRENT, kit.RS256, kit.EDDSA)[number % 3].jwk]}
        clock.now += 301
        return bool(verifier.verify(token))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(rotate, range(400)))


def _ignore(verifier: Verifier, token: str) -> None:
    try:
        verifier.verify(token)
    except InvalidToken:
        return
