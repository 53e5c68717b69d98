"""Wiring: what a start needs, says and survives."""

from __future__ import annotations

from pathlib import Path

import fakeredis
import pytest

from authsvc import wiring
from authsvc.config import environment
from authsvc.errors import SettingsInvalid
from tests.flows.conftest import ENVIRON


def service(server: fakeredis.FakeServer) -> wiring.Service:
    settings, catalogue, limits = environment.load(ENVIRON)
    client = fakeredis.FakeRedis(server=server, decode_responses=True)
    return wiring.bootstrap(settings, catalogue, limits, redis_client=client)


def test_the_faults_of_settings_catalogue_and_limits_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "workflows.toml").write_text("[pay]\nsecurity = 'none'\n")
    (tmp_path / "limits.toml").write_text("nonsense = 1\n")
    environ = {
        **ENVIRON,
        "AUTHSVC_WORKFLOWS_FILE": str(tmp_path / "workflows.toml"),
        "AUTHSVC_LIMITS_FILE": str(tmp_path / "limits.toml"),
    }
    with pytest.raises(SettingsInvalid) as caught:
        environment.load(environ)
    assert {fault.pointer.partition(":")[0] for fault in caught.value.faults} == {"workflows", "limits"}
    (tmp_path / "authsvc.toml").write_text(f"limits_file = '{environ.pop('AUTHSVC_LIMITS_FILE')}'\nworkers = 'two'\n")
    environ |= {"AUTHSVC_SECRET_KEYS": "changeme", "AUTHSVC_CONFIG": str(tmp_path / "authsvc.toml")}
    with pytest.raises(SettingsInvalid) as caught:
        environment.load(environ)
    assert {fault.pointer.partition(":")[0] for fault in caught.value.faults} == {
        "AUTHSVC_SECRET_KEYS",
        "AUTHSVC_WORKERS",
        "workflows",
        "limits",
    }


def test_limits_that_allow_too_much_guessing_refuse_to_load(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text("[guesses]\nmisses_per_day = 400\n")
    with pytest.raises(SettingsInvalid, match="GUESS_BOUND"):
        environment.load({**ENVIRON, "AUTHSVC_LIMITS_FILE": str(tmp_path / "limits.toml")})


def test_everything_has_a_default_but_what_only_the_site_can_know(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    settings, catalogue, limits = environment.load()
    made = wiring.bootstrap(settings)
    assert made.catalogue.get("portal") == catalogue.get("portal")
    assert made.limits == limits


def test_a_service_starts_without_its_store_and_says_that_it_is_not_ready() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    away = service(server)
    away.start()
    assert not away.ready()
    server.connected = True
    away.signing_keys.refresh()
    assert away.store.call(lambda client: client.ping())
    assert away.ready()
    away.stop()


def test_a_started_service_has_keys_and_is_ready() -> None:
    made = service(fakeredis.FakeServer())
    made.start()
    assert made.ready()
    made.stop()
