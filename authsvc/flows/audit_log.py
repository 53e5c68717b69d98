"""Sealing, checking and handing out the audit trail.

Every entry has the MAC that the app gave it and a number without gaps that the script gave it. The worker seals ranges
of entries into a keyed hash chain within seconds, so that an entry which was changed, removed or swapped afterwards is
found and named. Entries that are younger than the last seal are said to be unsealed, not good.
"""

from __future__ import annotations

import hmac
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from authsvc.audit import Event
from authsvc.crypto import mint, sealing
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.practices import Practices
from authsvc.flows.site_audit import SiteAudit
from authsvc.store.audit import PAGE, AuditEntry, AuditStream, Seal
from authsvc.store.connection import Store

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

    def __init__(self, store: Store, data_keys: DataKeys, practices: Practices, site: SiteAudit) -> None:
        self._store = store
        self._site = site
        self._data_keys = data_keys
        self._practices = practices

    def seal_all(self) -> int:
        """Seal what came since the last time, in every trail; how many entries that were. Raises Unavailable."""
        names = (*SITE, *(practice.id for practice in self._practices.list()))
        return sum(self.seal(name) for name in names)

    def seal(self, name: str) -> int:
        """Seal what came since the last time in one trail."""
        trail, done = AuditStream(self._store, name), 0
        while True:
            after, after_id, chain = trail.sealed()
            fresh = trail.entries(after_id)
            if not fresh:
                return done
            seal = Seal(fresh[0].n, fresh[-1].n, self._checks(name, fresh), self._chained(name, chain, fresh))
            if not trail.seal(after, seal, fresh[-1].id):
                return done
            done += len(fresh)

    def verify(self, name: str) -> AuditReport:
        """Check a whole trail against its seals. Raises UnknownName, Unavailable."""
        trail = self._trail(name)
        entries = list(_all(trail))
        by_number = {entry.n: entry for entry in entries}
        faults = [f"entry {n} stands twice" for n in _twice(entries)]
        faults += [f"entry {b.n} stands behind entry {a.n}" for a, b in itertools.pairwise(entries) if b.n < a.n]
        faults += [f"entry {entry.n}: its text was changed" for entry in entries if not self._genuine(entry)]
        first = min(by_number, default=trail.count() + 1)
        sealed_to, chain = 0, ""
        for seal in trail.seals():
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
        tail = trail.count() - sealed_to
        faults += [f"entry {n} is missing" for n in range(sealed_to + 1, trail.count() + 1) if n not in by_number]
        return AuditReport(name, len(entries), sealed_to, tail, tuple(dict.fromkeys(faults)))

    def tail(self, name: str, most: int = 20) -> list[dict[str, Any]]:
        """The youngest entries, readable. Raises UnknownName, Unavailable."""
        return [_readable(entry) for entry in self._trail(name).newest(most)]

    def export(self, name: str) -> tuple[Iterator[dict[str, Any]], str]:
        """Every entry, readable, and the mark up to which the trail is sealed: `trim` takes it, once all is written."""
        trail = self._trail(name)
        _, sealed_id, _ = trail.sealed()
        return (_readable(entry) for entry in _all(trail)), sealed_id

    def trim(self, name: str, mark: str, *, actor: str, reason: str = "") -> int:
        """Drop the sealed entries up to the mark of an export from Redis; how many. Their seals stay."""
        dropped = self._trail(name).trim(mark) if mark != "-" else 0
        self._site.record(Event.AUDIT_TRIMMED, actor=actor, reason=reason, trail=name, entries=str(dropped))
        return dropped

    def _trail(self, name: str) -> AuditStream:
        if name not in SITE:
            self._practices.known(name)
        return AuditStream(self._store, name)

    def _genuine(self, entry: AuditEntry) -> bool:
        mac = sealing.mac(self._data_keys.key("audit"), "authsvc audit v1", entry.text.encode())
        return hmac.compare_digest(mac, entry.mac)

    def _check(self, name: str, entry: AuditEntry) -> str:
        key = self._data_keys.key("audit")
        return mint.b64u(sealing.raw_mac(key, "authsvc audit check v1", name, *_parts(entry)))[:CHECK_CHARS]

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
            chain = mint.b64u(sealing.raw_mac(key, "authsvc audit chain v1", name, chain, *_parts(entry)))
        return chain


def _parts(entry: AuditEntry) -> tuple[str, str, str, str]:
    return str(entry.n), entry.text, entry.mac, entry.facts


def _all(trail: AuditStream) -> Iterator[AuditEntry]:
    after = "-"
    while page := trail.entries(after, PAGE):
        yield from page
        after = page[-1].id


def _twice(entries: Iterable[AuditEntry]) -> list[int]:
    seen: set[int] = set()
    twice = []
    for entry in entries:
        if entry.n in seen:
            twice.append(entry.n)
        seen.add(entry.n)
    return twice


def _readable(entry: AuditEntry) -> dict[str, Any]:
    """Entry and facts in one. A script's `reason` is shown as `cause`: `reason` is what an operator wrote."""
    facts = (json.loads(entry.facts) if entry.facts else {}) or {}
    if "reason" in facts:
        facts["cause"] = facts.pop("reason")
    return {"n": entry.n, **json.loads(entry.text), **facts}
