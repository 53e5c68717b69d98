"""Redis Cluster: three primaries with a replica each; slots that move key by key, fail-overs, a dead shard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import redis

from tests.resilience.faults.sentinel import restart_if_ended
from tests.resilience.processes import until
from tests.resilience.redis_servers import Cluster, RedisServer
from tests.resilience.registry import Run, fault

cluster = partial(fault, kind="cluster", timeout_s=300)
TAG = "authsvc:{maple}:"
BOTH = "keys were written on both nodes while the slot moved"


def _shard(run: Run) -> tuple[RedisServer, RedisServer]:
    """The primary of maple's slot and its replica."""
    nodes = run.deployment.cluster
    owner = nodes.owner(TAG)
    name = nodes.id_of(owner)
    for server in nodes.servers:
        if server is not owner and server.running.runs and server.admin.info("replication").get("role") == "slave":
            line = next(line for line in _nodes(server) if "myself" in line)
            if line.split()[3] == name:
                return owner, server
    raise AssertionError("maple's primary has no replica")


def _nodes(server: RedisServer) -> list[str]:
    answer = redis.Redis(port=server.port)
    answer.set_response_callback("CLUSTER NODES", lambda text, **_: text)
    text = answer.execute_command("CLUSTER NODES")
    return (text.decode() if isinstance(text, bytes) else str(text)).splitlines()


def _well(run: Run) -> None:
    until(run.deployment.cluster.well, 30, "the cluster is well again", 0.1)


@cluster("cluster-primary-killed", "SIGKILL of maple's primary, started again 4 s after its replica took over")
def primary_killed(run: Run) -> Iterator[float]:
    owner, replica = _shard(run)
    owner.running.kill()
    until(lambda: replica.admin.info("replication")["role"] == "master", 30, "the replica takes over")
    yield 4
    owner.start()
    _well(run)


@cluster("cluster-primary-paused", "SIGSTOP of maple's primary until its replica took over")
def primary_paused(run: Run) -> Iterator[float]:
    owner, replica = _shard(run)
    owner.running.pause()
    until(lambda: replica.admin.info("replication")["role"] == "master", 30, "the replica takes over")
    owner.running.resume()
    yield 0
    _well(run)


@cluster("cluster-planned-failover", "CLUSTER FAILOVER of maple's shard while calls go on")
def planned(run: Run) -> Iterator[float]:
    _, replica = _shard(run)
    replica.admin.execute_command("CLUSTER", "FAILOVER")
    until(lambda: replica.admin.info("replication")["role"] == "master", 20, "the replica takes over")
    yield 0
    _well(run)


@cluster("cluster-forced-failover", "CLUSTER FAILOVER TAKEOVER: the old primary isn't asked")
def forced(run: Run) -> Iterator[float]:
    _, replica = _shard(run)
    replica.admin.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
    until(lambda: replica.admin.info("replication")["role"] == "master", 20, "the replica takes over")
    yield 0
    _well(run)
    run.notes.append("writes of the last milliseconds are lost by design of TAKEOVER")


@cluster(
    "cluster-shard-dead",
    "maple's primary and its replica are gone for 6 s; birch is on another shard",
    spared=("birch",),
)
def shard_dead(run: Run) -> Iterator[float]:
    owner, replica = _shard(run)
    run.need(run.deployment.cluster.owner("authsvc:{birch}:") is not owner, "both practices are on one shard")
    site = {name: run.deployment.cluster.owner(f"authsvc:{{@{name}}}:") for name in ("keys", "clients", "practices")}
    run.notes.append(
        f"the shard also holds {[name for name, server in site.items() if server is owner] or 'no site records'}"
    )
    replica.running.kill()
    owner.running.kill()
    yield 6
    owner.start()
    replica.start()
    _well(run)


@cluster("cluster-down", "full coverage is demanded and a shard is gone for 5 s: CLUSTERDOWN everywhere")
def down(run: Run) -> Iterator[float]:
    owner, replica = _shard(run)
    nodes = [server for server in run.deployment.cluster.servers if server not in (owner, replica)]
    for server in nodes:
        server.admin.config_set("cluster-require-full-coverage", "yes")
    replica.running.kill()
    owner.running.kill()
    yield 5
    owner.start()
    replica.start()
    _well(run)
    for server in nodes:
        server.admin.config_set("cluster-require-full-coverage", "no")


