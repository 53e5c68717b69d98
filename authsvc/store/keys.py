"""The keyset and the sealed data keys in Redis. Opaque texts here: only use cases can open what they hold.

`authsvc:{@keys}:keyset`  the signing keys with their states, as JSON (`flows/keyset.py`), private parts sealed
`authsvc:{@keys}:data`    hash of purpose → sealed data key (`flows/data_keys.py`)
`authsvc:{@keys}:lost`    1: a running process had keys that are not here, so this is no new store; no keyset is made

Both live as long as the service. No change is written over another: a step says what it has read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from authsvc.audit import Event
from authsvc.store.connection import Connection, practice_prefix, site_prefix
from authsvc.store.scripts import Reply, ScriptRunner

SLOT: Final = "@keys"
KEYSET: Final = site_prefix("keys") + "keyset"
DATA: Final = site_prefix("keys") + "data"
LOST: Final = site_prefix("keys") + "lost"
PRACTICES: Final = site_prefix("practices") + "all"
KEYSET_PURPOSE: Final = "keys"
"""The data key that seals the keyset: made together with it or not at all."""


class KeyStore:
    """Every method raises `Unavailable` when Redis is away."""

    def __init__(self, connection: Connection, runner: ScriptRunner) -> None:
        self._connection = connection
        self._runner = runner

    def keyset(self) -> str | None:
        text: str | None = self._connection.call(lambda client: client.get(KEYSET))
        return text

    def data_key(self, purpose: str) -> str | None:
        sealed: str | None = self._connection.call(lambda client: client.hget(DATA, purpose))
        return sealed

    def data_keys(self) -> dict[str, str]:
        return dict(self._connection.call(lambda client: client.hgetall(DATA)))

    def missing(self) -> str:
        """Which keys this store once had and hasn't any more: `ring_missing`, `data_keys_missing`, `store_emptied`.
        Empty for one that is whole, or new. Nothing may be made or written then: what was sealed can't be opened.

        A loss is still there at a second look. What another process makes at its first start, between two reads of
        this one, isn't.
        """
        return self._missing_at_a_look() and self._missing_at_a_look()

    def _missing_at_a_look(self) -> str:
        data, keyset = self.data_keys(), self.keyset() is not None
        if keyset != (KEYSET_PURPOSE in data):
            return "data_keys_missing" if keyset else "ring_missing"
        if keyset:
            return ""
        if self._exists(LOST):
            return "store_emptied"
        # In a cluster one shard can come back empty. Whatever was recorded anywhere was recorded under a data key.
        return "data_keys_missing" if not data and self._was_used() else ""

    def note_loss(self) -> None:
        """Tell processes that start later that this store was emptied. Not in one that has a keyset: it is somebody
        else's."""
        if self.keyset() is None:
            self._connection.call(lambda client: client.set(LOST, "1"), LOST)

    def _was_used(self) -> bool:
        practices = self._connection.call(lambda client: client.smembers(PRACTICES))
        return any(self._exists(f"{practice_prefix(name)}audit-n") for name in ("@site", SLOT, *practices))

    def _exists(self, key: str) -> bool:
        return self._connection.call(lambda client: client.get(key), key) is not None

    def create(self, call_id: str, *, keyset: str, data_key: str, **recorded: Any) -> str | None:
        """Make the first keyset and its data key, unless either is there. The keyset that is there now, or None when
        something says that there was one and it is gone."""
        reply = self._run("keyset_create", call_id, Event.KEY_CREATED, keyset=keyset, data_key=data_key, **recorded)
        found: str | None = reply.get("keyset")
        return found

    def replace(self, call_id: str, event: Event, *, former: str | None, keyset: str, **recorded: Any) -> bool:
        """Put `keyset` in place of the `former` text. False when somebody else was faster."""
        reply = self._run("keyset_replace", call_id, event, former=former or "", keyset=keyset, **recorded)
        return "err" not in reply

    def keep_data_key(self, purpose: str, sealed: str, *, beside: str = "") -> str | None:
        """The data key of this purpose: `sealed`, unless there was one already. However many ask, all get the same.
        None when the one of `beside` is not there any more."""
        reply = self._runner.run_for_site(
            "data_key_keep", SLOT, "", durable=True, purpose=purpose, sealed=sealed, beside=beside
        )
        found: str | None = reply.get("sealed")
        return found

    def rewrap(self, call_id: str, moves: Mapping[str, tuple[str, str]], **recorded: Any) -> bool:
        """Put each purpose's second text in place of its first, all or none. False when one was changed meanwhile."""
        rows = [(purpose, former, new) for purpose, (former, new) in moves.items()]
        return "err" not in self._run("data_keys_rewrap", call_id, Event.KEY_REWRAPPED, moves=rows, **recorded)

    def _run(self, script: str, call_id: str, event: Event, **args: Any) -> Reply:
        return self._runner.run_for_site(script, SLOT, call_id, event=event, durable=True, **args)
