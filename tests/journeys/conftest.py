"""One running house for the journeys of this folder, open for business."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journeys.house import Client, House
from tests.journeys.programs import Program


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        house.store.start()
        house.add_practice()
        house.work()
        house.open_service()
        yield house


@pytest.fixture(scope="session")
def serve(house: House) -> Program:
    return house.serve()


@pytest.fixture(scope="session")
def portal(house: House, serve: Program) -> Client:
    """The practice's service, that may do everything."""
    return house.add_client("portal")
