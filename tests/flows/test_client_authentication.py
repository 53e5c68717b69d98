"""One way for each client, by registration; and an assertion that is good once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.errors import RateLimited, Unauthenticated, Unavailable
from tests.flows.conftest import House
from tests.flows.signers import Signer

PEER = "192.0.2.1"
CALLBACK = "https://app.example/callback"
NONE: frozenset[str] = frozenset()


@pytest.fixture
def signer(house: House) -> Signer:
    """A client that signs its calls, and one that is public."""
    made = Signer("reports", house.clock)
    house.new_client("reports", jwks=made.jwks())
    house.new_client("app", redirect_uris=(CALLBACK,), public=True, permissions=NONE)
    return made


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(Unauthenticated) as caught:
        call()
    return caught.value.reason


def last(house: House) -> dict[str, Any]:
    """The newest entry of the trail of failures, without what every entry has."""
    entry = house.service.audit_log.tail("@clients")[-1]
    return {name: entry.get(name) for name in ("event", "client", "cause")}


def test_an_assertion_is_its_client(house: House, signer: Signer) -> None:
    clients = house.service.clients
    assert clients.authenticate_assertion(signer.sign(), "", PEER).id == "reports"
    assert clients.authenticate_assertion(signer.sign(), "reports", PEER).id == "reports"


def test_a_public_client_is_known_by_its_id(house: House, signer: Signer) -> None:
    assert house.service.clients.authenticate_public("app", PEER).id == "app"


def test_attack_a_replayed_assertion(house: House, signer: Signer) -> None:
    token, clients = signer.sign(), house.service.clients
    clients.authenticate_assertion(token, "", PEER)
    assert refused(lambda: clients.authenticate_assertion(token, "", PEER)) == "wrong"
    assert last(house) == {"event": "client.refused", "client": "reports", "cause": "replayed"}
    # Nor another assertion with the same jti, nor one just before its end.
    used = f"reports-{signer._count}"
    assert refused(lambda: clients.authenticate_assertion(signer.sign(jti=used, nbf=0), "", PEER)) == "wrong"
    house.clock.advance_s(89)
    assert refused(lambda: clients.authenticate_assertion(token, "", PEER)) == "wrong"
    assert last(house)["cause"] == "replayed"
    house.clock.advance_s(1)
    assert refused(lambda: clients.authenticate_assertion(token, "", PEER)) == "wrong"
    assert last(house)["cause"] == "expired"


def test_two_clients_may_choose_the_same_jti(house: House, signer: Signer) -> None:
    other = Signer("ledger", house.clock)
    house.new_client("ledger", jwks=other.jwks())
    for one in (signer, other):
        assert house.service.clients.authenticate_assertion(one.sign(jti="1"), "", PEER).id == one.client


def test_what_is_remembered_lives_a_little_longer_than_the_assertion(house: House, signer: Signer) -> None:
    house.service.clients.authenticate_assertion(signer.sign(), "", PEER)
    (kept,) = house.redis.scan_iter("authsvc:{@clients}:assertion:*")
    assert 90_000 < house.redis.pttl(kept) <= 150_000
    assert "reports-1" not in kept


def test_an_assertion_that_proves_nothing_is_not_remembered(house: House, signer: Signer) -> None:
    stranger = Signer("reports", house.clock)
    refused(lambda: house.service.clients.authenticate_assertion(stranger.sign(jti="mine"), "", PEER))
    assert house.service.clients.authenticate_assertion(signer.sign(jti="mine"), "", PEER)


@pytest.mark.race
def test_race_of_many_for_one_assertion_lets_one_in(house: House, signer: Signer) -> None:
    token, outcomes, together = signer.sign(), [], threading.Barrier(8)

    def come() -> None:
        together.wait(10)
        try:
            outcomes.append(house.service.clients.authenticate_assertion(token, "", PEER).id)
        except Unauthenticated:
            outcomes.append("")

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == [""] * 7 + ["reports"]


@pytest.mark.parametrize(
    "client,cause", [("portal", "client"), ("app", "client"), ("nobody", "client")], ids=["secret", "public", "unknown"]
)
def test_attack_an_assertion_in_the_name_of_a_client_that_does_not_sign(
    house: House, signer: Signer, client: str, cause: str
) -> None:
    forged = Signer(client, house.clock)
    assert refused(lambda: house.service.clients.authenticate_assertion(forged.sign(), "", PEER)) == "wrong"
    known = None if client == "nobody" else client
    assert last(house) == {"event": "client.refused", "client": known, "cause": cause}


def test_attack_an_assertion_beside_another_clients_id(house: House, signer: Signer) -> None:
    assert refused(lambda: house.service.clients.authenticate_assertion(signer.sign(), "portal", PEER)) == "wrong"


@pytest.mark.parametrize("client", ["portal", "reports", "nobody"])
def test_attack_a_confidential_client_by_its_id_alone(house: House, signer: Signer, client: str) -> None:
    assert refused(lambda: house.service.clients.authenticate_public(client, PEER)) == "wrong"
    assert last(house)["client"] == (None if client == "nobody" else client)


@pytest.mark.parametrize("client", ["app", "reports"])
def test_attack_any_secret_for_a_client_that_has_none(house: House, signer: Signer, client: str) -> None:
    for secret in ("acs_guess", "no client has this secret", house.secret):
        assert refused(lambda secret=secret: house.service.clients.authenticate(client, secret, PEER)) == "wrong"


def test_attack_every_wrong_way_counts_for_the_network_and_closes_it_for_wrong_ways_only(
    house: House, signer: Signer
) -> None:
    clients, forged = house.service.clients, Signer("reports", house.clock)
    for _ in range(30):
        refused(lambda: clients.authenticate_public("portal", PEER))
        refused(lambda: clients.authenticate_assertion(forged.sign(), "", PEER))
    for call in (
        lambda: clients.authenticate_public("nobody", PEER),
        lambda: clients.authenticate_assertion(forged.sign(), "", PEER),
        lambda: clients.authenticate("portal", "acs_wrong", PEER),
    ):
        with pytest.raises(RateLimited):
            call()
    assert clients.authenticate_public("app", PEER)
    assert clients.authenticate_assertion(signer.sign(), "", PEER)


def test_while_the_store_is_away_no_assertion_is_believed(
    house: House, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.service.clients.authenticate_assertion(signer.sign(), "", PEER)  # the client is in the cache now

    def away(*_: Any) -> None:
        raise Unavailable("store_away")

    monkeypatch.setattr(house.service.store, "call", away)
    with pytest.raises(Unavailable):
        house.service.clients.authenticate_assertion(signer.sign(), "", PEER)
