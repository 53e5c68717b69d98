"""What changes at Redis while the service runs."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from authsvc.audit import Recorder
from authsvc.errors import RateLimited, Unavailable
from authsvc.model import Bucket, Practice, RequestContext
from authsvc.server import preflight
from authsvc.store.connection import Connection
from authsvc.store.scripts import ScriptRunner
from authsvc.store.watch import StoreWatch
from tests.fakes import FakeClock
from tests.store.running import charge

RECORDER = Recorder(lambda *entry: "mac", lambda event: None)


class Server:
    """Answers INFO as told, and any script with nothing."""

    def __init__(self, **info: Any) -> None:
        self.told = info

    def info(self) -> dict[str, Any]:
        return self.told

    def execute_command(self, *words: Any) -> None: ...

    def evalsha(self, *words: Any) -> list[Any]:
        return []


def watched(server: Server, clock: FakeClock, *, production: bool = True) -> tuple[StoreWatch, Connection, list[float]]:
    shown: list[float] = []
    store = Connection(server)
    return StoreWatch(store, clock, production, shown.append), store, shown


def test_fault_a_store_that_is_set_to_evict_at_run_time_does_nothing_until_it_is_set_back(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(maxmemory_policy="allkeys-lru")
    watch, store, _ = watched(server, clock)
    watch.refresh()
    watch.refresh()
    with pytest.raises(Unavailable, match="store_evicts"):
        charge(store)
    server.told = {"maxmemory_policy": "noeviction"}
    watch.refresh()
    assert charge(store) == []
    assert len(caplog.records) == 2


def test_in_development_any_policy_will_do(clock: FakeClock) -> None:
    watch, store, _ = watched(Server(maxmemory_policy="allkeys-lru"), clock, production=False)
    watch.refresh()
    assert charge(store) == []


def test_the_offset_to_redis_is_shown_and_told_once_when_it_matters(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(server_time_usec=clock.now_ms() * 1000)
    watch, _, shown = watched(server, clock)
    for ahead_ms in (0, -3_000, -3_000, 500):
        server.told = {"server_time_usec": (clock.now_ms() + ahead_ms) * 1000}
        watch.refresh()
    assert shown == [0, -3, -3, 0.5]
    assert [record.message for record in caplog.records] == [
        "Redis's clock and ours differ",
        "Redis's clock and ours agree again",
    ]


@pytest.mark.parametrize(
    ("info", "maxmemory"),
    [
        ({}, 0),
        ({"maxmemory": 0}, 0),
        ({"maxmemory": 4096, "role": "master"}, 4096),
        ({"one": {"maxmemory": 300}, "two": {"maxmemory": 200}, "replica": {"maxmemory": 100, "role": "slave"}}, 200),
    ],
)
def test_what_the_smallest_primary_may_take_bounds_what_a_practice_may_keep(
    clock: FakeClock, info: dict[str, Any], maxmemory: int
) -> None:
    watch, store, _ = watched(Server(**info), clock)
    watch.refresh()
    assert store.maxmemory == maxmemory


def test_of_several_nodes_the_clock_that_is_most_off_counts(clock: FakeClock) -> None:
    now = clock.now_ms()
    nodes = {f"node{at}": {"server_time_usec": (now + off) * 1000} for at, off in enumerate((100, -700, 300))}
    watch, _, shown = watched(
        Server(
            **nodes,
        ),
        clock,
    )
    watch.refresh()
    assert shown == [-0.7]


def test_limits_are_counted_by_the_clock_of_redis_where_it_differs(clock: FakeClock) -> None:
    server = Server()
    watch, store, _ = watched(server, clock)
    for ahead_ms, counted_ms in ((0, 0), (60, 0), (-99, 0), (-1_500, -1_500), (1_500, 1_500), (10, 0)):
        server.told = {"server_time_usec": (clock.now_ms() + ahead_ms) * 1000}
        watch.refresh()
        assert store.clock_offset_ms == counted_ms
    for nodes in ((-1_400, -1_500, 9_000), (9_000, -1_500, -1_600, -1_500)):
        server.told = {f"node{n}": {"server_time_usec": (clock.now_ms() + ms) * 1000} for n, ms in enumerate(nodes)}
        watch.refresh()
        assert store.clock_offset_ms in (-1_400, -1_500)


def test_fault_an_instance_whose_clock_is_ahead_refuses_nobody_and_costs_the_others_nothing(
    redis_client: redis.Redis,
) -> None:
    ahead_ms = 1_500
    clock, runners = FakeClock(), []
    for offset_ms in (0, ahead_ms):
        store, own = Connection(redis_client), FakeClock()
        own.advance_ms(offset_ms)
        server = Server(server_time_usec=clock.now_ms() * 1000)
        watch, measured, _ = watched(server, own)
        watch.refresh()
        store.clock_offset_ms = measured.clock_offset_ms
        runners.append((ScriptRunner(store, own, RECORDER), own))
    per_second = [Bucket("client-calls", "portal", 10, 1)]

    def call(runner: ScriptRunner) -> int:
        """What is left."""
        context = RequestContext("call", "cli:test", Practice("maple", "Maple"))
        runner.run("charge", context, recorded_event="", limits=per_second)
        return context.limits[0].remaining

    for _ in range(20):
        for runner, _ in runners:
            assert call(runner) >= 8
            for _, each in runners:
                each.advance_ms(200)
    left = [call(runners[number % 2][0]) for number in range(10)]
    assert left == list(range(9, -1, -1)), "and they count together"
    for runner, _ in runners:
        with pytest.raises(RateLimited) as refusal:
            call(runner)
        assert refusal.value.retry_after_s <= 1


@pytest.mark.parametrize(
    ("info", "good"),
    [
        ({"redis_version": "7.0.15"}, False),
        ({"redis_version": "7.2.10"}, False),
        ({"redis_version": "7.2.11"}, True),
        ({"redis_version": "8.0.3"}, False),
        ({"redis_version": "8.4.0"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.5"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.4"}, True),
    ],
)
def test_releases_with_known_faults_in_lua_are_warned_of(info: dict[str, str], good: bool) -> None:
    (found,) = preflight._lua("redis", info)
    assert (found.verdict == preflight.OK) == good


@pytest.mark.parametrize(
    ("connected", "wanted", "words"),
    [
        (0, 0, None),
        (1, 1, "all 1 replicas have an act"),
        (1, 2, "it is 503"),
        (2, 1, "AUTHSVC_REDIS_REPLICAS=2 keeps it"),
    ],
)
def test_the_number_of_replicas_is_held_against_those_that_are_connected(
    connected: int, wanted: int, words: str | None
) -> None:
    found = preflight._replicas("redis", {"role": "master", "connected_slaves": connected}, wanted)
    assert [words in result.detail for result in found if words] == ([True] if words else [])


def test_a_clock_that_is_off_is_warned_of() -> None:
    verdicts = [preflight._clock("r", {"server_time_usec": at * 1000}, 10_000)[0].verdict for at in (10_100, 13_000)]
    assert verdicts == [preflight.OK, preflight.WARNING]
    assert preflight._clock("r", {}, 0) == []