def _announced(nodes: Cluster, slot: int, old: RedisServer, new: RedisServer) -> None:
    new.admin.execute_command(f"CLUSTER SETSLOT {slot} IMPORTING {nodes.id_of(old)}")
    old.admin.execute_command(f"CLUSTER SETSLOT {slot} MIGRATING {nodes.id_of(new)}")


def _migrated(run: Run, old: RedisServer, new: RedisServer, keys: list[str]) -> None:
    """A key that is on both nodes is a failure of ours: somebody wrote to it there while it was still here."""
    words = ("MIGRATE", "127.0.0.1", new.port, "", 0, 5000)
    try:
        old.admin.execute_command(*words, "KEYS", *keys)
    except redis.ResponseError:
        if BOTH not in run.failures:
            run.failures.append(BOTH)
        old.admin.execute_command(*words, "REPLACE", "KEYS", *keys)


def _moved(run: Run, slot: int, old: RedisServer, new: RedisServer, pause_s: float) -> int:
    """All that is left, key by key, as `redis-cli --cluster reshard` does; then the slot is the other node's."""
    moved, deadline = 0, time.monotonic() + 40
    while keys := old.admin.execute_command("CLUSTER GETKEYSINSLOT", slot, 3 if pause_s else 100):
        _migrated(run, old, new, keys)
        moved += len(keys)
        time.sleep(pause_s)
        pause_s = pause_s if moved < 600 else 0.0
        if time.monotonic() > deadline:
            break
    for server in (new, old):
        server.admin.execute_command(f"CLUSTER SETSLOT {slot} NODE {run.deployment.cluster.id_of(new)}")
    return moved


@cluster("cluster-slot-moves", "maple's slot moves key by key within some seconds: ASK, TRYAGAIN, MOVED", own=True)
def slot_moves(run: Run) -> Iterator[float]:
    old, _ = _shard(run)
    new = next(server for server in run.deployment.cluster.servers if server is not old and _is_primary(server))
    slot = int(old.admin.execute_command("CLUSTER KEYSLOT", TAG))
    _announced(run.deployment.cluster, slot, old, new)
    run.notes.append(f"{_moved(run, slot, old, new, 0.02)} keys moved")
    yield 0


def _is_primary(server: RedisServer) -> bool:
    return bool(server.running.runs and server.admin.info("replication")["role"] == "master")


@cluster("cluster-slot-half-moved", "the move of maple's slot stands still half way for 5 s, then goes on", own=True)
def slot_half_moved(run: Run) -> Iterator[float]:
    old, _ = _shard(run)
    new = next(server for server in run.deployment.cluster.servers if server is not old and _is_primary(server))
    slot = int(old.admin.execute_command("CLUSTER KEYSLOT", TAG))
    _announced(run.deployment.cluster, slot, old, new)
    keys = old.admin.execute_command("CLUSTER GETKEYSINSLOT", slot, 10_000)
    _migrated(run, old, new, keys[::2])
    yield 5
    _moved(run, slot, old, new, 0.0)
    run.notes.append(f"{len(keys[::2])} of {len(keys)} keys had moved")


@cluster("cluster-nodes-paused", "SIGSTOP of every node for 4 s")
def nodes_paused(run: Run) -> Iterator[float]:
    for server in run.deployment.cluster.servers:
        server.running.pause()
    yield 4
    for server in run.deployment.cluster.servers:
        server.running.resume()
    _well(run)


@cluster("cluster-nobody-at-start", "serve and worker are started before the cluster is", own=True, keys_always=False)
def nobody_at_start(run: Run) -> Iterator[float]:
    deployment = run.deployment
    for program in (deployment.serve_program, deployment.worker_program):
        program.stop()
    for server in deployment.cluster.servers:
        server.running.stop()
    deployment.start_serve()
    deployment.start_worker()
    yield 6
    for program in (deployment.serve_program, deployment.worker_program):
        run.expect(program.runs, f"{program.name} ended: {program.output()[-160:]}")
    for server in deployment.cluster.servers:
        server.start()
    _well(run)
    restart_if_ended(deployment)
