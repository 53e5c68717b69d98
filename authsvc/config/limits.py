"""Which limits exist, what chance they leave a guesser, and what a caller is shown of them.

The counting itself is GCRA, done in the same script as the act that it guards (`store/lua/lib.lua`); here are the
numbers. They come from `limits.toml`, written for people ("5 per 15 min"); a file of the site needs to hold only what
differs from the packaged one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authsvc.config.units import hint, rate, read_toml, size_bytes
from authsvc.config.value_types import chance, count, seconds
from authsvc.errors import Fault, SettingsInvalid
from authsvc.model import Bucket, LimitState

DEFAULT = Path(__file__).parent / "defaults" / "limits.toml"

CODES = 10**6
"""How many codes there are: six decimal digits."""

LIVE_CODES = 3
"""Codes of one challenge that are valid together, the newest. No setting: the store has a place for each of three
(`t1` to `t3` of a challenge), and a number that could differ from it would make the guess bound a lie."""

WIDE_NETWORK = 10
"""How many times the budget of a household (IPv6 /64) a /48 has: at some providers it is one subscriber's, at others it
is shared by thousands, who must not be refused for one neighbour."""

POLICIES = tuple(tomllib.loads(DEFAULT.read_text(encoding="utf-8"))["policies"])
"""The name of every rate; the packaged file is where one is added."""


@dataclass(frozen=True)
class Policy:
    """`quota` acts at once, regained steadily within `window_s` seconds."""

    name: str
    quota: int
    window_s: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Every number of DESIGN's limits; `config/limits.toml` says what each one is for."""

    policies: Mapping[str, Policy]
    attempts_per_challenge: int
    misses_consecutive: int
    misses_per_day: int
    misses_by_links_per_day: int
    misses_per_link: int
    resends_per_challenge: int
    link_resends_per_lineage: int
    replays: int
    replay_window_s: int
    refresh_grace_s: int
    typed_share: float
    practice_share: float
    storage_share: float
    practice_storage: int

    @property
    def live_codes(self) -> int:
        return LIVE_CODES

    def buckets(self, *policies: str, of: str = "", shown: bool = True) -> list[Bucket]:
        """A bucket of each policy. Without an owner the script that counts it knows whose it is."""
        known = [self.policies[name] for name in policies]
        return [Bucket(policy.name, of, policy.quota, policy.window_s, shown) for policy in known]

    def of_address(self, address: str = "") -> list[Bucket]:
        """What sign-ins with a typed address count against, by the keyed hash of it; never shown."""
        return self.buckets("issue-address", "issue-address-day", of=address, shown=False)

    def of_patient(self) -> list[Bucket]:
        """What sign-ins by patient or by a client's link count against."""
        return self.buckets("issue-patient", "issue-patient-day")

    @property
    def link_resend_every_s(self) -> int:
        """Seconds between two new links for one dead one: the policy as a pause."""
        policy = self.policies["link-resend"]
        return -(-policy.window_s // policy.quota)


def _rate(raw: object) -> tuple[int, int]:
    quota, window_s = rate(raw)
    if quota > window_s * 1_000:
        raise ValueError("allows more than one act a millisecond, finer than the clock counts")
    return quota, window_s


_SHARES = ("typed_share", "practice_share", "storage_share")

# 100 consecutive misses is the most that NIST SP 800-63B-4 §3.2.2 allows; the other ceilings keep a slip of the
# keyboard ("50" for "5") from becoming a hole. Production's ranges always: limits are the same everywhere.
_SECTIONS: Mapping[str, Mapping[str, Callable[[object], Any]]] = {
    "policies": dict.fromkeys(POLICIES, _rate),
    "guesses": {
        "attempts_per_challenge": lambda raw: count(1, 10).parse(raw, True),
        "misses_consecutive": lambda raw: count(1, 100).parse(raw, True),
        "misses_per_day": lambda raw: count(1, 10_000).parse(raw, True),
        "misses_by_links_per_day": lambda raw: count(1, 1_000).parse(raw, True),
        "misses_per_link": lambda raw: count(1, 100).parse(raw, True),
    },
    "repeats": {
        "resends_per_challenge": lambda raw: count(0, 20).parse(raw, True),
        "link_resends_per_lineage": lambda raw: count(0, 10).parse(raw, True),
        "replays": lambda raw: count(0, 20).parse(raw, True),
        "replay_window_s": lambda raw: seconds(1, 30).parse(raw, True),
        "refresh_grace_s": lambda raw: seconds(1, 120).parse(raw, True),
    },
    "shares": {name: lambda raw: chance(1).parse(raw, True) for name in _SHARES},
    "storage": {"practice_storage": size_bytes},
}


def load(path: str | None = None) -> Limits:
    """The packaged limits, and over them those of this file. Raises SettingsInvalid with every fault there is."""
    faults: list[Fault] = []
    values = _read(str(DEFAULT), faults)
    if path:
        values |= _read(path, faults)
    if faults:
        raise SettingsInvalid(*faults)
    policies = {name: Policy(name, *values.pop(name)) for name in POLICIES}
    return Limits(policies=policies, **values)


def _read(path: str, faults: list[Fault]) -> dict[str, Any]:
    """The values of a file by name, whatever section they stand in: no name is in two."""
    table = read_toml(path, "AUTHSVC_LIMITS_FILE")
    if isinstance(table, Fault):
        faults.append(table)
        return {}
    values: dict[str, Any] = {}
    for section, entries in table.items():
        known = _SECTIONS.get(section)
        if known is None or not isinstance(entries, dict):
            faults.append(Fault(f"limits: {section!r}", f"is not a table known here{hint(section, _SECTIONS)}"))
            continue
        for name, raw in entries.items():
            if name not in known:
                faults.append(Fault(f"limits: {section} {name!r}", f"is not known here{hint(name, known)}"))
                continue
            try:
                values[name] = known[name](raw)
            except ValueError as problem:
                faults.append(Fault(f"limits: {section} {name}", str(problem)))
    return values


def guess_chance(limits: Limits) -> float:
    """The chance of entering one mailbox within a day by guessing: every miss allowed, every live code a hit.

    The worst case over all permissions: who may start sign-ins by address or patient, and by links of their own too.
    """
    return (limits.misses_per_day + limits.misses_by_links_per_day) * limits.live_codes / CODES


def check(limits: Limits, guess_bound: float) -> tuple[Fault, ...]:
    """The faults of these limits against the settings; none is the empty tuple."""
    found = guess_chance(limits)
    if found <= guess_bound:
        return ()
    detail = f"would be {found:g} a mailbox and day with these limits, above {guess_bound:g}"
    return (
        Fault(
            "AUTHSVC_GUESS_BOUND",
            f"the chance to guess a way in {detail}: lower misses_per_day or misses_by_links_per_day",
        ),
    )


def fields(states: Iterable[LimitState], retry_after_s: int | None = None) -> dict[str, str]:
    """The RateLimit and RateLimit-Policy fields (draft-ietf-httpapi-ratelimit-headers-11 §3 and §4); none for none.

    A refusal gives its `retry_after_s`: a spent policy then shows that as `t`, since Retry-After should not be earlier
    than `t` (§6), and a caller who waited that long does get one act. No partition key (`pk`) is shown: it could only
    be an address, a network or a digest of them. A policy that guards two networks of one address (IPv6 /64 and /48)
    is shown once, as the tighter of the two.
    """
    tightest: dict[str, LimitState] = {}
    for state in states:
        known = tightest.setdefault(state.policy, state)
        if (state.remaining, -state.reset_s) < (known.remaining, -known.reset_s):
            tightest[state.policy] = state
    policies, limits = [], []
    for state in tightest.values():
        reset_s = state.reset_s
        if retry_after_s is not None and state.remaining == 0:
            reset_s = min(reset_s, retry_after_s)
        policies.append(f'"{state.policy}";q={state.quota};w={state.window_s}')
        limits.append(f'"{state.policy}";r={state.remaining};t={reset_s}')
    return {"RateLimit": ", ".join(limits), "RateLimit-Policy": ", ".join(policies)} if limits else {}
