"""What a crowd at the hashing queue costs the patient who comes last."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from authsvc.errors import Unavailable
from authsvc.model import TokenGrant
from tests.flows.conftest import House


def crowd(house: House) -> ExitStack:
    """Take every place there is; they are given back when the stack is closed."""
    places = ExitStack()
    with pytest.raises(Unavailable, match="hash_queue_full"):
        while True:
            places.enter_context(house.service.deps.hash_queue.place())
    return places


def test_attack_a_crowd_at_the_hashing_queue_costs_nobody_an_attempt(house: House) -> None:
    house.patient()
    started = house.start()
    before = {key: house.redis.dump(key) for key in house.redis.scan_iter()}
    with crowd(house):
        for _ in range(10):
            with pytest.raises(Unavailable, match="hash_queue_full"):
                house.codes.verify(house.act(), started.challenge, "000000")
    assert {key: house.redis.dump(key) for key in house.redis.scan_iter()} == before
    assert isinstance(house.codes.verify(house.act(), started.challenge, "314159"), TokenGrant)


def test_attack_a_crowd_at_the_hashing_queue_leaves_no_sign_in_half_started(house: House) -> None:
    house.patient()
    with crowd(house), pytest.raises(Unavailable, match="hash_queue_full"):
        house.start()
    assert house.outbox() == []
