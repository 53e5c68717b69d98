"""Practices whose mail has to wait, because their part of the store failed or a record of theirs can't be read. The
others' goes on. Each is named in the log once when it begins, and once when it ends."""

from __future__ import annotations

import logging
from typing import Final

from authsvc.errors import Unavailable
from authsvc.ports import Clock

PAUSE_MS: Final = 5_000  # how long a practice is left alone

LOG: Final = logging.getLogger("authsvc.delivery")


class PracticePauses:
    """For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[int, str]] = {}  # practice: when to try again, and why not now

    def must_wait(self, practice_id: str) -> bool:
        until_ms, _ = self._known.get(practice_id, (0, ""))
        return self._clock.now_ms() < until_ms

    def failed(self, practice_id: str, error: Exception) -> None:
        # The words of an unknown fault may hold secrets.
        reason = error.reason if isinstance(error, Unavailable) else type(error).__name__
        if self._known.get(practice_id, (0, ""))[1] != reason:
            LOG.warning("a practice's mail waits", extra={"practice": practice_id, "reason": reason})
        self._known[practice_id] = (self._clock.now_ms() + PAUSE_MS, reason)

    def recovered(self, practice_id: str) -> None:
        if self._known.pop(practice_id, None):
            LOG.info("a practice's mail goes on", extra={"practice": practice_id})
