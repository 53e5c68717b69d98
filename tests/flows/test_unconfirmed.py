"""An answer of 503 after the script was sent: the act may have happened, and its caller was never told.

For that caller it counts as not made. The same call again is answered as the first would have been: a good link,
code or token is not lost to an outage. For everybody else, and once anybody was answered, a credential stays used up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from authsvc.errors import (
    AuthsvcError,
    ChallengeGone,
    InvalidRefreshToken,
    LinkGone,
    NotFound,
    NotReplicated,
    SignInNeeded,
    Unavailable,
)
from authsvc.flows.authorization_codes import s256
from authsvc.flows.data_keys import PURPOSES
from authsvc.model import Choice, Started, TokenGrant
from authsvc.store.connection import Connection
from authsvc.store.unconfirmed import KEPT_MS, MOST, UnconfirmedCalls
from tests.fakes import FakeClock, SeededEntropy
from tests.flows import test_dependents, test_email_changes
from tests.flows.conftest import Harness
from tests.flows.visitors import BROWSER, VERIFIER, Portal, enter, page, press


class Unconfirming(Connection):
    """A store whose durable scripts run, while `failing` says why their callers aren't told."""

    failing: Unavailable | None = None
    away = False  # nothing reaches it
    refusing = False  # what is durable isn't run, as with NOREPLICAS

    def evaluate(
        self, source: str, sha: str, keys: tuple[str, ...], args: Any, durable: bool, **more: Any
    ) -> list[Any]:
        if self.away:
            raise Unavailable("store_away")
        if durable and self.refusing:
            raise Unavailable("store_replicas")
        answer = super().evaluate(source, sha, keys, args, False, **more)
        if durable and self.failing:
            raise self.failing
        return answer

    def call(self, act: Callable[[Any], Any], key: str = "", **more: Any) -> Any:
        if self.away:
            raise Unavailable("store_away")
        return super().call(act, key, **more)


@pytest.fixture
def store(redis_client: redis.Redis) -> Unconfirming:
    return Unconfirming(redis_client, deadline_s=30, waiting_limit=256)


@pytest.fixture
def harness(store: Unconfirming, redis_client: redis.Redis, clock: FakeClock, entropy: SeededEntropy) -> Harness:
    found = Harness(store, redis_client, clock, entropy)
    for purpose in PURPOSES[1:]:
        found.service.data_keys.key(purpose)  # made beforehand, so that no 503 is theirs
    return found


def failing_store(harness: Harness) -> Unconfirming:
    found = harness.service.store
    assert isinstance(found, Unconfirming)
    return found


@contextmanager
def unconfirmed(harness: Harness, error: Unavailable | None = None) -> Iterator[None]:
    """What happens inside is answered 503, though it happens. Some seconds pass."""
    store = failing_store(harness)
    store.failing = error or NotReplicated()
    with pytest.raises(Unavailable):
        yield
    store.failing = None
    harness.clock.advance_s(30)


def refused(act: Callable[[], object], *errors: type[AuthsvcError]) -> str:
    """Why an act is refused for good."""
    with pytest.raises(errors or (AuthsvcError,)) as caught:
        act()
    assert not isinstance(caught.value, Unavailable)
    return str(getattr(caught.value, "reason", caught.type.__name__))


# --- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [NotReplicated(), Unavailable("store_away")], ids=["replicas missing", "answer lost"])
def test_a_link_whose_exchange_was_answered_503_opens_for_the_same_client(harness: Harness, error: Unavailable) -> None:
    token = harness.link(max_uses=1)
    for _ in range(3):
        with unconfirmed(harness, error):
            harness.links.exchange(harness.act(), token)
    grant = harness.links.exchange(harness.act(), token)
    assert isinstance(grant, TokenGrant)
    assert harness.introspected(grant.access_token)["active"]
    assert harness.links.list(harness.act(), "p1")[0].uses == 1
    assert [entry.get("again") for entry in harness.audit_entries() if entry["event"] == "link.exchanged"] == [
        None,
        *["1"] * 3,
    ]


