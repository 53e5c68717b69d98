"""Sealing, checking and handing out the audit trail.

Every entry has the MAC that the app gave it and a number without gaps that the script gave it. The worker seals ranges
of entries into a keyed hash chain within seconds, so that an entry which was changed, removed or swapped afterwards is
found and named. Entries that are younger than the last seal are said to be unsealed, not good.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from authsvc import audit
from authsvc.audit import Event
from authsvc.crypto import mint, sealing
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.practices import Practices
from authsvc.flows.rate_limits import RateLimits
from authsvc.flows.site_audit import SiteAudit
from authsvc.model import AuditFilter, AuditPage, RequestContext
from authsvc.store.audit import PAGE, AuditEntry, AuditStream, Seal
from authsvc.store.connection import Connection
from authsvc.store.scripts import ScriptRunner

MAC_BYTES = 16
SITE = ("@site", "@keys", "@clients")
CHECK_CHARS = 8  # 48 bits of every entry's own MAC: enough to say which entry of a broken range it is


@dataclass(frozen=True)
class AuditReport:
    """What a check of a trail found. `faults` name the entry by number; `unsealed` counts the young tail."""

    name: str
    entries: int
    sealed_to: int
    unsealed: int
    faults: tuple[str, ...]


class AuditLog:
    """The use cases of an auditor, and the worker's part in them."""

    def __init__(
        self,
        connection: Connection,
        runner: ScriptRunner,
        data_keys: DataKeys,
        practices: Practices,
        site: SiteAudit,
        rate_limits: RateLimits,
    ) -> None:
        self._connection = connection
        self._runner = runner
        self._data_keys = data_keys
        self._practices = practices
        self._site = site
        self._rate_limits = rate_limits

    def seal_all(self) -> int:
        """Seal what came since the last time, in every trail; how many entries that were. Raises Unavailable."""
        names = (*SITE, *(practice.id for practice in self._practices.list()))
        return sum(self.seal(name) for name in names)

    def seal(self, name: str) -> int:
        """Seal what came since the last time in one stream."""
        stream, done = AuditStream(self._connection, self._runner, name), 0
        while True:
            after, chain = stream.sealed()
            fresh = stream.entries(after)
            if not fresh:
                return done
            seal = Seal(fresh[0].n, fresh[-1].n, self._checks(name, fresh), self._chained(name, chain, fresh))
            if not stream.seal(after, seal, fresh):
                return done
            done += len(fresh)

    def verify(self, name: str) -> AuditReport:
        """Check a whole stream against its seals. Raises UnknownName, Unavailable."""
        stream = self._stream(name)
        entries = list(_all(stream))
        by_number = {entry.n: entry for entry in entries}
        faults = [f"entry {second} repeats entry {first}" for first, second in _repeated(entries)]
        faults += [f"entry {entry.n}: its text was changed" for entry in entries if not self._is_genuine(name, entry)]
        first = min(by_number, default=stream.count() + 1)
        sealed_to, chain = 0, ""
        for seal in stream.seals():
            if seal.first != sealed_to + 1:
                faults.append(f"the seals skip from entry {sealed_to} to {seal.first}")
            sealed_to = seal.last
            if seal.last < first:
                chain = seal.chain  # exported and trimmed
                continue
            span = [by_number.get(n) for n in range(seal.first, seal.last + 1)]
            present = [entry for entry in span if entry is not None]
            faults += [f"entry {seal.first + at} is missing" for at, entry in enumerate(span) if entry is None]
            faults += self._changed(name, seal, present)
            if len(present) == len(span) and self._chained(name, chain, present) != seal.chain:
                faults.append(f"entries {seal.first} to {seal.last} don't match their seal")
            chain = seal.chain
        if not faults:  # else a missing entry would cast doubt on the ways of others
            faults += [f"entry {n}: its way back was changed" for n in stream.bent(entries, sealed_to)]
        tail = stream.count() - sealed_to
        faults += [f"entry {n} is missing" for n in range(sealed_to + 1, stream.count() + 1) if n not in by_number]
        return AuditReport(name, len(entries), sealed_to, tail, tuple(dict.fromkeys(faults)))

    def search(self, name: str, wanted: AuditFilter, limit: int) -> AuditPage:
        """The entries that match, newest first, of those that no export has trimmed. Perhaps fewer than `limit` with a
        `next`, where many were looked at. Raises UnknownName, Unavailable."""
        found = self._stream(name).search(wanted, limit)
        entries = tuple(_readable(name, entry) for entry in found.entries)
        return AuditPage(entries, found.next or None, found.first - 1)

    def search_for_client(self, context: RequestContext, wanted: AuditFilter, limit: int) -> AuditPage:
        """The same in the practice of a client's call. Raises RateLimited, Unavailable."""
        self._stream(context.practice.id).charge(context, self._rate_limits.of_caller(context))
        return self.search(context.practice.id, wanted, limit)

    def export(self, name: str) -> tuple[Iterator[dict[str, Any]], int]:
        """Every entry, readable, and the number up to which the stream is sealed: `trim` takes it, once all is
        written."""
        stream = self._stream(name)
        sealed_to, _ = stream.sealed()
        return (_readable(name, entry) for entry in _all(stream)), sealed_to

    def trim(self, name: str, upto: int, *, actor: str, reason: str = "") -> int:
        """Drop the sealed entries up to the number of an export from Redis; how many. Their seals stay."""
        dropped = self._stream(name).trim(upto) if upto else 0
        self._site.record(Event.AUDIT_TRIMMED, actor=actor, reason=reason, trail=name, entries=str(dropped))
        return dropped

    def _stream(self, name: str) -> AuditStream:
        if name not in SITE:
            self._practices.known(name)
        return AuditStream(self._connection, self._runner, name)

    def _is_genuine(self, name: str, entry: AuditEntry) -> bool:
        return hmac.compare_digest(entry_mac(self._data_keys, name, entry.text, entry.event), entry.mac)

    def _check(self, name: str, entry: AuditEntry) -> str:
        key = self._data_keys.key("audit")
        return mint.b64u(sealing.raw_mac(key, "authsvc audit check v2", name, *_parts(entry)))[:CHECK_CHARS]

    def _checks(self, name: str, entries: Iterable[AuditEntry]) -> str:
        return "".join(self._check(name, entry) for entry in entries)

    def _changed(self, name: str, seal: Seal, entries: Iterable[AuditEntry]) -> list[str]:
        """Which entries of a sealed range are no longer what was sealed."""
        faults = []
        for entry in entries:
            at = (entry.n - seal.first) * CHECK_CHARS
            if seal.checks[at : at + CHECK_CHARS] != self._check(name, entry):
                faults.append(f"entry {entry.n} is not what was sealed")
        return faults

    def _chained(self, name: str, chain: str, entries: Iterable[AuditEntry]) -> str:
        key = self._data_keys.key("audit")
        for entry in entries:
            chain = mint.b64u(sealing.raw_mac(key, "authsvc audit chain v2", name, chain, *_parts(entry)))
        return chain


