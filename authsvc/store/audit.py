"""The audit streams: one a practice, and the site's own under `@` names. Reading, sealing, trimming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authsvc.store.connection import Connection, practice_prefix
from authsvc.store.scripts import ScriptRunner

PAGE = 500


@dataclass(frozen=True)
class AuditEntry:
    """One entry as it lies in the stream: its number, the text and MAC of the caller, event and details by the
    script."""

    n: int
    text: str
    event: str
    mac: str
    details: str


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

    def entries(self, after: int = 0, most: int = PAGE) -> list[AuditEntry]:
        """Entries in order, those behind number `after` only."""
        found = self._connection.call(
            lambda client: client.xrange(self._prefix + "audit", min=f"{after + 1}-0", count=most)
        )
        return [_entry(entry_id, fields) for entry_id, fields in found]

    def newest(self, most: int) -> list[AuditEntry]:
        """The youngest entries, oldest of them first."""
        found = self._connection.call(lambda client: client.xrevrange(self._prefix + "audit", count=most))
        return [_entry(entry_id, fields) for entry_id, fields in reversed(found)]

    def count(self) -> int:
        """How many entries were ever numbered."""
        return int(self._connection.call(lambda client: client.get(self._prefix + "audit-n")) or 0)

    def sealed(self) -> tuple[int, str]:
        """Number of the last sealed entry, and the chain's value there."""
        found = self._connection.call(lambda client: client.hgetall(self._prefix + "audit-sealed"))
        return int(found.get("n", 0)), found.get("chain", "")

    def seals(self) -> list[Seal]:
        found = self._connection.call(lambda client: client.lrange(self._prefix + "audit-seals", 0, -1))
        return [_seal(text) for text in found]

    def seal(self, after: int, seal: Seal) -> bool:
        """Keep a seal; False when another worker has sealed since `after` was read."""
        text = "\n".join((str(seal.first), str(seal.last), seal.checks, seal.chain))
        reply = self._runner.run_for_site(
            "audit_seal", self._name, "", after=after, seal=text, upto=seal.last, chain=seal.chain
        )
        return "sealed" in reply

    def trim(self, upto: int) -> int:
        """Drop the entries up to and including a number; their seals stay. How many were dropped."""
        return int(
            self._connection.call(
                lambda client: client.xtrim(self._prefix + "audit", minid=f"{upto + 1}-0", approximate=False)
            )
        )


def _entry(entry_id: str, fields: dict[str, Any]) -> AuditEntry:
    return AuditEntry(int(entry_id.partition("-")[0]), fields["t"], fields["e"], fields["m"], fields["d"])


def _seal(text: str) -> Seal:
    first, last, checks, chain = text.split("\n")
    return Seal(int(first), int(last), checks, chain)
