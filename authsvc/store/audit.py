"""The audit streams: one a practice, and the site's own under `@` names. Reading, sealing, trimming."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from authsvc.store.connection import Store, practice_prefix

PAGE = 500


@dataclass(frozen=True)
class AuditEntry:
    """One entry as it lies in the stream: its number, the app's text and MAC, and what the script added."""

    id: str
    n: int
    text: str
    mac: str
    facts: str


@dataclass(frozen=True)
class Seal:
    """One sealed range: numbers `first`…`last`, a short check per entry, and the chain's value after the last."""

    first: int
    last: int
    checks: str
    chain: str


class AuditStream:
    """The audit stream of one name: a practice's id, or `@site`, `@keys`, `@clients`."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._prefix = practice_prefix(name)  # `@keys` is written like a practice, and no practice can be called so

    def entries(self, after_id: str = "-", most: int = PAGE) -> list[AuditEntry]:
        """Entries in order, those after `after_id` (exclusive) only. Raises Unavailable."""
        start = "-" if after_id == "-" else f"({after_id}"
        found = self._store.call(lambda client: client.xrange(self._prefix + "audit", min=start, count=most))
        return [_kept(entry_id, fields) for entry_id, fields in found]

    def newest(self, most: int) -> list[AuditEntry]:
        """The youngest entries, oldest of them first."""
        found = self._store.call(lambda client: client.xrevrange(self._prefix + "audit", count=most))
        return [_kept(entry_id, fields) for entry_id, fields in reversed(found)]

    def count(self) -> int:
        """How many entries were ever numbered."""
        return int(self._store.call(lambda client: client.get(self._prefix + "audit:n")) or 0)

    def sealed(self) -> tuple[int, str, str]:
        """Number and stream id of the last sealed entry, and the chain's value there."""
        found = self._store.call(lambda client: client.hgetall(self._prefix + "audit:sealed"))
        return int(found.get("n", 0)), found.get("id", "-"), found.get("h", "")

    def seals(self) -> list[Seal]:
        found = self._store.call(lambda client: client.lrange(self._prefix + "audit:seals", 0, -1))
        return [Seal(**json.loads(text)) for text in found]

    def seal(self, after: int, seal: Seal, last_id: str) -> bool:
        """Keep a seal; False when another worker has sealed since `after` was read."""
        args = {"after": after, "seal": json.dumps(vars(seal)), "upto": seal.last, "id": last_id, "chain": seal.chain}
        return bool(self._store.run("audit_seal", self._prefix, args)["sealed"])

    def trim(self, last_id: str) -> int:
        """Drop entries up to and including `last_id`; their seals stay. How many were dropped."""
        after = last_id.partition("-")
        first_kept = f"{after[0]}-{int(after[2]) + 1}"
        return int(
            self._store.call(lambda client: client.xtrim(self._prefix + "audit", minid=first_kept, approximate=False))
        )


def _kept(entry_id: str, fields: dict[str, Any]) -> AuditEntry:
    return AuditEntry(entry_id, int(fields["n"]), fields["e"], fields["m"], fields["x"])
