"""Makes a few hundred records into many, without knowing what they are.

A few hundred of each kind are made by real acts. What is in Redis before and after tells which keys belong to one
record each (there are as many of a shape as there are records), and which collections got an entry for each record
(streams, sorted sets, sets, lists, hashes). Keys are copied inside Redis under other ids, with their time to live;
collections get copies of their entries. The copies can't be used, but take the room of real ones, in the same places.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from bench.redis_stats import SHORT_LIVED_MS

_ID = re.compile(rb"(?<=[:.])[A-Za-z0-9_-]*[A-Z0-9][A-Za-z0-9_-]*")
STEP = 1_000  # copies that one call makes

COPY = """
-- ARGV: payload, time to live (ms, 0: none), the key before and after its id, width of the id, first and last number
for number = tonumber(ARGV[6]), tonumber(ARGV[7]) do
  local id = string.format('%0' .. ARGV[5] .. 'd', number)
  redis.call('RESTORE', ARGV[3] .. id .. ARGV[4], ARGV[2], ARGV[1], 'REPLACE')
end
"""


@dataclass(frozen=True)
class Template:
    """One real key to copy: everything around its id, and what it holds."""

    prefix: bytes
    suffix: bytes
    width: int
    payload: bytes
    ttl_ms: int


def _sizes(client: Any) -> dict[bytes, tuple[bytes, int]]:
    """Type and number of entries of every key."""
    keys = list(client.scan_iter(count=1000))
    count = {b"stream": "XLEN", b"list": "LLEN", b"zset": "ZCARD", b"set": "SCARD", b"hash": "HLEN"}
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
    kinds = pipeline.execute()
    for key, kind in zip(keys, kinds, strict=True):
        pipeline.execute_command(count.get(kind, "STRLEN"), key)
    sizes = pipeline.execute(raise_on_error=False)
    return {key: (kind, int(size)) for key, kind, size in zip(keys, kinds, sizes, strict=True) if kind != b"none"}


class Filler:
    """Looks before and after the real records are made, and then copies them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._before = _sizes(client)
        self._templates: list[list[Template]] = []
        self._grown: list[tuple[bytes, bytes, list[Any]]] = []
        self._copy = client.register_script(COPY)
        self.keys_per_record = 0

    def learn(self, records: int) -> None:
        """Called when so many records of each kind have been made."""
        now = _sizes(self._client)
        shapes: dict[bytes, list[bytes]] = defaultdict(list)
        for key in sorted(now.keys() - self._before.keys()):
            shapes[_ID.sub(b"*", key)].append(key)
        own = [found for found in shapes.values() if len(found) >= records / 2]
        self._templates = [self._read(found) for found in own]
        copied = {key for found in own for key in found}
        for key, (kind, size) in now.items():
            if key not in copied and b"{@" not in key and size - self._before.get(key, (b"", 0))[1] >= records / 2:
                self._grown.append((key, kind, self._entries(key, kind)))
        self.keys_per_record = sum(1 for found in self._templates if found)

    def _read(self, keys: list[bytes]) -> list[Template]:
        templates = []
        for key in keys[:200]:
            payload, ttl = self._client.dump(key), self._client.pttl(key)
            ids = list(_ID.finditer(key))
            if payload is None or not ids or 0 <= ttl < SHORT_LIVED_MS:
                continue  # what is gone within minutes isn't outstanding
            longest = max(ids, key=lambda found: len(found[0]))
            templates.append(
                Template(key[: longest.start()], key[longest.end() :], len(longest[0]), payload, max(0, ttl))
            )
        return templates

    def _entries(self, key: bytes, kind: bytes) -> list[Any]:
        client = self._client
        if kind == b"stream":
            return [list(fields.items()) for _, fields in client.xrevrange(key, count=200)]
        if kind == b"zset":
            return list(client.zrange(key, -200, -1, withscores=True))
        if kind == b"hash":
            return list(client.hscan(key, count=200)[1].items())
        if kind == b"set":
            return list(client.sscan(key, count=200)[1])
        return list(client.lrange(key, 0, 199)) if kind == b"list" else []

    def fill(self, first: int, last: int) -> None:
        """Copies number `first` up to `last`, of every kind."""
        for templates in self._templates:
            for turn, start in enumerate(range(first, last, STEP)):
                if not templates:
                    break
                one, end = templates[turn % len(templates)], min(start + STEP, last)
                where = [one.prefix, one.suffix, one.width, start, end - 1]
                self._copy(args=[one.payload, one.ttl_ms, *where], client=self._client)
        for key, kind, entries in self._grown:
            for start in range(first, last, STEP):
                self._extend(key, kind, entries, range(start, min(start + STEP, last)))

    def _extend(self, key: bytes, kind: bytes, entries: list[Any], numbers: range) -> None:
        counter = key + b"-n"  # of a stream whose entries are numbered without gaps, such as the audit's
        numbered = int(self._client.get(counter) or 0) if kind == b"stream" else 0
        pipeline = self._client.pipeline(transaction=False)
        if numbered:
            pipeline.set(counter, numbered + len(numbers))
        for at, number in enumerate(numbers, start=1):
            entry, other = entries[number % len(entries)], b"%020d" % number
            if kind == b"stream":
                entry_id = f"{numbered + at}-0" if numbered else "*"
                pipeline.execute_command("XADD", key, entry_id, *(word for pair in entry for word in pair))
            elif kind == b"zset":
                pipeline.zadd(key, {_other(entry[0], other): entry[1]})
            elif kind == b"hash":
                pipeline.hset(key, _other(entry[0], other), entry[1])
            elif kind == b"set":
                pipeline.sadd(key, _other(entry, other))
            elif kind == b"list":
                pipeline.rpush(key, entry)
        pipeline.execute()


def _other(member: bytes, digits: bytes) -> bytes:
    """Another member of the same length: its end replaced by digits."""
    return member[: max(0, len(member) - len(digits))] + digits[-len(member) :] if member else digits