def entry_mac(data_keys: DataKeys, stream: str, text: str, event: str) -> str:
    """The MAC of one entry, 22 characters: of its text (call and instant included), its event and its stream."""
    mac = sealing.raw_mac(data_keys.key("audit"), "authsvc audit entry v2", stream, text, event)
    return mint.b64u(mac[:MAC_BYTES])


def _parts(entry: AuditEntry) -> tuple[str, ...]:
    """What a seal covers: what a newer release has added, too."""
    return str(entry.n), entry.text, entry.event, entry.mac, entry.details, *entry.newer


def _all(stream: AuditStream) -> Iterator[AuditEntry]:
    after = 0
    while page := stream.entries(after, PAGE):
        yield from page
        after = page[-1].n


def _repeated(entries: Iterable[AuditEntry]) -> list[tuple[int, int]]:
    """Entries that stand again behind themselves: a call records the same thing about the same thing once."""
    first_places: dict[tuple[str, ...], int] = {}
    repeated = []
    for entry in entries:
        first = first_places.setdefault((entry.text, entry.event, entry.details), entry.n)
        if first != entry.n:
            repeated.append((first, entry.n))
    return repeated


def _readable(name: str, entry: AuditEntry) -> dict[str, Any]:
    shown = audit.readable(entry.n, entry.text, entry.event, entry.details, entry.newer)
    return shown if name in SITE else {**shown, "practice": name}
