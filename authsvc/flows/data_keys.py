"""Every key but the signing keys: random data keys by purpose, and the codes' pepper.

A data key is 256 random bits, kept in Redis sealed under the newest master secret and opened by any of them. Moving to
another master secret means sealing these few anew (`keys rewrap`), while the data under them stays as it is. The pepper
is the one key that derives from a master secret directly: it must not be in Redis in any form, and the codes it
protects die within minutes, so that nothing has to move.
"""

from __future__ import annotations

from typing import Final

from authsvc.crypto import sealing
from authsvc.errors import KeysetUnusable, Unavailable
from authsvc.flows.keyset import Keyset
from authsvc.ports import Entropy
from authsvc.store.keys import KEYSET_PURPOSE, KeyStore

PURPOSES: Final = (
    *(KEYSET_PURPOSE, "addresses", "address-index", "audit", "refresh", "outbox", "idempotency", "cookies"),
    "webhooks",
)
"""One purpose, one key. What shares a purpose tells itself apart by a label in the MAC or the sealed text."""

_WRAP_LABEL: Final = "authsvc data key wrap v1"
_PEPPER_LABEL: Final = "authsvc code pepper v1"


class DataKeys:
    """Keys by purpose, kept for the life of the process once opened. Thread-safe: whoever comes late reads the same."""

    def __init__(self, store: KeyStore, masters: tuple[bytes, ...], entropy: Entropy) -> None:
        self._store = store
        self._entropy = entropy
        self._newest = sealing.master_id(masters[0])
        self._wraps = {sealing.master_id(master): sealing.derive(master, _WRAP_LABEL) for master in masters}
        self._peppers = {sealing.master_id(master): sealing.derive(master, _PEPPER_LABEL) for master in masters}
        self._keys: dict[str, bytes] = {}
        self._apart = False
        self._kids: frozenset[str] = frozenset()  # as last seen beside keys that opened

    def refresh(self) -> None:
        """Compare the opened keys with the stored ones; to be called every `ring_poll_s`.

        Raises KeysetUnusable when the store was emptied or holds other keys: what this process sealed on could never be
        opened again, so that `key` gives none until the store has them back. Raises Unavailable.
        """
        opened = dict(self._keys)
        stored = self._store.data_keys() if opened else {}
        locked = {purpose for purpose in opened if purpose in stored and not self._opens(stored[purpose])}
        self._apart = any(
            purpose not in stored or self._open(purpose, stored[purpose]) != key
            for purpose, key in opened.items()
            if purpose not in locked
        ) or (bool(locked) and not self._kids & self._stored_kids())
        if self._apart:
            self._store.note_loss()
            raise KeysetUnusable("data_keys_changed")
        self._kids = self._stored_kids() or self._kids
        for purpose in locked:  # sealed anew with a master secret that this process lacks: its next start will need it
            self._open(purpose, stored[purpose])
        if KEYSET_PURPOSE in opened:
            for purpose in PURPOSES:  # all from the first start on: an older copy then lacks none
                self.key(purpose)

    def _opens(self, stored: str) -> bool:
        return stored.partition(":")[0] in self._wraps

    def _stored_kids(self) -> frozenset[str]:
        """Whose store it is, by its signing keys: a rotation leaves some of them in place."""
        text = self._store.keyset()
        try:
            return frozenset(key.kid for key in Keyset.from_json(text).all_keys) if text else frozenset()
        except ValueError:
            return frozenset()

    @property
    def pepper_id(self) -> str:
        """The id of the pepper that new codes use, to be kept beside their tags."""
        return self._newest

    def pepper(self, pepper_id: str) -> bytes:
        """Raises Unavailable for a master secret that this instance doesn't have: another instance may."""
        pepper = self._peppers.get(pepper_id)
        if pepper is None:
            raise Unavailable("pepper_unknown")
        return pepper

    def key(self, purpose: str) -> bytes:
        """The data key of this purpose, made when it is asked for the first time ever.

        Raises Unavailable when the store is away, KeysetUnusable when no master secret opens it (or, for the keyset's
        own purpose, when there is no keyset yet), KeyError for a purpose that isn't in `PURPOSES`.
        """
        if self._apart:
            raise Unavailable("data_keys_changed")
        known = self._keys.get(purpose)
        if known is not None:
            return known
        if purpose not in PURPOSES:
            raise KeyError(purpose)
        stored = self._store.data_key(purpose)
        if stored is None:
            if purpose == KEYSET_PURPOSE:
                raise KeysetUnusable("no_ring_yet")
            # Beside a key that is gone none is made: what it sealed could never be opened again.
            if self._store.missing():
                raise Unavailable("data_keys_changed")
            stored = self._store.keep_data_key(purpose, self.fresh(purpose)[1], beside=next(iter(self._keys), ""))
            if stored is None:
                raise Unavailable("data_keys_changed")
        return self._keys.setdefault(purpose, self._open(purpose, stored))

    def fresh(self, purpose: str) -> tuple[bytes, str]:
        """A new data key and its sealed form, not kept yet."""
        data_key = self._entropy.token_bytes(sealing.KEY_BYTES)
        return data_key, self._wrap(purpose, data_key)

    def moves(self) -> dict[str, tuple[str, str]]:
        """What `rewrap` has to put in place: for every data key that an older master secret seals, old and new text."""
        return {
            purpose: (stored, self._wrap(purpose, self._open(purpose, stored)))
            for purpose, stored in self._store.data_keys().items()
            if not stored.startswith(self._newest + ":")
        }

    def _wrap(self, purpose: str, data_key: bytes) -> str:
        wrap = self._wraps[self._newest]
        return f"{self._newest}:{sealing.seal(wrap, 'data key', data_key, purpose, self._entropy)}"

    def _open(self, purpose: str, stored: str) -> bytes:
        master_id, _, sealed = stored.partition(":")
        wrap = self._wraps.get(master_id)
        if wrap is None:
            raise KeysetUnusable(f"the data key {purpose!r} needs master secret {master_id[:8]!r}, which is not set")
        try:
            return sealing.unseal(wrap, "data key", sealed, purpose)
        except ValueError:
            raise KeysetUnusable(f"the data key {purpose!r} is damaged") from None
