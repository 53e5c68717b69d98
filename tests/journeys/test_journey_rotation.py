"""Keys are rotated while patients and gateways go on: nobody is refused for it, and no process is restarted."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

import pytest

from authsvc.verifier import REFETCH_EVERY_S
from tests.harness.deployment import Client, Deployment
from tests.harness.processes import Process, ask, until

pytestmark = pytest.mark.journey

FOLLOWS_WITHIN_S = 5.0
PACE_S = 0.05  # between two rounds of one thread
ROUNDS = 15  # before the rotation and after it, by each worker


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One of this file's own: its first key is too young to be followed safely, however long other tests took."""
    with Deployment(tmp_path_factory.mktemp("deployment")) as deployment:
        deployment.store.start()
        deployment.add_practice()
        deployment.open_service()
        yield deployment


@pytest.fixture(scope="module")
def serve(deployment: Deployment) -> Process:
    return deployment.serve()


@pytest.fixture(scope="module")
def portal(deployment: Deployment, serve: Process) -> Client:
    return deployment.add_client("portal")


def kid_of(token: str) -> str:
    head = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


@dataclass
class Traffic:
    """What patients met, by worker process: how many rounds, which key signed since when, and what went wrong."""

    rounds: dict[int, int] = field(default_factory=dict)
    signed_from: dict[int, dict[str, float]] = field(default_factory=dict)
    failures: list[object] = field(default_factory=list)

    def signs(self, kid: str) -> bool:
        """Whether every worker has signed with this key by now."""
        return all(kid in kids for kids in self.signed_from.values())


@contextmanager
def traffic(
    deployment: Deployment, portal: Client, lines: dict[int, HTTPConnection], link: str, old: str
) -> Iterator[Traffic]:
    """For each worker a patient who goes on opening the link, at a steady pace, over a connection to that worker. Her
    token goes to the practice's service and to a gateway; so does a token that is older than all this."""
    seen, ended = Traffic(dict.fromkeys(lines, 0), {pid: {} for pid in lines}), threading.Event()

    def passes(what: str, token: str) -> None:
        service = deployment.visit("GET", "/invoices/inv_1", token)
        gateway = deployment.forward_auth(token, scope="invoice:view", resource="invoice:inv_1")
        for who, answer in (("service", service), ("gateway", gateway)):
            if answer.status != 200:
                seen.failures.append((who, what, kid_of(token), answer))

    def one(pid: int, line: HTTPConnection) -> None:
        while not ended.wait(PACE_S):
            try:
                answer = portal.post("links/exchange", token=link, over=line)
                token = answer.json["access_token"]
                seen.signed_from[pid].setdefault(kid_of(token), time.monotonic())
                passes("fresh", token)
                passes("old", old)
            except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
                seen.failures.append(error)
            seen.rounds[pid] += 1

    threads = [threading.Thread(target=one, args=each) for each in lines.items()]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_a_rotation_under_traffic_refuses_nobody(deployment: Deployment, serve: Process, portal: Client) -> None:
    portal.register("rita", "rita@example.org")
    link = portal.link("pay-invoice", "rita", resource="invoice:inv_1")
    old = portal.exchange_link(link)["access_token"]
    session = portal.signed_in("rita")
    # The service has the key set, with the next key in it, before that key signs: what waiting is for in real life.
    assert deployment.visit("GET", "/invoices/inv_1", old).status == 200
    published = [key["kid"] for key in ask("GET", f"{deployment.url}/.well-known/jwks.json").json["keys"]]
    lines = deployment.connection_to_each_worker(serve)

    with traffic(deployment, portal, lines, link, old) as seen:
        until(lambda: min(seen.rounds.values()) >= ROUNDS)
        refused = deployment.cli("keys", "rotate", code=3)
        assert refused.document["error"]["safe_at"], "a step that is not safe yet says when it will be"
        assert {kid for kids in seen.signed_from.values() for kid in kids} == {kid_of(old)}

        step = deployment.cli("keys", "rotate", "--force", "--reason", "a drill").document
        rotated_at = time.monotonic()
        assert step["current"] == published[1]
        assert step["cost"], "what is forced says what it may break"
        until(lambda: seen.signs(step["current"]), why=lambda: (seen.signed_from, seen.failures))
        followed_s = max(kids[step["current"]] for kids in seen.signed_from.values()) - rotated_at
        after = dict(seen.rounds)
        until(lambda: all(seen.rounds[pid] >= after[pid] + ROUNDS for pid in after))

    assert seen.failures == []
    assert followed_s <= FOLLOWS_WITHIN_S

    # The old key stays published for as long as its tokens live, and a new one waits for the next time.
    now = [key["kid"] for key in ask("GET", f"{deployment.url}/.well-known/jwks.json").json["keys"]]
    assert now == [step["current"], step["next"], kid_of(old)]
    for line in lines.values():
        assert [
            key["kid"] for key in ask("GET", f"{deployment.url}/.well-known/jwks.json", over=line).json["keys"]
        ] == now
    assert portal.oauth("introspect", token=old).json["active"] is True
    assert kid_of(portal.refreshed(session["refresh_token"]).json["access_token"]) == step["current"]


def test_a_revoked_key_is_refused_at_once_where_the_service_is_asked(
    deployment: Deployment, serve: Process, portal: Client
) -> None:
    portal.register("ruth", "ruth@example.org")
    session = portal.signed_in("ruth")
    lines = deployment.connection_to_each_worker(serve)
    kid = kid_of(session["access_token"])
    deployment.cli("keys", "revoke", kid, "--reason", "found on a stolen laptop")

    def followed() -> bool:
        shown = [ask("GET", f"{deployment.url}/.well-known/jwks.json", over=line).json for line in lines.values()]
        return all(kid not in [key["kid"] for key in keys["keys"]] for keys in shown)

    until(followed, within_s=FOLLOWS_WITHIN_S)
    assert deployment.forward_auth(session["access_token"], scope="invoices:view").status == 401
    assert portal.oauth("introspect", token=session["access_token"]).json == {"active": False}
    fresh = portal.refreshed(session["refresh_token"])
    assert (fresh.status, fresh.json["session"]) == (200, session["session"]), "the patient stays signed in"
    assert deployment.forward_auth(fresh.json["access_token"], scope="invoices:view").status == 200
    # The practice's service was told nothing: it meets a key that it doesn't know, asks for the key set once more, and
    # from then on refuses what the revoked key signed.
    until(
        lambda: deployment.visit("GET", "/portal/invoices", fresh.json["access_token"]).status == 200,
        REFETCH_EVERY_S + 10,
    )
    assert deployment.visit("GET", "/portal/invoices", session["access_token"]).status == 401
