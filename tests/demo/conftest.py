"""One running demo for the tests of each module here (see maple.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from authsvc.demo.sample.records import maple_clinic
from tests.conftest import Backends, any_server
from tests.demo.maple import Maple


@pytest.fixture(scope="module")
def running_maple(servers: Backends) -> Iterator[Maple]:
    """One service a module: starting it costs a second."""
    server = servers(any_server())
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    maple = Maple(server.url)
    yield maple
    maple.stop()


@pytest.fixture
def maple(running_maple: Maple) -> Maple:
    """The running demo, its practice's own records as on the first day, and no limit nearer for what came before."""
    running_maple.forget_limits()
    fresh = maple_clinic()
    kept = running_maple.records
    kept.people, kept.invoices, kept.agreements = fresh.people, fresh.invoices, fresh.agreements
    return running_maple
