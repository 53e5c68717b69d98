"""The connection: scripts by name, one retry loop around a call, and a breaker that fails at once."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from redis.exceptions import ResponseError

from authsvc.config import load as config
from authsvc.errors import NotReplicated, Unavailable
from authsvc.model import Bucket
from authsvc.store.connection import Connection, practice_prefix, site_prefix
from authsvc.store.redis_client import connect
from authsvc.store.script_files import LUA, Script
from authsvc.web import problems
from tests.flows.conftest import ENVIRON
from tests.store.running import charge

GONE = redis.ConnectionError("gone")


class Time:
    """A monotonic clock that pauses move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, span_s: float) -> None:
        self.now += span_s


class Failing:
    """An act that fails as often as told, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, client: Any) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def patient_store(time: Time) -> Connection:
    return Connection(fakeredis.FakeRedis(), monotonic=time, pause=time.pause, deadline_s=0.9)


# --- scripts --------------------------------------------------------------------------------------------------------


def test_a_script_is_loaded_when_the_server_does_not_know_it(store: Connection, redis_client: redis.Redis) -> None:
    assert charge(store) == []
    redis_client.script_flush()
    assert charge(store) == []


def test_every_script_of_the_package_compiles(redis_client: redis.Redis) -> None:
    names = sorted(path.name.removesuffix(".lua") for path in LUA.iterdir() if path.name.endswith(".lua"))
    assert len(names) > 20
    for name in names:
        assert redis_client.script_load(Script(name).source) == Script(name).sha


def test_no_script_leaks_a_global_and_none_reads_the_time() -> None:
    for path in [*Path(str(LUA)).glob("**/*.lua")]:
        text = path.read_text(encoding="utf-8")
        assert "'TIME'" not in text, path.name
        for line in text.splitlines():
            assert not line.startswith("function "), f"{path.name}: {line}"


def test_an_error_of_a_script_is_a_fault_of_ours_not_an_outage(store: Connection) -> None:
    store.call(lambda client: client.set("authsvc:{maple}:limit:client-calls:portal", "no number"))
    with pytest.raises(ResponseError):
        charge(store, (Bucket("client-calls", "portal", 1, 1),))


def test_practices_and_site_records_lie_in_slots_of_their_own() -> None:
    assert practice_prefix("maple") == "authsvc:{maple}:"
    assert site_prefix("keys") == "authsvc:{@keys}:"


# --- retries and the breaker --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        GONE,
        redis.TimeoutError("slow"),
        redis.ReadOnlyError("replica"),
        redis.exceptions.BusyLoadingError("loading"),
        redis.exceptions.ClusterDownError("CLUSTERDOWN"),
        ResponseError("NOREPLICAS not enough good replicas"),
        ResponseError("LOADING dataset"),
    ],
)
def test_what_may_pass_by_itself_is_tried_again(patient_store: Connection, error: Exception) -> None:
    act = Failing(error, error)
    assert patient_store.call(act) == "done"
    assert act.calls == 3


def test_attack_a_list_that_takes_too_long_is_never_asked_for_again(patient_store: Connection) -> None:
    act = Failing(redis.TimeoutError("Timeout reading from socket"), GONE)
    with pytest.raises(Unavailable):
        patient_store.call(act, list_read=True)
    assert act.calls == 1
    not_sent = Failing(redis.TimeoutError("Timeout connecting to server"), GONE)
    assert patient_store.call(not_sent, list_read=True) == "done"


def test_what_does_not_pass_by_itself_is_raised_at_once(patient_store: Connection) -> None:
    act = Failing(ResponseError("WRONGTYPE"))
    with pytest.raises(Unavailable):
        patient_store.call(act)
    assert act.calls == 1


def test_attack_a_key_of_another_type_in_one_practice_never_opens_the_breaker_for_the_others(
    patient_store: Connection, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        with pytest.raises(Unavailable):
            patient_store.call(Failing(ResponseError("WRONGTYPE")))
        time.now += 1
    assert patient_store.outage_sentence() == ""
    assert [vars(record)["reason"] for record in caplog.records] == ["store_refused"]
    assert patient_store.call(lambda _: "done") == "done"


def test_the_deadline_ends_the_retries(patient_store: Connection, time: Time) -> None:
    with pytest.raises(Unavailable) as caught:
        patient_store.call(Failing(*[GONE] * 100))
    assert caught.value.reason == "store_away"
    assert time.now < 0.9


def open_breaker(store: Connection, time: Time) -> None:
    with pytest.raises(Unavailable):
        store.call(Failing(*[GONE] * 100))
    time.now += 1


def test_after_a_second_of_failures_a_call_is_tried_once(patient_store: Connection, time: Time) -> None:
    open_breaker(patient_store, time)
    act = Failing(*[GONE] * 100)
    with pytest.raises(Unavailable):
        patient_store.call(act)
    assert act.calls == 1


def test_while_one_call_probes_all_others_fail_at_once(patient_store: Connection, time: Time) -> None:
    open_breaker(patient_store, time)
    inside, leave = threading.Event(), threading.Event()

    def probe(client: Any) -> str:
        inside.set()
        leave.wait(10)
        return "back"

    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(patient_store.call(probe)))
    thread.start()
    inside.wait(10)
    other = Failing()
    with pytest.raises(Unavailable) as caught:
        patient_store.call(other)
    assert (caught.value.reason, other.calls) == ("breaker_open", 0)
    leave.set()
    thread.join()
    assert results == ["back"]


def test_a_probe_that_gets_through_closes_the_breaker(patient_store: Connection, time: Time) -> None:
    open_breaker(patient_store, time)
    assert patient_store.call(Failing()) == "done"
    act = Failing(GONE)
    assert patient_store.call(act) == "done"
    assert act.calls == 2


def test_a_probe_that_meets_a_fault_of_ours_shows_it(patient_store: Connection, time: Time) -> None:
    open_breaker(patient_store, time)
    with pytest.raises(ResponseError):
        patient_store.call(Failing(ResponseError("wrong number of arguments")))


def test_a_call_that_finds_the_store_failing_for_a_second_gives_up_early(time: Time) -> None:
    store = Connection(fakeredis.FakeRedis(), monotonic=time, pause=time.pause, deadline_s=60)
    with pytest.raises(Unavailable):
        store.call(Failing(*[GONE] * 1000))
    assert time.now < 1.5


def test_callers_that_wait_for_redis_never_hold_more_than_their_share(time: Time) -> None:
    store = Connection(fakeredis.FakeRedis(), waiting_limit=1)
    inside, leave = threading.Event(), threading.Event()

    def hang(client: Any) -> None:
        inside.set()
        leave.wait(10)

    thread = threading.Thread(target=store.call, args=(hang,))
    thread.start()
    inside.wait(10)
    with pytest.raises(Unavailable) as caught:
        store.call(Failing())
    assert caught.value.reason == "store_busy"
    leave.set()
    thread.join()


def test_a_store_that_comes_back_is_used_again(store: Connection, redis_client: redis.Redis) -> None:
    redis_client.connection_pool.disconnect()
    assert store.call(lambda client: client.ping())


def test_the_old_masters_connections_are_dropped_when_replicas_are_missing(time: Time) -> None:
    dropped = []

    class Pool:
        def disconnect(self, inuse_connections: bool) -> None:
            dropped.append(inuse_connections)

    class Client:
        connection_pool = Pool()

    Connection(Client(), monotonic=time, pause=time.pause).call(Failing(ResponseError("NOREPLICAS")))
    assert dropped == [False]


# --- replicas -------------------------------------------------------------------------------------------------------


def test_a_durable_act_without_its_replica_is_undecided(store_url: str) -> None:
    client = redis.Redis.from_url(store_url, decode_responses=True)
    store = Connection(client, replicas=1)
    with pytest.raises(Unavailable) as caught:
        charge(store, durable=True)
    assert caught.value.reason == "not_replicated"
    assert charge(store) == []
    with pytest.raises(Unavailable):
        store.check_writable()  # readiness is said of the acts that wait for a replica


def test_a_503_of_missing_replicas_does_not_say_that_nothing_was_decided() -> None:
    document = json.loads(problems.reply(NotReplicated(), "https://signin.example").body)
    assert (document["status"], "perhaps not for good" in document["detail"]) == (503, True)


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.fixture
def at() -> Callable[[str], Any]:
    settings = config.load(ENVIRON)
    return lambda url: connect(dataclasses.replace(settings, redis_url=url))


def options(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.connection_pool.connection_kwargs
    return found


def test_a_plain_address_has_short_time_outs_and_no_retries_of_the_library(at: Callable[[str], Any]) -> None:
    made = options(at("redis://user:pass@127.0.0.1:6380/3"))
    assert (made["host"], made["port"], made["db"], made["username"]) == ("127.0.0.1", 6380, 3, "user")
    assert (made["socket_timeout"], made["socket_connect_timeout"]) == (0.5, 0.5)
    assert made["retry"].get_retries() == 0


def test_a_socket_and_an_encrypted_address_work_too(at: Callable[[str], Any]) -> None:
    assert options(at("unix:///run/redis.sock"))["path"] == "/run/redis.sock"
    assert issubclass(at("rediss://redis.example:6380/0").connection_pool.connection_class, redis.SSLConnection)


def test_sentinels_are_asked_for_the_master(at: Callable[[str], Any]) -> None:
    client = at("redis+sentinel://us%40er:pa%2Fss@10.0.0.1:26380,10.0.0.2/main?tls=true&ssl_ca_certs=/ca.pem")
    pool = client.connection_pool
    assert pool.service_name == "main"
    sentinels = [options(sentinel) for sentinel in pool.sentinel_manager.sentinels]
    assert [(made["host"], made["port"]) for made in sentinels] == [("10.0.0.1", 26380), ("10.0.0.2", 26379)]
    made = options(client)
    assert (made["username"], made["password"], made["ssl_ca_certs"]) == ("us@er", "pa/ss", "/ca.pem")
    assert at("redis+sentinel://10.0.0.1").connection_pool.service_name == "mymaster"