def test_attack_a_link_again_once_its_repeat_was_answered(harness: Harness) -> None:
    token = harness.link(max_uses=1)
    with unconfirmed(harness):
        harness.links.exchange(harness.act(), token)
    harness.links.exchange(harness.act(), token)
    assert refused(lambda: harness.links.exchange(harness.act(), token), LinkGone) == "used_up"


def test_attack_a_stolen_link_through_another_client(harness: Harness) -> None:
    thief, _ = harness.new_client("billing")
    token = harness.link(max_uses=1)
    with unconfirmed(harness):
        harness.links.exchange(harness.act(), token)
    assert refused(lambda: harness.links.exchange(harness.act(thief), token), LinkGone) == "used_up"
    assert isinstance(harness.links.exchange(harness.act(), token), TokenGrant)  # and its own client still may


def test_attack_a_stolen_link_in_another_browser(harness: Harness) -> None:
    portal, token = Portal(harness), harness.link(max_uses=1)
    with unconfirmed(harness):
        press(harness, portal, token)
    assert refused(lambda: press(harness, portal, token, "T" * 22), LinkGone) == "used_up"
    hint = press(harness, portal, token)
    assert portal.redeem(portal.landed(hint)).workflow == "pay-invoice"


def test_attack_an_old_503_opens_nothing_after_somebody_was_answered(harness: Harness) -> None:
    """The mark reaches Redis late: by then the link was used by a call that was answered."""
    token, store = harness.link(max_uses=2), failing_store(harness)
    with unconfirmed(harness, Unavailable("store_away")):
        harness.links.exchange(harness.act(), token)
    late = list(harness.service.unconfirmed._waiting)
    harness.links.exchange(harness.act(), token)  # the repeat: the first use was its own
    harness.links.exchange(harness.act(), token)  # the second
    harness.service.unconfirmed.add(late)
    assert refused(lambda: harness.links.exchange(harness.act(), token), LinkGone) == "used_up"
    assert store.failing is None


def test_what_ends_a_link_ends_its_repeat(harness: Harness) -> None:
    token = harness.link(max_uses=1)
    with unconfirmed(harness):
        harness.links.exchange(harness.act(), token)
    harness.links.revoke_where(harness.act(), patient="p1")
    assert refused(lambda: harness.links.exchange(harness.act(), token), LinkGone) == "used_up"


