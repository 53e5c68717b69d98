"""The thread that keeps looking."""

from __future__ import annotations

import logging
import threading

import pytest

from authsvc.flows.polling import Poller


def test_it_looks_again_and_again_until_stopped() -> None:
    thrice, looks = threading.Event(), []

    def look() -> None:
        looks.append(1)
        if len(looks) >= 3:
            thrice.set()

    follower = Poller(0.001, look=look)
    follower.start()
    assert thrice.wait(10)
    follower.stop()
    assert not any(thread.name == "authsvc-follow" for thread in threading.enumerate())


def test_stopping_what_never_started_is_harmless() -> None:
    Poller(1, look=lambda: None).stop()


def test_a_look_that_fails_is_told_once_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "authsvc.follow")
    trouble: list[str] = ["away"]
    seen = []

    def first() -> None:
        if trouble:
            raise RuntimeError(trouble[0])

    follower = Poller(1, first=first, second=lambda: seen.append(1))
    for _ in range(3):
        follower.look()
    trouble[0] = "unreadable"
    follower.look()
    trouble.clear()
    follower.look()
    follower.look()
    assert len(seen) == 6
    told = [(record.message, getattr(record, "reason", "")) for record in caplog.records]
    assert told == [
        ("follow.failing", "RuntimeError: away"),
        ("follow.failing", "RuntimeError: unreadable"),
        ("follow.recovered", ""),
    ]
