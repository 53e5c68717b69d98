"""What the signals of signal(7) do to `serve`, `worker` and `demo`: none ends a process without a word.

- SIGTERM, SIGINT and SIGQUIT end it in order. So do SIGPWR (what `lxc-stop` sends) and SIGXCPU (the processor time that
  it was given is over), which become a SIGTERM.
- SIGHUP, SIGUSR1 and SIGUSR2 are what some supervisors send for "reload" or "reopen your log". SIGHUP on a terminal
  means that this is closed, and ends the process.
- Timers, SIGIO and the real-time signals are for programs that asked for them, which this isn't: whoever sends one
  mistook it for another, and their default would end it.
- SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS and SIGTRAP say that the process can't go on; their default stays.
  SIGPIPE and SIGXFSZ are errors of system calls in Python.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Final


def _there(*names: str) -> tuple[int, ...]:
    """Of these signals those that this system has."""
    return tuple(int(getattr(signal, f"SIG{name}")) for name in names if hasattr(signal, f"SIG{name}"))


RELOAD: Final = _there("HUP", "USR1", "USR2")
MISTAKEN: Final = (
    *_there("ALRM", "VTALRM", "PROF", "IO", "STKFLT", "EMT"),
    *(range(signal.SIGRTMIN, signal.SIGRTMAX + 1) if hasattr(signal, "SIGRTMIN") else ()),
)
ENDING: Final = _there("QUIT", "PWR", "XCPU")


def install() -> None:
    """For a process that has just been started, before anything else listens; a child has them too after a fork."""
    for number in (*(RELOAD[1:] if on_terminal() else RELOAD), *MISTAKEN):
        signal.signal(number, signal.SIG_IGN)
    for number in ENDING:
        signal.signal(number, _as_sigterm)


def on_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def after_gunicorn() -> None:
    """In the parent of `serve`, when gunicorn listens to its own. SIGUSR2 would start a second one beside it, which
    finds the port taken; SIGQUIT would cut requests off (SIGINT still does); on a closed terminal nobody is left whom a
    reload would serve."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    for number in (signal.SIGQUIT, signal.SIGHUP) if on_terminal() else (signal.SIGQUIT,):
        signal.signal(number, _as_sigterm)


def in_http_worker() -> None:
    """In a process that the parent forked: what is for the parent, sent to the whole group, cuts no request off."""
    for number in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _as_sigterm(_number: int, _frame: FrameType | None) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
