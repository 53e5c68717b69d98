"""A real cluster of one node: every act stays in its practice's slot, and durable acts go down one connection."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from authsvc.config import load as config
from authsvc.errors import Unavailable
from authsvc.store.connection import Connection
from authsvc.store.redis_client import connect
from tests.conftest import any_server, server_binary
from tests.fakes import FakeClock, SeededEntropy
from tests.flows.conftest import ENVIRON, Harness
from tests.store.running import charge

SLOTS = 16_384
UP_WITHIN_S = 15


def free_port() -> int:
    """A free port whose neighbour ten thousand above (the cluster bus) is a port too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


@pytest.fixture(scope="module")
def cluster_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    binary = server_binary(any_server())
    folder: Path = tmp_path_factory.mktemp("cluster")
    port = free_port()
    options = {"--port": str(port), "--bind": "127.0.0.1", "--cluster-enabled": "yes", "--dir": str(folder)}
    server = subprocess.Popen(
        [binary, *(part for option in options.items() for part in option), "--save", ""], stdout=subprocess.DEVNULL
    )
    try:
        node: Any = redis.Redis(port=port, decode_responses=True)
        wait_for(lambda: node.ping())
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        wait_for(lambda: "cluster_state:ok" in str(node.execute_command("CLUSTER", "INFO")))
        yield port
    finally:
        server.terminate()
        server.wait(10)


def wait_for(condition: Callable[[], object]) -> None:
    """Until the condition holds; the server is another process, so this is real time."""
    deadline = time.monotonic() + UP_WITHIN_S
    while True:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster node did not come up")
        threading.Event().wait(0.05)


@pytest.fixture
def client(cluster_port: int) -> Iterator[Any]:
    settings = dataclasses.replace(config.load(ENVIRON), redis_url=f"redis+cluster://127.0.0.1:{cluster_port}")
    made = connect(settings)
    made.flushall()
    yield made
    made.close()


def test_a_whole_sign_in_works_on_a_cluster(client: Any) -> None:
    harness = Harness(Connection(client), client, FakeClock(), SeededEntropy())
    harness.patient()
    grant = harness.sign_in()
    assert harness.introspected(grant.access_token)["active"]
    harness.links.exchange(harness.act(), harness.link())
    assert harness.service.audit_log.seal_all() > 0
    assert harness.patients.deliveries(harness.act(), "p1")


def test_what_practices_keep_is_counted_anew_on_a_cluster(client: Any) -> None:
    harness = Harness(Connection(client), client, FakeClock(), SeededEntropy())
    harness.patient()
    harness.link()
    (counted,) = harness.service.practice_storage.uses()
    client.delete("authsvc:{maple}:storage")
    harness.service.practice_storage.recount()
    assert harness.service.practice_storage.uses() == [counted]
    assert harness.service.practice_storage.read_maxmemory() == 0
    client.config_set("maxmemory", "64mb")
    try:
        assert harness.service.practice_storage.read_maxmemory() == 64 * 2**20
    finally:
        client.config_set("maxmemory", "0")


def test_a_durable_act_waits_on_the_node_that_did_it(client: Any) -> None:
    store = Connection(client, replicas=1)
    with pytest.raises(Unavailable) as caught:
        charge(store, durable=True)
    assert caught.value.reason == "not_replicated"


def test_a_slot_that_no_node_serves_is_an_outage(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "get_node_from_key", lambda key: None)
    with pytest.raises(Unavailable):
        charge(Connection(client, replicas=1, deadline_s=0.05), durable=True)
