"""A thread that keeps looking: what changes elsewhere (a rotated key, a flag) is seen within the period.

Whatever it calls keeps its last good state by itself when a look fails, so a failure is only worth a line in the log,
once when it begins and once when it ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("authsvc.follow")


class Poller:
    """Calls each of `looks` every `period_s` until stopped. Start it after a fork: threads don't cross one."""

    def __init__(self, period_s: float, **looks: Callable[[], object]) -> None:
        self._period_s = period_s
        self._looks = looks
        self._failing: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="authsvc-follow", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ends after the look that is under way; harmless when it never started."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def look(self) -> None:
        """Every look once, now. A look that fails doesn't keep the others from theirs."""
        for name, context in self._looks.items():
            try:
                context()
            except Exception as error:  # noqa: BLE001 - this thread must outlive whatever a look runs into
                trouble = f"{type(error).__name__}: {error}"
                if self._failing.get(name) != trouble:
                    log.warning("follow.failing", extra={"kind": name, "reason": trouble})
                self._failing[name] = trouble
            else:
                if self._failing.pop(name, None) is not None:
                    log.info("follow.recovered", extra={"kind": name})

    def _run(self) -> None:
        while not self._stopping.wait(self._period_s):
            self.look()
