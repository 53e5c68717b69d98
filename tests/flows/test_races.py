"""Everything at once: each script decides alone, whatever runs beside it. Against fakeredis and real servers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.errors import AuthsvcError, ChallengeGone, InvalidCode, InvalidGrant, LinkGone, SignInNeeded
from authsvc.model import Choice, NewBrowserSession, Started, TokenGrant
from tests import records
from tests.flows.conftest import Harness
from tests.flows.visitors import BROWSER, Portal, ended_in_feed, enter, here, look, page, press


def together(count: int, act: Callable[[int], Any]) -> list[Any]:
    """`count` threads that begin at the same moment; what each got, errors of the harness included."""
    results: list[Any] = [None] * count
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = act(number)
        except AuthsvcError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def authorization_codes(results: list[Any]) -> list[TokenGrant]:
    return [result for result in results if isinstance(result, TokenGrant)]


def test_attack_a_hundred_parallel_submits_of_one_code_open_one_session(wide: Harness) -> None:
    wide.patient()
    started = wide.start()
    results = together(100, lambda _: wide.codes.verify(wide.act(), started.challenge, "314159"))
    got = authorization_codes(results)
    assert 1 <= len(got) <= 10  # five attempts at most, and five repeats of the winning one
    assert len({(grant.session, grant.access_token, grant.refresh_token) for grant in got}) == 1
    assert all(isinstance(other, ChallengeGone) for other in results if other not in got)
    assert len(wide.sessions.list(wide.act(), "p1")) == 1
    assert wide.events().count("code.verified") == 1


def test_attack_two_hundred_parallel_guesses_get_five_attempts(wide: Harness) -> None:
    wide.patient()
    started = wide.start()
    results = together(200, lambda number: wide.codes.verify(wide.act(), started.challenge, f"{number:06d}"))
    kinds = Counter(type(result) for result in results)
    assert kinds == {InvalidCode: 5, ChallengeGone: 195}
    assert sorted(result.attempts_left for result in results if isinstance(result, InvalidCode)) == [0, 1, 2, 3, 4]
    assert wide.events().count("code.missed") == 5


def test_attack_parallel_guesses_beside_the_right_code_never_open_a_second_session(wide: Harness) -> None:
    wide.patient()
    started = wide.start()
    results = together(
        40, lambda n: wide.codes.verify(wide.act(), started.challenge, "314159" if n % 4 == 0 else "271828")
    )
    assert len({grant.session for grant in authorization_codes(results)}) <= 1
    assert len(wide.sessions.list(wide.act(), "p1")) <= 1


def test_fifty_parallel_refreshes_of_one_token_give_one_successor(wide: Harness) -> None:
    wide.patient()
    grant = wide.sign_in()
    results = together(50, lambda _: wide.sessions.refresh(wide.client, grant.refresh_token or "", None, ""))
    got = authorization_codes(results)
    assert len(got) == 50
    assert len({(fresh.access_token, fresh.refresh_token) for fresh in got}) == 1
    assert wide.events().count("session.refreshed") == 1


def test_attack_parallel_choices_sign_in_one_patient(wide: Harness) -> None:
    wide.patient("ann")
    wide.patient("bob")
    started = wide.start()
    assert isinstance(wide.codes.verify(wide.act(), started.challenge, "314159"), Choice)
    results = together(20, lambda n: wide.codes.choose(wide.act(), started.challenge, ("ann", "bob")[n % 2]))
    assert len(authorization_codes(results)) == 1


def test_attack_parallel_exchanges_of_a_link_for_one_use_give_one_token(wide: Harness) -> None:
    token = wide.link(max_uses=1)
    assert len(authorization_codes(together(30, lambda _: wide.links.exchange(wide.act(), token)))) == 1


def test_attack_parallel_starts_send_no_more_mails_than_the_budget(harness: Harness) -> None:
    harness.patient()
    results = together(30, lambda _: harness.codes.start(harness.act(), email="ann@example.org"))
    assert sum(isinstance(result, Started) for result in results) == 5
    assert len(harness.outbox()) == 5


def test_parallel_resends_of_a_dead_link_send_one_mail(wide: Harness) -> None:
    wide.patient()
    token = wide.link(expires_in=60)
    wide.clock.advance_s(61)
    together(20, lambda _: wide.links.resend(wide.act(), token))
    assert len(wide.outbox()) == 1


def test_parallel_calls_with_one_idempotency_key_send_one_mail(wide: Harness) -> None:
    wide.patient()
    results = together(
        20, lambda _: wide.codes.start(wide.act(idempotency_key="k", fingerprint=b"1"), email="ann@example.org")
    )
    assert len({result.challenge for result in results}) == 1
    assert len(wide.outbox()) == 1


def test_parallel_changes_of_a_patient_leave_one_mailbox(wide: Harness) -> None:
    together(20, lambda n: wide.patient("p1", f"ann{n}@example.org"))
    mailboxes = list(wide.redis.scan_iter("authsvc:{maple}:mailbox:*"))
    assert len(mailboxes) == 1


def test_the_trail_is_numbered_without_gaps_under_load(wide: Harness) -> None:
    wide.patient()
    together(50, lambda _: wide.codes.start(wide.act(), patient="p1"))
    numbers = [entry["n"] for entry in wide.audit_entries()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_parallel_unions_of_sealing_workers_seal_each_entry_once(wide: Harness) -> None:
    wide.patient()
    for _ in range(20):
        wide.codes.start(wide.act(), patient="p1")
    together(8, lambda _: wide.service.audit_log.seal("maple"))
    verdict = wide.service.audit_log.verify("maple")
    assert (verdict.faults, verdict.unsealed) == ((), 0)


# --- the hosted pages -----------------------------------------------------------------------------------------------


def test_a_double_click_on_the_right_code_is_one_sign_in(wide: Harness) -> None:
    wide.patient()
    before = enter(wide)
    kept = Portal(wide).tokens(before.cookie)
    started = wide.start(act=page(wide), email="ann@example.org")
    results = together(
        20, lambda _: wide.service.browser_sessions.verify(page(wide), started.challenge, "314159", before.cookie)
    )
    browser_session = {result for result in results if isinstance(result, NewBrowserSession)}
    assert len(browser_session) == 1
    assert all(isinstance(other, NewBrowserSession | ChallengeGone) for other in results)
    assert look(wide, before) is None
    (winner,) = browser_session
    assert records.children(wide.redis, winner.sid) == {kept.session}
    assert len(wide.sessions.list(wide.act(), "p1")) == 1


def test_two_tabs_that_sign_in_anew_leave_each_client_session_with_one_of_them(wide: Harness) -> None:
    wide.patient()
    before, portal = enter(wide), Portal(wide)
    kept = [portal.tokens(before.cookie) for _ in range(5)]
    tabs = [wide.start(act=page(wide), email="ann@example.org") for _ in range(4)]
    results = together(
        4, lambda n: wide.service.browser_sessions.verify(page(wide), tabs[n].challenge, "314159", before.cookie)
    )
    under = [records.children(wide.redis, browser_session.sid) for browser_session in results]
    assert sorted(map(len, under)) == [0, 0, 0, 5]
    assert all(portal.works(grant) for grant in kept)
    for browser_session in results:
        wide.service.browser_sessions.sign_out(page(wide), browser_session.cookie)
    assert not any(portal.works(grant) for grant in kept)


def test_attack_parallel_choices_at_the_pages_sign_in_one_patient(wide: Harness) -> None:
    wide.patient("ann")
    wide.patient("bob")
    before = enter_as(wide, "ann")
    challenge = proven(wide)
    results = together(
        20,
        lambda n: wide.service.browser_sessions.choose(page(wide), challenge, ("ann", "bob")[n % 2], before.cookie),
    )
    browser_session = [result for result in results if isinstance(result, NewBrowserSession)]
    assert 1 <= len(browser_session) <= 6  # the first, and five repeats of the same choice: a double click
    assert len(set(browser_session)) == 1
    assert look(wide, before) is None
    assert len(wide.redis.keys("authsvc:{maple}:session:*")) == 1
    assert wide.events().count("session.ended") == 1


def proven(harness: Harness) -> str:
    started = harness.start(act=page(harness), email="ann@example.org")
    assert isinstance(harness.service.browser_sessions.verify(page(harness), started.challenge, "314159"), Choice)
    return started.challenge


def enter_as(harness: Harness, patient: str) -> NewBrowserSession:
    return harness.service.browser_sessions.choose(page(harness), proven(harness), patient)


def test_attack_fifty_parallel_redemptions_of_a_code_give_tokens_once_and_these_end(wide: Harness) -> None:
    """RFC 6749 §4.1.2: who redeems a code twice has shared it with somebody, and we can't tell with whom."""
    wide.patient()
    portal, browser_session = Portal(wide), enter(wide)
    code = portal.code(browser_session.cookie)
    results = together(50, lambda _: portal.redeem(code))
    (grant,) = authorization_codes(results)
    assert {error.reason for error in results if isinstance(error, InvalidGrant)} == {"reused"}
    assert not portal.works(grant)
    assert ended_in_feed(wide) == [grant.session]
    assert (wide.events().count("grant.redeemed"), wide.events().count("grant.reused")) == (1, 49)
    assert look(wide, browser_session)


