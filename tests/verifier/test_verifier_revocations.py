"""Following the revocation feed: what was signed out is refused within seconds, and a silent feed is not a good one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authsvc.verifier import ANY_PRACTICE, InvalidToken, KeysUnavailable, Verifier
from tests.vectors import generate as kit
from tests.verifier.conftest import Clock, Issuer, Server

EMPTY: dict[str, Any] = {
    "iss": kit.ISSUER,
    "aud": "revocations",
    "practice": kit.PRACTICE,
    "exp": kit.NOW + 60,
    "sessions": [],
    "links": [],
    "tokens": [],
    "keys": [],
}
SIGN_IN, LINK = kit.token(kit.SIGN_IN), kit.token(kit.LINK)


class Feeding(Issuer):
    """An issuer that publishes a feed beside its keys."""

    def __init__(self) -> None:
        super().__init__()
        self.feed: bytes = feed()
        self.asked: list[str] = []
        self.silent = False

    def fetch(self, url: str) -> bytes:
        if "/revocations/" not in url:
            return super().fetch(url)
        self.asked.append(url)
        if self.silent:
            raise OSError("nobody there")
        return self.feed


def feed(key: kit.Signer = kit.CURRENT, header: dict[str, Any] | None = None, **claims: Any) -> bytes:
    head = {"alg": "ES256", "typ": "revocations+jwt", "kid": key.jwk["kid"], **(header or {})}
    return kit.token({**EMPTY, **claims}, head, key).encode()


@pytest.fixture
def source() -> Feeding:
    return Feeding()


@pytest.fixture
def following(source: Feeding, clock: Clock) -> Verifier:
    return Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, revocations=True, now=clock, fetch=source.fetch)


def refused(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value.reason


def test_a_good_token_passes_and_the_feed_is_asked_every_five_seconds(
    following: Verifier, source: Feeding, clock: Clock
) -> None:
    for _ in range(100):
        following.verify(SIGN_IN)
    assert source.asked == ["https://auth.example/revocations/maple"]
    clock.now += 5
    following.verify(SIGN_IN)
    assert len(source.asked) == 2


@pytest.mark.parametrize(
    ("lists", "token"),
    [
        ({"sessions": [kit.SIGN_IN["sid"]]}, SIGN_IN),
        ({"tokens": [kit.SIGN_IN["jti"]]}, SIGN_IN),
        ({"links": [kit.LINK["link"]]}, LINK),
        ({"keys": [kit.CURRENT.jwk["kid"]]}, SIGN_IN),
    ],
)
def test_what_the_feed_names_is_refused(
    following: Verifier, source: Feeding, lists: dict[str, Any], token: str
) -> None:
    source.feed = feed(kit.NEXT, **lists)
    assert refused(following, token) == "revoked"


def test_a_revocation_is_seen_at_the_next_look(following: Verifier, source: Feeding, clock: Clock) -> None:
    following.verify(SIGN_IN)
    source.feed = feed(sessions=[kit.SIGN_IN["sid"]])
    following.verify(SIGN_IN)
    clock.now += 5
    assert refused(following, SIGN_IN) == "revoked"
    following.verify(LINK)


def test_an_id_counts_only_in_its_own_list(following: Verifier, source: Feeding) -> None:
    source.feed = feed(links=[kit.SIGN_IN["sid"]], tokens=[kit.SIGN_IN["sid"]])
    following.verify(SIGN_IN)


def test_a_silent_feed_is_borne_for_a_minute_and_then_nothing_is_decided(
    following: Verifier, source: Feeding, clock: Clock
) -> None:
    following.verify(SIGN_IN)
    source.silent = True
    clock.now += 59
    following.verify(SIGN_IN)
    clock.now += 1
    with pytest.raises(KeysUnavailable) as caught:
        following.verify(SIGN_IN)
    assert caught.value.status == 503
    asked = len(source.asked)
    with pytest.raises(KeysUnavailable):
        following.verify(SIGN_IN)
    assert len(source.asked) == asked
    source.silent = False
    clock.now += 5
    following.verify(SIGN_IN)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff",
        b"not a jwt",
        SIGN_IN.encode(),
        feed(header={"typ": "at+jwt"}),
        feed(header={"alg": "none"}),
        feed(header={"alg": "EdDSA"}),
        feed(header={"kid": kit.NEXT.jwk["kid"]}),
        feed(kit.STRANGER),
        feed()[:-6] + b"AAAAAA",
        feed(iss="https://evil.example"),
        feed(aud="practice-services"),
        feed(practice="oak"),
        feed(exp=kit.NOW - 31),
        feed(exp="soon"),
        feed(sessions="all"),
        feed(tokens=[1]),
        feed(keys=None),
        b"a" * (600 * 1024),
    ],
)
def test_attack_a_forged_old_or_foreign_feed_says_nothing(following: Verifier, source: Feeding, bad: bytes) -> None:
    source.feed = bad
    with pytest.raises(KeysUnavailable):
        following.verify(SIGN_IN)


def test_attack_a_feed_does_not_pass_as_a_token(following: Verifier) -> None:
    assert refused(following, feed().decode()) == "typ"


def test_each_practice_has_a_feed_of_its_own(source: Feeding, clock: Clock) -> None:
    base = "http://127.0.0.1:1/revocations"
    verifier = Verifier(kit.ISSUER, kit.AUDIENCE, ANY_PRACTICE, revocations=base, now=clock, fetch=source.fetch)
    source.feed = feed(sessions=[kit.SIGN_IN["sid"]])
    assert refused(verifier, SIGN_IN) == "revoked"
    source.feed = feed(practice="oak")
    verifier.verify(kit.having(practice="oak", sub="oak:p_1001"))
    assert source.asked == ["http://127.0.0.1:1/revocations/maple", "http://127.0.0.1:1/revocations/oak"]


def test_a_thread_that_comes_late_takes_what_the_first_one_fetched(source: Feeding, clock: Clock) -> None:
    verifier = Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, revocations=True, now=clock, fetch=source.fetch)
    verifier.verify(SIGN_IN)
    assert verifier._feeds
    assert verifier._feeds._refreshed("maple").at == clock.now
    assert len(source.asked) == 1


def test_attack_plain_http_beyond_this_machine_is_refused(clock: Clock) -> None:
    with pytest.raises(ValueError, match="https"):
        Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, revocations="http://auth.example/revocations")


def test_over_real_http_a_feed_may_be_longer_than_a_key_set(server: Server, clock: Clock) -> None:
    long = feed(sessions=[f"session-{number:020d}" for number in range(4000)])
    assert len(long) > 64 * 1024
    verifier = Verifier(
        kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, server.jwks_url, revocations=f"{server.url}/revocations", now=clock
    )

    def answer(request: Any) -> None:
        body = long if request.path.startswith("/revocations/") else json.dumps(kit.JWKS).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    server.answer = answer
    verifier.verify(SIGN_IN)
    assert server.hits == ["/.well-known/jwks.json", "/revocations/maple"]
