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
from tests.flows.conftest import House

WRONG = "271828"


def miss(house: House, challenge: str, code: str = WRONG) -> InvalidCode:
    with pytest.raises(InvalidCode) as caught:
        house.codes.verify(house.act(), challenge, code)
    return caught.value


# --- the way in -----------------------------------------------------------------------------------------------------


def test_a_mailed_code_opens_a_session(house: House) -> None:
    house.patient()
    started = house.start()
    mail = house.mailed()
    assert mail == {"kind": "code", "to": "ann@example.org", "code": "314159", "url": "", "locale": ""}
    grant = house.codes.verify(house.act(), started.challenge, mail["code"])
    assert isinstance(grant, TokenGrant)
    assert (grant.patient, grant.practice, grant.expires_in_s) == ("p1", "maple", 600)
    claims = house.introspected(grant.access_token)
    assert claims["acr"] == "extra"
    assert claims["amr"] == ["email"]
    assert "invoices:view" in grant.scope.split()
    assert "invoice:pay" in grant.scope.split()


def test_the_answer_tells_how_long_the_code_lasts_and_when_the_next_may_be_asked_for(house: House) -> None:
    started = house.start(email="ann@example.org")
    assert (started.expires_in_s, started.resend_in_s, started.code) == (600, 30, None)
    assert re.fullmatch(r"ach_[A-Za-z0-9_-]{43}", started.challenge)


def test_the_address_is_found_however_it_is_typed(house: House) -> None:
    house.patient(email="Ann@Example.org")
    house.start(email="  ann@EXAMPLE.ORG ")
    assert house.mailed()["to"] == "Ann@Example.org"


def test_a_code_keeps_its_leading_zeros(house: House) -> None:
    house.patient()
    house.sign_in(code="000042")


def test_the_mail_follows_the_asked_locale_else_the_patients(house: House) -> None:
    house.patients.put(house.act(), "p1", email="ann@example.org", locale="es", portal_access=True)
    house.start(email="ann@example.org")
    assert house.mailed()["locale"] == "es"
    house.start(email="ann@example.org", locale="en")
    assert house.mailed()["locale"] == "en"


def test_a_code_dies_with_its_time(house: House) -> None:
    house.patient()
    started = house.start()
    house.clock.advance_s(600)
    assert miss(house, started.challenge, "314159").reason == "wrong"


def test_a_code_works_to_its_last_second(house: House) -> None:
    house.patient()
    started = house.start()
    house.clock.advance_ms(599_999)
    house.codes.verify(house.act(), started.challenge, "314159")


def test_a_challenge_dies_with_its_time(house: House) -> None:
    house.patient()
    started = house.start()
    house.clock.advance_s(1800)
    with pytest.raises(ChallengeGone, match="expired"):
        house.codes.verify(house.act(), started.challenge, "314159")


