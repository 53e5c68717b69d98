"""The revocation feed: what verifiers that never call back learn within seconds."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from authsvc import verifier
from authsvc.errors import InvalidGrant, KeysetUnusable, TokenInvalid
from authsvc.flows.revocations import Revocations
from authsvc.model import TokenGrant
from tests.flows.conftest import House


def again(house: House, keys: Any) -> Revocations:
    """The use case anew, without what it has cached."""
    known = house.service.revocations
    return Revocations(known._deps, known._store, keys, known._practices)


def read(house: House, since_ms: int = 0, feeds: Revocations | None = None) -> dict[str, Any]:
    """The feed as a verifier reads it, and past our own cache."""
    feeds = feeds or again(house, house.service.signing_keys)
    token = feeds.feed("maple", since_ms).token
    keys = house.service.signing_keys.verification_keys()
    kid = jwt.get_unverified_header(token)["kid"]
    options: Any = {"verify_exp": False, "verify_iat": False}  # the test's clock is not the machine's
    claims: dict[str, Any] = jwt.decode(
        token, keys[kid].public, algorithms=["ES256"], audience="revocations", options=options
    )
    return claims


def test_the_feed_is_a_jwt_of_its_own_kind(house: House) -> None:
    token = house.service.revocations.feed("maple").token
    assert jwt.get_unverified_header(token)["typ"] == "revocations+jwt"
    claims = read(house)
    assert (claims["iss"], claims["practice"]) == ("http://127.0.0.1:8080", "maple")
    assert claims["exp"] - claims["iat"] == 60
    assert [claims[kind] for kind in ("sessions", "links", "tokens", "keys")] == [[], [], [], []]


def test_attack_the_feed_does_not_pass_as_an_access_token(house: House) -> None:
    with pytest.raises(TokenInvalid):
        house.service.forward_auth.authorise(house.service.revocations.feed("maple").token, "*", None, None, None)


@pytest.mark.parametrize("end", ["sign_out", "all", "withdraw", "move", "delete", "reuse", "revoke"])
def test_every_end_of_a_session_is_in_the_feed(house: House, end: str) -> None:
    house.patient()
    grant = house.sign_in()
    match end:
        case "sign_out":
            house.sessions.end(house.act(), "p1", grant.session or "")
        case "all":
            house.sessions.end_all(house.act(), "p1")
        case "withdraw":
            house.patients.withdraw(house.act(), "p1")
        case "move":
            house.patient(email="new@example.org")
        case "delete":
            house.patients.delete(house.act(), "p1")
        case "revoke":
            house.sessions.revoke(house.client, grant.refresh_token or "", "")
        case "reuse":
            second = house.sessions.refresh(house.client, grant.refresh_token or "", None, "")
            house.sessions.refresh(house.client, second.refresh_token or "", None, "")
            with pytest.raises(InvalidGrant):
                house.sessions.refresh(house.client, grant.refresh_token or "", None, "")
    assert read(house)["sessions"] == [grant.session]


def test_revoked_links_tokens_and_keys_are_in_the_feed(house: House) -> None:
    house.patient()
    grant = house.sign_in()
    link = house.links.exchange(house.act(), house.link())
    assert isinstance(link, TokenGrant)
    said = house.introspected(link.access_token)
    house.links.revoke_where(house.act(), patient="p1")
    jti = house.introspected(grant.access_token)["jti"]
    house.sessions.revoke(house.client, grant.access_token, "")
    kid = house.service.signing_keys.signer().kid
    house.service.signing_keys.revoke(kid, actor="cli:test")
    house.service.signing_keys.refresh()
    claims = read(house)
    assert (claims["links"], claims["tokens"], claims["keys"]) == ([said["link"]], [jti], [kid])


def test_links_that_rest_on_an_old_address_are_in_the_feed(house: House) -> None:
    house.patient()
    link = house.links.exchange(house.act(), house.link())
    assert isinstance(link, TokenGrant)
    ident = house.introspected(link.access_token)["link"]
    house.patient(email="new@example.org")
    assert read(house)["links"] == [ident]


def test_a_cursor_asks_only_for_what_came_later(house: House) -> None:
    house.patient()
    first = house.sign_in()
    house.sessions.end_all(house.act(), "p1")
    cursor = read(house)["cursor"]
    house.clock.advance_s(1)
    second = house.sign_in()
    house.sessions.end_all(house.act(), "p1")
    assert read(house)["sessions"] == [first.session, second.session]
    assert read(house, cursor)["sessions"] == [second.session]


def test_what_no_token_can_rest_on_any_more_leaves_the_feed(house: House) -> None:
    house.patient()
    house.sign_in()
    house.sessions.end_all(house.act(), "p1")
    house.clock.advance_s(721)
    later = house.sign_in()
    house.sessions.end_all(house.act(), "p1")
    assert read(house)["sessions"] == [later.session]


def test_the_feed_is_the_same_bytes_for_five_seconds(house: House) -> None:
    first = house.service.revocations.feed("maple")
    house.clock.advance_s(4)
    assert house.service.revocations.feed("maple") == first
    house.clock.advance_s(1)
    assert house.service.revocations.feed("maple") != first


def test_without_a_ring_there_is_no_feed(house: House) -> None:
    fresh = type(house.service.signing_keys)(
        *(
            getattr(house.service.signing_keys, f"_{name}")
            for name in ("store", "data_keys", "clock", "entropy", "settings")
        )
    )
    with pytest.raises(KeysetUnusable):
        again(house, fresh).feed("maple")


def test_a_cursor_passes_by_no_revocation_of_an_instance_whose_clock_lags(house: House) -> None:
    house.patient()
    house.sign_in()
    house.sessions.end_all(house.act(), "p1")
    cursor = read(house)["cursor"]
    house.clock.advance_ms(-500)
    late = house.sign_in()
    house.sessions.end_all(house.act(), "p1")
    assert read(house, cursor)["sessions"] == [late.session]


def test_attack_twenty_two_thousand_revocations_still_make_a_feed_that_a_verifier_reads(house: House) -> None:
    now_ms = house.clock.now_ms()
    house.redis.zadd("authsvc:{maple}:revocations", {f"s:{number:022}": now_ms - number for number in range(22_000)})
    token = house.service.revocations.feed("maple").token
    assert len(token) < verifier.FEED_MAX_BYTES
    payload = jwt.decode(token, options={"verify_signature": False})
    assert len(payload["sessions"]) == 22_000
