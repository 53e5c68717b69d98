"""What an admin does to the signing keys: list, rotate, revoke, import, export, rewrap.

Every step is computed from the stored keyset and put in place only if that keyset is still the same, so that two
admins (or an admin and cron) can't undo each other. A step that would break verifiers is refused with what it breaks
and when it becomes safe; a forced one reports its cost.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from authsvc.audit import Event
from authsvc.crypto import keys as signing
from authsvc.crypto import mint
from authsvc.crypto.keys import SigningKey
from authsvc.errors import AlreadyExists, Fault, InvalidInput, KeysetUnusable, Unavailable, UnknownName, UnsafeStep
from authsvc.flows.keyset import CURRENT, NEXT, Keyset, KeysetEntry
from authsvc.flows.signing_keys import SigningKeys
from authsvc.model import PublicKey
from authsvc.store.keys import KEYSET_PURPOSE

TRIES: Final = 5  # how often a step starts over because somebody else was faster
EXPORTS: Final = ("jwks", "pem", "haproxy")
HAPROXY_FOLDER: Final = "/etc/haproxy/authsvc"  # where the recipe keeps one PEM file for each kid


@dataclass(frozen=True)
class KeyStep:
    """What a step did. `cost`: in plain words what it breaks, empty when nothing; not `done`: nothing was due."""

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


Step = Callable[[Keyset, int], tuple[Keyset, str] | None]
"""Takes the stored keyset and the instant (ms); returns the keyset to store and its cost in words, or None when nothing
is due."""


class KeyRotation(SigningKeys):
    """The keyset in use, and the steps that change it. Each raises Unavailable when the store is away."""

    def list(self) -> list[PublicKey]:
        """The published keys, current first; none before the first start. Raises Unavailable, KeysetUnusable."""
        if self._held is None and self._store.data_key(KEYSET_PURPOSE) is None and self._store.keyset() is None:
            return []  # with a data key and no keyset it is a loss, which `refresh` raises
        self.refresh()
        return self._listed()

    def export(self, fmt: str) -> str:
        """The public keys as text: `jwks` (a JWK set), `pem` (every PEM under its kid), `haproxy` (the map from kid to
        PEM file; HAProxy can't verify EdDSA, so such keys are left out). Raises InvalidInput for another format."""
        self.refresh()
        if fmt == "jwks":
            return self.jwks()[0].decode() + "\n"
        if fmt == "pem":
            return "".join(f"# kid {key.kid} alg {key.alg} {key.state}\n{key.pem}" for key in self._listed())
        if fmt == "haproxy":
            known = [key.kid for key in self._listed() if key.alg != "EdDSA"]
            return "".join(f"{kid} {HAPROXY_FOLDER}/{kid}.pem\n" for kid in known)
        raise InvalidInput(Fault("format", f"is one of {', '.join(EXPORTS)}"))

    def rotate(self, actor: str, reason: str = "", force: bool = False, if_older_than_s: int | None = None) -> KeyStep:
        """The next key signs, the current one retires, a new one (of the configured algorithm) is published. The keys
        of ID tokens alone go with them, unless their next one is too new.

        Raises UnsafeStep while verifiers may not know the next key yet, unless forced. Where the stored keyset is lost
        or unreadable it raises KeysetUnusable, unless forced: then a new keyset is begun.
        """
        fresh = signing.generate(self._settings.signing_alg)

        def step(keyset: Keyset, now_ms: int) -> tuple[Keyset, str] | None:
            age_ms = now_ms - keyset.current.signs_from_ms
            if if_older_than_s is not None and age_ms < if_older_than_s * 1000:
                return None
            cost = _too_early(keyset.next, now_ms)
            if cost and not force:
                raise UnsafeStep(cost, keyset.next.signs_from_ms)
            due = [key for key in keyset.id_token_keys if key.state == NEXT and (force or not _too_early(key, now_ms))]
            others = [self._fresh(signing.generate(key.alg), now_ms) for key in due]
            return keyset.rotated(self._fresh(fresh, now_ms), now_ms, self._timing, *others), cost

        try:
            return self._take(Event.KEY_ROTATED, actor, reason, step)
        except KeysetUnusable:
            if not force:
                raise
            return self._begin_anew(fresh, actor, reason)

    def revoke(self, kid: str, actor: str, reason: str = "") -> KeyStep:
        """A compromised key is gone at once, its tokens are inactive, and it is never taken in again.

        Raises UnknownName for a key that isn't in the keyset. Patients stay signed in: refreshing gives them a token of
        the next key.
        """
        fresh = signing.generate(self._settings.signing_alg)

        def step(keyset: Keyset, now_ms: int) -> tuple[Keyset, str]:
            gone = keyset.find(kid)
            if gone is None:
                raise UnknownName("key", kid)
            costs = []
            if gone.state != NEXT:
                costs.append(
                    "authsvc refuses its tokens within 5 s and patients get new ones when they refresh; services that "
                    f"verify by a cached key set go on taking them for up to {self._settings.jwks_max_age_s} s"
                )
            if gone.state == CURRENT and (early := _too_early(keyset.waiting_with(gone), now_ms)):
                costs.append(early)
            filler = signing.generate(gone.alg) if gone in keyset.id_token_keys else fresh
            return keyset.without(kid, self._fresh(filler, now_ms), now_ms), "; ".join(costs)

        return self._take(Event.KEY_REVOKED, actor, reason, step, kid)

    def import_pem(self, pem: str, actor: str, reason: str = "") -> KeyStep:
        """Take a private key that somebody brings as the next key, in place of the one that waits; it signs from the
        next rotation on.

        Raises InvalidInput for a key that this service doesn't sign with, AlreadyExists for one it has, UnsafeStep for
        one that was revoked.
        """
        try:
            brought = signing.from_pem(pem)
        except ValueError as error:
            raise InvalidInput(Fault("pem", str(error))) from None

        def step(keyset: Keyset, now_ms: int) -> tuple[Keyset, str]:
            if keyset.find(brought.kid):
                raise AlreadyExists(brought.kid)
            if brought.kid in keyset.revoked:
                raise UnsafeStep("this key was revoked: whoever has a copy could sign tokens with it", None)
            return keyset.with_next(self._fresh(brought, now_ms)), ""

        return self._take(Event.KEY_IMPORTED, actor, reason, step, brought.kid)

    def signer_of(self, alg: str) -> SigningKey:
        """The key that signs with this algorithm (empty: as access tokens are); made when it is first needed. Raises
        Unavailable, KeysetUnusable."""
        found = self.view().signers.get(alg) if alg else self.signer()
        if found is not None:
            return found
        current, waiting = signing.generate(alg), signing.generate(alg)

        def step(keyset: Keyset, now_ms: int) -> tuple[Keyset, str] | None:
            if alg in keyset.signing():
                return None  # another instance was faster
            begun = self._sealed(current, CURRENT, now_ms, now_ms)  # no client has seen a token of this kind yet
            return keyset.with_id_token_keys(begun, self._fresh(waiting, now_ms)), ""

        self._take(Event.KEY_CREATED, "registration", "", step, current.kid)
        return self.view().signers[alg]

    def rewrap(self, actor: str, reason: str = "") -> Rewrap:
        """Seal every data key under the newest master secret, so that the older ones can be taken away."""
        for _ in range(TRIES):
            now_ms = self._clock.now_ms()
            moves = self._data_keys.moves()
            done = Rewrap(
                tuple(sorted(moves)), self._data_keys.pepper_id, now_ms + self._settings.challenge_life_s * 1000
            )
            facts = {"purposes": " ".join(done.moved), "master": done.master_id}
            call_id = mint.short_id(self._entropy)
            if not moves or self._store.rewrap(call_id, moves, actor=actor, reason=reason, details=facts):
                return done
        raise Unavailable("keys_contended")

    # --- taking a step ------------------------------------------------------------------------------------------------

    def _take(self, event: Event, actor: str, reason: str, step: Step, subject: str = "") -> KeyStep:
        """Compute a step from what is stored now and put it in place; start over when somebody was faster.

        `subject` is the key that the step is about, if it isn't the one that signs afterwards.
        """
        for _ in range(TRIES):
            held = self._load()
            now_ms = self._clock.now_ms()
            outcome = step(held.keyset.at(now_ms), now_ms)
            if outcome is None:
                return _key_step(held.keyset, "", done=False)
            keyset, cost = outcome
            if self._put(held.text, keyset, event, actor, reason, subject or keyset.current.kid, cost):
                return _key_step(keyset, cost)
        raise Unavailable("keys_contended")

    def _begin_anew(self, current: SigningKey, actor: str, reason: str) -> KeyStep:
        """A first keyset once more: the stored one is lost, and the operator forced this step."""
        now_ms = self._clock.now_ms()
        cost = (
            "the stored keyset was lost: every token signed so far is refused, and verifiers that cached the old key "
            f"set refuse new ones for up to {self._timing.before_ms // 1000} s"
        )
        waiting = self._fresh(signing.generate(self._settings.signing_alg), now_ms)
        keyset = Keyset(version=1, keys=(self._sealed(current, CURRENT, now_ms, now_ms), waiting))
        if not self._put(self._store.keyset(), keyset, Event.KEY_ROTATED, actor, reason, current.kid, cost):
            raise Unavailable("keys_contended")
        return _key_step(keyset, cost)

    def _put(
        self, read: str | None, keyset: Keyset, event: Event, actor: str, reason: str, kid: str, cost: str
    ) -> bool:
        facts = {"kid": kid, "current": keyset.current.kid, "cost": cost}
        text, call_id = keyset.to_json(), mint.short_id(self._entropy)
        known = {name: value for name, value in facts.items() if value}
        if not self._store.replace(call_id, event, former=read, keyset=text, actor=actor, reason=reason, details=known):
            return False
        self._adopt(text)
        return True

    def _listed(self) -> builtins.list[PublicKey]:
        view = self.view()
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
            for key in view.keyset.in_order()
        ]


def _too_early(waiting: KeysetEntry, now_ms: int) -> str:
    """What signing with this key now would break; empty when nothing."""
    left_s = -(-(waiting.signs_from_ms - now_ms) // 1000)
    if left_s <= 0:
        return ""
    return f"verifiers that cached the key set before {waiting.kid} was in it refuse new tokens for up to {left_s} s"


def _key_step(keyset: Keyset, cost: str, done: bool = True) -> KeyStep:
    return KeyStep(done, keyset.current.kid, keyset.next.kid, keyset.next.signs_from_ms, cost)