def test_a_repeat_that_comes_after_ten_minutes_is_another_use(harness: Harness) -> None:
    token, store = harness.link(max_uses=1), failing_store(harness)
    with unconfirmed(harness, Unavailable("store_away")):
        harness.links.exchange(harness.act(), token)
    harness.clock.advance_s(KEPT_MS // 1000)
    assert refused(lambda: harness.links.exchange(harness.act(), token), LinkGone) == "used_up"
    assert harness.service.unconfirmed._waiting == {}
    assert store.failing is None


def test_an_access_link_is_counted_once(harness: Harness) -> None:
    harness.patient()
    token = harness.access_link(max_uses=1)
    with unconfirmed(harness):
        harness.links.exchange(harness.act(), token)
    assert isinstance(harness.links.exchange(harness.act(), token), Started)
    assert harness.links.list(harness.act(), "p1")[0].uses == 1
    assert refused(lambda: harness.links.exchange(harness.act(), token), LinkGone) == "used_up"


# --- codes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [NotReplicated(), Unavailable("store_away")], ids=["replicas missing", "answer lost"])
def test_a_code_whose_verification_was_answered_503_opens_its_one_session(harness: Harness, error: Unavailable) -> None:
    harness.patient()
    started = harness.start()
    for _ in range(7):  # more often than a double click may come
        with unconfirmed(harness, error):
            harness.codes.verify(harness.act(), started.challenge, "314159")
    grant = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    assert grant.expires_in_s == harness.service.settings.access_token_life_s  # it begins now
    assert [session.id for session in harness.sessions.list(harness.act(), "p1")] == [grant.session]
    assert harness.sessions.refresh(harness.client, grant.refresh_token or "", None, "")
    harness.clock.advance_s(6)
    assert refused(lambda: harness.codes.verify(harness.act(), started.challenge, "314159"), ChallengeGone) == "spent"


def test_attack_a_code_again_once_its_repeat_was_answered(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    with unconfirmed(harness):
        harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.clock.advance_s(6)
    assert refused(lambda: harness.codes.verify(harness.act(), started.challenge, "314159"), ChallengeGone) == "spent"


def test_attack_a_mark_that_comes_after_a_double_click_was_answered(harness: Harness) -> None:
    harness.patient()
    started, store = harness.start(), failing_store(harness)
    store.failing = Unavailable("store_away")
    with pytest.raises(Unavailable):
        harness.codes.verify(harness.act(), started.challenge, "314159")
    store.failing = None
    late = list(harness.service.unconfirmed._waiting)
    harness.service.unconfirmed._waiting.clear()  # another process has them
    harness.codes.verify(harness.act(), started.challenge, "314159")  # within the time of a double click
    harness.service.unconfirmed.add(late)
    harness.clock.advance_s(6)
    assert refused(lambda: harness.codes.verify(harness.act(), started.challenge, "314159"), ChallengeGone) == "spent"


def test_attack_guessing_at_a_code_whose_answer_was_503(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    with unconfirmed(harness):
        harness.codes.verify(harness.act(), started.challenge, "314159")
    for guess in range(20):
        assert refused(
            lambda guess=guess: harness.codes.verify(harness.act(), started.challenge, f"{guess:06d}"), ChallengeGone
        )
    # Five were compared; then the right one is as dead as after five misses.
    assert refused(lambda: harness.codes.verify(harness.act(), started.challenge, "314159"), ChallengeGone) == "spent"


def test_attack_a_code_through_another_client(harness: Harness) -> None:
    thief, _ = harness.new_client("billing")
    harness.patient()
    started = harness.start()
    with unconfirmed(harness):
        harness.codes.verify(harness.act(), started.challenge, "314159")
    assert refused(lambda: harness.codes.verify(harness.act(thief), started.challenge, "314159")) == "other_client"


def test_a_repeat_is_judged_as_the_first_was_by_the_codes_own_time(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    with unconfirmed(harness):
        harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.clock.advance_s(harness.service.settings.code_life_s)
    assert refused(lambda: harness.codes.verify(harness.act(), started.challenge, "314159"), ChallengeGone) == "expired"


def test_a_session_that_was_ended_meanwhile_stays_ended(harness: Harness) -> None:
    harness.patient()
    started = harness.start()
    with unconfirmed(harness):
        harness.codes.verify(harness.act(), started.challenge, "314159")
    harness.sessions.end_all(harness.act(), "p1")
    assert refused(lambda: harness.codes.verify(harness.act(), started.challenge, "314159"), ChallengeGone) == "spent"


def shared_mailbox(harness: Harness) -> str:
    for name in ("p1", "p2"):
        harness.patient(name)
    return harness.start().challenge


def test_the_choice_and_the_chosen_patient_come_again(harness: Harness) -> None:
    challenge = shared_mailbox(harness)
    with unconfirmed(harness):
        harness.codes.verify(harness.act(), challenge, "314159")
    assert isinstance(harness.codes.verify(harness.act(), challenge, "314159"), Choice)
    with unconfirmed(harness):
        harness.codes.choose(harness.act(), challenge, "p2")
    assert refused(lambda: harness.codes.choose(harness.act(), challenge, "p1"), ChallengeGone) == "spent"
    grant = harness.codes.choose(harness.act(), challenge, "p2")
    assert harness.introspected(grant.access_token)["patient"] == "p2"
    assert refused(lambda: harness.codes.choose(harness.act(), challenge, "p2"), ChallengeGone) == "spent"


def test_a_choice_whose_session_has_ended_is_over(harness: Harness) -> None:
    challenge = shared_mailbox(harness)
    harness.codes.verify(harness.act(), challenge, "314159")
    with unconfirmed(harness):
        harness.codes.choose(harness.act(), challenge, "p2")
    harness.sessions.end_all(harness.act(), "p2")
    assert refused(lambda: harness.codes.choose(harness.act(), challenge, "p2"), ChallengeGone) == "spent"


def test_a_choice_has_its_own_time(harness: Harness) -> None:
    challenge = shared_mailbox(harness)
    harness.codes.verify(harness.act(), challenge, "314159")
    with unconfirmed(harness):
        harness.codes.choose(harness.act(), challenge, "p2")
    harness.clock.advance_s(harness.service.settings.choose_life_s)
    assert refused(lambda: harness.codes.choose(harness.act(), challenge, "p2"), ChallengeGone) == "spent"


def test_a_change_of_address_that_was_answered_503_is_told_again(harness: Harness) -> None:
    harness.patient()
    started = test_email_changes.start(harness)
    for _ in range(2):
        with unconfirmed(harness):
            test_email_changes.verify(harness, started)
    assert test_email_changes.verify(harness, started).email == test_email_changes.NEW
    harness.clock.advance_s(6)
    assert test_email_changes.why_not(harness, started) == "spent"
    assert harness.events().count("patient.address_changed") == 1


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        (lambda harness: harness.patient("p1", "third@example.org"), "spent"),
        (lambda harness: harness.patients.delete(harness.act(), "p1"), "spent"),
        (lambda harness: harness.clock.advance_s(harness.service.settings.code_life_s), "expired"),
    ],
    ids=["changed again", "deleted", "code expired"],
)
def test_a_change_that_something_has_overtaken_is_over(
    harness: Harness, meanwhile: Callable[[Harness], object], why: str
) -> None:
    harness.patient()
    started = test_email_changes.start(harness)
    with unconfirmed(harness):
        test_email_changes.verify(harness, started)
    meanwhile(harness)
    assert test_email_changes.why_not(harness, started) == why


# --- authorization codes, pushed requests ---------------------------------------------------------------------------


def test_an_authorization_code_of_a_session_gives_its_one_session(harness: Harness) -> None:
    harness.patient()
    portal, browser_session = Portal(harness), enter(harness)
    code = portal.code(browser_session.cookie)
    for _ in range(1):
        with unconfirmed(harness):
            portal.redeem(code)
    grant = portal.redeem(code)
    assert portal.works(grant)
    assert len(harness.sessions.list(harness.act(), "p1")) == 1
    assert portal.refused(code) == "reused"
    assert not portal.works(grant)


def test_attack_a_stolen_code_redeemed_elsewhere_after_a_503(harness: Harness) -> None:
    harness.patient()
    portal, thief, browser_session = Portal(harness), Portal(harness, "thief"), enter(harness)
    code = portal.code(browser_session.cookie)
    with unconfirmed(harness):
        portal.redeem(code)
    assert thief.refused(code) == "other_client"
    assert portal.refused(code, verifier=VERIFIER[::-1]) == "pkce"
    assert portal.works(portal.redeem(code))


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        (lambda harness, browser_session: harness.clock.advance_s(60), "expired"),
        (lambda harness, browser_session: harness.sessions.end_all(harness.act(), "p1"), "ended"),
    ],
    ids=["expired", "signed out"],
)
def test_a_code_whose_time_or_sign_in_is_over_gives_nothing(
    harness: Harness, meanwhile: Callable[[Harness, Any], object], why: str
) -> None:
    harness.patient()
    portal, browser_session = Portal(harness), enter(harness)
    code = portal.code(browser_session.cookie)
    with unconfirmed(harness):
        portal.redeem(code)
    meanwhile(harness, browser_session)
    assert portal.refused(code) == why


