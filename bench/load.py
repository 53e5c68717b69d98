"""The load generator: closed loop and open loop over keep-alive connections, from one process without threads.

Requests are bytes made beforehand, so that sending and receiving is all that is done while the clock runs.
*Closed loop*: each connection sends its next request when it has its answer; this finds the capacity.
*Open loop*: requests are due at a constant rate whatever the server does, and a latency counts from the moment at
which its request was due, also if no connection was free then. So a server that stalls is charged for every request
that should have been sent meanwhile (no coordinated omission).
Only loopback addresses are called, and every run has an end in time and in number.
"""

from __future__ import annotations

import resource
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from bench.connections import Client, Connection, spread

DRAIN_S = 15.0  # how long answers are waited for after the last request
UNANSWERED = 0  # the "status" of a request whose connection broke, or that had no answer in time


@dataclass(frozen=True)
class Closed:
    """Send `requests`, each once (or again from the start, with `repeat`), until they or the time are used up."""

    address: tuple[str, int]
    requests: Sequence[bytes]
    connections: int = 16
    seconds: float = 3.0
    repeat: bool = False
    keep_bodies: bool = False
    pids: Sequence[int] = ()  # the server's processes: connections are opened until each has the same number


@dataclass(frozen=True)
class Open:
    """Send `rate` requests a second for so many seconds; up to `connections` at once, the rest waits in line."""

    address: tuple[str, int]
    requests: Sequence[bytes]
    rate: float
    seconds: float = 3.0
    connections: int = 64
    repeat: bool = False
    keep_bodies: bool = False
    pids: Sequence[int] = ()


@dataclass
class Outcome:
    """What a run brought. Latencies are in milliseconds, by status."""

    elapsed_s: float = 0.0
    latencies_ms: dict[int, list[float]] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    undecided: list[bytes] = field(default_factory=list)  # requests without an answer, or with 503
    retry_after: int = 0  # how many of the 503 said when to come again
    cpu_s: float = 0.0  # of the load generator

    def add(self, connection: Connection, status: int, latency_s: float, answer: bytes, keep: bool) -> None:
        self.latencies_ms.setdefault(status, []).append(latency_s * 1000)
        if keep and 200 <= status < 300:
            self.bodies.append(answer.partition(b"\r\n\r\n")[2])
        if keep and status in (UNANSWERED, 503):
            self.undecided.append(connection.request)
        if status == 503 and b"\r\nretry-after:" in answer.lower():
            self.retry_after += 1

    @property
    def statuses(self) -> Counter[int]:
        return Counter({status: len(found) for status, found in self.latencies_ms.items()})

    @property
    def total(self) -> int:
        return self.statuses.total()

    def good(self) -> list[float]:
        """Latencies of what was answered as wanted (2xx, 304)."""
        return sorted(ms for status, found in self.latencies_ms.items() if 200 <= status < 400 for ms in found)

    @property
    def rate(self) -> float:
        return len(self.good()) / self.elapsed_s if self.elapsed_s else 0.0


def centile(ordered: Sequence[float], share: float) -> float:
    """A centile of sorted values; 0 if there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run_closed(job: Closed) -> Outcome:
    client, outcome = Client(job.address), Outcome()
    requests: Iterator[bytes] = cycle(job.requests) if job.repeat else iter(job.requests)
    connections = spread(client, job.connections, job.pids)
    cpu, start = _cpu_s(), time.perf_counter()
    end = last = start + 0.0
    end += job.seconds
    busy: set[Connection] = set()
    for connection in connections:
        if (request := next(requests, None)) is not None:
            client.send(connection, request, time.perf_counter())
            busy.add(connection)
    while busy and time.perf_counter() < end + DRAIN_S:
        for connection, status, answer in client.wait(1.0):
            last = time.perf_counter()
            busy.discard(connection)
            outcome.add(connection, status, last - connection.since, answer, job.keep_bodies)
            if last < end and (request := next(requests, None)) is not None:
                following = connection if connection.is_open else client.connect()
                client.send(following, request, last)
                busy.add(following)
    for connection in busy:
        outcome.add(connection, UNANSWERED, time.perf_counter() - connection.since, b"", job.keep_bodies)
    outcome.elapsed_s, outcome.cpu_s = last - start, _cpu_s() - cpu
    client.close()
    return outcome


def run_open(job: Open) -> Outcome:
    client, outcome = Client(job.address), Outcome()
    total = int(job.rate * job.seconds)
    if not job.repeat:
        total = min(total, len(job.requests))
    idle = deque(spread(client, min(16, job.connections), job.pids))
    opened = len(idle)
    waiting: deque[tuple[float, bytes]] = deque()
    cpu, start = _cpu_s(), time.perf_counter()
    planned = done = 0
    last, hard_end = start, start + job.seconds + DRAIN_S
    while done < total and (now := time.perf_counter()) < hard_end:
        while planned < total and (due := start + planned / job.rate) <= now:
            waiting.append((due, job.requests[planned % len(job.requests)]))
            planned += 1
        while waiting and (idle or opened < job.connections):
            if idle:
                connection = idle.popleft()
                if not connection.is_open:
                    opened -= 1
                    continue
            else:
                connection = client.connect()
                opened += 1
            due, request = waiting.popleft()
            client.send(connection, request, due)
        pause = start + planned / job.rate - time.perf_counter() if planned < total else 0.2
        for connection, status, answer in client.wait(max(0.0, pause)):
            last = time.perf_counter()
            done += 1
            outcome.add(connection, status, last - connection.since, answer, job.keep_bodies)
            if connection.is_open:
                idle.append(connection)
            else:
                opened -= 1
    if done < total:
        outcome.latencies_ms.setdefault(UNANSWERED, []).extend([DRAIN_S * 1000] * (total - done))
    outcome.elapsed_s, outcome.cpu_s = last - start, _cpu_s() - cpu
    client.close()
    return outcome


def run(job: Closed | Open) -> Outcome:
    return run_closed(job) if isinstance(job, Closed) else run_open(job)
