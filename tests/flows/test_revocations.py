"""The revocation feed: what verifiers that never call back learn within seconds."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from authsvc import verifier
from authsvc.errors import InvalidGrant, KeysetUnusable, TokenInvalid
from authsvc.flows.revocations import Revocations
from authsvc.model import TokenGrant
from authsvc.store.sessions import REVOCATIONS_AT_ONCE
from tests.flows.conftest import Harness


def again(harness: Harness, keys: Any) -> Revocations:
    """The use case anew, without what it has cached."""
    known = harness.service.revocations
    return Revocations(known._deps, known._store, keys, known._practices)


def read(harness: Harness, since_ms: int = 0, feeds: Revocations | None = None) -> dict[str, Any]:
    """The feed as a verifier reads it, and past our own cache."""
    feeds = feeds or again(harness, harness.service.signing_keys)
    token = feeds.feed("maple", since_ms).token
    keys = harness.service.signing_keys.verification_keys()
    kid = jwt.get_unverified_header(token)["kid"]
    options: Any = {"verify_exp": False, "verify_iat": False}  # the test's clock is not the machine's
    claims: dict[str, Any] = jwt.decode(
        token, keys[kid].public, algorithms=["ES256"], audience="revocations", options=options
    )
    return claims


def test_the_feed_is_a_jwt_of_its_own_kind(harness: Harness) -> None:
    token = harness.service.revocations.feed("maple").token
    assert jwt.get_unverified_header(token)["typ"] == "revocations+jwt"
    claims = read(harness)
    assert (claims["iss"], claims["practice"]) == ("http://127.0.0.1:8080", "maple")
    assert claims["exp"] - claims["iat"] == 60
    assert [claims[kind] for kind in ("sessions", "links", "tokens", "keys")] == [[], [], [], []]


def test_attack_the_feed_does_not_pass_as_an_access_token(harness: Harness) -> None:
    with pytest.raises(TokenInvalid):
        harness.service.forward_auth.authorise(harness.service.revocations.feed("maple").token, "*", None, None, None)


@pytest.mark.parametrize("end", ["sign_out", "all", "withdraw", "move", "delete", "reuse", "revoke"])
def test_every_end_of_a_session_is_in_the_feed(harness: Harness, end: str) -> None:
    harness.patient()
    grant = harness.sign_in()
    match end:
        case "sign_out":
            harness.sessions.end(harness.act(), "p1", grant.session or "")
        case "all":
            harness.sessions.end_all(harness.act(), "p1")
        case "withdraw":
            harness.patients.withdraw(harness.act(), "p1")
        case "move":
            harness.patient(email="new@example.org")
        case "delete":
            harness.patients.delete(harness.act(), "p1")
        case "revoke":
            harness.sessions.revoke(harness.client, grant.refresh_token or "", "")
        case "reuse":
            second = harness.sessions.refresh(harness.client, grant.refresh_token or "", None, "")
            harness.sessions.refresh(harness.client, second.refresh_token or "", None, "")
            with pytest.raises(InvalidGrant):
                harness.sessions.refresh(harness.client, grant.refresh_token or "", None, "")
    assert read(harness)["sessions"] == [grant.session]


def test_revoked_links_tokens_and_keys_are_in_the_feed(harness: Harness) -> None:
    harness.patient()
    grant = harness.sign_in()
    link = harness.links.exchange(harness.act(), harness.link())
    assert isinstance(link, TokenGrant)
    said = harness.introspected(link.access_token)
    harness.links.revoke_where(harness.act(), patient="p1")
    jti = harness.introspected(grant.access_token)["jti"]
    harness.sessions.revoke(harness.client, grant.access_token, "")
    kid = harness.service.signing_keys.signer().kid
    harness.service.signing_keys.revoke(kid, actor="cli:test")
    harness.service.signing_keys.refresh()
    claims = read(harness)
    assert (claims["links"], claims["tokens"], claims["keys"]) == ([said["link"]], [jti], [kid])


def test_links_that_rest_on_an_old_address_are_in_the_feed(harness: Harness) -> None:
    harness.patient()
    link = harness.links.exchange(harness.act(), harness.link())
    assert isinstance(link, TokenGrant)
    ident = harness.introspected(link.access_token)["link"]
    harness.patient(email="new@example.org")
    assert read(harness)["links"] == [ident]


def test_a_cursor_asks_only_for_what_came_later(harness: Harness) -> None:
    harness.patient()
    first = harness.sign_in()
    harness.sessions.end_all(harness.act(), "p1")
    cursor = read(harness)["cursor"]
    harness.clock.advance_s(1)
    second = harness.sign_in()
    harness.sessions.end_all(harness.act(), "p1")
    assert read(harness)["sessions"] == [first.session, second.session]
    assert read(harness, cursor)["sessions"] == [second.session]


def test_what_no_token_can_rest_on_any_more_leaves_the_feed(harness: Harness) -> None:
    harness.patient()
    harness.sign_in()
    harness.sessions.end_all(harness.act(), "p1")
    harness.clock.advance_s(721)
    later = harness.sign_in()
    harness.sessions.end_all(harness.act(), "p1")
    assert read(harness)["sessions"] == [later.session]


def test_the_feed_is_the_same_bytes_for_five_seconds(harness: Harness) -> None:
    first = harness.service.revocations.feed("maple")
    harness.clock.advance_s(4)
    assert harness.service.revocations.feed("maple") == first
    harness.clock.advance_s(1)
    assert harness.service.revocations.feed("maple") != first


def test_without_a_ring_there_is_no_feed(harness: Harness) -> None:
    fresh = type(harness.service.signing_keys)(
        *(
            getattr(harness.service.signing_keys, f"_{name}")
            for name in ("store", "data_keys", "clock", "entropy", "settings")
        )
    )
    with pytest.raises(KeysetUnusable):
        again(harness, fresh).feed("maple")


def test_a_cursor_passes_by_no_revocation_of_an_instance_whose_clock_lags(harness: Harness) -> None:
    harness.patient()
    harness.sign_in()
    harness.sessions.end_all(harness.act(), "p1")
    cursor = read(harness)["cursor"]
    harness.clock.advance_ms(-500)
    late = harness.sign_in()
    harness.sessions.end_all(harness.act(), "p1")
    assert read(harness, cursor)["sessions"] == [late.session]


def test_attack_twenty_two_thousand_revocations_still_make_a_feed_that_a_verifier_reads(harness: Harness) -> None:
    now_ms = harness.clock.now_ms()
    harness.redis.zadd("authsvc:{maple}:revocations", {f"s:{number:022}": now_ms - number for number in range(22_000)})
    token = harness.service.revocations.feed("maple").token
    assert len(token) < verifier.FEED_MAX_BYTES
    payload = jwt.decode(token, options={"verify_signature": False})
    assert len(payload["sessions"]) == 22_000


def test_no_more_are_read_than_were_asked_for(harness: Harness) -> None:
    until_ms = harness.clock.now_ms() + 600_000
    marks = {f"s:{number}": until_ms + number for number in range(REVOCATIONS_AT_ONCE + 5)}
    harness.redis.zadd("authsvc:{maple}:revocations", marks)
    found = harness.service.revocations._store.revocations(harness.act(), REVOCATIONS_AT_ONCE)
    assert [mark.id for mark in found[:: REVOCATIONS_AT_ONCE - 1]] == ["5", str(REVOCATIONS_AT_ONCE + 4)]
