"""One try to deliver a message: what comes of it, and when the next one is due.

A message is tried until it is taken, refused, or of no use: never after the end of the code or link that it carries,
and never for longer than a weekend. The pauses between tries grow, with full jitter, so that a mail host that comes
back isn't met by everything at once.

When the answer to a whole message was lost, the host perhaps has it: it is tried at most twice more, and slowly. How
often that happened stands in the delivery record, for staff and for the next worker.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from authsvc.errors import DeliveryDeferred, DeliveryRefused, Unavailable
from authsvc.model import Message, Practice
from authsvc.ports import Clock, Entropy, Sender
from authsvc.store.outbox import Entry, Recipient

FIRST_PAUSE_MS: Final = 2_000  # doubled at each try, with full jitter
LONGEST_PAUSE_MS: Final = 900_000
PAUSE_PER_LIFE: Final = 20  # no pause above a twentieth of the message's life: 30 s for a code of 10 minutes
LONGEST_LIFE_MS: Final = 72 * 3_600_000  # a weekend and a holiday; staff sees `too_late` and knows
LAST_TRY_MS: Final = 2_000  # the last try is so long before the end, not after it
DOUBT_PAUSES_MS: Final = (60_000, 300_000)  # before the second and the third mail that the host may have had already

_DOUBTS: Final = re.compile(r"\(perhaps sent: (\d)\)")


@dataclass(frozen=True)
class Outcome:
    """How a try ended: `sent`, `refused`, `too_late`, `cancelled`, `deferred` (until `at_ms`), or `untried`: the store
    was away. `cause` is that of the deferral."""

    state: str
    detail: str = ""
    at_ms: int = 0
    cause: str = ""


class Attempts:
    """Opens messages and gives them to their sender. Thread-safe."""

    def __init__(
        self,
        senders: Mapping[str, Sender],
        open_entry: Callable[[Practice, Entry, Recipient], Message],
        last_detail: Callable[[Practice, Entry], str],
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`senders` by channel; `open_entry` unseals (ValueError when it can't); `last_detail` gives what the delivery
        record says of the try before."""
        self._senders = senders
        self._open_entry = open_entry
        self._last_detail = last_detail
        self._clock = clock
        self._entropy = entropy

    def make(
        self, practice: Practice, entry: Entry, recipient: Recipient, check_lease: Callable[[], None] = lambda: None
    ) -> Outcome:
        """One try. `check_lease` raises DeliveryDeferred when another worker may have the message by now."""
        if self._clock.now_ms() >= _deadline_ms(entry):
            return Outcome("too_late")
        doubts = 0
        try:
            doubts = self._doubts(practice, entry)
            message = replace(self._opened(practice, entry, recipient), before_sending=check_lease)
            sender = self._senders.get(message.channel)
            if sender is None:
                return Outcome("refused", "no sender for this channel")
            return Outcome("sent", sender.send(message))
        except DeliveryRefused as refusal:
            return Outcome("refused", refusal.detail)
        except DeliveryDeferred as deferral:
            return self._deferred(entry, deferral, doubts)
        except Unavailable as error:
            return Outcome("untried", error.reason)
        except Exception as error:  # noqa: BLE001 - a fault of ours; deferred, since the next version may have mended it
            return self._deferred(entry, DeliveryDeferred(f"fault: {type(error).__name__}", cause="ours"), doubts)

    def _opened(self, practice: Practice, entry: Entry, recipient: Recipient) -> Message:
        try:
            return self._open_entry(practice, entry, recipient)
        except ValueError:
            # Perhaps a master secret that this worker hasn't been given yet: giving up would lose the mail for that.
            raise DeliveryDeferred("can't be opened with the secrets of this worker", cause="ours") from None

    def _doubts(self, practice: Practice, entry: Entry) -> int:
        """How often the answer to the whole message was lost so far."""
        found = _DOUBTS.search(self._last_detail(practice, entry)) if entry.tries else None
        return int(found[1]) if found else 0

    def _deferred(self, entry: Entry, deferral: DeliveryDeferred, doubts: int) -> Outcome:
        doubts += deferral.cause == "in_doubt"
        detail = f"{deferral.detail} (perhaps sent: {doubts})" if doubts else deferral.detail
        now_ms, deadline_ms = self._clock.now_ms(), _deadline_ms(entry)
        if now_ms >= deadline_ms:
            return Outcome("too_late", detail, cause=deferral.cause)
        pause_ms = self._pause_ms(entry, deadline_ms)
        if deferral.cause == "in_doubt":
            if doubts > len(DOUBT_PAUSES_MS):
                return Outcome("sent", detail, cause=deferral.cause)
            pause_ms = DOUBT_PAUSES_MS[doubts - 1]
        pause_ms = max(pause_ms, (deferral.retry_after_s or 0) * 1000)
        at_ms = min(now_ms + pause_ms, max(deadline_ms - LAST_TRY_MS, now_ms + LAST_TRY_MS))
        return Outcome("deferred", detail, at_ms, deferral.cause)

    def _pause_ms(self, entry: Entry, deadline_ms: int) -> int:
        """Exponential backoff with full jitter."""
        life_ms = deadline_ms - entry.queued_ms
        highest_ms = min(FIRST_PAUSE_MS << min(entry.tries, 16), LONGEST_PAUSE_MS, max(life_ms // PAUSE_PER_LIFE, 1))
        return self._entropy.below(highest_ms) + 1


def _deadline_ms(entry: Entry) -> int:
    return min(entry.until_ms, entry.queued_ms + LONGEST_LIFE_MS)
