"""The Redis server itself: killed, paused, full, without rights, with another password, in every state of refusal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import redis

from tests.resilience.processes import until
from tests.resilience.redis_servers import PASSWORD, USER
from tests.resilience.registry import Run, fault


@fault("redis-killed", "SIGKILL, started again after 3 s")
def killed(run: Run) -> Iterator[float]:
    run.deployment.redis.running.kill()
    yield 3
    run.deployment.redis.start()


@fault("redis-restarted", "SIGTERM, started again at once")
def restarted(run: Run) -> Iterator[float]:
    run.deployment.redis.running.stop()
    run.deployment.redis.start()
    yield 0.5


@fault("redis-killed-again", "SIGKILL three times within 6 s")
def killed_again(run: Run) -> Iterator[float]:
    for _ in range(3):
        run.deployment.redis.running.kill()
        time.sleep(0.7)
        run.deployment.redis.start()
        time.sleep(1)
    yield 0.1


@fault("redis-paused", "SIGSTOP for 4 s")
def paused(run: Run) -> Iterator[float]:
    run.deployment.redis.running.pause()
    yield 4
    run.deployment.redis.running.resume()


@fault("redis-hiccups", "SIGSTOP for 0.7 s, five times")
def hiccups(run: Run) -> Iterator[float]:
    for _ in range(5):
        run.deployment.redis.running.pause()
        time.sleep(0.7)
        run.deployment.redis.running.resume()
        time.sleep(0.3)
    yield 0.1


@fault("redis-full", "maxmemory 1 under noeviction: OOM")
def full(run: Run) -> Iterator[float]:
    run.deployment.redis.admin.config_set("maxmemory", 1)
    yield 4
    run.deployment.redis.admin.config_set("maxmemory", 0)


@fault("redis-command-denied", "the ACL lacks XADD: NOPERM inside scripts")
def command_denied(run: Run) -> Iterator[float]:
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "-xadd")
    yield 4
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "+xadd")


@fault("redis-scripts-denied", "the ACL lacks EVAL and EVALSHA: NOPERM")
def scripts_denied(run: Run) -> Iterator[float]:
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "-eval", "-evalsha")
    yield 4
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "+eval", "+evalsha")


@fault("redis-keys-denied", "the ACL no longer covers our keys: NOPERM")
def keys_denied(run: Run) -> Iterator[float]:
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "resetkeys", "~other:*")
    yield 4
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "resetkeys", "~authsvc:*")


def _disconnected(run: Run) -> None:
    admin = run.deployment.redis.admin
    for number in run.deployment.redis.service_connections():
        with suppress(redis.RedisError):
            admin.client_kill_filter(_id=number)


@fault("redis-password-changed", "another password, connections killed: WRONGPASS")
def password_changed(run: Run) -> Iterator[float]:
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "resetpass", ">other")
    _disconnected(run)
    yield 4
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "resetpass", f">{PASSWORD}")


@fault("redis-user-off", "the user is switched off, connections killed")
def user_off(run: Run) -> Iterator[float]:
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "off")
    _disconnected(run)
    yield 4
    run.deployment.redis.admin.execute_command("ACL", "SETUSER", USER, "on")


@fault("redis-connections-killed", "CLIENT KILL of every connection of ours, each 0.1 s for 3 s")
def connections_killed(run: Run) -> Iterator[float]:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        _disconnected(run)
        time.sleep(0.1)
    yield 0.1


@fault("redis-scripts-flushed", "SCRIPT FLUSH each 0.1 s for 3 s: NOSCRIPT")
def scripts_flushed(run: Run) -> Iterator[float]:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        run.deployment.redis.admin.script_flush()
        time.sleep(0.1)
    yield 0.1


@fault("redis-save-error", "a snapshot that can't be written: MISCONF")
def save_error(run: Run) -> Iterator[float]:
    server = run.deployment.redis
    (server.folder / "dump.rdb").mkdir(exist_ok=True)
    (server.folder / "dump.rdb" / "in-the-way").touch()
    server.admin.config_set("save", "3600 1")
    server.admin.bgsave()
    until(lambda: server.admin.info("persistence")["rdb_last_bgsave_status"] == "err", 10, "the snapshot fails")
    yield 4
    server.admin.config_set("save", "")
    (server.folder / "dump.rdb" / "in-the-way").unlink()
    (server.folder / "dump.rdb").rmdir()
    server.admin.bgsave()
    until(lambda: server.admin.info("persistence")["rdb_last_bgsave_status"] == "ok", 10, "the snapshot is written")


@fault("redis-no-replicas", "min-replicas-to-write 1 without a replica: NOREPLICAS")
def no_replicas(run: Run) -> Iterator[float]:
    run.deployment.redis.admin.config_set("min-replicas-to-write", 1)
    yield 4
    run.deployment.redis.admin.config_set("min-replicas-to-write", 0)


@fault("redis-busy-script", "somebody's endless script: BUSY, ended by SCRIPT KILL after 4 s")
def busy_script(run: Run) -> Iterator[float]:
    server = run.deployment.redis
    server.admin.config_set("busy-reply-threshold", 100)

    def endless() -> None:
        with suppress(redis.RedisError):
            server.admin.eval("while true do end", 0)

    threading.Thread(target=endless, daemon=True).start()
    yield 4
    server.admin.script_kill()


@fault("redis-clients-full", "maxclients reached by others, our connections killed")
def clients_full(run: Run) -> Iterator[float]:
    server = run.deployment.redis
    admin = server.admin
    admin.ping()
    before = int(admin.config_get("maxclients")["maxclients"])
    others = [redis.Redis(port=server.port) for _ in range(30)]
    for other in others:
        other.ping()
    ours = [line["id"] for line in admin.client_list() if line.get("user") == USER]
    admin.config_set("maxclients", len(admin.client_list()))
    for number in ours:
        with suppress(redis.RedisError):
            admin.client_kill_filter(_id=number)
        extra = redis.Redis(port=server.port)
        with suppress(redis.RedisError):
            extra.ping()
            others.append(extra)
    yield 4
    admin.config_set("maxclients", before)
    for other in others:
        other.close()


@fault("redis-loading", "killed with a file that takes seconds to load: LOADING")
def loading(run: Run) -> Iterator[float]:
    server = run.deployment.redis
    server.admin.bgrewriteaof()
    until(lambda: not server.admin.info("persistence")["aof_rewrite_in_progress"], 15, "the file is rewritten")
    keys = max(server.admin.dbsize(), 1)
    server.running.kill()
    text = server.config.read_text()
    slow = f"key-load-delay {int(4_000_000 / keys)}\nloading-process-events-interval-bytes 1024\n"
    server.config.write_text(text + slow)
    server.start(wait=False)
    yield 3
    until(server.answers, 30, "the file is loaded")
    server.admin.config_set("key-load-delay", 0)
    server.config.write_text(text)


@fault("redis-read-only", "demoted in place (REPLICAOF): READONLY")
def read_only(run: Run) -> Iterator[float]:
    server = run.deployment.redis
    server.admin.replicaof("127.0.0.1", 1)  # of nobody: it keeps its data and refuses writes
    yield 4
    server.admin.replicaof("NO", "ONE")


@fault(
    "redis-read-only-after-repoint", "the address leads to a promoted replica, old connections stay: READONLY", own=True
)
def read_only_after_repoint(run: Run) -> Iterator[float]:
    old = run.deployment.redis
    new = run.deployment.add_server("redis-new")
    new.start()
    new.admin.replicaof("127.0.0.1", old.port)
    until(lambda: new.admin.info("replication")["master_link_status"] == "up", 15, "the replica follows")
    old.admin.execute_command("CLIENT", "PAUSE", 10_000, "WRITE")
    offset = old.admin.info("replication")["master_repl_offset"]
    until(lambda: new.admin.info("replication")["slave_repl_offset"] >= offset, 5, "the replica has all")
    new.admin.replicaof("NO", "ONE")
    run.deployment.wire.repoint(new.port)
    old.admin.replicaof("127.0.0.1", new.port)
    old.admin.execute_command("CLIENT", "UNPAUSE")
    yield 0
