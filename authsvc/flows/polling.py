"""A thread that polls: what changes elsewhere (a rotated key, a throttle) is noticed within the period.

Whatever it calls keeps its last good state when a call fails, so a failure is only worth a line in the log, once when
it begins and once when it ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("authsvc.polling")


class Poller:
    """Calls each of `polls` every `period_s` until stopped. Start it after a fork: threads don't cross one."""

    def __init__(self, period_s: float, **polls: Callable[[], object]) -> None:
        self._period_s = period_s
        self._polls = polls
        self._failing: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="authsvc-polling", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ends after the call that is under way, and polls once more: what waits is written, and a process that starts
        next learns that the store was emptied. Harmless when it never started."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def poll(self) -> None:
        """Calls each once, now. One that fails doesn't keep the others from their turn."""
        for name, poll in self._polls.items():
            try:
                poll()
            except Exception as error:  # noqa: BLE001 - this thread must outlive whatever a call runs into
                failure = f"{type(error).__name__}: {error}"
                if self._failing.get(name) != failure:
                    log.warning("polling.failing", extra={"kind": name, "reason": failure})
                self._failing[name] = failure
            else:
                if self._failing.pop(name, None) is not None:
                    log.info("polling.recovered", extra={"kind": name})

    def _run(self) -> None:
        while not self._stopping.wait(self._period_s):
            self.poll()
        self.poll()
