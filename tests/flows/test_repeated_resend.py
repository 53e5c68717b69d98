"""What a resend under an Idempotency-Key keeps for its repeat: never more than the caller was told the first time."""

from __future__ import annotations

from typing import Any

from authsvc.model import RequestContext, Started
from tests.flows.conftest import House


def resent_twice(house: House, act: Any, started: Started, code: str) -> tuple[Started, Started]:
    house.clock.advance_s(30)
    house.entropy.next_below(int(code))
    first, again = (house.codes.resend(act(), started.challenge) for _ in range(2))
    return first, again


def test_attack_a_repeated_resend_does_not_tell_the_caller_the_code_that_was_mailed(house: House) -> None:
    house.patient()
    desk, _ = house.new_client("desk", permissions=frozenset({"codes:issue"}))

    def act() -> RequestContext:
        return house.act(desk, idempotency_key="again", fingerprint=b"body")

    started = house.start(act=house.act(desk), email="ann@example.org")
    first, again = resent_twice(house, act, started, "271828")
    assert house.mailed()["code"] == "271828"
    assert (first.code, again.code) == (None, None)


def test_a_repeated_resend_by_caller_tells_the_same_code_again(house: House) -> None:
    house.patient()
    started = house.start(patient="p1", delivery="caller")

    def act() -> RequestContext:
        return house.act(idempotency_key="again", fingerprint=b"body")

    first, again = resent_twice(house, act, started, "271828")
    assert (first.code, again.code) == ("271828", "271828")
