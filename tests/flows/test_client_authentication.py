"""One way for each client, by registration; and an assertion that is good once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.errors import RateLimited, Unauthenticated, Unavailable
from tests.audit_logs import tail
from tests.flows.conftest import Harness
from tests.flows.signers import Signer

PEER = "192.0.2.1"
CALLBACK = "https://app.example/callback"
NONE: frozenset[str] = frozenset()


@pytest.fixture
def signer(harness: Harness) -> Signer:
    """A client that signs its calls, and one that is public."""
    made = Signer("reports", harness.clock)
    harness.new_client("reports", jwks=made.jwks())
    harness.new_client("app", redirect_uris=(CALLBACK,), public=True, permissions=NONE)
    return made


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(Unauthenticated) as caught:
        call()
    return caught.value.reason


def last(harness: Harness) -> dict[str, Any]:
    """The newest entry of the trail of failures, without what every entry has."""
    entry = tail(harness.service.audit_log, "@clients")[-1]
    return {name: entry.get(name) for name in ("event", "client", "cause")}


def test_an_assertion_is_its_client(harness: Harness, signer: Signer) -> None:
    clients = harness.service.clients
    assert clients.authenticate_assertion(signer.sign(), "", PEER).id == "reports"
    assert clients.authenticate_assertion(signer.sign(), "reports", PEER).id == "reports"


def test_a_public_client_is_known_by_its_id(harness: Harness, signer: Signer) -> None:
    assert harness.service.clients.authenticate_public("app", PEER).id == "app"


def test_attack_a_replayed_assertion(harness: Harness, signer: Signer) -> None:
    token, clients = signer.sign(), harness.service.clients
    clients.authenticate_assertion(token, "", PEER)
    assert refused(lambda: clients.authenticate_assertion(token, "", PEER)) == "wrong"
    assert last(harness) == {"event": "client.refused", "client": "reports", "cause": "replayed"}
    # Nor another assertion with the same jti, nor one just before its end.
    used = f"reports-{signer._count}"
    assert refused(lambda: clients.authenticate_assertion(signer.sign(jti=used, nbf=0), "", PEER)) == "wrong"
    harness.clock.advance_s(89)
    assert refused(lambda: clients.authenticate_assertion(token, "", PEER)) == "wrong"
    assert last(harness)["cause"] == "replayed"
    harness.clock.advance_s(1)
    assert refused(lambda: clients.authenticate_assertion(token, "", PEER)) == "wrong"
    assert last(harness)["cause"] == "expired"


def test_two_clients_may_choose_the_same_jti(harness: Harness, signer: Signer) -> None:
    other = Signer("ledger", harness.clock)
    harness.new_client("ledger", jwks=other.jwks())
    for one in (signer, other):
        assert harness.service.clients.authenticate_assertion(one.sign(jti="1"), "", PEER).id == one.client


def test_what_is_remembered_lives_a_little_longer_than_the_assertion(harness: Harness, signer: Signer) -> None:
    harness.service.clients.authenticate_assertion(signer.sign(), "", PEER)
    (kept,) = harness.redis.scan_iter("authsvc:{@clients}:assertion:*")
    assert 90_000 < harness.redis.pttl(kept) <= 150_000
    assert "reports-1" not in kept


def test_an_assertion_that_proves_nothing_is_not_remembered(harness: Harness, signer: Signer) -> None:
    stranger = Signer("reports", harness.clock)
    refused(lambda: harness.service.clients.authenticate_assertion(stranger.sign(jti="mine"), "", PEER))
    assert harness.service.clients.authenticate_assertion(signer.sign(jti="mine"), "", PEER)


@pytest.mark.race
def test_race_of_many_for_one_assertion_lets_one_in(harness: Harness, signer: Signer) -> None:
    token, outcomes, together = signer.sign(), [], threading.Barrier(8)

    def come() -> None:
        together.wait(10)
        try:
            outcomes.append(harness.service.clients.authenticate_assertion(token, "", PEER).id)
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
    harness: Harness, signer: Signer, client: str, cause: str
) -> None:
    forged = Signer(client, harness.clock)
    assert refused(lambda: harness.service.clients.authenticate_assertion(forged.sign(), "", PEER)) == "wrong"
    known = None if client == "nobody" else client
    assert last(harness) == {"event": "client.refused", "client": known, "cause": cause}


def test_attack_an_assertion_beside_another_clients_id(harness: Harness, signer: Signer) -> None:
    assert refused(lambda: harness.service.clients.authenticate_assertion(signer.sign(), "portal", PEER)) == "wrong"


@pytest.mark.parametrize("client", ["portal", "reports", "nobody"])
def test_attack_a_confidential_client_by_its_id_alone(harness: Harness, signer: Signer, client: str) -> None:
    assert refused(lambda: harness.service.clients.authenticate_public(client, PEER)) == "wrong"
    assert last(harness)["client"] == (None if client == "nobody" else client)


@pytest.mark.parametrize("client", ["app", "reports"])
def test_attack_any_secret_for_a_client_that_has_none(harness: Harness, signer: Signer, client: str) -> None:
    for secret in ("acs_guess", "no client has this secret", harness.secret):
        assert refused(lambda secret=secret: harness.service.clients.authenticate(client, secret, PEER)) == "wrong"


def test_attack_every_wrong_way_counts_for_the_network_and_closes_it_for_wrong_ways_only(
    harness: Harness, signer: Signer
) -> None:
    clients, forged = harness.service.clients, Signer("reports", harness.clock)
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
    harness: Harness, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.service.clients.authenticate_assertion(signer.sign(), "", PEER)  # the client is in the cache now

    def away(*_: Any, **_options: Any) -> None:
        raise Unavailable("store_away")

    monkeypatch.setattr(harness.service.store, "call", away)
    with pytest.raises(Unavailable):
        harness.service.clients.authenticate_assertion(signer.sign(), "", PEER)
