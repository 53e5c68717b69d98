"""Limits and guess budgets: a guesser gets nothing, and a stranger can't lock the patient out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.config import limits
from authsvc.config.limits import WIDE_NETWORK
from authsvc.errors import ChallengeGone, InvalidCode, RateLimited
from authsvc.model import Started, TokenGrant
from tests.flows.conftest import Harness

WRONG = "271828"
DAY_S = 86_400


def burn(harness: Harness, misses: int, email: str = "ann@example.org") -> None:
    """Miss this often on challenges of a typed address, five to a challenge."""
    while misses > 0:
        challenge = harness.start(email=email).challenge
        for _ in range(min(5, misses)):
            with pytest.raises(InvalidCode):
                harness.codes.verify(harness.act(), challenge, WRONG)
            misses -= 1


# --- the budgets of a mailbox -------------------------------------------------------------------------------------


def test_attack_a_hundred_misses_in_a_row_turn_codes_into_access_links(wide: Harness) -> None:
    wide.patient()
    burn(wide, 100)
    started = wide.start()
    assert wide.mailed()["kind"] == "access-link"
    with pytest.raises(InvalidCode) as caught:
        wide.codes.verify(wide.act(), started.challenge, "314159")
    assert caught.value.reason == "link_mode"


def test_the_patient_still_gets_in_by_the_mailed_link_and_that_clears_the_run(wide: Harness) -> None:
    wide.patient()
    burn(wide, 100)
    wide.start()
    token = wide.mailed()["url"].rsplit("/", 1)[1]
    wide.entropy.next_below(161803)
    started = wide.links.exchange(wide.act(), token)
    assert isinstance(started, Started)
    assert isinstance(wide.codes.verify(wide.act(), started.challenge, "161803"), TokenGrant)
    wide.start()
    assert wide.mailed()["kind"] == "code"


def test_attack_three_hundred_misses_a_day_even_when_the_patient_signs_in_between(wide: Harness) -> None:
    wide.patient()
    for _ in range(3):
        burn(wide, 75)
        wide.sign_in()
    burn(wide, 75)
    started = wide.start()
    assert wide.mailed()["kind"] == "access-link"
    with pytest.raises(InvalidCode):
        wide.codes.verify(wide.act(), started.challenge, "314159")


def test_the_day_is_a_rolling_one_of_twenty_four_hours_at_least(wide: Harness) -> None:
    wide.patient()
    for _ in range(3):
        burn(wide, 75)
        wide.sign_in()
    burn(wide, 75)
    wide.clock.advance_s(DAY_S - 3600)
    wide.start()
    assert wide.mailed()["kind"] == "access-link"
    wide.clock.advance_s(2 * 3600)
    wide.start()
    assert wide.mailed()["kind"] == "code"


def test_a_run_of_misses_outlives_codes_and_days(wide: Harness) -> None:
    wide.patient()
    burn(wide, 60)
    wide.clock.advance_s(3 * DAY_S)
    burn(wide, 40)
    wide.start()
    assert wide.mailed()["kind"] == "access-link"


def test_a_verified_code_is_no_miss(wide: Harness) -> None:
    wide.patient()
    burn(wide, 3)
    wide.sign_in()
    shown = wide.patients.show(wide.act(), "p1")
    assert (shown["consecutive_misses"], shown["misses_in_24h"]) == (0, 3)


def test_an_operator_can_unlock(wide: Harness) -> None:
    wide.patient()
    burn(wide, 100)
    assert wide.patients.show(wide.act(), "p1")["link_mode"]
    wide.patients.unlock(wide.act(), "p1")
    assert not wide.patients.show(wide.act(), "p1")["link_mode"]
    wide.sign_in()


def test_attack_misses_elsewhere_never_refuse_a_link_from_the_mailbox(wide: Harness) -> None:
    wide.patient()
    burn(wide, 100)
    wide.entropy.next_below(161803)
    started = wide.links.exchange(wide.act(), wide.access_link())
    assert isinstance(started, Started)
    assert isinstance(wide.codes.verify(wide.act(), started.challenge, "161803"), TokenGrant)


def test_attack_a_locked_mailbox_leaves_the_patients_session_alone(wide: Harness) -> None:
    wide.patient()
    grant = wide.sign_in()
    burn(wide, 100)
    assert wide.introspected(grant.access_token)["active"]


def test_misses_behind_a_link_count_on_the_link_and_end_it_at_the_twentieth(wide: Harness) -> None:
    wide.patient()
    token = wide.access_link(max_uses=50)
    for _ in range(4):
        started = wide.links.exchange(wide.act(), token)
        assert isinstance(started, Started)
        for _ in range(5):
            with pytest.raises(InvalidCode):
                wide.codes.verify(wide.act(), started.challenge, WRONG)
    assert wide.patients.show(wide.act(), "p1")["misses_in_24h"] == 0
    started = wide.links.exchange(wide.act(), token)
    assert isinstance(started, Started)
    with pytest.raises(ChallengeGone, match="exhausted"):
        wide.codes.verify(wide.act(), started.challenge, WRONG)
    with pytest.raises(ChallengeGone, match="superseded"):
        wide.codes.verify(wide.act(), started.challenge, WRONG)
    assert wide.links.list(wide.act(), "p1")[0].state == "revoked"


def test_the_default_limits_keep_the_chance_of_entry_below_the_bound() -> None:
    assert limits.guess_chance(limits.load(None)) == pytest.approx(0.00099)


def test_in_link_mode_no_code_is_told_to_a_caller_that_could_never_be_right(wide: Harness) -> None:
    wide.patient()
    burn(wide, 100)
    with pytest.raises(RateLimited) as caught:
        wide.codes.start(wide.act(), patient="p1", delivery="caller")
    assert caught.value.violated == ("guesses",)


def test_a_link_that_ends_by_misses_leaves_an_entry(wide: Harness) -> None:
    wide.patient()
    token = wide.access_link(max_uses=50)
    for _ in range(5):
        started = wide.links.exchange(wide.act(), token)
        assert isinstance(started, Started)
        for _ in range(5):
            with pytest.raises((InvalidCode, ChallengeGone)):
                wide.codes.verify(wide.act(), started.challenge, WRONG)
        if "link.ended" in wide.events():
            break
    assert wide.events().count("link.ended") == 1


def test_misses_forgotten_between_guess_and_verdict_leave_no_debt(
    wide: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide.patient()
    started = wide.start()
    store: Any = wide.codes._store
    settle = store.settle

    def unlocked_meanwhile(*args: Any) -> Any:
        wide.patients.unlock(wide.act(), "p1")
        return settle(*args)

    monkeypatch.setattr(store, "settle", unlocked_meanwhile)
    wide.codes.verify(wide.act(), started.challenge, "314159")
    assert list(wide.redis.scan_iter("authsvc:{maple}:guesses:*")) == []


# --- asking for codes -----------------------------------------------------------------------------------------------


def test_the_fifth_mail_to_an_address_carries_a_link_and_the_sixth_is_refused(harness: Harness) -> None:
    harness.patient()
    kinds = []
    for _ in range(5):
        harness.start()
        kinds.append(harness.mailed()["kind"])
    assert kinds == ["code", "code", "code", "code", "access-link"]
    act = harness.act()
    with pytest.raises(RateLimited) as caught:
        harness.codes.start(act, email="ANN@example.org")
    assert caught.value.violated == ("issue-address",)
    assert 0 < caught.value.retry_after_s <= 180
    assert "issue-address" not in [state.policy for state in act.limits]


def test_a_refused_start_mails_nothing_and_leaves_the_earlier_code_alone(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    for _ in range(4):
        harness.start("222222")
    queued = len(harness.outbox())
    with pytest.raises(RateLimited):
        harness.codes.start(harness.act(), email="ann@example.org")
    assert len(harness.outbox()) == queued
    harness.codes.verify(harness.act(), started.challenge, "314159")


def test_starts_by_patient_have_a_budget_of_their_own(harness: Harness) -> None:
    harness.patient()
    for _ in range(5):
        harness.start()
    for _ in range(10):
        harness.codes.start(harness.act(), patient="p1")
    with pytest.raises(RateLimited) as caught:
        harness.codes.start(harness.act(), patient="p1")
    assert caught.value.violated == ("issue-patient",)


def test_a_network_may_start_thirty_in_a_quarter_of_an_hour(harness: Harness) -> None:
    for number in range(30):
        harness.codes.start(harness.act(client_ip="192.0.2.7"), email=f"someone{number}@example.org")
    with pytest.raises(RateLimited) as caught:
        harness.codes.start(harness.act(client_ip="192.0.2.7"), email="another@example.org")
    assert caught.value.violated == ("issue-network",)
    harness.codes.start(harness.act(client_ip="192.0.2.8"), email="another@example.org")


def test_attack_hopping_through_an_ipv6_allocation_is_one_network(harness: Harness) -> None:
    wide = 30 * WIDE_NETWORK + 1  # one is regained meanwhile
    for number in range(wide):
        harness.codes.start(harness.act(client_ip=f"2001:db8:1:{number:x}::1"), email=f"someone{number}@example.org")
        harness.clock.advance_ms(10)
    with pytest.raises(RateLimited):
        harness.codes.start(harness.act(client_ip="2001:db8:1:fff::1"), email="another@example.org")


def test_households_that_share_a_48_are_not_refused_for_one_neighbour(harness: Harness) -> None:
    for number in range(30):
        harness.codes.start(harness.act(client_ip=f"2001:db8:1:1::{number:x}"), email=f"someone{number}@example.org")
    with pytest.raises(RateLimited):
        harness.codes.start(harness.act(client_ip="2001:db8:1:1::ff"), email="another@example.org")
    for number in range(30):
        harness.codes.start(harness.act(client_ip=f"2001:db8:1:2::{number:x}"), email=f"other{number}@example.org")


def test_guesses_of_two_households_that_share_a_48_are_counted_apart(build: Callable[..., Harness]) -> None:
    policies = dict(limits.load(None).policies)
    policies["verify-network"] = dataclasses.replace(policies["verify-network"], quota=1)
    harness = build(policies=policies)
    started = [
        harness.codes.start(harness.act(client_ip=f"2001:db8:1:{n}::1"), email=f"s{n}@example.org") for n in (1, 2)
    ]
    for challenge in started:  # counted by the networks of the challenge, since the caller names none
        with pytest.raises(InvalidCode):
            harness.codes.verify(harness.act(), challenge.challenge, WRONG)
    for challenge in started:
        with pytest.raises(RateLimited):
            harness.codes.verify(harness.act(), challenge.challenge, WRONG)


def test_attack_spraying_one_guess_over_many_addresses_is_limited_by_network(harness: Harness) -> None:
    policies = dict(harness.service.limits.policies)
    assert policies["verify-network"].quota == 60
    challenges = []
    for number in range(61):
        challenges.append(harness.codes.start(harness.act(), email=f"someone{number}@example.org").challenge)
        harness.clock.advance_ms(20)
    for challenge in challenges[:60]:
        with pytest.raises(InvalidCode):
            harness.codes.verify(harness.act(client_ip="192.0.2.7"), challenge, WRONG)
    with pytest.raises(RateLimited) as caught:
        harness.codes.verify(harness.act(client_ip="192.0.2.7"), challenges[60], WRONG)
    assert caught.value.violated == ("verify-network",)


def test_attack_leaving_the_address_out_when_verifying_falls_back_to_the_challenges(
    build: Callable[..., Harness],
) -> None:
    policies = dict(limits.load(None).policies)
    policies["verify-network"] = dataclasses.replace(policies["verify-network"], quota=2)
    harness = build(policies=policies)
    started = harness.codes.start(harness.act(client_ip="192.0.2.7"), email="ann@example.org")
    for _ in range(2):
        with pytest.raises(InvalidCode):
            harness.codes.verify(harness.act(), started.challenge, WRONG)
    with pytest.raises(RateLimited):
        harness.codes.verify(harness.act(), started.challenge, WRONG)


def test_a_refused_act_costs_no_attempt(build: Callable[..., Harness]) -> None:
    policies = dict(limits.load(None).policies)
    policies["verify-network"] = dataclasses.replace(policies["verify-network"], quota=1)
    harness = build(policies=policies)
    harness.patient()
    started = harness.start()
    with pytest.raises(InvalidCode):
        harness.codes.verify(harness.act(client_ip="192.0.2.7"), started.challenge, WRONG)
    with pytest.raises(RateLimited):
        harness.codes.verify(harness.act(client_ip="192.0.2.7"), started.challenge, WRONG)
    harness.codes.verify(harness.act(client_ip="192.0.2.8"), started.challenge, "314159")


def test_a_client_may_call_a_hundred_times_a_second(harness: Harness) -> None:
    harness.patient()
    harness.clock.advance_s(1)
    for _ in range(100):
        harness.sessions.list(harness.act(), "p1")
    with pytest.raises(RateLimited) as caught:
        harness.sessions.list(harness.act(), "p1")
    assert caught.value.violated == ("client-calls",)
    harness.clock.advance_s(1)
    harness.sessions.list(harness.act(), "p1")


def test_a_limiters_refusals_make_one_audit_entry_a_bucket_and_window(harness: Harness) -> None:
    harness.patient()
    for _ in range(5):
        harness.start()
    for _ in range(3):
        with pytest.raises(RateLimited):
            harness.codes.start(harness.act(), email="ann@example.org")
    assert harness.events().count("limited") == 1


@pytest.mark.parametrize(
    ("used", "policy"),
    [
        ({"own": 0.85}, ("mails-practice", 2000, 900)),
        ({"share": 0.85}, ("mails-share", 8000, 3600)),
        ({"own": 0.11, "site": "typed"}, ("mails-all", 20_000, 3600)),
    ],
)
def test_typed_starts_stop_before_other_sign_ins_and_the_refusal_names_the_budget(
    harness: Harness, used: dict[str, Any], policy: tuple[str, int, int]
) -> None:
    harness.patient()
    token = harness.access_link()
    challenge = harness.start().challenge
    harness.clock.advance_s(31)
    use_mails(harness, **used)
    harness.codes.start(harness.act(), patient="p1")
    harness.links.exchange(harness.act(), token)
    for call in (
        lambda: harness.codes.start(harness.act(), email="ann@example.org"),
        lambda: harness.codes.resend(harness.act(), challenge),
        lambda: harness.access_link(delivery="email"),
        lambda: harness.service.email_changes.start(harness.act(), patient="p1", email="new@example.org"),
        lambda: harness.patient("p1", "new@example.org"),
    ):
        with pytest.raises(RateLimited) as caught:
            call()
        assert caught.value.violated == (policy[0],)
        assert [state[:4] for state in map(dataclasses.astuple, caught.value.limits) if state[0] == policy[0]] == [
            (*policy, 0)
        ]


@pytest.mark.parametrize("used", [{"own": 1}, {"share": 1}, {"own": 0.11, "site": "all"}])
def test_when_all_is_spent_nothing_is_mailed(harness: Harness, used: dict[str, Any]) -> None:
    harness.patient()
    token = harness.access_link()
    use_mails(harness, **used)
    with pytest.raises(RateLimited):
        harness.codes.start(harness.act(), patient="p1")
    with pytest.raises(RateLimited):
        harness.links.exchange(harness.act(), token)
    harness.patient("p1", "ann@example.org", label="without another address")


def test_a_throttled_site_stops_no_practice_that_has_mailed_little(harness: Harness) -> None:
    harness.patient()
    use_mails(harness, own=0.09, site="all")
    harness.start()
    harness.access_link(delivery="email")


def test_links_stop_before_sign_ins_when_a_practice_mails_much(harness: Harness) -> None:
    harness.patient()
    use_mails(harness, own=0.75)
    harness.start()
    with pytest.raises(RateLimited) as caught:
        harness.access_link(delivery="email")
    assert caught.value.violated == ("mails-practice",)
    assert caught.value.retry_after_s < 60, "until there is room again"


def test_the_count_of_an_earlier_release_is_read(harness: Harness) -> None:
    harness.patient()
    harness.redis.set("authsvc:{maple}:mail-count", harness.clock.now_ms() + 900_000)
    with pytest.raises(RateLimited):
        harness.start()


def use_mails(harness: Harness, own: float = 0, share: float = 0, site: str = "") -> None:
    """As if this part of each budget were used."""
    now_ms = harness.clock.now_ms()
    harness.redis.set("authsvc:{maple}:mail-count", f"{int(now_ms + own * 900_000)} {int(now_ms + share * 3_600_000)}")
    harness.redis.set("authsvc:{@site}:mail-throttle", site)
    harness.service.mail_throttle.refresh()


def test_limits_are_kept_while_the_service_restarts(build: Callable[..., Harness], harness: Harness) -> None:
    for _ in range(5):
        harness.start()
    service = harness.service
    again = type(service)(
        service.settings,
        service.catalogue,
        service.limits,
        store=service.store,
        clock=harness.clock,
        entropy=harness.entropy,
        metrics=service.metrics,
    )
    with pytest.raises(RateLimited):
        again.codes.start(harness.act(), email="ann@example.org")


# --- links ----------------------------------------------------------------------------------------------------------


def burn_by_links(harness: Harness, misses: int, patient: str = "p1") -> None:
    """Miss this often on challenges of ever new links that a client has issued and exchanged itself."""
    for _ in range(misses // 5):
        started = harness.links.exchange(harness.act(), harness.access_link(patient=patient))
        assert isinstance(started, Started)
        for _ in range(5):
            with pytest.raises(InvalidCode):
                harness.codes.verify(harness.act(), started.challenge, WRONG)


def exchanged(harness: Harness, token: str, code: str) -> str:
    """The challenge of a link whose code is known to the test."""
    harness.entropy.next_below(int(code))
    started = harness.links.exchange(harness.act(), token)
    assert isinstance(started, Started)
    return started.challenge


def test_attack_guessing_over_ever_new_links_of_a_client_ends_at_thirty_misses_a_day(wide: Harness) -> None:
    wide.patient()
    burn_by_links(wide, 30)
    challenge = exchanged(wide, wide.access_link(), "161803")
    assert wide.mailed()["kind"] == "access-link"
    with pytest.raises(InvalidCode) as caught:
        wide.codes.verify(wide.act(), challenge, "161803")
    assert caught.value.reason == "link_mode"
    # Typed starts have a budget of their own, and the link that was mailed leads in.
    token = wide.mailed()["url"].rsplit("/", 1)[1]
    wide.codes.verify(wide.act(), exchanged(wide, token, "161803"), "161803")
    wide.sign_in()


def test_attack_guessing_by_links_over_all_patients_of_a_mailbox_has_one_budget(wide: Harness) -> None:
    for name in ("p1", "p2", "p3"):
        wide.patient(name)
        burn_by_links(wide, 10, name)
    challenge = exchanged(wide, wide.access_link(patient="p1"), "161803")
    with pytest.raises(InvalidCode):
        wide.codes.verify(wide.act(), challenge, "161803")


def test_a_right_code_by_a_link_is_no_miss_and_a_day_later_links_give_codes_again(wide: Harness) -> None:
    wide.patient()
    burn_by_links(wide, 25)
    for _ in range(6):
        wide.codes.verify(wide.act(), exchanged(wide, wide.access_link(), "161803"), "161803")
    burn_by_links(wide, 5)
    challenge = exchanged(wide, wide.access_link(), "161803")
    wide.clock.advance_s(31)
    wide.codes.resend(wide.act(), challenge)
    assert wide.mailed()["kind"] == "access-link"
    wide.clock.advance_s(DAY_S + 3600)
    wide.codes.verify(wide.act(), exchanged(wide, wide.access_link(), "161803"), "161803")


def test_a_link_that_was_only_mailed_counts_on_itself_alone(wide: Harness) -> None:
    wide.patient()
    burn(wide, 100)
    wide.start()
    token = wide.mailed()["url"].rsplit("/", 1)[1]
    for _ in range(4):
        challenge = exchanged(wide, token, "161803")
        for _ in range(5):
            with pytest.raises(InvalidCode):
                wide.codes.verify(wide.act(), challenge, WRONG)
    assert list(wide.redis.scan_iter("authsvc:{maple}:guesses-by-links:*")) == []


def test_an_operator_unlocks_links_too(wide: Harness) -> None:
    wide.patient()
    burn_by_links(wide, 30)
    wide.patients.unlock(wide.act(), "p1")
    wide.codes.verify(wide.act(), exchanged(wide, wide.access_link(), "161803"), "161803")


# --- mails that others cause ----------------------------------------------------------------------------------------


def test_attack_a_stranger_causes_at_most_forty_mails_in_a_day_and_the_last_carries_a_link(harness: Harness) -> None:
    harness.patient()
    kinds = []
    for _ in range(4 * 24):
        harness.clock.advance_s(900)
        for _ in range(6):
            try:
                harness.start()
            except RateLimited:
                break
            kinds.append(harness.mailed()["kind"])
    assert 20 < len(kinds) <= 40
    assert kinds[-1] == "access-link"


def test_attack_a_client_that_starts_by_patient_all_day_is_limited_too(harness: Harness) -> None:
    harness.patient()
    mails, policies = 0, set()
    for _ in range(4 * 24):
        harness.clock.advance_s(900)
        try:
            harness.codes.start(harness.act(), patient="p1")
            mails += 1
        except RateLimited as refused:
            policies.add(refused.violated)
    assert policies == {("issue-patient-day",)}
    assert mails <= 40


def test_attack_spending_all_starts_of_a_patient_leaves_the_mailed_link_working(harness: Harness) -> None:
    harness.patient()
    for _ in range(5):
        harness.start()
    token = harness.mailed()["url"].rsplit("/", 1)[1]
    for _ in range(10):
        harness.codes.start(harness.act(), patient="p1")
    challenge = exchanged(harness, token, "161803")
    harness.clock.advance_s(31)
    harness.codes.resend(harness.act(), challenge)
    harness.codes.verify(harness.act(), challenge, "161803")


def test_attack_the_old_id_of_a_merged_patient_brings_no_budget_of_its_own(harness: Harness) -> None:
    harness.patient("p1")
    harness.patient("p2")
    harness.patients.merge(harness.act(), "p2", "p1")
    for name in ("p1", "p2") * 5:
        harness.codes.start(harness.act(), patient=name)
    for name in ("p1", "p2"):
        with pytest.raises(RateLimited):
            harness.codes.start(harness.act(), patient=name)


def test_attack_a_client_mails_a_patient_twenty_links_a_day(harness: Harness) -> None:
    harness.patient()
    for _ in range(20):
        harness.access_link(delivery="email")
    with pytest.raises(RateLimited) as caught:
        harness.access_link(delivery="email")
    assert caught.value.violated == ("link-mails",)
    harness.access_link()


def test_attack_changing_addresses_mails_strangers_a_few_notices_and_stops(harness: Harness) -> None:
    for number in range(8):
        harness.patient(f"w{number}", "first@example.com")
    changes, policies = 0, set()
    for place in range(48):
        try:
            harness.patient(f"w{place % 8}", ("second@example.com", "first@example.com")[place // 8 % 2])
            changes += 1
        except RateLimited as refused:
            policies.add(refused.violated)
    assert policies == {("address-change",)}
    assert changes == 40
    assert len(harness.outbox()) == 20
