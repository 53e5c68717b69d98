"""Data keys by purpose and the pepper: made once, sealed under the newest master secret, opened by any."""

from __future__ import annotations

import threading

import fakeredis
import pytest

from authsvc.crypto import sealing
from authsvc.errors import KeysetUnusable, Unavailable
from authsvc.flows.data_keys import PURPOSES, DataKeys
from authsvc.store.connection import Connection
from tests.flows.keysets import NEW, OLD, KeyInstances, everything_stored, spellings


@pytest.fixture
def site(store: Connection, redis_client: fakeredis.FakeRedis) -> KeyInstances:
    return KeyInstances(store, redis_client)


LAZY = [purpose for purpose in PURPOSES if purpose != "keys"]


def test_every_purpose_has_a_key_of_its_own(site: KeyInstances) -> None:
    data_keys = site.start().data_keys
    made = {data_keys.key(purpose) for purpose in LAZY}
    assert len(made) == len(LAZY)
    assert all(len(key) == 32 for key in made)


def test_every_instance_gets_the_same_key(site: KeyInstances) -> None:
    assert site.start().data_keys.key("addresses") == site.start().data_keys.key("addresses")


def test_a_key_once_opened_is_kept_for_the_life_of_the_process(site: KeyInstances) -> None:
    data_keys = site.start().data_keys
    key = data_keys.key("addresses")
    site.client.flushall()
    assert data_keys.key("addresses") == key


def test_a_store_with_other_keys_gives_none_until_its_own_are_back(site: KeyInstances) -> None:
    """What was sealed under a key that the store doesn't have could never be opened again."""
    data_keys = site.start().data_keys
    key, stored = data_keys.key("addresses"), site.data_keys()["addresses"]
    site.client.flushall()
    with pytest.raises(KeysetUnusable) as refused:
        data_keys.refresh()
    assert refused.value.reason == "data_keys_changed"
    with pytest.raises(Unavailable):
        data_keys.key("addresses")
    site.put_data_key("addresses", stored)
    data_keys.refresh()
    assert data_keys.key("addresses") == key


def test_the_rings_own_key_is_never_made_alone(site: KeyInstances) -> None:
    with pytest.raises(KeysetUnusable) as refused:
        site.start().data_keys.key("keys")
    assert refused.value.reason == "no_ring_yet"
    assert site.data_keys() == {}


def test_a_purpose_that_nobody_declared_has_no_key(site: KeyInstances) -> None:
    with pytest.raises(KeyError):
        site.start().data_keys.key("anything")


def test_nothing_stored_is_a_key_or_a_master_secret(site: KeyInstances) -> None:
    data_keys = site.start().data_keys
    secrets = [data_keys.key(purpose) for purpose in LAZY] + [data_keys.pepper(data_keys.pepper_id), OLD]
    dump = everything_stored(site.client)
    assert not [text for secret in secrets for text in spellings(secret) if text in dump]


def test_a_new_master_secret_seals_and_the_old_one_still_opens(site: KeyInstances) -> None:
    before = site.start((OLD,)).data_keys.key("addresses")
    both = site.start((NEW, OLD)).data_keys
    assert both.key("addresses") == before
    both.key("refresh")
    assert site.data_keys()["addresses"].startswith(sealing.master_id(OLD) + ":")
    assert site.data_keys()["refresh"].startswith(sealing.master_id(NEW) + ":")


def test_an_instance_that_has_the_new_master_last_in_its_list_opens_what_it_seals(site: KeyInstances) -> None:
    sealed = site.start((NEW, OLD)).data_keys.key("refresh")
    assert site.start((OLD, NEW)).data_keys.key("refresh") == sealed


def test_a_key_under_a_master_secret_that_is_not_set_is_named_and_not_replaced(site: KeyInstances) -> None:
    site.start((OLD,)).data_keys.key("addresses")
    stored = site.data_keys()
    with pytest.raises(KeysetUnusable, match=sealing.master_id(OLD)):
        site.start((NEW,)).data_keys.key("addresses")
    assert site.data_keys() == stored


