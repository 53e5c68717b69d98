"""What back-channel logouts and webhooks share: one POST, of whose answer only the status counts.

A destination that hangs, fails or asks for patience costs one call's time, then it is left alone for half a minute:
with a hundred messages waiting for it, those for the others still leave in between. Until a call has gone well, it gets
one at a time. Any other answer is about its one message.
"""

from __future__ import annotations

import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from http.client import HTTPException
from typing import Any, Final

from authsvc.delivery.https import Poster
from authsvc.errors import DeliveryDeferred, DeliveryRefused, descriptors_exhausted
from authsvc.ports import Clock

BUSY: Final = frozenset({408, 425, 429})  # of 4xx those that mean "later" (RFC 9110, RFC 8470, RFC 6585)
PAUSE_MS: Final = 30_000  # how long a destination is left alone after a call that failed


class HttpSender:
    """Posts to destinations, which are few: operators register them. Thread-safe."""

    def __init__(self, clock: Clock, poster: Poster, refuses: Callable[[int], bool]) -> None:
        """`refuses` says of a status that isn't 2xx whether it is final."""
        self._clock = clock
        self._poster = poster
        self._refuses = refuses
        self._pauses: dict[str, int] = {}
        self._good: set[str] = set()
        self._first: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def deliver(
        self,
        url: str,
        body: bytes,
        fields: Mapping[str, str],
        before_sending: Callable[[], None],
        *,
        destination: str = "",
    ) -> str:
        """The status of the answer. `destination` names whose calls these are, if not all that go to this address.
        Raises what `before_sending` does (`Message`), `DeliveryDeferred`, `DeliveryRefused`."""
        destination = destination or url
        turn: AbstractContextManager[Any] = nullcontext() if destination in self._good else self._first[destination]
        with turn:
            left_ms = self._pauses.get(destination, 0) - self._clock.now_ms()
            if left_ms > 0:
                raise DeliveryDeferred(
                    "not reachable a moment ago", retry_after_s=-(-left_ms // 1000), cause="unreachable"
                )
            try:
                status = self._poster.post(url, body, fields, before_sending).status
            except ssl.SSLCertVerificationError:
                problem, cause = "certificate not trusted", "unreachable"
            except (OSError, HTTPException) as error:
                if descriptors_exhausted(error):  # it says nothing about the destination
                    raise DeliveryDeferred("this process has no file descriptor left", cause="ours") from None
                problem, cause = f"not reachable: {type(error).__name__}", "unreachable"
            else:
                if 200 <= status <= 299:
                    self._good.add(destination)
                    return str(status)
                if self._refuses(status):
                    raise DeliveryRefused(str(status))
                if status < 500 and status not in BUSY:
                    raise DeliveryDeferred(str(status), cause="host")
                problem, cause = str(status), "host"
            self._good.discard(destination)
            self._pauses[destination] = self._clock.now_ms() + PAUSE_MS
            raise DeliveryDeferred(problem, cause=cause)
