"""The demo's processes and ports: what happens when one is not to be had."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from authsvc.demo import launcher
from authsvc.demo.processes import Child, DemoFailed, PortTaken, end_all
from authsvc.demo.sample import api, records
from authsvc.demo.sample.clinic import Settings


def ended(folder: Path, script: str) -> Child:
    """A child that has run this script to its end."""
    child = Child("serve", [sys.executable, "-c", script], os.environ, folder)
    child.wait()
    child.request_end()
    return child


def test_a_child_that_ended_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = ended(tmp_path, "import sys; sys.exit('\\n'.join(f'line {n}' for n in range(40)))")
    with pytest.raises(DemoFailed, match=r"serve ended by itself \(exit 1\)") as failure:
        child.check()
    assert "line 39" in str(failure.value)
    assert "line 24" not in str(failure.value)


def test_a_port_taken_at_the_last_moment_is_a_failure_of_its_own(tmp_path: Path) -> None:
    child = ended(tmp_path, "import sys; sys.exit('authsvc: 127.0.0.1:8082 is in use by another process.')")
    with pytest.raises(PortTaken):
        child.check()


@pytest.mark.parametrize("status,failure", [(401, PortTaken), (409, DemoFailed)])
def test_a_service_that_does_not_know_the_demos_client_is_another_demos(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, failure: type[DemoFailed]
) -> None:
    def refused(*_: object) -> None:
        raise api.Refused(status, "any")

    monkeypatch.setattr(launcher.provision, "patients", refused)
    settings = Settings(url="", authsvc_url="", practice="maple", client_id="portal", client_secret="")
    with pytest.raises(DemoFailed) as raised:
        launcher._put_patients(settings, records.maple_clinic(), ended(tmp_path, ""))
    assert type(raised.value) is failure


def test_children_end_when_asked(tmp_path: Path) -> None:
    child = Child("worker", [sys.executable, "-c", "import signal; signal.pause()"], os.environ, tmp_path)
    child.check()
    end_all([child])
    with pytest.raises(DemoFailed, match="worker ended"):
        child.check()


def test_another_start_takes_other_ports(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[int] = []

    def taken(_stack: object, port: int) -> None:
        asked.append(port)
        raise PortTaken("taken")

    monkeypatch.setattr(launcher, "_serve", taken)
    assert launcher.run(9000) == 1
    assert asked == [9000, 9000, 0]
    assert "authsvc demo: taken" in capsys.readouterr().err


def test_ports_beyond_the_last_are_replaced() -> None:
    ports = launcher._free_ports(launcher.LAST_PORT + 1, launcher.LAST_PORT + 2)
    assert len(set(ports)) == 2
    assert all(0 < port <= launcher.LAST_PORT for port in ports)


def test_settings_that_are_refused_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTHSVC_REDIS_URL", "http://127.0.0.1:1")
    assert launcher.run(0) == 1
    assert "authsvc demo: " in (said := capsys.readouterr().err)
    assert "AUTHSVC_REDIS_URL" in said
