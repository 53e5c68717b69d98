"""More requests than the service can answer, and clients that don't finish theirs: `python -m bench.overload`.

The capacity is measured in a closed loop; then twice as many requests are due in an open loop, and a second load
generator asks for the keys, the probe and forward-auth at a low rate beside it. Wanted: what is accepted stays quick,
the rest gets 503 with Retry-After at once, and the keys, the probe and forward-auth go on answering.
Half-sent requests: so many clients send half a request and then a byte a second, beside honest ones at a third of the
capacity.
"""

from __future__ import annotations

import socket
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from typing import Any

from bench import acts, load, records, results, targets
from bench.acts import Caller
from bench.processes import HttpServer
from bench.stack import Stack, warm_up

CONNECTIONS = 800  # that an open loop may use at once
UNLOADED = 0.2  # share of the capacity at which nothing waits
HONEST = 0.33
PROBES_PER_S = 10.0
HALF_SENT = (16, 200)


def half_sender(address: tuple[str, int], count: int, seconds: float) -> None:
    """Hold so many connections with half a request each, one more byte a second; open anew what is closed."""
    head = b"POST /v1/practices/maple/codes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n"
    head += b"Content-Type: application/json\r\n\r\n{"
    end = time.monotonic() + seconds
    held: list[socket.socket] = []
    while time.monotonic() < end:
        kept = []
        for sock in held:
            try:
                sock.send(b" ")
                with suppress(BlockingIOError):
                    if not sock.recv(4096, socket.MSG_PEEK):
                        raise ConnectionResetError
                kept.append(sock)
            except OSError:
                sock.close()
        held = kept
        while len(held) < count:
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            with suppress(OSError):
                sock.send(head)
            held.append(sock)
        time.sleep(1.0)
    for sock in held:
        sock.close()


class Overload:
    """One server and what it is asked for."""

    def __init__(self, stack: Stack, server: HttpServer, caller: Caller, patients: Sequence[str]) -> None:
        self.stack, self.server, self.caller, self.patients = stack, server, caller, patients
        started = stack.batch(server, caller.start(patients, 50, delivery="caller"))
        self.forward_auth = caller.forward_auth(stack.batch(server, caller.verify(started)))

    def requests(self, act: str, count: float) -> list[bytes]:
        return self.forward_auth if act == "forward-auth" else self.caller.start(self.patients, int(count))

    def capacity(self, act: str, seconds: float) -> float:
        job = load.Closed(
            self.server.address,
            self.requests(act, 6_000 * seconds),
            seconds=seconds,
            repeat=act == "forward-auth",
            pids=self.server.pids,
        )
        return self.stack.run(job).rate

    def open(self, act: str, rate: float, seconds: float) -> load.Open:
        requests = self.requests(act, rate * seconds)
        return load.Open(self.server.address, requests, rate, seconds, CONNECTIONS, repeat=True, pids=())

    def probes(self, seconds: float) -> list[load.Open]:
        """Keys, probe and forward-auth beside the load."""
        wanted = (acts.keys(), acts.livez(), self.forward_auth)
        return [load.Open(self.server.address, one, PROBES_PER_S, seconds, 20, repeat=True) for one in wanted]

    def beside(self, main: load.Open, seconds: float) -> dict[str, Any]:
        outcomes = self.stack.run_together(main, *self.probes(seconds))
        names = ("requests", "keys", "livez", "forward-auth beside")
        return {name: figures(outcome) for name, outcome in zip(names, outcomes, strict=True)}


def figures(outcome: load.Outcome) -> dict[str, Any]:
    good, refused = outcome.good(), sorted(outcome.latencies_ms.get(503, []))
    total = max(1, outcome.total)
    return {
        "requests": outcome.total,
        "accepted": len(good),
        "accepted_per_s": outcome.rate,
        "p50_ms": load.centile(good, 0.5),
        "p99_ms": load.centile(good, 0.99),
        "refused_share": len(refused) / total,
        "refused_with_retry_after": outcome.retry_after / max(1, len(refused)),
        "refused_p50_ms": load.centile(refused, 0.5),
        "refused_p99_ms": load.centile(refused, 0.99),
        "failed_share": (outcome.total - len(good) - len(refused)) / total,
    }


