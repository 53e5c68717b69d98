"""Patients: created, changed, moved, withdrawn, deleted, merged."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.errors import ChallengeGone, InvalidCode, InvalidInput, LinkGone, LinkUnknown, PatientNotFound, UnknownName
from authsvc.model import Patient, TokenGrant
from tests import records
from tests.flows.conftest import Harness


def test_a_patient_is_created_then_changed_and_read_back(harness: Harness) -> None:
    given: dict[str, Any] = {"email": " Ann@Example.org ", "label": "Ann M.", "locale": "es", "portal_access": True}
    patient, created = harness.patients.put(harness.act(), "p1", **given)
    assert created
    assert patient == Patient("p1", "Ann@Example.org", "Ann M.", "es", True)
    assert harness.patients.get(harness.act(), "p1") == patient
    _, created = harness.patients.put(harness.act(), "p1", **{**given, "label": "Ann"})
    assert not created
    assert harness.patients.get(harness.act(), "p1").label == "Ann"
    assert harness.events()[-1] == "patient.changed"


@pytest.mark.parametrize("email", ["", "ann", "ann@", "ann@x", "a@x.org,b@y.org", "ann@ex\u2025ample.org", "a\n@x.org"])
def test_attack_an_address_that_is_not_one_is_refused(harness: Harness, email: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        harness.patients.put(harness.act(), "p1", email=email, portal_access=True)
    assert caught.value.faults[0].pointer == "/email"
    with pytest.raises(PatientNotFound):
        harness.patients.get(harness.act(), "p1")


def test_a_changed_address_tells_both_mailboxes(harness: Harness) -> None:
    harness.patient(email="old@example.org")
    harness.patient(email="new@example.org")
    assert [(harness.mailed(at)["kind"], harness.mailed(at)["to"]) for at in (0, 1)] == [
        ("address-changed", "old@example.org"),
        ("address-changed", "new@example.org"),
    ]
    assert "patient.address_changed" in harness.events()


def test_after_a_change_of_address_codes_go_to_the_new_one_and_the_subject_stays(harness: Harness) -> None:
    harness.patient(email="old@example.org")
    before = harness.sign_in(email="old@example.org")
    harness.patient(email="new@example.org")
    after = harness.sign_in(email="new@example.org")
    assert before.patient == after.patient
    started = harness.start(email="old@example.org")
    with pytest.raises(InvalidCode) as caught:
        harness.codes.verify(harness.act(), started.challenge, "314159")
    assert caught.value.reason == "dummy"


def test_access_granted_and_withdrawn_are_told_apart_in_the_trail(harness: Harness) -> None:
    harness.patient(access=False)
    harness.patient(access=True)
    harness.patients.withdraw(harness.act(), "p1")
    assert [event for event in harness.events() if event in ("patient.granted", "patient.withdrawn")] == [
        "patient.granted",
        "patient.withdrawn",
    ]


def test_an_operators_grant_keeps_what_is_known(harness: Harness) -> None:
    harness.patients.put(harness.act(), "p1", email="ann@example.org", label="Ann", locale="es", portal_access=False)
    harness.patients.grant(harness.act(), "p1", email="ann@example.org")
    assert harness.patients.get(harness.act(), "p1") == Patient("p1", "ann@example.org", "Ann", "es", True)
    harness.patients.grant(harness.act(), "p2", email="bob@example.org", label="Bob")
    assert harness.patients.get(harness.act(), "p2").label == "Bob"
    harness.patients.grant(harness.act(), "p3", email="cy@example.org")
    assert harness.patients.get(harness.act(), "p3").label == ""


def test_a_deleted_patient_leaves_nothing_that_works(harness: Harness) -> None:
    harness.patient()
    grant, instant = harness.sign_in(), harness.link()
    by_link = harness.links.exchange(harness.act(), instant)
    assert isinstance(by_link, TokenGrant)
    harness.patients.delete(harness.act(), "p1")
    assert [harness.introspected(each.access_token) for each in (grant, by_link)] == [{"active": False}] * 2
    with pytest.raises(LinkGone, match="revoked"):
        harness.links.exchange(harness.act(), instant)
    for call in (harness.patients.get, harness.patients.delete, harness.patients.unlock, harness.patients.deliveries):
        with pytest.raises(PatientNotFound):
            call(harness.act(), "p1")


def test_attack_a_patient_made_again_under_the_same_id_inherits_nothing(harness: Harness) -> None:
    harness.patient()
    started, token = harness.start(), harness.access_link()
    harness.patients.delete(harness.act(), "p1")
    harness.patient()
    with pytest.raises(InvalidCode):
        harness.codes.verify(harness.act(), started.challenge, "314159")
    with pytest.raises(LinkGone):
        harness.links.exchange(harness.act(), token)


def test_a_merged_id_means_the_other_patient_from_then_on(harness: Harness) -> None:
    harness.patient("old", "ann@example.org")
    harness.patient("new", "ann@example.org")
    token = harness.link(patient="old")
    harness.patients.merge(harness.act(), "old", "new")
    by_link = harness.links.exchange(harness.act(), token)
    assert isinstance(by_link, TokenGrant)
    assert by_link.patient == "new"
    assert harness.sign_in(patient="old").patient == "new"
    assert harness.patients.get(harness.act(), "old").id == "new"
    assert harness.introspected(by_link.access_token)["active"]


def test_a_merge_needs_two_patients_that_are_on_file(harness: Harness) -> None:
    harness.patient("old")
    with pytest.raises(PatientNotFound):
        harness.patients.merge(harness.act(), "old", "nobody")
    with pytest.raises(PatientNotFound):
        harness.patients.merge(harness.act(), "nobody", "old")
    with pytest.raises(UnknownName):
        harness.patients.merge(harness.act(), "old", "old")
    harness.patients.get(harness.act(), "old")


def test_what_happened_to_the_mail_can_be_asked(harness: Harness) -> None:
    harness.patient()
    harness.start()
    (delivery,) = harness.patients.deliveries(harness.act(), "p1")
    assert (delivery.kind, delivery.channel, delivery.state) == ("code", "email", "queued")


def test_withdrawn_access_ends_the_challenge_of_a_shared_mailbox_for_that_patient_only(harness: Harness) -> None:
    harness.patient("ann")
    harness.patient("bob")
    started = harness.start()
    harness.patients.withdraw(harness.act(), "ann")
    grant = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "bob"


def test_practices_do_not_see_each_other(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    token = harness.link()
    oak = harness.service.practices.add("oak", name="Oak", actor="cli:test")
    both, _ = harness.new_client("both", practices=("maple", "oak"))
    act = harness.service.act(oak, both)
    with pytest.raises(PatientNotFound):
        harness.patients.get(act, "p1")
    with pytest.raises(ChallengeGone):
        harness.codes.verify(harness.service.act(oak, harness.client), started.challenge, "314159")
    with pytest.raises(LinkUnknown):
        harness.links.exchange(harness.service.act(oak, harness.client), token)


def test_attack_an_address_put_in_another_patients_place_does_not_open(harness: Harness) -> None:
    harness.patient("victim", "victim@example.org")
    harness.patient("intruder", "intruder@example.org")
    own = records.read(harness.redis, "patient", "intruder")["address"]
    records.change(harness.redis, "patient", "victim", address=own)
    harness.codes.start(harness.act(), patient="victim")
    with pytest.raises(ValueError, match="does not open"):
        harness.mailed()


def test_an_operator_who_looks_at_a_patient_leaves_a_trace_and_a_client_does_not(harness: Harness) -> None:
    harness.patient()
    harness.patients.get(harness.act(), "p1")
    assert "patient.viewed" not in harness.events()
    harness.patients.show(harness.service.act(harness.practice, actor="cli:anna", reason="called us"), "p1")
    assert {"event": "patient.viewed", "actor": "cli:anna", "reason": "called us", "patient": "p1"}.items() <= (
        harness.audit_entries()[-1].items()
    )


def test_merges_follow_one_another_and_links_go_along(harness: Harness) -> None:
    for number, name in enumerate(("first", "second", "third")):
        harness.patient(name, f"{name}@example.org")
        harness.clock.advance_s(number)
    token = harness.link(patient="first")
    dead = harness.link(patient="first", resource="invoice:inv_2", expires_in=1)
    harness.clock.advance_s(2)
    harness.patient("third", "third.new@example.org")
    harness.patients.merge(harness.act(), "first", "second")
    harness.patients.merge(harness.act(), "second", "third")
    assert harness.patients.get(harness.act(), "first").id == "third"
    assert {link.state for link in harness.links.list(harness.act(), "first")} == {"live", "expired"}
    by_link = harness.links.exchange(harness.act(), token)
    assert isinstance(by_link, TokenGrant)
    assert by_link.patient == "third"
    with pytest.raises(LinkGone, match="expired"):
        harness.links.exchange(harness.act(), dead)
    assert harness.links.revoke_where(harness.act(), patient="first") == 1
    assert harness.introspected(by_link.access_token) == {"active": False}


def test_attack_a_merge_in_a_circle_is_refused(harness: Harness) -> None:
    harness.patient("a", "a@example.org")
    harness.patient("b", "b@example.org")
    harness.patients.merge(harness.act(), "a", "b")
    with pytest.raises(PatientNotFound):
        harness.patients.merge(harness.act(), "b", "a")
    assert harness.patients.get(harness.act(), "a").id == "b"


def test_a_merged_id_that_is_put_on_file_again_means_that_patient(harness: Harness) -> None:
    harness.patient("a", "a@example.org")
    harness.patient("b", "b@example.org")
    harness.patients.merge(harness.act(), "a", "b")
    harness.patient("a", "again@example.org")
    assert harness.patients.get(harness.act(), "a").email == "again@example.org"
    assert harness.links.list(harness.act(), "a") == []


def test_deleting_a_patient_ends_the_links_of_who_was_merged_into_it(harness: Harness) -> None:
    harness.patient("a", "a@example.org")
    harness.patient("b", "b@example.org")
    token = harness.link(patient="a")
    harness.patients.merge(harness.act(), "a", "b")
    harness.patients.delete(harness.act(), "b")
    with pytest.raises(LinkGone, match="revoked"):
        harness.links.exchange(harness.act(), token)


def test_attack_patients_without_end_on_one_mailbox_are_refused_with_a_reason(wide: Harness) -> None:
    wide.patient("p0", "all@example.org")
    (mailbox,) = wide.redis.scan_iter("authsvc:{maple}:mailbox:*")
    wide.redis.set(mailbox, "\n".join(f"p{number:03}" for number in range(200)))
    with pytest.raises(InvalidInput, match="share this address"):
        wide.patient("one_more", "all@example.org")
