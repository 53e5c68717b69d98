"""Whoever is refused has cost us nothing: no argon2id and no sealing, whatever was asked for."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.crypto import hashing, sealing
from authsvc.errors import AuthsvcError, InvalidInput, LinkUnknown, PatientNotFound, RateLimited
from authsvc.model import RequestContext, Started
from tests.flows.conftest import Harness
from tests.flows.test_guessing import use_mails

Act = Callable[[Harness, RequestContext], Any]
ACTS: dict[str, Act] = {
    "typed start": lambda harness, act: harness.codes.start(act, email="ann@example.org"),
    "start by patient": lambda harness, act: harness.codes.start(act, patient="p1"),
    "start by link": lambda harness, act: harness.links.exchange(act, ACCESS["token"]),
    "resend": lambda harness, act: harness.codes.resend(act, ACCESS["challenge"]),
    "link issue": lambda harness, act: harness.access_link(act=act, delivery="email"),
    "email change": lambda harness, act: harness.service.email_changes.start(
        act, patient="p1", email="new@example.org"
    ),
    "invitation": lambda harness, act: harness.links.invite(act, "p1"),
}
ACCESS: dict[str, str] = {}


@pytest.fixture
def spent(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a code was hashed and something sealed, once everything is in its place."""
    harness.patient()
    ACCESS["token"] = harness.access_link()
    ACCESS["challenge"] = harness.start().challenge
    harness.clock.advance_s(31)
    harness.service.data_keys.key("idempotency")  # made and sealed once for all
    counts: Counter[str] = Counter()
    for module, name in ((hashing, "code_tag"), (sealing, "seal")):
        known = getattr(module, name)

        def counted(*args: Any, known: Any = known, name: str = name, **how: Any) -> Any:
            counts[name] += 1
            return known(*args, **how)

        monkeypatch.setattr(module, name, counted)
    return counts


def keyed(harness: Harness, **more: Any) -> RequestContext:
    return harness.act(idempotency_key="k", fingerprint=b"body", **more)


@pytest.mark.parametrize("name", ACTS)
def test_what_is_not_refused_hashes_and_seals_once(harness: Harness, spent: Counter[str], name: str) -> None:
    ACTS[name](harness, keyed(harness))
    assert spent["seal"] > 0
    assert spent["code_tag"] == (0 if name in ("link issue", "invitation") else 1)


@pytest.mark.parametrize("name", ACTS)
def test_attack_a_start_beyond_the_mail_budget_is_neither_hashed_nor_sealed(
    harness: Harness, spent: Counter[str], name: str
) -> None:
    use_mails(harness, own=1)
    with pytest.raises(RateLimited):
        ACTS[name](harness, keyed(harness))
    assert spent == {}


@pytest.mark.parametrize("name", [name for name in ACTS if name != "invitation"])
def test_attack_a_client_that_calls_too_often_is_neither_hashed_nor_sealed(
    harness: Harness, spent: Counter[str], name: str
) -> None:
    key = f"authsvc:{{maple}}:limit:client-calls:{harness.client.id}"
    harness.redis.set(key, harness.clock.now_ms() + 1000)
    if name == "email change":
        harness.redis.delete(key)
        harness.redis.set("authsvc:{maple}:limit:issue-patient:p1", harness.clock.now_ms() + 900_000)
    with pytest.raises(RateLimited):
        ACTS[name](harness, keyed(harness))
    assert spent == {}


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda harness, act: harness.codes.start(act, patient="nobody"), PatientNotFound),
        (lambda harness, act: harness.links.exchange(act, ACCESS["token"] + "x"), LinkUnknown),
        (lambda harness, act: harness.codes.resend(act, "ach_" + "x" * 43), AuthsvcError),
        (lambda harness, act: harness.codes.resend(other(harness), ACCESS["challenge"]), AuthsvcError),
        (lambda harness, act: harness.links.invite(act, "nobody"), PatientNotFound),
        (lambda harness, act: harness.access_link(act=act, patient="nobody"), PatientNotFound),
        (
            lambda harness, act: harness.service.email_changes.start(act, patient="nobody", email="a@b.example"),
            PatientNotFound,
        ),
        (lambda harness, act: harness.codes.start(act, email="no address"), InvalidInput),
    ],
)
def test_attack_a_start_about_nothing_is_neither_hashed_nor_sealed(
    harness: Harness, spent: Counter[str], act: Act, error: type[Exception]
) -> None:
    with pytest.raises(error):
        act(harness, keyed(harness))
    assert spent == {}


