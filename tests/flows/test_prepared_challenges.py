"""Challenges made beforehand: one call to the store a start, and nothing hashed or sealed for one that is refused."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.crypto import hashing, sealing
from authsvc.errors import LinkUnknown, NoPortalAccess, PatientNotFound, RateLimited, Unavailable
from authsvc.flows import prepared_challenges
from authsvc.flows.prepared_challenges import LIFE_MS, LIKELY_WITHIN_MS, PreparedChallenge, PreparedChallenges
from authsvc.model import TokenGrant
from authsvc.store.codes import CodeStore
from authsvc.store.links import LinkStore
from authsvc.store.values import AccessLink, NewChallenge, NewCode
from tests.fakes import FakeClock
from tests.flows.conftest import Harness
from tests.flows.test_guessing import use_mails

KEYS = ("pepper", b"key")


@pytest.fixture
def busy(build: Callable[..., Harness]) -> Harness:
    """A practice at which two starts came one after the other, so that a challenge waits for the third."""
    harness = build(prepared_challenges=2)
    harness.patient()
    harness.patient("p2", "ben@example.org")
    harness.patient("p3", "cat@example.org", access=False)
    for patient in ("p1", "p2"):
        harness.codes.start(harness.act(), patient=patient)
    return harness


@pytest.fixture
def spent(busy: Harness, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often something was hashed, sealed, or asked of the store (`check` or `act`)."""
    counts: Counter[str] = Counter()

    def count(owner: Any, name: str, what: Callable[[dict[str, Any]], str]) -> None:
        known = getattr(owner, name)

        def counted(*args: Any, **how: Any) -> Any:
            counts[what(how)] += 1
            return known(*args, **how)

        monkeypatch.setattr(owner, name, counted)

    count(hashing, "code_tag", lambda _: "hash")
    count(sealing, "seal", lambda _: "seal")
    for store, name in ((CodeStore, "start"), (LinkStore, "start_challenge")):
        count(store, name, lambda how: "check" if how.get("check_only") else "act")
    return counts


def sign_in(harness: Harness, challenge: str, code: str) -> TokenGrant:
    grant = harness.codes.verify(harness.act(), challenge, code)
    assert isinstance(grant, TokenGrant)
    return grant


def test_a_start_is_one_call_to_the_store_and_prepares_the_next(busy: Harness, spent: Counter[str]) -> None:
    for _ in range(3):
        started = busy.codes.start(busy.act(), email="ann@example.org")
        code = busy.mailed()["code"]
        assert sign_in(busy, started.challenge, code).access_token
    assert spent == {"act": 3, "hash": 6, "seal": 3}  # one for the start after, one to verify


def test_a_code_for_the_caller_is_that_of_the_prepared_challenge(busy: Harness, spent: Counter[str]) -> None:
    started = busy.codes.start(busy.act(), patient="p1", delivery="caller")
    assert started.code
    assert sign_in(busy, started.challenge, started.code).access_token
    assert spent["check"] == 0


def test_an_access_link_is_exchanged_in_one_call(busy: Harness, spent: Counter[str]) -> None:
    token = busy.access_link()
    started = busy.links.exchange(busy.act(), token)
    assert sign_in(busy, started.challenge, busy.mailed()["code"]).access_token
    assert (spent["check"], spent["act"]) == (0, 1)


def test_lives_begin_with_the_start_and_not_before(busy: Harness) -> None:
    busy.clock.advance_s(540)
    started = busy.codes.start(busy.act(), patient="p1")
    assert started.expires_in_s == busy.service.settings.code_life_s
    busy.clock.advance_s(busy.service.settings.code_life_s - 1)
    assert sign_in(busy, started.challenge, busy.mailed()["code"]).access_token


def test_a_start_with_an_idempotency_key_is_checked_first(busy: Harness, spent: Counter[str]) -> None:
    act = busy.act(idempotency_key="k", fingerprint=b"body")
    first = busy.codes.start(act, patient="p1")
    assert busy.codes.start(busy.act(idempotency_key="k", fingerprint=b"body"), patient="p1") == first
    assert (spent["check"], spent["act"]) == (2, 1)


def test_a_practice_with_a_start_now_and_then_prepares_none(build: Callable[..., Harness]) -> None:
    harness = build(prepared_challenges=2)
    harness.patient()
    for _ in range(3):
        harness.codes.start(harness.act(), patient="p1")
        harness.clock.advance_s(LIKELY_WITHIN_MS // 1000)
    challenge = harness.codes.start(harness.act(), patient="p1")
    assert challenge.challenge
    assert waiting(harness) == 0


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (lambda harness: harness.codes.start(harness.act(), patient="nobody"), PatientNotFound),
        (lambda harness: harness.codes.start(harness.act(), patient="p3"), NoPortalAccess),
        (lambda harness: harness.links.exchange(harness.act(), "ala_" + "x" * 43), LinkUnknown),
    ],
    ids=["unknown patient", "no access", "unknown link"],
)
def test_attack_a_refused_start_is_neither_hashed_nor_sealed_and_leaves_its_challenge(
    busy: Harness, spent: Counter[str], refused: Callable[[Harness], Any], error: type[Exception]
) -> None:
    for _ in range(5):
        with pytest.raises(error):
            refused(busy)
    assert (spent["hash"], spent["seal"]) == (0, 0)
    assert waiting(busy) == 1


