"""A message in the hands of the worker, from lease to note: all that is asked of the outbox stands here.

While a try takes its time its lease is renewed, so a host may answer as late as it likes, and the messages of a worker
that vanished wait half a minute. A worker that was stopped for longer (SIGSTOP, a paused machine) knows by the clock
that another one may have sent the message meanwhile, and doesn't send it too; only what had left before it was stopped,
and wasn't answered, comes twice. A fail-over of Redis may forget what was noted: what this worker has made final isn't
tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from authsvc.delivery.attempts import Outcome
from authsvc.delivery.mail_counts import MailCounts
from authsvc.errors import DeliveryDeferred, NotReplicated, Unavailable
from authsvc.model import Practice
from authsvc.ports import Clock
from authsvc.store.outbox import Entry, Outbox, Recipient

LEASE_MS: Final = 30_000  # what a crash delays a mail by
LEASE_MARGIN_MS: Final = 2_000  # nothing is sent so shortly before its lease ends: clocks of two machines differ
RENEW_MS: Final = 10_000  # how often the lease of a try that takes its time is renewed
FINAL_MOST: Final = 10_000  # messages whose end is remembered, some 300 bytes each; a fail-over takes back seconds

LOG: Final = logging.getLogger("authsvc.delivery")

Event = Callable[[str, Mapping[str, str | int]], None]
"""Called with `mail_sent`, `mail_deferred`, `mail_refused`, `mail_too_late`, `mail_cancelled` (or `webhook_…`,
`logout_…`) and with practice, patient, kind, channel, message_id, attempts and waited_ms, and the cause of a deferral.
It must not raise."""


UNTRIED: Final = Outcome("untried")


@dataclass
class Job:
    """A leased message. `lease_ms` is when the lease was last asked for; it was granted until `held_until_ms`."""

    practice: Practice
    entry: Entry
    consumer: str
    lease_ms: int
    held_until_ms: int = 0
    recipient: Recipient | None = None
    outcome: Outcome = UNTRIED
    made_final: bool = False  # noted, but not on enough replicas


class Jobs:
    """Leases messages, renews the leases, and notes what came of each. For one thread; every call may raise
    `Unavailable`."""

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        consumer: str,
        *,
        counts: MailCounts | None = None,
        on_event: Event | None = None,
        on_waiting: Callable[[str, int], None] | None = None,
        carries: str = "mail",
    ) -> None:
        """`consumer` is unique for the life of the worker; what it `carries` begins the names of its events.
        `on_waiting` is told of a queue how many messages of all practices are not final, as they were last seen."""
        self._outbox = outbox
        self._clock = clock
        self._consumer = consumer
        self._takes = 0
        self._counts = counts
        self._on_event = on_event
        self._on_waiting = on_waiting
        self._waiting: dict[tuple[str, str], int] = {}  # by queue and practice, where there are any
        self._carries = carries
        self._final: dict[tuple[str, str, str], Outcome] = {}

    def practices_to_look_at(self, *, wakeups: str, sweep: bool) -> list[str]:
        """Those that were named in this list of wake-ups, if it has a name; in a sweep all."""
        named = self._outbox.woken(wakeups) if wakeups else set()
        if not sweep:
            return sorted(named)
        every = self._outbox.practices()
        self._waiting = {of: count for of, count in self._waiting.items() if of[1] in every}
        return sorted(named | every)

    def take(self, queue: str, practice: Practice, most: int) -> tuple[list[Job], bool]:
        """At most twice `most` messages (new ones, and some that are tried again), and whether there may be more."""
        # A consumer of its own for each: what is under way isn't handed out again, and an answer of the store that is
        # lost costs half a minute.
        self._takes += 1
        consumer, now_ms = f"{self._consumer}.{self._takes}", self._clock.now_ms()
        batch = self._outbox.take(practice.id, queue, consumer, LEASE_MS, most)
        if self._counts is not None and batch.fresh:
            self._counts.add(batch.fresh)
        self._note_waiting(queue, practice.id, batch.waiting)
        return [Job(practice, entry, consumer, now_ms) for entry in batch.entries], batch.full

    def _note_waiting(self, queue: str, practice_id: str, waiting: int) -> None:
        known = self._waiting.pop((queue, practice_id), 0)
        if waiting:
            self._waiting[queue, practice_id] = waiting
        if self._on_waiting is not None and waiting != known:
            self._on_waiting(queue, sum(count for (of, _), count in self._waiting.items() if of == queue))

    def begin(self, job: Job) -> bool:
        """Whether it is to be tried now. What nobody is to get, or wants any more, is done with at once."""
        if job.entry.nobody:
            self._outbox.finish(job.practice.id, job.entry, "void", "")
            return False
        earlier = self._final.get(_named(job))
        if earlier is not None:
            self._outbox.finish(job.practice.id, job.entry, earlier.state, earlier.detail)
            return False
        job.lease_ms = self._clock.now_ms()
        try:
            answer = self._outbox.begin(job.practice.id, job.entry, job.consumer, LEASE_MS)
        except NotReplicated:
            self.release(job)  # for whoever looks next: its lease would delay it
            raise
        if isinstance(answer, Recipient):
            job.recipient = answer
            job.held_until_ms = job.lease_ms + LEASE_MS
        elif answer == "cancelled":
            job.outcome = Outcome("cancelled")
            self.note(job)
        return job.recipient is not None

    def renew(self, job: Job) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - job.lease_ms >= RENEW_MS:
            job.lease_ms = now_ms  # first, so that a store that fails isn't asked again at once
            answer = self._outbox.begin(job.practice.id, job.entry, job.consumer, LEASE_MS)
            job.held_until_ms = 0 if answer == "lost" else now_ms + LEASE_MS

    def check_lease(self, job: Job) -> None:
        """Whether the message may still be sent, from any thread. Raises DeliveryDeferred when it is, or may soon be,
        another worker's."""
        if self._clock.now_ms() >= job.held_until_ms - LEASE_MARGIN_MS:
            raise DeliveryDeferred("not sent: its lease ran out on the way", cause="ours")

    def release(self, job: Job) -> None:
        """Give it back untried."""
        self._outbox.release(job.practice.id, job.entry, job.consumer)

    def note(self, job: Job) -> None:
        """What came of the try; one for which the store was away is given back, and raises `Unavailable`."""
        practice_id, outcome = job.practice.id, job.outcome
        if outcome.state == "untried":
            self.release(job)
            raise Unavailable(outcome.detail)
        if outcome.state == "deferred":
            noted = self._outbox.defer(practice_id, job.entry, job.consumer, outcome.at_ms, outcome.detail)
        else:
            noted = self._finish(job)
        if noted:
            self._report(job)

    def _finish(self, job: Job) -> bool:
        """Whether it was this job that made the message final."""
        self._final[_named(job)] = job.outcome
        while len(self._final) > FINAL_MOST:
            del self._final[next(iter(self._final))]
        try:
            last = self._outbox.finish(job.practice.id, job.entry, job.outcome.state, job.outcome.detail)
        except NotReplicated:
            job.made_final = True
            raise
        return last or job.made_final

    def last_detail(self, practice: Practice, entry: Entry) -> str:
        """What the delivery record says of the try before."""
        deliveries = self._outbox.deliveries(practice.id, entry.patient)
        return next((delivery.detail for delivery in deliveries if delivery.id == entry.message_id), "")

    def _report(self, job: Job) -> None:
        """To the log and to whoever counts. Never an address, a code or a URL."""
        entry, outcome = job.entry, job.outcome
        facts: dict[str, str | int] = {
            "practice": job.practice.id,
            "kind": entry.kind,
            "channel": entry.channel,
            "message_id": entry.message_id,
            "attempts": entry.tries + 1,
        }
        name = f"{self._carries}_{outcome.state}"
        level = logging.INFO if outcome.state in ("sent", "cancelled") and not outcome.cause else logging.WARNING
        LOG.log(level, name, extra={**facts, "state": outcome.state, "reason": outcome.detail})
        if self._on_event is not None:
            more = {"cause": outcome.cause} if outcome.cause else {}
            patient, waited_ms = entry.patient, self._clock.now_ms() - entry.queued_ms
            self._on_event(name, {**facts, "patient": patient, "waited_ms": waited_ms, **more})


def _named(job: Job) -> tuple[str, str, str]:
    return job.practice.id, job.entry.id, job.entry.message_id
