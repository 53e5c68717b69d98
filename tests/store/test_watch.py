"""What changes at Redis while the service runs."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.errors import Unavailable
from authsvc.server import preflight
from authsvc.store.connection import Connection
from authsvc.store.watch import StoreWatch
from tests.fakes import FakeClock
from tests.store.running import charge


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
