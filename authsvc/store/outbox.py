"""The outbox from the worker's side, and what staff may ask of it.

Scripts append a message together with the change that it belongs to, so a code without its mail doesn't exist. From
there the worker owns it: `take` leases messages, `begin` makes sure that the lease still holds and the message is still
wanted, and `finish` or `defer` note how it went. A message leaves the stream, with its sealed body, when it is final.
Delivery is at least once: a worker that vanishes between the mail host's answer and `finish` leads to a second mail
with the same Message-ID.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from authsvc.model import DeliveryInfo
from authsvc.ports import Clock
from authsvc.store.connection import Connection, practice_prefix, site_prefix
from authsvc.store.script_files import script
from authsvc.store.scripts import Reply

CODES: Final = "codes"
MAILS: Final = "mails"
WEBHOOK_CODES: Final = "webhook-codes"
WEBHOOKS: Final = "webhooks"
LOGOUTS: Final = "logouts"

WAKEUPS: Final = f"{site_prefix('outbox')}wakeups"
WEBHOOK_WAKEUPS: Final = f"{site_prefix('outbox')}webhook-wakeups"  # the same names, for the worker of these queues
PRACTICES: Final = f"{site_prefix('practices')}all"

WAKEUPS_MAX: Final = 1000  # kept while no worker listens; a practice that is lost here is found by the sweep
SHOWN: Final = 100  # deliveries of a patient, newest first


@dataclass(frozen=True)
class Entry:
    """A leased message, still sealed. `id` is the stream's, `tries` counts the attempts before this one. `nobody` is to
    get a message that was queued for an unknown address, to be the same work."""

    id: str
    queue: str
    tries: int
    message_id: str
    kind: str
    channel: str
    patient: str
    body: str
    locale: str
    until_ms: int
    queued_ms: int
    nobody: bool

    @classmethod
    def of(cls, queue: str, entry_id: str, tries: str, record: str) -> Entry:
        """From the stream: a record in the order of MESSAGE (lua/lib/outbox.lua)."""
        message_id, kind, channel, patient, _, body, locale, until, queued, nobody = record.split("\n")[:10]
        return cls(
            id=entry_id,
            queue=queue,
            tries=int(tries),
            message_id=message_id,
            kind=kind,
            channel=channel,
            patient=patient,
            body=body,
            locale=locale,
            until_ms=int(until),
            queued_ms=int(queued),
            nobody=nobody == "1",
        )


@dataclass(frozen=True)
class Batch:
    """What `take` handed out. `fresh` of them are new and for somebody; `full` when there may be more. `waiting`
    messages of the queue are not final, these included."""

    entries: tuple[Entry, ...]
    fresh: int
    full: bool
    waiting: int


@dataclass(frozen=True)
class Recipient:
    """Whom a message goes to: `address` is sealed for `patient` (of a logout it is the client's id)."""

    patient: str
    address: str


@dataclass(frozen=True)
class MailCap:
    """`quota` mails a `window_s`; typed starts may use `typed_share` of them."""

    quota: int
    window_s: int
    typed_share: float


class Outbox:
    """The messages of all practices. `practice` is an id everywhere; every call may raise `Unavailable`."""

    def __init__(self, connection: Connection, clock: Clock, record_life_s: int) -> None:
        self._connection = connection
        self._clock = clock
        self._record_ms = record_life_s * 1000

    def wake_worker(self, practices: list[str]) -> None:
        """Tell a worker to look at these practices now."""

        def push(client: Any) -> None:
            for wakeups in (WAKEUPS, WEBHOOK_WAKEUPS):
                client.rpush(wakeups, *practices)
                client.ltrim(wakeups, -WAKEUPS_MAX, -1)

        self._connection.call(push)

    def woken(self, wakeups: str = WAKEUPS) -> set[str]:
        """The practices to look at since the last call. It never blocks: a socket's time-out may be short."""
        return set(self._connection.call(lambda client: client.lpop(wakeups, WAKEUPS_MAX)) or ())

    def practices(self) -> set[str]:
        """Every practice there is, for the sweep."""
        return set(self._connection.call(lambda client: client.smembers(PRACTICES)))

    def take(self, practice: str, queue: str, consumer: str, lease_ms: int, most: int) -> Batch:
        """Lease what is new and what is due, and once more what this consumer holds already."""
        reply = self._run("take", practice, queue=queue, consumer=consumer, lease_ms=lease_ms, most=most)
        entries = tuple(Entry.of(queue, *found) for found in reply["entries"])
        return Batch(entries, int(reply["fresh"]), "full" in reply, int(reply["waiting"]))

    def begin(self, practice: str, entry: Entry, consumer: str, lease_ms: int) -> Recipient | str:
        """Start a try: the lease begins anew. Whom the message goes to; `lost` when another worker has it by now,
        `cancelled` when it isn't wanted any more.

        Raises NotReplicated where replicas lack the message or this lease: a fail-over would have it queued anew, by
        the call that was answered 503, or handed out once more."""
        reply = self._run(
            "begin",
            practice,
            True,
            queue=entry.queue,
            entry=entry.id,
            consumer=consumer,
            lease_ms=lease_ms,
            **{"try": entry.tries + 1},
        )
        if "err" in reply or "cancelled" in reply:
            return "lost" if "err" in reply else "cancelled"
        return Recipient(reply["patient"], reply["address"])

    def finish(self, practice: str, entry: Entry, state: str, detail: str) -> bool:
        """Take the message out for good: `sent`, `refused`, `too_late`, `cancelled` or `void` (nobody was to get it).
        False when it already was. Waits for replicas, where there are some: a fail-over shall not bring it back."""
        return "last" in self._run("finish", practice, True, **_named(entry), state=state, detail=detail)

    def defer(self, practice: str, entry: Entry, consumer: str, at_ms: int, detail: str) -> bool:
        """Give the message back until `at_ms`, after a try that failed. False when another worker has it by now."""
        return "err" not in self._run(
            "defer", practice, **_named(entry), consumer=consumer, at=at_ms, deferred=True, detail=detail
        )

    def release(self, practice: str, entry: Entry, consumer: str) -> bool:
        """Give the message back untried, for any worker to take at once."""
        return "err" not in self._run(
            "defer", practice, **_named(entry), consumer=consumer, at=self._clock.now_ms(), deferred=False, detail=""
        )

    def count(self, mails: int, cap: MailCap) -> str:
        """Count mails of the site and publish its throttle, which is returned."""
        reply = self._run(
            "count", "@site", add=mails, quota=cap.quota, window_s=cap.window_s, typed_share=cap.typed_share
        )
        return str(reply.get("throttle", ""))

    def deliveries(self, practice: str, patient: str) -> list[DeliveryInfo]:
        """What happened to this patient's messages, newest first; those whose record has ended are left out."""
        key = f"{practice_prefix(practice)}deliveries:{patient}"
        found = []
        records = self._connection.call(lambda client: client.hgetall(key), list_read=True)
        for message_id, record in records.items():
            kind, channel, state, queued, updated, attempts, detail = record.split("\n")[:7]
            if int(queued) + self._record_ms > self._clock.now_ms():
                found.append(
                    DeliveryInfo(
                        id=message_id,
                        kind=kind,
                        channel=channel,
                        state=state,
                        queued_at_ms=int(queued),
                        updated_at_ms=int(updated),
                        attempts=int(attempts),
                        detail=detail,
                    )
                )
        return sorted(found, key=lambda one: (-one.queued_at_ms, one.id))[:SHOWN]

    def _run(self, step: str, practice: str, durable: bool = False, /, **args: Any) -> Reply:
        called = script(f"outbox_{step}")
        prefix = practice_prefix(practice)
        argv = [self._clock.now_ms(), self._connection.clock_offset_ms, "", "", *called.arguments(args)]
        flat = self._connection.evaluate(called.source, called.sha, (prefix, f"{prefix}audit"), argv, durable)
        return dict(zip(flat[::2], flat[1::2], strict=True))


def _named(entry: Entry) -> dict[str, str]:
    return {"queue": entry.queue, "entry": entry.id, "patient": entry.patient, "message_id": entry.message_id}
