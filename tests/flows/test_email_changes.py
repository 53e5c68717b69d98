"""A patient changes the email address: the new mailbox is proved by a code before anything moves."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.errors import ChallengeGone, InvalidCode, InvalidInput, LinkGone, PatientNotFound, RateLimited
from authsvc.model import Patient, RequestContext, Started, TokenGrant
from tests.flows.conftest import House
from tests.flows.visitors import Portal, enter

OLD, NEW = "ann@example.org", "ann.new@example.org"
CODE = "271828"


def start(house: House, code: str = CODE, *, act: RequestContext | None = None, **how: Any) -> Started:
    """Start a change whose code is known to the test."""
    house.entropy.next_below(int(code))
    return house.service.email_changes.start(act or house.act(), **{"patient": "p1", "email": NEW, **how})


def verify(house: House, started: Started, code: str = CODE, *, act: RequestContext | None = None) -> Patient:
    return house.service.email_changes.verify(act or house.act(), started.challenge, code)


def why_not(house: House, started: Started, code: str = CODE) -> str:
    with pytest.raises((InvalidCode, ChallengeGone)) as caught:
        verify(house, started, code)
    return caught.value.reason


def address(house: House) -> str:
    return house.patients.get(house.act(), "p1").email


def mails(house: House) -> list[tuple[str, str]]:
    return [(house.mailed(at)["kind"], house.mailed(at)["to"]) for at in range(len(house.outbox()))]


# --- what it does -------------------------------------------------------------------------------------------------


def test_a_code_goes_to_the_new_mailbox_and_nothing_has_changed_yet(house: House) -> None:
    house.patient()
    grant = house.sign_in()
    start(house)
    assert (house.mailed()["kind"], house.mailed()["to"], house.mailed()["code"]) == ("email-change", NEW, CODE)
    assert address(house) == OLD
    assert house.introspected(grant.access_token)["active"]
    assert house.events()[-1] == "patient.address_change_started"


def test_the_code_moves_the_patient_and_both_mailboxes_get_a_notice(house: House) -> None:
    house.patient(label="Ann")
    changed = verify(house, start(house))
    assert changed == house.patients.get(house.act(), "p1") == Patient("p1", NEW, "Ann", "", True)
    assert mails(house)[-2:] == [("address-changed", OLD), ("address-changed", NEW)]
    assert house.trail()[-1]["event"] == "patient.address_changed"
    assert house.trail()[-1]["via"] == "code"
    assert house.sign_in(email=NEW).patient == "p1"


def test_what_rested_on_the_old_address_ends_and_the_named_session_stays(house: House) -> None:
    house.patient()
    other, link = house.sign_in(), house.link()
    challenge = house.start().challenge
    here = house.sign_in()
    verify(house, start(house, session=here.session))
    assert house.introspected(here.access_token)["active"]
    assert house.sessions.refresh(house.client, here.refresh_token or "", None, "").patient == "p1"
    assert not house.introspected(other.access_token)["active"]
    with pytest.raises(LinkGone, match="address_changed"):
        house.links.exchange(house.act(), link)
    with pytest.raises(InvalidCode):
        house.codes.verify(house.act(), challenge, "314159")


def test_of_a_browser_the_named_clients_session_stays_and_the_other_clients_end(house: House) -> None:
    house.patient()
    entered = enter(house, OLD)
    here, there = (Portal(house, name).tokens(entered.cookie) for name in ("web", "shop"))
    verify(house, start(house, session=here.session))
    assert house.introspected(here.access_token)["active"]
    assert not house.introspected(there.access_token)["active"]


def test_without_a_named_session_all_end(house: House) -> None:
    house.patient()
    grant = house.sign_in()
    verify(house, start(house))
    assert not house.introspected(grant.access_token)["active"]


def test_a_second_press_gets_the_same_answer_for_some_seconds(house: House) -> None:
    house.patient()
    started = start(house)
    assert verify(house, started) == verify(house, started)
    assert house.events().count("patient.address_changed") == 1
    house.clock.advance_s(6)
    assert why_not(house, started) == "spent"


def test_another_spelling_of_the_same_address_ends_nothing(house: House) -> None:
    house.patient()
    grant = house.sign_in()
    verify(house, start(house, email="Ann@Example.org"))
    assert address(house) == "Ann@Example.org"
    assert house.introspected(grant.access_token)["active"]
    assert house.events()[-1] == "patient.changed"


def test_an_address_that_another_patient_has_is_fine(house: House) -> None:
    house.patient()
    house.patient("p2", NEW)
    assert verify(house, start(house)).email == NEW
    assert house.codes.verify(house.act(), house.start(email=NEW).challenge, "314159", "p1")


def test_a_patient_without_an_address_proves_the_first_one(house: House) -> None:
    house.patients.put(house.act(), "p1", email=None, portal_access=True)
    grant = house.sign_in(patient="p1", delivery="caller")
    verify(house, start(house))
    assert address(house) == NEW
    assert house.introspected(grant.access_token)["active"]
    assert mails(house) == [("email-change", NEW)]


def test_another_code_goes_to_the_new_mailbox_by_the_ordinary_resend(house: House) -> None:
    house.patient()
    started = start(house)
    with pytest.raises(RateLimited):
        house.codes.resend(house.act(), started.challenge)
    house.clock.advance_s(30)
    house.entropy.next_below(161803)
    house.codes.resend(house.act(), started.challenge)
    assert (house.mailed()["kind"], house.mailed()["to"], house.mailed()["code"]) == ("email-change", NEW, "161803")
    assert verify(house, started, "161803").email == NEW


def test_the_same_idempotency_key_starts_one_change(house: House) -> None:
    house.patient()
    acts = [house.act(idempotency_key="k", fingerprint=b"b") for _ in range(2)]
    assert start(house, act=acts[0]) == start(house, act=acts[1])
    assert mails(house) == [("email-change", NEW)]


def test_the_mail_is_in_the_language_that_was_asked_for_or_the_patients(house: House) -> None:
    house.patients.put(house.act(), "p1", email=OLD, locale="es", portal_access=True)
    start(house)
    start(house, locale="en")
    assert [house.mailed(at)["locale"] for at in (-2, -1)] == ["es", "en"]


def test_a_merged_patients_old_id_means_the_new_one(house: House) -> None:
    house.patient()
    house.patient("p0", "zoe@example.org")
    house.patients.merge(house.act(), "p0", "p1")
    assert verify(house, start(house, patient="p0")).id == "p1"


def test_a_mail_whose_change_is_over_is_not_sent(house: House) -> None:
    house.patient()
    start(house)
    (entry,) = house.service.outbox.take("maple", "codes", "worker", 30_000, 5).entries
    assert house.service.outbox.begin("maple", entry, "worker", 30_000) != "cancelled"
    house.patient(email="else@example.org")
    assert house.service.outbox.begin("maple", entry, "worker", 30_000) == "cancelled"


# --- what is refused ----------------------------------------------------------------------------------------------


def test_who_is_not_on_file_or_what_is_no_address_is_refused(house: House) -> None:
    house.patient()
    with pytest.raises(PatientNotFound):
        start(house, patient="p9")
    with pytest.raises(InvalidInput) as caught:
        start(house, email="nonsense")
    assert caught.value.faults[0].pointer == "/email"


def test_who_was_deleted_meanwhile_is_not_on_file(house: House) -> None:
    house.patient()
    started = start(house)
    house.patients.delete(house.act(), "p1")
    assert why_not(house, started) == "superseded"


def test_a_mailbox_that_too_many_patients_share_is_refused_and_nothing_moves(wide: House) -> None:
    wide.patient()
    for number in range(200):
        wide.patient(f"q{number}", NEW)
    with pytest.raises(InvalidInput):
        verify(wide, start(wide))
    assert address(wide) == OLD


# --- attacks ------------------------------------------------------------------------------------------------------


def test_attack_a_code_of_a_sign_in_does_not_finish_a_change_nor_does_one_of_a_change_sign_in(house: House) -> None:
    house.patient()
    sign_in, change = house.start(), start(house)
    assert why_not(house, sign_in, "314159") == "unknown"
    assert address(house) == OLD
    with pytest.raises(ChallengeGone) as caught:
        house.codes.verify(house.act(), change.challenge, CODE)
    assert caught.value.reason == "unknown"
    with pytest.raises(ChallengeGone):
        house.codes.choose(house.act(), change.challenge, "p1")
    with pytest.raises(ChallengeGone):
        house.codes.choices(house.act(), change.challenge)
    assert verify(house, change).email == NEW


def test_attack_a_change_that_is_done_is_no_key_to_the_session_that_stayed(house: House) -> None:
    house.patient()
    here = house.sign_in()
    change = start(house, session=here.session)
    verify(house, change)
    for attempt in (
        lambda: house.codes.verify(house.act(), change.challenge, CODE),
        lambda: house.codes.choose(house.act(), change.challenge, "p1"),
    ):
        with pytest.raises(ChallengeGone):
            attempt()


def test_attack_a_strangers_session_is_not_saved_and_not_ended(house: House) -> None:
    house.patient()
    house.patient("p2", "mallory@example.org")
    ann, mallory = house.sign_in(), house.sign_in(email="mallory@example.org")
    verify(house, start(house, session=mallory.session))
    assert not house.introspected(ann.access_token)["active"]
    assert house.introspected(mallory.access_token)["active"]
    assert [one.patient for one in house.sessions.list(house.act(), "p2")] == ["p2"]
    assert house.sessions.list(house.act(), "p1") == []


def test_attack_guesses_at_a_change_cost_what_guesses_at_a_sign_in_cost(house: House) -> None:
    house.patient()
    house.patient("p2", NEW)
    started = start(house)
    assert [why_not(house, started, "000000") for _ in range(6)] == ["wrong"] * 5 + ["exhausted"]
    assert house.patients.show(house.act(), "p2")["consecutive_misses"] == 5
    verify(house, start(house))
    shown = house.patients.show(house.act(), "p2")
    assert (shown["consecutive_misses"], shown["misses_in_24h"]) == (0, 5)


def test_attack_a_mailbox_in_link_mode_gets_no_code_and_a_right_one_answers_like_a_wrong_one(
    build: Any,
) -> None:
    house: House = build(misses_consecutive=3)
    house.patient()
    early, guessed = start(house), start(house)
    for _ in range(3):
        assert why_not(house, guessed, "000000") == "wrong"
    assert why_not(house, early) == "link_mode"
    with pytest.raises(RateLimited) as caught:
        start(house)
    assert caught.value.violated == ("guesses",)
    house.clock.advance_s(30)
    with pytest.raises(RateLimited):
        house.codes.resend(house.act(), early.challenge)
    assert address(house) == OLD


def test_attack_requests_for_a_change_take_no_sign_in_from_the_owner_of_the_mailbox(house: House) -> None:
    house.patient()
    house.patient("p2", NEW)
    for _ in range(5):
        start(house)
    with pytest.raises(RateLimited) as caught:
        house.service.email_changes.start(house.act(), patient="p1", email=NEW)
    assert caught.value.violated == ("issue-address",)
    assert house.sign_in(email=NEW).patient == "p2"


def test_attack_one_patient_does_not_write_to_many_strangers(house: House) -> None:
    house.patient()
    for number in range(10):
        start(house, email=f"stranger{number}@example.org")
    with pytest.raises(RateLimited) as caught:
        start(house, email="another@example.org")
    assert caught.value.violated == ("issue-patient",)


def test_attack_another_clients_challenge_is_gone(house: House) -> None:
    house.patient()
    started = start(house)
    other, _ = house.new_client("other")
    with pytest.raises(ChallengeGone):
        verify(house, started, act=house.act(other))


def test_attack_a_change_that_waits_does_not_undo_what_the_practice_has_changed_since(house: House) -> None:
    house.patient()
    started = start(house)
    house.patient(email="desk@example.org")
    assert why_not(house, started) == "superseded"
    assert address(house) == "desk@example.org"


def test_attack_a_late_code_changes_nothing(house: House) -> None:
    house.patient()
    started = start(house)
    house.clock.advance_s(600)
    assert why_not(house, started) == "wrong"
    house.clock.advance_s(1200)
    assert why_not(house, started) == "expired"


def test_a_grant_of_the_moved_patient_is_the_same_subject(house: House) -> None:
    house.patient()
    before = house.sign_in()
    verify(house, start(house))
    after = house.codes.verify(house.act(), house.start(email=NEW).challenge, "314159")
    assert isinstance(after, TokenGrant)
    assert after.patient == before.patient
