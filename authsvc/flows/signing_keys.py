"""The signing keys in use: poll the stored keyset, sign, publish.

The keyset lives in Redis so that every instance sees a step within seconds, and in the memory of each so that nothing
stops when Redis does. Memory wins whenever the store looks wrong: an emptied or unreadable keyset never replaces the
last good one, never leads to new keys, and a key once seen revoked never comes back into this process.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from authsvc.config.load import Settings
from authsvc.crypto import keys as signing
from authsvc.crypto import mint, sealing
from authsvc.crypto.keys import SigningKey
from authsvc.errors import KeysetUnusable, StoreLost
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.keyset import CURRENT, NEXT, Keyset, KeysetEntry, Timing
from authsvc.ports import Clock, Entropy
from authsvc.store.keys import KEYSET_PURPOSE, KeyStore

SEAL_PURPOSE: Final = "signing key"
REVOKED_SHOWN: Final = 8  # in the revocation feed: revocations come one by one, and a cached key set is minutes old


@dataclass(frozen=True)
class LoadedKeyset:
    """A stored text and what it opened to."""

    text: str
    keyset: Keyset
    opened: Mapping[str, SigningKey]


@dataclass(frozen=True)
class KeysetView:
    """What the held keyset means until time alone changes it."""

    held: LoadedKeyset
    until_ms: float
    keyset: Keyset
    signer: SigningKey
    signers: Mapping[str, SigningKey]  # by algorithm
    verifying: Mapping[str, SigningKey]
    jwks: bytes
    etag: str


class SigningKeys:
    """Thread-safe without a lock: what is held is replaced as a whole."""

    def __init__(
        self,
        store: KeyStore,
        data_keys: DataKeys,
        clock: Clock,
        entropy: Entropy,
        settings: Settings,
    ) -> None:
        self._store = store
        self._data_keys = data_keys
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._timing = Timing.of(settings)
        self._held: LoadedKeyset | None = None
        self._view: KeysetView | None = None
        self._revoked: set[str] = set()

    # --- reading the stored keyset ------------------------------------------------------------------------------------

    def ensure(self) -> None:
        """Have a keyset: the stored one, or on the very first start a new one, made once however many instances race.

        Raises Unavailable when the store is away; KeysetUnusable when there was a keyset and it is gone or can't be
        opened. Does nothing once a keyset is held.
        """
        if self._held is None:
            self._load()

    def refresh(self) -> None:
        """Read the stored keyset again; to be called every `ring_poll_s`. Raises as `ensure` does; the keyset in memory
        then stays."""
        self._load()

    def check_store(self) -> None:
        """For whoever is about to write without having held a keyset: the command line. A new store has none yet.

        Raises StoreLost where keys are gone, KeysetUnusable where they don't open: another site's, say.
        """
        if reason := self._store.missing():
            raise StoreLost(reason)
        if self._store.keyset() is not None:
            self.refresh()

    def _load(self) -> LoadedKeyset:
        held = self._held
        # In this order: keyset and data key are made in one step, so a data key without keyset is a loss, not a start.
        first = held is None and self._store.data_key(KEYSET_PURPOSE) is None
        text = self._store.keyset()
        if text is None and first and not self._store.missing():
            text = self._create()
        if text is None:
            raise KeysetUnusable("ring_missing")
        return held if held and held.text == text else self._adopt(text)

    def _create(self) -> str | None:
        now_ms = self._clock.now_ms()
        seal_key, data_key = self._data_keys.fresh(KEYSET_PURPOSE)
        # The first key may sign at once: no verifier has fetched a key set yet.
        current = self._sealed(signing.generate(self._settings.signing_alg), CURRENT, now_ms, now_ms, seal_key)
        waiting = self._fresh(signing.generate(self._settings.signing_alg), now_ms, seal_key)
        ours = Keyset(version=1, keys=(current, waiting)).to_json()
        return self._store.create(
            mint.short_id(self._entropy),
            keyset=ours,
            data_key=data_key,
            actor="start",
            details={"kid": current.kid, "next": waiting.kid},
        )

    def _adopt(self, text: str) -> LoadedKeyset:
        """Open a stored keyset wholly, or raise KeysetUnusable and leave everything as it was."""
        try:
            keyset = Keyset.from_json(text)
        except ValueError as error:
            raise KeysetUnusable(str(error)) from None
        # What is held already isn't opened again, unless its stored form changed.
        held = self._held
        known = {key.sealed: held.opened[key.kid] for key in held.keyset.all_keys} if held else {}
        opened = {key.kid: self._fits(key, known.get(key.sealed) or self._open(key)) for key in keyset.all_keys}
        if not self._revoked.isdisjoint(opened):
            raise KeysetUnusable("a revoked key is back")
        self._revoked.update(keyset.revoked)
        held = self._held = LoadedKeyset(text, keyset, opened)
        return held

    def _open(self, key: KeysetEntry) -> SigningKey:
        seal_key = self._data_keys.key(KEYSET_PURPOSE)
        try:
            return signing.from_der(sealing.unseal(seal_key, SEAL_PURPOSE, key.sealed, key.kid))
        except ValueError as error:
            raise KeysetUnusable(f"signing key {key.kid}: {error}") from None

    @staticmethod
    def _fits(key: KeysetEntry, opened: SigningKey) -> SigningKey:
        if (opened.kid, opened.alg) != (key.kid, key.alg):
            raise KeysetUnusable(f"signing key {key.kid} is another key")
        return opened

    # --- using --------------------------------------------------------------------------------------------------------

    def signer(self) -> SigningKey:
        """The key that signs now. Raises KeysetUnusable before there is a keyset, like all that follow."""
        return self.view().signer

    def verification_keys(self) -> Mapping[str, SigningKey]:
        """Every key whose tokens are good now, by kid, the signing one first."""
        return self.view().verifying

    def jwks(self) -> tuple[bytes, str]:
        """The key set to publish (RFC 7517 §5) and its entity tag, unquoted."""
        view = self.view()
        return view.jwks, view.etag

    def revoked(self) -> tuple[str, ...]:
        """The kids revoked last, newest last: a cached key set may still hold them. Raises KeysetUnusable."""
        if self._held is None:
            raise KeysetUnusable("no_ring_yet")
        return self._held.keyset.revoked[-REVOKED_SHOWN:]

    def pem(self, kid: str) -> str | None:
        """The public key of this kid, if it is published."""
        key = self.view().verifying.get(kid)
        return key.pem if key else None

    def view(self) -> KeysetView:
        """The held keyset as of now: a retiring key whose time is over is gone, though nobody removed it yet."""
        view, held = self._view, self._held
        if held is None:
            raise KeysetUnusable("no_ring_yet")
        now_ms = self._clock.now_ms()
        # A view names the keyset it is of, so that a slow thread can't leave the view of an older one behind.
        if view is None or view.held is not held or now_ms >= view.until_ms:
            view = self._view = _view_of(held, now_ms)
        return view

    # --- making entries -----------------------------------------------------------------------------------------------

    def _fresh(self, key: SigningKey, now_ms: int, seal_key: bytes | None = None) -> KeysetEntry:
        return self._sealed(key, NEXT, now_ms, now_ms + self._timing.before_ms, seal_key)

    def _sealed(
        self, key: SigningKey, state: str, now_ms: int, signs_from_ms: int, seal_key: bytes | None = None
    ) -> KeysetEntry:
        seal_key = seal_key or self._data_keys.key(KEYSET_PURPOSE)
        sealed = sealing.seal(seal_key, SEAL_PURPOSE, key.to_der(), key.kid, self._entropy)
        return KeysetEntry(key.kid, key.alg, state, now_ms, signs_from_ms, sealed)


def _view_of(held: LoadedKeyset, now_ms: int) -> KeysetView:
    keyset = held.keyset.at(now_ms)
    verifying = {key.kid: held.opened[key.kid] for key in keyset.in_order()}
    jwks = json.dumps({"keys": [dict(key.jwk) for key in verifying.values()]}, separators=(",", ":")).encode()
    changes_at_ms = keyset.changes_at_ms()
    return KeysetView(
        held=held,
        until_ms=math.inf if changes_at_ms is None else changes_at_ms,
        keyset=keyset,
        signer=verifying[keyset.current.kid],
        signers={alg: verifying[key.kid] for alg, key in keyset.signing().items()},
        verifying=verifying,
        jwks=jwks,
        etag=hashlib.sha256(jwks).hexdigest()[:32],
    )
