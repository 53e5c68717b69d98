"""One running demo for all tests here (see maple.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from authsvc.demo.embedded import StoreServer
from authsvc.demo.sample.records import maple_clinic
from tests.conftest import any_server, server_binary
from tests.demo.maple import Maple


@pytest.fixture(scope="session")
def running_maple() -> Iterator[Maple]:
    """One service a process, for starting it costs seconds, on a store of its own, which no other test empties."""
    store = StoreServer(server_binary(any_server()), append_only=False)
    store.start()
    maple = Maple(store.url)
    yield maple
    maple.stop()
    store.discard()


@pytest.fixture
def maple(running_maple: Maple, servers: object) -> Maple:
    """The running demo, its practice's own records as on the first day, and no limit nearer for what came before.

    (`servers` marks the test as one that needs a server.)"""
    running_maple.forget_limits()
    fresh = maple_clinic()
    kept = running_maple.records
    for patient, person in fresh.people.items():
        for dependent in set(kept.people[patient].dependents) - set(person.dependents):
            running_maple.clinic.authsvc.remove_dependent(patient, dependent)
    kept.people, kept.invoices, kept.agreements, kept.now = fresh.people, fresh.invoices, fresh.agreements, fresh.now
    return running_maple
