"""The outbox's doorbell: tells the worker which practice has mail, without making the request wait for it.

Practices lie in slots of their own, so ringing can't be part of the script that queues a mail. A lost ring costs
nothing but the time to the worker's next sweep.
"""

from __future__ import annotations

import threading

from authsvc.errors import Unavailable
from authsvc.store.outbox import Outbox


class OutboxWakeup:
    """Rings from a thread of its own; silent until `start`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiting: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def ring(self, practice_id: str) -> None:
        """Note that this practice has mail; returns at once."""
        if self._thread is None:
            return
        with self._changed:
            self._waiting.add(practice_id)
            self._changed.notify()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="authsvc-bell", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ring what is still waiting, then end the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=3)
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                names, self._waiting = sorted(self._waiting), set()
                stopped = self._stopped
            if names:
                self._push(names)
            if stopped:
                return

    def _push(self, names: list[str]) -> None:
        for name in names:
            try:
                self._outbox.ring(name)
            except Unavailable:
                return  # the sweep finds them
