"""What a practice keeps for long is counted and bounded, so that none can fill the store for the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.crypto import sealing
from authsvc.errors import InvalidCode, StorageFull
from authsvc.metrics import Metrics
from authsvc.model import Practice, TokenGrant
from tests.flows.conftest import Harness
from tests.flows.test_races import together

KEY = "authsvc:{maple}:storage"
DAY_S = 86_400
PATIENT, MERGED, RELATION, LINK, GUESSES, ENTRY = 1800, 250, 250, 900, 200, 300


def counted(harness: Harness) -> dict[str, int]:
    """Bytes by week, without the audit entries; weeks as `week`, for a test that has one of them."""
    lines = [line.split(" ") for line in (harness.redis.get(KEY) or "").splitlines()]
    return {"stays" if week == "stays" else "week": int(size) for week, size in lines}


def used(harness: Harness, practice: str = "maple") -> int:
    return {use.practice: use.used_bytes for use in harness.service.practice_storage.uses()}[practice]


def fill(harness: Harness) -> int:
    """Patients until there is no room; how many."""
    number = 0
    while True:
        harness.clock.advance_ms(20)
        try:
            harness.patient(f"f{number}", f"f{number}@example.org")
        except StorageFull:
            return number
        number += 1


@pytest.fixture
def small(build: Callable[..., Harness]) -> Harness:
    """A practice that may keep little."""
    return build(practice_storage=60_000)


@pytest.fixture
def full(small: Harness) -> Harness:
    """One that has no room left, with a patient, a link and a relation from before."""
    small.patient()
    small.patient("d1", "d1@example.org")
    small.service.dependents.put(small.act(), "p1", "d1")
    fill(small)
    return small


# --- what is counted --------------------------------------------------------------------------------------------------


def test_patients_relations_and_links_are_counted_by_how_long_they_are_kept(harness: Harness) -> None:
    for name in ("p1", "d1"):
        harness.patient(name, f"{name}@example.org")
        harness.patient(name, f"{name}@example.org", label="again")
    assert counted(harness) == {"stays": 2 * PATIENT}
    harness.service.dependents.put(harness.act(), "p1", "d1")
    harness.service.dependents.put(harness.act(), "p1", "d1", workflows=("edit-contact",))
    assert counted(harness) == {"stays": 2 * PATIENT + RELATION}
    harness.link()
    harness.link(patient="not on file", resource="invoice:2")
    assert counted(harness) == {"stays": 2 * PATIENT + RELATION, "week": 2 * LINK}
    entries = harness.redis.xlen("authsvc:{maple}:audit")
    assert used(harness) == 2 * PATIENT + RELATION + 2 * LINK + entries * ENTRY


def test_what_is_taken_away_makes_room(harness: Harness) -> None:
    for name in ("p1", "p2", "d1", "d2"):
        harness.patient(name, f"{name}@example.org")
    dependents = harness.service.dependents
    for name in ("d1", "d2"):
        dependents.put(harness.act(), "p1", name)
    dependents.remove(harness.act(), "p1", "d1")
    assert counted(harness) == {"stays": 4 * PATIENT + RELATION}
    harness.patients.merge(harness.act(), "p1", "p2")
    assert counted(harness) == {"stays": 3 * PATIENT + RELATION + MERGED}
    harness.patients.delete(harness.act(), "p2")
    assert counted(harness) == {"stays": 2 * PATIENT + MERGED}
    harness.patient("p1", "p1@example.org")
    assert counted(harness) == {"stays": 3 * PATIENT}, "the id means this patient again"


def test_a_relation_that_was_over_is_counted_until_it_goes_from_the_record(harness: Harness) -> None:
    for name in ("p1", "d1", "d2"):
        harness.patient(name, f"{name}@example.org")
    until_ms = harness.clock.now_ms() + 60_000
    harness.service.dependents.put(harness.act(), "p1", "d1", until_ms=until_ms)
    harness.clock.advance_s(61)
    assert counted(harness) == {"stays": 3 * PATIENT + RELATION}
    harness.service.dependents.put(harness.act(), "p1", "d2")
    assert counted(harness) == {"stays": 3 * PATIENT + RELATION}, "one came and one went"
    harness.patients.delete(harness.act(), "p1")
    assert counted(harness) == {"stays": 2 * PATIENT}


def test_links_in_the_place_of_others_are_counted_and_never_refused(full: Harness) -> None:
    counts = full.redis.get(KEY)
    full.redis.delete(KEY)
    token = full.link(expires_in=60)
    full.redis.set(KEY, counts)
    full.clock.advance_s(61)
    full.links.resend(full.act(), token)
    assert full.mailed()["kind"] == "new-link"
    assert counted(full)["week"] == LINK


def test_links_that_are_mailed_for_codes_are_counted_for_a_patient_and_not_for_nobody(harness: Harness) -> None:
    harness.patient()
    for address in ("ann@example.org", "nobody@example.org"):
        for _ in range(5):
            harness.codes.start(harness.act(), email=address)
    assert counted(harness) == {"stays": PATIENT, "week": LINK}


def test_misses_of_an_address_that_nobody_has_are_counted_once(harness: Harness) -> None:
    harness.patient()
    for address in ("nobody@example.org", "ann@example.org"):
        for _ in range(2):
            started = harness.start(email=address)
            with pytest.raises(InvalidCode):
                harness.codes.verify(harness.act(), started.challenge, "000000")
    assert counted(harness) == {"stays": PATIENT, "week": GUESSES}


def test_what_is_forgotten_far_from_now_is_counted_by_four_weeks(harness: Harness) -> None:
    for week in range(8):
        harness.clock.advance_s(7 * DAY_S)
        started = harness.start(email=f"nobody{week}@example.org")
        with pytest.raises(InvalidCode):
            harness.codes.verify(harness.act(), started.challenge, "000000")
    assert len(harness.redis.get(KEY).splitlines()) == 2
    assert used(harness) == 8 * GUESSES + ENTRY * harness.redis.xlen("authsvc:{maple}:audit")


def test_concurrent_writers_are_all_counted(wide: Harness) -> None:
    results = together(
        20, lambda number: [wide.patient(f"p{number}.{at}", f"{number}.{at}@example.org") for at in (1, 2)]
    )
    assert all(isinstance(result, list) for result in results)
    assert counted(wide) == {"stays": 40 * PATIENT}


# --- the bound --------------------------------------------------------------------------------------------------------


def test_attack_a_client_that_puts_patients_without_end_is_refused_and_its_neighbour_is_not(small: Harness) -> None:
    stored = fill(small)
    assert 20 < stored < 60_000 / PATIENT
    for number in range(20):
        small.clock.advance_ms(20)
        with pytest.raises(StorageFull):
            small.patient(f"more{number}", f"more{number}@example.org")
    oak: Practice = small.service.practices.add("oak", name="Oak Clinic", actor="cli:test")
    client, _ = small.new_client("oaks", practices=("oak",))
    for name in ("o1", "o2"):
        small.patients.put(small.service.act(oak, client), name, email=f"{name}@example.org", portal_access=True)
    assert used(small, "oak") > 2 * PATIENT


def test_attack_a_client_that_issues_links_for_nobody_without_end_is_refused(small: Harness) -> None:
    with pytest.raises(StorageFull) as refused:
        for number in range(100):
            small.clock.advance_ms(20)
            small.link(patient=f"x{number}", resource=f"invoice:{number}")
    assert refused.value.limit_bytes == 60_000
    assert used(small) < 60_000 + LINK + 2 * ENTRY


def test_attack_refusals_cost_nothing(full: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed: Counter[str] = Counter()
    seal = sealing.seal

    def counting(*args: Any, **how: Any) -> str:
        sealed["seal"] += 1
        return seal(*args, **how)

    monkeypatch.setattr(sealing, "seal", counting)
    names, size = set(full.redis.keys("*")), used(full)

    def refused(act: Callable[[], Any]) -> None:
        full.clock.advance_ms(20)
        with pytest.raises(StorageFull):
            act()

    for number in range(20):
        refused(lambda number=number: full.patient(f"new{number}", f"new{number}@example.org"))
        refused(lambda: full.link(act=full.act(idempotency_key="k", fingerprint=b"body")))
        refused(lambda number=number: full.link(patient=f"f{number}", delivery="email"))
        refused(lambda: full.access_link())
        refused(lambda number=number: full.links.invite(full.act(), f"f{number}"))
        refused(lambda: full.service.dependents.put(full.act(), "f1", "f2"))
    assert sealed == {}
    assert {key for key in set(full.redis.keys("*")) - names if ":limit:" not in key} == set()
    assert used(full) == size


def test_a_process_asks_before_it_seals_where_there_may_be_no_room_as_far_as_it_has_seen(
    small: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, asked = small, list[str]()
    store = full.patients._store
    put = store._put

    def noting(*args: Any, check_only: bool = False) -> Any:
        asked.append("check" if check_only else "put")
        return put(*args, check_only=check_only)

    monkeypatch.setattr(store, "_put", noting)
    full.patient()
    fill(full)
    assert asked[0] == "put"
    assert asked[-1] == "check", "the first that was refused had nothing sealed either"
    asked.clear()
    full.patient()
    assert asked == ["check", "put"], "one who is on file is changed all the same"
    asked.clear()
    full.clock.advance_s(61)
    with pytest.raises(StorageFull):
        full.patient("new")
    full.redis.delete(KEY)
    full.redis.xtrim("authsvc:{maple}:audit", 0)
    full.patient("new", "new@example.org")
    assert asked == ["put", "check", "put"], "where others have filled it one is sealed first; then there is room again"


def test_everything_that_a_patient_needs_goes_on_in_a_full_practice(full: Harness) -> None:
    full.patient()
    full.patients.put(full.act(), "p1", email="other@example.org", label="Ann", locale="es", portal_access=True)
    full.service.dependents.put(full.act(), "p1", "d1", workflows=("edit-contact",))
    started = full.start(email="d1@example.org")
    full.clock.advance_s(31)
    full.codes.resend(full.act(), started.challenge)
    grant = full.codes.verify(full.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    full.sessions.refresh(full.client, grant.refresh_token or "", None, "")
    full.sessions.end_all(full.act(), "d1")
    for _ in range(5):
        full.start(email="f1@example.org")
    assert full.mailed()["kind"] == "access-link"
    changed = full.service.email_changes.start(full.act(), patient="f2", email="f2.new@example.org")
    assert changed.challenge
    full.service.dependents.remove(full.act(), "p1", "d1")
    full.patients.merge(full.act(), "f3", "f4")
    full.patients.delete(full.act(), "f5")


def test_deleting_patients_makes_room_for_others(full: Harness) -> None:
    for number in range(4):
        full.patients.delete(full.act(), f"f{number}")
    full.patient("new", "new@example.org")


def test_a_week_that_is_over_makes_room(small: Harness) -> None:
    with pytest.raises(StorageFull):
        for number in range(100):
            small.clock.advance_ms(20)
            small.link(patient=f"x{number}", resource=f"invoice:{number}")
    small.clock.advance_s((30 + 90 - 7) * DAY_S)
    with pytest.raises(StorageFull):
        small.link()
    small.clock.advance_s(14 * DAY_S)
    small.link()
    assert counted(small) == {"week": LINK}, "the next writer has dropped what was over"


def test_an_exported_and_trimmed_trail_makes_room(small: Harness) -> None:
    small.patient()
    with pytest.raises(StorageFull):
        for _ in range(300):
            small.clock.advance_ms(20)
            small.patient(label="changed")
            if small.redis.xlen("authsvc:{maple}:audit") * ENTRY > 60_000:
                small.patient("new")
    audit_log = small.service.audit_log
    audit_log.seal_all()
    audit_log.trim("maple", audit_log.export("maple")[1], actor="cli:test")
    small.patient("new", "new@example.org")


def test_a_refusal_is_recorded_once_an_hour_and_counted_by_the_limiters_metric(full: Harness) -> None:
    for _ in range(3):
        with pytest.raises(StorageFull) as refused:
            full.patient("new")
    limited = [entry for entry in full.audit_entries() if entry["event"] == "limited"]
    assert [(entry["policy"], entry["actor"]) for entry in limited] == [("storage", "client:portal")]
    assert full.service.audit_log.verify("maple").faults == ()
    metrics = Metrics()
    metrics.refused(refused.value)
    assert b'authsvc_limiter_refusals_total{policy="storage"} 1.0' in metrics.render()[0]


def test_an_operator_is_refused_as_a_client_is(full: Harness) -> None:
    act = full.service.act(full.practice, None, actor="cli:test")
    with pytest.raises(StorageFull):
        full.patients.grant(act, "new", email="new@example.org")
    assert full.service.audit_log.verify("maple").faults == ()


def test_a_practice_may_keep_its_share_of_what_redis_may_take(harness: Harness) -> None:
    store = harness.service.practice_storage._store
    assert store.limit_bytes() == harness.service.limits.practice_storage == 4 * 2**30
    for maxmemory, limit in ((2**30, 2**29), (2**34, 2**32), (0, 2**32), (1, 2**32)):
        harness.service.store.maxmemory = maxmemory
        assert store.limit_bytes() == limit


# --- beside other releases --------------------------------------------------------------------------------------------


def test_records_of_a_release_that_did_not_count_are_counted_by_a_recount(harness: Harness) -> None:
    for name in ("p1", "p2", "d1", "d2", "p3"):
        harness.patient(name, f"{name}@example.org")
    harness.service.dependents.put(harness.act(), "p1", "d1")
    harness.service.dependents.put(harness.act(), "p2", "d2")
    harness.patients.merge(harness.act(), "p2", "d1")
    harness.link()
    for address in ("nobody@example.org", "d2@example.org"):
        with pytest.raises(InvalidCode):
            harness.codes.verify(harness.act(), harness.start(email=address).challenge, "000000")
    whole = harness.redis.get(KEY)
    harness.redis.delete(KEY)
    harness.link(patient="nobody", resource="invoice:2")
    assert counted(harness) == {"week": LINK}, "what comes after the update is counted"
    harness.patients.delete(harness.act(), "p3")
    assert counted(harness) == {"week": LINK}, "and nothing falls below none"
    for _ in range(2):
        harness.service.practice_storage.recount()
        found = dict(line.split(" ") for line in harness.redis.get(KEY).splitlines())
        expected = dict(line.split(" ") for line in whole.splitlines())
        expected["stays"] = str(int(expected["stays"]) - PATIENT)
        assert sum(map(int, found.values())) == sum(map(int, expected.values())) + LINK
        assert found["stays"] == expected["stays"]


def test_what_is_written_during_a_recount_is_counted_once(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.patient()
    store = harness.service.practice_storage._store
    weigh = store._weigh

    def weigh_beside_others(*args: Any) -> dict[str, int]:
        harness.patient("p2", "p2@example.org")
        harness.patients.delete(harness.act(), "p2")
        harness.patient("p3", "p3@example.org")
        return weigh(*args)

    monkeypatch.setattr(store, "_weigh", weigh_beside_others)
    harness.service.practice_storage.recount()
    assert counted(harness) == {"stays": 2 * PATIENT}


def test_a_recount_passes_over_records_that_have_gone_and_practices_that_are_unknown(harness: Harness) -> None:
    harness.redis.set("authsvc:{elm}:patient:p1", "of a practice that was removed")
    harness.redis.set("authsvc:{maple}:link:stays", "no link of ours has no end")
    store = harness.service.practice_storage._store
    assert store._weigh("maple", ["patient:gone", "link:gone", "link:stays"]) == {}
    harness.service.practice_storage.recount()
    assert harness.redis.get("authsvc:{elm}:storage") is None


def test_what_a_newer_release_counts_is_kept_and_counts(harness: Harness) -> None:
    harness.redis.set(KEY, "pictures 5000")
    harness.patient()
    assert sorted(harness.redis.get(KEY).splitlines()) == ["pictures 5000", f"stays {PATIENT}"]
    assert used(harness) >= PATIENT + 5000
