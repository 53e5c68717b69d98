"""The audit streams: one a practice, and the site's own under `@` names. Reading, sealing, trimming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from authsvc.model import AuditFilter, Bucket, RequestContext
from authsvc.store.audit_index import BUCKETS, AuditIndex, bucket
from authsvc.store.connection import Connection, practice_prefix
from authsvc.store.scripts import ScriptRunner

PAGE = 500
LOOKED_AT_ONCE = 100  # by one script: Redis does nothing else meanwhile
LOOKED_MAX = 1_000  # for one answer


@dataclass(frozen=True)
class AuditEntry:
    """One entry as it lies in the stream: its number, text and MAC by the caller, event and details by the script.
    `newer` are names and values in turn of what a newer release has added, in their order."""

    n: int
    text: str
    event: str
    mac: str
    details: str
    newer: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundEntries:
    """Entries that match, newest first; `first` is the oldest number that is still in Redis, `next` is 0 where there is
    no more, `looked` counts the entries that were read."""

    entries: tuple[AuditEntry, ...]
    first: int
    next: int
    looked: int


@dataclass(frozen=True)
class Seal:
    """One sealed range: numbers `first`…`last`, a short check per entry, and the chain's value after the last."""

    first: int
    last: int
    checks: str
    chain: str


class AuditStream:
    """The audit stream of one name: a practice's id, or `@site`, `@keys`, `@clients`. Raises Unavailable."""

    def __init__(self, connection: Connection, runner: ScriptRunner, name: str) -> None:
        self._connection = connection
        self._runner = runner
        self._name = name
        self._prefix = practice_prefix(name)  # `@keys` is written like a practice, and no practice can be called so
        self._index = AuditIndex(connection, self._prefix)

    def entries(self, after: int = 0, most: int = PAGE) -> list[AuditEntry]:
        """Entries in order, those behind number `after` only."""
        found = self._connection.call(
            lambda client: client.xrange(self._prefix + "audit", min=f"{after + 1}-0", count=most), list_read=True
        )
        return [_entry(entry_id, fields) for entry_id, fields in found]

    def search(self, wanted: AuditFilter, limit: int) -> FoundEntries:
        """At most `limit` entries; fewer, with a `next`, where `LOOKED_MAX` have been looked at before."""
        found: list[AuditEntry] = []
        looked, after = 0, wanted.after
        while True:
            reply = self._runner.run_for_site(
                "audit_search",
                self._name,
                "",
                of_patient=wanted.patient,
                of_event=wanted.event,
                of_actor=wanted.actor,
                of_person=quote_plus(wanted.by),  # as in the text of an entry
                of_guardian=wanted.guardian,
                patient_bucket=bucket(wanted.patient or wanted.guardian),
                since=wanted.since_ms,
                before=wanted.until_ms,
                after=after,
                limit=limit - len(found),
                most=LOOKED_AT_ONCE,
            )
            found += [AuditEntry(int(n), t, e, m, d, tuple(newer)) for n, t, e, m, d, *newer in reply["entries"]]
            looked, after = looked + int(reply["looked"]), int(reply.get("next", 0))
            if not after or len(found) == limit or looked >= LOOKED_MAX:
                return FoundEntries(tuple(found), int(reply["first"]), after, looked)

    def charge(self, context: RequestContext, buckets: Sequence[Bucket]) -> None:
        """Count a client's call. Raises RateLimited."""
        self._runner.run("charge", context, recorded_event="", limits=buckets)

    def count(self) -> int:
        """How many entries were ever numbered."""
        return int(self._connection.call(lambda client: client.get(self._prefix + "audit-n")) or 0)

    def sealed(self) -> tuple[int, str]:
        """Number of the last sealed entry, and the chain's value there."""
        found = self._connection.call(lambda client: client.hgetall(self._prefix + "audit-sealed"))
        return int(found.get("n", 0)), found.get("chain", "")

    def seals(self) -> list[Seal]:
        seals: list[Seal] = []
        while page := self._seals(len(seals)):
            seals += page
        return seals

    def _seals(self, first: int) -> list[Seal]:
        found = self._connection.call(
            lambda client: client.lrange(self._prefix + "audit-seals", first, first + PAGE - 1), list_read=True
        )
        return [_seal(text) for text in found]

    def seal(self, after: int, seal: Seal, entries: Sequence[AuditEntry]) -> bool:
        """Keep the seal of these entries and index them; False when another worker has sealed since `after`."""
        more = self._index.extension(entries)
        text = "\n".join((str(seal.first), str(seal.last), seal.checks, seal.chain))
        reply = self._runner.run_for_site(
            "audit_seal",
            self._name,
            "",
            after=after,
            seal=text,
            upto=seal.last,
            chain=seal.chain,
            chunks=tuple(more.chunks.items()),
            newest=tuple((*place, n) for place, n in more.newest.items()),
        )
        return "sealed" in reply

    def bent(self, entries: Sequence[AuditEntry], sealed_to: int) -> list[int]:
        """Which sealed entries have not their own way back in the index: a search could miss what is before them."""
        return self._index.bent([entry for entry in entries if entry.n <= sealed_to])

    def trim(self, upto: int) -> int:
        """Drop the entries up to and including a number; their seals stay. How many were dropped."""
        dropped = int(
            self._connection.call(
                lambda client: client.xtrim(self._prefix + "audit", minid=f"{upto + 1}-0", approximate=False)
            )
        )
        for number in range(BUCKETS):
            cursor = None
            while cursor != "0":
                reply = self._runner.run_for_site(
                    "audit_forget", self._name, "", number=number, upto=upto, cursor=cursor or "0"
                )
                cursor = str(reply["cursor"])
        self._index.forget(upto, dropped)
        return dropped


def _entry(entry_id: str, fields: dict[str, Any]) -> AuditEntry:
    n = int(entry_id.partition("-")[0])
    text, event, mac, details = (fields.pop(name) for name in "temd")
    return AuditEntry(n, text, event, mac, details, tuple(part for pair in fields.items() for part in pair))


def _seal(text: str) -> Seal:
    first, last, checks, chain = text.split("\n")[:4]  # a newer release may add fields behind
    return Seal(int(first), int(last), checks, chain)
