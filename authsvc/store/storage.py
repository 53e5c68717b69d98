"""What practices keep for long, and how much of it they may (lua/lib/storage.lua counts it)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from authsvc.config.limits import Limits
from authsvc.ports import Clock
from authsvc.store.connection import Connection, practice_prefix
from authsvc.store.scripts import ScriptRunner
from authsvc.store.watch import maxmemory

FULL_MS: Final = 60_000  # for how long a process asks first, once a practice was full
KINDS: Final = ("patient", "merged", "link", "guesses")
SCANNED: Final = 1_000  # keys of one command of a recount
MAXMEMORY_MIN: Final = 2**24  # below this a Redis is full, whoever writes: it says so itself (OOM), for all alike
WEIGHED: Final = 100  # records of one script of it


class StorageStore:
    """Every method may raise Unavailable."""

    def __init__(self, connection: Connection, runner: ScriptRunner, limits: Limits, clock: Clock) -> None:
        self._connection = connection
        self._runner = runner
        self._limits = limits
        self._clock = clock
        self._full_until: dict[str, int] = {}  # practices that were full a moment ago: ms

    def limit_bytes(self) -> int:
        """What one practice may keep: no more than its share of what Redis may take, where that is set."""
        most, redis_bytes = self._limits.practice_storage, self._connection.maxmemory
        return min(most, int(redis_bytes * self._limits.storage_share)) if redis_bytes >= MAXMEMORY_MIN else most

    def read_maxmemory(self) -> int:
        """What Redis may take, read now, for whoever has no poller; 0 where nothing bounds it."""
        self._connection.maxmemory = maxmemory(self._connection.call(lambda client: client.info()))
        return self._connection.maxmemory

    def used_bytes(self, practice_id: str) -> int:
        """What a practice keeps, by the stated sizes."""
        return int(self._runner.run_for_site("storage_read", practice_id, "")["used"])

    def note_full(self, practice_id: str) -> None:
        """A call of this practice was refused: for a while, calls that would seal something ask first."""
        self._full_until[practice_id] = self._clock.now_ms() + FULL_MS

    def was_full(self, practice_id: str) -> bool:
        return self._full_until.get(practice_id, 0) > self._clock.now_ms()

    def recount(self, practice_ids: Iterable[str]) -> dict[str, int]:
        """Weigh every record of these practices, and what each keeps. Reads the names of all keys, so it is for
        operators alone."""
        before = {name: self._runner.run_for_site("storage_read", name, "")["lines"] for name in practice_ids}
        weighed: dict[str, Counter[str]] = {name: Counter() for name in before}
        for practice_id, names in self._records():
            if practice_id in weighed:
                for at in range(0, len(names), WEIGHED):
                    weighed[practice_id].update(self._weigh(practice_id, names[at : at + WEIGHED]))
        return {
            name: int(
                self._runner.run_for_site(
                    "storage_recount", name, "", before=lines, weighed=tuple(weighed[name].items())
                )["used"]
            )
            for name, lines in before.items()
        }

    def _records(self) -> Iterator[tuple[str, list[str]]]:
        """A practice and keys of it without their prefix: all of one kind, then all of the next."""
        for kind in KINDS:
            pattern, found = f"{practice_prefix('*')}{kind}:*", defaultdict[str, list[str]](list)
            for key in self._keys(pattern):
                practice_id, _, name = key.partition("{")[2].partition("}:")
                found[practice_id].append(name)
            yield from found.items()

    def _keys(self, pattern: str) -> list[str]:
        return self._connection.call(
            lambda client: list(client.scan_iter(match=pattern, count=SCANNED)), list_read=True
        )

    def _weigh(self, practice_id: str, names: list[str]) -> dict[str, int]:
        flat = self._runner.run_for_site("storage_weigh", practice_id, "", names=names).get("weeks", ())
        return {week: int(size) for week, size in zip(flat[::2], flat[1::2], strict=True)}
