"""The audit trail: sealed, checked, and honest about what it can't vouch for."""

from __future__ import annotations

import pytest

from authsvc.errors import UnknownName
from authsvc.flows.audit_log import AuditLog
from tests.audit_logs import tail
from tests.flows.conftest import Harness

STREAM = "authsvc:{maple}:audit"


@pytest.fixture
def audit_log(harness: Harness) -> AuditLog:
    harness.patient()
    harness.sign_in()
    harness.sign_in()
    harness.service.audit_log.seal("maple")
    return harness.service.audit_log


def number(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


def rewrite(harness: Harness, change: dict[int, dict[str, str] | None]) -> None:
    """Write the stream anew with some entries changed or (None) left out: an intruder with all of Redis."""
    entries = harness.redis.xrange(STREAM)
    harness.redis.delete(STREAM)
    for entry_id, fields in entries:
        new = change.get(number(entry_id), {})
        if new is not None:
            harness.redis.xadd(STREAM, {**fields, **new}, id=entry_id)


def test_an_untouched_trail_is_whole(harness: Harness, audit_log: AuditLog) -> None:
    verdict = audit_log.verify("maple")
    assert (verdict.faults, verdict.unsealed) == ((), 0)
    assert verdict.entries == verdict.sealed_to == len(harness.audit_entries())


def test_the_young_tail_is_said_to_be_unsealed(harness: Harness, audit_log: AuditLog) -> None:
    harness.patient("p2", "bob@example.org")
    assert audit_log.verify("maple").unsealed == 2
    audit_log.seal_all()
    assert audit_log.verify("maple").unsealed == 0


def test_attack_a_changed_text_is_found_and_named(harness: Harness, audit_log: AuditLog) -> None:
    text = harness.redis.xrange(STREAM)[2][1]["t"]
    rewrite(harness, {3: {"t": text.replace("client:portal", "client:somebody-else")}})
    assert any("entry 3:" in fault for fault in audit_log.verify("maple").faults)


def test_attack_a_changed_fact_is_found_and_named(harness: Harness, audit_log: AuditLog) -> None:
    rewrite(harness, {4: {"d": "patient=somebody-else"}})
    assert any(fault.startswith("entry 4 ") for fault in audit_log.verify("maple").faults)


def test_attack_a_removed_entry_is_found_and_named(harness: Harness, audit_log: AuditLog) -> None:
    rewrite(harness, {2: None})
    assert "entry 2 is missing" in audit_log.verify("maple").faults


def test_attack_swapped_entries_are_found(harness: Harness, audit_log: AuditLog) -> None:
    by_number = {number(n): fields for n, fields in harness.redis.xrange(STREAM)}
    rewrite(harness, {3: by_number[4], 4: by_number[3]})
    assert any("entry 3" in fault for fault in audit_log.verify("maple").faults)


def test_attack_renumbered_entries_are_found(harness: Harness, audit_log: AuditLog) -> None:
    by_number = {number(n): fields for n, fields in harness.redis.xrange(STREAM)}
    rewrite(harness, {3: by_number[4], 4: by_number[3]})
    faults = audit_log.verify("maple").faults
    assert any("entry 3 is not" in fault for fault in faults)
    assert any("entry 4 is not" in fault for fault in faults)


def test_attack_an_entry_that_is_replayed_behind_the_seal_is_found(harness: Harness, audit_log: AuditLog) -> None:
    """By somebody who may write to Redis, with the counter moved on as a script would."""
    replayed = len(harness.audit_entries()) + 1
    harness.redis.xadd(STREAM, harness.redis.xrange(STREAM)[0][1], id=f"{replayed}-0")
    harness.redis.incr("authsvc:{maple}:audit-n")
    assert f"entry {replayed} repeats entry 1" in audit_log.verify("maple").faults
    audit_log.seal("maple")
    assert f"entry {replayed} repeats entry 1" in audit_log.verify("maple").faults


def test_attack_an_outcome_cannot_be_turned_into_another(harness: Harness, audit_log: AuditLog) -> None:
    """A missed code becomes a verified one: the MAC binds the event to the call."""
    harness.sign_in()
    last = len(harness.audit_entries())
    rewrite(harness, {last: {"e": "code.missed"}})
    assert f"entry {last}: its text was changed" in audit_log.verify("maple").faults


def test_attack_an_entry_of_another_practice_is_no_entry_of_this_one(harness: Harness, audit_log: AuditLog) -> None:
    harness.service.practices.add("oak", name="Oak", actor="cli:test")
    harness.redis.xadd("authsvc:{oak}:audit", harness.redis.xrange(STREAM)[0][1], id="1-0")
    harness.redis.incr("authsvc:{oak}:audit-n")
    assert "entry 1: its text was changed" in audit_log.verify("oak").faults


def test_attack_a_forged_seal_is_found(harness: Harness, audit_log: AuditLog) -> None:
    key = "authsvc:{maple}:audit-seals"
    seal = harness.redis.lindex(key, 0).split("\n")
    harness.redis.lset(key, 0, "\n".join([*seal[:3], "A" * 43]))
    assert any("don't match their seal" in fault for fault in audit_log.verify("maple").faults)


def test_attack_a_removed_seal_is_found(harness: Harness, audit_log: AuditLog) -> None:
    harness.sign_in()
    audit_log.seal("maple")
    harness.redis.lpop("authsvc:{maple}:audit-seals")
    assert any("the seals skip" in fault for fault in audit_log.verify("maple").faults)


def test_attack_entries_removed_from_the_young_tail_are_missed(harness: Harness, audit_log: AuditLog) -> None:
    harness.sign_in()
    last = len(harness.audit_entries())
    rewrite(harness, {last: None})
    assert f"entry {last} is missing" in audit_log.verify("maple").faults


def test_an_exported_trail_may_be_trimmed_and_what_stays_is_still_checked(
    harness: Harness, audit_log: AuditLog
) -> None:
    entries, mark = audit_log.export("maple")
    exported = list(entries)
    assert harness.redis.xlen(STREAM) == len(exported)
    assert audit_log.trim("maple", mark, actor="cli:anna", reason="kept elsewhere") == len(exported)
    assert tail(audit_log, "@site")[-1]["event"] == "audit.trimmed"
    assert [entry["n"] for entry in exported] == list(range(1, len(exported) + 1))
    assert harness.redis.xlen(STREAM) == 0
    harness.sign_in()
    audit_log.seal("maple")
    verdict = audit_log.verify("maple")
    assert (verdict.faults, verdict.entries) == ((), 2)
    rewrite(harness, {verdict.sealed_to: {"d": "patient=p9"}})
    assert audit_log.verify("maple").faults


def test_an_export_without_trim_changes_nothing(harness: Harness, audit_log: AuditLog) -> None:
    before = harness.redis.xlen(STREAM)
    entries, _ = audit_log.export("maple")
    assert len(list(entries)) == before == harness.redis.xlen(STREAM)
    entries, mark = audit_log.export("@keys")
    assert next(entries)["event"] == "key.created"
    assert audit_log.trim("@keys", mark, actor="cli:anna") == 0


def test_every_entry_says_who_did_what_when_and_for_whom(harness: Harness, audit_log: AuditLog) -> None:
    entry = next(entry for entry in harness.audit_entries() if entry["event"] == "code.verified")
    assert {"actor": "client:portal", "practice": "maple", "patient": "p1", "via": "typed"}.items() <= entry.items()
    assert entry["at_ms"] == harness.clock.now_ms()
    assert "example.org" not in str(harness.audit_entries())


def test_an_unknown_trail_is_an_error(audit_log: AuditLog) -> None:
    with pytest.raises(UnknownName):
        audit_log.verify("nobody")
    with pytest.raises(UnknownName):
        tail(audit_log, "nobody")


def test_how_an_older_entry_says_that_a_code_was_verified_is_not_mistaken_for_a_person(harness: Harness) -> None:
    harness.patient()
    harness.redis.xadd(STREAM, {**harness.redis.xrange(STREAM)[-1][1], "d": "patient=p1&sid=s&by=typed"}, id="3-0")
    entry = harness.audit_entries()[-1]
    assert (entry["via"], "by" in entry) == ("typed", False)
