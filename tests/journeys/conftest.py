"""One running deployment for the journeys of this folder, open for business."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.demo import Demo
from tests.harness.deployment import Client, Deployment
from tests.harness.processes import Process


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("deployment")) as deployment:
        deployment.store.start()
        deployment.add_practice()
        deployment.work()
        deployment.open_service()
        yield deployment


@pytest.fixture(scope="session")
def serve(deployment: Deployment) -> Process:
    return deployment.serve()


@pytest.fixture(scope="session")
def portal(deployment: Deployment, serve: Process) -> Client:
    """The practice's service, that may do everything."""
    return deployment.add_client("portal")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One running demo. Tests that end a demo start one of their own."""
    with Demo(tmp_path_factory.mktemp("demo")) as running:
        yield running
