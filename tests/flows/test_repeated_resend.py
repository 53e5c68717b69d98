"""What a resend under an Idempotency-Key keeps for its repeat: never more than the caller was told the first time."""

from __future__ import annotations

from typing import Any

from authsvc.model import RequestContext, Started
from tests.flows.conftest import Harness


def resent_twice(harness: Harness, act: Any, started: Started, code: str) -> tuple[Started, Started]:
    harness.clock.advance_s(30)
    harness.entropy.next_below(int(code))
    first, again = (harness.codes.resend(act(), started.challenge) for _ in range(2))
    return first, again


def test_attack_a_repeated_resend_does_not_tell_the_caller_the_code_that_was_mailed(harness: Harness) -> None:
    harness.patient()
    desk, _ = harness.new_client("desk", permissions=frozenset({"codes:issue"}))

    def act() -> RequestContext:
        return harness.act(desk, idempotency_key="again", fingerprint=b"body")

    started = harness.start(act=harness.act(desk), email="ann@example.org")
    first, again = resent_twice(harness, act, started, "271828")
    assert harness.mailed()["code"] == "271828"
    assert (first.code, again.code) == (None, None)


def test_a_repeated_resend_by_caller_tells_the_same_code_again(harness: Harness) -> None:
    harness.patient()
    started = harness.start(patient="p1", delivery="caller")

    def act() -> RequestContext:
        return harness.act(idempotency_key="again", fingerprint=b"body")

    first, again = resent_twice(harness, act, started, "271828")
    assert (first.code, again.code) == ("271828", "271828")
