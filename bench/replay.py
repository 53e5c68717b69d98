"""What one act costs Redis: `python -m bench.replay` records the service's calls and plays them again.

1. The service runs through a recording proxy and is warmed up. Then, for each act, the data are saved, and many
   distinct acts are carried out and recorded: every call with its own ids, keys and times.
2. For each act a second Redis starts from the copy that was saved *before* the recorded acts, knows the same scripts,
   and gets the recorded calls in their order in one pipeline. So each call finds what it found the first time: nothing
   returns early because its act was done already. That the answers are equal to the recorded ones is checked.
3. The CPU of Redis' main thread over the pipeline, divided by the acts, is the cost: without the round trips, which
   make a quiet Redis look two to four times as expensive. The append-only file is on, as in service.
"""

from __future__ import annotations

import shutil
import statistics
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hiredis

from bench import records, results, targets
from bench.acts import Caller
from bench.processes import HttpServer, RedisServer
from bench.recorder import SCRIPTS, Recorder, RoundTrip
from bench.redis_stats import main_thread_cpu_us, script_usec
from bench.stack import Stack, warm_up

CHUNK = 200  # calls written at once; Redis reads them all before it writes the answers
REPETITIONS = 5
REFERENCE = """
local n = redis.call('INCR', KEYS[1] .. ':counter')
redis.call('HSET', KEYS[1] .. ':record', 'at', ARGV[1], 'state', 'started')
redis.call('PEXPIRE', KEYS[1] .. ':record', 600000)
redis.call('ZADD', KEYS[1] .. ':index', n, ARGV[1])
redis.call('XADD', KEYS[1] .. ':stream', '*', 'event', ARGV[1])
return redis.call('HGETALL', KEYS[1] .. ':record')
"""
ACTS = ("start", "verify", "refresh", "link", "exchange", "introspect", "forward-auth")


@dataclass
class Recording:
    """One act, many times: the data before it, and every call in its order."""

    acts: int
    data: Any
    round_trips: list[RoundTrip]

    def calls(self) -> list[RoundTrip]:
        """Without what the service sends now and then whether or not somebody calls (less than once in two acts)."""

        def kind(trip: RoundTrip) -> tuple[bytes, ...]:
            first = trip.commands()[0]
            return (first[0], first[1] if first[0].upper() in SCRIPTS else b"")

        kinds = Counter(kind(trip) for trip in self.round_trips)
        return [trip for trip in self.round_trips if kinds[kind(trip)] >= self.acts / 2]


class Recordings:
    """Carries acts out through the proxy, the data saved before each."""

    def __init__(self, stack: Stack, recorder: Recorder, server: HttpServer) -> None:
        self.stack, self.recorder, self.server = stack, recorder, server
        self.found: dict[str, Recording] = {}

    def record(self, act: str, requests: list[bytes]) -> list[bytes]:
        redis = self.stack.redis
        redis.client.save()
        data = self.stack.folder / f"{act}.rdb"
        shutil.copy(redis.folder / "dump.rdb", data)
        first = len(self.recorder.round_trips)
        answers = self.stack.batch(self.server, requests, 1)  # one after the other, so that their order is certain
        self.found[act] = Recording(len(requests), data, self.recorder.round_trips[first:])
        return answers

    def all(self, caller: Caller, patients: list[str], count: int) -> None:
        started = self.stack.batch(self.server, caller.start(patients, count, delivery="caller"))
        self.record("start", caller.start(patients, count))
        granted = self.record("verify", caller.verify(started))
        self.record("introspect", caller.introspect(granted))
        self.record("forward-auth", caller.forward_auth(granted))
        self.record("refresh", caller.refresh(granted))
        issued = self.record("link", caller.issue_links(patients, count))
        self.record("exchange", caller.exchange(issued))


def scripts(round_trips: list[RoundTrip]) -> list[bytes]:
    """The text of every script that was sent so far, by EVAL or SCRIPT LOAD."""
    found = {}
    for trip in round_trips:
        for command in trip.commands():
            if command[0].upper() in (b"EVAL", b"EVAL_RO"):
                found[command[1]] = True
            elif command[0].upper() == b"SCRIPT" and command[1].upper() == b"LOAD":
                found[command[2]] = True
    return list(found)