def test_a_link_lands_however_often_the_way_is_answered_503(harness: Harness) -> None:
    """Pressed, led to its client, redeemed: each of the three once more."""
    portal, token = Portal(harness), harness.link(max_uses=1)
    with unconfirmed(harness):
        press(harness, portal, token)
    hint = press(harness, portal, token)
    with unconfirmed(harness):
        portal.landed(hint)
    assert harness.service.authorization_codes.pending_link(page(harness), hint, BROWSER)
    code = portal.landed(hint)
    assert harness.service.authorization_codes.pending_link(page(harness), hint, BROWSER) is None
    with unconfirmed(harness):
        portal.redeem(code)
    assert portal.redeem(code).workflow == "pay-invoice"
    assert portal.refused(code) == "reused"
    assert len(list(harness.redis.scan_iter("*:authorization-code:*"))) == 1


def test_attack_a_pending_link_gives_a_second_code(harness: Harness) -> None:
    portal, token = Portal(harness), harness.link(max_uses=1)
    hint = press(harness, portal, token)
    with unconfirmed(harness):
        portal.landed(hint)
    portal.landed(hint)
    assert refused(lambda: portal.landed(hint), SignInNeeded) == "none"


def test_a_links_code_ends_with_the_link(harness: Harness) -> None:
    portal, token = Portal(harness), harness.link(max_uses=2)
    code = portal.landed(press(harness, portal, token))
    with unconfirmed(harness):
        portal.redeem(code)
    harness.links.revoke_where(harness.act(), patient="p1")
    assert portal.refused(code) == "revoked"


