"""Clients and practices: what operators keep, and who is let in by it."""

from __future__ import annotations

import dataclasses

import pytest

from authsvc.errors import AlreadyExists, InvalidGrant, InvalidInput, RateLimited, Unauthenticated, UnknownName
from authsvc.flows.cache import Cache
from authsvc.model import TokenGrant
from tests.flows.conftest import House
from tests.flows.visitors import enter, look

YEAR_S = 365 * 86_400


def test_a_client_is_known_by_its_secret(house: House) -> None:
    assert house.service.clients.authenticate("portal", house.secret, "192.0.2.1") == house.client
    assert house.secret.startswith("acs_")
    assert house.client.audience == "practice-services"


@pytest.mark.parametrize(("client", "secret"), [("portal", "acs_wrong"), ("portal", ""), ("nobody", None)])
def test_attack_wrong_secrets_and_unknown_clients_are_refused_alike(
    house: House, client: str, secret: str | None
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        house.service.clients.authenticate(client, house.secret if secret is None else secret, "192.0.2.1")
    assert caught.value.reason == "wrong"


def test_attack_sixty_failures_close_the_network_for_failures_but_not_for_the_right_secret(house: House) -> None:
    for _ in range(60):
        with pytest.raises(Unauthenticated):
            house.service.clients.authenticate("portal", "acs_wrong", "192.0.2.1")
    with pytest.raises(RateLimited) as caught:
        house.service.clients.authenticate("portal", "acs_wrong", "192.0.2.1")
    assert caught.value.violated == ("auth-failures",)
    assert [(state.policy, state.quota, state.remaining) for state in caught.value.limits] == [("auth-failures", 60, 0)]
    assert caught.value.retry_after_s > 0
    house.service.clients.authenticate("portal", house.secret, "192.0.2.1")
    with pytest.raises(Unauthenticated):
        house.service.clients.authenticate("portal", "acs_wrong", "192.0.2.2")


def test_two_secrets_live_during_a_rotation_and_the_third_ends_the_first(house: House) -> None:
    second = house.service.clients.rotate_secret("portal", actor="cli:test")
    for secret in (house.secret, second):
        house.service.clients.authenticate("portal", secret, "192.0.2.1")
    third = house.service.clients.rotate_secret("portal", actor="cli:test")
    with pytest.raises(Unauthenticated):
        house.service.clients.authenticate("portal", house.secret, "192.0.2.1")
    for secret in (second, third):
        house.service.clients.authenticate("portal", secret, "192.0.2.1")


def test_a_secret_expires(house: House) -> None:
    house.clock.advance_s(YEAR_S)
    with pytest.raises(Unauthenticated):
        house.service.clients.authenticate("portal", house.secret, "192.0.2.1")


def test_attack_redis_and_lists_never_show_a_secret(house: House) -> None:
    assert house.secret not in str(house.service.clients.list())
    assert house.secret not in str(house.redis.get("authsvc:{@clients}:one:portal"))


def test_a_removed_client_is_refused(house: House) -> None:
    house.service.clients.authenticate("portal", house.secret, "192.0.2.1")
    house.service.clients.remove("portal", actor="cli:test")
    with pytest.raises(Unauthenticated):
        house.service.clients.authenticate("portal", house.secret, "192.0.2.1")
    for call in (
        lambda: house.service.clients.remove("portal", actor="cli:test"),
        lambda: house.service.clients.rotate_secret("portal", actor="cli:test"),
    ):
        with pytest.raises(UnknownName):
            call()


@pytest.mark.parametrize("practices", [("maple",), ("*",)])
def test_attack_a_client_that_is_given_a_removed_ones_id_finds_none_of_its_sessions(
    house: House, practices: tuple[str, ...]
) -> None:
    house.patient()
    kept = house.sign_in()
    client, _ = house.new_client("till", practices=practices)
    started = house.start(act=house.act(client))
    grant = house.codes.verify(house.act(client), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    house.service.clients.remove("till", actor="cli:anna")
    assert house.introspected(grant.access_token) == {"active": False}
    ended = house.trail()[-1]
    assert (ended["event"], ended["cause"], ended["actor"]) == ("session.ended", "client_removed", "cli:anna")
    late = house.codes.start(house.act(client), patient="p1")  # by a process that read the registration before
    late = house.codes.verify(house.act(client), late.challenge, house.mailed()["code"])
    assert isinstance(late, TokenGrant)
    again, _ = house.new_client("till", practices=practices)
    for token in (grant.refresh_token, late.refresh_token):
        with pytest.raises(InvalidGrant):
            house.sessions.refresh(again, token or "", None, "")
    assert house.introspected(late.access_token) == {"active": False}
    assert house.introspected(kept.access_token)["active"]
    with pytest.raises(AlreadyExists):
        house.new_client("till", practices=practices)


def test_a_session_that_ends_while_they_are_listed_is_passed_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.patient()
    house.sign_in()
    store = house.sessions._store
    assert [(practice, client) for practice, _, client in store.owners()] == [("maple", "portal")]
    monkeypatch.setattr(store, "_record", lambda key: "")
    assert list(store.owners()) == []


def test_attack_a_practice_that_is_given_a_removed_ones_id_finds_none_of_its_sessions(house: House) -> None:
    house.patient()
    grant, entered = house.sign_in(), enter(house)
    house.service.practices.remove("maple", actor="cli:test")
    house.service.practices.add("maple", name="Another", actor="cli:test")
    assert house.introspected(grant.access_token) == {"active": False}
    assert look(house, entered) is None
    with pytest.raises(InvalidGrant):
        house.sessions.refresh(house.client, grant.refresh_token or "", None, "")


def test_an_id_is_given_once(house: House) -> None:
    with pytest.raises(AlreadyExists):
        house.new_client("portal")
    with pytest.raises(AlreadyExists):
        house.service.practices.add("maple", name="Other", actor="cli:test")


def test_a_client_serves_its_practices_or_all(house: House) -> None:
    every, _ = house.new_client("every", practices=("*",))
    assert [house.client.serves(name) for name in ("maple", "oak")] == [True, False]
    assert every.serves("oak")


@pytest.mark.parametrize("practice_id", ["1st-care", "9", "-a", "a", "Maple", "a" * 42, "maple\n", ""])
def test_the_id_of_a_new_practice_begins_with_a_letter_so_that_sub_is_a_uri(house: House, practice_id: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        house.service.practices.add(practice_id, name="First Care", actor="cli:test")
    assert [fault.pointer for fault in refused.value.faults] == ["/id"]
    assert house.service.practices.get(practice_id) is None


def test_a_practice_of_before_whose_id_begins_with_a_digit_goes_on(house: House) -> None:
    practices = house.service.practices
    practices._registry.add("1st-care", dataclasses.asdict(dataclasses.replace(house.practice, id="1st-care")))
    assert practices.set("1st-care", phone="555", actor="cli:test").phone == "555"
    assert practices.get("1st-care") in practices.list()


def test_practices_are_listed_changed_and_removed(house: House) -> None:
    house.service.practices.add("oak", name="Oak", phone="555", actor="cli:test")
    assert [practice.id for practice in house.service.practices.list()] == ["maple", "oak"]
    changed = house.service.practices.set("oak", actor="cli:test", phone="556")
    assert (changed.name, changed.phone) == ("Oak", "556")
    house.service.practices.remove("oak", actor="cli:test")
    assert house.service.practices.get("oak") is None
    for call in (house.service.practices.remove, house.service.practices.set):
        with pytest.raises(UnknownName):
            call("oak", actor="cli:test")


def test_what_operators_do_is_in_the_sites_trail(house: House) -> None:
    house.service.practices.set("maple", actor="cli:anna", reason="moved house", phone="556")
    entry = house.service.audit_log.tail("@site")[-1]
    assert {"event": "practice.changed", "actor": "cli:anna", "reason": "moved house"}.items() <= entry.items()


def test_a_look_up_is_fresh_for_five_seconds(house: House) -> None:
    now, found, asked = [0.0], {"a": 1}, []

    def read(name: str) -> int | None:
        asked.append(name)
        return found.get(name)

    kept = Cache(read, lambda: now[0])
    assert [kept.get("a"), kept.get("a"), kept.get("b"), kept.get("b")] == [1, 1, None, None]
    assert asked == ["a", "b", "b"]
    found.clear()
    now[0] = 4.9
    assert kept.get("a") == 1
    now[0] = 5.0
    assert kept.get("a") is None


def test_the_cache_is_bounded() -> None:
    kept = Cache(lambda name: name, lambda: 0.0, most=4)
    for number in range(20):
        kept.get(str(number))
    assert len(kept._entries) <= 4


def test_every_refused_secret_is_in_the_trail_with_the_client_if_there_is_one(house: House) -> None:
    for name in ("portal", "acs_a-secret-in-the-wrong-field"):
        with pytest.raises(Unauthenticated):
            house.service.clients.authenticate(name, "acs_wrong", "192.0.2.1")
    entries = [entry for entry in house.service.audit_log.tail("@clients") if entry["event"] == "client.refused"]
    assert [entry.get("client") for entry in entries] == ["portal", None]
