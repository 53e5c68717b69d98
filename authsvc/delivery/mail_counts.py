"""Mails of all practices are counted as they are taken up. While the site has used its quota it is throttled: what
issues more of them reads that flag. Each practice's own budgets are counted where its mails are queued."""

from __future__ import annotations

import logging
import time
from typing import Final

from authsvc.errors import Unavailable
from authsvc.store.outbox import MailCap, Outbox

PUBLISH_S: Final = 0.25  # how often counts go to the store; whoever reads the flag may be 1 s late itself

LOG: Final = logging.getLogger("authsvc.delivery")


class MailCounts:
    """What one worker has taken up."""

    def __init__(self, outbox: Outbox, cap: MailCap) -> None:
        self._outbox = outbox
        self._cap = cap
        self._mails = 0
        self._waits = False  # something is to be published
        self._throttled = False  # this worker must take the flag back again
        self._published_s = 0.0

    def add(self, mails: int) -> None:
        self._mails += mails
        self._waits = True

    def look_again(self) -> None:
        """At the next `publish`, see whether a throttle can be taken back."""
        self._waits |= self._throttled

    def publish(self, *, now: bool) -> None:
        """Tell the store, if it is time or `now`. What fails is told the next time."""
        if not self._waits or not (now or time.monotonic() - self._published_s >= PUBLISH_S):
            return
        self._published_s = time.monotonic()
        try:
            throttle = self._outbox.count(self._mails, self._cap)
        except Unavailable:
            return
        self._mails, self._waits = 0, False
        if throttle and not self._throttled:
            LOG.warning("mails are throttled", extra={"policy": "mails-all"})
        self._throttled = bool(throttle)
