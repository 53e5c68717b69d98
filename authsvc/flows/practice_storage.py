"""How much each practice keeps for long, against how much it may."""

from __future__ import annotations

from dataclasses import dataclass

from authsvc.flows.practices import Practices
from authsvc.store.storage import StorageStore


@dataclass(frozen=True)
class StorageUse:
    """Bytes by stated sizes, and the most that may be: above it nothing new is put on file."""

    practice: str
    used_bytes: int
    limit_bytes: int

    @property
    def share(self) -> float:
        return self.used_bytes / self.limit_bytes


class PracticeStorage:
    """For operators. Every method raises Unavailable."""

    def __init__(self, store: StorageStore, practices: Practices) -> None:
        self._store = store
        self._practices = practices

    def read_maxmemory(self) -> int:
        """What Redis may take, of which a practice may keep its share; 0 where nothing bounds it. A process without
        pollers asks once."""
        return self._store.read_maxmemory()

    def uses(self) -> list[StorageUse]:
        """Of every practice, in the order of their ids."""
        limit_bytes = self._store.limit_bytes()
        return [
            StorageUse(practice.id, self._store.used_bytes(practice.id), limit_bytes)
            for practice in self._practices.list()
        ]

    def recount(self) -> None:
        """Weigh every record anew: for records of a release that didn't count. Whoever calls goes on meanwhile."""
        self._store.recount([practice.id for practice in self._practices.list()])
