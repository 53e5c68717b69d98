"""The demo's processes: started behind a keeper, so that none of them outlives the demo however it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

END_WITHIN_S = 15.0  # what `serve` and `worker` promise after SIGTERM
LOG_TAIL_LINES = 15

_KEEPER = str(Path(__file__).with_name("supervisor.py"))


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
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", _KEEPER, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=sink,
                env=environ,
                start_new_session=True,  # Ctrl-C in the terminal is for the demo, which then ends its children
            )

    def check(self) -> None:
        """Raises DemoFailed with the end of its log if it is no longer there."""
        if self._keeper.poll() is not None:
            words = self.last_words()
            failure = PortTaken if "is in use by another process" in words else DemoFailed
            raise failure(f"{self.name} ended by itself (exit {self._keeper.returncode}). {words}")

    def last_words(self) -> str:
        """The end of its log."""
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"The end of {self.name}.log:", *lines])

    def ask_to_end(self) -> None:
        """The keeper sees its input close and sends SIGTERM."""
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()

    def wait(self) -> None:
        self._keeper.wait(END_WITHIN_S)


def end_all(children: Sequence[Child]) -> None:
    """All at once, then wait for each."""
    for child in children:
        child.ask_to_end()
    for child in children:
        child.wait()
