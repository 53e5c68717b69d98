"""What a record costs in Redis, and how often an act goes there."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import acts, redis_stats, smtp_sink
from bench.acts import Caller
from bench.processes import HttpServer
from bench.recorder import Recorder
from bench.stack import Stack, warm_up

DELIVER_WITHIN_S = 120.0


def bytes_per_record(
    stack: Stack, server: HttpServer, caller: Caller, sink: smtp_sink.Sink, count: int
) -> dict[str, dict[str, float]]:
    """By how much Redis' memory grew for each record: at once, and without what is gone within two minutes. Audit
    entries are left out, for they have a row of their own."""
    client = stack.redis.client
    warm_up(stack, server, caller, stack.register(server, caller, 20, "w"), 20)
    deliver(stack, sink, 20)  # the worker's scripts are known to Redis from now on
    redis_stats.delete_short_lived(client)
    fillers = count * 20  # more than there are keys for so many records
    redis_stats.steady_tables(client, fillers)
    names = [f"m{number:06d}" for number in range(count)]
    rows: dict[str, dict[str, float]] = {}

    def used() -> int:
        return redis_stats.used_bytes(client) - redis_stats.audit_bytes(client)

    def grown(name: str, requests: list[bytes]) -> list[bytes]:
        before = used()
        answers = stack.batch(server, requests)
        at_once = used()
        redis_stats.delete_short_lived(client)
        lasting = used()
        rows[name] = {"at_once": (at_once - before) / count, "lasting": (lasting - before) / count}
        return answers

    grown("a patient on file", caller.put_patients(names))
    before_mail = used()
    grown("a challenge with its mail, until it is sent", caller.start(names, count))
    deliver(stack, sink, count)
    redis_stats.delete_short_lived(client)
    after = (used() - before_mail) / count
    rows["a challenge with its mail, after it was sent"] = {"at_once": after, "lasting": after}
    started = grown("a challenge without a mail", caller.start(names, count, delivery="caller"))
    granted = grown("a session (a code verified)", caller.verify(started))
    grown("a refresh", caller.refresh(granted))
    issued = grown("an instant link", caller.issue_links(names, count))
    grown("an exchange of a link", caller.exchange(issued))
    entry = redis_stats.bytes_per_entry(client, "audit") or redis_stats.bytes_per_entry(client, "trail")
    if entry is not None:
        rows["an audit entry"] = {"at_once": entry, "lasting": entry}
    client.delete(*[f"filler:{number}" for number in range(fillers)])
    return rows


def deliver(stack: Stack, sink: smtp_sink.Sink, count: int) -> None:
    """Run a worker until `count` more mails have arrived."""
    goal, deadline = sink.received + count, time.monotonic() + DELIVER_WITHIN_S
    worker = stack.worker()
    while sink.received < goal and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)  # it notes what was sent
    worker.stop()
    if sink.received < goal:
        raise RuntimeError(f"{goal - sink.received} of {count} mails did not arrive")


def round_trips(stack: Stack, caller: Caller, patients: list[str], count: int) -> dict[str, dict[str, float]]:
    """One act after the other, through a recording proxy; what is sent without any act is taken off."""
    recorder = Recorder(stack.folder / "recorder.sock", stack.redis.socket_path)
    server = stack.serve(recorder.url)
    rows: dict[str, dict[str, float]] = {}
    try:
        warm_up(stack, server, caller, patients, 20)

        def recorded(action: Callable[[], list[bytes]]) -> tuple[list[bytes], float, float, float]:
            first, start = len(recorder.round_trips), time.monotonic()
            answers = action()
            trips = recorder.round_trips[first:]
            sent = sum(len(trip.sent) for trip in trips)
            return answers, len(trips), sent, time.monotonic() - start

        def nothing() -> list[bytes]:
            time.sleep(count / 33)
            return []

        _, idle_trips, idle_bytes, idle_s = recorded(nothing)

        def one_by_one(act: str, requests: list[bytes]) -> list[bytes]:
            answers, trips, sent, spent_s = recorded(lambda: stack.batch(server, requests, 1))
            rows[act] = {
                "round_trips": max(0.0, trips - idle_trips * spent_s / idle_s) / len(requests),
                "bytes_sent": max(0.0, sent - idle_bytes * spent_s / idle_s) / len(requests),
            }
            return answers

        one_by_one("start", caller.start(patients, count))
        started = stack.batch(server, caller.start(patients, count, delivery="caller"))
        granted = one_by_one("verify", caller.verify(started))
        one_by_one("introspect", caller.introspect(granted))
        one_by_one("forward-auth", caller.forward_auth(granted))
        one_by_one("refresh", caller.refresh(granted))
        issued = one_by_one("link", caller.issue_links(patients, count))
        one_by_one("exchange", caller.exchange(issued))
        one_by_one("keys", acts.keys() * count)
    finally:
        server.stop()
        recorder.stop()
    return rows


def machine(stack: Stack) -> dict[str, Any]:
    """Where it was measured; shown with every figure."""
    packages = ("gunicorn", "Flask", "redis", "argon2-cffi", "PyJWT")
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "redis": stack.redis.version(),
        "packages": {name: version(name) for name in packages},
        "load_average": round(os.getloadavg()[0], 1),
    }
