"""Months of guessing, longer than in the tests: `python -m tests.guessing [SEEDS [DAYS]]`.

A table of every strategy: how often was guessed, the chance on the worst day and over the month, the bound that
`authsvc check` prints, and how the patient came in. Exit 1 when a day is above the bound.
"""

from __future__ import annotations

import sys
import time

import fakeredis
import redis

from tests.conftest import server_binary
from tests.guessing.month import Month
from tests.guessing.strategies import NAMED, mixed, play


def row(name: str, month: Month, took_s: float) -> str:
    ways = " ".join(f"{way}×{times}" for way, times in sorted(month.ways.items()))
    return (
        f"{name:58} {month.guesses:7} {month.worst_day:10.6f} {month.bound:10.6f} {month.worst_day / month.bound:6.1%} "
        f"{sum(month.by_day):9.5f}  {ways}, longest wait {month.longest_wait_ms // 60_000} min  ({took_s:.1f} s)"
    )


def main() -> int:
    from authsvc.demo.embedded import StoreServer

    seeds, days = (int(word) for word in (*sys.argv[1:], *("200", "30")[len(sys.argv) - 1 :]))
    kind = next((kind for kind in ("redis", "valkey") if server_binary(kind)), None)
    server = StoreServer(server_binary(kind), append_only=False) if kind else None
    client = fakeredis.FakeRedis(decode_responses=True)
    if server:
        server.start()
        client = redis.Redis.from_url(server.url, decode_responses=True)
    beaten = 0
    print(f"{'strategy':58} guesses  worst day      bound  share     month")
    try:
        for name, run in [
            *((strategy.name, lambda strategy=strategy: play(strategy, client, days)) for strategy in NAMED),
            *((f"mix {seed}", lambda seed=seed: mixed(client, seed, 1000)) for seed in range(seeds)),
        ]:
            started = time.process_time()
            month = run()
            beaten += month.worst_day > month.bound
            print(row(name, month, time.process_time() - started), flush=True)
    finally:
        if server:
            server.discard()
    print(f"{beaten} above the bound")
    return 1 if beaten else 0


if __name__ == "__main__":
    sys.exit(main())
