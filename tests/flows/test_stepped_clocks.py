"""A clock that was wrong for a moment: what was counted then refuses nobody for longer than its window."""

from __future__ import annotations

import pytest

from authsvc.errors import RateLimited
from tests.flows.conftest import Harness

HOUR_S = 3_600


def calls(harness: Harness, count: int) -> None:
    for _ in range(count):
        harness.patients.get(harness.act(), "p1")


def test_fault_an_hour_ahead_for_a_moment_costs_an_honest_client_one_window_at_most(harness: Harness) -> None:
    harness.patient()
    window_s = harness.service.limits.policies["client-calls"].window_s
    harness.clock.advance_s(HOUR_S)
    calls(harness, 3)
    harness.clock.advance_s(-HOUR_S)
    with pytest.raises(RateLimited) as refused:
        calls(harness, 1)
    assert refused.value.retry_after_s <= window_s
    harness.clock.advance_s(window_s)
    calls(harness, 3)


def test_attack_a_clock_that_was_ahead_lets_no_more_through_than_the_quota(harness: Harness) -> None:
    harness.patient()
    policy = harness.service.limits.policies["client-calls"]
    harness.clock.advance_s(HOUR_S)
    calls(harness, 1)
    harness.clock.advance_s(-HOUR_S)
    done = 0
    for _ in range(20):
        try:
            calls(harness, 1)
            done += 1
        except RateLimited:
            harness.clock.advance_ms(policy.window_s * 1000 // 20)
    assert done <= policy.quota
