"""Programs that the harness starts: on loopback, their output in a file, ended by their own pid and never by name.

The kernel ends each of them when the harness dies (setpriv --pdeathsig), so nothing outlives a run.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from tests.resilience.patience import stretched

ROOT = Path(__file__).parents[2]
PORTS = range(20_000, 32_000)  # below those that the kernel gives to clients
ENDS_WITHIN_S = 15.0  # what `serve` and `worker` promise after SIGTERM

T = TypeVar("T")


class Skipped(Exception):
    """This machine lacks something; the row says what."""


class NotWithin(AssertionError):
    """Something did not happen in time."""


def until(look: Callable[[], T], within_s: float, what: str, every_s: float = 0.05) -> T:
    """What `look` returns as soon as that is true."""
    deadline = time.monotonic() + stretched(within_s)
    while not (found := look()):
        if time.monotonic() > deadline:
            raise NotWithin(f"not within {stretched(within_s):g} s: {what}")
        time.sleep(every_s)
    return found


def free_port(below: int = PORTS.stop) -> int:
    while True:
        port = random.randrange(PORTS.start, below)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """One running process. `log` holds what it wrote; with `stdout` that goes elsewhere."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        environ: Mapping[str, str] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        with self.log.open("ab") as sink:
            self.popen = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=stdout or sink,
                stderr=stderr or sink,
                env=dict(os.environ if environ is None else environ),
                cwd=ROOT,
                start_new_session=True,
            )
        self.pid = self.popen.pid

    @property
    def runs(self) -> bool:
        return self.popen.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")[-1500:]

    def signal(self, number: int) -> None:
        if self.runs:
            os.kill(self.pid, number)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.popen.wait(stretched(ENDS_WITHIN_S))

    def stop(self, within_s: float = ENDS_WITHIN_S) -> float:
        """SIGTERM, then SIGKILL when it stays. How long it took, in seconds."""
        started = time.monotonic()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - started

    def discard(self) -> None:
        """It and its children; a paused one too."""
        for pid in children(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.runs:
            self.kill()


def children(pid: int) -> list[int]:
    """The processes that this one has started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            child, _, rest = stat.read_text().partition(" (")
        except OSError:
            continue  # gone meanwhile
        state, parent = rest.rpartition(") ")[2].split()[:2]
        if int(parent) == pid and state != "Z":
            found.append(int(child))
    return sorted(found)


def authsvc(*words: str) -> list[str]:
    """The command line of the service under test; its inside is nobody's business here."""
    beside = Path(sys.executable).with_name("authsvc")
    return [str(beside), *words] if beside.exists() else [sys.executable, "-m", "authsvc", *words]
