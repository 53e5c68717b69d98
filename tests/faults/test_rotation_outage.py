"""Rotation by a third process while two instances serve, and with the store away in the middle of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.harness.deployment import Client, Deployment
from tests.harness.processes import ask, free_port, reachable, until

pytestmark = pytest.mark.fault

FOLLOWS_WITHIN_S = 5.0
JWKS = "/.well-known/jwks.json"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("deployment")) as deployment:
        deployment.store.start()
        deployment.add_practice()
        yield deployment


@pytest.fixture(scope="module")
def instances(deployment: Deployment) -> list[str]:
    """The addresses of two instances of the service."""
    deployment.serve()
    port = free_port()
    deployment.environ["AUTHSVC_ADMIN_BIND"] = f"127.0.0.1:{free_port()}"
    second = deployment._start("second", "-m", "authsvc", "serve", "--workers", "1", "--bind", f"127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}"
    until(lambda: reachable(f"{url}/livez"), why=second.output)
    until(lambda: ask("GET", f"{url}/readyz").status == 200, why=second.output)
    return [deployment.url, url]


def kids(url: str) -> list[str]:
    answer = ask("GET", url + JWKS)
    assert answer.status == 200, answer
    return [key["kid"] for key in answer.json["keys"]]


def test_both_instances_follow_a_rotation_within_five_seconds(deployment: Deployment, instances: list[str]) -> None:
    assert kids(instances[0]) == kids(instances[1])
    step = deployment.cli("keys", "rotate", "--force", "--reason", "a drill").document
    rotated_at = time.monotonic()
    until(lambda: all(kids(url)[0] == step["current"] for url in instances))
    assert time.monotonic() - rotated_at <= FOLLOWS_WITHIN_S


def test_a_store_that_goes_away_in_mid_rotation_loses_nothing(deployment: Deployment, instances: list[str]) -> None:
    """One key is waiting, the store goes, the admin tries to rotate: refused, nothing half done, keys still served."""
    portal: Client = deployment.add_client("portal")
    portal.register("rita", "rita@example.org")
    old = portal.signed_in("rita")
    before = [kids(url) for url in instances]
    deployment.store.stop()
    try:
        assert deployment.cli("keys", "rotate", "--force", code=1).document["error"]["code"] == "unavailable"
        for url, known in zip(instances, before, strict=True):
            assert kids(url) == known
            assert ask("GET", url + "/livez").status == 200
    finally:
        deployment.store.start()
    until(lambda: all(ask("GET", url + "/readyz").status == 200 for url in instances))
    assert [kids(url) for url in instances] == before
    step = deployment.cli("keys", "rotate", "--force").document
    assert step["current"] == before[0][1], "the key that was waiting signs now"
    until(lambda: all(kids(url)[0] == step["current"] for url in instances))
    assert deployment.forward_auth(old["access_token"]).status == 200
    assert portal.refreshed(old["refresh_token"]).status == 200
