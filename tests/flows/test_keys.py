"""The signing keys through their life: first start, rotation, compromise, outage, and other admins."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authsvc.crypto import keys as signing
from authsvc.crypto import sealing
from authsvc.crypto.keys import SigningKey
from authsvc.errors import AlreadyExists, InvalidInput, KeysetUnusable, Unavailable, UnknownName, UnsafeStep
from authsvc.flows.key_rotation import KeyStep
from authsvc.store.connection import Connection
from tests.flows.keysets import NEW, OLD, Instance, KeyInstances, everything_stored, jwks_kids, settings_with, spellings

PUBLISHED_S = 360  # jwks_max_age + slack: from then on a new key may sign
RETIRING_S = 665  # longest token, skew, and the seconds until every instance has followed


@pytest.fixture
def site(store: Connection, redis_client: fakeredis.FakeRedis) -> KeyInstances:
    return KeyInstances(store, redis_client)


@pytest.fixture
def one(site: KeyInstances) -> Instance:
    instance = site.start()
    instance.keys.ensure()
    return instance


def refused(act: Callable[[], object]) -> UnsafeStep:
    with pytest.raises(UnsafeStep) as refusal:
        act()
    return refusal.value


def pem_of(key: SigningKey) -> str:
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# --- first start --------------------------------------------------------------------------------------------------


def test_the_first_start_makes_a_key_that_signs_at_once_and_one_that_waits(site: KeyInstances, one: Instance) -> None:
    current, waiting = one.keys.list()
    assert (current.state, waiting.state) == ("current", "next")
    assert current.signs_from_ms == site.clock.now_ms()
    assert waiting.signs_from_ms == site.clock.now_ms() + PUBLISHED_S * 1000
    assert one.keys.signer().kid == current.kid
    assert jwks_kids(one.keys) == [current.kid, waiting.kid]
    assert one.told == ["key.created"]


def test_a_second_instance_takes_the_ring_of_the_first(site: KeyInstances, one: Instance) -> None:
    other = site.start()
    other.keys.ensure()
    assert other.kids == one.kids
    assert other.keys.jwks() == one.keys.jwks()
    assert other.told == []
    assert len([entry for entry in site.audit() if entry["event"] == "key.created"]) == 1


@pytest.mark.race
def test_instances_that_race_to_start_have_one_ring(site: KeyInstances) -> None:
    instances, gate = [site.start() for _ in range(8)], threading.Barrier(8)

    def begin(instance: Instance) -> None:
        gate.wait(10)
        instance.keys.ensure()

    threads = [threading.Thread(target=begin, args=(instance,)) for instance in instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({instance.keys.jwks() for instance in instances}) == 1
    assert len({instance.keys.signer().kid for instance in instances}) == 1
    assert sum(len(instance.told) for instance in instances) == 1
    assert len(site.audit()) == 1


def test_an_instance_that_was_slower_than_another_tells_of_no_creation(site: KeyInstances) -> None:
    slow = site.start()
    store, fast = slow.keys._store, site.start()
    create = store.create

    def late(*given: Any, **named: Any) -> str | None:
        fast.keys.ensure()
        return create(*given, **named)

    store.create = late  # type: ignore[method-assign]  # to stand between its look and its act
    slow.keys.ensure()
    assert slow.kids == fast.kids
    assert (slow.told, fast.told) == ([], ["key.created"])


def test_before_there_is_a_ring_nothing_pretends_to_be_one(site: KeyInstances) -> None:
    keys = site.start().keys
    for ask in (keys.signer, keys.verification_keys, keys.jwks, lambda: keys.pem("kid")):
        with pytest.raises(KeysetUnusable) as unusable:
            ask()
        assert unusable.value.reason == "no_ring_yet"


def test_looking_at_a_store_before_the_first_start_makes_nothing(site: KeyInstances) -> None:
    assert site.start().keys.list() == []
    assert everything_stored(site.client) == ""


def test_an_admin_may_be_the_first_to_start(site: KeyInstances) -> None:
    assert refused(lambda: site.start().keys.rotate("cli:anna")).safe_at_ms == site.clock.now_ms() + PUBLISHED_S * 1000
    assert len(site.start().keys.list()) == 2


def test_no_private_key_is_in_redis_in_the_clear(site: KeyInstances, one: Instance) -> None:
    dump = everything_stored(site.client)
    for key in one.keys.verification_keys().values():
        assert isinstance(key.private, ec.EllipticCurvePrivateKey)
        scalar = key.private.private_numbers().private_value.to_bytes(32, "big")
        assert not [text for secret in (scalar, key.to_der()) for text in spellings(secret) if text in dump]


# --- publishing ---------------------------------------------------------------------------------------------------


def test_the_entity_tag_changes_with_the_key_set_and_only_then(site: KeyInstances, one: Instance) -> None:
    body, tag = one.keys.jwks()
    one.keys.refresh()
    assert one.keys.jwks() == (body, tag)
    site.clock.advance_s(PUBLISHED_S)
    one.keys.rotate("cli:anna")
    assert one.keys.jwks()[1] != tag


def test_each_published_key_has_its_pem_and_others_have_none(one: Instance) -> None:
    for key in one.keys.list():
        assert one.keys.pem(key.kid) == key.pem
        assert key.pem.startswith("-----BEGIN PUBLIC KEY-----")
    assert one.keys.pem("../../etc/passwd") is None


def test_exports_are_what_services_and_gateways_read(one: Instance) -> None:
    current, waiting = one.keys.list()
    assert json.loads(one.keys.export("jwks")) == json.loads(one.keys.jwks()[0])
    pem = one.keys.export("pem")
    assert f"# kid {current.kid} alg ES256 current\n{current.pem}" in pem
    assert waiting.pem in pem
    assert one.keys.export("haproxy").splitlines() == [
        f"{key.kid} /etc/haproxy/authsvc/{key.kid}.pem" for key in (current, waiting)
    ]
    with pytest.raises(InvalidInput):
        one.keys.export("der")


def test_haproxy_is_given_no_key_that_it_cannot_use(site: KeyInstances) -> None:
    keys = site.start(settings=settings_with(signing_alg="EdDSA")).keys
    assert keys.export("haproxy") == ""
    assert "alg EdDSA" in keys.export("pem")


# --- rotation -----------------------------------------------------------------------------------------------------


def test_a_key_signs_only_after_every_cache_can_know_it(site: KeyInstances, one: Instance) -> None:
    current, waiting = one.keys.list()
    site.clock.advance_s(PUBLISHED_S - 1)
    refusal = refused(lambda: one.keys.rotate("cli:anna"))
    assert refusal.safe_at_ms == waiting.signs_from_ms
    assert "refuse new tokens for up to 1 s" in refusal.breaks
    assert one.keys.signer().kid == current.kid
    site.clock.advance_s(1)
    step = one.keys.rotate("cli:anna", "yearly")
    assert step.done
    assert (step.current, step.cost) == (waiting.kid, "")
    assert step.next_safe_at_ms == site.clock.now_ms() + PUBLISHED_S * 1000
    assert one.keys.signer().kid == waiting.kid
    assert one.kids == {waiting.kid: "current", step.next: "next", current.kid: "retiring"}


def test_tokens_of_a_retiring_key_verify_to_their_end_and_then_it_is_gone(site: KeyInstances, one: Instance) -> None:
    old = one.keys.signer().kid
    site.clock.advance_s(PUBLISHED_S)
    one.keys.rotate("cli:anna")
    site.clock.advance_s(RETIRING_S - 1)
    assert old in one.keys.verification_keys()
    assert old in jwks_kids(one.keys)
    site.clock.advance_s(1)
    assert old not in one.keys.verification_keys()
    assert old not in jwks_kids(one.keys)
    assert one.keys.pem(old) is None
    assert old not in one.kids
    assert old in [key["kid"] for key in site.keyset()["keys"]]  # nobody has written since; reading is enough


def test_the_next_step_clears_away_what_time_has_ended(site: KeyInstances, one: Instance) -> None:
    old = one.keys.signer().kid
    for _ in range(2):
        site.clock.advance_s(RETIRING_S)
        one.keys.rotate("cli:cron")
    assert old not in [key["kid"] for key in site.keyset()["keys"]]
    assert len(site.keyset()["keys"]) == 3


def test_every_instance_follows_when_it_looks(site: KeyInstances, one: Instance) -> None:
    other = site.start()
    other.keys.ensure()
    site.clock.advance_s(PUBLISHED_S)
    one.keys.rotate("cli:anna")
    assert other.keys.signer().kid != one.keys.signer().kid
    other.keys.refresh()
    assert other.keys.signer().kid == one.keys.signer().kid
    assert other.keys.jwks() == one.keys.jwks()


def test_cron_may_ask_every_day_and_rotates_when_it_is_due(site: KeyInstances, one: Instance) -> None:
    site.clock.advance_s(29 * 86_400)
    kids, step = one.kids, one.keys.rotate("cli:cron", if_older_than_s=30 * 86_400)
    assert not step.done
    assert (one.kids, step.current) == (kids, one.keys.signer().kid)
    site.clock.advance_s(86_400)
    assert one.keys.rotate("cli:cron", if_older_than_s=30 * 86_400).done


def test_a_forced_rotation_says_its_cost(site: KeyInstances, one: Instance) -> None:
    waiting = one.kid("next")
    step = one.keys.rotate("cli:anna", force=True)
    assert step.current == waiting
    assert "refuse new tokens for up to 360 s" in step.cost
    assert site.audit()[-1]["cost"] == step.cost


def test_the_algorithm_is_switched_by_two_rotations_without_an_unknown_key(site: KeyInstances, one: Instance) -> None:
    switched = site.start(settings=settings_with(signing_alg="RS256"))
    site.clock.advance_s(PUBLISHED_S)
    switched.keys.rotate("cli:anna")
    assert [key.alg for key in switched.keys.list()] == ["ES256", "RS256", "ES256"]
    site.clock.advance_s(PUBLISHED_S)
    switched.keys.rotate("cli:anna")
    assert switched.keys.signer().alg == "RS256"
    one.keys.refresh()
    assert one.keys.signer().alg == "RS256"
    assert len(one.keys.verification_keys()) == 4


def test_every_step_is_audited_with_who_and_why(site: KeyInstances, one: Instance) -> None:
    site.clock.advance_s(PUBLISHED_S)
    step = one.keys.rotate("cli:anna", "yearly")
    created, rotated = site.audit()
    assert (created["event"], created["actor"]) == ("key.created", "start")
    assert rotated["event"] == "key.rotated"
    assert (rotated["actor"], rotated["reason"], rotated["kid"]) == ("cli:anna", "yearly", step.current)
    assert rotated["at_ms"] == site.clock.now_ms()
    assert one.told == ["key.created", "key.rotated"]


def test_a_refused_step_leaves_ring_and_audit_alone(site: KeyInstances, one: Instance) -> None:
    before = site.keyset(), site.audit()
    refused(lambda: one.keys.rotate("cli:anna"))
    assert (site.keyset(), site.audit()) == before


@pytest.mark.race
def test_of_two_admins_who_rotate_at_once_one_is_told_to_wait(site: KeyInstances, one: Instance) -> None:
    site.clock.advance_s(PUBLISHED_S)
    instances, gate = [site.start() for _ in range(6)], threading.Barrier(6)
    outcomes: list[str] = []

    def rotate(instance: Instance) -> None:
        gate.wait(10)
        try:
            instance.keys.rotate("cli:anna")
        except UnsafeStep:
            outcomes.append("refused")
        else:
            outcomes.append("rotated")

    threads = [threading.Thread(target=rotate, args=(instance,)) for instance in instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["refused"] * 5 + ["rotated"]
    one.keys.refresh()
    assert sorted(one.kids.values()) == ["current", "next", "retiring"]


def test_a_step_that_never_gets_its_turn_gives_up(one: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one.keys._store, "replace", lambda *given, **named: False)
    monkeypatch.setattr(one.keys._store, "rewrap", lambda *given, **named: False)
    monkeypatch.setattr(one.data_keys, "moves", lambda: {"audit": ("a", "b")})
    for act in (lambda: one.keys.rotate("cli:anna", force=True), lambda: one.keys.rewrap("cli:anna")):
        with pytest.raises(Unavailable) as contended:
            act()
        assert contended.value.reason == "keys_contended"


# --- compromise ---------------------------------------------------------------------------------------------------


def test_a_compromised_current_key_is_gone_at_once_and_the_next_one_signs(site: KeyInstances, one: Instance) -> None:
    current, waiting = one.keys.list()
    step = one.keys.revoke(current.kid, "cli:anna", "laptop stolen")
    assert current.kid not in one.keys.verification_keys()
    assert one.keys.signer().kid == waiting.kid == step.current
    assert one.kids == {waiting.kid: "current", step.next: "next"}
    assert "cached key set go on taking them for up to 300 s" in step.cost
    assert "refuse new tokens for up to 360 s" in step.cost
    entry = site.audit()[-1]
    assert (entry["event"], entry["kid"], entry["reason"]) == ("key.revoked", current.kid, "laptop stolen")


def test_a_next_key_that_every_cache_knows_costs_less_to_fall_back_on(site: KeyInstances, one: Instance) -> None:
    site.clock.advance_s(PUBLISHED_S)
    assert "refuse new tokens" not in one.keys.revoke(one.keys.signer().kid, "cli:anna").cost


def test_a_compromised_next_key_costs_nothing(one: Instance) -> None:
    current, waiting = one.keys.list()
    step = one.keys.revoke(waiting.kid, "cli:anna")
    assert (step.current, step.cost) == (current.kid, "")
    assert step.next != waiting.kid


def test_a_compromised_retiring_key_leaves_the_others_alone(site: KeyInstances, one: Instance) -> None:
    old = one.keys.signer().kid
    site.clock.advance_s(PUBLISHED_S)
    rotated = one.keys.rotate("cli:anna")
    step = one.keys.revoke(old, "cli:anna")
    assert (step.current, step.next) == (rotated.current, rotated.next)
    assert old not in one.keys.verification_keys()


def test_a_key_that_is_not_in_the_ring_cannot_be_revoked(one: Instance) -> None:
    with pytest.raises(UnknownName):
        one.keys.revoke("nobody", "cli:anna")


def test_attack_a_revoked_key_is_never_imported_again(one: Instance) -> None:
    stolen = one.keys.signer()
    one.keys.revoke(stolen.kid, "cli:anna")
    assert refused(lambda: one.keys.import_pem(pem_of(stolen), "cli:eve")).safe_at_ms is None


def test_attack_an_old_ring_written_back_brings_no_revoked_key_into_a_running_process(
    site: KeyInstances, one: Instance
) -> None:
    stolen, before = one.keys.signer().kid, json.dumps(site.keyset())
    one.keys.revoke(stolen, "cli:anna")
    site.put_keyset(before)
    with pytest.raises(KeysetUnusable, match="revoked key is back"):
        one.keys.refresh()
    assert stolen not in one.keys.verification_keys()


# --- bring your own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_a_brought_key_waits_its_time_and_then_signs(site: KeyInstances, one: Instance, alg: str) -> None:
    brought, replaced = signing.generate(alg), one.kid("next")
    step = one.keys.import_pem(pem_of(brought), "cli:anna", "from the HSM")
    assert step.next == brought.kid
    assert replaced not in one.kids
    refused(lambda: one.keys.rotate("cli:anna"))
    site.clock.advance_s(PUBLISHED_S)
    one.keys.rotate("cli:anna")
    assert one.keys.signer().kid == brought.kid
    assert site.audit()[1]["kid"] == brought.kid


def test_a_brought_key_that_is_there_already_or_unfit_is_refused(one: Instance) -> None:
    with pytest.raises(AlreadyExists):
        one.keys.import_pem(pem_of(one.keys.signer()), "cli:anna")
    with pytest.raises(InvalidInput) as unfit:
        one.keys.import_pem("-----BEGIN PRIVATE KEY-----", "cli:anna")
    assert unfit.value.faults[0].pointer == "pem"


# --- a store that looks wrong -------------------------------------------------------------------------------------


def flush(site: KeyInstances) -> None:
    site.client.flushall()


def unreadable(site: KeyInstances) -> None:
    site.put_keyset('{"keys": []}')


def renamed(site: KeyInstances) -> None:
    ring = site.keyset()
    ring["version"] += 1
    ring["keys"][0]["kid"] = "another"
    site.put_keyset(json.dumps(ring))


def damaged(site: KeyInstances) -> None:
    ring = site.keyset()
    ring["keys"][0]["sealed"] = ring["keys"][0]["sealed"][:-4] + "AAAA"
    site.put_keyset(json.dumps(ring))


def swapped(site: KeyInstances) -> None:
    ring = site.keyset()
    one, two = ring["keys"]
    one["sealed"], two["sealed"] = two["sealed"], one["sealed"]
    site.put_keyset(json.dumps(ring | {"version": 2}))


@pytest.mark.parametrize("harm", [flush, KeyInstances.lose_keyset, unreadable, renamed, damaged, swapped])
def test_a_running_process_keeps_its_last_good_ring_and_makes_no_other(
    site: KeyInstances, one: Instance, harm: Callable[[KeyInstances], None]
) -> None:
    kids, jwks = one.kids, one.keys.jwks()
    harm(site)
    stored = site.client.get("authsvc:{@keys}:ring")
    with pytest.raises(KeysetUnusable):
        one.keys.refresh()
    one.keys.ensure()
    assert one.keys.jwks() == jwks
    assert one.keys.signer().kid in kids
    assert site.client.get("authsvc:{@keys}:ring") == stored


def test_a_key_whose_kid_says_another_algorithm_is_refused(site: KeyInstances, one: Instance) -> None:
    ring = site.keyset()
    ring["keys"][0]["alg"] = "RS256"
    site.put_keyset(json.dumps(ring))
    with pytest.raises(KeysetUnusable, match="another key"):
        site.start().keys.ensure()


def test_a_new_process_makes_no_second_ring_where_one_was_lost(site: KeyInstances, one: Instance) -> None:
    site.lose_keyset()
    new = site.start()
    for act in (new.keys.ensure, new.keys.refresh, new.keys.list, lambda: new.keys.rotate("cli:anna")):
        with pytest.raises(KeysetUnusable) as missing:
            act()
        assert missing.value.reason == "ring_missing"
    assert site.client.get("authsvc:{@keys}:ring") is None


@pytest.mark.parametrize("harm", [KeyInstances.lose_keyset, unreadable])
def test_a_lost_ring_is_begun_anew_by_force_and_its_cost_is_said(
    site: KeyInstances, one: Instance, harm: Callable[[KeyInstances], None]
) -> None:
    old = one.kids
    harm(site)
    new = site.start()
    step = new.keys.rotate("cli:anna", "restore failed", force=True)
    assert "every token signed so far is refused" in step.cost
    assert not set(new.kids) & set(old)
    one.keys.refresh()
    assert one.kids == new.kids
    assert site.audit()[-1]["reason"] == "restore failed"


def test_a_lost_ring_that_somebody_else_began_anew_is_not_written_over(
    site: KeyInstances, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.lose_keyset()
    new = site.start()
    monkeypatch.setattr(new.keys._store, "replace", lambda *given, **named: False)
    with pytest.raises(Unavailable):
        new.keys.rotate("cli:anna", force=True)


def test_a_process_without_the_master_secret_uses_nothing_and_breaks_nothing(site: KeyInstances, one: Instance) -> None:
    stored = site.keyset()
    stranger = site.start((NEW,))
    with pytest.raises(KeysetUnusable):
        stranger.keys.ensure()
    with pytest.raises(KeysetUnusable):
        stranger.keys.jwks()
    assert site.keyset() == stored


# --- master secrets -----------------------------------------------------------------------------------------------


def test_rewrapping_moves_everything_to_the_new_master_and_keeps_every_key(site: KeyInstances, one: Instance) -> None:
    addresses = one.data_keys.key("addresses")
    both = site.start((NEW, OLD))
    both.keys.ensure()
    done = both.keys.rewrap("cli:anna", "yearly")
    assert done.moved == ("addresses", "audit", "keys")
    assert done.master_id == sealing.master_id(NEW)
    assert done.keep_old_until_ms == site.clock.now_ms() + 1_800_000
    alone = site.start((NEW,))
    assert alone.kids == one.kids
    assert alone.data_keys.key("addresses") == addresses
    entry = site.audit()[-1]
    assert (entry["event"], entry["purposes"]) == ("key.rewrapped", "addresses audit keys")
    assert both.told == ["key.rewrapped"]


def test_rewrapping_twice_moves_nothing_the_second_time(site: KeyInstances, one: Instance) -> None:
    both = site.start((NEW, OLD))
    both.keys.rewrap("cli:anna")
    entries = len(site.audit())
    assert both.keys.rewrap("cli:anna").moved == ()
    assert len(site.audit()) == entries


# --- outages ------------------------------------------------------------------------------------------------------


@pytest.fixture
def unplugged() -> Iterator[tuple[KeyInstances, fakeredis.FakeServer]]:
    """A site whose store can be taken away."""
    server = fakeredis.FakeServer(version=(7, 0))
    client = fakeredis.FakeRedis(server=server, version=(7, 0), decode_responses=True)
    yield KeyInstances(Connection(client, deadline_s=0), client), server
    client.close()


@pytest.mark.fault
def test_while_the_store_is_away_a_running_process_signs_verifies_and_publishes(
    unplugged: tuple[KeyInstances, fakeredis.FakeServer],
) -> None:
    site, server = unplugged
    one = site.start()
    one.keys.ensure()
    jwks, kid = one.keys.jwks(), one.keys.signer().kid
    server.connected = False
    with pytest.raises(Unavailable):
        one.keys.refresh()
    assert (one.keys.jwks(), one.keys.signer().kid) == (jwks, kid)
    assert kid in one.keys.verification_keys()
    server.connected = True
    site.clock.advance_s(PUBLISHED_S)
    assert one.keys.rotate("cli:anna").done


@pytest.mark.fault
def test_a_process_that_starts_without_its_store_has_keys_as_soon_as_the_store_is_back(
    unplugged: tuple[KeyInstances, fakeredis.FakeServer],
) -> None:
    site, server = unplugged
    server.connected = False
    one = site.start()
    with pytest.raises(Unavailable):
        one.keys.ensure()
    with pytest.raises(KeysetUnusable):
        one.keys.jwks()
    server.connected = True
    one.keys.refresh()
    assert len(jwks_kids(one.keys)) == 2


def test_a_step_says_what_is_next_and_when(one: Instance) -> None:
    step = one.keys.rotate("cli:anna", force=True)
    assert step == KeyStep(True, one.kid("current"), one.kid("next"), step.next_safe_at_ms, step.cost)
