"""A handful of the faults and attacks with every run of the tests; `make faults` and `make attacks` run them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tests.resilience.attacks as _attacks  # noqa: F401 - registers them
import tests.resilience.faults as _faults  # noqa: F401
from tests.resilience.attacks.__main__ import Runner as AttackRunner
from tests.resilience.attacks.registry import ATTACKS
from tests.resilience.faults.runner import Runner
from tests.resilience.registry import FAULTS

pytestmark = pytest.mark.fault

QUICK_FAULTS = ("redis-restarted", "wire-cut", "wire-answers-lost", "smtp-dot-451", "http-malformed")
QUICK_ATTACKS = ("refresh-token-replay", "guess-one-challenge")


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.discard()


@pytest.fixture(scope="module")
def attacker() -> Iterator[AttackRunner]:
    made = AttackRunner()
    yield made
    made.discard()


@pytest.mark.parametrize("name", QUICK_FAULTS)
def test_a_fault_loses_nothing_and_doubles_nothing(runner: Runner, name: str) -> None:
    row = runner.run(FAULTS[name])
    if row.skipped:
        pytest.skip(row.skipped)
    assert row.failures == [], row


@pytest.mark.parametrize("name", QUICK_ATTACKS)
def test_attack_gets_nothing_and_no_neighbour_notices(attacker: AttackRunner, name: str) -> None:
    row = attacker.run(ATTACKS[name])
    if row.skipped:
        pytest.skip(row.skipped)
    assert [*row.failures, *row.found.got] == [], row.found


def test_there_are_enough_kinds() -> None:
    assert len(FAULTS) >= 60
    assert len(ATTACKS) >= 30
