"""What happened to whom, and who did it: found without reading the whole trail."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.audit import Event
from authsvc.errors import RateLimited
from authsvc.model import AuditFilter, AuditPage
from authsvc.store import audit as stored
from authsvc.store import audit_index
from authsvc.store.audit import AuditStream
from authsvc.store.scripts import ScriptRunner
from tests.flows.conftest import Harness

STREAM = "authsvc:{maple}:audit"


def search(harness: Harness, limit: int = 200, **wanted: Any) -> AuditPage:
    return harness.service.audit_log.search("maple", AuditFilter(**wanted), limit)


def numbers(page: AuditPage) -> list[int]:
    return [entry["n"] for entry in page.entries]


def matching(harness: Harness, **wanted: Any) -> list[int]:
    """The same by reading everything."""
    return [
        entry["n"]
        for entry in reversed(harness.audit_entries())
        if all(entry.get(name) == value for name, value in wanted.items())
    ]


@pytest.fixture
def busy(wide: Harness) -> Harness:
    """A practice with two patients, two clients and two people at the desk."""
    desk, _ = wide.new_client("desk")
    for round_ in range(3):
        for name in ("p1", "p2"):
            person = "anna@desk" if name == "p1" else "ben"
            act = wide.act(desk, by=person)
            wide.patients.put(act, name, email=f"{name}.{round_}@example.org", portal_access=True)
            wide.sign_in(email=f"{name}.{round_}@example.org")
            wide.clock.advance_s(3600)
    return wide


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"patient": "p1"},
        {"patient": "p1", "event": "code.verified"},
        {"patient": "p2", "event": "patient.address_changed"},
        {"event": "code.started"},
        {"actor": "client:desk"},
        {"actor": "client:desk", "event": "session.ended"},
        {"by": "anna@desk"},
        {"by": "ben", "patient": "p1"},
        {"by": "ben", "patient": "p2", "event": "patient.created", "actor": "client:desk"},
        {"patient": "nobody"},
        {"event": "key.rotated"},
        {"actor": "client:other"},
        {"by": "carl"},
    ],
    ids=str,
)
def test_a_search_finds_what_reading_everything_finds_newest_first(busy: Harness, wanted: dict[str, str]) -> None:
    assert numbers(search(busy, **wanted)) == matching(busy, **wanted)


@pytest.mark.parametrize("wanted", [{}, {"patient": "p1"}, {"event": "code.started"}, {"by": "ben"}], ids=str)
def test_pages_follow_each_other_without_gap_or_repetition(busy: Harness, wanted: dict[str, str]) -> None:
    found, after = [], 0
    while True:
        page = search(busy, 2, after=after, **wanted)
        found += numbers(page)
        after = page.next or 0
        if not after:
            break
        busy.sign_in(email="p1.2@example.org")  # what comes meanwhile is newer, and on no later page
    assert found == [n for n in matching(busy, **wanted) if n <= found[0]]


@pytest.mark.parametrize("wanted", [{}, {"patient": "p1"}, {"actor": "client:portal"}], ids=str)
def test_a_span_of_time_has_its_first_instant_and_not_its_last(busy: Harness, wanted: dict[str, str]) -> None:
    instants = sorted({entry["at_ms"] for entry in busy.audit_entries()})
    since_ms, until_ms = instants[1], instants[-2]
    page = search(busy, since_ms=since_ms, until_ms=until_ms, **wanted)
    assert numbers(page) == [
        entry["n"]
        for entry in reversed(busy.audit_entries())
        if since_ms <= entry["at_ms"] < until_ms and all(entry.get(k) == v for k, v in wanted.items())
    ]
    assert page.next is None


def test_the_trails_of_the_site_are_searched_in_the_same_way(busy: Harness) -> None:
    page = busy.service.audit_log.search("@site", AuditFilter(event="client.added"), 10)
    assert [entry["client"] for entry in page.entries] == ["desk", "portal"]


def test_a_clients_search_counts_as_a_call(build: Any) -> None:
    harness: Harness = build()
    harness.patient()
    context = harness.act()
    found = harness.service.audit_log.search_for_client(context, AuditFilter(patient="p1"), 1)
    assert [entry["event"] for entry in found.entries] == ["patient.granted"]
    assert [state.policy for state in context.limits] == ["client-calls"]
    with pytest.raises(RateLimited):
        for _ in range(1000):
            harness.service.audit_log.search_for_client(harness.act(), AuditFilter(), 1)


# --- who acted for whom -------------------------------------------------------------------------------------------


@pytest.fixture
def families(wide: Harness) -> Harness:
    """mom and dad act for leo, dad for mia; each of them signs in for the other and alone."""
    for name in ("mom", "dad"):
        wide.patient(name, f"{name}@example.org")
    for name in ("leo", "mia"):
        wide.patient(name, "front-desk@maple.example", access=False)
    for guardian, dependent in (("mom", "leo"), ("dad", "leo"), ("dad", "mia")):
        wide.service.dependents.put(wide.act(), guardian, dependent)
    for guardian, patient in (("mom", "leo"), ("dad", "mia"), ("dad", "dad"), ("dad", "leo"), ("mom", "mom")):
        act_for(wide, guardian, patient)
    return wide


def act_for(harness: Harness, guardian: str, patient: str) -> None:
    started = harness.start(email=f"{guardian}@example.org")
    harness.codes.verify(harness.act(), started.challenge, "314159", patient)


def test_who_acted_for_leo_is_one_search(families: Harness) -> None:
    page = search(families, patient="leo", event="code.verified")
    assert [entry["guardian"] for entry in page.entries] == ["dad", "mom"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"guardian": "mom"},
        {"guardian": "dad", "event": "code.verified"},
        {"guardian": "dad", "patient": "leo"},
        {"guardian": "leo"},
        {"guardian": "nobody"},
    ],
    ids=str,
)
def test_what_a_guardian_did_is_found_and_nothing_that_they_did_for_themselves(
    families: Harness, wanted: dict[str, str]
) -> None:
    assert numbers(search(families, **wanted)) == matching(families, **wanted)
    assert all(entry["patient"] != wanted["guardian"] for entry in search(families, **wanted).entries)


def test_a_guardians_own_entries_and_those_as_a_guardian_are_two_ways_back(families: Harness) -> None:
    alone = numbers(search(families, patient="mom"))
    as_guardian = numbers(search(families, guardian="mom"))
    assert len(as_guardian) == 2  # dependent.added, code.verified
    assert set(alone).isdisjoint(as_guardian)


# --- however long the trail is ------------------------------------------------------------------------------------


def fill(harness: Harness, many: int) -> None:
    """Entries of other patients, sealed and so indexed."""
    pipeline, first = harness.redis.pipeline(), int(harness.redis.get(f"{STREAM}-n"))
    fields = harness.redis.xrange(STREAM)[-1][1]
    for n in range(first + 1, first + many + 1):
        pipeline.xadd(STREAM, {**fields, "d": f"patient=x{n}", "e": "code.started"}, id=f"{n}-0")
    pipeline.set(f"{STREAM}-n", first + many)
    pipeline.execute()
    harness.service.audit_log.seal("maple")


@pytest.mark.one_store
def test_what_a_search_reads_does_not_grow_with_the_trail(wide: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts: list[str] = []
    run = ScriptRunner.run_for_site
    monkeypatch.setattr(ScriptRunner, "run_for_site", lambda *of, **args: scripts.append(of[1]) or run(*of, **args))

    def cost(**wanted: Any) -> tuple[int, int]:
        scripts.clear()
        stream = AuditStream(wide.service.store, wide.service.patients._store._runner, "maple")
        found = stream.search(AuditFilter(**wanted), 50)
        return found.looked, len(scripts)

    wide.patient()
    wide.sign_in()
    searches: list[dict[str, Any]] = [
        {"patient": "p1", "event": "code.verified"},
        {"patient": "p1", "event": "patient.address_changed"},
        {"by": "anna"},
        {"event": "patient.created"},
    ]
    wide.service.audit_log.seal("maple")
    before = [cost(**wanted) for wanted in searches]
    fill(wide, 20_000)
    wide.patient("p3", "cy@example.org")  # the trail goes on
    wide.service.audit_log.seal("maple")
    assert [cost(**wanted) for wanted in searches[:3]] == before[:3]
    assert cost(**searches[3]) == (2, 1)
    assert before == [(3, 1), (3, 1), (0, 1), (1, 1)]
    assert cost() == (50, 1)
    assert cost(until_ms=wide.clock.now_ms() + 1)[1] == 1


@pytest.mark.one_store
def test_what_a_guardian_did_costs_the_same_as_well(families: Harness) -> None:
    stream = AuditStream(families.service.store, families.service.patients._store._runner, "maple")
    families.service.audit_log.seal("maple")
    before = stream.search(AuditFilter(guardian="dad"), 50)
    assert before.looked == len(before.entries)
    fill(families, 20_000)
    assert stream.search(AuditFilter(guardian="dad"), 50).looked == before.looked


def test_what_is_not_yet_sealed_is_found_by_reading_it(wide: Harness) -> None:
    wide.patient()
    wide.sign_in()
    fill(wide, 100)
    wide.sign_in()
    assert numbers(search(wide, patient="p1")) == matching(wide, patient="p1")
    assert numbers(search(wide, event="patient.created")) == matching(wide, event="patient.created")


def test_one_answer_looks_at_so_many_entries_and_the_next_page_goes_on(
    wide: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide.patient()
    fill(wide, 310)
    monkeypatch.setattr(stored, "LOOKED_AT_ONCE", 50)
    monkeypatch.setattr(stored, "LOOKED_MAX", 120)
    wanted = {"event": "code.started", "since_ms": wide.clock.now_ms() + 1}  # none matches, and each is looked at
    page, pages = search(wide, **wanted), 1
    while page.next:
        assert page.entries == ()
        page, pages = search(wide, after=page.next, **wanted), pages + 1
    assert pages == 3


# --- trimmed, older, and meddled with -----------------------------------------------------------------------------


def test_of_what_was_exported_and_trimmed_nothing_is_found_and_the_page_says_so(busy: Harness) -> None:
    log = busy.service.audit_log
    log.seal("maple")
    entries, mark = log.export("maple")
    assert len(list(entries)) == mark
    log.trim("maple", mark, actor="cli:anna")
    assert (search(busy).entries, search(busy).trimmed_to) == ((), mark)
    assert search(busy, patient="p1").entries == ()
    assert busy.redis.keys(f"{STREAM}-newest:*") == []
    assert busy.redis.exists(f"{STREAM}-ways:{mark // audit_index.CHUNK}") == 1  # later entries share it
    assert len(busy.redis.keys(f"{STREAM}-ways:*")) == 1
    busy.sign_in(email="p1.2@example.org")
    page = search(busy, patient="p1")
    assert (numbers(page), page.trimmed_to, page.next) == ([mark + 2, mark + 1][:1], mark, None)
    assert log.verify("maple").faults == ()


def test_a_patient_with_an_entry_that_stays_is_found_after_a_trim(busy: Harness) -> None:
    log = busy.service.audit_log
    log.seal("maple")
    sealed, _ = AuditStream(busy.service.store, busy.service.patients._store._runner, "maple").sealed()
    busy.sign_in(email="p1.2@example.org")
    log.trim("maple", sealed, actor="cli:anna")
    assert numbers(search(busy, patient="p1")) == matching(busy, patient="p1")
    assert search(busy, patient="p2").entries == ()


@pytest.mark.parametrize("wanted", [{}, {"patient": "p1"}, {"event": "code.started"}, {"by": "anna"}], ids=str)
def test_entries_of_before_there_was_an_index_are_found_too(wide: Harness, wanted: dict[str, str]) -> None:
    wide.patient()
    wide.sign_in()
    wide.service.audit_log.seal("maple")
    wide.redis.delete(*wide.redis.keys(f"{STREAM}-newest*"), *wide.redis.keys(f"{STREAM}-ways*"))
    assert numbers(search(wide, **wanted)) == matching(wide, **wanted)
    wide.patient("p2", "bob@example.org")
    wide.sign_in()
    assert numbers(search(wide, **wanted)) == matching(wide, **wanted)
    wide.service.audit_log.seal("maple")
    assert wide.service.audit_log.verify("maple").faults == ()


@pytest.mark.parametrize("bent", ["9,9,9,9", "", "x"])
def test_attack_a_bent_way_back_is_found_by_a_check_of_the_trail(busy: Harness, bent: str) -> None:
    log = busy.service.audit_log
    log.seal("maple")
    assert log.verify("maple").faults == ()
    ways = busy.redis.get(f"{STREAM}-ways:0").split(";")
    busy.redis.set(f"{STREAM}-ways:0", ";".join([*ways[:12], bent, *ways[13:]]))
    assert log.verify("maple").faults == ("entry 12: its way back was changed",)


def test_attack_an_index_that_was_taken_away_is_found_by_a_check_of_the_trail(busy: Harness) -> None:
    log = busy.service.audit_log
    log.seal("maple")
    busy.redis.delete(f"{STREAM}-ways:0")
    assert "entry 12: its way back was changed" in log.verify("maple").faults


def test_a_trim_leaves_ways_that_lead_to_what_is_gone_and_they_are_no_fault(wide: Harness) -> None:
    wide.patient()
    fill(wide, 200)
    log, mark = wide.service.audit_log, 150
    wide.sign_in()
    log.seal("maple")
    log.trim("maple", mark, actor="cli:anna")
    assert wide.redis.keys(f"{STREAM}-ways:0") == wide.redis.keys(f"{STREAM}-ways:1") == []
    stream = AuditStream(wide.service.store, wide.service.patients._store._runner, "maple")
    entries = stream.entries()
    assert len(entries) > 50
    assert stream.bent(entries, stream.count()) == []
    assert numbers(search(wide, event="code.started"))[-1] == mark + 1


def test_attack_a_search_survives_a_removed_entry(busy: Harness) -> None:
    victim = matching(busy, patient="p1")[2]
    busy.redis.xdel(STREAM, f"{victim}-0")
    assert numbers(search(busy, patient="p1")) == matching(busy, patient="p1")


def test_no_event_and_no_actor_holds_what_would_break_a_term(busy: Harness) -> None:
    assert all("\n" not in event.value and "," not in event.value for event in Event)