def test_attack_fifty_parallel_redemptions_of_a_links_code_give_one_token_and_that_ends(wide: Harness) -> None:
    wide.patient()
    portal = Portal(wide)
    code = portal.landed(press(wide, portal, wide.link()))
    results = together(50, lambda _: portal.redeem(code))
    (grant,) = authorization_codes(results)
    assert wide.introspected(grant.access_token) == {"active": False}
    assert len(ended_in_feed(wide, "t")) == 1


def test_fifty_wrong_verifiers_beside_the_right_one_spoil_nothing(wide: Harness) -> None:
    wide.patient()
    portal = Portal(wide)
    code = portal.code(enter(wide).cookie)
    results = together(51, lambda n: portal.redeem(code) if n == 25 else portal.redeem(code, verifier="A" * 43))
    (grant,) = authorization_codes(results)
    assert portal.works(grant)


def test_attack_a_hundred_parallel_presses_of_a_link_for_one_use_leave_one_landing(wide: Harness) -> None:
    wide.patient()
    portal, token = Portal(wide), wide.link(max_uses=1)
    results = together(100, lambda _: press(wide, portal, token))
    assert sum(isinstance(result, str) for result in results) == 1
    assert {error.reason for error in results if isinstance(error, LinkGone)} == {"used_up"}
    assert len(wide.redis.keys("authsvc:{maple}:pending-link:*")) == 1


