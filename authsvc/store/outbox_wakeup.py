"""Wakes the worker when mail was queued, without making the request wait for it.

Practices lie in slots of their own, so this can't be part of the script that queues a mail. A wake-up that is lost
costs nothing but the time to the worker's next sweep. A thread of its own sends them, at most every 50 ms: under load
one wake-up serves many mails, and a hand-over between threads for each would cost a tenth of the requests.
"""

from __future__ import annotations

import threading

from authsvc.errors import Unavailable
from authsvc.store.outbox import Outbox

PAUSE_S = 0.05


class OutboxWakeup:
    """Silent until `start`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._practices: set[str] = set()
        self._event = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def notify(self, practice_id: str) -> None:
        """Note that this practice has mail; returns at once."""
        if self._thread is not None:
            self._practices.add(practice_id)
            if not self._event.is_set():
                self._event.set()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="authsvc-outbox-wakeup", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send what is still waiting, then end the thread."""
        self._stopped.set()
        self._event.set()
        if self._thread is not None:
            self._thread.join(timeout=3)
            self._thread = None

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._event.wait()
            self._event.clear()
            self._send()
            self._stopped.wait(PAUSE_S)
        self._send()

    def _send(self) -> None:
        waiting, self._practices = self._practices, set()
        if waiting:
            try:
                self._outbox.wake_worker(sorted(waiting))
            except Unavailable:
                return  # the sweep finds them
