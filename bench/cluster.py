"""A Redis Cluster of so many shards on this machine, without replicas."""

from __future__ import annotations

import binascii
import time
from pathlib import Path

from bench.processes import RedisServer, free_port

SLOTS = 16_384
FORMED_WITHIN_S = 30.0


def slot(tag: str) -> int:
    """The slot of keys with this hash tag."""
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def spread_names(shards: int, each: int) -> list[str]:
    """Names of practices such that every shard gets the same number of them."""
    names: list[str] = []
    room = [each] * shards
    number = 0
    while any(room):
        name = f"practice-{number}"
        shard = slot(name) * shards // SLOTS
        if room[shard]:
            room[shard] -= 1
            names.append(name)
        number += 1
    return names


class Cluster:
    """Shard i has the slots from i/n to (i+1)/n of all."""

    def __init__(self, folder: Path, shards: int) -> None:
        self.nodes: list[RedisServer] = []
        self._ports: list[int] = []
        try:
            for number in range(shards):
                self._start(folder / f"shard-{number}")
            self._join(shards)
        except BaseException:
            self.stop()
            raise
        self.url = f"redis+cluster://127.0.0.1:{self._ports[0]}"

    def _start(self, folder: Path) -> None:
        port = free_port()
        options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        options += ["--cluster-announce-ip", "127.0.0.1", "--cluster-config-file", "nodes.conf"]
        self.nodes.append(RedisServer(folder, port=port, options=options))
        self._ports.append(port)

    def _join(self, shards: int) -> None:
        for number, node in enumerate(self.nodes):
            first, last = -(-number * SLOTS // shards), -(-(number + 1) * SLOTS // shards) - 1
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node, port in zip(self.nodes[1:], self._ports[1:], strict=True):
            bus = node.client.config_get("cluster-port")["cluster-port"]
            self.nodes[0].client.execute_command("CLUSTER MEET", "127.0.0.1", port, bus)
        deadline = time.monotonic() + FORMED_WITHIN_S
        while not all(self._formed(node) for node in self.nodes):
            if time.monotonic() > deadline:
                raise TimeoutError("the cluster was not formed")
            time.sleep(0.1)

    def _formed(self, node: RedisServer) -> bool:
        info = node.client.execute_command("CLUSTER INFO")
        state = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
        return state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == len(self.nodes)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
