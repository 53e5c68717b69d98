"""The wake-up of the worker: sent without making anybody wait."""

from __future__ import annotations

import threading

from authsvc.errors import Unavailable
from authsvc.store.connection import Connection
from authsvc.store.outbox import Outbox
from authsvc.store.outbox_wakeup import OutboxWakeup
from tests.fakes import FakeClock


def test_a_wake_up_reaches_the_worker(store: Connection) -> None:
    outbox = Outbox(store, FakeClock(), 60)
    wakeup = OutboxWakeup(outbox)
    wakeup.start()
    wakeup.notify("maple")
    wakeup.notify("oak")
    wakeup.notify("maple")
    wakeup.stop()
    assert outbox.woken() == {"maple", "oak"}
    assert outbox.woken() == set()


def test_one_that_was_never_started_sends_nothing(store: Connection) -> None:
    outbox = Outbox(store, FakeClock(), 60)
    wakeup = OutboxWakeup(outbox)
    wakeup.notify("maple")
    wakeup.stop()
    assert outbox.woken() == set()


def test_a_store_that_is_away_costs_the_wake_up_and_nothing_else() -> None:
    called = threading.Event()

    class Away:
        def wake_worker(self, practices: list[str]) -> None:
            called.set()
            raise Unavailable("store_away")

    wakeup = OutboxWakeup(Away())  # type: ignore[arg-type]  # only `wake_worker` is called
    wakeup.start()
    wakeup.notify("maple")
    assert called.wait(10)
    wakeup.stop()
