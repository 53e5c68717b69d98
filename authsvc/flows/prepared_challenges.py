"""Challenges that are hashed and sealed before somebody asks for them.

Hashing a code and sealing its mail must come after a start was checked, since a refused start shall have cost neither,
and before the challenge is kept: two calls to the store. Where another start of the same practice is likely, the start
before it prepares its challenge, so that check and act are one call. A challenge that wasn't handed out serves another
start.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from authsvc.ports import Clock
from authsvc.store.values import NewChallenge

LIKELY_WITHIN_MS: Final = 60_000  # after a start: another one will come as soon as this
LIFE_MS: Final = 600_000  # of a challenge that waits here
PRACTICES_MAX: Final = 1_000  # that a process prepares for, 700 bytes each


@dataclass(frozen=True)
class PreparedChallenge:
    """A challenge for the store, and what the caller gets: the challenge and, where it may be shown, the code. `keys`
    are those that it was hashed and sealed with."""

    challenge: str
    code: str = field(repr=False)
    new: NewChallenge
    keys: tuple[str, bytes] = field(repr=False)
    made_ms: int


class PreparedChallenges:
    """Challenges that wait for their start, by practice, in this process alone. Thread-safe."""

    def __init__(self, clock: Clock, per_practice: int) -> None:
        """With `per_practice` 0 nothing is prepared."""
        self._clock = clock
        self._per_practice = per_practice
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[PreparedChallenge]] = {}
        self._started_ms: dict[str, int] = {}
        if per_practice:
            os.register_at_fork(after_in_child=self._forget)  # two processes must not hand out the same

    def take(self, practice_id: str, keys: tuple[str, bytes]) -> PreparedChallenge | None:
        """One that is young and was made with these keys; nobody else gets it."""
        oldest_ms = self._clock.now_ms() - LIFE_MS
        with self._lock:
            waiting = self._waiting.get(practice_id)
            while waiting:
                prepared = waiting.pop()
                if prepared.keys == keys and prepared.made_ms > oldest_ms:
                    return prepared
        return None

    def keep(self, practice_id: str, prepared: PreparedChallenge) -> None:
        """For the next start: one that was never handed out, nor may be in the store."""
        with self._lock:
            if practice_id in self._waiting:
                self._waiting[practice_id].append(prepared)

    def note_start(self, practice_id: str) -> bool:
        """A start succeeded: whether a challenge should be made for the next one."""
        now_ms = self._clock.now_ms()
        with self._lock:
            likely = self._per_practice > 0 and now_ms - self._started_ms.pop(practice_id, 0) < LIKELY_WITHIN_MS
            self._started_ms[practice_id] = now_ms
            while len(self._started_ms) > PRACTICES_MAX:
                forgotten = next(iter(self._started_ms))
                del self._started_ms[forgotten]
                self._waiting.pop(forgotten, None)
            if not likely:
                return False
            waiting = self._waiting.setdefault(practice_id, deque(maxlen=self._per_practice))
            return len(waiting) < self._per_practice

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._waiting.clear()
