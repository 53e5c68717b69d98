"""A patient without an email address: on file, reached by what the practice carries itself, and never by mail."""

from __future__ import annotations

import pytest

from authsvc.errors import AlreadyExists, ChallengeGone, InvalidCode, LinkGone, NoAddress
from authsvc.model import Patient, TokenGrant
from tests.flows.conftest import Harness
from tests.flows.visitors import page


def on_file(harness: Harness, name: str = "p1", email: str | None = None, *, access: bool = True) -> None:
    harness.patients.put(harness.act(), name, email=email, label="Ann", portal_access=access)


def mailed_to(harness: Harness) -> list[str]:
    return [harness.mailed(at)["to"] for at in range(len(harness.outbox()))]


def test_the_patient_is_on_file_and_the_address_is_empty(harness: Harness) -> None:
    on_file(harness)
    assert harness.patients.get(harness.act(), "p1") == Patient("p1", "", "Ann", "", True)
    assert harness.patients.show(harness.act(), "p1")["email"] == ""


def test_whatever_asks_for_a_mail_is_refused(harness: Harness) -> None:
    on_file(harness)
    with pytest.raises(NoAddress):
        harness.codes.start(harness.act(), patient="p1")
    for workflow, resource in (("pay-invoice", "invoice:inv_1"), ("portal", None)):
        with pytest.raises(NoAddress):
            harness.link(workflow=workflow, resource=resource, delivery="email")
    with pytest.raises(NoAddress):
        harness.links.exchange(harness.act(), harness.access_link())
    assert harness.outbox() == []


def test_a_link_that_the_practice_carries_itself_works(harness: Harness) -> None:
    on_file(harness)
    grant = harness.links.exchange(harness.act(), harness.link())
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "p1"


def test_a_code_that_the_practice_carries_itself_works(harness: Harness) -> None:
    on_file(harness)
    assert harness.sign_in(patient="p1", delivery="caller").patient == "p1"


def test_a_dead_link_is_not_sent_anew_and_the_caller_learns_nothing(harness: Harness) -> None:
    on_file(harness)
    token = harness.link(max_uses=1)
    harness.links.exchange(harness.act(), token)
    harness.links.resend(harness.act(), token)
    assert harness.outbox() == []


def test_no_page_shows_where_a_code_would_go(harness: Harness) -> None:
    on_file(harness)
    assert harness.service.browser_sessions.contact(page(harness), "p1") is None
    assert harness.links.describe(page(harness), harness.access_link()).email_hint == ""


def test_attack_two_patients_without_an_address_share_no_mailbox(harness: Harness) -> None:
    on_file(harness, "p1")
    on_file(harness, "p2")
    started = harness.start(patient="p1", delivery="caller")
    grant = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "p1"


def test_attack_guesses_at_one_of_them_count_for_that_one_alone(harness: Harness) -> None:
    on_file(harness, "p1")
    on_file(harness, "p2")
    started = harness.start(patient="p1", delivery="caller")
    with pytest.raises(InvalidCode):
        harness.codes.verify(harness.act(), started.challenge, "000000")
    misses = {name: harness.patients.show(harness.act(), name)["consecutive_misses"] for name in ("p1", "p2")}
    assert misses == {"p1": 1, "p2": 0}


def test_taking_the_address_away_ends_what_rested_on_it_and_tells_the_old_mailbox(harness: Harness) -> None:
    on_file(harness, email="ann@example.org")
    grant, token = harness.sign_in(), harness.link()
    challenge = harness.start().challenge
    on_file(harness)
    assert harness.introspected(grant.access_token) == {"active": False}
    with pytest.raises(LinkGone, match="address_changed"):
        harness.links.exchange(harness.act(), token)
    with pytest.raises((ChallengeGone, InvalidCode)):
        harness.codes.verify(harness.act(), challenge, "314159")
    assert harness.mailed()["kind"] == "address-changed"
    assert mailed_to(harness)[-1] == "ann@example.org"
    assert harness.redis.keys("*mailbox*") == ["authsvc:{maple}:mailbox:none:p1"]


def test_a_first_address_ends_nothing_and_needs_no_notice(harness: Harness) -> None:
    on_file(harness)
    grant, token = harness.sign_in(patient="p1", delivery="caller"), harness.link()
    on_file(harness, email="ann@example.org")
    assert harness.introspected(grant.access_token)["active"]
    assert isinstance(harness.links.exchange(harness.act(), token), TokenGrant)
    assert harness.outbox() == []
    assert harness.events().count("patient.address_changed") == 1
    assert harness.sign_in().patient == "p1"


def test_a_typed_address_costs_the_same_whether_or_not_such_patients_are_there(harness: Harness) -> None:
    on_file(harness)
    started = harness.start(email="ann@example.org")
    with pytest.raises(InvalidCode) as caught:
        harness.codes.verify(harness.act(), started.challenge, "314159")
    assert caught.value.reason == "dummy"


def test_an_operator_grants_and_withdraws_access_without_touching_the_address(harness: Harness) -> None:
    on_file(harness, access=False)
    harness.patients.grant(harness.act(), "p1")
    assert harness.patients.get(harness.act(), "p1") == Patient("p1", "", "Ann", "", True)
    harness.patients.withdraw(harness.act(), "p1")
    assert harness.patients.get(harness.act(), "p1") == Patient("p1", "", "Ann", "", False)
    harness.patients.grant(harness.act(), "p1", email="ann@example.org")
    harness.patients.grant(harness.act(), "p1", label="Ann M.")
    assert harness.patients.get(harness.act(), "p1") == Patient("p1", "ann@example.org", "Ann M.", "", True)


def test_an_operator_adds_who_is_new_and_nobody_else(harness: Harness) -> None:
    added = harness.patients.add(harness.act(), "p1", email=None, label="Ann", locale="es", portal_access=False)
    assert added == harness.patients.get(harness.act(), "p1") == Patient("p1", "", "Ann", "es", False)
    with pytest.raises(AlreadyExists):
        harness.patients.add(harness.act(), "p1", email="ann@example.org", label="", locale="", portal_access=True)
