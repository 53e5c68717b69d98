"""The gallery in the documents shows every picture that there is, and none that there isn't. (No browser is needed.)"""

from __future__ import annotations

import re

from tests.browser.screenshots import GALLERY, MORE, PICTURES

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


def test_pictures_are_small() -> None:
    sizes = [picture.stat().st_size for picture in PICTURES.iterdir()]
    assert max(sizes) < LARGEST_BYTES
    assert sum(sizes) < ALL_BYTES