def measure(arguments: Namespace) -> dict[str, Any]:
    say, seconds = results.progress(), 1.0 if arguments.tiny else arguments.seconds
    with Stack(arguments.root, generators=4) as stack:
        result: dict[str, Any] = {"machine": records.machine(stack), "seconds": seconds, "acts": {}, "half_sent": {}}
        server = stack.serve()
        (caller,) = stack.callers()
        patients = stack.register(server, caller, 40 if arguments.tiny else 1_000)
        warm_up(stack, server, caller, patients, 30)
        overload = Overload(stack, server, caller, patients)
        for act in ("start", "forward-auth"):
            say(f"{act}: capacity, unloaded, and at twice the capacity")
            capacity = overload.capacity(act, min(4.0, seconds))
            unloaded = stack.run(overload.open(act, capacity * UNLOADED, seconds))
            twice = overload.beside(overload.open(act, capacity * 2, seconds), seconds)
            result["acts"][act] = {"capacity_per_s": capacity, "unloaded": figures(unloaded), "twice": twice}
            time.sleep(1.0 if arguments.tiny else 5.0)  # until all that waited is gone
        capacity = result["acts"]["start"]["capacity_per_s"]
        for count in HALF_SENT:
            say(f"{count} half-sent requests")
            clients = get_context("spawn").Process(target=half_sender, args=(server.address, count, seconds + 3.0))
            clients.start()
            time.sleep(2.0)
            honest = overload.open("start", capacity * HONEST, seconds)
            result["half_sent"][str(count)] = overload.beside(honest, seconds)
            clients.join()
            time.sleep(1.0)
        say("done")
    return result


# --- the page ------------------------------------------------------------------------------------------------------


def _row(name: str, row: dict[str, Any], earlier: dict[str, Any] | None) -> list[str]:
    def latency(found: dict[str, Any] | None) -> str:
        return f"{found['p50_ms']:,.0f} · {found['p99_ms']:,.0f}" if found and found["accepted"] else "–"

    refused = f"{row['refused_p50_ms']:,.0f} · {row['refused_p99_ms']:,.0f}" if row["refused_share"] else "–"
    return [
        *(name, f"{row['accepted_per_s']:,.0f}", latency(row), latency(earlier)),
        *(f"{row['refused_share']:.0%}", refused, f"{row['failed_share']:.0%}"),
    ]


def section(result: dict[str, Any], before: dict[str, Any]) -> str:
    head = ["load", "accepted/s", "p50 · p99 ms", "before", "503", "503 after, p50 · p99 ms", "no answer, or an error"]
    parts = [results.machine_line(result, "python -m bench.overload")]
    for act, found in result["acts"].items():
        earlier = before.get("acts", {}).get(act, {})
        rows = [_row(f"{act}, {UNLOADED:.0%} of the capacity", found["unloaded"], earlier.get("unloaded"))]
        for name, row in found["twice"].items():
            label = f"{act}, twice the capacity" if name == "requests" else f"beside it: {name.removesuffix(' beside')}"
            rows.append(_row(label, row, earlier.get("twice", {}).get(name)))
        accepted, unloaded = found["twice"]["requests"]["p99_ms"], found["unloaded"]["p99_ms"]
        ratio = accepted / unloaded if unloaded else 0.0
        parts.append(
            f"### {act.capitalize()}: capacity {found['capacity_per_s']:,.0f}/s\n\np99 of what was accepted at twice"
            f" the capacity: {ratio:.1f} times the unloaded one (target ≤ {targets.OVERLOAD_P99:.0f}).\n\n"
            + results.table(head, rows)
        )
    rows = []
    for count, found in result["half_sent"].items():
        for name, row in found.items():
            label = "starts" if name == "requests" else name.removesuffix(" beside")
            earlier = before.get("half_sent", {}).get(count, {}).get(name)
            rows.append(_row(f"{count} half-sent: {label}", row, earlier))
    parts.append(f"### Half-sent requests\n\n{results.table(head, rows)}")
    return "\n\n".join(parts)


def main(words: Sequence[str] | None = None) -> None:
    parser = results.options(
        "python -m bench.overload", "Send more than the service can answer, and requests that don't end."
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each run (8)")
    results.run("overload", parser.parse_args(words), measure, section)


if __name__ == "__main__":
    main()
