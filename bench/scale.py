"""Whether the cost of an act grows with what is stored, or with the number of shards: `make bench-scale`.

Flatness: patients, started sign-ins with their mail, sessions and links are made by real acts, a thousand of each, and
then copied inside Redis (see fill.py) up to the largest number. At each number the same acts of real patients are
measured, and a fixed script of six commands beside them, which tells a change of the machine from one of the service.

Shards: the same acts at twelve practices on a Redis Cluster of one, three and six shards on this machine. Wall time
would say nothing, since all shards share the cores; what counts is the CPU of the shards: in all for an act (it should
stay), and of the busiest shard for an act (it should fall as shards are added).
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import records, results, scale_page
from bench.acts import Caller
from bench.cluster import Cluster, spread_names
from bench.fill import Filler
from bench.processes import HttpServer, cpu_s
from bench.redis_stats import main_thread_cpu_us
from bench.replay import reference
from bench.stack import Stack, warm_up

LEVELS = (1_000, 10_000, 50_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000)
QUICK = (1_000, 20_000)
SEEDS = 1_000
SHARDS = (1, 3, 6)


class Turn:
    """Every act once for each of `count` patients at each practice, each act measured by `meter`."""

    def __init__(self, stack: Stack, server: HttpServer, callers: Sequence[Caller], patients: Sequence[str]) -> None:
        self.stack, self.server, self.callers, self.patients = stack, server, callers, patients

    def measure(self, count: int, meter: Callable[[str, Callable[[], object], int], object]) -> None:
        def every(make: Callable[[Caller], list[bytes]]) -> list[bytes]:
            return [request for group in zip(*map(make, self.callers), strict=False) for request in group]

        def run(act: str, requests: list[bytes]) -> list[bytes]:
            answers: list[bytes] = []
            meter(act, lambda: answers.extend(self.stack.batch(self.server, requests)), len(requests))
            return answers

        first = self.callers[0]  # tokens and links name their practice, except where it stands in the path
        run("start", every(lambda caller: caller.start(self.patients, count)))
        codes = [
            self.stack.batch(self.server, caller.start(self.patients, count, delivery="caller"))
            for caller in self.callers
        ]
        by_caller = dict(zip(self.callers, codes, strict=True))
        opened = run("verify", every(lambda caller: caller.verify(by_caller[caller])))
        run("introspect", first.introspect(opened))
        if len(self.callers) == 1:
            run("forward-auth", first.forward_auth(opened))
        run("refresh", first.refresh(opened))
        links = [run(f"link:{caller.practice}", caller.issue_links(self.patients, count)) for caller in self.callers]
        tokens = dict(zip(self.callers, links, strict=True))
        run("exchange", every(lambda caller: caller.exchange(tokens[caller])))


# --- flatness ------------------------------------------------------------------------------------------------------


def flatness(stack: Stack, arguments: Namespace, say: Callable[[str], None]) -> list[dict[str, Any]]:
    tiny = arguments.tiny
    levels = (40, 400) if tiny else QUICK if arguments.quick else [level for level in LEVELS if level <= arguments.most]
    seeds, count, rounds = (40, 20, 1) if tiny else (SEEDS, 200, 3 if arguments.quick else 5)
    server = stack.serve()
    (caller,) = stack.callers()
    client, patients = stack.redis.client, stack.register(server, caller, count)
    warm_up(stack, server, caller, patients, 20)
    filler = Filler(client)
    others = stack.register(server, caller, seeds, "s")
    codes = stack.batch(server, caller.start(others, seeds, delivery="caller"))
    stack.batch(server, caller.start(others, seeds))
    stack.batch(server, caller.verify(codes))
    stack.batch(server, caller.issue_links(others, seeds))
    filler.learn(seeds)
    turn = Turn(stack, server, (caller,), patients)
    rows: list[dict[str, Any]] = []
    there, start = seeds, time.monotonic()
    client.config_set("slowlog-log-slower-than", 1_000)
    for level in levels:
        if rows and time.monotonic() - start > arguments.budget:
            say(f"time is up before {level:,} records")
            break
        say(f"{level:,} records of each kind")
        if level > there:
            client.config_set("appendonly", "no")  # copies aren't appended one by one
            filler.fill(there, level)
            client.config_set("appendonly", "yes")
            while client.info("persistence")["aof_rewrite_in_progress"]:
                time.sleep(0.1)
            there = level
        client.slowlog_reset()
        found: dict[str, list[tuple[float, float]]] = {}

        def meter(act: str, action: Callable[[], object], acts: int, found: Any = found) -> None:
            redis, app = main_thread_cpu_us(client), cpu_s(server.pids)
            action()
            costs = ((main_thread_cpu_us(client) - redis) / acts, (cpu_s(server.pids) - app) * 1000 / acts)
            found.setdefault(act.partition(":")[0], []).append(costs)

        references = []
        for _ in range(rounds):
            references.append(reference(stack, 5_000))
            turn.measure(count, meter)
        slowest = [entry["duration"] for entry in client.slowlog_get(100) if entry["command"][:4] in (b"EVAL", b"FCAL")]
        rows.append(
            {
                "records": level,
                "keys": client.dbsize(),
                "used_mib": client.info("memory")["used_memory"] / 2**20,
                "reference_us": statistics.median(references),
                "longest_script_ms": max(slowest, default=0) / 1000,
                "acts": {
                    act: {
                        "redis_us": statistics.median(redis for redis, _ in costs),
                        "app_ms": statistics.median(app for _, app in costs),
                    }
                    for act, costs in found.items()
                },
            }
        )
    server.stop()
    return rows


# --- shards --------------------------------------------------------------------------------------------------------


def shards(number: int, root: Path, tiny: bool) -> dict[str, Any]:
    """CPU of every shard for each act, in µs over all acts."""
    with Stack(root, cluster="later") as stack:
        cluster = Cluster(stack.folder, number)
        try:
            stack.url = cluster.url
            server = stack.serve()
            callers = stack.callers(spread_names(max(SHARDS), 1 if tiny else 2))
            count, rounds = (5, 1) if tiny else (40, 3)
            for caller in callers:
                patients = stack.register(server, caller, count)
            turn = Turn(stack, server, callers, patients)
            turn.measure(5, lambda _act, action, _count: action())
            found: dict[str, list[list[float]]] = {}

            def meter(act: str, action: Callable[[], object], acts: int) -> None:
                before = [main_thread_cpu_us(node.client) for node in cluster.nodes]
                action()
                after = [main_thread_cpu_us(node.client) for node in cluster.nodes]
                if not act.startswith("link:"):  # those went to one shard at a time
                    costs = [(one - other) / acts for one, other in zip(after, before, strict=True)]
                    found.setdefault(act, []).append(costs)

            for _ in range(rounds):
                turn.measure(count, meter)
            server.stop()
        finally:
            cluster.stop()
    return {
        act: {
            "total_us": statistics.median(sum(costs) for costs in rounds_of_act),
            "busiest_us": statistics.median(max(costs) for costs in rounds_of_act),
        }
        for act, rounds_of_act in found.items()
    }


def measure(arguments: Namespace) -> dict[str, Any]:
    say = results.progress()
    with Stack(arguments.root) as stack:
        result: dict[str, Any] = {"machine": records.machine(stack)}
        result["flatness"] = flatness(stack, arguments, say)
    result["shards"] = {}
    for number in () if arguments.quick else SHARDS[:2] if arguments.tiny else SHARDS:
        say(f"{number} shards")
        result["shards"][str(number)] = shards(number, arguments.root, arguments.tiny)
    say("done")
    return result


def main(words: Sequence[str] | None = None) -> None:
    parser = results.options(
        "python -m bench.scale", "Measure whether acts cost more with more records, or with more shards."
    )
    parser.add_argument(
        "--most", type=int, default=200_000, help="the largest number of records (200,000; to 5,000,000)"
    )
    parser.add_argument(
        "--budget", type=float, default=300.0, help="seconds after which no larger number is begun (300)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="to 20,000 records and without shards: a minute, and a section of its own"
    )
    arguments = parser.parse_args(words)
    if arguments.quick:
        results.run("flatness", arguments, measure, scale_page.section)
    else:
        results.run("scale", arguments, measure, scale_page.section, scale_page.charts)


if __name__ == "__main__":
    main()