def test_attack_a_landing_is_fetched_once_however_many_ask(wide: Harness) -> None:
    wide.patient()
    portal = Portal(wide)
    hint = press(wide, portal, wide.link())
    look_at = wide.service.authorization_codes.pending_link
    results = together(50, lambda n: portal.landed(hint) if n % 2 else look_at(page(wide), hint, BROWSER))
    codes = [result for result in results if isinstance(result, str)]
    assert len(codes) == 1
    assert sum(isinstance(result, SignInNeeded) for result in results) == 24
    assert wide.events().count("grant.issued") == 1


def test_codes_for_one_sign_in_are_each_their_own(wide: Harness) -> None:
    wide.patient()
    portal, browser_session = Portal(wide), enter(wide)
    codes = together(20, lambda _: portal.code(browser_session.cookie))
    got = together(20, lambda n: portal.redeem(codes[n]))
    assert len({grant.session for grant in authorization_codes(got)}) == 20
    assert len(records.children(wide.redis, browser_session.sid)) == 20


def test_saying_often_at_once_that_somebody_is_there_changes_nothing_but_that(wide: Harness) -> None:
    wide.patient()
    browser_session = enter(wide)
    began = here(wide, browser_session)
    wide.clock.advance_s(600)
    results = together(30, lambda _: wide.service.browser_sessions.extend(page(wide), browser_session.cookie))
    assert results == [True] * 30
    now = here(wide, browser_session)
    assert (now.ends_ms, now.last_used_ms) == (began.ends_ms, began.last_used_ms + 600_000)


def test_attack_nothing_of_a_sign_in_outlives_a_sign_out_that_runs_beside_it(wide: Harness) -> None:
    """Codes issued, redeemed and refreshed at the moment of the sign-out."""
    wide.patient()
    portal, browser_session = Portal(wide), enter(wide)
    codes, held = [portal.code(browser_session.cookie) for _ in range(20)], portal.tokens(browser_session.cookie)

    def act(number: int) -> Any:
        match number:
            case 20:
                return wide.service.browser_sessions.sign_out(page(wide), browser_session.cookie)
            case 21:
                return portal.refresh(held)
            case 22:
                return wide.service.browser_sessions.extend(page(wide), browser_session.cookie)
            case 23:
                return portal.code(browser_session.cookie)
        return portal.redeem(codes[number])

    results = together(24, act)
    assert look(wide, browser_session) is None
    assert not any(portal.works(grant) for grant in [held, *authorization_codes(results)])
    assert wide.redis.keys("authsvc:{maple}:session:*") == []


def test_a_link_that_is_opened_often_at_once_is_noted_once(wide: Harness) -> None:
    token = wide.link()
    together(30, lambda _: wide.links.describe(page(wide), token))
    assert wide.events().count("link.opened") == 1


@pytest.mark.parametrize("times", [2])
def test_two_services_on_one_store_are_one_service(wide: Harness, times: int) -> None:
    service = wide.service
    other = type(service)(
        service.settings,
        service.catalogue,
        service.limits,
        store=service.store,
        clock=wide.clock,
        entropy=wide.entropy,
        metrics=service.metrics,
    )
    other.signing_keys.ensure()
    wide.patient()
    started = wide.start()
    results = together(
        20 * times, lambda n: (service, other)[n % 2].codes.verify(wide.act(), started.challenge, "314159")
    )
    assert len({grant.session for grant in authorization_codes(results)}) == 1
