"""`authsvc check`: every fault at once, and what is fine."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc import wiring
from authsvc.config import load as config
from authsvc.server import preflight
from tests.cli.conftest import Authsvc
from tests.delivery.mail_hosts import serving
from tests.fakes import SECRET_KEY, FakeClock, environ
from tests.harness.cli import run_command


def _verdicts(document: Any) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for finding in document["findings"]:
        told.setdefault(finding["name"], []).append(f"{finding['verdict']}: {finding['detail']}")
    return told


def test_every_setting_has_its_verdict_and_no_secret_is_shown(settings: dict[str, str]) -> None:
    ran = run_command(settings, "check", "--json")
    assert (ran.code, ran.document["ok"]) == (0, True)
    told = _verdicts(ran.document)
    assert {f"AUTHSVC_{name.upper()}" for name in vars(config.load(settings))} <= told.keys()
    assert told["AUTHSVC_SECRET_KEYS"] == ["ok: (set; not shown)"]
    assert SECRET_KEY not in ran.out
    assert settings["AUTHSVC_REDIS_URL"] not in ran.out
    assert "AUTHSVC_WORKERS" in run_command(settings, "check").out


def test_the_chance_of_guessing_is_computed_and_printed(settings: dict[str, str]) -> None:
    out = run_command(settings, "check").out
    assert "by address or patient: 0.0009 a day (300 misses × 3 live codes / 10^6)" in out
    assert "by a client's links: 9e-05 a day (30 misses × 3 live codes / 10^6)" in out
    assert "worst case over all permissions: 0.00099 a day, bound 0.001" in out


def test_limits_above_the_guess_bound_are_refused(settings: dict[str, str]) -> None:
    ran = run_command({**settings, "AUTHSVC_GUESS_BOUND": "0.0001"}, "check", "--json")
    assert ran.code == 1
    assert ran.document["error"]["faults"]


def test_live_looks_at_store_keys_and_mail(authsvc: Authsvc, settings: dict[str, str]) -> None:
    before = authsvc("check", "--live", "--json")
    assert before.code == 0
    assert _verdicts(before.document)["keys"][0].startswith("warning: none yet")
    wiring.bootstrap(config.load(settings)).signing_keys.ensure()
    told = _verdicts(authsvc("check", "--live", "--json").document)
    assert "noeviction" in " ".join(told["redis"])
    assert "warning: no append-only file: a restart of Redis signs everybody out" in told["redis"]
    assert told["keys"][0].startswith("ok: 2 published")
    assert told["mail"][0].startswith("ok: ")


def test_live_without_a_store_is_a_fault_and_says_so() -> None:
    ran = run_command(environ(), "check", "--live", "--json")
    assert (ran.code, ran.document["ok"]) == (1, False)
    told = _verdicts(ran.document)
    assert told["redis"][0].startswith("fault: Redis doesn't answer")
    assert told["keys"] == told["clients"] == told["storage"] == ["fault: not looked at: the store is away"]


def test_a_mail_host_that_is_away_is_a_warning_since_mail_waits(settings: dict[str, str]) -> None:
    ran = run_command({**settings, "AUTHSVC_MAIL_URL": "smtp://127.0.0.1:1"}, "check", "--live", "--json")
    assert ran.code == 0
    assert _verdicts(ran.document)["mail"][0].startswith("warning: the mail host can't be used now")


def test_a_mail_host_that_takes_our_log_in_is_fine(settings: dict[str, str]) -> None:
    with serving() as host:
        there = {**settings, "AUTHSVC_MAIL_URL": f"smtp://127.0.0.1:{host.port}"}
        ran = run_command(there, "check", "--live", "--json")
    assert _verdicts(ran.document)["mail"] == ["ok: the mail host answers and takes our log-in"]
    assert host.mails == []


def test_keys_that_cannot_be_opened_are_a_fault(authsvc: Authsvc, settings: dict[str, str]) -> None:
    wiring.bootstrap(config.load(settings)).signing_keys.ensure()
    other = {**settings, "AUTHSVC_SECRET_KEYS": "A" * 22 + "BCDEFGHIJKLMNOPQRSTUV"}
    ran = run_command(other, "check", "--live", "--json")
    assert ran.code == 1
    assert _verdicts(ran.document)["keys"][0].startswith("fault: can't be opened")


def test_attack_a_client_called_like_an_audience_that_was_set_later_is_a_fault(
    authsvc: Authsvc, settings: dict[str, str]
) -> None:
    """Its ID tokens, which only say who is there, would open every service (the confused deputy)."""
    assert authsvc("practices", "add", "maple", "--name", "Maple").code == 0
    assert authsvc("clients", "add", "portal", "--practice", "maple", "--allow", "codes:issue").code == 0
    assert _verdicts(authsvc("check", "--live", "--json").document)["clients"] == ["ok: 1 registered"]
    ran = run_command({**settings, "AUTHSVC_DEFAULT_AUDIENCE": "portal"}, "check", "--live", "--json")
    assert ran.code == 1
    assert _verdicts(ran.document)["clients"][0].startswith("fault: portal: 'portal' is the audience of a service")


class _ToSend:
    """A store that says of itself what a test wants."""

    def __init__(self, told: dict[str, Any], production: bool) -> None:
        self.store = self
        self.settings = self
        self.production = production
        self.redis_replicas = 0
        self.clock = FakeClock()
        self._told = told

    def call(self, _act: object) -> dict[str, Any]:
        return self._told


GOOD = {"redis_version": "7.2.4", "server_name": "valkey", "maxmemory_policy": "noeviction", "aof_enabled": 1}


@pytest.mark.parametrize(
    "told, production, verdict, word",
    [
        (GOOD, True, "ok", "valkey"),
        ({**GOOD, "redis_version": "6.2.14"}, False, "fault", "too old"),
        ({**GOOD, "redis_version": "10.0.0"}, True, "ok", "10.0"),
        ({**GOOD, "maxmemory_policy": "allkeys-lru"}, True, "fault", "set noeviction"),
        ({**GOOD, "maxmemory_policy": "volatile-ttl"}, False, "warning", "set noeviction"),
        ({**GOOD, "aof_enabled": 0}, True, "warning", "no append-only file"),
        ({"redis_version": "7.0.0"}, True, "fault", "unknown"),
    ],
)
def test_the_store_is_judged_by_what_it_says_of_itself(
    told: dict[str, Any], production: bool, verdict: str, word: str
) -> None:
    found = preflight.store(_ToSend(told, production))  # type: ignore[arg-type]  # the two attributes that are looked at
    assert any(finding.verdict == verdict and word in finding.detail for finding in found)


def test_every_node_of_a_cluster_is_judged() -> None:
    nodes = {"10.0.0.1:6379": GOOD, "10.0.0.2:6379": {**GOOD, "maxmemory_policy": "allkeys-lru"}}
    found = preflight.store(_ToSend(nodes, True))  # type: ignore[arg-type]
    assert [finding.name for finding in found if finding.verdict == "fault"] == ["10.0.0.2:6379"]
