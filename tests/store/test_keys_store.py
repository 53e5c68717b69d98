"""The scripts of the key ring: made once, changed from exactly what was read, and safe to repeat."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import redis

from authsvc.audit import Event, Recorder
from authsvc.store.connection import Connection
from authsvc.store.keys import DATA, KEYSET, KEYSET_PURPOSE, KeyStore
from authsvc.store.scripts import ScriptRunner
from tests.fakes import FakeClock

RECORDED = {"actor": "cli:anna", "details": {"kid": "k1"}}


@pytest.fixture
def keys(store: Connection) -> KeyStore:
    recorder = Recorder(lambda *entry: "mac", lambda event: None)
    return KeyStore(store, ScriptRunner(store, FakeClock(), recorder))


def create(keys: KeyStore, ring: str = "ring", act: str = "act1") -> str | None:
    return keys.create(act, keyset=ring, data_key=f"sealed for {ring}", **RECORDED)


def swap(keys: KeyStore, read: str | None, ring: str, act: str = "act2") -> bool:
    return keys.replace(act, Event.KEY_ROTATED, former=read, keyset=ring, **RECORDED)


def entries(client: redis.Redis) -> int:
    return int(client.xlen("authsvc:{@keys}:audit"))


def race(work: Callable[[int], object], threads: int = 16) -> list[object]:
    """What each of many threads got from `work`, all let go at once."""
    gate, results = threading.Barrier(threads), [None] * threads

    def run(number: int) -> None:
        gate.wait(10)
        results[number] = work(number)  # type: ignore[call-overload]  # a list of whatever comes back

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(30)
    return list(results)


def test_an_empty_store_has_no_ring_and_no_data_keys(keys: KeyStore) -> None:
    assert (keys.keyset(), keys.data_key("addresses"), keys.data_keys()) == (None, None, {})


def test_the_first_ring_and_its_data_key_are_made_together_with_their_entry(
    keys: KeyStore, redis_client: redis.Redis
) -> None:
    assert create(keys) == "ring"
    assert (keys.keyset(), keys.data_key(KEYSET_PURPOSE)) == ("ring", "sealed for ring")
    assert entries(redis_client) == 1


def test_a_ring_that_is_there_is_never_made_again(keys: KeyStore, redis_client: redis.Redis) -> None:
    create(keys)
    assert create(keys, "another", "act2") == "ring"
    assert keys.data_keys() == {KEYSET_PURPOSE: "sealed for ring"}
    assert entries(redis_client) == 1


def test_a_data_key_without_its_ring_is_a_loss_and_no_first_start(keys: KeyStore, redis_client: redis.Redis) -> None:
    create(keys)
    redis_client.delete(KEYSET)
    assert create(keys, "another", "act2") is None
    assert keys.keyset() is None


def test_a_step_is_taken_from_exactly_the_text_that_was_read(keys: KeyStore, redis_client: redis.Redis) -> None:
    create(keys)
    assert not swap(keys, "rin", "newer")
    assert not swap(keys, None, "newer", "act3")
    assert keys.keyset() == "ring"
    assert entries(redis_client) == 1
    assert swap(keys, "ring", "newer", "act4")
    assert keys.keyset() == "newer"
    assert entries(redis_client) == 2


def test_a_lost_ring_can_be_put_back_by_somebody_who_saw_that_it_is_lost(keys: KeyStore) -> None:
    assert swap(keys, None, "anew")
    assert keys.keyset() == "anew"


def test_a_step_repeated_after_a_lost_answer_is_taken_once(keys: KeyStore, redis_client: redis.Redis) -> None:
    create(keys)
    assert swap(keys, "ring", "newer", "act9")
    assert swap(keys, "ring", "newer", "act9")
    assert create(keys, "ring", "act1") == "ring"
    assert entries(redis_client) == 2


def test_a_data_key_is_kept_once_and_everybody_gets_that_one(keys: KeyStore) -> None:
    assert keys.keep_data_key("addresses", "first") == "first"
    assert keys.keep_data_key("addresses", "second") == "first"
    assert keys.data_keys() == {"addresses": "first"}


def test_rewrapping_moves_all_or_none(keys: KeyStore, redis_client: redis.Redis) -> None:
    redis_client.hset(DATA, mapping={"audit": "a1", "refresh": "r1"})

    def rewrap(act: str, **moves: tuple[str, str]) -> bool:
        return keys.rewrap(act, moves, **RECORDED)

    assert not rewrap("act1", audit=("a1", "a2"), refresh=("other", "r2"))
    assert keys.data_keys() == {"audit": "a1", "refresh": "r1"}
    assert rewrap("act2", audit=("a1", "a2"), refresh=("r1", "r2"))
    assert rewrap("act2", audit=("a1", "a2"), refresh=("r1", "r2"))
    assert keys.data_keys() == {"audit": "a2", "refresh": "r2"}
    assert entries(redis_client) == 1


@pytest.mark.race
def test_many_creators_make_one_ring(keys: KeyStore, redis_client: redis.Redis) -> None:
    got = race(lambda number: create(keys, f"ring {number}", f"act {number}"))
    assert len(set(got)) == 1
    assert keys.data_key(KEYSET_PURPOSE) == f"sealed for {got[0]}"
    assert entries(redis_client) == 1


@pytest.mark.race
def test_of_many_steps_from_one_ring_one_is_taken(keys: KeyStore, redis_client: redis.Redis) -> None:
    create(keys)
    assert sum(bool(won) for won in race(lambda number: swap(keys, "ring", f"step {number}", f"act {number}"))) == 1
    assert entries(redis_client) == 2


@pytest.mark.race
def test_many_makers_of_one_data_key_get_the_same(keys: KeyStore) -> None:
    assert len(set(race(lambda number: keys.keep_data_key("audit", f"sealed {number}")))) == 1


@pytest.mark.race
def test_of_many_rewraps_of_one_data_key_one_is_taken(keys: KeyStore, redis_client: redis.Redis) -> None:
    keys.keep_data_key("audit", "old")
    won = race(lambda n: keys.rewrap(f"act {n}", {"audit": ("old", f"new {n}")}, **RECORDED))
    assert sum(map(bool, won)) == 1
    assert entries(redis_client) == 1
