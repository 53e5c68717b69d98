"""What Redis says of itself: CPU, commands, bytes that came in, and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

SHORT_LIVED_MS = 120_000


@dataclass(frozen=True)
class Counters:
    """Everything counted so far, of one server."""

    cpu_us: float
    commands: int
    bytes_in: int

    @classmethod
    def read(cls, client: Any) -> Counters:
        cpu, stats = client.info("cpu"), client.info("stats")
        return cls(
            cpu_us=(cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1e6,
            commands=int(stats["total_commands_processed"]),
            bytes_in=int(stats["total_net_input_bytes"]),
        )

    def __sub__(self, before: Counters) -> Counters:
        return Counters(self.cpu_us - before.cpu_us, self.commands - before.commands, self.bytes_in - before.bytes_in)


def main_thread_cpu_us(client: Any) -> float:
    """CPU of the thread that runs the commands; without the threads that sync the file."""
    cpu = client.info("cpu")
    user = cpu.get("used_cpu_user_main_thread", cpu["used_cpu_user"])
    return float(user + cpu.get("used_cpu_sys_main_thread", cpu["used_cpu_sys"])) * 1e6


def script_usec(client: Any) -> tuple[int, int]:
    """Calls of scripts and functions so far, and the microseconds that Redis counted for them."""
    rows = client.info("commandstats")
    names = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_fcall", "cmdstat_evalsha_ro", "cmdstat_fcall_ro")
    found = [rows[name] for name in names if name in rows]
    return sum(row["calls"] for row in found), sum(row["usec"] for row in found)


def steady_tables(client: Any, count: int) -> None:
    """Keep the hash tables of the database from growing while records are weighed (they grow by doubling)."""
    for start in range(0, count, 1000):
        pipeline = client.pipeline(transaction=False)
        for number in range(start, start + 1000):
            pipeline.set(f"filler:{number}", "", ex=86_400)
        pipeline.execute()


def used_bytes(client: Any) -> int:
    """Memory of the data: without buffers of connections and of the append-only file."""
    time.sleep(0.3)  # what was freed and what connections held comes to rest
    memory = client.info("memory")
    return int(memory["used_memory"] - memory["mem_clients_normal"] - memory["mem_aof_buffer"])


def delete_short_lived(client: Any) -> None:
    """Take away what is gone within two minutes by itself, so that the rest can be weighed without waiting."""
    keys = [key for key in client.scan_iter(count=1000) if not key.startswith(b"filler:")]
    for start in range(0, len(keys), 1000):
        part = keys[start : start + 1000]
        pipeline = client.pipeline(transaction=False)
        for key in part:
            pipeline.pttl(key)
        gone = [key for key, ttl in zip(part, pipeline.execute(), strict=True) if 0 <= ttl <= SHORT_LIVED_MS]
        if gone:
            client.delete(*gone)


def audit_bytes(client: Any) -> int:
    """Memory of the audit: entries, seals and index, which grow with what is done and not with what is kept."""
    return sum(int(client.memory_usage(key, samples=0)) for key in client.scan_iter(match="*:audit*", count=1000))


def bytes_per_entry(client: Any, word: str) -> int | None:
    """Bytes of one entry of the longest stream with `word` in its name; None if there is no such stream."""
    streams = list(client.scan_iter(match=f"*{word}*", count=1000, _type="stream"))
    if not streams:
        return None
    longest = max(streams, key=client.xlen)
    return int(client.memory_usage(longest, samples=0) // client.xlen(longest))
