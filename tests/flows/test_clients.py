"""Clients and practices: what operators keep, and who is let in by it."""

from __future__ import annotations

import dataclasses

import pytest

from authsvc.errors import AlreadyExists, InvalidGrant, InvalidInput, RateLimited, Unauthenticated, UnknownName
from authsvc.flows.cache import Cache
from authsvc.model import TokenGrant
from tests.audit_logs import tail
from tests.flows.conftest import Harness
from tests.flows.visitors import enter, look

YEAR_S = 365 * 86_400


def test_a_client_is_known_by_its_secret(harness: Harness) -> None:
    assert harness.service.clients.authenticate("portal", harness.secret, "192.0.2.1") == harness.client
    assert harness.secret.startswith("acs_")
    assert harness.client.audience == "practice-services"


@pytest.mark.parametrize(("client", "secret"), [("portal", "acs_wrong"), ("portal", ""), ("nobody", None)])
def test_attack_wrong_secrets_and_unknown_clients_are_refused_alike(
    harness: Harness, client: str, secret: str | None
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        harness.service.clients.authenticate(client, harness.secret if secret is None else secret, "192.0.2.1")
    assert caught.value.reason == "wrong"


def test_attack_sixty_failures_close_the_network_for_failures_but_not_for_the_right_secret(harness: Harness) -> None:
    for _ in range(60):
        with pytest.raises(Unauthenticated):
            harness.service.clients.authenticate("portal", "acs_wrong", "192.0.2.1")
    with pytest.raises(RateLimited) as caught:
        harness.service.clients.authenticate("portal", "acs_wrong", "192.0.2.1")
    assert caught.value.violated == ("auth-failures",)
    assert [(state.policy, state.quota, state.remaining) for state in caught.value.limits] == [("auth-failures", 60, 0)]
    assert caught.value.retry_after_s > 0
    harness.service.clients.authenticate("portal", harness.secret, "192.0.2.1")
    with pytest.raises(Unauthenticated):
        harness.service.clients.authenticate("portal", "acs_wrong", "192.0.2.2")


def test_two_secrets_live_during_a_rotation_and_the_third_ends_the_first(harness: Harness) -> None:
    second = harness.service.clients.rotate_secret("portal", actor="cli:test")
    for secret in (harness.secret, second):
        harness.service.clients.authenticate("portal", secret, "192.0.2.1")
    third = harness.service.clients.rotate_secret("portal", actor="cli:test")
    with pytest.raises(Unauthenticated):
        harness.service.clients.authenticate("portal", harness.secret, "192.0.2.1")
    for secret in (second, third):
        harness.service.clients.authenticate("portal", secret, "192.0.2.1")


def test_a_secret_expires(harness: Harness) -> None:
    harness.clock.advance_s(YEAR_S)
    with pytest.raises(Unauthenticated):
        harness.service.clients.authenticate("portal", harness.secret, "192.0.2.1")


def test_attack_redis_and_lists_never_show_a_secret(harness: Harness) -> None:
    assert harness.secret not in str(harness.service.clients.list())
    assert harness.secret not in str(harness.redis.get("authsvc:{@clients}:one:portal"))


def test_a_removed_client_is_refused(harness: Harness) -> None:
    harness.service.clients.authenticate("portal", harness.secret, "192.0.2.1")
    harness.service.clients.remove("portal", actor="cli:test")
    with pytest.raises(Unauthenticated):
        harness.service.clients.authenticate("portal", harness.secret, "192.0.2.1")
    for call in (
        lambda: harness.service.clients.remove("portal", actor="cli:test"),
        lambda: harness.service.clients.rotate_secret("portal", actor="cli:test"),
    ):
        with pytest.raises(UnknownName):
            call()


@pytest.mark.parametrize("practices", [("maple",), ("*",)])
def test_attack_a_client_that_is_given_a_removed_ones_id_finds_none_of_its_sessions(
    harness: Harness, practices: tuple[str, ...]
) -> None:
    harness.patient()
    kept = harness.sign_in()
    client, _ = harness.new_client("till", practices=practices)
    started = harness.start(act=harness.act(client))
    grant = harness.codes.verify(harness.act(client), started.challenge, "314159")
    assert isinstance(grant, TokenGrant)
    harness.service.clients.remove("till", actor="cli:anna")
    assert harness.introspected(grant.access_token) == {"active": False}
    ended = harness.audit_entries()[-1]
    assert (ended["event"], ended["cause"], ended["actor"]) == ("session.ended", "client_removed", "cli:anna")
    late = harness.codes.start(harness.act(client), patient="p1")  # by a process that read the registration before
    late = harness.codes.verify(harness.act(client), late.challenge, harness.mailed()["code"])
    assert isinstance(late, TokenGrant)
    again, _ = harness.new_client("till", practices=practices)
    for token in (grant.refresh_token, late.refresh_token):
        with pytest.raises(InvalidGrant):
            harness.sessions.refresh(again, token or "", None, "")
    assert harness.introspected(late.access_token) == {"active": False}
    assert harness.introspected(kept.access_token)["active"]
    with pytest.raises(AlreadyExists):
        harness.new_client("till", practices=practices)


def test_a_session_that_ends_while_they_are_listed_is_passed_over(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.patient()
    harness.sign_in()
    store = harness.sessions._store
    assert [(practice, client) for practice, _, client in store.owners()] == [("maple", "portal")]
    monkeypatch.setattr(store, "_record", lambda key: "")
    assert list(store.owners()) == []


def test_attack_a_practice_that_is_given_a_removed_ones_id_finds_none_of_its_sessions(harness: Harness) -> None:
    harness.patient()
    grant, browser_session = harness.sign_in(), enter(harness)
    harness.service.practices.remove("maple", actor="cli:test")
    harness.service.practices.add("maple", name="Another", actor="cli:test")
    assert harness.introspected(grant.access_token) == {"active": False}
    assert look(harness, browser_session) is None
    with pytest.raises(InvalidGrant):
        harness.sessions.refresh(harness.client, grant.refresh_token or "", None, "")


def test_an_id_is_given_once(harness: Harness) -> None:
    with pytest.raises(AlreadyExists):
        harness.new_client("portal")
    with pytest.raises(AlreadyExists):
        harness.service.practices.add("maple", name="Other", actor="cli:test")


def test_a_client_serves_its_practices_or_all(harness: Harness) -> None:
    every, _ = harness.new_client("every", practices=("*",))
    assert [harness.client.serves(name) for name in ("maple", "oak")] == [True, False]
    assert every.serves("oak")


@pytest.mark.parametrize("practice_id", ["1st-care", "9", "-a", "a", "Maple", "a" * 42, "maple\n", ""])
def test_the_id_of_a_new_practice_begins_with_a_letter_so_that_sub_is_a_uri(harness: Harness, practice_id: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        harness.service.practices.add(practice_id, name="First Care", actor="cli:test")
    assert [fault.pointer for fault in refused.value.faults] == ["/id"]
    assert harness.service.practices.get(practice_id) is None


def test_a_practice_of_before_whose_id_begins_with_a_digit_goes_on(harness: Harness) -> None:
    practices = harness.service.practices
    practices._registry.add("1st-care", dataclasses.asdict(dataclasses.replace(harness.practice, id="1st-care")))
    assert practices.set("1st-care", phone="555", actor="cli:test").phone == "555"
    assert practices.get("1st-care") in practices.list()


def test_practices_are_listed_changed_and_removed(harness: Harness) -> None:
    harness.service.practices.add("oak", name="Oak", phone="555", actor="cli:test")
    assert [practice.id for practice in harness.service.practices.list()] == ["maple", "oak"]
    changed = harness.service.practices.set("oak", actor="cli:test", phone="556")
    assert (changed.name, changed.phone) == ("Oak", "556")
    harness.service.practices.remove("oak", actor="cli:test")
    assert harness.service.practices.get("oak") is None
    for call in (harness.service.practices.remove, harness.service.practices.set):
        with pytest.raises(UnknownName):
            call("oak", actor="cli:test")


def test_what_operators_do_is_in_the_sites_trail(harness: Harness) -> None:
    harness.service.practices.set("maple", actor="cli:anna", reason="moved harness", phone="556")
    entry = tail(harness.service.audit_log, "@site")[-1]
    assert {"event": "practice.changed", "actor": "cli:anna", "reason": "moved harness"}.items() <= entry.items()


def test_a_look_up_is_fresh_for_five_seconds(harness: Harness) -> None:
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


def test_every_refused_secret_is_in_the_trail_with_the_client_if_there_is_one(harness: Harness) -> None:
    for name in ("portal", "acs_a-secret-in-the-wrong-field"):
        with pytest.raises(Unauthenticated):
            harness.service.clients.authenticate(name, "acs_wrong", "192.0.2.1")
    entries = [entry for entry in tail(harness.service.audit_log, "@clients") if entry["event"] == "client.refused"]
    assert [entry.get("client") for entry in entries] == ["portal", None]
