"""Everything at once: each script decides alone, whatever runs beside it. Against fakeredis and real servers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.errors import AuthsvcError, ChallengeGone, InvalidCode
from authsvc.model import Choice, Started, TokenGrant
from tests.flows.conftest import House


def together(count: int, act: Callable[[int], Any]) -> list[Any]:
    """`count` threads that begin at the same moment; what each got, errors of the house included."""
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


def grants(results: list[Any]) -> list[TokenGrant]:
    return [result for result in results if isinstance(result, TokenGrant)]


def test_attack_a_hundred_parallel_submits_of_one_code_open_one_session(wide: House) -> None:
    wide.patient()
    started = wide.start()
    results = together(100, lambda _: wide.codes.verify(wide.act(), started.challenge, "314159"))
    got = grants(results)
    assert 1 <= len(got) <= 10  # five attempts at most, and five repeats of the winning one
    assert len({(grant.session, grant.access_token, grant.refresh_token) for grant in got}) == 1
    assert all(isinstance(other, ChallengeGone) for other in results if other not in got)
    assert len(wide.sessions.list(wide.act(), "p1")) == 1
    assert wide.events().count("code.verified") == 1


def test_attack_two_hundred_parallel_guesses_get_five_attempts(wide: House) -> None:
    wide.patient()
    started = wide.start()
    results = together(200, lambda number: wide.codes.verify(wide.act(), started.challenge, f"{number:06d}"))
    kinds = Counter(type(result) for result in results)
    assert kinds == {InvalidCode: 5, ChallengeGone: 195}
    assert sorted(result.attempts_left for result in results if isinstance(result, InvalidCode)) == [0, 1, 2, 3, 4]
    assert wide.events().count("code.missed") == 5


def test_attack_parallel_guesses_beside_the_right_code_never_open_a_second_session(wide: House) -> None:
    wide.patient()
    started = wide.start()
    results = together(
        40, lambda n: wide.codes.verify(wide.act(), started.challenge, "314159" if n % 4 == 0 else "271828")
    )
    assert len({grant.session for grant in grants(results)}) <= 1
    assert len(wide.sessions.list(wide.act(), "p1")) <= 1


def test_fifty_parallel_refreshes_of_one_token_give_one_successor(wide: House) -> None:
    wide.patient()
    grant = wide.sign_in()
    results = together(50, lambda _: wide.sessions.refresh(wide.client, grant.refresh_token or "", None, ""))
    got = grants(results)
    assert len(got) == 50
    assert len({(fresh.access_token, fresh.refresh_token) for fresh in got}) == 1
    assert wide.events().count("session.refreshed") == 1


def test_attack_parallel_choices_sign_in_one_patient(wide: House) -> None:
    wide.patient("ann")
    wide.patient("bob")
    started = wide.start()
    assert isinstance(wide.codes.verify(wide.act(), started.challenge, "314159"), Choice)
    results = together(20, lambda n: wide.codes.choose(wide.act(), started.challenge, ("ann", "bob")[n % 2]))
    assert len(grants(results)) == 1


def test_attack_parallel_exchanges_of_a_link_for_one_use_give_one_token(wide: House) -> None:
    token = wide.link(max_uses=1)
    assert len(grants(together(30, lambda _: wide.links.exchange(wide.act(), token)))) == 1


def test_attack_parallel_starts_send_no_more_mails_than_the_budget(house: House) -> None:
    house.patient()
    results = together(30, lambda _: house.codes.start(house.act(), email="ann@example.org"))
    assert sum(isinstance(result, Started) for result in results) == 5
    assert len(house.outbox()) == 5


def test_parallel_resends_of_a_dead_link_send_one_mail(wide: House) -> None:
    wide.patient()
    token = wide.link(expires_in=60)
    wide.clock.advance_s(61)
    together(20, lambda _: wide.links.resend(wide.act(), token))
    assert len(wide.outbox()) == 1


def test_parallel_calls_with_one_idempotency_key_send_one_mail(wide: House) -> None:
    wide.patient()
    results = together(
        20, lambda _: wide.codes.start(wide.act(idempotency_key="k", fingerprint=b"1"), email="ann@example.org")
    )
    assert len({result.challenge for result in results}) == 1
    assert len(wide.outbox()) == 1


def test_parallel_changes_of_a_patient_leave_one_mailbox(wide: House) -> None:
    together(20, lambda n: wide.patient("p1", f"ann{n}@example.org"))
    mailboxes = list(wide.redis.scan_iter("authsvc:{maple}:address:*"))
    assert len(mailboxes) == 1


def test_the_trail_is_numbered_without_gaps_under_load(wide: House) -> None:
    wide.patient()
    together(50, lambda _: wide.codes.start(wide.act(), patient="p1"))
    numbers = [entry["n"] for entry in wide.trail()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_parallel_unions_of_sealing_workers_seal_each_entry_once(wide: House) -> None:
    wide.patient()
    for _ in range(20):
        wide.codes.start(wide.act(), patient="p1")
    together(8, lambda _: wide.service.trails.seal("maple"))
    verdict = wide.service.trails.verify("maple")
    assert (verdict.faults, verdict.unsealed) == ((), 0)


@pytest.mark.parametrize("times", [2])
def test_two_services_on_one_store_are_one_service(wide: House, times: int) -> None:
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
    other.keys.ensure()
    wide.patient()
    started = wide.start()
    results = together(
        20 * times, lambda n: (service, other)[n % 2].codes.verify(wide.act(), started.challenge, "314159")
    )
    assert len({grant.session for grant in grants(results)}) == 1
