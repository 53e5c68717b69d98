"""`make soak`: journeys for MINUTES (10), a Sentinel fail-over each two minutes, half of them planned; then the book.

Exit 1 when anything acknowledged was lost or doubled, when a caller saw a 500 or hung, or when memory grew by a half.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import redis

from tests.resilience.acknowledged import Book
from tests.resilience.audit import check
from tests.resilience.deployment import Deployment
from tests.resilience.faults.runner import summary
from tests.resilience.processes import children, until
from tests.resilience.traffic import Traffic
from tests.resilience.wellness import await_well

EVERY_S = 120.0
PACE_S = 0.15  # between the steps of a journey: well below what the installation can do
GROWTH = 1.5


def resident_kb(deployment: Deployment) -> int:
    """Memory of serve's processes and of the worker."""
    first = [deployment.serve_program.pid, deployment.worker_program.pid]
    pids = [*first, *children(first[0])]
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * 4


def fail_over(deployment: Deployment, *, planned: bool) -> None:
    old = deployment.sentinels.primary()
    if planned:
        with suppress(redis.RedisError):
            old.admin.execute_command("CLIENT", "PAUSE", 3000, "WRITE")
        deployment.sentinels.sentinel_client().sentinel_failover("mymaster")
    else:
        old.running.kill()
    until(lambda: deployment.sentinels.primary() is not old, 30, "another primary", 0.1)
    if not planned:
        old.start()
    deployment.sentinels.await_replicas()


def main() -> int:
    minutes = float(os.environ.get("MINUTES", 10))
    deployment = Deployment("sentinel")
    failures = []
    try:
        deployment.start()
        book = Book(deployment.folder / "book.jsonl")
        started, number, before_kb = time.monotonic(), 0, 0
        with Traffic(deployment, book, pace_s=PACE_S) as traffic:
            while (passed := time.monotonic() - started) < minutes * 60:
                time.sleep(min(EVERY_S, minutes * 60 / 3, minutes * 60 - passed))
                before_kb = before_kb or resident_kb(deployment)
                if time.monotonic() - started < minutes * 60:
                    number += 1
                    fail_over(deployment, planned=number % 2 == 0)
            _, reason = await_well(deployment, mail=True)
            traffic.stop()
        found, after_kb = check(deployment, book, copies=1, mail=True, until=None), resident_kb(deployment)
        seen = deployment.observed.counts()
        failures += [f"not well: {reason}"] if reason else []
        failures += [f"lost {found.lost}"] if found.lost else []
        failures += [f"doubled {found.doubled}"] if found.doubled else []
        failures += [f"{word}: {seen[word]}" for word in ("500", "hang") if seen[word]]
        failures += [f"memory {before_kb} → {after_kb} kB"] if after_kb > GROWTH * before_kb else []
        print(f"{minutes:g} min, {number} fail-overs, {sum(seen.values())} calls: {summary(seen)}")
        print(f"memory {before_kb} → {after_kb} kB; lost {len(found.lost)}, doubled {len(found.doubled)}")
    finally:
        deployment.discard()
    print("; ".join(failures) or "ok")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
