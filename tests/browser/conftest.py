"""Chromium, and the clinic that it visits. A machine without one of them says so loudly."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.clinic import Clinic
from tests.browser.person import CHROMIUM, FLAGS, Person, chromium_for

Window = Callable[..., Person]


@pytest.fixture(scope="session")
def clinic() -> Iterator[Clinic]:
    """One for all tests of this process."""
    if not CHROMIUM:
        pytest.skip("NO CHROMIUM HERE: the browser tests don't run")
    pytest.importorskip("playwright.sync_api", reason="NO PLAYWRIGHT HERE: the browser tests don't run")
    folder = Path(tempfile.mkdtemp(prefix="authsvc-pages-"))
    with Clinic(folder) as clinic:
        clinic.open()
        yield clinic
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser that knows nobody's certificate, for what is served in the clear or by the test itself."""
    playwright = pytest.importorskip("playwright.sync_api", reason="NO PLAYWRIGHT HERE: the browser tests don't run")
    if not CHROMIUM:
        pytest.skip("NO CHROMIUM HERE: the browser tests don't run")
    with warnings.catch_warnings(), playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chrome(clinic: Clinic) -> Iterator[Any]:
    with warnings.catch_warnings(), chromium_for(clinic) as browser:
        yield browser


@pytest.fixture
def window(chrome: Any, clinic: Clinic) -> Iterator[Window]:
    """Opens one more browser profile. At the end nobody may have complained, and nobody else been asked."""
    opened: list[Person] = []

    def open_one(device: str = "desktop", **options: Any) -> Person:
        opened.append(Person(chrome, clinic, device, **options))
        return opened[-1]

    yield open_one
    for person in opened:
        person.context.close()
    for person in opened:
        assert person.uneasy == []
        assert person.strangers() == set()
