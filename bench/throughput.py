"""Closed and open loop for each act: requests a second, latencies, CPU and what Redis had to do.

Acts take turns in short rounds, the bare Flask endpoint runs right before and after each of them, and the median of the
rounds counts: a change of the machine's speed meets both alike. What other programs take meanwhile is reported.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench import acts, load, redis_stats
from bench.acts import Caller
from bench.processes import HttpServer, busy_s, cpu_s
from bench.stack import CPUS, Stack, redis_counters

ACTS = ("start", "verify", "refresh", "link", "exchange", "introspect", "forward-auth", "keys")
BARE = ("bare Flask", "bare WSGI")
MOST_PER_S = 6_000  # requests made beforehand for a second; no act is faster here


@dataclass
class Bench:
    """The servers and the people of a run."""

    stack: Stack
    server: HttpServer
    bare: dict[str, HttpServer]
    caller: Caller
    patients: Sequence[str]

    def pids(self) -> list[int]:
        """Of everything that this run has started, except for the load generator."""
        servers = (self.server, *self.bare.values())
        return [self.stack.redis.pid, *(pid for server in servers for pid in server.pids)]

    def server_of(self, act: str) -> HttpServer:
        return self.bare.get(act, self.server)


class Round:
    """The requests of one round, each act's made from the answers of the one before it."""

    def __init__(self, bench: Bench, seconds: float, connections: int) -> None:
        self.bench = bench
        self.seconds = seconds
        self.connections = connections
        self.granted: list[bytes] = []
        self.issued: list[bytes] = []

    def requests(self, act: str) -> tuple[list[bytes], bool]:
        """Requests of this act, and whether they may be sent again and again."""
        caller, patients, count = self.bench.caller, self.bench.patients, int(self.seconds * MOST_PER_S)
        makers: dict[str, Callable[[], tuple[list[bytes], bool]]] = {
            "bare Flask": lambda: (acts.bare_flask(), True),
            "bare WSGI": lambda: (acts.bare_wsgi(), True),
            "start": lambda: (caller.start(patients, count), False),
            "verify": lambda: (caller.verify(self._codes()), False),
            "refresh": lambda: (caller.refresh(self.granted), False),
            "link": lambda: (caller.issue_links(patients, count), False),
            "exchange": lambda: (caller.exchange(self.issued), False),
            "introspect": lambda: (caller.introspect(self.granted[:500]), True),
            "forward-auth": lambda: (caller.forward_auth(self.granted[:500]), True),
            "keys": lambda: (acts.keys(), True),
        }
        return makers[act]()

    def _codes(self) -> list[bytes]:
        """Started sign-ins whose codes are given to the caller: as many as one and a half times this long makes."""
        requests = self.bench.caller.start(self.bench.patients, int(self.seconds * MOST_PER_S), delivery="caller")
        server = self.bench.server
        job = load.Closed(server.address, requests, seconds=self.seconds * 1.5, keep_bodies=True, pids=server.pids)
        return self.bench.stack.run(job).bodies

    def closed(self, act: str) -> dict[str, Any]:
        """An act at full speed, and the bare Flask endpoint right before and after it."""
        requests, repeat = self.requests(act)
        before = self._run(BARE[0], acts.bare_flask(), self.seconds / 4, repeat=True).rate
        server, stack = self.bench.server_of(act), self.bench.stack
        ours = [os.getpid(), *self.bench.pids()]
        redis, cpu, machine = redis_counters(stack), cpu_s(server.pids), (busy_s(), cpu_s(ours))
        outcome = self._run(act, requests, self.seconds, repeat)
        others = busy_s() - machine[0] - (cpu_s(ours) - machine[1]) - outcome.cpu_s
        cpu, used = cpu_s(server.pids) - cpu, redis_counters(stack) - redis
        after = self._run(BARE[0], acts.bare_flask(), self.seconds / 4, repeat=True).rate
        if act == "verify":
            self.granted = outcome.bodies
        if act == "link":
            self.issued = outcome.bodies
        figures = _closed_figures(outcome, cpu, used)
        figures["others_share"] = max(0.0, others / (outcome.elapsed_s * CPUS))
        return figures | {"flask_per_s": (before + after) / 2}

    def _run(self, act: str, requests: list[bytes], seconds: float, repeat: bool) -> load.Outcome:
        server = self.bench.server_of(act)
        job = load.Closed(
            *(server.address, requests, self.connections, seconds, repeat),
            keep_bodies=act in ("verify", "link"),
            pids=server.pids,
        )
        return self.bench.stack.run(job)


