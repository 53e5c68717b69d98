"""A real replica: a durable act is done when the replica has it, and undecided when the replica is gone."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from authsvc.errors import LinkGone, NotReplicated, Unavailable
from authsvc.model import Bucket, TokenGrant
from authsvc.store.connection import Connection
from tests.conftest import any_server, server_binary
from tests.fakes import FakeClock, SeededEntropy
from tests.flows.conftest import Harness
from tests.store.running import charge
from tests.store.test_cluster import free_port, wait_for


def server(folder: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    binary = server_binary(any_server())
    words = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options]
    return subprocess.Popen([binary, *words], stdout=subprocess.DEVNULL)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[redis.Redis, subprocess.Popen[bytes]]]:
    """A master's client and its replica's process."""
    ports = free_port(), free_port()
    master = server(tmp_path, ports[0], "--repl-diskless-sync-delay", "0")
    replica = server(tmp_path, ports[1], "--replicaof", "127.0.0.1", str(ports[0]), "--dbfilename", "replica.rdb")
    client = redis.Redis(port=ports[0], decode_responses=True)
    second = redis.Redis(port=ports[1], decode_responses=True)
    try:
        wait_for(lambda: second.info("replication")["master_link_status"] == "up")
        yield client, replica
    finally:
        for process in (replica, master):
            process.terminate()
        for process in (replica, master):
            process.wait(10)
        client.close()
        second.close()


def test_a_durable_act_waits_for_its_replica(pair: tuple[redis.Redis, subprocess.Popen[bytes]]) -> None:
    client, replica = pair
    store = Connection(client, replicas=1, timeout_s=6)  # WAIT may take 3 s: this machine may be busy
    limits = (Bucket("client-calls", "portal", 10, 1),)
    assert charge(store, limits, durable=True)[0].remaining == 9
    replica.terminate()
    replica.wait(10)
    with pytest.raises(Unavailable, match="not_replicated"):
        charge(store, limits, durable=True)


def test_a_link_that_was_answered_503_opens_for_its_client_once_the_replica_is_back(
    pair: tuple[redis.Redis, subprocess.Popen[bytes]], clock: FakeClock, entropy: SeededEntropy
) -> None:
    client, replica = pair
    harness = Harness(Connection(client, replicas=1, timeout_s=6, deadline_s=30), client, clock, entropy)
    token = harness.link(max_uses=1)
    replica.send_signal(signal.SIGSTOP)
    try:
        for _ in range(2):
            with pytest.raises(NotReplicated):
                harness.links.exchange(harness.act(), token)
    finally:
        replica.send_signal(signal.SIGCONT)
    assert isinstance(harness.links.exchange(harness.act(), token), TokenGrant)
    with pytest.raises(LinkGone, match="used_up"):
        harness.links.exchange(harness.act(), token)
