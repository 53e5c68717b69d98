"""What a resend under an Idempotency-Key keeps for its repeat: never more than the caller was told the first time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

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


# --- two at once: the repeat comes between the check of a call and its act ------------------------------------------


def overtaken(monkeypatch: pytest.MonkeyPatch, store: Any, name: str, repeat: Callable[[], Started]) -> list[Started]:
    """After the first check by this method of the store, the same call is made from beginning to end."""
    method, answers = getattr(store, name), list[Started]()

    def checked_and_overtaken(*args: Any, check_only: bool = False, **more: Any) -> Any:
        found = method(*args, check_only=check_only, **more)
        if check_only and not answers:
            monkeypatch.setattr(store, name, method)
            answers.append(repeat())
        return found

    monkeypatch.setattr(store, name, checked_and_overtaken)
    return answers


def test_a_resend_that_its_repeat_has_overtaken_sends_nothing_more(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.patient()
    challenge = harness.start().challenge
    harness.clock.advance_s(30)
    first, second = (harness.act(idempotency_key="again", fingerprint=b"body") for _ in range(2))
    repeat = overtaken(monkeypatch, harness.codes._store, "resend", lambda: harness.codes.resend(second, challenge))
    assert harness.codes.resend(first, challenge).challenge == repeat[0].challenge == challenge
    assert len(harness.outbox()) == 2


def test_an_access_link_that_its_repeat_has_overtaken_starts_one_sign_in(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.patient()
    token = harness.access_link()
    first, second = (harness.act(idempotency_key="again", fingerprint=b"body") for _ in range(2))

    def exchange(act: RequestContext) -> Started:
        started = harness.links.exchange(act, token)
        assert isinstance(started, Started)
        return started

    repeat = overtaken(monkeypatch, harness.links._store, "start_challenge", lambda: exchange(second))
    assert exchange(first).challenge == repeat[0].challenge


def test_a_start_that_its_repeat_has_overtaken_sends_one_mail(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.patient()
    first, second = (harness.act(idempotency_key="again", fingerprint=b"body") for _ in range(2))
    start = harness.codes.start
    repeat = overtaken(monkeypatch, harness.codes._store, "start", lambda: start(second, email="ann@example.org"))
    assert start(first, email="ann@example.org").challenge == repeat[0].challenge
    assert len(harness.outbox()) == 1
