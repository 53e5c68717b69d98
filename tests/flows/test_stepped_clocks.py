"""A clock that was wrong for a moment: what was counted then is not believed."""

from __future__ import annotations

import pytest

from authsvc.errors import RateLimited
from tests.flows.conftest import Harness

HOUR_S = 3_600


def calls(harness: Harness, count: int) -> None:
    for _ in range(count):
        harness.patients.get(harness.act(), "p1")


def test_fault_an_hour_ahead_for_a_moment_refuses_no_honest_client_afterwards(harness: Harness) -> None:
    harness.patient()
    harness.clock.advance_s(HOUR_S)
    calls(harness, 3)
    harness.clock.advance_s(-HOUR_S)
    calls(harness, 3)


def test_attack_a_clock_that_was_ahead_lets_through_no_more_than_twice_the_quota(harness: Harness) -> None:
    harness.patient()
    quota = harness.service.limits.policies["client-calls"].quota
    done = 0
    for ahead_s in (HOUR_S, -HOUR_S):
        harness.clock.advance_s(ahead_s)
        with pytest.raises(RateLimited):
            for _ in range(quota + 1):
                calls(harness, 1)
                done += 1
    assert done <= 2 * quota
