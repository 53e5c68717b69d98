"""The keyset of signing keys as a value, and its steps as pure functions: keyset and instant in, new keyset out.

    next -> current -> retiring -> gone

A key is published before it signs, for as long as verifiers may go on with a key set they fetched earlier, and stays
published after it signed, until the last token it signed has died. What time alone brings about is computed on read
(`Keyset.at`): a retiring key whose time is over is gone although nobody has removed it yet.

Access tokens have one series of keys. ID tokens for clients that want another algorithm have a series of their own for
each, beside it in the record: a version that knows nothing of them passes them over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

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
    unknown: Mapping[str, Any] = field(default_factory=dict)  # what only a newer version reads

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> KeysetEntry:
        """Raises TypeError where a member is missing."""
        known = {each.name for each in fields(cls)} - {"unknown"}
        unknown = {name: value for name, value in stored.items() if name not in known}
        return cls(**{name: value for name, value in stored.items() if name in known}, unknown=unknown)

    def members(self) -> dict[str, Any]:
        members = asdict(self)
        return {**members.pop("unknown"), **members}


Series = tuple[KeysetEntry, ...]


@dataclass(frozen=True)
class Keyset:
    """One current key, one next, any number retiring, and the kids that were revoked (newest last); `id_token_keys` has
    as much for each further algorithm. `unknown` is what only a newer version reads."""

    version: int
    keys: Series
    revoked: tuple[str, ...] = ()
    id_token_keys: Series = ()
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def current(self) -> KeysetEntry:
        return _only(self.keys, CURRENT)

    @property
    def next(self) -> KeysetEntry:
        return _only(self.keys, NEXT)

    @property
    def all_keys(self) -> Series:
        return (*self.keys, *self.id_token_keys)

    @property
    def id_token_algs(self) -> list[str]:
        """The algorithms that ID tokens have a series of their own for."""
        return list(dict.fromkeys(key.alg for key in self.id_token_keys))

    def signing(self) -> dict[str, KeysetEntry]:
        """The key that signs, by algorithm; that of access tokens comes before one for ID tokens."""
        series = (_only(self._series(alg), CURRENT) for alg in self.id_token_algs)
        return {**{key.alg: key for key in series}, self.current.alg: self.current}

    def waiting_with(self, key: KeysetEntry) -> KeysetEntry:
        """The next key of this key's series."""
        return self.next if key in self.keys else _only(self._series(key.alg), NEXT)

    def _series(self, alg: str) -> Series:
        return tuple(key for key in self.id_token_keys if key.alg == alg)

    def find(self, kid: str) -> KeysetEntry | None:
        return next((key for key in self.all_keys if key.kid == kid), None)

    def at(self, now_ms: int) -> Keyset:
        """The keyset without the keys whose time is over."""
        return replace(self, keys=_at(self.keys, now_ms), id_token_keys=_at(self.id_token_keys, now_ms))

    def changes_at_ms(self) -> int | None:
        """The next instant at which time alone changes the keyset."""
        return min((key.gone_at_ms for key in self.all_keys if key.gone_at_ms is not None), default=None)

    def in_order(self) -> list[KeysetEntry]:
        """As people and verifiers want to see them: what signs, what will, what did (newest first); those of ID tokens
        alone behind the others."""
        series = (self.keys, self.id_token_keys)
        return [key for keys in series for key in sorted(keys, key=_place)]

    # --- steps --------------------------------------------------------------------------------------------------------

    def with_next(self, fresh: KeysetEntry) -> Keyset:
        """Another key waits in place of the next, which never signed."""
        return self._step(keys=(*_except(self.keys, self.next), fresh))

    def with_id_token_keys(self, *keys: KeysetEntry) -> Keyset:
        """A series for ID tokens of one more algorithm: its current key and its next."""
        return self._step(id_token_keys=(*self.id_token_keys, *keys))

    def rotated(self, fresh: KeysetEntry, now_ms: int, timing: Timing, *fresh_for_id_tokens: KeysetEntry) -> Keyset:
        """The next key signs, the current one retires, a fresh one waits; so too in the series of ID tokens that a
        fresh key is given for."""
        others = self.id_token_keys
        for each in fresh_for_id_tokens:
            series = self._series(each.alg)
            others = (*_except(others, *series), *_rotated(series, each, now_ms, timing))
        return self._step(keys=_rotated(self.keys, fresh, now_ms, timing), id_token_keys=others)

    def without(self, kid: str, fresh: KeysetEntry, now_ms: int) -> Keyset:
        """The key is gone at once. What it leaves empty is filled: by the next key and a fresh one, as it needs."""
        gone = self.find(kid)
        if gone is not None and gone in self.id_token_keys:
            series = self._series(gone.alg)
            others = (*_except(self.id_token_keys, *series), *_without(series, gone, fresh, now_ms))
            stepped = self._step(id_token_keys=others)
        else:
            stepped = self._step(keys=_without(self.keys, gone, fresh, now_ms))
        return replace(stepped, revoked=(*self.revoked, kid)[-REVOKED_MAX:])

    def _step(self, **changes: Any) -> Keyset:
        return replace(self, version=self.version + 1, **changes)

    # --- text ---------------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        members = asdict(self)
        for series in ("keys", "id_token_keys"):
            members[series] = [key.members() for key in getattr(self, series)]
        members |= members.pop("unknown")
        if not self.id_token_keys:
            del members["id_token_keys"]
        return json.dumps(members, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Keyset:
        """Raises ValueError for anything that isn't a whole keyset."""
        try:
            stored = json.loads(text)
            keyset = cls(
                version=stored["version"],
                keys=tuple(KeysetEntry.of(key) for key in stored["keys"]),
                revoked=tuple(stored["revoked"]),
                id_token_keys=tuple(KeysetEntry.of(key) for key in stored.get("id_token_keys", ())),
                unknown={name: value for name, value in stored.items() if name not in KNOWN},
            )
        except (TypeError, KeyError, ValueError):
            raise ValueError("not a keyset") from None
        for series in (keyset.keys, *(keyset._series(alg) for alg in keyset.id_token_algs)):
            states = [key.state for key in series]
            if states.count(CURRENT) != 1 or states.count(NEXT) != 1 or not set(states) <= set(STATES):
                raise ValueError("a keyset needs exactly one current and one next key")
        if len({key.kid for key in keyset.all_keys}) != len(keyset.all_keys):
            raise ValueError("a keyset holds each key once")
        return keyset


KNOWN: Final = frozenset(member.name for member in fields(Keyset)) - {"unknown"}


# --- one series of keys -----------------------------------------------------------------------------------------------


def _only(series: Series, state: str) -> KeysetEntry:
    return next(key for key in series if key.state == state)


def _at(series: Series, now_ms: int) -> Series:
    return tuple(key for key in series if key.gone_at_ms is None or now_ms < key.gone_at_ms)


def _place(key: KeysetEntry) -> tuple[int, int, str]:
    return STATES.index(key.state), -key.created_ms, key.kid


def _rotated(series: Series, fresh: KeysetEntry, now_ms: int, timing: Timing) -> Series:
    current = _only(series, CURRENT)
    retiring = replace(current, state=RETIRING, gone_at_ms=now_ms + timing.after_ms)
    return (_promoted(series, now_ms), fresh, retiring, *_except(series, current, _only(series, NEXT)))


def _without(series: Series, gone: KeysetEntry | None, fresh: KeysetEntry, now_ms: int) -> Series:
    current, waiting = _only(series, CURRENT), _only(series, NEXT)
    if gone == current:
        return (_promoted(series, now_ms), fresh, *_except(series, current, waiting))
    if gone == waiting:
        return (*_except(series, waiting), fresh)
    return tuple(key for key in series if key != gone)


def _promoted(series: Series, now_ms: int) -> KeysetEntry:
    return replace(_only(series, NEXT), state=CURRENT, signs_from_ms=now_ms)


def _except(series: Series, *left_out: KeysetEntry) -> Series:
    return tuple(key for key in series if key not in left_out)
