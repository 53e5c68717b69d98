"""The galleries in the documents show every picture there is, and none that there isn't. (No browser is needed.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser import walk_screenshots
from tests.browser.screenshots import GALLERY, MORE, PICTURES
from tests.browser.test_demo_walk import ACTS
from tests.browser.walk_screenshots import WALK

LARGEST_BYTES = 60_000
ALL_BYTES = 1_500_000


def test_every_picture_is_shown_with_words_in_its_place() -> None:
    shown = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', GALLERY.read_text(encoding="utf-8"))
    there = {picture.name for picture in PICTURES.iterdir()}
    assert {src.removeprefix("../screenshots/") for src, _ in shown} == there
    assert len(shown) == len(there)
    names = {name.partition("-")[2] for name in there if name.startswith("phone-")}
    assert names == {name.partition("-")[2] for name in there if name.startswith("desktop-")}
    assert {f"{kind}-{stop}.png" for kind, (_, _, stops) in MORE.items() for stop in stops} <= there


def test_every_picture_of_the_walk_is_shown_with_its_promise() -> None:
    page = WALK.read_text(encoding="utf-8")
    shown = re.findall(r'<img src="../walk/([^"]+)" alt="([^"]+)"', page)
    assert {src for src, _ in shown} == {picture.name for picture in walk_screenshots.PICTURES.iterdir()}
    assert len(shown) == len({src for src, _ in shown})
    assert page.count("\n## ") - 1 >= ACTS


@pytest.mark.parametrize("folder", [PICTURES, walk_screenshots.PICTURES])
def test_pictures_are_small(folder: Path) -> None:
    sizes = [picture.stat().st_size for picture in folder.iterdir()]
    assert max(sizes) < LARGEST_BYTES
    assert sum(sizes) < ALL_BYTES
