"""Signing in with a code: what holds for start, resend, verify and choose."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from authsvc.errors import (
    ChallengeGone,
    Forbidden,
    IdempotencyConflict,
    InvalidCode,
    InvalidInput,
    NoPortalAccess,
    PatientNotFound,
    RateLimited,
)
from authsvc.model import Choice, LimitState, TokenGrant
from tests.flows.conftest import Harness

WRONG = "271828"


def miss(harness: Harness, challenge: str, code: str = WRONG) -> InvalidCode:
    with pytest.raises(InvalidCode) as caught:
        harness.codes.verify(harness.act(), challenge, code)
    return caught.value


# --- the way in -----------------------------------------------------------------------------------------------------


def test_a_mailed_code_opens_a_session(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    mail = harness.mailed()
    assert mail == {"kind": "code", "to": "ann@example.org", "code": "314159", "url": "", "locale": ""}
    grant = harness.codes.verify(harness.act(), started.challenge, mail["code"])
    assert isinstance(grant, TokenGrant)
    assert (grant.patient, grant.practice, grant.expires_in_s) == ("p1", "maple", 600)
    claims = harness.introspected(grant.access_token)
    assert claims["acr"] == "extra"
    assert claims["amr"] == ["email"]
    assert "invoices:view" in grant.scope.split()
    assert "invoice:pay" in grant.scope.split()


def test_the_answer_tells_how_long_the_code_lasts_and_when_the_next_may_be_asked_for(harness: Harness) -> None:
    started = harness.start(email="ann@example.org")
    assert (started.expires_in_s, started.resend_in_s, started.code) == (600, 30, None)
    assert re.fullmatch(r"ach_[A-Za-z0-9_-]{43}", started.challenge)


def test_the_address_is_found_however_it_is_typed(harness: Harness) -> None:
    harness.patient(email="Ann@Example.org")
    harness.start(email="  ann@EXAMPLE.ORG ")
    assert harness.mailed()["to"] == "Ann@Example.org"


def test_a_code_keeps_its_leading_zeros(harness: Harness) -> None:
    harness.patient()
    harness.sign_in(code="000042")


def test_the_mail_follows_the_asked_locale_else_the_patients(harness: Harness) -> None:
    harness.patients.put(harness.act(), "p1", email="ann@example.org", locale="es", portal_access=True)
    harness.start(email="ann@example.org")
    assert harness.mailed()["locale"] == "es"
    harness.start(email="ann@example.org", locale="en")
    assert harness.mailed()["locale"] == "en"


def test_a_code_dies_with_its_time(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    harness.clock.advance_s(600)
    assert miss(harness, started.challenge, "314159").reason == "wrong"


def test_a_code_works_to_its_last_second(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    harness.clock.advance_ms(599_999)
    harness.codes.verify(harness.act(), started.challenge, "314159")


def test_a_challenge_dies_with_its_time(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    harness.clock.advance_s(1800)
    with pytest.raises(ChallengeGone, match="expired"):
        harness.codes.verify(harness.act(), started.challenge, "314159")


def test_a_caller_with_the_permission_may_be_told_the_code(harness: Harness) -> None:
    harness.patient()
    started = harness.start(patient="p1", delivery="caller")
    assert started.code == "314159"
    assert harness.outbox() == []
    grant = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    assert harness.introspected(grant.access_token)["amr"] == ["caller"]


def test_attack_a_caller_without_the_permission_is_not_told_the_code(harness: Harness) -> None:
    harness.patient()
    mute, _ = harness.new_client("mute", permissions=frozenset({"codes:issue"}))
    with pytest.raises(Forbidden, match="codes:reveal"):
        harness.codes.start(harness.act(mute), patient="p1", delivery="caller")


def test_a_code_is_never_told_for_a_typed_address(harness: Harness) -> None:
    with pytest.raises(InvalidInput, match="/delivery"):
        harness.codes.start(harness.act(), email="ann@example.org", delivery="caller")


def test_without_a_webhook_there_is_no_delivery_by_webhook(harness: Harness) -> None:
    with pytest.raises(InvalidInput, match="/delivery"):
        harness.codes.start(harness.act(), patient="p1", delivery="webhook")


def test_by_patient_the_caller_is_told_who_is_unknown_or_has_no_access(harness: Harness) -> None:
    with pytest.raises(PatientNotFound):
        harness.codes.start(harness.act(), patient="p9")
    harness.patient(access=False)
    with pytest.raises(NoPortalAccess):
        harness.codes.start(harness.act(), patient="p1")


def test_an_address_that_can_not_be_is_refused_by_name(harness: Harness) -> None:
    with pytest.raises(InvalidInput) as caught:
        harness.codes.start(harness.act(), email="not an address")
    assert caught.value.faults[0].pointer == "/email"


# --- misses ---------------------------------------------------------------------------------------------------------


def test_five_misses_exhaust_a_challenge_and_the_fifth_says_none_are_left(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    assert [miss(harness, started.challenge).attempts_left for _ in range(5)] == [4, 3, 2, 1, 0]
    with pytest.raises(ChallengeGone, match="exhausted"):
        harness.codes.verify(harness.act(), started.challenge, "314159")


def test_attack_a_resend_gives_no_attempts_back(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    for _ in range(4):
        miss(harness, started.challenge)
    harness.clock.advance_s(30)
    harness.codes.resend(harness.act(), started.challenge)
    assert miss(harness, started.challenge).attempts_left == 0
    with pytest.raises(ChallengeGone):
        harness.codes.verify(harness.act(), started.challenge, "314159")


def test_attack_the_code_of_another_challenge_does_not_fit(harness: Harness) -> None:
    harness.patient()
    first, second = harness.start("111111"), harness.start("222222")
    assert miss(harness, first.challenge, "222222").reason == "wrong"
    assert miss(harness, second.challenge, "111111").reason == "wrong"


def test_attack_another_client_can_not_use_the_handle(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    other, _ = harness.new_client("other")
    for call in (
        lambda: harness.codes.verify(harness.act(other), started.challenge, "314159"),
        lambda: harness.codes.resend(harness.act(other), started.challenge),
        lambda: harness.codes.choose(harness.act(other), started.challenge, "p1"),
    ):
        with pytest.raises(ChallengeGone, match="other_client"):
            call()


def test_attack_an_invented_handle_opens_nothing(harness: Harness) -> None:
    for call in (
        lambda: harness.codes.verify(harness.act(), "ach_" + "A" * 43, "314159"),
        lambda: harness.codes.resend(harness.act(), "ach_" + "A" * 43),
        lambda: harness.codes.choose(harness.act(), "ach_" + "A" * 43, "p1"),
    ):
        with pytest.raises(ChallengeGone, match="unknown"):
            call()


def test_attack_a_code_opens_only_once(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.clock.advance_ms(5_001)
    with pytest.raises(ChallengeGone, match="spent"):
        harness.codes.verify(harness.act(), started.challenge, "314159")


# --- the honest double click ----------------------------------------------------------------------------------------


def test_the_double_click_gets_the_same_session_and_the_same_tokens(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    first = harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.clock.advance_s(5)
    second = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(first, TokenGrant)
    assert isinstance(second, TokenGrant)
    assert (first.access_token, first.refresh_token) == (second.access_token, second.refresh_token)


def test_the_double_click_is_answered_five_times_and_no_more(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    for _ in range(6):
        harness.codes.verify(harness.act(), started.challenge, "314159")
    with pytest.raises(ChallengeGone, match="spent"):
        harness.codes.verify(harness.act(), started.challenge, "314159")


def test_attack_a_wrong_code_gets_nothing_from_the_double_clicks_grace(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    harness.codes.verify(harness.act(), started.challenge, "314159")
    with pytest.raises(ChallengeGone, match="spent"):
        harness.codes.verify(harness.act(), started.challenge, WRONG)


def test_attack_a_replay_after_a_refresh_gets_nothing(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    grant = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    harness.sessions.refresh(harness.client, grant.refresh_token or "", None, "")
    with pytest.raises(ChallengeGone, match="spent"):
        harness.codes.verify(harness.act(), started.challenge, "314159")


def test_attack_a_replay_after_sign_out_gets_nothing(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.sessions.end_all(harness.act(), "p1")
    with pytest.raises(ChallengeGone, match="spent"):
        harness.codes.verify(harness.act(), started.challenge, "314159")


# --- sending again --------------------------------------------------------------------------------------------------


def test_the_last_three_codes_of_a_challenge_work_and_the_fourth_last_does_not(wide: Harness) -> None:
    wide.patient()
    codes = ["111111", "222222", "333333", "444444"]
    started = wide.start(codes[0])
    for code in codes[1:]:
        wide.clock.advance_s(30)
        wide.entropy.next_below(int(code))
        wide.codes.resend(wide.act(), started.challenge)
    assert miss(wide, started.challenge, codes[0]).attempts_left == 4
    wide.codes.verify(wide.act(), started.challenge, codes[1])


def test_a_resend_too_early_says_when(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    harness.clock.advance_s(12)
    with pytest.raises(RateLimited) as caught:
        harness.codes.resend(harness.act(), started.challenge)
    assert (caught.value.retry_after_s, caught.value.violated) == (18, ("resend",))
    assert caught.value.limits == (LimitState("resend", 1, 30, 0, 18),)


def test_five_resends_and_no_more(wide: Harness) -> None:
    wide.patient()
    started = wide.start()
    for _ in range(5):
        wide.clock.advance_s(30)
        wide.codes.resend(wide.act(), started.challenge)
    wide.clock.advance_s(30)
    with pytest.raises(RateLimited) as caught:
        wide.codes.resend(wide.act(), started.challenge)
    assert caught.value.limits == (LimitState("resend", 5, 1800, 0, 1800 - 180),)


def test_a_resent_code_never_outlives_its_challenge(wide: Harness) -> None:
    wide.patient()
    started = wide.start()
    wide.clock.advance_s(1500)
    assert wide.codes.resend(wide.act(), started.challenge).expires_in_s == 300


def test_a_resend_by_caller_tells_the_code_again(harness: Harness) -> None:
    harness.patient()
    started = harness.start(patient="p1", delivery="caller")
    harness.clock.advance_s(30)
    harness.entropy.next_below(161803)
    assert harness.codes.resend(harness.act(), started.challenge).code == "161803"


def test_nothing_is_sent_again_for_a_challenge_that_is_over(wide: Harness) -> None:
    wide.patient()
    spent, exhausted, expired = wide.start(), wide.start(), wide.start()
    wide.codes.verify(wide.act(), spent.challenge, "314159")
    for _ in range(5):
        miss(wide, exhausted.challenge)
    wide.clock.advance_s(31)
    for challenge, reason in ((spent.challenge, "spent"), (exhausted.challenge, "exhausted")):
        with pytest.raises(ChallengeGone, match=reason):
            wide.codes.resend(wide.act(), challenge)
    wide.clock.advance_s(1800)
    with pytest.raises(ChallengeGone, match="expired"):
        wide.codes.resend(wide.act(), expired.challenge)


def test_a_challenge_by_patient_ends_when_the_patient_moves_to_another_address(wide: Harness) -> None:
    wide.patient()
    started = wide.start(patient="p1")
    wide.patient(email="new@example.org")
    with pytest.raises(ChallengeGone, match="superseded"):
        wide.codes.verify(wide.act(), started.challenge, "314159")
    wide.clock.advance_s(31)
    with pytest.raises(ChallengeGone, match="superseded"):
        wide.codes.resend(wide.act(), started.challenge)


def test_a_code_does_not_come_back_to_life_when_access_is_granted_again(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    harness.patient(access=False)
    harness.patient(access=True)
    assert miss(harness, started.challenge, "314159").reason == "no_access"


# --- several patients on one mailbox ------------------------------------------------------------------------------


def family(harness: Harness) -> None:
    harness.patient("ann", label="Ann M.")
    harness.patient("bob", label="Bob M.")
    harness.patient("eve", access=False)


def test_a_shared_mailbox_asks_who_it_is_once_it_is_proven(harness: Harness) -> None:
    family(harness)
    started = harness.start()
    choice = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert choice == Choice(started.challenge, (("ann", "Ann M."), ("bob", "Bob M.")))
    assert harness.codes.choose(harness.act(), started.challenge, "bob").patient == "bob"


def test_a_patient_named_with_the_code_is_signed_in_at_once(harness: Harness) -> None:
    family(harness)
    started = harness.start()
    grant = harness.codes.verify(harness.act(), started.challenge, "314159", patient="bob")
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "bob"


def test_a_patient_named_who_is_none_of_them_leads_to_the_choice(harness: Harness) -> None:
    family(harness)
    started = harness.start()
    assert isinstance(harness.codes.verify(harness.act(), started.challenge, "314159", patient="zoe"), Choice)


def test_attack_naming_somebody_else_never_signs_in_the_mailboxs_only_patient(harness: Harness) -> None:
    harness.patient("ann")
    started = harness.start()
    choice = harness.codes.verify(harness.act(), started.challenge, "314159", patient="zoe")
    assert isinstance(choice, Choice)
    assert choice.patients == (("ann", "ann"),)


def test_a_choice_is_made_once(harness: Harness) -> None:
    family(harness)
    started = harness.start()
    harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.codes.choose(harness.act(), started.challenge, "ann")
    with pytest.raises(ChallengeGone, match="spent"):
        harness.codes.choose(harness.act(), started.challenge, "bob")


def test_attack_a_choice_before_the_code_is_refused(harness: Harness) -> None:
    family(harness)
    started = harness.start()
    with pytest.raises(ChallengeGone, match="unproven"):
        harness.codes.choose(harness.act(), started.challenge, "ann")


def test_attack_only_listed_patients_can_be_chosen(harness: Harness) -> None:
    family(harness)
    harness.patient("stranger", email="else@example.org")
    started = harness.start()
    harness.codes.verify(harness.act(), started.challenge, "314159")
    for nobody in ("stranger", "eve", "nobody"):
        with pytest.raises(InvalidInput, match="/patient"):
            harness.codes.choose(harness.act(), started.challenge, nobody)


def test_attack_a_sign_in_for_one_patient_never_becomes_anothers_who_shares_the_mailbox(harness: Harness) -> None:
    family(harness)
    started = harness.start(patient="ann")
    choice = harness.codes.verify(harness.act(), started.challenge, "314159", patient="bob")
    assert choice == Choice(started.challenge, (("ann", "Ann M."),))
    with pytest.raises(InvalidInput, match="/patient"):
        harness.codes.choose(harness.act(), started.challenge, "bob")
    assert harness.codes.choose(harness.act(), started.challenge, "ann").patient == "ann"


def test_access_is_checked_again_when_choosing(harness: Harness) -> None:
    family(harness)
    started = harness.start()
    harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.patient("bob", access=False)
    with pytest.raises(InvalidInput, match="/patient"):
        harness.codes.choose(harness.act(), started.challenge, "bob")


def test_a_choice_waits_five_minutes(harness: Harness) -> None:
    family(harness)
    started = harness.start()
    harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.clock.advance_s(301)
    with pytest.raises(ChallengeGone, match="expired"):
        harness.codes.choose(harness.act(), started.challenge, "ann")


def test_the_double_click_on_a_shared_mailbox_gets_the_same_choice(harness: Harness) -> None:
    family(harness)
    started = harness.start()
    choice = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert harness.codes.verify(harness.act(), started.challenge, "314159") == choice


def test_attack_a_late_repeat_of_the_code_does_not_open_what_a_choice_opened(harness: Harness) -> None:
    family(harness)
    started = harness.start()
    harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.codes.choose(harness.act(), started.challenge, "ann")
    with pytest.raises(ChallengeGone, match="spent"):
        harness.codes.verify(harness.act(), started.challenge, "314159")


# --- a call that is made again ------------------------------------------------------------------------------------


def test_the_same_idempotency_key_gets_the_same_answer_and_one_mail(harness: Harness) -> None:
    harness.patient()
    calls = [harness.act(idempotency_key="order-1", fingerprint=b"body") for _ in range(2)]
    first, second = (harness.codes.start(act, email="ann@example.org") for act in calls)
    assert first == second
    assert len(harness.outbox()) == 1


def test_the_same_idempotency_key_with_another_body_is_a_conflict(harness: Harness) -> None:
    harness.codes.start(harness.act(idempotency_key="order-1", fingerprint=b"one"), email="ann@example.org")
    with pytest.raises(IdempotencyConflict):
        harness.codes.start(harness.act(idempotency_key="order-1", fingerprint=b"two"), email="ann@example.org")


def test_a_resend_can_be_repeated_too(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    harness.clock.advance_s(30)
    calls = [harness.act(idempotency_key="again", fingerprint=b"body") for _ in range(2)]
    first, second = (harness.codes.resend(act, started.challenge) for act in calls)
    assert first.challenge == second.challenge
    assert len(harness.outbox()) == 2


# --- no oracle ------------------------------------------------------------------------------------------------------


def answers(harness: Harness, email: str) -> list[object]:
    """Everything a caller sees of a sign-in by this address with wrong guesses, handles aside."""
    seen: list[object] = []
    act = harness.act()
    started = harness.codes.start(act, email=email)
    seen += [started.expires_in_s, started.resend_in_s, len(started.challenge), act.limits]
    for _ in range(5):
        miss_act = harness.act()
        try:
            harness.codes.verify(miss_act, started.challenge, WRONG)
        except InvalidCode as miss_:
            seen += [miss_.attempts_left, miss_act.limits]
    harness.clock.advance_s(31)
    return seen


def test_attack_unknown_known_withdrawn_and_locked_addresses_look_the_same(build: Callable[..., Harness]) -> None:
    harness = build(misses_consecutive=3)
    harness.patient("known", "known@example.org")
    harness.patient("without", "withdrawn@example.org", access=False)
    harness.patient("locked", "locked@example.org")
    answers(harness, "locked@example.org")
    harness.clock.advance_s(3600)
    seen = []
    for name in ("known", "withdrawn", "locked", "unknown"):
        seen.append(answers(harness, f"{name}@example.org"))
        harness.clock.advance_s(3600)
    assert all(one == seen[0] for one in seen)


def test_an_unknown_address_gets_a_void_entry_of_the_same_size(harness: Harness) -> None:
    harness.patient(email="known@example.org")
    harness.codes.start(harness.act(), email="known@example.org")
    harness.codes.start(harness.act(), email="nobod@example.org")
    real, void = harness.outbox()
    assert (real["nobody"], void["nobody"]) == ("", "1")
    differ = {"patient", "nobody", "record"}
    assert {k: len(v) for k, v in real.items() if k not in differ} == {
        k: len(v) for k, v in void.items() if k not in differ
    }


def test_attack_a_right_guess_on_an_unknown_address_is_a_miss(harness: Harness) -> None:
    started = harness.start(email="nobody@example.org")
    assert miss(harness, started.challenge, "314159").reason == "dummy"


# --- what Redis knows ---------------------------------------------------------------------------------------------


def test_attack_a_dump_of_redis_holds_neither_code_nor_handle_nor_address_nor_token(harness: Harness) -> None:
    harness.patient(email="ann.secret@example.org", label="Ann Secret")
    started = harness.start(email="ann.secret@example.org")
    grant = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    dump = dump_of(harness)
    for secret in (
        "314159",
        started.challenge,
        "ann.secret",
        "Ann Secret",
        grant.access_token,
        grant.refresh_token,
        harness.secret,
    ):
        assert secret
        assert secret not in dump


def test_every_secret_bearing_record_has_a_deadline(harness: Harness) -> None:
    harness.patient()
    harness.sign_in()
    harness.link()
    harness.access_link(delivery="email")
    harness.codes.start(harness.act(idempotency_key="k"), email="ann@example.org")
    lasting = ("patient:", "mailbox:", "epoch", "audit", "codes", "mails", "links:", "storage")
    for key in harness.redis.scan_iter("authsvc:{maple}:*"):
        if not key.removeprefix("authsvc:{maple}:").startswith(lasting):
            assert harness.redis.pttl(key) > 0, key


def dump_of(harness: Harness) -> str:
    text = []
    for key in harness.redis.scan_iter("*"):
        match harness.redis.type(key):
            case "hash":
                value: object = harness.redis.hgetall(key)
            case "string":
                value = harness.redis.get(key)
            case "stream":
                value = harness.redis.xrange(key)
            case "zset":
                value = harness.redis.zrange(key, 0, -1)
            case "list":
                value = harness.redis.lrange(key, 0, -1)
            case _:
                value = harness.redis.smembers(key)
        text.append(f"{key} {value}")
    return "\n".join(text)