def test_a_pushed_request_gives_its_code_again(harness: Harness) -> None:
    portal, pushed = Portal(harness), harness.service.pushed_requests
    uri = pushed.push(portal.client, harness.practice, f"scope=openid&code_challenge={s256(VERIFIER)}", "")

    def opened() -> bool:
        return pushed.open(page(harness), portal.client, uri, BROWSER, on_page=False) is not None

    def spent(browser: str = BROWSER) -> bool:
        return pushed.spend(page(harness), portal.client, uri, browser)

    assert opened()
    with unconfirmed(harness):
        spent()
    assert opened()
    assert not spent("T" * 22)
    assert spent()
    assert not opened()
    assert not spent()


# --- sessions -------------------------------------------------------------------------------------------------------


def refresh(harness: Harness, grant: TokenGrant) -> TokenGrant:
    return harness.sessions.refresh(harness.client, grant.refresh_token or "", None, "")


def test_a_refresh_that_was_answered_503_gives_its_successor_after_the_grace_too(harness: Harness) -> None:
    harness.patient()
    first = harness.sign_in()
    for _ in range(2):
        with unconfirmed(harness):
            refresh(harness, first)
        harness.clock.advance_s(harness.service.limits.refresh_grace_s)
    second = refresh(harness, first)
    assert second.expires_in_s == harness.service.settings.access_token_life_s
    assert harness.introspected(refresh(harness, second).access_token)["active"]


def test_attack_the_parent_after_its_repeat_was_answered(harness: Harness) -> None:
    harness.patient()
    first = harness.sign_in()
    with unconfirmed(harness):
        refresh(harness, first)
    second = refresh(harness, first)
    harness.clock.advance_s(harness.service.limits.refresh_grace_s + 1)
    assert refused(lambda: refresh(harness, first), InvalidRefreshToken) == "reused"
    assert harness.introspected(second.access_token) == {"active": False}


def test_attack_a_mark_that_comes_after_another_tab_was_answered(harness: Harness) -> None:
    harness.patient()
    first, store = harness.sign_in(), failing_store(harness)
    store.failing = Unavailable("store_away")
    with pytest.raises(Unavailable):
        refresh(harness, first)
    store.failing = None
    late = list(harness.service.unconfirmed._waiting)
    harness.service.unconfirmed._waiting.clear()  # another process has them
    harness.clock.advance_s(1)
    refresh(harness, first)  # another tab, within the grace
    harness.service.unconfirmed.add(late)
    harness.clock.advance_s(harness.service.limits.refresh_grace_s + 1)
    assert refused(lambda: refresh(harness, first), InvalidRefreshToken) == "reused"


def test_a_switch_that_was_answered_503_opens_its_one_session(harness: Harness) -> None:
    test_dependents.family.__wrapped__(harness)  # type: ignore[attr-defined]  # the fixture's own function
    own = test_dependents.act_for(harness)
    switch = harness.service.person_switch
    for _ in range(2):
        with unconfirmed(harness):
            switch.of_client(harness.act(), "mom", own.session or "", "leo")
    assert refused(lambda: switch.of_client(harness.act(), "mom", own.session or "", "mom"), NotFound)
    grant = switch.of_client(harness.act(), "mom", own.session or "", "leo")
    assert harness.introspected(grant.access_token)["patient"] == "leo"
    assert harness.introspected(refresh(harness, grant).access_token)["active"]
    assert refused(lambda: switch.of_client(harness.act(), "mom", own.session or "", "leo"), NotFound)
    assert len(harness.sessions.list(harness.act(), "mom")) == 1


# --- repeats that come to nothing -------------------------------------------------------------------------------------


