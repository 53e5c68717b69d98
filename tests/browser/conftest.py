"""Chromium, and the clinic that it visits. A machine without one of them says so and runs no test of this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.clinic import Clinic
from tests.browser.window import BrowserWindow
from tests.harness import machine

OpenWindow = Callable[..., BrowserWindow]


@pytest.fixture(scope="session")
def clinic(chromium: Any) -> Iterator[Clinic]:
    """One for all tests of this process, once there is a browser to visit it."""
    machine.require("nginx")
    folder = Path(tempfile.mkdtemp(prefix="authsvc-pages-"))
    with Clinic(folder) as clinic:
        clinic.open()
        yield clinic
    shutil.rmtree(folder)


@pytest.fixture
def window(chromium: Any, clinic: Clinic) -> Iterator[OpenWindow]:
    """Opens one more browser profile. At the end nobody may have complained, and nobody else been asked."""
    opened: list[BrowserWindow] = []

    def open_one(device: str = "desktop", browser: Any = None, **options: Any) -> BrowserWindow:
        opened.append(BrowserWindow(browser or chromium, clinic, device, **options))
        return opened[-1]

    yield open_one
    for window in opened:
        window.context.close()
    for window in opened:
        assert window.uneasy == []
        assert window.strangers() == set()
