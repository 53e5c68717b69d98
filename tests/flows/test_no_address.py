"""A patient without an email address: on file, reached by what the practice carries itself, and never by mail."""

from __future__ import annotations

import pytest

from authsvc.errors import AlreadyExists, ChallengeGone, InvalidCode, LinkGone, NoAddress
from authsvc.model import Patient, TokenGrant
from tests.flows.conftest import House
from tests.flows.visitors import page


def on_file(house: House, name: str = "p1", email: str | None = None, *, access: bool = True) -> None:
    house.patients.put(house.act(), name, email=email, label="Ann", portal_access=access)


def mailed_to(house: House) -> list[str]:
    return [house.mailed(at)["to"] for at in range(len(house.outbox()))]


def test_the_patient_is_on_file_and_the_address_is_empty(house: House) -> None:
    on_file(house)
    assert house.patients.get(house.act(), "p1") == Patient("p1", "", "Ann", "", True)
    assert house.patients.show(house.act(), "p1")["email"] == ""


def test_whatever_asks_for_a_mail_is_refused(house: House) -> None:
    on_file(house)
    with pytest.raises(NoAddress):
        house.codes.start(house.act(), patient="p1")
    for workflow, resource in (("pay-invoice", "invoice:inv_1"), ("portal", None)):
        with pytest.raises(NoAddress):
            house.link(workflow=workflow, resource=resource, delivery="email")
    with pytest.raises(NoAddress):
        house.links.exchange(house.act(), house.access_link())
    assert house.outbox() == []


def test_a_link_that_the_practice_carries_itself_works(house: House) -> None:
    on_file(house)
    grant = house.links.exchange(house.act(), house.link())
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "p1"


def test_a_code_that_the_practice_carries_itself_works(house: House) -> None:
    on_file(house)
    assert house.sign_in(patient="p1", delivery="caller").patient == "p1"


def test_a_dead_link_is_not_sent_anew_and_the_caller_learns_nothing(house: House) -> None:
    on_file(house)
    token = house.link(max_uses=1)
    house.links.exchange(house.act(), token)
    house.links.resend(house.act(), token)
    assert house.outbox() == []


def test_no_page_shows_where_a_code_would_go(house: House) -> None:
    on_file(house)
    assert house.service.browser_sessions.contact(page(house), "p1") is None
    assert house.links.describe(page(house), house.access_link()).email_hint == ""


def test_attack_two_patients_without_an_address_share_no_mailbox(house: House) -> None:
    on_file(house, "p1")
    on_file(house, "p2")
    started = house.start(patient="p1", delivery="caller")
    grant = house.codes.verify(house.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "p1"


def test_attack_guesses_at_one_of_them_count_for_that_one_alone(house: House) -> None:
    on_file(house, "p1")
    on_file(house, "p2")
    started = house.start(patient="p1", delivery="caller")
    with pytest.raises(InvalidCode):
        house.codes.verify(house.act(), started.challenge, "000000")
    misses = {name: house.patients.show(house.act(), name)["consecutive_misses"] for name in ("p1", "p2")}
    assert misses == {"p1": 1, "p2": 0}


def test_taking_the_address_away_ends_what_rested_on_it_and_tells_the_old_mailbox(house: House) -> None:
    on_file(house, email="ann@example.org")
    grant, token = house.sign_in(), house.link()
    challenge = house.start().challenge
    on_file(house)
    assert house.introspected(grant.access_token) == {"active": False}
    with pytest.raises(LinkGone, match="address_changed"):
        house.links.exchange(house.act(), token)
    with pytest.raises((ChallengeGone, InvalidCode)):
        house.codes.verify(house.act(), challenge, "314159")
    assert house.mailed()["kind"] == "address-changed"
    assert mailed_to(house)[-1] == "ann@example.org"
    assert house.redis.keys("*mailbox*") == ["authsvc:{maple}:mailbox:none:p1"]


def test_a_first_address_ends_nothing_and_needs_no_notice(house: House) -> None:
    on_file(house)
    grant, token = house.sign_in(patient="p1", delivery="caller"), house.link()
    on_file(house, email="ann@example.org")
    assert house.introspected(grant.access_token)["active"]
    assert isinstance(house.links.exchange(house.act(), token), TokenGrant)
    assert house.outbox() == []
    assert house.events().count("patient.address_changed") == 1
    assert house.sign_in().patient == "p1"


def test_a_typed_address_costs_the_same_whether_or_not_such_patients_are_there(house: House) -> None:
    on_file(house)
    started = house.start(email="ann@example.org")
    with pytest.raises(InvalidCode) as caught:
        house.codes.verify(house.act(), started.challenge, "314159")
    assert caught.value.reason == "dummy"


def test_an_operator_grants_and_withdraws_access_without_touching_the_address(house: House) -> None:
    on_file(house, access=False)
    house.patients.grant(house.act(), "p1")
    assert house.patients.get(house.act(), "p1") == Patient("p1", "", "Ann", "", True)
    house.patients.withdraw(house.act(), "p1")
    assert house.patients.get(house.act(), "p1") == Patient("p1", "", "Ann", "", False)
    house.patients.grant(house.act(), "p1", email="ann@example.org")
    house.patients.grant(house.act(), "p1", label="Ann M.")
    assert house.patients.get(house.act(), "p1") == Patient("p1", "ann@example.org", "Ann M.", "", True)


def test_an_operator_adds_who_is_new_and_nobody_else(house: House) -> None:
    added = house.patients.add(house.act(), "p1", email=None, label="Ann", locale="es", portal_access=False)
    assert added == house.patients.get(house.act(), "p1") == Patient("p1", "", "Ann", "es", False)
    with pytest.raises(AlreadyExists):
        house.patients.add(house.act(), "p1", email="ann@example.org", label="", locale="", portal_access=True)
