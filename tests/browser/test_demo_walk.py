"""The practice's workflows, each by its own words, walked in a browser in both languages within five minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser.demo_window import DemoWindow
from tests.browser.walk import in_spanish, walk
from tests.harness.demo import Demo

pytestmark = pytest.mark.browser

ACTS = 24
WITHIN_S = 300.0
"""For each language. On two quiet cores both together take less than half of it."""


@pytest.mark.parametrize("language", ["en", "es"])
def test_twenty_four_acts_are_walked_word_for_word(chromium: Any, tmp_path: Path, language: str) -> None:
    began = time.monotonic()
    with Demo(tmp_path) as demo:
        desk = DemoWindow(chromium, demo, "wide", locale=language)
        anna = DemoWindow(chromium, demo, "phone", locale=language, reads_in=language)
        if language != "en":
            in_spanish(desk)
        acts = [act for act, _ in walk(desk, anna, demo)]
        assert (anna.speaks, desk.speaks) == ({language}, {"en"})
        assert len({act.words for act in acts}) == len(acts) >= ACTS
        assert anna.outside == desk.outside == []
        for window in (desk, anna):
            window.close()
    assert time.monotonic() - began < WITHIN_S
