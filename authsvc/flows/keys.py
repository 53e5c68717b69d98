"""The signing keys in use: follow the stored ring, sign, publish; and what an admin does to them.

The ring lives in Redis so that every instance sees a step within seconds, and in the memory of each so that nothing
stops when Redis does. Memory wins whenever the store looks wrong: an emptied or unreadable ring never replaces the
last good one, never leads to new keys, and a key once seen revoked never comes back into this process.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from authsvc.audit import Event, Recorder
from authsvc.config import Settings
from authsvc.crypto import keys as signing
from authsvc.crypto import mint, sealing
from authsvc.crypto.keys import SigningKey
from authsvc.errors import AlreadyExists, Fault, InvalidInput, KeyRingUnusable, Unavailable, UnknownName, UnsafeStep
from authsvc.flows import ring as rings
from authsvc.flows.ring import CURRENT, NEXT, Ring, RingKey, Timing
from authsvc.flows.vault import Vault
from authsvc.model import PublicKey
from authsvc.seams import Clock, Entropy
from authsvc.store.keys import RING_PURPOSE, KeyStore

log = logging.getLogger("authsvc.keys")

SEAL_PURPOSE: Final = "signing key"
TRIES: Final = 5  # how often a step starts over because another admin was faster

EXPORTS: Final = ("jwks", "pem", "haproxy")
HAPROXY_FOLDER: Final = "/etc/haproxy/authsvc"  # where the recipe keeps one PEM file for each kid


@dataclass(frozen=True)
class KeyStep:
    """What a step did. `cost` says in plain words what it breaks, empty when nothing; not `done`: nothing was due."""

    done: bool
    current: str
    next: str
    next_safe_at_ms: int
    cost: str = ""


@dataclass(frozen=True)
class Rewrap:
    """What `rewrap` sealed anew. Codes sent before still need the older master secret until `keep_old_until_ms`."""

    moved: tuple[str, ...]
    master_id: str
    keep_old_until_ms: int


@dataclass(frozen=True)
class _Held:
    """A stored text and what it opened to."""

    text: str
    ring: Ring
    opened: Mapping[str, SigningKey]


@dataclass(frozen=True)
class _View:
    """What the ring means until time alone changes it."""

    until_ms: float
    ring: Ring
    signer: SigningKey
    verifying: Mapping[str, SigningKey]
    jwks: bytes
    etag: str


class Keys:
    """Thread-safe: what is held is replaced as a whole."""

    def __init__(
        self, store: KeyStore, vault: Vault, recorder: Recorder, clock: Clock, entropy: Entropy, settings: Settings
    ) -> None:
        self._store = store
        self._vault = vault
        self._recorder = recorder
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._timing = Timing.of(settings)
        self._held: _Held | None = None
        self._view: _View | None = None
        self._revoked: set[str] = set()

    # --- following ----------------------------------------------------------------------------------------------------

    def ensure(self) -> None:
        """Have a ring: the stored one, or on the very first start a new one, made once however many instances race.

        Raises Unavailable when the store is away; KeyRingUnusable when there was a ring and it is gone or can't be
        opened. Does nothing once a ring is held.
        """
        if self._held is not None:
            return
        # In this order: ring and data key are made in one step, so a data key without a ring is a loss, not a start.
        begun = self._store.data_key(RING_PURPOSE) is not None
        text = self._store.ring()
        if text is None and not begun:
            text = self._create()
        if text is None:
            raise KeyRingUnusable("ring_missing")
        self._adopt(text)

    def refresh(self) -> None:
        """Look whether the stored ring changed; to be called every `ring_poll_s`. Raises as `ensure`, and what is held
        stays held."""
        held = self._held
        if held is None:
            self.ensure()
            return
        text = self._store.ring()
        if text is None:
            raise KeyRingUnusable("ring_missing")
        if text != held.text:
            self._adopt(text)

    def _create(self) -> str | None:
        now_ms = self._clock.now_ms()
        seal_key, data_key = self._vault.fresh(RING_PURPOSE)
        # The first key may sign at once: no verifier has fetched a key set yet.
        current = self._sealed(signing.generate(self._settings.signing_alg), CURRENT, now_ms, now_ms, seal_key)
        waiting = self._fresh(signing.generate(self._settings.signing_alg), now_ms, seal_key)
        return self._store.create(
            act=mint.short_id(self._entropy),
            now_ms=now_ms,
            ring=Ring(version=1, keys=(current, waiting)).to_json(),
            data_key=data_key,
            entry=self._recorder.entry(Event.KEY_CREATED, actor="start", kid=current.kid, next=waiting.kid),
        )

    def _adopt(self, text: str) -> _Held:
        """Open a stored ring wholly, or raise KeyRingUnusable and leave everything as it was."""
        try:
            ring = Ring.from_json(text)
        except ValueError as error:
            raise KeyRingUnusable(str(error)) from None
        known = self._held.opened if self._held else {}
        opened = {key.kid: known.get(key.kid) or self._open(key) for key in ring.keys}
        if not self._revoked.isdisjoint(opened):
            raise KeyRingUnusable("a revoked key is back")
        self._revoked.update(ring.revoked)
        held = self._held = _Held(text, ring, opened)
        self._view = None
        return held

    def _open(self, key: RingKey) -> SigningKey:
        seal_key = self._vault.key(RING_PURPOSE)
        try:
            opened = signing.from_der(sealing.unseal(seal_key, SEAL_PURPOSE, key.sealed, key.kid))
        except ValueError as error:
            raise KeyRingUnusable(f"signing key {key.kid}: {error}") from None
        if (opened.kid, opened.alg) != (key.kid, key.alg):
            raise KeyRingUnusable(f"signing key {key.kid} is another key")
        return opened

    # --- using --------------------------------------------------------------------------------------------------------

    def signer(self) -> SigningKey:
        """The key that signs now. Raises KeyRingUnusable before there is a ring."""
        return self._now().signer

    def verification_keys(self) -> Mapping[str, SigningKey]:
        """Every key whose tokens are good now, by kid."""
        return self._now().verifying

    def jwks(self) -> tuple[bytes, str]:
        """The key set to publish (RFC 7517) and its entity tag, unquoted."""
        view = self._now()
        return view.jwks, view.etag

    def pem(self, kid: str) -> str | None:
        """The public key of this kid, if it is published."""
        key = self._now().verifying.get(kid)
        return key and key.pem

    def _now(self) -> _View:
        view, held = self._view, self._held
        if held is None:
            raise KeyRingUnusable("no_ring_yet")
        now_ms = self._clock.now_ms()
        if view is None or now_ms >= view.until_ms:
            view = self._view = _view(held, now_ms)
        return view

    # --- operating ----------------------------------------------------------------------------------------------------

    def list(self) -> list[PublicKey]:
        """The published keys, current first; none before the first start."""
        if self._held is None and self._store.ring() is None:
            return []
        self.refresh()
        return self._listed()

    def export(self, fmt: str) -> str:
        """The public keys as text: `jwks` (a JWK set), `pem` (all PEMs, each under its kid), `haproxy` (the map from kid
        to PEM file; HAProxy knows no EdDSA, so such keys are left out)."""
        self.refresh()
        if fmt == "jwks":
            return self.jwks()[0].decode() + "\n"
        if fmt == "pem":
            return "".join(f"# kid {key.kid} alg {key.alg} {key.state}\n{key.pem}" for key in self._listed())
        if fmt == "haproxy":
            return "".join(
                f"{key.kid} {HAPROXY_FOLDER}/{key.kid}.pem\n" for key in self._listed() if key.alg != "EdDSA"
            )
        raise InvalidInput(Fault("format", f"is one of {', '.join(EXPORTS)}"))

    def rotate(self, actor: str, reason: str = "", force: bool = False, if_older_than_s: int | None = None) -> KeyStep:
        """The next key signs, the current one retires, a new one (of the configured algorithm) is published.

        Raises UnsafeStep while verifiers may not know the next key yet, unless forced. `force` also makes a new ring
        where the stored one is missing or unreadable.
        """
        fresh = signing.generate(self._settings.signing_alg)

        def step(ring: Ring, now_ms: int) -> tuple[Ring, str] | None:
            age_ms = now_ms - ring.current.signs_from_ms
            if if_older_than_s is not None and age_ms < if_older_than_s * 1000:
                return None
            cost = _early(ring.next, now_ms)
            if cost and not force:
                raise UnsafeStep(cost, ring.next.signs_from_ms)
            return ring.rotated(self._fresh(fresh, now_ms), now_ms, self._timing), cost

        return self._step(Event.KEY_ROTATED, actor, reason, step, anew=fresh if force else None)

    def revoke(self, kid: str, actor: str, reason: str = "") -> KeyStep:
        """A compromised key is gone at once, its tokens are inactive, and it is never taken in again.

        Raises UnknownName for a key that isn't in the ring. Patients stay signed in: refreshing gives them a token of
        the next key.
        """
        fresh = signing.generate(self._settings.signing_alg)

        def step(ring: Ring, now_ms: int) -> tuple[Ring, str]:
            gone = ring.find(kid)
            if gone is None:
                raise UnknownName("key", kid)
            cost = ""
            if gone.state != NEXT:
                cost = (
                    "its tokens are refused here at once, and patients get new ones when they refresh; services that "
                    f"verify by a cached key set go on taking them for up to {self._settings.jwks_max_age_s} s"
                )
            if gone.state == CURRENT and (early := _early(ring.next, now_ms)):
                cost = f"{cost}; {early}"
            return ring.without(kid, self._fresh(fresh, now_ms), now_ms), cost

        return self._step(Event.KEY_REVOKED, actor, reason, step, subject=kid)

    def import_pem(self, pem: str, actor: str, reason: str = "") -> KeyStep:
        """Take a private key that somebody brings as the next key; it signs from the next rotation on.

        Raises InvalidInput for a key that this service doesn't sign with, AlreadyExists for one it has, UnsafeStep for
        one that was revoked.
        """
        try:
            brought = signing.from_pem(pem)
        except ValueError as error:
            raise InvalidInput(Fault("pem", str(error))) from None

        def step(ring: Ring, now_ms: int) -> tuple[Ring, str]:
            if ring.find(brought.kid):
                raise AlreadyExists(brought.kid)
            if brought.kid in ring.revoked:
                raise UnsafeStep("this key was revoked: whoever has a copy could sign tokens with it", None)
            return ring.with_next(self._fresh(brought, now_ms)), ""

        return self._step(Event.KEY_IMPORTED, actor, reason, step, subject=brought.kid)

    def rewrap(self, actor: str, reason: str = "") -> Rewrap:
        """Seal every data key under the newest master secret, so that the older ones can be taken away."""
        for _ in range(TRIES):
            now_ms = self._clock.now_ms()
            moves = self._vault.moves()
            done = Rewrap(tuple(sorted(moves)), self._vault.pepper_id, now_ms + self._settings.challenge_life_s * 1000)
            entry = self._recorder.entry(
                Event.KEY_REWRAPPED, actor=actor, reason=reason, purposes=" ".join(done.moved), master=done.master_id
            )
            act = mint.short_id(self._entropy)
            if not moves or self._store.rewrap(act=act, now_ms=now_ms, moves=moves, entry=entry):
                return done
        raise Unavailable("keys_contended")

    def _step(
        self,
        event: Event,
        actor: str,
        reason: str,
        step: Callable[[Ring, int], tuple[Ring, str] | None],
        *,
        subject: str = "",
        anew: SigningKey | None = None,
    ) -> KeyStep:
        """Compute a step from what is stored now and put it in place, starting over when somebody was faster."""
        for _ in range(TRIES):
            now_ms = self._clock.now_ms()
            try:
                self.refresh()
                held = self._held
                assert held is not None  # noqa: S101 - refresh holds one or raises
                read: str | None = held.text
                outcome = step(held.ring.at(now_ms), now_ms)
            except KeyRingUnusable:
                if anew is None:
                    raise
                read, outcome = self._store.ring(), self._anew(anew, now_ms)
            if outcome is None:
                return _said(held.ring, done=False)
            ring, cost = outcome
            entry = self._recorder.entry(
                event, actor=actor, reason=reason, kid=subject or ring.current.kid, current=ring.current.kid, cost=cost
            )
            text, act = ring.to_json(), mint.short_id(self._entropy)
            if self._store.swap(act=act, now_ms=now_ms, read=read, ring=text, entry=entry):
                self._adopt(text)
                log.warning(event.value, extra={"actor": actor, "reason": reason, "kid": subject or ring.current.kid})
                return replace(_said(ring), cost=cost)
        raise Unavailable("keys_contended")

    def _anew(self, current: SigningKey, now_ms: int) -> tuple[Ring, str]:
        """A first ring again, because the stored one is lost and somebody who knows said so."""
        waiting = self._fresh(signing.generate(self._settings.signing_alg), now_ms)
        ring = Ring(version=1, keys=(self._sealed(current, CURRENT, now_ms, now_ms), waiting), revoked=())
        return ring, (
            "the stored ring was lost: every token signed so far is refused, and verifiers that cached the old key set "
            f"refuse new ones for up to {self._timing.before_ms // 1000} s"
        )

    # --- small things -------------------------------------------------------------------------------------------------

    def _fresh(self, key: SigningKey, now_ms: int, seal_key: bytes | None = None) -> RingKey:
        return self._sealed(key, NEXT, now_ms, now_ms + self._timing.before_ms, seal_key)

    def _sealed(
        self, key: SigningKey, state: str, now_ms: int, signs_from_ms: int, seal_key: bytes | None = None
    ) -> RingKey:
        sealed = sealing.seal(
            seal_key or self._vault.key(RING_PURPOSE), SEAL_PURPOSE, key.to_der(), key.kid, self._entropy
        )
        return RingKey(key.kid, key.alg, state, now_ms, signs_from_ms, sealed)

    def _listed(self) -> list[PublicKey]:
        view = self._now()
        return [
            PublicKey(
                kid=key.kid,
                alg=key.alg,
                state=key.state,
                created_ms=key.created_ms,
                jwk=view.verifying[key.kid].jwk,
                pem=view.verifying[key.kid].pem,
                signs_from_ms=key.signs_from_ms,
                gone_at_ms=key.gone_at_ms,
            )
            for key in rings.in_order(view.ring.keys)
        ]


def _view(held: _Held, now_ms: int) -> _View:
    ring = held.ring.at(now_ms)
    verifying = {key.kid: held.opened[key.kid] for key in rings.in_order(ring.keys)}
    jwks = rings.jwk_set(key.jwk for key in verifying.values())
    changes_at_ms = ring.changes_at_ms()
    return _View(
        until_ms=float("inf") if changes_at_ms is None else changes_at_ms,
        ring=ring,
        signer=verifying[ring.current.kid],
        verifying=verifying,
        jwks=jwks,
        etag=hashlib.sha256(jwks).hexdigest()[:32],
    )


def _early(waiting: RingKey, now_ms: int) -> str:
    """What signing with this key now would break; empty when nothing."""
    left_ms = waiting.signs_from_ms - now_ms
    if left_ms <= 0:
        return ""
    return f"verifiers that cached the key set before {waiting.kid} was in it refuse new tokens for up to {-(-left_ms // 1000)} s"


def _said(ring: Ring, done: bool = True) -> KeyStep:
    return KeyStep(done, ring.current.kid, ring.next.kid, ring.next.signs_from_ms)
