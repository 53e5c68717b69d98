"""A patient changes the email address: the new mailbox is proved by a code before anything moves."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.errors import ChallengeGone, InvalidCode, InvalidInput, LinkGone, PatientNotFound, RateLimited
from authsvc.model import Patient, RequestContext, Started, TokenGrant
from tests.flows.conftest import Harness
from tests.flows.visitors import Portal, enter

OLD, NEW = "ann@example.org", "ann.new@example.org"
CODE = "271828"


def start(harness: Harness, code: str = CODE, *, act: RequestContext | None = None, **how: Any) -> Started:
    """Start a change whose code is known to the test."""
    harness.entropy.next_below(int(code))
    return harness.service.email_changes.start(act or harness.act(), **{"patient": "p1", "email": NEW, **how})


def verify(harness: Harness, started: Started, code: str = CODE, *, act: RequestContext | None = None) -> Patient:
    return harness.service.email_changes.verify(act or harness.act(), started.challenge, code)


def why_not(harness: Harness, started: Started, code: str = CODE) -> str:
    with pytest.raises((InvalidCode, ChallengeGone)) as caught:
        verify(harness, started, code)
    return caught.value.reason


def address(harness: Harness) -> str:
    return harness.patients.get(harness.act(), "p1").email


def mails(harness: Harness) -> list[tuple[str, str]]:
    return [(harness.mailed(at)["kind"], harness.mailed(at)["to"]) for at in range(len(harness.outbox()))]


# --- what it does -------------------------------------------------------------------------------------------------


def test_a_code_goes_to_the_new_mailbox_and_nothing_has_changed_yet(harness: Harness) -> None:
    harness.patient()
    grant = harness.sign_in()
    start(harness)
    assert (harness.mailed()["kind"], harness.mailed()["to"], harness.mailed()["code"]) == ("email-change", NEW, CODE)
    assert address(harness) == OLD
    assert harness.introspected(grant.access_token)["active"]
    assert harness.events()[-1] == "patient.address_change_started"


def test_the_code_moves_the_patient_and_both_mailboxes_get_a_notice(harness: Harness) -> None:
    harness.patient(label="Ann")
    changed = verify(harness, start(harness))
    assert changed == harness.patients.get(harness.act(), "p1") == Patient("p1", NEW, "Ann", "", True)
    assert mails(harness)[-2:] == [("address-changed", OLD), ("address-changed", NEW)]
    assert harness.audit_entries()[-1]["event"] == "patient.address_changed"
    assert harness.audit_entries()[-1]["via"] == "code"
    assert harness.sign_in(email=NEW).patient == "p1"


def test_what_rested_on_the_old_address_ends_and_the_named_session_stays(harness: Harness) -> None:
    harness.patient()
    other, link = harness.sign_in(), harness.link()
    challenge = harness.start().challenge
    here = harness.sign_in()
    verify(harness, start(harness, session=here.session))
    assert harness.introspected(here.access_token)["active"]
    assert harness.sessions.refresh(harness.client, here.refresh_token or "", None, "").patient == "p1"
    assert not harness.introspected(other.access_token)["active"]
    with pytest.raises(LinkGone, match="address_changed"):
        harness.links.exchange(harness.act(), link)
    with pytest.raises(InvalidCode):
        harness.codes.verify(harness.act(), challenge, "314159")


def test_of_a_browser_the_named_clients_session_stays_and_the_other_clients_end(harness: Harness) -> None:
    harness.patient()
    browser_session = enter(harness, OLD)
    here, there = (Portal(harness, name).tokens(browser_session.cookie) for name in ("web", "shop"))
    verify(harness, start(harness, session=here.session))
    assert harness.introspected(here.access_token)["active"]
    assert not harness.introspected(there.access_token)["active"]


def test_without_a_named_session_all_end(harness: Harness) -> None:
    harness.patient()
    grant = harness.sign_in()
    verify(harness, start(harness))
    assert not harness.introspected(grant.access_token)["active"]


def test_a_second_press_gets_the_same_answer_for_some_seconds(harness: Harness) -> None:
    harness.patient()
    started = start(harness)
    assert verify(harness, started) == verify(harness, started)
    assert harness.events().count("patient.address_changed") == 1
    harness.clock.advance_s(6)
    assert why_not(harness, started) == "spent"


def test_another_spelling_of_the_same_address_ends_nothing(harness: Harness) -> None:
    harness.patient()
    grant = harness.sign_in()
    verify(harness, start(harness, email="Ann@Example.org"))
    assert address(harness) == "Ann@Example.org"
    assert harness.introspected(grant.access_token)["active"]
    assert harness.events()[-1] == "patient.changed"


def test_an_address_that_another_patient_has_is_fine(harness: Harness) -> None:
    harness.patient()
    harness.patient("p2", NEW)
    assert verify(harness, start(harness)).email == NEW
    assert harness.codes.verify(harness.act(), harness.start(email=NEW).challenge, "314159", "p1")


def test_a_patient_without_an_address_proves_the_first_one(harness: Harness) -> None:
    harness.patients.put(harness.act(), "p1", email=None, portal_access=True)
    grant = harness.sign_in(patient="p1", delivery="caller")
    verify(harness, start(harness))
    assert address(harness) == NEW
    assert harness.introspected(grant.access_token)["active"]
    assert mails(harness) == [("email-change", NEW)]


def test_another_code_goes_to_the_new_mailbox_by_the_ordinary_resend(harness: Harness) -> None:
    harness.patient()
    started = start(harness)
    with pytest.raises(RateLimited):
        harness.codes.resend(harness.act(), started.challenge)
    harness.clock.advance_s(30)
    harness.entropy.next_below(161803)
    harness.codes.resend(harness.act(), started.challenge)
    assert (harness.mailed()["kind"], harness.mailed()["to"], harness.mailed()["code"]) == (
        "email-change",
        NEW,
        "161803",
    )
    assert verify(harness, started, "161803").email == NEW


def test_the_same_idempotency_key_starts_one_change(harness: Harness) -> None:
    harness.patient()
    acts = [harness.act(idempotency_key="k", fingerprint=b"b") for _ in range(2)]
    assert start(harness, act=acts[0]) == start(harness, act=acts[1])
    assert mails(harness) == [("email-change", NEW)]


def test_the_mail_is_in_the_language_that_was_asked_for_or_the_patients(harness: Harness) -> None:
    harness.patients.put(harness.act(), "p1", email=OLD, locale="es", portal_access=True)
    start(harness)
    start(harness, locale="en")
    assert [harness.mailed(at)["locale"] for at in (-2, -1)] == ["es", "en"]


def test_a_merged_patients_old_id_means_the_new_one(harness: Harness) -> None:
    harness.patient()
    harness.patient("p0", "zoe@example.org")
    harness.patients.merge(harness.act(), "p0", "p1")
    assert verify(harness, start(harness, patient="p0")).id == "p1"


def test_a_mail_whose_change_is_over_is_not_sent(harness: Harness) -> None:
    harness.patient()
    start(harness)
    (entry,) = harness.service.outbox.take("maple", "codes", "worker", 30_000, 5).entries
    assert harness.service.outbox.begin("maple", entry, "worker", 30_000) != "cancelled"
    harness.patient(email="else@example.org")
    assert harness.service.outbox.begin("maple", entry, "worker", 30_000) == "cancelled"


# --- what is refused ----------------------------------------------------------------------------------------------


def test_who_is_not_on_file_or_what_is_no_address_is_refused(harness: Harness) -> None:
    harness.patient()
    with pytest.raises(PatientNotFound):
        start(harness, patient="p9")
    with pytest.raises(InvalidInput) as caught:
        start(harness, email="nonsense")
    assert caught.value.faults[0].pointer == "/email"


def test_who_was_deleted_meanwhile_is_not_on_file(harness: Harness) -> None:
    harness.patient()
    started = start(harness)
    harness.patients.delete(harness.act(), "p1")
    assert why_not(harness, started) == "superseded"


def test_a_mailbox_that_too_many_patients_share_is_refused_and_nothing_moves(wide: Harness) -> None:
    wide.patient()
    for number in range(200):
        wide.patient(f"q{number}", NEW)
    with pytest.raises(InvalidInput):
        verify(wide, start(wide))
    assert address(wide) == OLD


# --- attacks ------------------------------------------------------------------------------------------------------


def test_attack_a_code_of_a_sign_in_does_not_finish_a_change_nor_does_one_of_a_change_sign_in(harness: Harness) -> None:
    harness.patient()
    sign_in, change = harness.start(), start(harness)
    assert why_not(harness, sign_in, "314159") == "unknown"
    assert address(harness) == OLD
    with pytest.raises(ChallengeGone) as caught:
        harness.codes.verify(harness.act(), change.challenge, CODE)
    assert caught.value.reason == "unknown"
    with pytest.raises(ChallengeGone):
        harness.codes.choose(harness.act(), change.challenge, "p1")
    with pytest.raises(ChallengeGone):
        harness.codes.choices(harness.act(), change.challenge)
    assert verify(harness, change).email == NEW


def test_attack_a_change_that_is_done_is_no_key_to_the_session_that_stayed(harness: Harness) -> None:
    harness.patient()
    here = harness.sign_in()
    change = start(harness, session=here.session)
    verify(harness, change)
    for attempt in (
        lambda: harness.codes.verify(harness.act(), change.challenge, CODE),
        lambda: harness.codes.choose(harness.act(), change.challenge, "p1"),
    ):
        with pytest.raises(ChallengeGone):
            attempt()


def test_attack_a_strangers_session_is_not_saved_and_not_ended(harness: Harness) -> None:
    harness.patient()
    harness.patient("p2", "mallory@example.org")
    ann, mallory = harness.sign_in(), harness.sign_in(email="mallory@example.org")
    verify(harness, start(harness, session=mallory.session))
    assert not harness.introspected(ann.access_token)["active"]
    assert harness.introspected(mallory.access_token)["active"]
    assert [one.patient for one in harness.sessions.list(harness.act(), "p2")] == ["p2"]
    assert harness.sessions.list(harness.act(), "p1") == []


def test_attack_guesses_at_a_change_cost_what_guesses_at_a_sign_in_cost(harness: Harness) -> None:
    harness.patient()
    harness.patient("p2", NEW)
    started = start(harness)
    assert [why_not(harness, started, "000000") for _ in range(6)] == ["wrong"] * 5 + ["exhausted"]
    assert harness.patients.show(harness.act(), "p2")["consecutive_misses"] == 5
    verify(harness, start(harness))
    shown = harness.patients.show(harness.act(), "p2")
    assert (shown["consecutive_misses"], shown["misses_in_24h"]) == (0, 5)


def test_attack_a_mailbox_in_link_mode_gets_no_code_and_a_right_one_answers_like_a_wrong_one(
    build: Any,
) -> None:
    harness: Harness = build(misses_consecutive=3)
    harness.patient()
    early, guessed = start(harness), start(harness)
    for _ in range(3):
        assert why_not(harness, guessed, "000000") == "wrong"
    assert why_not(harness, early) == "link_mode"
    with pytest.raises(RateLimited) as caught:
        start(harness)
    assert caught.value.violated == ("guesses",)
    harness.clock.advance_s(30)
    with pytest.raises(RateLimited):
        harness.codes.resend(harness.act(), early.challenge)
    assert address(harness) == OLD


def test_attack_requests_for_a_change_take_no_sign_in_from_the_owner_of_the_mailbox(harness: Harness) -> None:
    harness.patient()
    harness.patient("p2", NEW)
    for _ in range(5):
        start(harness)
    with pytest.raises(RateLimited) as caught:
        harness.service.email_changes.start(harness.act(), patient="p1", email=NEW)
    assert caught.value.violated == ("issue-address",)
    assert harness.sign_in(email=NEW).patient == "p2"


def test_attack_one_patient_does_not_write_to_many_strangers(harness: Harness) -> None:
    harness.patient()
    for number in range(10):
        start(harness, email=f"stranger{number}@example.org")
    with pytest.raises(RateLimited) as caught:
        start(harness, email="another@example.org")
    assert caught.value.violated == ("issue-patient",)


def test_attack_another_clients_challenge_is_gone(harness: Harness) -> None:
    harness.patient()
    started = start(harness)
    other, _ = harness.new_client("other")
    with pytest.raises(ChallengeGone):
        verify(harness, started, act=harness.act(other))


def test_attack_a_change_that_waits_does_not_undo_what_the_practice_has_changed_since(harness: Harness) -> None:
    harness.patient()
    started = start(harness)
    harness.patient(email="desk@example.org")
    assert why_not(harness, started) == "superseded"
    assert address(harness) == "desk@example.org"


def test_attack_a_late_code_changes_nothing(harness: Harness) -> None:
    harness.patient()
    started = start(harness)
    harness.clock.advance_s(600)
    assert why_not(harness, started) == "wrong"
    harness.clock.advance_s(1200)
    assert why_not(harness, started) == "expired"


def test_a_grant_of_the_moved_patient_is_the_same_subject(harness: Harness) -> None:
    harness.patient()
    before = harness.sign_in()
    verify(harness, start(harness))
    after = harness.codes.verify(harness.act(), harness.start(email=NEW).challenge, "314159")
    assert isinstance(after, TokenGrant)
    assert after.patient == before.patient
