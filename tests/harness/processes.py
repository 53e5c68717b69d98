"""Programs that tests start: real processes on ports of loopback, their output in a file, ended by their own pid.

Each runs under the supervisor that the demo uses too, so that none outlives the tests, however those end. Waiting is
looking again until something holds (`until`); nothing waits for a time to pass.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
SUPERVISOR = ROOT / "authsvc" / "demo" / "supervisor.py"
LOOK_EVERY_S = 0.02
PATIENCE_S = 30.0  # on a machine that runs everything else as well
ENDS_WITHIN_S = 15.0  # what `serve` and `worker` promise after SIGTERM
PORTS = range(20_000, 32_000)  # below those that the kernel gives to clients: nobody gets one by chance meanwhile

T = TypeVar("T")


def until(look: Callable[[], T | None], within_s: float = PATIENCE_S, why: Callable[[], object] = lambda: "") -> T:
    """What `look` finds as soon as that is true; AssertionError with `why()` after `within_s`."""
    waiting, deadline = threading.Event(), time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {why()}"
        waiting.wait(LOOK_EVERY_S)
    return found


def free_port() -> int:
    """A port of loopback that nobody has."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Empty when it isn't there."""
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    *,
    over: HTTPConnection | None = None,
    timeout_s: float = PATIENCE_S,
) -> Answer:
    """One request, over a connection of its own unless one is given."""
    parts = urlsplit(url)
    line = over or HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        line.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        got = line.getresponse()
        return Answer(got.status, got.getheaders(), got.read())
    finally:
        if over is None:
            line.close()


def reachable(url: str) -> Answer | None:
    """The answer to a GET, or None while nobody listens there."""
    try:
        return ask("GET", url)
    except OSError:
        return None


class Process:
    """One running process. `log` is all that it wrote, stdout and stderr in one."""

    def __init__(self, name: str, command: list[str], environ: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as sink:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", str(SUPERVISOR), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                env=environ,
                cwd=ROOT,
                start_new_session=True,
            )
        assert self._supervisor.stdout is not None
        self.pid = int(self._supervisor.stdout.readline())

    @property
    def runs(self) -> bool:
        return self._supervisor.poll() is None

    def output(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]

    def send_signal(self, signal_number: signal.Signals) -> None:
        """One signal; the process may go on after it."""
        os.kill(self.pid, signal_number)

    def ended(self, within_s: float = ENDS_WITHIN_S) -> int:
        """Its exit code, once it has ended."""
        code = self._supervisor.wait(within_s)
        self.close_pipes()
        return code

    def stop(self) -> None:
        """As an operator does."""
        if self.runs:
            self.send_signal(signal.SIGTERM)
        self.ended()

    def kill(self) -> None:
        """As the kernel does when memory is out."""
        self.send_signal(signal.SIGKILL)
        self.ended()

    def discard(self) -> None:
        """At the end of a test, whatever state it is in; `close_pipes` of several first, and they end side by side."""
        self.close_pipes()
        self._supervisor.wait(ENDS_WITHIN_S)

    def close_pipes(self) -> None:
        """The supervisor sees its input close, and ends the process."""
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None:
                pipe.close()


def children(pid: int) -> set[int]:
    """The processes that this one has started and that still run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            child, _, rest = stat.read_text().partition(" (")
        except OSError:
            continue  # gone meanwhile
        state, parent = rest.rpartition(") ")[2].split()[:2]
        if int(parent) == pid and state != "Z":
            found.add(int(child))
    return found


def answering(line: HTTPConnection, among: set[int]) -> int:
    """Which of these processes holds the other end of a connection that has been used."""
    ours, theirs = line.sock.getsockname()[1], line.sock.getpeername()[1]
    inode = ""
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        if fields[1].endswith(f":{theirs:04X}") and fields[2].endswith(f":{ours:04X}"):
            inode = fields[9]
    for pid in among:
        if any(os.readlink(fd) == f"socket:[{inode}]" for fd in _open_files(pid)):
            return pid
    raise AssertionError(f"none of {among} holds the other end")


def _open_files(pid: int) -> list[Path]:
    return [fd for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()]
