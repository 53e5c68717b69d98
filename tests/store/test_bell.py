"""The doorbell: rings for the worker without making anybody wait."""

from __future__ import annotations

import threading

from authsvc.errors import Unavailable
from authsvc.store.connection import Store
from authsvc.store.outbox import Outbox
from authsvc.store.outbox_wakeup import OutboxWakeup


def test_a_ring_reaches_the_worker(store: Store) -> None:
    outbox = Outbox(store, 60)
    bell = OutboxWakeup(outbox)
    bell.start()
    bell.ring("maple")
    bell.ring("oak")
    bell.ring("maple")
    bell.stop()
    assert outbox.rung() == {"maple", "oak"}
    assert outbox.rung() == set()


def test_a_bell_that_was_never_started_is_silent(store: Store) -> None:
    outbox = Outbox(store, 60)
    bell = OutboxWakeup(outbox)
    bell.ring("maple")
    bell.stop()
    assert outbox.rung() == set()


def test_a_store_that_is_away_costs_the_ring_and_nothing_else() -> None:
    asked = threading.Event()

    class Away:
        def ring(self, practice: str) -> None:
            asked.set()
            raise Unavailable("store_away")

    bell = OutboxWakeup(Away())  # type: ignore[arg-type]  # only `ring` is asked of it
    bell.start()
    bell.ring("maple")
    assert asked.wait(10)
    bell.stop()