def replay(stack: Stack, recording: Recording, texts: list[bytes], name: str) -> dict[str, float]:
    """Play a recording into a Redis with the data from before it."""
    folder = stack.folder / f"replay-{name}"
    folder.mkdir(mode=0o700)
    shutil.copy(recording.data, folder / "dump.rdb")
    calls = recording.calls()
    # With the append-only file on, Redis would not load a snapshot: it is switched on once that is loaded.
    server = RedisServer(folder, append_only=False, options=["--dbfilename", "dump.rdb"])
    try:
        for text in texts:
            server.client.script_load(text)
        server.client.config_set("appendonly", "yes")
        while server.client.info("persistence")["aof_rewrite_in_progress"]:
            pass
        connection = server.client.connection_pool.get_connection()
        sock = connection._sock
        cpu, (count, usec) = main_thread_cpu_us(server.client), script_usec(server.client)
        answers: list[Any] = []
        reader = hiredis.Reader()
        for start in range(0, len(calls), CHUNK):
            part = calls[start : start + CHUNK]
            sock.sendall(b"".join(bytes(call.sent) for call in part))
            wanted = len(answers) + sum(len(call.commands()) for call in part)
            while len(answers) < wanted:
                reader.feed(sock.recv(262_144))
                while (answer := reader.gets()) is not False:
                    answers.append(answer)
        cpu = main_thread_cpu_us(server.client) - cpu
        after = script_usec(server.client)
    finally:
        server.stop()
        shutil.rmtree(folder)
    expected = [(call.runs_scripts, answer) for call in calls for answer in _answers(call)]
    # Only scripts': what threads beside the act send has no certain order. Fields of a large hash may come in another
    # order when it was loaded from a snapshot.
    pairs = [(one, other) for one, (script, other) in zip(answers, expected, strict=True) if script]
    differ = sum(sorted(str(one)) != sorted(str(other)) for one, other in pairs)
    return {
        "cpu_us": cpu / recording.acts,
        "script_us": (after[1] - usec) / recording.acts,
        "scripts": (after[0] - count) / recording.acts,
        "commands_sent": len(answers) / recording.acts,
        "bytes": sum(len(call.sent) for call in calls) / recording.acts,
        "answers_differ": differ / max(1, len(pairs)),
    }


def reference(stack: Stack, count: int) -> float:
    """The same for a fixed script of six commands, on the first Redis: tells a slow machine from a costly act."""
    client = stack.redis.client
    digest = client.script_load(REFERENCE)
    pipeline = client.pipeline(transaction=False)
    for number in range(count):
        pipeline.evalsha(digest, 1, f"reference:{number % 100}", str(number))
    cpu = main_thread_cpu_us(client)
    pipeline.execute()
    return (main_thread_cpu_us(client) - cpu) / count


def _answers(call: RoundTrip) -> list[Any]:
    reader = hiredis.Reader()
    reader.feed(bytes(call.answered))
    return [reader.gets() for _ in call.commands()]


def measure(arguments: Namespace) -> dict[str, Any]:
    say: Callable[[str], None] = results.progress()
    count, repetitions = (30, 1) if arguments.tiny else (arguments.acts, REPETITIONS)
    with Stack(arguments.root) as stack:
        result: dict[str, Any] = {"machine": records.machine(stack), "acts_recorded": count, "acts": {}}
        recorder = Recorder(stack.folder / "recorder.sock", stack.redis.socket_path)
        server = stack.serve(recorder.url)
        try:
            (caller,) = stack.callers()
            patients = stack.register(server, caller, count)
            warm_up(stack, server, caller, patients, 30)
            say(f"recording {count} of each act")
            recordings = Recordings(stack, recorder, server)
            recordings.all(caller, patients, count)
        finally:
            server.stop()
            recorder.stop()
        texts = scripts(recorder.round_trips)
        rows: dict[str, list[dict[str, float]]] = {act: [] for act in ACTS}
        references = []
        for repetition in range(repetitions):
            references.append(reference(stack, 20 * count))
            say(f"replaying, {repetition + 1} of {repetitions}")
            for act in ACTS:
                rows[act].append(replay(stack, recordings.found[act], texts, f"{act}-{repetition}"))
        result["reference_us"] = statistics.median(references)
        for act, found in rows.items():
            result["acts"][act] = {name: statistics.median(row[name] for row in found) for name in found[0]}
            result["acts"][act]["cpu_us_least"] = min(row["cpu_us"] for row in found)
    return result


def section(result: dict[str, Any], before: dict[str, Any]) -> str:
    rows = []
    for act, row in result["acts"].items():
        target, earlier = targets.REPLAY_US.get(act), before.get("acts", {}).get(act)
        rows.append(
            [
                act,
                f"{row['cpu_us']:.0f}",
                f"{row['cpu_us_least']:.0f}",
                f"≤ {target}" if target else "–",
                f"{earlier['cpu_us']:.0f}" if earlier else "–",
                f"{row['scripts']:.1f}",
                f"{row['bytes']:,.0f}",
                f"{row['answers_differ']:.1%}",
            ]
        )
    head = ["act", "CPU µs", "least", "target", "before", "scripts", "bytes", "answers that differ"]
    line = f"A fixed script of six commands, for comparison: {result['reference_us']:.0f} µs in the same run"
    if before.get("reference_us"):
        line += f" (before: {before['reference_us']:.0f})"
    return f"{results.machine_line(result, 'python -m bench.replay')} {line}.\n\n{results.table(head, rows)}"


def main(words: Sequence[str] | None = None) -> None:
    parser = results.options("python -m bench.replay", "Measure Redis' CPU for the recorded calls of each act.")
    parser.add_argument("--acts", type=int, default=1_000, help="distinct acts recorded of each kind (1,000)")
    results.run("replay", parser.parse_args(words), measure, section)


if __name__ == "__main__":
    main()