def repeat_link(harness: Harness) -> Callable[[], object]:
    token = harness.link(max_uses=1)
    return lambda: harness.links.exchange(harness.act(), token)


def repeat_access_link(harness: Harness) -> Callable[[], object]:
    token = harness.access_link(max_uses=1)
    return lambda: harness.links.exchange(harness.act(), token)


def repeat_code(harness: Harness) -> Callable[[], object]:
    started = harness.start()
    return lambda: harness.codes.verify(harness.act(), started.challenge, "314159")


def repeat_choice(harness: Harness) -> Callable[[], object]:
    challenge = shared_mailbox(harness)
    harness.codes.verify(harness.act(), challenge, "314159")
    return lambda: harness.codes.choose(harness.act(), challenge, "p2")


def repeat_change_of_address(harness: Harness) -> Callable[[], object]:
    started = test_email_changes.start(harness)
    return lambda: test_email_changes.verify(harness, started)


def repeat_refresh(harness: Harness) -> Callable[[], object]:
    grant = harness.sign_in()
    return lambda: refresh(harness, grant)


def repeat_authorization_code(harness: Harness) -> Callable[[], object]:
    portal = Portal(harness)
    code = portal.code(enter(harness).cookie)
    return lambda: portal.redeem(code)


def repeat_pending_link(harness: Harness) -> Callable[[], object]:
    portal = Portal(harness)
    hint = press(harness, portal, harness.link(max_uses=1))
    return lambda: portal.landed(hint)


def repeat_switch(harness: Harness) -> Callable[[], object]:
    test_dependents.family.__wrapped__(harness)  # type: ignore[attr-defined]  # the fixture's own function
    own = test_dependents.act_for(harness)
    return lambda: harness.service.person_switch.of_client(harness.act(), "mom", own.session or "", "leo")


@pytest.mark.parametrize("error", [NotReplicated(), Unavailable("store_away")], ids=["replicas missing", "answer lost"])
@pytest.mark.parametrize(
    "prepared",
    [
        repeat_link,
        repeat_access_link,
        repeat_code,
        repeat_choice,
        repeat_change_of_address,
        repeat_refresh,
        repeat_authorization_code,
        repeat_pending_link,
        repeat_switch,
    ],
)
def test_a_repeat_that_redis_refused_to_run_hides_no_call_that_did_run(
    harness: Harness, prepared: Callable[[Harness], Callable[[], object]], error: Unavailable
) -> None:
    """Replicas stop: first too few confirm, then Redis takes no writes at all. The caller has seen 503 throughout."""
    harness.patient()
    act, store = prepared(harness), failing_store(harness)
    with unconfirmed(harness, error):
        act()
    harness.clock.advance_s(1)  # after the grace of a refresh token, before the end of an authorization code
    for _ in range(2):
        store.refusing = True
        with pytest.raises(Unavailable):
            act()
        store.refusing = False
        harness.service.unconfirmed.write()  # the poller, as soon as Redis takes writes again
    assert act()


# --- what is kept before anybody is told --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begin",
    [
        lambda harness: harness.start(),
        lambda harness: harness.start(patient="p1"),
        lambda harness: harness.links.exchange(harness.act(), harness.access_link()),
        lambda harness: harness.link(delivery="email"),
        lambda harness: test_email_changes.start(harness),
    ],
    ids=["by address", "by patient", "by access link", "link by mail", "change of address"],
)
def test_a_start_isnt_acknowledged_before_its_replicas_have_it(
    harness: Harness, begin: Callable[[Harness], object]
) -> None:
    """Else a fail-over would forget the challenge of a code that is in the mail."""
    harness.patient()
    with unconfirmed(harness):
        begin(harness)
    assert begin(harness)


# --- the marks ------------------------------------------------------------------------------------------------------