@pytest.mark.parametrize("damage", ["", "junk", "{id}:", "{id}:v1.AAAA", "{id}:{cut}"])
def test_attack_a_damaged_key_is_refused_and_not_replaced(site: KeyInstances, damage: str) -> None:
    data_keys = site.start().data_keys
    data_keys.key("addresses")
    master_id, _, sealed = site.data_keys()["addresses"].partition(":")
    site.put_data_key("addresses", damage.format(id=master_id, cut=sealed[:-4]))
    stored = site.data_keys()
    with pytest.raises(KeysetUnusable, match="addresses"):
        site.start().data_keys.key("addresses")
    assert site.data_keys() == stored


def test_attack_a_key_moved_to_another_purpose_does_not_open(site: KeyInstances) -> None:
    site.start().data_keys.key("audit")
    site.put_data_key("refresh", site.data_keys()["audit"])
    with pytest.raises(KeysetUnusable, match="refresh"):
        site.start().data_keys.key("refresh")


def test_the_pepper_derives_from_the_master_alone_and_is_not_in_redis(site: KeyInstances) -> None:
    data_keys = site.start((NEW, OLD)).data_keys
    assert data_keys.pepper_id == sealing.master_id(NEW)
    assert data_keys.pepper(data_keys.pepper_id) == sealing.derive(NEW, "authsvc code pepper v1")
    assert everything_stored(site.client) == ""


def test_codes_sent_before_a_new_master_secret_still_find_their_pepper(site: KeyInstances) -> None:
    before = site.start((OLD,)).data_keys
    after = site.start((NEW, OLD)).data_keys
    assert after.pepper(before.pepper_id) == before.pepper(before.pepper_id)


def test_an_unknown_pepper_is_no_wrong_code_but_unavailable(site: KeyInstances) -> None:
    with pytest.raises(Unavailable) as refused:
        site.start((OLD,)).data_keys.pepper(sealing.master_id(NEW))
    assert refused.value.reason == "pepper_unknown"


def test_moves_name_what_older_master_secrets_still_seal(site: KeyInstances) -> None:
    old = site.start((OLD,)).data_keys
    keys = {purpose: old.key(purpose) for purpose in LAZY}
    both = site.start((NEW, OLD)).data_keys
    moves = both.moves()
    assert set(moves) == set(LAZY)
    for purpose, (_, sealed_anew) in moves.items():
        site.put_data_key(purpose, sealed_anew)
    assert both.moves() == {}
    alone = site.start((NEW,)).data_keys
    assert {purpose: alone.key(purpose) for purpose in LAZY} == keys


@pytest.mark.race
def test_instances_that_race_for_a_first_key_get_one(site: KeyInstances) -> None:
    vaults, gate, got = [site.start().data_keys for _ in range(8)], threading.Barrier(8), set()

    def ask(data_keys: DataKeys) -> None:
        gate.wait(10)
        got.add(data_keys.key("addresses"))

    threads = [threading.Thread(target=ask, args=(data_keys,)) for data_keys in vaults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == 1


@pytest.mark.fault
def test_a_store_that_is_away_is_unavailable_and_makes_no_key() -> None:
    server = fakeredis.FakeServer(version=(7, 0))
    client = fakeredis.FakeRedis(server=server, decode_responses=True)
    data_keys = KeyInstances(Connection(client, deadline_s=0), client).start().data_keys
    server.connected = False
    with pytest.raises(Unavailable):
        data_keys.key("addresses")
    server.connected = True
    assert len(data_keys.key("addresses")) == 32


def test_fault_in_an_emptied_store_no_data_key_is_made_beside_those_that_are_gone(site: KeyInstances) -> None:
    keys = site.start().data_keys
    keys.key("addresses")
    site.client.flushall()
    with pytest.raises(Unavailable, match="data_keys_changed"):
        keys.key("refresh")
    assert site.client.keys("*") == []


def test_fault_a_process_whose_keys_are_not_the_stores_seals_nothing_until_they_are_back(site: KeyInstances) -> None:
    keys = site.start().data_keys
    keys.key("addresses")
    kept = site.client.hgetall("authsvc:{@keys}:data")
    site.client.flushall()
    with pytest.raises(KeysetUnusable, match="data_keys_changed"):
        keys.refresh()
    with pytest.raises(Unavailable, match="data_keys_changed"):
        keys.key("addresses")
    site.client.hset("authsvc:{@keys}:data", mapping=kept)
    keys.refresh()
    assert keys.key("addresses")
