"""Commands of `authsvc`, run in this process: a start of Python for each would cost a second.

That a command works as a process of its own is shown by tests/cli/test_key_howtos.py and the demo's tests.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

LOGGING_FLAGS = ("logThreads", "logProcesses", "logMultiprocessing", "raiseExceptions", "_srcfile")
"""What `logs.configure` turns off for a whole process."""


@dataclass(frozen=True)
class CommandResult:
    """One command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


def run_command(environ: Mapping[str, str], *words: str, **options: Any) -> CommandResult:
    """One command, the AUTHSVC_ variables of its environment exactly those of `environ`. `options` are CliRunner's."""
    from authsvc.cli import main

    with pytest.MonkeyPatch.context() as patch, restored_loggers():
        for name in [name for name in os.environ if name.startswith("AUTHSVC_")]:
            patch.delenv(name)
        result = CliRunner().invoke(main, list(words), env=dict(environ), **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return CommandResult(result.exit_code, result.stdout, result.stderr)


@contextmanager
def restored_loggers() -> Iterator[None]:
    """The root logger and the audit log's, put back as they were."""
    from authsvc import logs

    before = [
        (logger, list(logger.handlers), logger.level, logger.propagate)
        for logger in (logging.getLogger(), logging.getLogger(logs.AUDIT))
    ]
    flags = {name: getattr(logging, name) for name in LOGGING_FLAGS}
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
    for name, value in flags.items():
        setattr(logging, name, value)
