"""Mails a second and CPU a mail of one `authsvc worker`: `python -m bench.worker`.

The mail host is a process on loopback that takes every mail at once. First the worker finds a backlog of mails that
were queued beforehand; then it delivers beside a service that starts sign-ins at full speed.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from bench import load, records, results, targets
from bench.processes import cpu_s, memory_mib
from bench.smtp_sink import Sink
from bench.stack import Stack, redis_counters, warm_up

DELIVER_WITHIN_S = 120.0


def measure(arguments: Namespace) -> dict[str, Any]:
    say, tiny = results.progress(), arguments.tiny
    backlog, seconds = (60, 1.0) if tiny else (arguments.mails, arguments.seconds)
    with Sink() as sink, Stack(arguments.root, mail=sink.address) as stack:
        result: dict[str, Any] = {"machine": records.machine(stack), "backlog": backlog}
        server = stack.serve()
        (caller,) = stack.callers()
        patients = stack.register(server, caller, 40 if tiny else 1_000)
        warm_up(stack, server, caller, patients, 10)
        say(f"queueing {backlog} mails")
        stack.batch(server, caller.start(patients, backlog))
        say("delivering them")
        worker = stack.worker()
        first = _wait(sink, backlog // 10)
        cpu, redis, start, start_mails = cpu_s([worker.pid]), redis_counters(stack), time.monotonic(), first
        last = _wait(sink, backlog * 9 // 10)
        spent_s, mails = time.monotonic() - start, last - start_mails
        cpu, used = cpu_s([worker.pid]) - cpu, redis_counters(stack) - redis
        result["alone"] = {
            "mails_per_s": mails / spent_s,
            "cpu_ms": cpu * 1000 / mails,
            "redis_cpu_us": used.cpu_us / mails,
            "redis_commands": used.commands / mails,
        }
        _wait(sink, backlog)
        time.sleep(1.0)
        say("delivering beside starts at full speed")
        requests = caller.start(patients, int(seconds * 6_000))
        cpu, start_mails, start = cpu_s([worker.pid]), sink.received, time.monotonic()
        outcome = stack.run(load.Closed(server.address, requests, seconds=seconds, pids=server.pids))
        spent_s, mails = time.monotonic() - start, max(1, sink.received - start_mails)
        good = outcome.good()
        result["beside"] = {
            "mails_per_s": mails / spent_s,
            "cpu_ms": (cpu_s([worker.pid]) - cpu) * 1000 / mails,
            "starts_per_s": outcome.rate,
            "start_p50_ms": load.centile(good, 0.5),
            "start_p99_ms": load.centile(good, 0.99),
        }
        result["memory_mib"] = memory_mib([worker.pid])
        say("done")
    return result


def _wait(sink: Sink, wanted: int) -> int:
    """Wait for so many mails; how many there are."""
    deadline = time.monotonic() + DELIVER_WITHIN_S
    while sink.received < wanted:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{sink.received} of {wanted} mails arrived in {DELIVER_WITHIN_S:.0f} s")
        time.sleep(0.005)
    return sink.received


def section(result: dict[str, Any], before: dict[str, Any]) -> str:
    alone, beside = result["alone"], result["beside"]
    early, early_beside = before.get("alone", {}), before.get("beside", {})

    def then(found: dict[str, float], name: str, form: str) -> str:
        return format(found[name], form) if name in found else "–"

    rows = [
        [
            f"a backlog of {result['backlog']:,}",
            f"{alone['mails_per_s']:.0f}",
            f"≥ {targets.MAILS_PER_S}",
            then(early, "mails_per_s", ".0f"),
            f"{alone['cpu_ms']:.2f}",
            f"≤ {targets.MAIL_CPU_MS}",
            then(early, "cpu_ms", ".2f"),
        ],
        [
            f"beside {beside['starts_per_s']:.0f} starts/s",
            f"{beside['mails_per_s']:.0f}",
            "–",
            then(early_beside, "mails_per_s", ".0f"),
            f"{beside['cpu_ms']:.2f}",
            f"≤ {targets.MAIL_CPU_MS}",
            then(early_beside, "cpu_ms", ".2f"),
        ],
    ]
    head = ["one worker", "mails/s", "target", "before", "CPU ms a mail", "target", "before"]
    text = (
        f"Redis: {alone['redis_cpu_us']:.0f} µs and {alone['redis_commands']:.1f} commands a mail. Beside the worker a"
        f" start took {beside['start_p50_ms']:.0f} ms (p50) and {beside['start_p99_ms']:.0f} ms (p99). Memory of the"
        f" worker: {result['memory_mib']['rss']:.0f} MiB."
    )
    return "\n\n".join([results.machine_line(result, "python -m bench.worker"), results.table(head, rows), text])


def main(words: Sequence[str] | None = None) -> None:
    parser = results.options("python -m bench.worker", "Measure how quickly one worker delivers mail.")
    parser.add_argument("--mails", type=int, default=2_000, help="size of the backlog (2,000)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the run beside starts (8)")
    results.run("worker", parser.parse_args(words), measure, section)


if __name__ == "__main__":
    main()
