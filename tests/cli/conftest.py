"""The command line in this process, over a real store of its own kind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from authsvc.cli import main
from tests.conftest import Backends, any_server
from tests.fakes import environ


@dataclass(frozen=True)
class Ran:
    """One command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Authsvc = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _quiet_again(loggers: None) -> None:
    """Commands set up the logs of their whole process; those of this one are put back."""


def store_address(servers: Backends) -> str:
    """A real server; which kind doesn't matter here."""
    return servers(any_server()).url


@pytest.fixture
def settings(servers: Backends) -> dict[str, str]:
    """The environment of one service over an empty store."""
    url = store_address(servers)
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return environ(url)


def run_in(settings: Mapping[str, str], *words: str, **more: Any) -> Ran:
    """One command in this process, its environment exactly `settings`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AUTHSVC_")]:
            patch.delenv(name)
        result = CliRunner().invoke(main, list(words), env=dict(settings), **more)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def authsvc(settings: dict[str, str]) -> Authsvc:
    """Runs one command: `authsvc("keys", "list", "--json")`."""
    return lambda *words, **more: run_in(settings, *words, **more)


@pytest.fixture
def maple(authsvc: Authsvc) -> Authsvc:
    """The same, after the practice `maple` was added."""
    assert authsvc("practices", "add", "maple", "--name", "Maple Clinic").code == 0
    return authsvc
