"""The key ring and the sealed data keys in Redis. Opaque texts here: only flows can open what they hold.

`authsvc:{@keys}:ring`  the signing keys with their states, as JSON (`flows/ring.py`), private parts sealed
`authsvc:{@keys}:data`  hash of purpose -> sealed data key (`flows/vault.py`)

Both live as long as the service. No change is written over another: a step says what it has read.
"""

from __future__ import annotations

from collections.abc import Mapping

from authsvc.store.connection import Store, site_prefix

PREFIX = site_prefix("keys")
RING = PREFIX + "ring"
DATA = PREFIX + "data"
KEYSET_PURPOSE = "keys"
"""The data key that seals the ring: made together with it or not at all."""


class KeyStore:
    """Every method raises `Unavailable` when Redis is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ring(self) -> str | None:
        text: str | None = self._store.call(lambda client: client.get(RING))
        return text

    def data_key(self, purpose: str) -> str | None:
        sealed: str | None = self._store.call(lambda client: client.hget(DATA, purpose))
        return sealed

    def data_keys(self) -> dict[str, str]:
        return dict(self._store.call(lambda client: client.hgetall(DATA)))

    def create(self, *, act: str, now_ms: int, ring: str, data_key: str, entry: Mapping[str, str]) -> str | None:
        """Make the first ring and its data key, unless either is there. The ring that is there now, or None when a data
        key says that there was one and it is gone."""
        args = {"act": act, "now": now_ms, "ring": ring, "data_key": data_key, "audit": {"created": entry}}
        found: str | None = self._store.run("keys_create", PREFIX, args, durable=True).get("ring")
        return found

    def swap(self, *, act: str, now_ms: int, read: str | None, ring: str, entry: Mapping[str, str]) -> bool:
        """Put `ring` in place of what was `read`. False when somebody else was faster."""
        args = {"act": act, "now": now_ms, "read": read or "", "ring": ring, "audit": {"changed": entry}}
        return "err" not in self._store.run("keys_swap", PREFIX, args, durable=True)

    def keep_data_key(self, purpose: str, sealed: str) -> str:
        """The data key of this purpose: `sealed`, unless there was one already. However many ask, all get the same."""
        kept: str = self._store.run("keys_data", PREFIX, {"purpose": purpose, "sealed": sealed}, durable=True)["sealed"]
        return kept

    def rewrap(self, *, act: str, now_ms: int, moves: Mapping[str, tuple[str, str]], entry: Mapping[str, str]) -> bool:
        """Put each purpose's second text in place of its first, all or none. False when one was changed meanwhile."""
        args = {"act": act, "now": now_ms, "moves": moves, "audit": {"rewrapped": entry}}
        return "err" not in self._store.run("keys_rewrap", PREFIX, args, durable=True)
