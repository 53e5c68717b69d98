"""Every signal that would end a process by default (signal(7)) and that somebody may send by mistake.

`serve`, `worker` and `demo` go on, or end in order with exit code 0; none dies of one without a word.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from authsvc.demo.embedded import StoreServer
from authsvc.server import signals
from tests.conftest import any_server, server_binary
from tests.fakes import environ
from tests.harness.demo import Demo
from tests.server.serving import STARTS_WITHIN_S, Serving, select_nothing

IGNORED = (*signals.RELOAD, *signals.MISTAKEN)
ENDING = (signal.SIGTERM, signal.SIGINT, *signals.ENDING)
PROOF_OF_A_FAULT = {"ABRT", "BUS", "FPE", "ILL", "SEGV", "SYS", "TRAP"}
NO_DEFAULT_END = {"CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH"}
PYTHON_IGNORES = {"PIPE", "XFSZ"}
ENDS_WITHIN_S = 20.0


@pytest.fixture(scope="module")
def settings() -> Iterator[dict[str, str]]:
    store = StoreServer(server_binary(any_server()), append_only=False)
    store.start()
    try:
        yield environ(store.url)
    finally:
        store.discard()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@contextmanager
def started(process: str, settings: dict[str, str], folder: Path) -> Iterator[Serving]:
    """`serve` or `worker`, when it works."""
    command = () if process == "serve" else (sys.executable, "-m", "authsvc", process)
    words = ("--workers", "1") if process == "serve" else ()
    running = Serving(settings, folder, *words, command=command)
    try:
        if process == "serve":
            running.answers().acts()
        else:
            until(lambda: '"working"' in running.err.read_text())
        yield running
    finally:
        running.end()


def until(holds: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + STARTS_WITHIN_S
    while not holds():
        assert time.monotonic() < ends_s
        select_nothing(0.02)


def test_the_fate_of_every_signal_of_this_system_is_decided() -> None:
    decided = {*IGNORED, *ENDING, signal.SIGKILL}
    left = {number.name.removeprefix("SIG") for number in signal.Signals if number not in decided}
    assert left <= PROOF_OF_A_FAULT | NO_DEFAULT_END | PYTHON_IGNORES


@pytest.mark.parametrize("process", ["serve", "worker"])
def test_fault_signals_that_nobody_meant_end_no_process(process: str, settings: dict[str, str], folder: Path) -> None:
    with started(process, settings, folder) as running:
        for number in IGNORED:
            os.kill(running.process.pid, number)
        os.kill(running.process.pid, signal.SIGTERM)  # handled after the others
        assert running.process.wait(ENDS_WITHIN_S) == 0


@pytest.mark.parametrize("number", signals.ENDING)
@pytest.mark.parametrize("process", ["serve", "worker"])
def test_fault_a_signal_that_ends_a_process_ends_it_in_order(
    process: str, number: int, settings: dict[str, str], folder: Path
) -> None:
    with started(process, settings, folder) as running:
        os.kill(running.process.pid, number)
        assert running.process.wait(ENDS_WITHIN_S) == 0
    if process == "worker":
        assert '"stopping"' in running.err.read_text()


def test_fault_signals_for_the_parent_sent_to_its_children_cut_no_request_off(
    settings: dict[str, str], folder: Path
) -> None:
    with started("serve", settings, folder) as running:
        pid = running.process.pid
        worker = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        for number in IGNORED:
            os.kill(worker, number)
        assert running.get("/livez")[0] == 200
        assert Path(f"/proc/{pid}/task/{pid}/children").read_text().split() == [str(worker)]


@pytest.mark.parametrize("process", ["serve", "worker", "demo"])
def test_fault_signals_while_a_process_starts_do_not_end_it(process: str) -> None:
    early = f"""import os
from authsvc.config import environment
from authsvc.demo import launcher
def load(*_):
    for number in {tuple(map(int, IGNORED))}:
        os.kill(os.getpid(), number)
    raise SystemExit(42)
environment.load = launcher.run = load
from authsvc.cli import main
main()"""
    assert subprocess.run([sys.executable, "-c", early, process], stdin=subprocess.DEVNULL).returncode == 42


def test_fault_signals_that_nobody_meant_end_no_demo_and_quit_ends_it_with_all_its_children(tmp_path: Path) -> None:
    with Demo(tmp_path / "demo") as demo:
        family = demo.family()
        for number in (signal.SIGUSR1, signal.SIGUSR2, *signals.MISTAKEN):
            os.kill(demo.process.pid, number)
        assert "The demo has ended" in demo.end(signal.SIGQUIT)
        assert demo.process.returncode == 0
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]
