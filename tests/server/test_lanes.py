"""A queue before threads: bursts are served, and what lasts is refused at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from authsvc.server.lanes import BURST_S, CALM_S, Lane

STEADY, MOST = 4, 20


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane(2, STEADY, MOST)
    yield lane
    lane.pool.shutdown()


def entered(lane: Lane, count: int, now_s: float) -> int:
    return sum(lane.enter(now_s) for _ in range(count))


def test_a_burst_is_served_up_to_the_most(lane: Lane) -> None:
    assert entered(lane, MOST, 10.0) == MOST
    assert not lane.enter(10.0)


def test_one_burst_after_the_other_is_served_as_long_as_each_drains(lane: Lane) -> None:
    for second in range(5):
        assert entered(lane, MOST, float(second)) == MOST
        for _ in range(MOST):
            lane.leave()


def test_a_queue_that_stays_is_cut_to_the_steady_length(lane: Lane) -> None:
    now_s = 10.0
    entered(lane, STEADY + 2, now_s)
    now_s += BURST_S + 0.01
    assert not lane.enter(now_s)
    lane.leave()
    lane.leave()
    assert not lane.enter(now_s)
    lane.leave()
    assert lane.enter(now_s)
    assert not lane.enter(now_s)


def test_attack_twice_as_much_as_can_be_answered_waits_behind_no_more_than_the_steady_length(lane: Lane) -> None:
    """Two come for each one that is answered, a thousand times; nobody who comes after the burst waits behind more."""
    longest = 0
    for step in range(1_000):
        now_s = 10.0 + step * 0.01
        entered(lane, 2, now_s)
        if now_s > 10.0 + 2 * BURST_S + MOST * 0.01:
            longest = max(longest, lane.under_way)
        lane.leave()
    assert longest == STEADY


def test_bursts_are_served_again_when_none_was_refused_for_a_while(lane: Lane) -> None:
    now_s = 10.0
    entered(lane, STEADY + 1, now_s)
    now_s += BURST_S + 0.01
    assert not lane.enter(now_s)
    for _ in range(STEADY + 1):
        lane.leave()
    assert entered(lane, MOST, now_s + CALM_S / 2) == STEADY
    for _ in range(STEADY):
        lane.leave()
    assert entered(lane, MOST, now_s + 2 * CALM_S) == MOST


def test_what_was_let_in_is_counted_until_it_is_answered(lane: Lane) -> None:
    entered(lane, 3, 0.0)
    assert lane.under_way == 3
    lane.leave()
    assert lane.under_way == 2


def test_attack_requests_sent_behind_another_find_no_place_in_a_queue(lane: Lane) -> None:
    """Pipelined ones are taken where a thread is free, and only there."""
    assert lane.has_thread()
    assert entered(lane, 2, 10.0) == 2
    assert not lane.has_thread()
    assert lane.enter(10.0), "whoever comes by a connection of their own waits"
    lane.leave()
    lane.leave()
    assert lane.has_thread()
