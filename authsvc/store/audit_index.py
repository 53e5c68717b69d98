"""The way back from each sealed audit entry to the one before it of the same patient, event, actor, person and
guardian (ADR 25).

It is made with the seal, for a range of entries at once, so that no act pays for it.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from authsvc.audit import parts_of
from authsvc.store.connection import Connection

CHUNK: Final = 64  # entries whose ways lie under one key (lua/audit_search.lua)
BUCKETS: Final = 512  # hashes with the patients' newest entries: one hash for all would take four times the memory

Place = tuple[str, str]
"""Where the number of a newest entry stands: a bucket of patients (empty: of event, actor or person), and the field."""

_PATIENT, _GUARDIAN, _PERSON = (re.compile(rf"(?:^|&){name}=([^&]+)") for name in ("patient", "guardian", "by"))


class Indexed(Protocol):
    """What the index needs of an entry."""

    @property
    def n(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def event(self) -> str: ...
    @property
    def details(self) -> str: ...


@dataclass(frozen=True)
class Extension:
    """What a seal adds to the index: whole chunks by number, and the newest entries by place."""

    chunks: Mapping[int, str] = field(default_factory=dict)
    newest: Mapping[Place, int] = field(default_factory=dict)


def bucket(patient: str) -> str:
    return str(zlib.crc32(patient.encode()) % BUCKETS)


def places(entry: Indexed) -> tuple[Place | None, ...]:
    """Of the entry's patient, event, actor, person at the desk and guardian; None where it has none."""
    _, actor, _, known, _, _ = parts_of(entry.text)
    patient, guardian = _PATIENT.search(entry.details), _GUARDIAN.search(entry.details)
    person = _PERSON.search(known)
    return (
        (bucket(patient[1]), patient[1]) if patient else None,
        ("", f"e{entry.event}"),
        ("", f"a{actor}"),
        ("", f"b{person[1]}") if person else None,
        (bucket(guardian[1]), f"~{guardian[1]}") if guardian else None,
    )


def ways(entries: Iterable[Indexed], newest: dict[Place, int]) -> dict[int, str]:
    """By number how far back the entries before it stand, such as `494,1,1`. Moves `newest` on."""
    found = {}
    for entry in entries:
        own = places(entry)
        backs = (str(entry.n - newest[place]) if place in newest else "" for place in own)
        found[entry.n] = ",".join(backs).rstrip(",")
        newest.update({place: entry.n for place in own if place})
    return found


class AuditIndex:
    """The index of one audit stream. Raises Unavailable."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix

    def extension(self, entries: Sequence[Indexed]) -> Extension:
        """What the next seal adds for these entries; nothing is written here."""
        newest = self._newest({place for entry in entries for place in places(entry) if place})
        chunks: dict[int, list[str]] = defaultdict(list)
        first = entries[0].n // CHUNK
        chunks[first] = (self._chunk(first) or "").split(";")[:-1]
        for n, way in ways(entries, newest).items():
            chunk = chunks[n // CHUNK]
            chunk += [""] * (n % CHUNK - len(chunk))  # not indexed
            chunk.append(way)
        return Extension({number: ";".join(chunk) + ";" for number, chunk in chunks.items()}, newest)

    def bent(self, entries: Sequence[Indexed]) -> list[int]:
        """Of all sealed entries those whose indexed way is not their own. A way may lead to what was trimmed."""
        first = int(self._connection.call(lambda client: client.hget(f"{self._prefix}audit-newest", "first")) or 0)
        if not entries or not first:
            return []
        oldest, found, stored, number = entries[0].n, [], [""], -1
        for n, own in ways([entry for entry in entries if entry.n >= first], {}).items():
            if n // CHUNK != number:
                number = n // CHUNK
                stored = (self._chunk(number) or "").split(";")
            indexed = (*(stored[n % CHUNK] if n % CHUNK < len(stored) else "").split(","), *[""] * 5)
            pairs = zip((*own.split(","), *[""] * 4), indexed, strict=False)
            if any(one != other and (one or not other.isdigit() or n - int(other) >= oldest) for one, other in pairs):
                found.append(n)
        return found

    def forget(self, upto: int, dropped: int) -> None:
        """After a trim of so many entries up to a number: drop the chunks that hold no other."""
        keys = [self._key(number) for number in range((upto - dropped) // CHUNK, (upto + 1) // CHUNK)]
        if keys:
            self._connection.call(lambda client: client.delete(*keys))

    def _key(self, number: int) -> str:
        return f"{self._prefix}audit-ways:{number}"

    def _chunk(self, number: int) -> str | None:
        found: str | None = self._connection.call(lambda client: client.get(self._key(number)))
        return found

    def _newest(self, wanted: Iterable[Place]) -> dict[Place, int]:
        by_key: dict[str, list[Place]] = defaultdict(list)
        for place in wanted:
            by_key[place[0]].append(place)
        found: dict[Place, int] = {}
        for number, own in by_key.items():
            values = self._values(number, [name for _, name in own])
            found.update({place: int(value) for place, value in zip(own, values, strict=True) if value})
        return found

    def _values(self, number: str, fields: list[str]) -> list[str | None]:
        key = f"{self._prefix}audit-newest" + (f":{number}" if number else "")
        found: list[str | None] = self._connection.call(lambda client: client.hmget(key, fields))
        return found
