"""What an older copy of Redis brings back, as `docs/howto/back-up-and-restore.md` says."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.errors import InvalidGrant
from authsvc.model import TokenGrant
from tests.flows.conftest import Harness


def copied(harness: Harness) -> dict[str, tuple[int, Any]]:
    """Every record with its time to live, as a backup has it."""
    return {key: (max(harness.redis.pttl(key), 0), harness.redis.dump(key)) for key in harness.redis.scan_iter()}


def restored(harness: Harness, copy: dict[str, tuple[int, Any]]) -> None:
    harness.redis.flushall()
    for key, (ttl_ms, value) in copy.items():
        harness.redis.restore(key, ttl_ms, value)


def test_a_session_that_was_refreshed_since_ends_at_its_next_refresh(harness: Harness) -> None:
    harness.patient()
    first = harness.sign_in()
    copy = copied(harness)
    second = harness.sessions.refresh(harness.client, first.refresh_token or "", None, "")
    restored(harness, copy)
    with pytest.raises(InvalidGrant, match="reused"):
        harness.sessions.refresh(harness.client, second.refresh_token or "", None, "")
    assert harness.sessions.list(harness.act(), "p1") == []


def test_a_session_that_was_opened_since_is_unknown(harness: Harness) -> None:
    harness.patient()
    copy = copied(harness)
    grant = harness.sign_in()
    restored(harness, copy)
    with pytest.raises(InvalidGrant, match="unknown"):
        harness.sessions.refresh(harness.client, grant.refresh_token or "", None, "")
    assert harness.introspected(grant.access_token) == {"active": False}


def test_a_spent_code_opens_a_second_session_for_whoever_has_its_handle(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    copy = copied(harness)
    spent = harness.codes.verify(harness.act(), started.challenge, "314159")
    restored(harness, copy)
    again = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(spent, TokenGrant)
    assert isinstance(again, TokenGrant)
    assert spent.session != again.session


def test_access_that_was_withdrawn_since_is_back_and_so_are_revoked_links(harness: Harness) -> None:
    harness.patient()
    token = harness.link()
    copy = copied(harness)
    harness.patient(access=False)
    harness.links.revoke_where(harness.act(), patient="p1")
    restored(harness, copy)
    assert harness.patients.get(harness.act(), "p1").portal_access
    assert isinstance(harness.links.exchange(harness.act(), token), TokenGrant)


def test_the_restored_trail_is_whole_and_goes_on_from_the_copys_number(harness: Harness) -> None:
    harness.patient()
    harness.service.audit_log.seal_all()
    copy = copied(harness)
    harness.sign_in()
    harness.service.audit_log.seal_all()
    restored(harness, copy)
    harness.sign_in()
    harness.service.audit_log.seal_all()
    assert harness.service.audit_log.verify("maple").faults == ()