def test_a_caller_with_the_permission_may_be_told_the_code(house: House) -> None:
    house.patient()
    started = house.start(patient="p1", delivery="caller")
    assert started.code == "314159"
    assert house.outbox() == []
    grant = house.codes.verify(house.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    assert house.introspected(grant.access_token)["amr"] == ["caller"]


def test_attack_a_caller_without_the_permission_is_not_told_the_code(house: House) -> None:
    house.patient()
    mute, _ = house.new_client("mute", permissions=frozenset({"codes:issue"}))
    with pytest.raises(Forbidden, match="codes:reveal"):
        house.codes.start(house.act(mute), patient="p1", delivery="caller")


def test_a_code_is_never_told_for_a_typed_address(house: House) -> None:
    with pytest.raises(InvalidInput, match="/delivery"):
        house.codes.start(house.act(), email="ann@example.org", delivery="caller")


def test_without_a_webhook_there_is_no_delivery_by_webhook(house: House) -> None:
    with pytest.raises(InvalidInput, match="/delivery"):
        house.codes.start(house.act(), patient="p1", delivery="webhook")


def test_by_patient_the_caller_is_told_who_is_unknown_or_has_no_access(house: House) -> None:
    with pytest.raises(PatientNotFound):
        house.codes.start(house.act(), patient="p9")
    house.patient(access=False)
    with pytest.raises(NoPortalAccess):
        house.codes.start(house.act(), patient="p1")


def test_an_address_that_can_not_be_is_refused_by_name(house: House) -> None:
    with pytest.raises(InvalidInput) as caught:
        house.codes.start(house.act(), email="not an address")
    assert caught.value.faults[0].pointer == "/email"


# --- misses ---------------------------------------------------------------------------------------------------------


def test_five_misses_exhaust_a_challenge_and_the_fifth_says_none_are_left(house: House) -> None:
    house.patient()
    started = house.start()
    assert [miss(house, started.challenge).attempts_left for _ in range(5)] == [4, 3, 2, 1, 0]
    with pytest.raises(ChallengeGone, match="exhausted"):
        house.codes.verify(house.act(), started.challenge, "314159")


def test_attack_a_resend_gives_no_attempts_back(house: House) -> None:
    house.patient()
    started = house.start()
    for _ in range(4):
        miss(house, started.challenge)
    house.clock.advance_s(30)
    house.codes.resend(house.act(), started.challenge)
    assert miss(house, started.challenge).attempts_left == 0
    with pytest.raises(ChallengeGone):
        house.codes.verify(house.act(), started.challenge, "314159")


def test_attack_the_code_of_another_challenge_does_not_fit(house: House) -> None:
    house.patient()
    first, second = house.start("111111"), house.start("222222")
    assert miss(house, first.challenge, "222222").reason == "wrong"
    assert miss(house, second.challenge, "111111").reason == "wrong"


def test_attack_another_client_can_not_use_the_handle(house: House) -> None:
    house.patient()
    started = house.start()
    other, _ = house.new_client("other")
    for call in (
        lambda: house.codes.verify(house.act(other), started.challenge, "314159"),
        lambda: house.codes.resend(house.act(other), started.challenge),
        lambda: house.codes.choose(house.act(other), started.challenge, "p1"),
    ):
        with pytest.raises(ChallengeGone, match="other_client"):
            call()


def test_attack_an_invented_handle_opens_nothing(house: House) -> None:
    for call in (
        lambda: house.codes.verify(house.act(), "ach_" + "A" * 43, "314159"),
        lambda: house.codes.resend(house.act(), "ach_" + "A" * 43),
        lambda: house.codes.choose(house.act(), "ach_" + "A" * 43, "p1"),
    ):
        with pytest.raises(ChallengeGone, match="unknown"):
            call()


def test_attack_a_code_opens_only_once(house: House) -> None:
    house.patient()
    started = house.start()
    house.codes.verify(house.act(), started.challenge, "314159")
    house.clock.advance_ms(5_001)
    with pytest.raises(ChallengeGone, match="spent"):
        house.codes.verify(house.act(), started.challenge, "314159")


# --- the honest double click ----------------------------------------------------------------------------------------


def test_the_double_click_gets_the_same_session_and_the_same_tokens(house: House) -> None:
    house.patient()
    started = house.start()
    first = house.codes.verify(house.act(), started.challenge, "314159")
    house.clock.advance_s(5)
    second = house.codes.verify(house.act(), started.challenge, "314159")
    assert isinstance(first, TokenGrant)
    assert isinstance(second, TokenGrant)
    assert (first.access_token, first.refresh_token) == (second.access_token, second.refresh_token)


def test_the_double_click_is_answered_five_times_and_no_more(house: House) -> None:
    house.patient()
    started = house.start()
    for _ in range(6):
        house.codes.verify(house.act(), started.challenge, "314159")
    with pytest.raises(ChallengeGone, match="spent"):
        house.codes.verify(house.act(), started.challenge, "314159")


def test_attack_a_wrong_code_gets_nothing_from_the_double_clicks_grace(house: House) -> None:
    house.patient()
    started = house.start()
    house.codes.verify(house.act(), started.challenge, "314159")
    with pytest.raises(ChallengeGone, match="spent"):
        house.codes.verify(house.act(), started.challenge, WRONG)


def test_attack_a_replay_after_a_refresh_gets_nothing(house: House) -> None:
    house.patient()
    started = house.start()
    grant = house.codes.verify(house.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    house.sessions.refresh(house.client, grant.refresh_token or "", None, "")
    with pytest.raises(ChallengeGone, match="spent"):
        house.codes.verify(house.act(), started.challenge, "314159")


def test_attack_a_replay_after_sign_out_gets_nothing(house: House) -> None:
    house.patient()
    started = house.start()
    house.codes.verify(house.act(), started.challenge, "314159")
    house.sessions.end_all(house.act(), "p1")
    with pytest.raises(ChallengeGone, match="spent"):
        house.codes.verify(house.act(), started.challenge, "314159")


# --- sending again --------------------------------------------------------------------------------------------------


def test_the_last_three_codes_of_a_challenge_work_and_the_fourth_last_does_not(wide: House) -> None:
    wide.patient()
    codes = ["111111", "222222", "333333", "444444"]
    started = wide.start(codes[0])
    for code in codes[1:]:
        wide.clock.advance_s(30)
        wide.entropy.next_below(int(code))
        wide.codes.resend(wide.act(), started.challenge)
    assert miss(wide, started.challenge, codes[0]).attempts_left == 4
    wide.codes.verify(wide.act(), started.challenge, codes[1])


def test_a_resend_too_early_says_when(house: House) -> None:
    house.patient()
    started = house.start()
    house.clock.advance_s(12)
    with pytest.raises(RateLimited) as caught:
        house.codes.resend(house.act(), started.challenge)
    assert (caught.value.retry_after_s, caught.value.violated) == (18, ("resend",))
    assert caught.value.limits == (LimitState("resend", 1, 30, 0, 18),)


def test_five_resends_and_no_more(wide: House) -> None:
    wide.patient()
    started = wide.start()
    for _ in range(5):
        wide.clock.advance_s(30)
        wide.codes.resend(wide.act(), started.challenge)
    wide.clock.advance_s(30)
    with pytest.raises(RateLimited) as caught:
        wide.codes.resend(wide.act(), started.challenge)
    assert caught.value.limits == (LimitState("resend", 5, 1800, 0, 1800 - 180),)


def test_a_resent_code_never_outlives_its_challenge(wide: House) -> None:
    wide.patient()
    started = wide.start()
    wide.clock.advance_s(1500)
    assert wide.codes.resend(wide.act(), started.challenge).expires_in_s == 300


def test_a_resend_by_caller_tells_the_code_again(house: House) -> None:
    house.patient()
    started = house.start(patient="p1", delivery="caller")
    house.clock.advance_s(30)
    house.entropy.next_below(161803)
    assert house.codes.resend(house.act(), started.challenge).code == "161803"


def test_nothing_is_sent_again_for_a_challenge_that_is_over(wide: House) -> None:
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


def test_a_challenge_by_patient_ends_when_the_patient_moves_to_another_address(wide: House) -> None:
    wide.patient()
    started = wide.start(patient="p1")
    wide.patient(email="new@example.org")
    with pytest.raises(ChallengeGone, match="superseded"):
        wide.codes.verify(wide.act(), started.challenge, "314159")
    wide.clock.advance_s(31)
    with pytest.raises(ChallengeGone, match="superseded"):
        wide.codes.resend(wide.act(), started.challenge)


def test_a_code_does_not_come_back_to_life_when_access_is_granted_again(house: House) -> None:
    house.patient()
    started = house.start()
    house.patient(access=False)
    house.patient(access=True)
    assert miss(house, started.challenge, "314159").reason == "no_access"


# --- several patients on one mailbox ------------------------------------------------------------------------------


def family(house: House) -> None:
    house.patient("ann", label="Ann M.")
    house.patient("bob", label="Bob M.")
    house.patient("eve", access=False)


def test_a_shared_mailbox_asks_who_it_is_once_it_is_proven(house: House) -> None:
    family(house)
    started = house.start()
    choice = house.codes.verify(house.act(), started.challenge, "314159")
    assert choice == Choice(started.challenge, (("ann", "Ann M."), ("bob", "Bob M.")))
    assert house.codes.choose(house.act(), started.challenge, "bob").patient == "bob"


def test_a_patient_named_with_the_code_is_signed_in_at_once(house: House) -> None:
    family(house)
    started = house.start()
    grant = house.codes.verify(house.act(), started.challenge, "314159", patient="bob")
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "bob"


def test_a_patient_named_who_is_none_of_them_leads_to_the_choice(house: House) -> None:
    family(house)
    started = house.start()
    assert isinstance(house.codes.verify(house.act(), started.challenge, "314159", patient="zoe"), Choice)


def test_attack_naming_somebody_else_never_signs_in_the_mailboxs_only_patient(house: House) -> None:
    house.patient("ann")
    started = house.start()
    choice = house.codes.verify(house.act(), started.challenge, "314159", patient="zoe")
    assert isinstance(choice, Choice)
    assert choice.patients == (("ann", "ann"),)


def test_a_choice_is_made_once(house: House) -> None:
    family(house)
    started = house.start()
    house.codes.verify(house.act(), started.challenge, "314159")
    house.codes.choose(house.act(), started.challenge, "ann")
    with pytest.raises(ChallengeGone, match="spent"):
        house.codes.choose(house.act(), started.challenge, "bob")


def test_attack_a_choice_before_the_code_is_refused(house: House) -> None:
    family(house)
    started = house.start()
    with pytest.raises(ChallengeGone, match="unproven"):
        house.codes.choose(house.act(), started.challenge, "ann")


def test_attack_only_listed_patients_can_be_chosen(house: House) -> None:
    family(house)
    house.patient("stranger", email="else@example.org")
    started = house.start()
    house.codes.verify(house.act(), started.challenge, "314159")
    for nobody in ("stranger", "eve", "nobody"):
        with pytest.raises(InvalidInput, match="/patient"):
            house.codes.choose(house.act(), started.challenge, nobody)


def test_attack_a_sign_in_for_one_patient_never_becomes_anothers_who_shares_the_mailbox(house: House) -> None:
    family(house)
    started = house.start(patient="ann")
    choice = house.codes.verify(house.act(), started.challenge, "314159", patient="bob")
    assert choice == Choice(started.challenge, (("ann", "Ann M."),))
    with pytest.raises(InvalidInput, match="/patient"):
        house.codes.choose(house.act(), started.challenge, "bob")
    assert house.codes.choose(house.act(), started.challenge, "ann").patient == "ann"


def test_access_is_checked_again_when_choosing(house: House) -> None:
    family(house)
    started = house.start()
    house.codes.verify(house.act(), started.challenge, "314159")
    house.patient("bob", access=False)
    with pytest.raises(InvalidInput, match="/patient"):
        house.codes.choose(house.act(), started.challenge, "bob")


def test_a_choice_waits_five_minutes(house: House) -> None:
    family(house)
    started = house.start()
    house.codes.verify(house.act(), started.challenge, "314159")
    house.clock.advance_s(301)
    with pytest.raises(ChallengeGone, match="expired"):
        house.codes.choose(house.act(), started.challenge, "ann")


def test_the_double_click_on_a_shared_mailbox_gets_the_same_choice(house: House) -> None:
    family(house)
    started = house.start()
    choice = house.codes.verify(house.act(), started.challenge, "314159")
    assert house.codes.verify(house.act(), started.challenge, "314159") == choice


def test_attack_a_late_repeat_of_the_code_does_not_open_what_a_choice_opened(house: House) -> None:
    family(house)
    started = house.start()
    house.codes.verify(house.act(), started.challenge, "314159")
    house.codes.choose(house.act(), started.challenge, "ann")
    with pytest.raises(ChallengeGone, match="spent"):
        house.codes.verify(house.act(), started.challenge, "314159")


# --- a call that is made again ------------------------------------------------------------------------------------


def test_the_same_idempotency_key_gets_the_same_answer_and_one_mail(house: House) -> None:
    house.patient()
    calls = [house.act(idempotency_key="order-1", fingerprint=b"body") for _ in range(2)]
    first, second = (house.codes.start(act, email="ann@example.org") for act in calls)
    assert first == second
    assert len(house.outbox()) == 1


def test_the_same_idempotency_key_with_another_body_is_a_conflict(house: House) -> None:
    house.codes.start(house.act(idempotency_key="order-1", fingerprint=b"one"), email="ann@example.org")
    with pytest.raises(IdempotencyConflict):
        house.codes.start(house.act(idempotency_key="order-1", fingerprint=b"two"), email="ann@example.org")


def test_a_resend_can_be_repeated_too(house: House) -> None:
    house.patient()
    started = house.start()
    house.clock.advance_s(30)
    calls = [house.act(idempotency_key="again", fingerprint=b"body") for _ in range(2)]
    first, second = (house.codes.resend(act, started.challenge) for act in calls)
    assert first.challenge == second.challenge
    assert len(house.outbox()) == 2


# --- no oracle ------------------------------------------------------------------------------------------------------


def answers(house: House, email: str) -> list[object]:
    """Everything a caller sees of a sign-in by this address with wrong guesses, handles aside."""
    seen: list[object] = []
    act = house.act()
    started = house.codes.start(act, email=email)
    seen += [started.expires_in_s, started.resend_in_s, len(started.challenge), act.limits]
    for _ in range(5):
        miss_act = house.act()
        try:
            house.codes.verify(miss_act, started.challenge, WRONG)
        except InvalidCode as miss_:
            seen += [miss_.attempts_left, miss_act.limits]
    house.clock.advance_s(31)
    return seen


def test_attack_unknown_known_withdrawn_and_locked_addresses_look_the_same(build: Callable[..., House]) -> None:
    house = build(misses_consecutive=3)
    house.patient("known", "known@example.org")
    house.patient("without", "withdrawn@example.org", access=False)
    house.patient("locked", "locked@example.org")
    answers(house, "locked@example.org")
    house.clock.advance_s(3600)
    seen = []
    for name in ("known", "withdrawn", "locked", "unknown"):
        seen.append(answers(house, f"{name}@example.org"))
        house.clock.advance_s(3600)
    assert all(one == seen[0] for one in seen)


def test_an_unknown_address_gets_a_void_entry_of_the_same_size(house: House) -> None:
    house.patient(email="known@example.org")
    house.codes.start(house.act(), email="known@example.org")
    house.codes.start(house.act(), email="nobod@example.org")
    real, void = house.outbox()
    assert (real["nobody"], void["nobody"]) == ("", "1")
    differ = {"patient", "nobody", "record"}
    assert {k: len(v) for k, v in real.items() if k not in differ} == {
        k: len(v) for k, v in void.items() if k not in differ
    }


def test_attack_a_right_guess_on_an_unknown_address_is_a_miss(house: House) -> None:
    started = house.start(email="nobody@example.org")
    assert miss(house, started.challenge, "314159").reason == "dummy"


# --- what Redis knows ---------------------------------------------------------------------------------------------


def test_attack_a_dump_of_redis_holds_neither_code_nor_handle_nor_address_nor_token(house: House) -> None:
    house.patient(email="ann.secret@example.org", label="Ann Secret")
    started = house.start(email="ann.secret@example.org")
    grant = house.codes.verify(house.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    dump = dump_of(house)
    for secret in (
        "314159",
        started.challenge,
        "ann.secret",
        "Ann Secret",
        grant.access_token,
        grant.refresh_token,
        house.secret,
    ):
        assert secret
        assert secret not in dump


def test_every_secret_bearing_record_has_a_deadline(house: House) -> None:
    house.patient()
    house.sign_in()
    house.link()
    house.access_link(delivery="email")
    house.codes.start(house.act(idempotency_key="k"), email="ann@example.org")
    lasting = ("patient:", "mailbox:", "epoch", "audit", "codes", "mails", "links:")
    for key in house.redis.scan_iter("authsvc:{maple}:*"):
        if not key.removeprefix("authsvc:{maple}:").startswith(lasting):
            assert house.redis.pttl(key) > 0, key


def dump_of(house: House) -> str:
    text = []
    for key in house.redis.scan_iter("*"):
        match house.redis.type(key):
            case "hash":
                value: object = house.redis.hgetall(key)
            case "string":
                value = house.redis.get(key)
            case "stream":
                value = house.redis.xrange(key)
            case "zset":
                value = house.redis.zrange(key, 0, -1)
            case "list":
                value = house.redis.lrange(key, 0, -1)
            case _:
                value = house.redis.smembers(key)
        text.append(f"{key} {value}")
    return "\n".join(text)