def _closed_figures(outcome: load.Outcome, cpu: float, used: redis_stats.Counters) -> dict[str, Any]:
    good = outcome.good()
    count = max(1, len(good))
    return {
        "requests": outcome.total,
        "failed": outcome.total - len(good),
        "per_s": outcome.rate,
        "p50_ms": load.centile(good, 0.5),
        "p99_ms": load.centile(good, 0.99),
        "app_cpu_ms": cpu * 1000 / count,
        "redis_cpu_us": used.cpu_us / count,
        "redis_commands": used.commands / count,
        "redis_bytes_in": used.bytes_in / count,
        "generator_cpu_us": outcome.cpu_s * 1e6 / count,
    }


def closed_loop(
    benches: Sequence[Bench], rounds: int, seconds: float, connections: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Interleaved rounds of these services: for each, the figures by act."""
    rows: list[dict[str, list[dict[str, Any]]]] = [{act: [] for act in (*BARE, *ACTS)} for _ in benches]
    for number in range(rounds):
        say(f"closed loop, round {number + 1} of {rounds}")
        turns = [Round(bench, seconds, connections) for bench in benches]
        for act in (*BARE, *ACTS):
            for turn, found in zip(turns, rows, strict=True):
                found[act].append(turn.closed(act))
    return [_medians(found) for found in rows]


def _medians(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The medians by act, with the smallest and largest rate, and the ratio to the bare applications."""
    result: dict[str, Any] = {}
    for act, found in rows.items():
        result[act] = {name: statistics.median(row[name] for row in found) for name in found[0]}
        result[act]["failed"] = sum(row["failed"] for row in found)
        result[act]["requests"] = sum(row["requests"] for row in found)
        result[act]["per_s_range"] = [min(row["per_s"] for row in found), max(row["per_s"] for row in found)]
        result[act]["to_flask"] = statistics.median(row["per_s"] / row["flask_per_s"] for row in found)
        wsgi = zip(found, rows["bare WSGI"], strict=True)
        result[act]["to_wsgi"] = statistics.median(row["per_s"] / other["per_s"] for row, other in wsgi)
    return result


def open_loop(
    bench: Bench, capacity: dict[str, float], shares: Sequence[float], seconds: float, say: Callable[[str], None]
) -> Any:
    """Each act at these shares of its own capacity, at a constant rate."""
    result: dict[str, list[dict[str, float]]] = {}
    for share in shares:
        say(f"open loop at {share:.0%} of the capacity")
        this = Round(bench, seconds, 16)
        for act in (*BARE, *ACTS):
            server = bench.server_of(act)
            requests, repeat = this.requests(act)
            keep = act in ("verify", "link")
            job = load.Open(
                *(server.address, requests, capacity[act] * share, seconds),
                repeat=repeat,
                keep_bodies=keep,
                pids=server.pids,
            )
            outcome = bench.stack.run(job)
            if act == "verify":
                this.granted = outcome.bodies
            if act == "link":
                this.issued = outcome.bodies
            good = outcome.good()
            result.setdefault(act, []).append(
                {
                    "share": share,
                    "per_s": capacity[act] * share,
                    "requests": outcome.total,
                    "failed": outcome.total - len(good),
                    "p50_ms": load.centile(good, 0.5),
                    "p99_ms": load.centile(good, 0.99),
                    "longest_ms": good[-1] if good else 0.0,
                }
            )
    return result
