"""The command line in this process, over a real store of its own kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from tests.conftest import Backends, any_server
from tests.fakes import environ
from tests.harness.cli import CommandResult, run_command

Authsvc = Callable[..., CommandResult]


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


@pytest.fixture
def authsvc(settings: dict[str, str]) -> Authsvc:
    """Runs one command: `authsvc("keys", "list", "--json")`."""
    return lambda *words, **more: run_command(settings, *words, **more)


@pytest.fixture
def maple(authsvc: Authsvc) -> Authsvc:
    """The same, after the practice `maple` was added."""
    assert authsvc("practices", "add", "maple", "--name", "Maple Clinic").code == 0
    return authsvc
