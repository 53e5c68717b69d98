"""Mails are counted as they are taken up. A practice, or the site, that has used its quota is throttled: what issues
more of them reads that flag."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Final

from authsvc.errors import Unavailable
from authsvc.store.outbox import MailCap, Outbox

PUBLISH_S: Final = 0.25  # how often counts go to the store; whoever reads the flag may be 1 s late itself

LOG: Final = logging.getLogger("authsvc.delivery")


class MailCounts:
    """What one worker has taken up. None stands for the site."""

    def __init__(self, outbox: Outbox, *, practice_cap: MailCap, site_cap: MailCap) -> None:
        self._outbox = outbox
        self._practice_cap = practice_cap
        self._site_cap = site_cap
        self._counted: Counter[str | None] = Counter()
        self._throttled: set[str | None] = set()  # whose flag this worker must take back again
        self._published_s = 0.0

    def add(self, practice_id: str, mails: int) -> None:
        self._counted[practice_id] += mails
        self._counted[None] += mails

    def look_again(self) -> None:
        """At the next `publish`, see whether a throttle can be taken back."""
        for throttled in self._throttled:
            self._counted[throttled] += 0

    def publish(self, *, now: bool) -> None:
        """Tell the store, if it is time or `now`. What fails is told the next time."""
        if not self._counted or not (now or time.monotonic() - self._published_s >= PUBLISH_S):
            return
        self._published_s = time.monotonic()
        for practice_id, mails in tuple(self._counted.items()):
            cap = self._site_cap if practice_id is None else self._practice_cap
            try:
                throttle = self._outbox.count(practice_id, mails, cap)
            except Unavailable:
                continue
            del self._counted[practice_id]
            if not throttle:
                self._throttled.discard(practice_id)
            elif practice_id not in self._throttled:
                self._throttled.add(practice_id)
                policy = "mails-all" if practice_id is None else "mails-practice"
                LOG.warning("mails are throttled", extra={"policy": policy, "practice": practice_id or ""})
