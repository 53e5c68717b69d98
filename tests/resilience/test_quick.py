"""A few faults and attacks of the tables, over one installation each, so that both harnesses go on working."""

from __future__ import annotations

import pytest

from tests.harness.machine import require
from tests.resilience.attacks.__main__ import Runner as Attacks
from tests.resilience.attacks.registry import ATTACKS
from tests.resilience.faults.runner import Runner as Faults
from tests.resilience.registry import FAULTS

pytestmark = [pytest.mark.server, pytest.mark.fault]


def test_a_few_faults_lose_nothing_double_nothing_and_answer_no_500() -> None:
    require("redis-server")
    runner = Faults()
    try:
        rows = [runner.run(FAULTS[name]) for name in ("reply-oom", "reply-readonly", "smtp-rcpt-450")]
    finally:
        runner.discard()
    assert {row.name: row.failures for row in rows if row.failures} == {}
    assert sum(row.lost + row.doubled for row in rows) == 0


def test_a_few_attackers_get_nothing() -> None:
    """How well neighbours are served beside a flood is a figure of `make attacks`: other tests run beside this one."""
    require("redis-server")
    runner = Attacks()
    try:
        rows = [runner.run(ATTACKS[name]) for name in ("guess-one-challenge", "pkce-downgrade", "mail-bomb-links")]
    finally:
        runner.discard()
    failed = {row.attack.name: [one for one in row.failures if not one.startswith("the neighbour")] for row in rows}
    assert {name: failures for name, failures in failed.items() if failures} == {}
    assert {row.attack.name: row.found.got for row in rows if row.found.got} == {}


def test_the_tables_have_the_kinds_that_they_promise() -> None:
    assert len(FAULTS) >= 60
    assert len(ATTACKS) >= 30
