"""What an older copy of Redis brings back, as `docs/howto/back-up-and-restore.md` says."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.errors import InvalidGrant
from authsvc.model import TokenGrant
from tests.flows.conftest import House


def copied(house: House) -> dict[str, tuple[int, Any]]:
    """Every record with its time to live, as a backup has it."""
    return {key: (max(house.redis.pttl(key), 0), house.redis.dump(key)) for key in house.redis.scan_iter()}


def restored(house: House, copy: dict[str, tuple[int, Any]]) -> None:
    house.redis.flushall()
    for key, (ttl_ms, value) in copy.items():
        house.redis.restore(key, ttl_ms, value)


def test_a_session_that_was_refreshed_since_ends_at_its_next_refresh(house: House) -> None:
    house.patient()
    first = house.sign_in()
    copy = copied(house)
    second = house.sessions.refresh(house.client, first.refresh_token or "", None, "")
    restored(house, copy)
    with pytest.raises(InvalidGrant, match="reused"):
        house.sessions.refresh(house.client, second.refresh_token or "", None, "")
    assert house.sessions.list(house.act(), "p1") == []


def test_a_session_that_was_opened_since_is_unknown(house: House) -> None:
    house.patient()
    copy = copied(house)
    grant = house.sign_in()
    restored(house, copy)
    with pytest.raises(InvalidGrant, match="unknown"):
        house.sessions.refresh(house.client, grant.refresh_token or "", None, "")
    assert house.introspected(grant.access_token) == {"active": False}


def test_a_spent_code_opens_a_second_session_for_whoever_has_its_handle(house: House) -> None:
    house.patient()
    started = house.start()
    copy = copied(house)
    spent = house.codes.verify(house.act(), started.challenge, "314159")
    restored(house, copy)
    again = house.codes.verify(house.act(), started.challenge, "314159")
    assert isinstance(spent, TokenGrant)
    assert isinstance(again, TokenGrant)
    assert spent.session != again.session


def test_access_that_was_withdrawn_since_is_back_and_so_are_revoked_links(house: House) -> None:
    house.patient()
    token = house.link()
    copy = copied(house)
    house.patient(access=False)
    house.links.revoke_where(house.act(), patient="p1")
    restored(house, copy)
    assert house.patients.get(house.act(), "p1").portal_access
    assert isinstance(house.links.exchange(house.act(), token), TokenGrant)


def test_the_restored_trail_is_whole_and_goes_on_from_the_copys_number(house: House) -> None:
    house.patient()
    house.service.audit_log.seal_all()
    copy = copied(house)
    house.sign_in()
    house.service.audit_log.seal_all()
    restored(house, copy)
    house.sign_in()
    house.service.audit_log.seal_all()
    assert house.service.audit_log.verify("maple").faults == ()