def test_what_a_call_had_used_up_before_its_503_comes_again_with_it(harness: Harness) -> None:
    """Two acts of one call: the link's code was issued and confirmed, its pushed request wasn't."""
    portal, pushed = Portal(harness), harness.service.pushed_requests
    hint = press(harness, portal, harness.link(max_uses=1))
    uri = pushed.push(portal.client, harness.practice, "scope=openid", "")
    pushed.open(page(harness), portal.client, uri, BROWSER, on_page=False)
    codes, request = harness.service.authorization_codes, portal.asked(login_hint=hint)
    context = page(harness)
    codes.for_pending_link(context, request, BROWSER)
    with unconfirmed(harness):
        pushed.spend(context, portal.client, uri, BROWSER)
    context = page(harness)
    code = codes.for_pending_link(context, request, BROWSER)
    assert pushed.spend(context, portal.client, uri, BROWSER)
    assert portal.redeem(code).workflow == "pay-invoice"


def test_while_the_store_is_away_the_marks_wait_and_a_poller_writes_them(harness: Harness) -> None:
    token, store, waiting = harness.link(max_uses=1), failing_store(harness), harness.service.unconfirmed
    store.failing = Unavailable("store_away")
    with pytest.raises(Unavailable):
        harness.links.exchange(harness.act(), token)
    store.away = True
    with pytest.raises(Unavailable):
        waiting.write()
    with pytest.raises(Unavailable):  # nothing is looked for while a mark waits: it could be the one
        harness.links.exchange(harness.act(), token)
    store.away, store.failing = False, None
    waiting.write()
    keys = list(harness.redis.scan_iter("*:unconfirmed:*"))
    assert len(keys) == 2, "one of each call"
    assert all(0 < harness.redis.pttl(key) <= KEPT_MS for key in keys)
    assert waiting._waiting == {}


def test_a_store_that_goes_away_behind_a_missing_replica_leaves_the_mark_waiting(harness: Harness) -> None:
    token, store = harness.link(max_uses=1), failing_store(harness)

    def missed(*args: Any, **more: Any) -> list[Any]:
        Unconfirming.evaluate(store, *args, **more)
        store.away = True
        raise NotReplicated

    store.evaluate = missed  # type: ignore[method-assign]
    with pytest.raises(NotReplicated):
        harness.links.exchange(harness.act(), token)
    assert len(harness.service.unconfirmed._waiting) == 1


def test_a_mark_that_was_added_again_while_it_was_written_lives_as_long_as_the_later_one(
    store: Unconfirming, clock: FakeClock
) -> None:
    waiting = UnconfirmedCalls(store, clock)
    waiting.add(["k"])
    write, lives = waiting._write, []

    def slow(key: str, left_ms: int) -> None:
        waiting._write = write  # type: ignore[method-assign]
        clock.advance_s(60)
        waiting.add(["k"])
        write(key, left_ms)
        lives.append(store.call(lambda client: client.pttl("k")))
        clock.advance_s(-60)

    waiting._write = slow  # type: ignore[method-assign]
    waiting.write()
    assert list(waiting._waiting) == ["k"]
    waiting.write()
    assert waiting._waiting == {}
    assert store.call(lambda client: client.pttl("k")) > lives[0]


def test_attack_an_outage_under_load_fills_no_memory(store: Unconfirming, clock: FakeClock) -> None:
    waiting = UnconfirmedCalls(store, clock)
    for number in range(MOST + 5):
        waiting.add([f"k{number}"])
    assert len(waiting._waiting) == MOST
    assert next(iter(waiting._waiting)) == "k5"


def test_a_shard_that_is_down_keeps_its_own_marks_waiting_and_no_others(store: Unconfirming, clock: FakeClock) -> None:
    waiting = UnconfirmedCalls(store, clock)
    waiting.add(f"authsvc:{{{practice}}}:{name}" for practice in ("maple", "birch") for name in ("a", "b"))
    write, tried = waiting._write, []

    def down(key: str, left_ms: int) -> None:
        tried.append(key)
        if "maple" in key:
            raise Unavailable("store_away")
        write(key, left_ms)

    waiting._write = down  # type: ignore[method-assign]
    waiting.write("authsvc:{birch}:")
    assert tried == ["authsvc:{birch}:a", "authsvc:{birch}:b"]
    waiting.add(["authsvc:{birch}:c"])
    with pytest.raises(Unavailable):
        waiting.write()
    assert tried[2:] == ["authsvc:{maple}:a", "authsvc:{birch}:c"]
    assert list(waiting._waiting) == ["authsvc:{maple}:a", "authsvc:{maple}:b"]
