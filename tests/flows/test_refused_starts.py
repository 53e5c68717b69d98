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
from tests.flows.conftest import House
from tests.flows.test_guessing import use_mails

Act = Callable[[House, RequestContext], Any]
ACTS: dict[str, Act] = {
    "typed start": lambda house, act: house.codes.start(act, email="ann@example.org"),
    "start by patient": lambda house, act: house.codes.start(act, patient="p1"),
    "start by link": lambda house, act: house.links.exchange(act, ACCESS["token"]),
    "resend": lambda house, act: house.codes.resend(act, ACCESS["challenge"]),
    "link issue": lambda house, act: house.access_link(act=act, delivery="email"),
    "email change": lambda house, act: house.service.email_changes.start(act, patient="p1", email="new@example.org"),
    "invitation": lambda house, act: house.links.invite(act, "p1"),
}
ACCESS: dict[str, str] = {}


@pytest.fixture
def spent(house: House, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a code was hashed and something sealed, once everything is in its place."""
    house.patient()
    ACCESS["token"] = house.access_link()
    ACCESS["challenge"] = house.start().challenge
    house.clock.advance_s(31)
    house.service.data_keys.key("idempotency")  # made and sealed once for all
    counts: Counter[str] = Counter()
    for module, name in ((hashing, "code_tag"), (sealing, "seal")):
        known = getattr(module, name)

        def counted(*args: Any, known: Any = known, name: str = name, **how: Any) -> Any:
            counts[name] += 1
            return known(*args, **how)

        monkeypatch.setattr(module, name, counted)
    return counts


def keyed(house: House, **more: Any) -> RequestContext:
    return house.act(idempotency_key="k", fingerprint=b"body", **more)


@pytest.mark.parametrize("name", ACTS)
def test_what_is_not_refused_hashes_and_seals_once(house: House, spent: Counter[str], name: str) -> None:
    ACTS[name](house, keyed(house))
    assert spent["seal"] > 0
    assert spent["code_tag"] == (0 if name in ("link issue", "invitation") else 1)


@pytest.mark.parametrize("name", ACTS)
def test_attack_a_start_beyond_the_mail_budget_is_neither_hashed_nor_sealed(
    house: House, spent: Counter[str], name: str
) -> None:
    use_mails(house, own=1)
    with pytest.raises(RateLimited):
        ACTS[name](house, keyed(house))
    assert spent == {}


@pytest.mark.parametrize("name", [name for name in ACTS if name != "invitation"])
def test_attack_a_client_that_calls_too_often_is_neither_hashed_nor_sealed(
    house: House, spent: Counter[str], name: str
) -> None:
    key = f"authsvc:{{maple}}:limit:client-calls:{house.client.id}"
    house.redis.set(key, house.clock.now_ms() + 1000)
    if name == "email change":
        house.redis.delete(key)
        house.redis.set("authsvc:{maple}:limit:issue-patient:p1", house.clock.now_ms() + 900_000)
    with pytest.raises(RateLimited):
        ACTS[name](house, keyed(house))
    assert spent == {}


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda house, act: house.codes.start(act, patient="nobody"), PatientNotFound),
        (lambda house, act: house.links.exchange(act, ACCESS["token"] + "x"), LinkUnknown),
        (lambda house, act: house.codes.resend(act, "ach_" + "x" * 43), AuthsvcError),
        (lambda house, act: house.codes.resend(other(house), ACCESS["challenge"]), AuthsvcError),
        (lambda house, act: house.links.invite(act, "nobody"), PatientNotFound),
        (lambda house, act: house.access_link(act=act, patient="nobody"), PatientNotFound),
        (
            lambda house, act: house.service.email_changes.start(act, patient="nobody", email="a@b.example"),
            PatientNotFound,
        ),
        (lambda house, act: house.codes.start(act, email="no address"), InvalidInput),
    ],
)
def test_attack_a_start_about_nothing_is_neither_hashed_nor_sealed(
    house: House, spent: Counter[str], act: Act, error: type[Exception]
) -> None:
    with pytest.raises(error):
        act(house, keyed(house))
    assert spent == {}


def other(house: House) -> RequestContext:
    return house.act(house.new_client("other")[0])


@pytest.mark.parametrize("name", ACTS)
def test_a_repeat_with_the_same_idempotency_key_is_neither_hashed_nor_sealed_and_counts_once(
    house: House, spent: Counter[str], name: str
) -> None:
    first = ACTS[name](house, keyed(house))
    spent.clear()
    again = ACTS[name](house, keyed(house))
    hint = {"email_hint": ""}  # is for the first answer only
    first, again = (dataclasses.replace(one, **hint) if isinstance(one, Started) else one for one in (first, again))
    assert first == again
    assert spent == {}


def test_a_start_counts_once_though_it_is_looked_at_before(house: House, spent: Counter[str]) -> None:
    for _ in range(10):
        house.codes.start(house.act(), patient="p1")
    with pytest.raises(RateLimited):
        house.codes.start(house.act(), patient="p1")


def test_a_refused_start_still_counts_as_a_call(house: House, spent: Counter[str]) -> None:
    house.clock.advance_s(1)
    for _ in range(100):
        with pytest.raises(PatientNotFound):
            house.access_link(patient="nobody", act=keyed(house))
    with pytest.raises(RateLimited):
        house.access_link(patient="nobody", act=keyed(house))
