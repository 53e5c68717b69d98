"""Whatever a guesser does in a month, no day is worth more than `authsvc check` prints for the same limits."""

from __future__ import annotations

import fakeredis
import pytest
import redis

from tests.conftest import Backends, server_binary
from tests.fakes import environ
from tests.guessing.guesser import Guesser
from tests.guessing.month import DAY_MS, TIGHT, Month
from tests.guessing.strategies import NAMED, Strategy, all_at_once, mixed, play
from tests.harness.cli import run_command

DAYS = 30
SEEDS = 10
WAIT_MS = 300_000  # in which a guesser may act between the patient's wish and the first try


@pytest.fixture(scope="module")
def client(servers: Backends) -> redis.Redis:
    """A store of this machine, a real one if there is any: all kinds run the same scripts in their own tests."""
    kind = next((kind for kind in ("redis", "valkey") if server_binary(kind)), None)
    if kind is None:
        return fakeredis.FakeRedis(version=(7, 0), decode_responses=True)
    return redis.Redis.from_url(servers(kind).url, decode_responses=True)


def assert_below_the_bound(month: Month) -> None:
    assert month.worst_day <= month.bound
    assert max(month.by_day, default=0) <= month.bound * len(month.counted), "of each mailbox"
    assert month.longest_wait_ms <= WAIT_MS, "the patient came in by the code or by a link in the mailbox, at once"


@pytest.mark.parametrize("strategy", NAMED, ids=lambda strategy: strategy.name)
def test_attack_a_month_of_guessing(client: redis.Redis, strategy: Strategy) -> None:
    month = play(strategy, client, DAYS)
    assert_below_the_bound(month)
    assert month.signed_in == DAYS
    judged = sum(len(counted) for counted in month.counted.values())
    assert (judged > DAYS) == ("codes:verify" in strategy.permissions or not strategy.permissions)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_attack_a_mix_of_every_move(client: redis.Redis, seed: int) -> None:
    month = mixed(client, seed, 120)
    assert_below_the_bound(month)
    assert month.signed_in > (month.clock.now_ms() - month.began_ms) // DAY_MS // 2


def test_the_simulation_comes_close_to_the_bound(client: redis.Redis) -> None:
    """Else a bound that is never met would say little: it is the service that stops the guesser, and nothing else."""
    (strategy,) = (strategy for strategy in NAMED if strategy.name == "misses alone stop it, four patients")
    month = play(strategy, client, 7)
    assert 0.8 * month.bound < month.worst_day <= month.bound


def test_a_lost_count_of_misses_would_be_found(client: redis.Redis) -> None:
    """What is judged is counted from the challenges, so a service that forgot to stop a guesser is caught."""

    def forgetful(guesser: Guesser) -> None:
        client.delete(*client.scan_iter("*:guesses:*"), "none")
        all_at_once(guesser)

    month = play(Strategy("forgetful", forgetful, networks=0, loose=True, numbers=TIGHT), client, 2)
    assert month.worst_day > month.bound


def test_the_bound_is_the_one_that_check_prints(client: redis.Redis) -> None:
    printed = run_command(environ(), "check").out
    assert f"worst case over all permissions: {Month(client, NAMED[0].limits).bound:g} a day" in printed
