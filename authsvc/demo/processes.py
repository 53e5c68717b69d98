"""The demo's processes: started under a supervisor, so that none of them outlives the demo however it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

END_TIMEOUT_S = 15.0  # what `serve` and `worker` promise after SIGTERM
LOG_TAIL_LINES = 15

_SUPERVISOR = str(Path(__file__).with_name("supervisor.py"))


class DemoFailed(Exception):
    """The demo can't go on; the message is for the person at the terminal."""


class PortTaken(DemoFailed):
    """Somebody took a port between our look and the child's bind; other ports may do."""


class Child:
    """One process of the demo, and where it writes."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as sink:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", _SUPERVISOR, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=sink,
                env=environ,
                start_new_session=True,  # Ctrl-C in the terminal is for the demo, which then ends its children
            )

    def check(self) -> None:
        """Raises DemoFailed with the end of its log if it is no longer there."""
        if self._supervisor.poll() is not None:
            words = self.log_tail()
            failure = PortTaken if "is in use by another process" in words else DemoFailed
            raise failure(f"{self.name} ended by itself (exit {self._supervisor.returncode}). {words}")

    def log_tail(self) -> str:
        """The end of its log."""
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"The end of {self.name}.log:", *lines])

    def request_end(self) -> None:
        """The supervisor sees its input close and sends SIGTERM."""
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.close()

    def wait(self) -> None:
        self._supervisor.wait(END_TIMEOUT_S)


def end_all(children: Sequence[Child]) -> None:
    """All at once, then wait for each."""
    for child in children:
        child.request_end()
    for child in children:
        child.wait()
