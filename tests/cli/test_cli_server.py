"""The parts of `serve` that can be held in the hand: addresses, the figures' folder, the hooks."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import prometheus_client  # before any test names a folder: it looks once, when it is first imported
import pytest

from authsvc.server import gunicorn as server
from authsvc.server import metrics_dir, sockets
from authsvc.server.sockets import AddressTaken
from tests.harness.cli import run_command


def test_the_public_port_is_held_for_our_workers_and_nobody_elses() -> None:
    public = sockets.reserve("127.0.0.1:0")
    host, port = sockets.split(public.address)
    assert public.placeholder
    with public.placeholder, socket.socket() as stranger, socket.socket() as ours:
        with pytest.raises(OSError, match="in use"):
            stranger.bind((host, port))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ours.bind((host, port))
        ours.listen()
        with pytest.raises(AddressTaken, match="in use by another process"):
            sockets.reserve(public.address)


def test_the_admin_port_is_opened_once() -> None:
    with sockets.listen("[::1]:0") as admin:
        port = admin.getsockname()[1]
        with pytest.raises(AddressTaken, match=rf"\[::1\]:{port} is in use"):
            sockets.listen(f"[::1]:{port}")


def test_an_address_of_another_machine_can_not_be_opened() -> None:
    with pytest.raises(AddressTaken, match="can't be opened here"):
        sockets.listen("203.0.113.1:8000")


def test_a_privileged_port_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_self: socket.socket, _address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", denied)
    with pytest.raises(AddressTaken, match="above 1023"):
        sockets.listen("127.0.0.1:80")


def test_an_error_without_a_number_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(_self: socket.socket, _address: object) -> None:
        raise OSError("AF_INET address must be tuple")

    monkeypatch.setattr(socket.socket, "bind", odd)
    with pytest.raises(AddressTaken, match="must be tuple"):
        sockets.listen("127.0.0.1:80")


def test_figures_have_a_folder_of_their_own_that_goes_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    with metrics_dir.metrics_folder() as folder:
        assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(folder)
        assert folder.parent == tmp_path
    assert not folder.exists()
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    with metrics_dir.metrics_folder() as folder:
        assert folder.is_dir()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_a_forked_worker_that_ends_leaves_the_figures_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.getpid()
    with metrics_dir.metrics_folder() as folder:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: mine + 1)
            with metrics_dir.metrics_folder() as other:
                patch.undo()
        assert other.exists()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def test_figures_that_a_killed_run_left_behind_are_cleared_away_and_those_of_a_running_one_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    left = tmp_path / "authsvc-metrics-left"
    left.mkdir()
    (left / "lock").touch()
    strange = tmp_path / "authsvc-metrics-strange"
    strange.mkdir()
    with metrics_dir.metrics_folder() as running:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        with metrics_dir.metrics_folder():
            assert running.exists()
        assert not left.exists()
        assert strange.exists()


def test_without_shared_memory_the_systems_own_choice_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_dir, "SHARED_MEMORY", "/nonexistent")
    assert metrics_dir.shared_memory() is None


def test_this_process_keeps_its_own_figures_in_memory() -> None:
    assert not prometheus_client.values.ValueClass._multiprocess


class _Service:
    def __init__(self) -> None:
        self.did: list[str] = []

    def start(self) -> None:
        self.did.append("start")

    def stop(self) -> None:
        self.did.append("stop")


def _worker(**facts: Any) -> Any:
    return SimpleNamespace(wsgi=SimpleNamespace(service=_Service()), **{"pid": os.getpid(), "booted": True, **facts})


def test_threads_start_in_a_worker_and_stop_in_it() -> None:
    worker = _worker()
    server.started(worker)
    server.stopped(None, worker)
    assert worker.wsgi.service.did == ["start", "stop"]


@pytest.mark.parametrize("facts", [{"pid": 1}, {"booted": False}])
def test_the_parent_stops_nothing_for_a_worker_that_is_gone_or_never_began(facts: dict[str, Any]) -> None:
    worker = _worker(**facts)
    server.stopped(None, worker)
    assert worker.wsgi.service.did == []


def test_a_dead_workers_gauges_are_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gauge_livesum_4242.db").touch()
    (tmp_path / "counter_4242.db").touch()
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    server.gone(None, _worker(pid=4242))
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    server.gone(None, _worker(pid=4242))
    assert [file.name for file in tmp_path.iterdir()] == ["counter_4242.db"]


def test_the_description_needs_no_settings_and_no_store(settings: dict[str, str]) -> None:
    bare = run_command({}, "openapi", "--json")
    assert bare.code == 0
    assert bare.document["openapi"].startswith("3.1")
    assert bare.document["servers"] == [{"url": "https://auth.example.org"}]
    assert "no settings" in bare.err
    here = run_command(settings, "openapi")
    assert (here.code, here.err) == (0, "")
    assert '"http://127.0.0.1:8000"' in here.out


def test_the_demo_command_hands_over_and_ends_as_the_demo_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from authsvc.demo import launcher

    asked: list[int | None] = []

    def run(port: int | None) -> int:
        asked.append(port)
        return 1 if port is None else 0

    monkeypatch.setattr(launcher, "run", run)
    assert run_command({}, "demo").code == 1
    assert run_command({}, "demo", "--port", "8099").code == 0
    assert asked == [None, 8099]
