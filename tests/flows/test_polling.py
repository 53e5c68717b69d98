"""The thread that polls."""

from __future__ import annotations

import logging
import threading

import pytest

from authsvc.flows.polling import Poller


def test_it_polls_again_and_again_until_stopped() -> None:
    thrice, polls, threads = threading.Event(), [], set[threading.Thread]()

    def poll() -> None:
        polls.append(1)
        threads.add(threading.current_thread())
        if len(polls) >= 3:
            thrice.set()

    poller = Poller(0.001, poll=poll)
    poller.start()
    assert thrice.wait(10)
    poller.stop()
    assert [(thread.name, thread.is_alive()) for thread in threads] == [("authsvc-polling", False)]


def test_it_polls_once_more_when_it_is_stopped() -> None:
    polls: list[int] = []
    poller = Poller(3600, poll=lambda: polls.append(1))
    poller.start()
    poller.stop()
    assert polls == [1]


def test_stopping_what_never_started_is_harmless() -> None:
    Poller(1, poll=lambda: None).stop()


def test_a_poll_that_fails_is_logged_once_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "authsvc.polling")
    failure: list[str] = ["away"]
    seen = []

    def first() -> None:
        if failure:
            raise RuntimeError(failure[0])

    poller = Poller(1, first=first, second=lambda: seen.append(1))
    for _ in range(3):
        poller.poll()
    failure[0] = "unreadable"
    poller.poll()
    failure.clear()
    poller.poll()
    poller.poll()
    assert len(seen) == 6
    logged = [(record.message, getattr(record, "reason", "")) for record in caplog.records]
    assert logged == [
        ("polling.failing", "RuntimeError: away"),
        ("polling.failing", "RuntimeError: unreadable"),
        ("polling.recovered", ""),
    ]