@pytest.fixture
def dead(harness: Harness, spent: Counter[str]) -> str:
    """An expired link of the patient."""
    token = harness.link(expires_in=60)
    harness.clock.advance_s(61)
    spent.clear()
    return token


def test_a_new_link_in_the_place_of_a_dead_one_seals_once_and_counts_once(
    harness: Harness, spent: Counter[str], dead: str
) -> None:
    act = harness.act()
    harness.links.resend(act, dead)
    assert spent == {"seal": 1}
    assert harness.mailed()["kind"] == "new-link"
    assert [(state.policy, state.remaining) for state in act.limits] == [("client-calls", 99)]


@pytest.mark.parametrize("why", ["live", "unknown", "lineage", "address", "mails", "nobody"])
def test_attack_a_resend_that_is_refused_seals_nothing_and_answers_the_same(
    harness: Harness, spent: Counter[str], dead: str, why: str
) -> None:
    token = dead
    if why == "live":
        token = harness.link()
    elif why == "unknown":
        token = "al_" + "A" * 43
    elif why == "lineage":
        harness.links.resend(harness.act(), dead)
    elif why == "address":
        for _ in range(4):  # the fixture has started one
            harness.start()
    elif why == "mails":
        use_mails(harness, own=1)
    else:
        harness.patients.delete(harness.act(), "p1")
    spent.clear()
    harness.clock.advance_s(1)
    act, queued = harness.act(), len(harness.outbox())
    harness.links.resend(act, token)
    assert spent == {}
    assert [(state.policy, state.remaining) for state in act.limits] == [("client-calls", 99)], "as where it is sent"
    assert len(harness.outbox()) == queued


def test_attack_two_resends_at_once_send_one_mail(harness: Harness, dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one comes between the check and the act."""
    store, queued = harness.links._store, len(harness.outbox())
    resend = store.resend

    def overtaken(*args: Any, **how: Any) -> bool:
        sends = resend(*args, **how)
        if how:  # the check
            monkeypatch.setattr(store, "resend", resend)
            harness.links.resend(harness.act(), dead)
        return sends

    monkeypatch.setattr(store, "resend", overtaken)
    harness.links.resend(harness.act(), dead)
    assert len(harness.outbox()) == queued + 1


def other(harness: Harness) -> RequestContext:
    return harness.act(harness.new_client("other")[0])


@pytest.mark.parametrize("name", ACTS)
def test_a_repeat_with_the_same_idempotency_key_is_neither_hashed_nor_sealed_and_counts_once(
    harness: Harness, spent: Counter[str], name: str
) -> None:
    first = ACTS[name](harness, keyed(harness))
    spent.clear()
    again = ACTS[name](harness, keyed(harness))
    hint = {"email_hint": ""}  # is for the first answer only
    first, again = (dataclasses.replace(one, **hint) if isinstance(one, Started) else one for one in (first, again))
    assert first == again
    assert spent == {}


def test_a_start_counts_once_though_it_is_looked_at_before(harness: Harness, spent: Counter[str]) -> None:
    for _ in range(10):
        harness.codes.start(harness.act(), patient="p1")
    with pytest.raises(RateLimited):
        harness.codes.start(harness.act(), patient="p1")


def test_a_refused_start_still_counts_as_a_call(harness: Harness, spent: Counter[str]) -> None:
    harness.clock.advance_s(1)
    for _ in range(100):
        with pytest.raises(PatientNotFound):
            harness.access_link(patient="nobody", act=keyed(harness))
    with pytest.raises(RateLimited):
        harness.access_link(patient="nobody", act=keyed(harness))
