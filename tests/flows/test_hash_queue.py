"""What a crowd at the hashing queue costs the patient who comes last."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from authsvc.errors import Unavailable
from authsvc.model import TokenGrant
from tests.flows.conftest import Harness


def crowd(harness: Harness) -> ExitStack:
    """Take every place there is; they are given back when the stack is closed."""
    places = ExitStack()
    with pytest.raises(Unavailable, match="hash_queue_full"):
        while True:
            places.enter_context(harness.service.deps.hash_queue.place())
    return places


def test_attack_a_crowd_at_the_hashing_queue_costs_nobody_an_attempt(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    before = {key: harness.redis.dump(key) for key in harness.redis.scan_iter()}
    with crowd(harness):
        for _ in range(10):
            with pytest.raises(Unavailable, match="hash_queue_full"):
                harness.codes.verify(harness.act(), started.challenge, "000000")
    assert {key: harness.redis.dump(key) for key in harness.redis.scan_iter()} == before
    assert isinstance(harness.codes.verify(harness.act(), started.challenge, "314159"), TokenGrant)


def test_attack_a_crowd_at_the_hashing_queue_leaves_no_sign_in_half_started(harness: Harness) -> None:
    harness.patient()
    with crowd(harness), pytest.raises(Unavailable, match="hash_queue_full"):
        harness.start()
    assert harness.outbox() == []
