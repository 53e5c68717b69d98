"""The outbox from the worker's side, and what staff may ask of it.

Issuing appends a message in the same script as the act (`enqueue` in lua/lib.lua), so a code without its mail doesn't
exist. From there the worker owns it: `take` leases messages, `begin` makes sure the lease still holds, and `finish` or
`defer` say how it went. A message leaves the stream, with its sealed body, when it is final. Delivery is at least once:
a worker that vanishes between the mail host's answer and `finish` leads to a second mail with the same Message-ID.

What clients are told of ended sessions lies in a queue of its own, `logouts`, that works alike and has workers of its
own: a client that doesn't answer can't keep a patient's code waiting.

Keys, per practice: `outbox`, `outbox:cursor`, `outbox:due`, `outbox:held` (see outbox_take.lua), the same of `logouts`,
`delivery:<message>`, `deliveries:<patient>`, `mails` and `brake` (outbox_count.lua). For the site: the doorbell
`authsvc:{@outbox}:bell`, and `mails` and `brake` under `authsvc:{@site}:`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from authsvc.model import DeliveryInfo
from authsvc.store.connection import Store, practice_prefix, site_prefix

BELL: Final = f"{site_prefix('outbox')}bell"
PRACTICES: Final = f"{site_prefix('practices')}all"
SITE: Final = site_prefix("site")

MAILS: Final = "outbox"
LOGOUTS: Final = "logouts"

BELL_RINGS: Final = 1000  # kept while no worker listens; a practice whose ring is lost is found by the sweep
SHOWN: Final = 100  # deliveries of a patient, newest first


@dataclass(frozen=True)
class Entry:
    """A leased message, still sealed. `id` is the stream's, `tries` counts the attempts before this one."""

    id: str
    tries: int
    fields: Mapping[str, str]

    @property
    def message_id(self) -> str:
        return self.fields["id"]

    @property
    def void(self) -> bool:
        """Nobody is to get it: it was queued for an unknown address, to be the same work."""
        return self.fields["void"] == "1"

    @property
    def queued_ms(self) -> int:
        return int(self.fields["queued"])

    @property
    def until_ms(self) -> int:
        return int(self.fields["until"])


@dataclass(frozen=True)
class Batch:
    """What `take` handed out. `fresh` of them are new and for somebody; `full` when there may be more."""

    entries: tuple[Entry, ...]
    fresh: int
    full: bool


@dataclass(frozen=True)
class MailCap:
    """`quota` mails a `window_s`; typed starts may use `typed_share` of them."""

    quota: int
    window_s: int
    typed_share: float


class Outbox:
    """The messages of all practices. `practice` is an id everywhere; every call may raise `Unavailable`."""

    def __init__(self, store: Store, record_life_s: int, queue: str = MAILS) -> None:
        self._store = store
        self._record_ms = record_life_s * 1000
        self._queue = queue

    def ring(self, practice: str) -> None:
        """Tell a worker to look at this practice now."""

        def push(client: Any) -> None:
            client.rpush(BELL, practice)
            client.ltrim(BELL, -BELL_RINGS, -1)

        self._store.call(push)

    def rung(self) -> set[str]:
        """The practices that rang since the last look. It never blocks: a socket's time-out may be short.

        Nobody rings for logouts: no patient waits for one, and the sweep finds it within two seconds.
        """
        if self._queue != MAILS:
            return set()
        return set(self._store.call(lambda client: client.lpop(BELL, BELL_RINGS)) or ())

    def practices(self) -> set[str]:
        """Every practice there is, for the sweep."""
        return set(self._store.call(lambda client: client.smembers(PRACTICES)))

    def take(self, practice: str, consumer: str, now_ms: int, lease_ms: int, count: int) -> Batch:
        """Lease what is new and what is due, and once more what this consumer holds already."""
        answer = self._run("take", practice, now=now_ms, consumer=consumer, lease_ms=lease_ms, count=count)
        entries = tuple(
            Entry(entry, int(tries), dict(zip(flat[::2], flat[1::2], strict=True)))
            for entry, tries, flat in answer["entries"] or ()
        )
        return Batch(entries, int(answer["fresh"]), answer["full"] == 1)

    def begin(self, practice: str, entry: Entry, consumer: str, now_ms: int, lease_ms: int) -> bool:
        """Start a try: the lease begins anew. False when another worker has the message by now."""
        answer = self._run(
            "begin",
            practice,
            now=now_ms,
            entry=entry.id,
            id=entry.message_id,
            consumer=consumer,
            lease_ms=lease_ms,
            **{"try": entry.tries + 1},
        )
        return "err" not in answer

    def finish(self, practice: str, entry: Entry, state: str, detail: str, now_ms: int) -> bool:
        """Take the message out for good: `sent`, `refused`, `too_late` or `void`. False when it already was."""
        answer = self._run(
            "finish",
            practice,
            now=now_ms,
            entry=entry.id,
            id=entry.message_id,
            patient=entry.fields["patient"],
            state=state,
            detail=detail,
            record_ms=self._record_ms,
        )
        return bool(answer["last"] == 1)

    def defer(self, practice: str, entry: Entry, consumer: str, at_ms: int, detail: str, now_ms: int) -> bool:
        """Give the message back until `at_ms`, after a try that failed. False when another worker has it by now."""
        return self._give_back(practice, entry, consumer, now_ms, at=at_ms, detail=detail)

    def release(self, practice: str, entry: Entry, consumer: str, now_ms: int) -> bool:
        """Give the message back untried, for any worker to take at once."""
        return self._give_back(practice, entry, consumer, now_ms, at=now_ms)

    def count(self, practice: str | None, mails: int, cap: MailCap, now_ms: int) -> str:
        """Count mails of a practice (None: of the site) and publish its brake, which is returned."""
        prefix = SITE if practice is None else practice_prefix(practice)
        answer = self._store.run(
            "outbox_count",
            prefix,
            {"now": now_ms, "add": mails, "quota": cap.quota, "window_s": cap.window_s, "share": cap.typed_share},
        )
        return str(answer["brake"])

    def deliveries(self, practice: str, patient: str) -> list[DeliveryInfo]:
        """What happened to this patient's messages, newest first; those whose record has ended are left out."""
        prefix = practice_prefix(practice)

        def read(client: Any) -> list[tuple[str, dict[str, str]]]:
            ids = client.zrevrange(f"{prefix}deliveries:{patient}", 0, SHOWN - 1)
            with client.pipeline(transaction=False) as pipe:
                for message_id in ids:
                    pipe.hgetall(f"{prefix}delivery:{message_id}")
                return list(zip(ids, pipe.execute(), strict=True))

        return [
            DeliveryInfo(
                id=message_id,
                kind=record["kind"],
                channel=record["channel"],
                state=record["state"],
                queued_at_ms=int(record["queued_ms"]),
                updated_at_ms=int(record["at_ms"]),
                attempts=int(record["attempts"]),
                detail=record["detail"],
            )
            for message_id, record in self._store.call(read)
            if record
        ]

    def _give_back(self, practice: str, entry: Entry, consumer: str, now_ms: int, **args: Any) -> bool:
        answer = self._run(
            "defer", practice, now=now_ms, entry=entry.id, id=entry.message_id, consumer=consumer, **args
        )
        return "err" not in answer

    def _run(self, step: str, practice: str, **args: Any) -> dict[str, Any]:
        return self._store.run(f"outbox_{step}", practice_prefix(practice), {"queue": self._queue, **args})
