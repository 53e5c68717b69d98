"""The keyset of signing keys as a value, and its steps as pure functions: keyset and instant in, new keyset out.

    next -> current -> retiring -> gone

A key is published before it signs, for as long as verifiers may go on with a key set they fetched earlier, and stays
published after it signed, until the last token it signed has died. What time alone brings about is computed on read
(`Keyset.at`): a retiring key whose time is over is gone although nobody has removed it yet.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Final

from authsvc.config.load import Settings

CURRENT: Final = "current"
NEXT: Final = "next"
RETIRING: Final = "retiring"
STATES: Final = (CURRENT, NEXT, RETIRING)

TOKEN_LIFE_CEILING_S: Final = 600  # no setting allows longer tokens, so no change of settings outlives this
FOLLOW_S: Final = 5  # how long another instance may go on signing with the old key after a rotation
REVOKED_MAX: Final = 256  # a revoked key is remembered, so that nobody imports it again


@dataclass(frozen=True)
class Timing:
    """How long a key is published before it signs, and after it signed."""

    before_ms: int
    after_ms: int

    @classmethod
    def of(cls, settings: Settings) -> Timing:
        return cls(
            before_ms=(settings.jwks_max_age_s + settings.jwks_slack_s) * 1000,
            after_ms=(TOKEN_LIFE_CEILING_S + settings.clock_skew_s + FOLLOW_S) * 1000,
        )


@dataclass(frozen=True)
class KeysetEntry:
    """One key. `signs_from_ms`: for `next` the instant from which signing is safe, else when it began to sign."""

    kid: str
    alg: str
    state: str
    created_ms: int
    signs_from_ms: int
    sealed: str
    gone_at_ms: int | None = None


@dataclass(frozen=True)
class Keyset:
    """One current key, one next, any number retiring, and the kids that were revoked (newest last)."""

    version: int
    keys: tuple[KeysetEntry, ...]
    revoked: tuple[str, ...] = ()

    @property
    def current(self) -> KeysetEntry:
        return self._only(CURRENT)

    @property
    def next(self) -> KeysetEntry:
        return self._only(NEXT)

    def _only(self, state: str) -> KeysetEntry:
        return next(key for key in self.keys if key.state == state)

    def find(self, kid: str) -> KeysetEntry | None:
        return next((key for key in self.keys if key.kid == kid), None)

    def at(self, now_ms: int) -> Keyset:
        """The keyset without the keys whose time is over."""
        return replace(self, keys=tuple(key for key in self.keys if key.gone_at_ms is None or now_ms < key.gone_at_ms))

    def changes_at_ms(self) -> int | None:
        """The next instant at which time alone changes the keyset."""
        return min((key.gone_at_ms for key in self.keys if key.gone_at_ms is not None), default=None)

    def in_order(self) -> list[KeysetEntry]:
        """As people and verifiers want to see them: what signs, what will, what did (newest first)."""
        return sorted(self.keys, key=lambda key: (STATES.index(key.state), -key.created_ms, key.kid))

    # --- steps --------------------------------------------------------------------------------------------------------

    def with_next(self, fresh: KeysetEntry) -> Keyset:
        """Another key waits in place of the next, which never signed."""
        return self._step((*self._except(self.next), fresh))

    def rotated(self, fresh: KeysetEntry, now_ms: int, timing: Timing) -> Keyset:
        """The next key signs, the current one retires, a fresh one waits."""
        retiring = replace(self.current, state=RETIRING, gone_at_ms=now_ms + timing.after_ms)
        return self._step((self._promoted(now_ms), fresh, retiring, *self._except(self.current, self.next)))

    def without(self, kid: str, fresh: KeysetEntry, now_ms: int) -> Keyset:
        """The key is gone at once. What it leaves empty is filled: by the next key and a fresh one, as it needs."""
        gone = self.find(kid)
        if gone == self.current:
            keys = (self._promoted(now_ms), fresh, *self._except(self.current, self.next))
        elif gone == self.next:
            keys = (*self._except(self.next), fresh)
        else:
            keys = tuple(key for key in self.keys if key.kid != kid)
        return replace(self._step(keys), revoked=(*self.revoked, kid)[-REVOKED_MAX:])

    def _promoted(self, now_ms: int) -> KeysetEntry:
        return replace(self.next, state=CURRENT, signs_from_ms=now_ms)

    def _except(self, *left_out: KeysetEntry) -> tuple[KeysetEntry, ...]:
        return tuple(key for key in self.keys if key not in left_out)

    def _step(self, keys: tuple[KeysetEntry, ...]) -> Keyset:
        return replace(self, version=self.version + 1, keys=keys)

    # --- text ---------------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Keyset:
        """Raises ValueError for anything that isn't a whole keyset."""
        try:
            stored = json.loads(text)
            keyset = cls(
                version=stored["version"],
                keys=tuple(KeysetEntry(**key) for key in stored["keys"]),
                revoked=tuple(stored["revoked"]),
            )
        except (TypeError, KeyError, ValueError):
            raise ValueError("not a keyset") from None
        states = [key.state for key in keyset.keys]
        if states.count(CURRENT) != 1 or states.count(NEXT) != 1 or not set(states) <= set(STATES):
            raise ValueError("a keyset needs exactly one current and one next key")
        if len({key.kid for key in keyset.keys}) != len(states):
            raise ValueError("a keyset holds each key once")
        return keyset
