"""Instances of a service as far as keys go: each with its own memory, all over one store."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from authsvc import audit
from authsvc.audit import Recorder
from authsvc.config import load as config
from authsvc.config.load import Settings
from authsvc.flows.audit_log import entry_mac
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.key_rotation import KeyRotation
from authsvc.store.connection import Connection, site_prefix
from authsvc.store.keys import DATA, KEYSET, KeyStore
from authsvc.store.scripts import ScriptRunner
from tests.fakes import FakeClock, SeededEntropy, environ

OLD = b"old master secret, 32 bytes long"
NEW = b"new master secret, 32 bytes long"


def settings_with(**changed: Any) -> Settings:
    """Settings with some changed, by name."""
    return config.load(environ(**{f"AUTHSVC_{name.upper()}": str(value) for name, value in changed.items()}))


@dataclass
class Instance:
    """One process: its keys, its vault, and the events it told of."""

    keys: KeyRotation
    data_keys: DataKeys
    told: list[str]

    @property
    def kids(self) -> dict[str, str]:
        """State by kid, as published."""
        return {key.kid: key.state for key in self.keys.list()}

    def kid(self, state: str) -> str:
        return next(key.kid for key in self.keys.list() if key.state == state)


@dataclass
class KeyInstances:
    """A store and what its instances share; `start` begins another one."""

    store: Connection
    client: Any
    clock: FakeClock = field(default_factory=FakeClock)
    seed: int = 0

    def start(self, masters: tuple[bytes, ...] = (OLD,), settings: Settings | None = None) -> Instance:
        self.seed += 1
        entropy = SeededEntropy(f"instance {self.seed}")
        told: list[str] = []
        recorder = Recorder(lambda *entry: entry_mac(data_keys, *entry), told.append)
        store = KeyStore(self.store, ScriptRunner(self.store, self.clock, recorder))
        data_keys = DataKeys(store, masters, entropy)
        return Instance(
            KeyRotation(store, data_keys, self.clock, entropy, settings or settings_with()), data_keys, told
        )

    # --- what is stored ---

    def keyset(self) -> dict[str, Any]:
        stored: dict[str, Any] = json.loads(self.client.get(KEYSET))
        return stored

    def put_keyset(self, text: str) -> None:
        self.client.set(KEYSET, text)

    def lose_keyset(self) -> None:
        self.client.delete(KEYSET)

    def data_keys(self) -> dict[str, str]:
        return dict(self.client.hgetall(DATA))

    def put_data_key(self, purpose: str, sealed: str) -> None:
        self.client.hset(DATA, purpose, sealed)

    def audit(self) -> list[dict[str, Any]]:
        """The entries of the key stream, oldest first."""
        return [
            audit.readable(int(n.partition("-")[0]), entry["t"], entry["e"], entry["d"])
            for n, entry in self.client.xrange(site_prefix("keys") + "audit")
        ]


def jwks_kids(keys: KeyRotation) -> list[str]:
    return [jwk["kid"] for jwk in json.loads(keys.jwks()[0])["keys"]]


def everything_stored(client: Any) -> str:
    """All of Redis as one text, as somebody with a dump would have it."""
    dumped = []
    for key in client.scan_iter():
        kind = client.type(key)
        read = {"string": client.get, "hash": client.hgetall, "stream": lambda name: client.xrange(name)}[kind]
        dumped.append(f"{key} {read(key)}")
    return "\n".join(dumped)


def spellings(secret: bytes) -> list[str]:
    """How a secret may look in a text."""
    standard = base64.b64encode(secret).decode().rstrip("=")
    return [secret.hex(), standard, standard.replace("+", "-").replace("/", "_"), repr(secret)[2:-1]]
