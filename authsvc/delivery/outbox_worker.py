"""The outbox worker: takes what issuing has queued, hands it to a sender, and notes how it went.

Where to look: the doorbell says at once, a sweep over all practices every two seconds finds what it missed, what was
deferred, and what a vanished worker left. Each practice gets a short turn, so one that mails thousands doesn't keep
the others' codes waiting. Any number of workers may run; the leases of the outbox keep them apart.

A message is tried until it is taken, refused, or of no use: never after the end of the code or link that it carries,
and never for longer than a weekend. The pauses between tries grow, with full jitter, so that a mail host that comes
back isn't met by everything at once.

Logouts, which clients are told, have a queue and a worker of their own (`backchannel.py`); all of this holds for them,
but they aren't mails: nothing counts or brakes them.

When the store is away the worker waits; what it had sent but could not note is kept in memory and noted later, so that
a patient doesn't get the mail twice for that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from authsvc.errors import DeliveryDeferred, DeliveryRefused, Unavailable
from authsvc.model import Message, Practice
from authsvc.ports import Clock, Entropy, Sender
from authsvc.store.outbox import CODES, MAILS, Entry, MailCap, Outbox, Recipient

SWEEP_MS: Final = 2_000
LISTEN_S: Final = 0.1  # between two looks at the doorbell: the most that an idle worker adds to a mail's way
STORE_AWAY_S: Final = 1.0  # pause when the store is away
LEASE_MS: Final = 30_000  # above the longest send (email.SEND_S and one hand-shake); what a crash delays a mail by
TURN: Final = 10  # messages of one practice before the next practice's turn

FIRST_PAUSE_MS: Final = 2_000  # doubled at each try, with full jitter
LONGEST_PAUSE_MS: Final = 900_000
PAUSE_PER_LIFE: Final = 20  # no pause above a twentieth of the message's life: 30 s for a code of 10 minutes
LONGEST_LIFE_MS: Final = 72 * 3_600_000  # a weekend and a holiday; staff sees `too_late` and knows

GRACE_S: Final = 12.0  # to finish what is in hand at SIGTERM; `worker` must have ended after 15 s

LOG: Final = logging.getLogger("authsvc.delivery")

Event = Callable[[str, Mapping[str, str | int]], None]
"""Told `mail_sent`, `mail_deferred`, `mail_refused`, `mail_too_late` (or `logout_…`) with practice, patient, kind,
channel, message_id, attempts and waited_ms. It must not raise."""


@dataclass(frozen=True)
class _Outcome:
    """How a try ended. `at_ms` is the next try of a deferred message."""

    state: str
    detail: str = ""
    at_ms: int = 0


class Worker:
    """One consumer of the outbox; not to be shared between threads (run several instead)."""

    def __init__(
        self,
        outbox: Outbox,
        senders: Mapping[str, Sender],
        open_entry: Callable[[Practice, Entry, Recipient], Message],
        practice: Callable[[str], Practice | None],
        clock: Clock,
        entropy: Entropy,
        *,
        practice_cap: MailCap | None = None,
        site_cap: MailCap | None = None,
        on_event: Event | None = None,
        carries: str = "mail",
        queues: tuple[str, ...] = (CODES, MAILS),
    ) -> None:
        """`senders` by channel; `open_entry` unseals (ValueError when it can't); `practice` looks one up by id. Without
        caps nothing is counted. What it `carries` begins the names of its events."""
        self._outbox = outbox
        self._senders = senders
        self._open_entry = open_entry
        self._practice = practice
        self._clock = clock
        self._entropy = entropy
        self._practice_cap = practice_cap
        self._site_cap = site_cap
        self._on_event = on_event
        self._carries = carries
        self._queues = queues
        self._consumer = entropy.token_bytes(12).hex()
        self._swept_ms: int | None = None
        self._waiting: set[str] = set()  # practices that may have more
        self._braked: set[str | None] = set()  # whose brake this worker must loosen again; None is the site
        self._unnoted: dict[tuple[str, str], _Outcome] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; then end after the message in hand, and give back the rest."""
        while not stop.is_set():
            try:
                if not self.step(stop):
                    stop.wait(LISTEN_S)
            except Unavailable as error:
                LOG.warning("the store is away, the outbox waits", extra={"reason": error.reason})
                stop.wait(STORE_AWAY_S)
            except Exception as error:  # noqa: BLE001 - one bad practice must not end all mail; the words may hold secrets
                LOG.error("the worker stumbled", extra={"reason": type(error).__name__})
                stop.wait(STORE_AWAY_S)

    def step(self, stop: threading.Event | None = None) -> int:
        """One look around; how many messages were seen to. Raises `Unavailable`."""
        now_ms = self._clock.now_ms()
        self._waiting |= self._outbox.woken()
        if self._swept_ms is None or not 0 <= now_ms - self._swept_ms < SWEEP_MS:
            self._waiting |= self._outbox.practices()
            self._swept_ms = now_ms
            for braked in tuple(self._braked):
                self._count(braked, 0)
        handled = 0
        for practice_id in sorted(self._waiting):
            if stop is not None and stop.is_set():
                break
            self._waiting.discard(practice_id)
            handled += self._turn(practice_id, stop)
        return handled

    def _turn(self, practice_id: str, stop: threading.Event | None) -> int:
        practice = self._practice(practice_id)
        if practice is None:  # just made, and not known here yet, or just removed: the sweep comes by again
            return 0
        return sum(self._drain(practice, queue, stop) for queue in self._queues)

    def _drain(self, practice: Practice, queue: str, stop: threading.Event | None) -> int:
        batch = self._outbox.take(practice.id, queue, self._consumer, LEASE_MS, TURN)
        if batch.full:
            self._waiting.add(practice.id)
        if batch.fresh:
            self._count(practice.id, batch.fresh)
            self._count(None, batch.fresh)
        for number, entry in enumerate(batch.entries):
            if stop is not None and stop.is_set():
                for untried in batch.entries[number:]:
                    self._outbox.release(practice.id, untried, self._consumer)
                return number
            self._see_to(practice, entry)
        return len(batch.entries)

    def _count(self, practice_id: str | None, mails: int) -> None:
        cap = self._site_cap if practice_id is None else self._practice_cap
        if cap is None:
            return
        brake = self._outbox.count(practice_id, mails, cap)
        if not brake:
            self._braked.discard(practice_id)
        elif practice_id not in self._braked:
            self._braked.add(practice_id)
            policy = "mails-all" if practice_id is None else "mails-practice"
            LOG.warning("mails are being braked", extra={"policy": policy, "practice": practice_id or ""})

    def _see_to(self, practice: Practice, entry: Entry) -> None:
        """One message, from lease to note."""
        if entry.nobody:
            self._outbox.finish(practice.id, entry, "void", "")
            return
        key = (practice.id, entry.id)
        outcome = self._unnoted.get(key)
        if outcome is None:
            recipient = self._outbox.begin(practice.id, entry, self._consumer, LEASE_MS)
            if recipient == "lost":
                return
            if isinstance(recipient, Recipient):
                outcome = self._try(practice, entry, recipient)
            else:
                outcome = _Outcome("cancelled")
            self._unnoted[key] = outcome
        now_ms = self._clock.now_ms()
        if outcome.state == "deferred":
            noted = self._outbox.defer(practice.id, entry, self._consumer, outcome.at_ms, outcome.detail)
        else:
            noted = self._outbox.finish(practice.id, entry, outcome.state, outcome.detail)
        del self._unnoted[key]
        if noted:
            self._tell(practice, entry, outcome, now_ms)

    def _try(self, practice: Practice, entry: Entry, recipient: Recipient) -> _Outcome:
        deadline_ms = min(entry.until_ms, entry.queued_ms + LONGEST_LIFE_MS)
        if self._clock.now_ms() >= deadline_ms:
            return _Outcome("too_late")
        retry_after_s: int | None = None
        try:
            message = self._open_entry(practice, entry, recipient)
            sender = self._senders.get(message.channel)
            if sender is None:
                return _Outcome("refused", "no sender for this channel")
            return _Outcome("sent", sender.send(message))
        except DeliveryRefused as refusal:
            return _Outcome("refused", refusal.detail)
        except DeliveryDeferred as deferral:
            detail, retry_after_s = deferral.detail, deferral.retry_after_s
        except Unavailable:
            raise
        except ValueError:
            # Perhaps a master secret that this worker hasn't been given yet: giving up would lose the mail for that.
            detail = "can't be opened with the secrets of this worker"
        except Exception as error:  # noqa: BLE001 - a fault of ours; deferred, since the next version may have mended it
            detail = f"fault: {type(error).__name__}"
        now_ms = self._clock.now_ms()
        if now_ms >= deadline_ms:
            return _Outcome("too_late", detail)
        return _Outcome("deferred", detail, self._next_try_ms(entry, now_ms, deadline_ms, retry_after_s))

    def _next_try_ms(self, entry: Entry, now_ms: int, deadline_ms: int, retry_after_s: int | None) -> int:
        """Exponential backoff with full jitter. The last try is a moment before the end, not after it."""
        life_ms = deadline_ms - entry.queued_ms
        highest_ms = min(FIRST_PAUSE_MS << min(entry.tries, 16), LONGEST_PAUSE_MS, max(life_ms // PAUSE_PER_LIFE, 1))
        pause_ms = max(self._entropy.below(highest_ms) + 1, (retry_after_s or 0) * 1000)
        return min(now_ms + pause_ms, max(deadline_ms - SWEEP_MS, now_ms + SWEEP_MS))

    def _tell(self, practice: Practice, entry: Entry, outcome: _Outcome, now_ms: int) -> None:
        """To the log and to whoever counts. Never an address, a code or a URL."""
        facts: dict[str, str | int] = {
            "practice": practice.id,
            "kind": entry.kind,
            "channel": entry.channel,
            "message_id": entry.message_id,
            "attempts": entry.tries + 1,
        }
        name = f"{self._carries}_{outcome.state}"
        level = logging.INFO if outcome.state == "sent" else logging.WARNING
        LOG.log(level, name, extra={**facts, "state": outcome.state, "reason": outcome.detail})
        if self._on_event is not None:
            self._on_event(name, {**facts, "patient": entry.patient, "waited_ms": now_ms - entry.queued_ms})


def run_workers(workers: Iterable[Worker], stop: threading.Event, grace_s: float = GRACE_S) -> bool:
    """Run workers side by side until `stop`; True when all had finished what they had in hand within `grace_s`.

    Their threads are daemons: one that still hangs in a look-up when the time is over doesn't hold up the process, and
    its message is taken up by another worker.
    """
    threads = [threading.Thread(target=worker.run, args=(stop,), name="outbox", daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    stop.wait()
    end_s = time.monotonic() + grace_s
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
