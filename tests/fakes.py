"""Stand-ins for the few things that a test must hold in its hand: time, chance, and the last step to a person.

There is no stand-in for the store: tests swap the client beneath `Store` (see conftest.py), so that the class under
test is the class that ships.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authsvc.model import Message

NINE_O_CLOCK_MS = 1_894_006_800_000  # 2030-01-07T09:00:00Z: a Monday no real clock has reached


class FakeClock:
    """Time that passes when told to. It starts ahead of the real one, so code that asks the machine is found out."""

    def __init__(self, now_ms: int = NINE_O_CLOCK_MS) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def advance_ms(self, span_ms: int) -> None:
        self._now_ms += span_ms

    def advance_s(self, span_s: float) -> None:
        self._now_ms += round(span_s * 1000)


class SeededEntropy:
    """Bytes that look random, never repeat, and are the same in every run: SHA-256 over seed and counter.

    `next_below(1, 2)` sets what the next draws of `below` give, for a test that needs a certain code. Thread-safe.
    """

    def __init__(self, seed: int | str = 0) -> None:
        self._seed = str(seed).encode()
        self._counter = 0
        self._planned: deque[int] = deque()
        self._lock = threading.Lock()

    def next_below(self, *values: int) -> None:
        self._planned.extend(values)

    def token_bytes(self, count: int) -> bytes:
        with self._lock:
            return self._draw(count)

    def below(self, bound: int) -> int:
        with self._lock:
            if self._planned:
                value = self._planned.popleft()
                assert 0 <= value < bound, f"{value} was planned, below {bound} was asked"
                return value
            # 16 bytes more than the bound needs: the bias is under 2^-128.
            return int.from_bytes(self._draw((bound.bit_length() + 7) // 8 + 16)) % bound

    def _draw(self, count: int) -> bytes:
        drawn = b""
        while len(drawn) < count:
            self._counter += 1
            drawn += hashlib.sha256(b"%s/%d" % (self._seed, self._counter)).digest()
        return drawn[:count]


class RecordingSender:
    """A way to reach people that keeps what it was given. `outcomes` are raised first, one a call; None: taken."""

    def __init__(self, outcomes: Iterable[Exception | None] = ()) -> None:
        self.messages: list[Message] = []
        self._outcomes = deque(outcomes)

    def send(self, message: Message) -> str:
        outcome = self._outcomes.popleft() if self._outcomes else None
        if outcome is not None:
            raise outcome
        self.messages.append(message)
        return "recorded"


SECRET_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"  # base64url of 32 digits: for tests, good for nothing else


def environ(redis_url: str = "unix:///nonexistent/store", **more: str) -> dict[str, str]:
    """The smallest environment that `config.load` takes: development, on loopback. `more` by full AUTHSVC_ name."""
    return {
        "AUTHSVC_ENV": "development",
        "AUTHSVC_PUBLIC_URL": "http://127.0.0.1:8000",
        "AUTHSVC_REDIS_URL": redis_url,
        "AUTHSVC_SECRET_KEYS": SECRET_KEY,
        "AUTHSVC_MAIL_URL": "inbox:",
        "AUTHSVC_MAIL_FROM": "Maple Practice <no-reply@maple.example>",
        **more,
    }
