"""Redis Sentinel: a primary with two replicas, three sentinels; fail-overs forced and planned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import redis

from tests.resilience.deployment import Deployment
from tests.resilience.processes import until
from tests.resilience.redis_servers import PASSWORD, USER, RedisServer
from tests.resilience.registry import Run, fault

sentinel = partial(fault, kind="sentinel", timeout_s=300)


def _failed_over(run: Run, old: RedisServer) -> None:
    until(lambda: run.deployment.sentinels.primary() is not old, 30, "the sentinels name another primary", 0.1)


@sentinel("sentinel-primary-killed", "SIGKILL of the primary, started again 4 s after the fail-over")
def primary_killed(run: Run) -> Iterator[float]:
    old = run.deployment.sentinels.primary()
    old.running.kill()
    _failed_over(run, old)
    yield 0
    old.start()
    run.deployment.sentinels.await_replicas()


@sentinel("sentinel-primary-paused", "SIGSTOP of the primary until the fail-over, then it wakes")
def primary_paused(run: Run) -> Iterator[float]:
    old = run.deployment.sentinels.primary()
    old.running.pause()
    with suppress(AssertionError):
        _failed_over(run, old)
    time.sleep(2)
    old.running.resume()
    yield 0
    run.deployment.sentinels.await_replicas()


@sentinel("sentinel-planned-failover", "SENTINEL FAILOVER while calls go on")
def planned(run: Run) -> Iterator[float]:
    old = run.deployment.sentinels.primary()
    run.deployment.sentinels.sentinel_client().sentinel_failover("mymaster")
    _failed_over(run, old)
    yield 0
    run.deployment.sentinels.await_replicas()


@sentinel("sentinel-planned-failover-drained", "CLIENT PAUSE WRITE for 3 s, then SENTINEL FAILOVER")
def planned_drained(run: Run) -> Iterator[float]:
    old = run.deployment.sentinels.primary()
    old.admin.execute_command("CLIENT", "PAUSE", 3000, "WRITE")
    run.deployment.sentinels.sentinel_client().sentinel_failover("mymaster")
    _failed_over(run, old)
    yield 0
    run.deployment.sentinels.await_replicas()


@sentinel("sentinel-failover-twice", "SENTINEL FAILOVER, and again 8 s later", timeout_s=300)
def twice(run: Run) -> Iterator[float]:
    for _ in range(2):
        old = run.deployment.sentinels.primary()
        run.deployment.sentinels.await_replicas()
        with suppress(redis.RedisError):
            run.deployment.sentinels.sentinel_client().sentinel_failover("mymaster")
        _failed_over(run, old)
        time.sleep(8)
    yield 0
    run.deployment.sentinels.await_replicas()


def _replicas(run: Run) -> list[RedisServer]:
    primary = run.deployment.sentinels.primary()
    return [server for server in run.deployment.sentinels.servers if server is not primary]


@sentinel("sentinel-one-replica-killed", "SIGKILL of one of two replicas for 4 s")
def one_replica(run: Run) -> Iterator[float]:
    gone = _replicas(run)[0]
    gone.running.kill()
    yield 4
    gone.start()
    run.deployment.sentinels.await_replicas()


@sentinel("sentinel-all-replicas-killed", "SIGKILL of both replicas for 6 s: no durable act, NOREPLICAS")
def all_replicas(run: Run) -> Iterator[float]:
    gone = _replicas(run)
    for server in gone:
        server.running.kill()
    yield 6
    for server in gone:
        server.start()
    run.deployment.sentinels.await_replicas()


@sentinel("sentinel-replicas-paused", "SIGSTOP of both replicas for 5 s: WAIT is not met")
def replicas_paused(run: Run) -> Iterator[float]:
    paused = _replicas(run)
    for server in paused:
        server.running.pause()
    yield 5
    for server in paused:
        server.running.resume()
    run.deployment.sentinels.await_replicas()


def _sentinels_gone(run: Run, numbers: range) -> None:
    for number in numbers:
        program = run.deployment.sentinels.sentinels[number]
        assert program is not None
        program.kill()


def _sentinels_back(run: Run, numbers: range) -> None:
    for number in numbers:
        run.deployment.sentinels.start_sentinel(number, 0)
    run.deployment.sentinels.await_replicas()


@sentinel("sentinel-one-sentinel-killed", "SIGKILL of the first sentinel for 4 s", spared=("maple", "birch"))
def one_sentinel(run: Run) -> Iterator[float]:
    _sentinels_gone(run, range(1))
    yield 4
    _sentinels_back(run, range(1))


@sentinel(
    "sentinel-all-sentinels-killed", "SIGKILL of all sentinels for 6 s; Redis itself is well", spared=("maple", "birch")
)
def all_sentinels(run: Run) -> Iterator[float]:
    _sentinels_gone(run, range(3))
    yield 6
    _sentinels_back(run, range(3))


@sentinel(
    "sentinel-nobody-at-start",
    "serve and worker are started before sentinels and Redis are",
    own=True,
    keys_always=False,
)
def nobody_at_start(run: Run) -> Iterator[float]:
    deployment = run.deployment
    primary = deployment.sentinels.primary().port
    for program in (deployment.serve_program, deployment.worker_program):
        program.stop()
    _sentinels_gone(run, range(3))
    for server in deployment.sentinels.servers:
        server.running.pause()
    deployment.start_serve()
    deployment.start_worker()
    yield 6
    for program in (deployment.serve_program, deployment.worker_program):
        run.expect(program.runs, f"{program.name} ended: {program.output()[-200:]}")
    for server in deployment.sentinels.servers:
        server.running.resume()
    for number in range(3):
        deployment.sentinels.start_sentinel(number, primary)
    deployment.sentinels.await_replicas()
    restart_if_ended(deployment)


def restart_if_ended(deployment: Deployment) -> None:
    if not deployment.serve_program.runs:
        deployment.start_serve()
    if not deployment.worker_program.runs:
        deployment.start_worker()


SENTINELS_AMONG_THEMSELVES = frozenset(
    # What a sentinel says to the others, as `default`: they are refused it here, which is no fault of the service's.
    ("sentinel", "sentinel|is-master-down-by-addr", "info", "role", "client", "client|setname", "__sentinel__:hello")
)


@sentinel("sentinel-password", "the sentinels ask for the same user and password", own=True)
def sentinel_password(run: Run) -> Iterator[float]:
    deployment = run.deployment
    for program in (deployment.serve_program, deployment.worker_program):
        program.stop()
    for port in deployment.sentinels.ports:
        with redis.Redis(port=port, decode_responses=True) as client:
            client.execute_command("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all")
            client.execute_command(
                *("ACL", "SETUSER", "default", "-@all", "+ping", "+hello", "+auth", "+publish", "+subscribe")
            )
    # Whoever was under way when the user `default` lost its rights is not meant.
    for port in deployment.sentinels.ports:
        with redis.Redis(port=port, username=USER, password=PASSWORD) as client:
            client.execute_command("ACL", "LOG", "RESET")
    deployment.start_serve()
    deployment.start_worker()
    time.sleep(6)
    with suppress(AssertionError):
        deployment.await_ready(10)
    for port in deployment.sentinels.ports:
        with redis.Redis(port=port, username=USER, password=PASSWORD, decode_responses=True) as client:
            for entry in client.acl_log(count=100):
                words = f"{entry['reason']} {entry['object']} as {entry['username']}"
                run.expect(
                    entry["object"] in SENTINELS_AMONG_THEMSELVES,
                    f"the service asked a sentinel without its user and password: {words} {entry}",
                )
            client.execute_command("ACL", "SETUSER", "default", "+@all")
    yield 0.1
