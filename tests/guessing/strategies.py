"""Who guesses, and how: named strategies, and seeded mixes of everything that there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import redis

from authsvc.config.limits import Limits
from tests.guessing.guesser import RESEND_MS, SPENT_MS, Guesser, Target
from tests.guessing.month import DAY_MS, HOUR_MS, TIGHT, Month, all_permissions, limits_with

QUARTER_MS = 900_000
Tick = Callable[[Guesser], None]
Way = Callable[[], Target | None]
NEW_ADDRESSES = ("ann@example.org", "ann.brown@example.org")


@dataclass(frozen=True)
class Strategy:
    """`tick` is played every `every_ms`, and before, while and after the patient signs in."""

    name: str
    tick: Tick
    permissions: frozenset[str] = frozenset()
    networks: int = 1
    patients: int = 1
    loose: bool = False
    numbers: dict[str, Any] = field(default_factory=dict)
    every_ms: int = 4 * HOUR_MS  # 0: only when the patient is about to come
    spent_ms: int = SPENT_MS
    saves: bool = False  # misses, for two sign-ins within a few hours
    moves: bool = False
    merges: bool = False

    @property
    def limits(self) -> Limits:
        return limits_with(self.loose, **self.numbers)


def play(strategy: Strategy, client: redis.Redis, days: int = 30) -> Month:
    """So many days of it. The patient signs in once a day: late one day and early the next, so that some 24 hours have
    two right codes in them, which is what a guesser waits for."""
    month = Month(client, strategy.limits, strategy.patients)
    guesser = Guesser(month, strategy.permissions, strategy.networks, strategy.spent_ms)
    for day in range(days):
        begins = month.began_ms + day * DAY_MS
        comes = begins + (23 * HOUR_MS if day % 2 else HOUR_MS // 2)
        ticks = {comes + 60_000, *(comes + number * QUARTER_MS for number in (-1, 0, 1, 2, 4, 5))}
        if strategy.every_ms:
            ticks |= {*range(begins, begins + DAY_MS, strategy.every_ms), comes // HOUR_MS * HOUR_MS - 1000}
        if strategy.moves and day % 7 == 3:
            month.move(NEW_ADDRESSES[day // 7 % 2 - 1])
        if strategy.merges and day % 3 == 1:
            month.merge()
        for at_ms in sorted(ticks):
            month.clock.advance_ms(max(0, at_ms - month.clock.now_ms()))
            if at_ms == comes:
                month.wants_in()
            if not (strategy.saves and day % 4 == 0):
                strategy.tick(guesser)
            month.patient_tries()
    assert month.patient_tries(), "the patient is not in at the end of the month"
    return month


# --- ways to guess ----------------------------------------------------------------------------------------------------


def each_in_turn(guesser: Guesser) -> None:
    """Start by whatever way there is, and guess at once; on as long as that is worth something."""
    for budget, ways in ways_of(guesser).items():
        for way in ways:
            while not guesser.is_spent(budget) and (target := way()):
                if not guesser.guess(target):
                    break
                guesser.drop(target)


def three_live_codes(guesser: Guesser) -> None:
    """Start, have the code sent twice more, then guess: each guess is compared with three codes."""
    ways = [way for budget, ways in ways_of(guesser).items() if not guesser.is_spent(budget) for way in ways]
    for target in with_three_codes(guesser, ways):
        guesser.guess(target)


def all_at_once(guesser: Guesser) -> None:
    """Many challenges with three codes each, and every attempt at them in flight together, while the patient signs in.

    Of each budget one is tried first: where it was worth nothing, the others would be too, and would only add to the
    misses. So would more than the budget has.
    """
    limits = guesser.month.harness.service.limits
    most = {
        "links": limits.misses_by_links_per_day,
        "mailbox": min(limits.misses_consecutive, limits.misses_per_day),
    }
    for budget, ways in ways_of(guesser).items():
        offset = guesser.now_ms // HOUR_MS
        for challenges in (1, most[budget] // limits.attempts_per_challenge):
            if guesser.is_spent(budget):
                break
            with_three_codes(guesser, [ways[(offset + at) % len(ways)] for at in range(challenges)])
            if challenges == 1:
                for target in guesser.targets:
                    guesser.guess(target, 1)
        guesser.burst(guesser.month.patient_tries, most[budget] - 1)
        guesser.targets.clear()


def ways_of(guesser: Guesser) -> dict[str, list[Way]]:
    """Every way to start a challenge at the mailbox, by the budget that its misses are counted on."""
    names = guesser.month.names
    others: list[Way] = [guesser.start_by_address, *(partial(guesser.start_by_patient, name) for name in names)]
    others += [partial(guesser.start_change, name) for name in names]
    return {"links": [partial(guesser.start_by_link, name) for name in names], "mailbox": others}


def with_three_codes(guesser: Guesser, ways: Sequence[Way]) -> list[Target]:
    """Start, and have the code sent twice more, as far as that is allowed."""
    started = [target for way in ways if (target := way())]
    for _ in range(2 if started else 0):
        guesser.month.clock.advance_ms(RESEND_MS)
        for target in started:
            guesser.resend(target)
    return started


ISSUES, BOTH = frozenset({"codes:issue"}), frozenset({"codes:issue", "codes:verify"})
BY_LINKS = frozenset({"codes:verify", "links:issue", "links:exchange"})
EVERYTHING = all_permissions() | {"patients:write"}

STOPPED_BY_MISSES: dict[str, Any] = {"networks": 0, "loose": True, "numbers": TIGHT, "every_ms": 0, "saves": True}

NAMED = (
    Strategy("a stranger from one network", three_live_codes),
    Strategy("a stranger from many networks, one code a challenge", each_in_turn, networks=40_000),
    Strategy("a client that may only ask for codes", three_live_codes, ISSUES, networks=0),
    Strategy("a client that asks for codes and tries them", three_live_codes, BOTH, networks=0),
    Strategy("a client with links of its own", each_in_turn, BY_LINKS, networks=0),
    Strategy("a client with everything, four patients on the mailbox", three_live_codes, EVERYTHING, 0, patients=4),
    Strategy("misses alone stop it, a stranger", all_at_once, **STOPPED_BY_MISSES),
    Strategy("misses alone stop it, links of a client", all_at_once, BY_LINKS, **STOPPED_BY_MISSES),
    Strategy("misses alone stop it, everything", all_at_once, EVERYTHING, **STOPPED_BY_MISSES),
    Strategy("misses alone stop it, four patients", all_at_once, EVERYTHING, patients=4, **STOPPED_BY_MISSES),
    Strategy(
        "misses alone stop it, moved and merged",
        all_at_once,
        EVERYTHING,
        moves=True,
        merges=True,
        **STOPPED_BY_MISSES,
    ),
    Strategy(
        "misses of a day alone stop it, tried again after hours",
        all_at_once,
        EVERYTHING,
        spent_ms=5 * HOUR_MS,
        **{
            **STOPPED_BY_MISSES,
            "every_ms": 6 * HOUR_MS,
            "saves": False,
            "numbers": {**TIGHT, "misses_consecutive": 100},
        },
    ),
)


# --- mixes ------------------------------------------------------------------------------------------------------------


def mixed(client: redis.Redis, seed: int, moves: int = 400) -> Month:
    """A seeded mix of all moves, at instants that matter: the end of a pause, of an hour, of a day. The patient comes
    once in each 24 hours, at any time."""
    random = Random(seed)
    numbers = TIGHT | {"misses_consecutive": random.choice((10, 10, 100))}
    month = Month(client, limits_with(random.random() < 0.8, **numbers), random.choice((1, 1, 2, 4)), seed)
    permissions = random.choice((frozenset[str](), BOTH, BY_LINKS, EVERYTHING, EVERYTHING))
    guesser = Guesser(month, permissions, 0, random.choice((HOUR_MS, DAY_MS // 2, SPENT_MS)))
    comes = month.began_ms + random.randrange(DAY_MS)
    weights = [random.random() + 0.05 for _ in MOVES]
    for _ in range(moves):
        move = random.choices(MOVES, weights)[0]
        move(guesser, random)
        guesser.forget_old()
        while month.clock.now_ms() >= comes:
            month.wants_in()
            while not month.patient_tries():
                month.clock.advance_ms(QUARTER_MS)
                month.wants_in()
            comes += random.randrange(DAY_MS // 2, DAY_MS)
    return month


def _start(guesser: Guesser, random: Random) -> None:
    name = random.choice(guesser.month.names)
    for _ in range(random.choice((1, 1, 4, 12))):
        start = random.choice((guesser.start_by_address, guesser.start_by_patient, guesser.start_by_link))
        if start == guesser.start_by_address:
            guesser.start_by_address()
        else:
            start(name)


def _start_change(guesser: Guesser, random: Random) -> None:
    guesser.start_change(random.choice(guesser.month.names))


def _resend(guesser: Guesser, random: Random) -> None:
    guesser.month.clock.advance_ms(RESEND_MS)
    for target in guesser.targets:
        guesser.resend(target)


def _guess(guesser: Guesser, random: Random) -> None:
    worth_it = [target for target in guesser.targets if not guesser.is_spent(target.budget)]
    if worth_it:
        guesser.guess(random.choice(worth_it), random.randint(1, 5))


def _burst(guesser: Guesser, random: Random) -> None:
    month = guesser.month

    def meanwhile() -> None:
        random.choice((lambda: None, month.wants_in, month.merge, lambda: month.move(month.email)))()
        if not month.patient_tries():
            month.gives_up()

    guesser.burst(meanwhile, random.choice((5, 9, 20)))


def _wait(guesser: Guesser, random: Random) -> None:
    clock = guesser.month.clock
    to_hour = HOUR_MS - clock.now_ms() % HOUR_MS
    spans = (1000, QUARTER_MS, to_hour - 1, to_hour, 24 * HOUR_MS, 24 * HOUR_MS + to_hour, 25 * HOUR_MS)
    clock.advance_ms(random.choice((*spans, max(1, guesser.next_ms() - clock.now_ms()))))


def _practice_acts(guesser: Guesser, random: Random) -> None:
    month = guesser.month
    if random.random() < 0.5:
        month.merge()
    else:
        month.move(NEW_ADDRESSES[month.email == NEW_ADDRESSES[0]])


MOVES: tuple[Callable[[Guesser, Random], None], ...] = (
    _start,
    _start,
    _start_change,
    _resend,
    _guess,
    _burst,
    _burst,
    _wait,
    _practice_acts,
)
