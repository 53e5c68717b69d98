"""Connections between two scripts: no look at one that has just answered, and nothing is lost when one fails."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from authsvc.errors import Unavailable
from authsvc.store import recent_connections
from authsvc.store.connection import Connection
from authsvc.store.recent_connections import RECENT_S, RecentConnections

SOURCE = "return {tostring(redis.call('INCR', KEYS[1]))}"
SHA = "0" * 40  # of no script: the server doesn't know it


class CountingPool(redis.ConnectionPool):
    """Counts how often it is asked."""

    asked = 0

    def get_connection(self, *words: Any, **options: Any) -> Any:
        self.asked += 1
        return super().get_connection(*words, **options)


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, span_s: float) -> None:
        self.now += span_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pool(store_url: str) -> Iterator[CountingPool]:
    pool = CountingPool.from_url(store_url, decode_responses=True)
    yield pool
    pool.disconnect()


@pytest.fixture
def store(pool: CountingPool, time: Time) -> Connection:
    return Connection(redis.Redis(connection_pool=pool), monotonic=time, pause=time.pause)


def run(store: Connection, sha: str = "") -> int:
    known = sha or store._client.script_load(SOURCE)  # type: ignore[union-attr]
    return int(store.evaluate(SOURCE, known, ("thread",), (), durable=False)[0])


def kill_clients(store_url: str) -> None:
    """As Redis ends connections that were idle for its `timeout`, or a proxy in front of it."""
    with redis.Redis.from_url(store_url) as admin:
        admin.client_kill_filter(_type="normal", skipme=True)


def test_a_connection_that_has_just_answered_is_used_again_without_asking_the_pool(
    store: Connection, pool: CountingPool
) -> None:
    sha = store._client.script_load(SOURCE)  # type: ignore[union-attr]
    first, before = run(store, sha), pool.asked
    assert [run(store, sha) for _ in range(3)] == [first + 1, first + 2, first + 3]
    assert pool.asked == before


def test_an_unknown_script_is_sent_whole(store: Connection) -> None:
    first = run(store, SHA)
    assert run(store, SHA) == first + 1


def test_a_connection_that_was_idle_is_looked_at_before_it_is_used(
    store: Connection, time: Time, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(store)
    kill_clients(store_url)
    time.now += RECENT_S + 0.1
    with caplog.at_level(logging.WARNING):
        assert run(store) == first + 1
    assert not caplog.records, "nobody was told of an outage"


def test_fault_a_connection_that_breaks_in_use_goes_back_to_the_pool_and_the_call_is_made_once(
    store: Connection, pool: CountingPool, store_url: str
) -> None:
    sha = store._client.script_load(SOURCE)  # type: ignore[union-attr]
    first, before = run(store, sha), pool.asked
    kill_clients(store_url)
    assert run(store, sha) == first + 1
    assert pool.asked == before + 1
    assert len(pool._in_use_connections) == 1


def test_many_threads_share_the_connections_that_as_many_scripts_at_a_time_need(
    store: Connection, pool: CountingPool
) -> None:
    sha = store._client.script_load(SOURCE)  # type: ignore[union-attr]
    for _ in range(20):
        thread = threading.Thread(target=run, args=(store, sha))
        thread.start()
        thread.join()
    assert len(pool._in_use_connections) == 1


def test_attack_a_forked_process_never_reads_an_answer_of_its_parent(store: Connection, pool: CountingPool) -> None:
    sha = store._client.script_load(SOURCE)  # type: ignore[union-attr]
    first = run(store, sha)
    child = os.fork()
    if child == 0:
        os._exit(0 if [run(store, sha) for _ in range(3)] == [first + 1, first + 2, first + 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run(store, sha) == first + 4


def test_what_a_forked_process_forgets_is_connected_anew(store: Connection, pool: CountingPool) -> None:
    sha = store._client.script_load(SOURCE)  # type: ignore[union-attr]
    first, before = run(store, sha), pool.asked
    recent_connections._forget_all()
    assert run(store, sha) == first + 1
    assert pool.asked == before + 1


def test_connections_of_another_pool_are_not_mixed_up(store_url: str, time: Time) -> None:
    recent = RecentConnections(time)
    pools = [CountingPool.from_url(store_url, decode_responses=True) for _ in range(2)]
    for pool in [*pools, *pools]:
        recent.command(pool, "CLIENT", "SETNAME", f"pool{pools.index(pool)}")
        assert recent.command(pool, "CLIENT", "GETNAME") == f"pool{pools.index(pool)}"
    assert [len(pool._in_use_connections) for pool in pools] == [0, 1]
    for pool in pools:
        pool.disconnect()


def test_fault_a_connection_to_a_demoted_primary_is_not_used_again(
    store: Connection, pool: CountingPool, store_url: str
) -> None:
    """Redis answers READONLY on it; who is the primary is asked anew, over a new connection."""
    sha = store._client.script_load(SOURCE)  # type: ignore[union-attr]
    first = run(store, sha)
    with redis.Redis.from_url(store_url) as admin:
        before = admin.client_id()
        admin.replicaof("127.0.0.1", 1)
        try:
            with pytest.raises(Unavailable):
                run(store, sha)
        finally:
            admin.replicaof("NO", "ONE")
        assert run(store, sha) == first + 1
        assert min(int(client["id"]) for client in admin.client_list() if client["cmd"] == "evalsha") > before
