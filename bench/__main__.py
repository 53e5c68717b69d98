"""Every act at full speed and at a constant rate: `python -m bench`, the first part of `make bench`.

It starts `authsvc serve` with two processes on a Redis of its own (append-only file synced every second), two bare
applications under the same server, and measures each act: requests a second at full speed, latencies at a constant
rate, CPU of the service and of Redis, what is sent to Redis, and what a record costs there. Only the command line,
HTTP and Redis' own counters are used. It writes `var/bench/throughput.json` and `docs/reference/performance.md`.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import records, results, targets, throughput
from bench.charts import bars, lines
from bench.processes import HttpServer, memory_mib
from bench.smtp_sink import Sink
from bench.stack import Stack

SHARES = (0.5, 0.7, 0.9)


def measure(arguments: Namespace) -> dict[str, Any]:
    say, tiny = results.progress(), arguments.tiny
    seconds, rounds = (0.1, 1) if tiny else (arguments.seconds, arguments.rounds)
    roots = [arguments.root, *([arguments.beside] if arguments.beside else [])]
    with ExitStack() as opened:
        sink = opened.enter_context(Sink())
        stacks = [opened.enter_context(Stack(root, mail=sink.address)) for root in roots]
        found: list[dict[str, Any]] = [{"machine": records.machine(stacks[0])} for _ in stacks]
        bare = {"bare Flask": stacks[0].serve_bare("flask"), "bare WSGI": stacks[0].serve_bare("wsgi")}
        benches = [_prepared(stack, bare, sink, result, tiny) for stack, result in zip(stacks, found, strict=True)]
        closed = throughput.closed_loop(benches, rounds, seconds, arguments.connections, say)
        for bench, result, rows in zip(benches, found, closed, strict=True):
            result["closed"] = rows
            capacity = {act: row["per_s"] for act, row in rows.items()}
            result["open"] = throughput.open_loop(bench, capacity, SHARES[:1] if tiny else SHARES, seconds, say)
            result["memory_after_mib"] = memory_mib(bench.server.pids)
        say("done")
    return found[0] | {"seconds": seconds, "rounds": rounds} | ({"beside": found[1]} if len(found) > 1 else {})


def _prepared(
    stack: Stack, bare: dict[str, HttpServer], sink: Sink, result: dict[str, Any], tiny: bool
) -> throughput.Bench:
    """A service with patients on file, and what can be measured without load."""
    count, patients, calls = (20, 20, 5) if tiny else (500, 4_000, 100)
    server = stack.serve()
    (caller,) = stack.callers()
    result["bytes"] = records.bytes_per_record(stack, server, caller, sink, count)
    names = stack.register(server, caller, patients)
    result["round_trips"] = records.round_trips(stack, caller, names, calls)
    result["memory_before_mib"] = memory_mib(server.pids)
    return throughput.Bench(stack, server, bare, caller, names)


# --- the page ------------------------------------------------------------------------------------------------------


def section(result: dict[str, Any], before: dict[str, Any]) -> str:
    before = result.get("beside", before)  # measured in the same run, if it was
    parts = [
        results.machine_line(result, "python -m bench"),
        f"### At full speed\n\n{_closed_table(result, before)}",
        "![Requests a second as a share of the bare Flask endpoint](performance-ratio.svg)",
        f"### At a constant rate\n\n{_open_table(result)}",
        "![Latencies at a constant rate](performance-latency.svg)",
        f"### What goes to Redis\n\n{_redis_table(result)}",
        f"### Bytes in Redis\n\n{_bytes_table(result, before)}",
        _generator_line(result),
        _memory_line(result),
    ]
    return "\n\n".join(parts)


def _generator_line(result: dict[str, Any]) -> str:
    bare = result["closed"]["bare WSGI"]
    others = [row["others_share"] for row in result["closed"].values()]
    return (
        f"Other programs took {min(others):.0%} to {max(others):.0%} of the machine meanwhile. "
        f"The load generator needs {bare['generator_cpu_us']:.0f} µs of CPU for a request: at the"
        f" {bare['per_s']:,.0f} requests/s of the bare WSGI application"
        f" {bare['generator_cpu_us'] * bare['per_s'] / 1e6:.0%} of one core, so it is not what limits the service."
    )


def _memory_line(result: dict[str, Any]) -> str:
    requests = sum(row["requests"] for act, row in result["closed"].items() if act not in throughput.BARE)
    before, after = (_memory(result[f"memory_{when}_mib"]) for when in ("before", "after"))
    return (
        f"Memory of the two processes: {before} before, {after} after {requests:,} requests at full speed and those at"
        " a constant rate."
    )


def _memory(mib: dict[str, float]) -> str:
    return f"{mib['rss']:.0f} MiB (shared pages counted once: {mib['pss']:.0f} MiB)"


def _closed_table(result: dict[str, Any], before: dict[str, Any]) -> str:
    rows = []
    for act, row in result["closed"].items():
        earlier = before.get("closed", {}).get(act)
        target = targets.RATIO.get(act)
        rows.append(
            [
                act,
                f"{row['per_s']:,.0f}",
                f"{row['to_flask']:.2f}",
                f"≥ {target:.2f}" if target else "–",
                f"{earlier['to_flask']:.2f}" if earlier else "–",
                f"{row['to_wsgi']:.2f}",
                f"{row['p50_ms']:.1f}",
                f"{row['p99_ms']:.1f}",
                f"{row['app_cpu_ms']:.2f}",
                f"{row['redis_cpu_us']:,.0f}" if act not in throughput.BARE else "–",
                f"{row['failed']:,}",
            ]
        )
    head = ["act", "requests/s", "to bare Flask", "target", "before", "to bare WSGI", "p50 ms", "p99 ms"]
    return results.table([*head, "CPU ms", "Redis CPU µs", "failed"], rows)


def _open_table(result: dict[str, Any]) -> str:
    rows = []
    for act, found in result["open"].items():
        cells = [f"{row['p50_ms']:.1f} · {row['p99_ms']:.1f}" for row in found]
        at_70 = next((row for row in found if row["share"] == 0.7 and row["p50_ms"]), None)
        rows.append([act, *cells, f"{at_70['p99_ms'] / at_70['p50_ms']:.1f}" if at_70 else "–"])
    shares = [f"{row['share']:.0%}: p50 · p99 ms" for row in next(iter(result["open"].values()))]
    return results.table(["act", *shares, f"p99/p50 at 70% (target ≤ {targets.P99_TO_P50:.0f})"], rows)


def _redis_table(result: dict[str, Any]) -> str:
    rows = []
    for act, row in result["round_trips"].items():
        most = targets.ROUND_TRIPS.get(act, targets.ROUND_TRIPS_DEFAULT)
        closed = result["closed"][act]
        sent = f"{row['bytes_sent']:,.0f}"
        rows.append([act, f"{row['round_trips']:.2f}", f"≤ {most}", f"{closed['redis_commands']:.1f}", sent])
    return results.table(["act", "round trips", "target", "commands", "bytes sent"], rows)


def _bytes_table(result: dict[str, Any], before: dict[str, Any]) -> str:
    rows = []
    for name, row in result["bytes"].items():
        earlier, target = before.get("bytes", {}).get(name), targets.BYTES.get(name)
        rows.append(
            [
                name,
                f"{row['at_once']:,.0f}",
                f"{row['lasting']:,.0f}",
                f"≤ {target:,}" if target else "–",
                f"{earlier['lasting']:,.0f}" if earlier else "–",
            ]
        )
    return results.table(["record", "bytes at once", "after two minutes", "target", "before"], rows)


def charts(result: dict[str, Any]) -> dict[str, str]:
    ratios = [
        (act, row["to_flask"], targets.RATIO.get(act))
        for act, row in result["closed"].items()
        if act not in throughput.BARE
    ]
    shares = [f"{row['share']:.0%}" for row in next(iter(result["open"].values()))]
    p99 = {act: [row["p99_ms"] for row in found] for act, found in result["open"].items() if act != "bare WSGI"}
    return {
        "performance-ratio.svg": bars("Requests a second as a share of a bare Flask JSON endpoint", ratios),
        "performance-latency.svg": lines("p99 latency by share of the act's own capacity", shares, p99, "ms"),
    }


def main(words: Sequence[str] | None = None) -> None:
    parser = results.options("python -m bench", "Measure every act of the service on this machine.")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of the closed loop (5)")
    parser.add_argument("--seconds", type=float, default=2.5, help="length of each run (2.5)")
    parser.add_argument(
        "--beside", type=Path, metavar="DIR", help="measure this checkout's service in the same rounds, as before"
    )
    parser.add_argument("--connections", type=int, default=16, help="connections of the closed loop (16)")
    results.run("throughput", parser.parse_args(words), measure, section, charts)


if __name__ == "__main__":
    main()
