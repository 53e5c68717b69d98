"""The only Protocols of the package; each has two implementations, one for production and one for tests."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from authsvc.model import Message


class Clock(Protocol):
    """Where every instant comes from: nothing else in the package reads the time of day."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


class Entropy(Protocol):
    """Where every unguessable byte comes from."""

    def token_bytes(self, count: int) -> bytes:
        """`count` bytes from a CSPRNG."""
        ...

    def below(self, bound: int) -> int:
        """A uniform integer in [0, bound)."""
        ...


class Sender(Protocol):
    """One way to reach a person.

    `send` returns a short note for the delivery record when the next hop has taken the message; raises
    `errors.DeliveryDeferred` when a later try may work and `errors.DeliveryRefused` when none will.
    """

    def send(self, message: Message) -> str: ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class SystemEntropy:
    """The operating system's CSPRNG."""

    def token_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)

    def below(self, bound: int) -> int:
        return secrets.randbelow(bound)
