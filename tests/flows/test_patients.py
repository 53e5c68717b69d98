"""Patients: created, changed, moved, withdrawn, deleted, merged."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.errors import ChallengeGone, InvalidCode, InvalidInput, LinkGone, LinkUnknown, PatientNotFound, UnknownName
from authsvc.model import Patient, TokenGrant
from tests import records
from tests.flows.conftest import House


def test_a_patient_is_created_then_changed_and_read_back(house: House) -> None:
    given: dict[str, Any] = {"email": " Ann@Example.org ", "label": "Ann M.", "locale": "es", "portal_access": True}
    patient, created = house.patients.put(house.act(), "p1", **given)
    assert created
    assert patient == Patient("p1", "Ann@Example.org", "Ann M.", "es", True)
    assert house.patients.get(house.act(), "p1") == patient
    _, created = house.patients.put(house.act(), "p1", **{**given, "label": "Ann"})
    assert not created
    assert house.patients.get(house.act(), "p1").label == "Ann"
    assert house.events()[-1] == "patient.changed"


@pytest.mark.parametrize("email", ["", "ann", "ann@", "ann@x", "a@x.org,b@y.org", "ann@ex\u2025ample.org", "a\n@x.org"])
def test_attack_an_address_that_is_not_one_is_refused(house: House, email: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        house.patients.put(house.act(), "p1", email=email, portal_access=True)
    assert caught.value.faults[0].pointer == "/email"
    with pytest.raises(PatientNotFound):
        house.patients.get(house.act(), "p1")


def test_a_changed_address_tells_both_mailboxes(house: House) -> None:
    house.patient(email="old@example.org")
    house.patient(email="new@example.org")
    assert [(house.mailed(at)["kind"], house.mailed(at)["to"]) for at in (0, 1)] == [
        ("address-changed", "old@example.org"),
        ("address-changed", "new@example.org"),
    ]
    assert "patient.address_changed" in house.events()


def test_after_a_change_of_address_codes_go_to_the_new_one_and_the_subject_stays(house: House) -> None:
    house.patient(email="old@example.org")
    before = house.sign_in(email="old@example.org")
    house.patient(email="new@example.org")
    after = house.sign_in(email="new@example.org")
    assert before.patient == after.patient
    started = house.start(email="old@example.org")
    with pytest.raises(InvalidCode) as caught:
        house.codes.verify(house.act(), started.challenge, "314159")
    assert caught.value.reason == "dummy"


def test_access_granted_and_withdrawn_are_told_apart_in_the_trail(house: House) -> None:
    house.patient(access=False)
    house.patient(access=True)
    house.patients.withdraw(house.act(), "p1")
    assert [event for event in house.events() if event in ("patient.granted", "patient.withdrawn")] == [
        "patient.granted",
        "patient.withdrawn",
    ]


def test_an_operators_grant_keeps_what_is_known(house: House) -> None:
    house.patients.put(house.act(), "p1", email="ann@example.org", label="Ann", locale="es", portal_access=False)
    house.patients.grant(house.act(), "p1", email="ann@example.org")
    assert house.patients.get(house.act(), "p1") == Patient("p1", "ann@example.org", "Ann", "es", True)
    house.patients.grant(house.act(), "p2", email="bob@example.org", label="Bob")
    assert house.patients.get(house.act(), "p2").label == "Bob"
    house.patients.grant(house.act(), "p3", email="cy@example.org")
    assert house.patients.get(house.act(), "p3").label == ""


def test_a_deleted_patient_leaves_nothing_that_works(house: House) -> None:
    house.patient()
    grant, instant = house.sign_in(), house.link()
    by_link = house.links.exchange(house.act(), instant)
    assert isinstance(by_link, TokenGrant)
    house.patients.delete(house.act(), "p1")
    assert [house.introspected(each.access_token) for each in (grant, by_link)] == [{"active": False}] * 2
    with pytest.raises(LinkGone, match="revoked"):
        house.links.exchange(house.act(), instant)
    for call in (house.patients.get, house.patients.delete, house.patients.unlock, house.patients.deliveries):
        with pytest.raises(PatientNotFound):
            call(house.act(), "p1")


def test_attack_a_patient_made_again_under_the_same_id_inherits_nothing(house: House) -> None:
    house.patient()
    started, token = house.start(), house.access_link()
    house.patients.delete(house.act(), "p1")
    house.patient()
    with pytest.raises(InvalidCode):
        house.codes.verify(house.act(), started.challenge, "314159")
    with pytest.raises(LinkGone):
        house.links.exchange(house.act(), token)


def test_a_merged_id_means_the_other_patient_from_then_on(house: House) -> None:
    house.patient("old", "ann@example.org")
    house.patient("new", "ann@example.org")
    token = house.link(patient="old")
    house.patients.merge(house.act(), "old", "new")
    by_link = house.links.exchange(house.act(), token)
    assert isinstance(by_link, TokenGrant)
    assert by_link.patient == "new"
    assert house.sign_in(patient="old").patient == "new"
    assert house.patients.get(house.act(), "old").id == "new"
    assert house.introspected(by_link.access_token)["active"]


def test_a_merge_needs_two_patients_that_are_on_file(house: House) -> None:
    house.patient("old")
    with pytest.raises(PatientNotFound):
        house.patients.merge(house.act(), "old", "nobody")
    with pytest.raises(PatientNotFound):
        house.patients.merge(house.act(), "nobody", "old")
    with pytest.raises(UnknownName):
        house.patients.merge(house.act(), "old", "old")
    house.patients.get(house.act(), "old")


def test_what_happened_to_the_mail_can_be_asked(house: House) -> None:
    house.patient()
    house.start()
    (delivery,) = house.patients.deliveries(house.act(), "p1")
    assert (delivery.kind, delivery.channel, delivery.state) == ("code", "email", "queued")


def test_withdrawn_access_ends_the_challenge_of_a_shared_mailbox_for_that_patient_only(house: House) -> None:
    house.patient("ann")
    house.patient("bob")
    started = house.start()
    house.patients.withdraw(house.act(), "ann")
    grant = house.codes.verify(house.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "bob"


def test_practices_do_not_see_each_other(house: House) -> None:
    house.patient()
    started = house.start()
    token = house.link()
    oak = house.service.practices.add("oak", name="Oak", actor="cli:test")
    both, _ = house.new_client("both", practices=("maple", "oak"))
    act = house.service.act(oak, both)
    with pytest.raises(PatientNotFound):
        house.patients.get(act, "p1")
    with pytest.raises(ChallengeGone):
        house.codes.verify(house.service.act(oak, house.client), started.challenge, "314159")
    with pytest.raises(LinkUnknown):
        house.links.exchange(house.service.act(oak, house.client), token)


def test_attack_an_address_put_in_another_patients_place_does_not_open(house: House) -> None:
    house.patient("victim", "victim@example.org")
    house.patient("intruder", "intruder@example.org")
    own = records.read(house.redis, "patient", "intruder")["address"]
    records.change(house.redis, "patient", "victim", address=own)
    house.codes.start(house.act(), patient="victim")
    with pytest.raises(ValueError, match="does not open"):
        house.mailed()


def test_an_operator_who_looks_at_a_patient_leaves_a_trace_and_a_client_does_not(house: House) -> None:
    house.patient()
    house.patients.get(house.act(), "p1")
    assert "patient.viewed" not in house.events()
    house.patients.show(house.service.act(house.practice, actor="cli:anna", reason="called us"), "p1")
    assert {"event": "patient.viewed", "actor": "cli:anna", "reason": "called us", "patient": "p1"}.items() <= (
        house.trail()[-1].items()
    )


def test_merges_follow_one_another_and_links_go_along(house: House) -> None:
    for number, name in enumerate(("first", "second", "third")):
        house.patient(name, f"{name}@example.org")
        house.clock.advance_s(number)
    token = house.link(patient="first")
    dead = house.link(patient="first", resource="invoice:inv_2", expires_in=1)
    house.clock.advance_s(2)
    house.patient("third", "third.new@example.org")
    house.patients.merge(house.act(), "first", "second")
    house.patients.merge(house.act(), "second", "third")
    assert house.patients.get(house.act(), "first").id == "third"
    assert {link.state for link in house.links.list(house.act(), "first")} == {"live", "expired"}
    by_link = house.links.exchange(house.act(), token)
    assert isinstance(by_link, TokenGrant)
    assert by_link.patient == "third"
    with pytest.raises(LinkGone, match="expired"):
        house.links.exchange(house.act(), dead)
    assert house.links.revoke_where(house.act(), patient="first") == 1
    assert house.introspected(by_link.access_token) == {"active": False}


def test_attack_a_merge_in_a_circle_is_refused(house: House) -> None:
    house.patient("a", "a@example.org")
    house.patient("b", "b@example.org")
    house.patients.merge(house.act(), "a", "b")
    with pytest.raises(PatientNotFound):
        house.patients.merge(house.act(), "b", "a")
    assert house.patients.get(house.act(), "a").id == "b"


def test_a_merged_id_that_is_put_on_file_again_means_that_patient(house: House) -> None:
    house.patient("a", "a@example.org")
    house.patient("b", "b@example.org")
    house.patients.merge(house.act(), "a", "b")
    house.patient("a", "again@example.org")
    assert house.patients.get(house.act(), "a").email == "again@example.org"
    assert house.links.list(house.act(), "a") == []


def test_deleting_a_patient_ends_the_links_of_who_was_merged_into_it(house: House) -> None:
    house.patient("a", "a@example.org")
    house.patient("b", "b@example.org")
    token = house.link(patient="a")
    house.patients.merge(house.act(), "a", "b")
    house.patients.delete(house.act(), "b")
    with pytest.raises(LinkGone, match="revoked"):
        house.links.exchange(house.act(), token)


def test_attack_patients_without_end_on_one_mailbox_are_refused_with_a_reason(wide: House) -> None:
    wide.patient("p0", "all@example.org")
    (mailbox,) = wide.redis.scan_iter("authsvc:{maple}:mailbox:*")
    wide.redis.set(mailbox, "\n".join(f"p{number:03}" for number in range(200)))
    with pytest.raises(InvalidInput, match="share this address"):
        wide.patient("one_more", "all@example.org")