def test_attack_a_start_beyond_the_mail_budget_is_neither_hashed_nor_sealed(busy: Harness, spent: Counter[str]) -> None:
    use_mails(busy, own=1)
    for act in (busy.act(), busy.act(idempotency_key="k", fingerprint=b"body")):
        with pytest.raises(RateLimited):
            busy.codes.start(act, email="ann@example.org")
    assert (spent["hash"], spent["seal"]) == (0, 0)


def test_attack_tokens_that_nobody_gave_are_counted(busy: Harness) -> None:
    busy.clock.advance_s(1)
    with pytest.raises(RateLimited) as refused:
        for number in range(200):
            with pytest.raises(LinkUnknown):
                busy.links.exchange(busy.act(client_ip="203.0.113.9"), f"ala_{number:043d}")
    assert "issue-network" in refused.value.violated


def test_a_challenge_that_may_have_been_kept_is_never_handed_out_again(
    busy: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = CodeStore.start

    def kept_and_not_answered(*args: Any, **how: Any) -> None:
        known(*args, **how)
        raise Unavailable("timeout")

    monkeypatch.setattr(CodeStore, "start", kept_and_not_answered)
    with pytest.raises(Unavailable):
        busy.codes.start(busy.act(), patient="p1")
    assert waiting(busy) == 0


def test_a_full_hashing_queue_lets_the_start_pass_that_has_its_challenge(busy: Harness) -> None:
    queue = busy.service.deps.hash_queue
    places = [queue._places.acquire(blocking=False) for _ in range(10_000)]
    try:
        started = busy.codes.start(busy.act(), patient="p1")
        with pytest.raises(Unavailable):
            busy.codes.start(busy.act(), patient="p1")
    finally:
        queue._places.release(sum(places))
    assert sign_in(busy, started.challenge, busy.mailed()["code"]).access_token


def waiting(harness: Harness) -> int:
    """How many challenges wait for a start at maple."""
    return len(harness.codes._challenges._prepared._waiting.get("maple", ()))


@pytest.fixture
def prepared(clock: FakeClock) -> PreparedChallenges:
    """For two starts of a busy practice."""
    prepared = PreparedChallenges(clock, 2)
    prepared.note_start("maple")
    assert prepared.note_start("maple")
    return prepared


def one(clock: FakeClock, challenge: str = "ach_1") -> PreparedChallenge:
    code = NewCode("id", "tag", 0, AccessLink("", "", "", 0, 0), "mail", "body")
    return PreparedChallenge(challenge, "123456", NewChallenge(code, "", "", (), "", "", "", 0), KEYS, clock.now_ms())


def test_a_challenge_is_handed_out_once(prepared: PreparedChallenges, clock: FakeClock) -> None:
    prepared.keep("maple", one(clock))
    assert prepared.take("maple", KEYS) == one(clock)
    assert prepared.take("maple", KEYS) is None


def test_no_practice_gets_what_was_made_for_another(prepared: PreparedChallenges, clock: FakeClock) -> None:
    prepared.keep("maple", one(clock))
    prepared.keep("oak", one(clock))  # no start at oak is expected: nothing is kept
    assert prepared.take("oak", KEYS) is None


def test_what_was_made_with_other_keys_is_thrown_away(prepared: PreparedChallenges, clock: FakeClock) -> None:
    prepared.keep("maple", one(clock))
    assert prepared.take("maple", ("pepper", b"another")) is None
    assert prepared.take("maple", KEYS) is None


def test_what_is_ten_minutes_old_is_thrown_away(prepared: PreparedChallenges, clock: FakeClock) -> None:
    prepared.keep("maple", one(clock))
    clock.advance_s(LIFE_MS // 1000)
    assert prepared.take("maple", KEYS) is None


def test_no_more_are_made_than_may_wait(prepared: PreparedChallenges, clock: FakeClock) -> None:
    for number in range(2):
        assert prepared.note_start("maple")
        prepared.keep("maple", one(clock, f"ach_{number}"))
    assert not prepared.note_start("maple")


def test_attack_starts_at_many_practices_take_no_more_memory(
    prepared: PreparedChallenges, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared_challenges, "PRACTICES_MAX", 3)
    prepared.keep("maple", one(clock))
    for number in range(3):
        prepared.note_start(f"other-{number}")
    assert prepared.take("maple", KEYS) is None
    assert len(prepared._started_ms) == 3


def test_attack_a_forked_process_hands_out_none_of_its_parents(prepared: PreparedChallenges, clock: FakeClock) -> None:
    prepared.keep("maple", one(clock))
    child = os.fork()
    if child == 0:
        os._exit(0 if prepared.take("maple", KEYS) is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert prepared.take("maple", KEYS) == one(clock)


def test_what_a_forked_process_forgets_is_gone(prepared: PreparedChallenges, clock: FakeClock) -> None:
    prepared.keep("maple", one(clock))
    prepared._forget()
    assert prepared.take("maple", KEYS) is None


def test_secrets_are_not_shown(clock: FakeClock) -> None:
    assert "123456" not in repr(one(clock))
    assert "b'key'" not in repr(one(clock))
